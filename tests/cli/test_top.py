"""The live view in the terminal, through textual's own pilot."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from tenire.app.feed import Happened, Outcome, Quarantined, Rate, View
from tenire.app.published import (
    Published,
    PublishedComponent,
    PublishedMetric,
    PublishedPipeline,
    PublishedQuota,
    PublishedResource,
    PublishedStage,
    PublishedTask,
)
from tenire.cli.top.rows import COLUMNS, NUMBERS, detail, fitted, headline, row
from tenire.errors import RejectedError

if TYPE_CHECKING:
    from pathlib import Path

DOCS = PublishedPipeline(
    {"state": "running", "quarantined": 2, "cost_usd": 0.5}, 1, 7,
    [PublishedTask("t5", "ready", "docs: embed", "it waits for the embedder")], priority="normal", finished=30,
    expected=60, reached=30, total=60, listed=True, stages=[PublishedStage("embed", 300, 4, 1)],
)  # fmt: skip
NOTES = replace(DOCS, totals={"state": "paused", "quarantined": 0}, priority="low", tasks=[], stages=[])
ENGINE = Published(
    77, 0.0, "high", 0.5, 3, 9, {"docs": DOCS, "notes": NOTES}, resources={"cpu": PublishedResource(1, 2)},
    resident=42_000_000,
)  # fmt: skip
VIEW = View(
    5, "/home/me/.tenire", "attached", 0.0, engine=ENGINE, pipelines=ENGINE.pipelines,
    rates={"docs": Rate(10.0, 2.5, 12.0)}, events=(Happened(1, 0.0, "pipeline", "docs", "docs began"),),
    quarantine=(Quarantined("q1", "docs", "a.pdf", "read", "broken", 1, 0.0, False),), quarantined=1,
)  # fmt: skip


@dataclass
class Answer:
    paragraph: str


class Told:
    """Actions that are only written down."""

    def __init__(self) -> None:
        self.done: list[tuple[Any, ...]] = []

    def __getattr__(self, name: str) -> Any:
        async def act(*given: Any) -> Any:
            self.done.append((name, *given))
            if name == "cancel":
                raise RejectedError("docs is over", hint="the next run starts it again")
            return Answer("because of [this]") if name == "why" else Outcome("it was done")

        return act


class Still:
    """A feed whose view the test sets."""

    def __init__(self) -> None:
        self.view, self.actions = VIEW, Told()

    async def __aenter__(self) -> Still:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass


def piloted(scenario: Any, size: tuple[int, int] = (130, 40)) -> Still:
    """Run a scenario on the application."""
    application = pytest.importorskip("tenire.cli.top.application", exc_type=ImportError)
    feed = Still()

    async def main() -> None:
        top = application.Top(feed)
        async with top.run_test(size=size) as pilot:
            await pilot.pause()
            await scenario(pilot, top)

    asyncio.run(main())
    return feed


def test_a_row_tells_progress_rate_and_what_is_left() -> None:
    told = dict(zip((heading for heading, _ in COLUMNS), (cell.plain for cell in row("docs", VIEW)), strict=True))
    assert told == {
        "pipeline": "docs", "state": "running", "": "━━━────  50 %", "done": "30/60", "per s": "2.5",
        "left": "0:12", "queue": "7", "failed": "2", "cost": "$0.50", "priority": "normal", "weight": "1",
    }  # fmt: skip
    assert [cell.plain for cell in row("notes", VIEW)][1:2] == ["paused"]


def test_the_head_tells_of_the_machine_or_why_there_is_none() -> None:
    text = headline(VIEW).plain
    assert "  load high " in text
    assert "cpu 1 of 2" in text
    assert "memory 42.0 MB" in text
    assert "spent $0.50" in text
    parts = {"channel": PublishedComponent("healthy", 0), "history": PublishedComponent("down", 2, "disk full")}
    ill = headline(replace(VIEW, engine=replace(ENGINE, components=parts))).plain
    assert "history is down" in ill
    assert "channel" not in ill
    gone = replace(VIEW, link="gone", note="no engine is running on /home/me/.tenire", documents=1_200)
    assert headline(gone).plain.startswith("no engine is running on /home/me/.tenire\n")
    assert "1,200 documents" in headline(gone).plain
    assert "docs: embed" not in detail("docs", VIEW, width=80).plain
    assert "t5       ready    embed: it waits for the embedder" in detail("docs", VIEW, width=80).plain
    assert detail("docs", VIEW, width=30).plain.splitlines()[-1] == "t5       ready    embed: it w…"
    killed = replace(VIEW, pipelines={"docs": replace(DOCS, totals={"state": "interrupted"}, finished=0, expected=0)})
    assert row("docs", killed)[3].plain == "", "whoever is killed tells no totals"
    unknown = replace(VIEW, link="gone", pipelines={"docs": PublishedPipeline({"state": "done"}, 0, 0, [])})
    assert row("docs", unknown)[-1].plain == ""
    assert detail("docs", unknown, width=80).plain == "docs  ", "the ledger does not know its share"


def test_what_happened_has_a_scroll_bar_only_when_there_is_more_than_fits() -> None:
    async def scenario(pilot: Any, top: Any) -> None:
        log = top.query_one("#events")
        assert not log.show_vertical_scrollbar
        for number in range(20):
            log.write(f"line {number}")
        await pilot.pause()
        assert log.show_vertical_scrollbar

    piloted(scenario)


def test_of_what_happened_nothing_is_remembered_that_no_view_holds_any_more() -> None:
    async def scenario(pilot: Any, top: Any) -> None:
        for number in range(6, 60):
            events = tuple(Happened(each, float(each), "load", "", "load high") for each in range(number, number + 5))
            top._feed.view = replace(VIEW, number=number, events=events)
            top.look()
        await pilot.pause()
        assert len(top.query_one("#events").lines) == 59, "each is told once"
        assert len(top._told) == 5

    piloted(scenario)


def test_names_do_not_drive_the_terminal() -> None:
    evil = replace(VIEW, pipelines={"a\x1b[2Jb": DOCS})
    assert row("a\x1b[2Jb", evil)[0].plain == "a\\x1b[2Jb"


def test_keys_do_what_the_footer_says() -> None:
    async def scenario(pilot: Any, top: Any) -> None:
        await pilot.press("p", "plus", "minus", "minus")
        await pilot.press("down", "p", "up")
        await pilot.press("w")
        await pilot.press("backspace", "3", "enter")
        await pilot.press("r", "enter")
        await pilot.press("y", "enter")
        await pilot.pause()
        await top.workers.wait_for_complete()
        await pilot.pause()
        assert len(top.screen_stack) == 2, "the answer stands over the table"
        await pilot.press("escape")
        await pilot.press("c", "n", "o", "enter")
        await pilot.press("c", "y", "e", "s", "enter")
        await pilot.press("c", "a", "l", "l", "enter")
        await pilot.pause()
        await top.workers.wait_for_complete()

    assert piloted(scenario).actions.done == [
        ("pause", "docs"), ("priority", "docs", "high"), ("priority", "docs", "low"), ("priority", "docs", "low"),
        ("resume", "notes"), ("weight", "docs", 3.0), ("retry", None), ("why", "t5"), ("cancel", "docs"),
        ("end", ["docs", "notes"]),
    ]  # fmt: skip


def test_a_small_terminal_shows_quotas_and_keys_and_the_whole_of_the_chosen_pipeline() -> None:
    quota = PublishedQuota({"requests": PublishedMetric(398, 400)}, 3, 64, 12, 1)
    many = {f"summaries-of-the-long-list-{number}": DOCS for number in range(20)}

    async def scenario(pilot: Any, top: Any) -> None:
        engine = replace(ENGINE, quotas={"main": quota})
        top._feed.view = replace(VIEW, number=6, engine=engine, pipelines=many)
        top.look()
        await pilot.pause()
        shown = [
            "".join(segment.text for segment in strip)
            for strip in top.screen._compositor.render_strips()
        ]  # fmt: skip
        text = " ".join(" ".join(shown).split())
        assert "requests 398/400" in text
        assert "summaries…ist-0" in text
        assert "summaries-of-the-long-list-0 priority normal, weight 1, 2 in quarantine, $0.50" in text
        assert "embed" in text
        for key in ("p Pause", "c Cancel", "+ - Priority", "w Weight", "y Why", "f Failed", "r Retry", "/ Search"):
            assert key in shown[-1]
        assert "q Quit" in shown[-1]

    piloted(scenario, (80, 24))


def test_what_changes_is_shown_and_what_was_chosen_stays(tmp_path: Path) -> None:
    async def scenario(pilot: Any, top: Any) -> None:
        await pilot.press("down")
        done = replace(DOCS, totals={"state": "done"}, finished=60, reached=60)
        top._feed.view = replace(VIEW, number=6, pipelines={"docs": done, "notes": NOTES})
        top.look()
        await pilot.pause()
        table = top.query_one("#pipelines")
        assert table.get_cell("docs", "state").plain == "done"
        assert table.cursor_coordinate.row == 1
        top._feed.view = replace(VIEW, number=7, link="gone", note="no engine is running", pipelines={})
        top.look()
        await pilot.pause()
        assert table.row_count == 0
        await pilot.press("p", "c", "w", "plus")  # nothing to do it to
        assert len(top.screen_stack) == 1

    assert piloted(scenario).actions.done == []


def lines(top: Any) -> list[str]:
    return ["".join(segment.text for segment in strip) for strip in top.screen._compositor.render_strips()]


def columns_together(top: Any) -> int:
    table = top.query_one("#pipelines")
    return sum(column.get_render_width(table) for column in table.columns.values())


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"finished": 11_712, "expected": 20_000}, "11,712/20,000"),
        ({"finished": 1_234_567, "expected": 12_000_000}, "1,234,567/12,000,000"),
        ({"queued": 1_234_567}, "1,234,567"), ({"weight": 0.333333}, "0.333333"),
        ({"totals": {"state": "running", "quarantined": 123_456}}, "123,456"),
        ({"totals": {"state": "running", "cost_usd": 12_345.678}}, "$12,345.68"),
        ({"totals": {"state": "running", "cost_usd": 0.000031}}, "$0.000031"),
    ],
)  # fmt: skip
def test_a_long_number_is_shown_whole(more: dict[str, Any], told: str) -> None:
    async def scenario(pilot: Any, top: Any) -> None:
        assert columns_together(top) == 120
        top._feed.view = replace(VIEW, number=6, pipelines={"docs": replace(DOCS, **more), "notes": NOTES})
        top.look()
        await pilot.pause()
        (line,) = (line for line in lines(top) if "━" in line and "running" in line)
        assert told in line.split()
        assert "normal" in line
        assert top.query_one("#pipelines").virtual_size.width == columns_together(top) > 120

    piloted(scenario, (160, 40))


def test_long_rates_and_times_are_shown_whole() -> None:
    async def scenario(pilot: Any, top: Any) -> None:
        top._feed.view = replace(VIEW, number=6, rates={"docs": Rate(10.0, 12_345.6, 360_000.0)})
        top.look()
        await pilot.pause()
        (line,) = (line for line in lines(top) if "━" in line and "running" in line)
        assert {"12,345.6", "100:00:00"} <= set(line.split())

    piloted(scenario, (160, 40))


def test_a_number_that_fits_nowhere_ends_in_an_ellipsis() -> None:
    async def scenario(pilot: Any, top: Any) -> None:
        docs = replace(DOCS, queued=10**30)
        top._feed.view = replace(VIEW, number=6, pipelines={"docs": docs, "notes": NOTES})
        top.look()
        await pilot.pause()
        (line,) = (line for line in lines(top) if "━" in line and "running" in line)
        assert f"{10**30:,}"[:23] + "…" in line.split()

    piloted(scenario, (160, 40))


def test_of_a_number_at_the_edge_of_a_narrow_terminal_no_part_is_shown() -> None:
    async def scenario(pilot: Any, top: Any) -> None:
        assert not any("queue" in line or "  q" in line for line in lines(top)[:4])
        shown = []
        for number, finished in ((6, 30), (7, 100_000), (20, 100_000), (8, 1_234_567)):
            docs = replace(DOCS, finished=finished, expected=2 * finished, queued=12_345)
            many = {f"docs-{name}": docs for name in range(number)}  # twenty have a scroll bar
            rates = dict.fromkeys(many, Rate(10.0, 2.5, 36_000.0))
            top._feed.view = replace(VIEW, number=number, pipelines=many, rates=rates)
            top.look()
            await pilot.pause()
            shown.append(next(line.split()[5:] for line in lines(top) if "docs-0" in line and "━" in line))
        assert shown == [
            ["30/60", "2.5", "10:00:00"], ["100,000/200,000", "2.5", "10:00:00"], ["100,000/200,000", "2.5"],
            ["1,234,567/2,469,134", "2.5"],
        ]  # fmt: skip
        await pilot.resize_terminal(160, 24)
        await pilot.pause()
        (line,) = (line for line in lines(top) if "docs-0" in line and "━" in line)
        assert {"10:00:00", "12,345"} <= set(line.split())

    piloted(scenario, (80, 24))


def test_only_the_column_that_the_edge_would_cut_gives_way() -> None:
    needed = [width for _, width in COLUMNS]
    begin = 1
    cut = set()
    for at, (heading, width) in enumerate(COLUMNS):
        for room in range(begin + 1, begin + width):
            widths = fitted(needed, room)
            if heading in NUMBERS:
                cut.add(heading)
                assert widths[at] - width == room - begin
                widths[at] = width
            assert widths == needed
        assert fitted(needed, begin) == fitted(needed, begin + width) == needed
        begin += width + 2
    assert cut == set(NUMBERS)


def test_without_a_terminal_it_says_what_to_use_instead(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tenire", "top", "--home", str(tmp_path)],
        capture_output=True, text=True, check=False, timeout=120, env={**os.environ, "FORCE_COLOR": "1"},
    )  # fmt: skip
    assert done.returncode == 2
    assert "needs a terminal" in done.stderr
    assert "tenire status" in done.stderr
    assert done.stdout == ""
