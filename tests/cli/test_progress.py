from __future__ import annotations

import io
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from tenire.cli.frames import Look, fraction, frame, plain_line
from tenire.cli.output import shortened
from tenire.cli.progress import ProgressDisplay, save_svg
from tenire.core.speed import Speed, TimeLeft
from tenire.pipeline.progress import PipelineProgress, StageProgress
from tenire.testing import ManualClock

if TYPE_CHECKING:
    from pathlib import Path


def running(name: str = "manual", **counters: object) -> PipelineProgress:
    facts: dict[str, object] = {
        "state": "running", "seen": 1200, "done": 500, "unchanged": 3, "quarantined": 1, "chunks": 3912,
        "bytes_seen": 10_000_000, "bytes_done": 4_200_000, "listed": True,
    }  # fmt: skip
    return PipelineProgress(name, **(facts | counters))  # type: ignore[arg-type]


def draw(*pipelines: PipelineProgress, width: int = 80, look: Look | None = None) -> list[str]:
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None, legacy_windows=False)
    speeds = {pipeline.name: 812_000.0 for pipeline in pipelines}
    look = look or Look(speeds, {pipeline.name: 41.0 for pipeline in pipelines}, 12.0)
    console.print(frame({pipeline.name: pipeline for pipeline in pipelines}, look))
    file = console.file
    assert isinstance(file, io.StringIO)
    return [line.rstrip() for line in file.getvalue().splitlines()]


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def test_one_line_a_pipeline_fits_80_columns() -> None:
    lines = draw(running(), running("notes", state="waiting", quarantined=0))
    assert "manual" in lines[1]
    for word in ("42%", "504/1,200", "3,912", "0.8", "0:41"):
        assert word in lines[1]
    assert "notes" in lines[2]
    assert all(len(line) <= 80 for line in lines)


def test_a_long_name_leaves_room_for_the_bar() -> None:
    lines = draw(running("n" * 60))
    assert "━" * 8 in lines[1]
    assert "504/1,200" in lines[1]


def test_while_the_source_is_listed_no_share_and_no_end_are_promised() -> None:
    progress = running(listed=False)
    assert fraction(progress) is None
    line = draw(progress)[1]
    assert "504/1,200+" in line
    assert "%" not in line
    assert "0:41" not in line


@pytest.mark.parametrize(
    ("counters", "share"),
    [
        ({}, 0.42),
        ({"bytes_done": 99_000_000}, 1.0),
        ({"bytes_seen": 0, "bytes_done": 0, "seen": 4, "done": 1, "unchanged": 0, "quarantined": 1}, 0.5),
        ({"bytes_seen": 0, "bytes_done": 0, "seen": 0}, 1.0),
        ({"state": "done", "listed": False}, 1.0),
        ({"state": "waiting", "listed": False}, None),
    ],
)
def test_the_share_is_by_bytes_and_never_above_one(counters: dict[str, object], share: float | None) -> None:
    assert fraction(running(**counters)) == share


def rows(name: str = "summaries", **counters: object) -> PipelineProgress:
    facts: dict[str, object] = {
        "state": "running", "unit": "row", "seen": 2_000, "done": 900, "unchanged": 100, "calls": 950, "listed": True,
    }  # fmt: skip
    return PipelineProgress(name, **(facts | counters))  # type: ignore[arg-type]


def test_rows_are_counted_as_rows_and_told_apart_from_passages() -> None:
    look = Look({"summaries": 12.34, "manual": 812_000.0}, {"summaries": 81.0}, 12.0)
    lines = draw(rows(), running(), look=look)
    for word in ("50%", "1,000/2,000", "950 calls", "12.3/s", "1:21"):
        assert word in lines[1]
    assert "3,912 passages" in lines[2]
    assert "0.8 MB/s" in lines[2]
    assert all(len(line) <= 80 for line in lines)
    line = plain_line({"summaries": rows(calls=1)}, look)
    assert "summaries running, 1,000/2,000 rows, 1 call, 12.3/s, 1:21 left" in line


@pytest.mark.parametrize(("retries", "told"), [((0, 0), None), ((1, 0), "1 retry"), ((1_000, 234), "1,234 retries")])
def test_how_many_calls_were_made_again_is_told(retries: tuple[int, int], told: str | None) -> None:
    runs = {name: rows(name, retries=count) for name, count in zip("ab", retries, strict=True)}
    last = draw(*runs.values(), look=Look({}, {}, 12.0))[-1]
    if told is None:
        assert "retr" not in last + plain_line(runs, Look({}, {}, 12.0))
    else:
        assert last.startswith(f"0:12 elapsed, {told}, Ctrl-C")
        assert f"950 calls, {'1 retry' if retries[0] == 1 else '1,000 retries'}" in plain_line(runs, Look({}, {}, 12.0))


def test_the_share_of_rows_is_by_their_number() -> None:
    assert fraction(rows(bytes_seen=10)) == 0.5
    assert fraction(rows(seen=0, done=0, unchanged=0)) == 1.0
    assert fraction(rows(listed=False)) is None


def test_failures_and_the_quarantine_are_told_below_the_bars() -> None:
    text = "\n".join(draw(running(state="failed", error="disk \x1b[1m full"), running("b", quarantined=4)))
    assert "✖ manual: disk \\x1b[1m full" in text
    assert "5 items are in quarantine" in text


def test_a_terminal_without_unicode_gets_ascii_marks() -> None:
    text = "\n".join(draw(running(), running("b", state="done"), look=Look({}, {}, 1.0, 1, unicode=False)))
    assert not set(text) & set("⠋⠙⠹⠸✔✖⚠○")


def test_the_plain_line_tells_the_same() -> None:
    line = plain_line({"manual": running()}, Look({"manual": 812_000.0}, {"manual": 41.0}, 12.0))
    assert line == ("0:12: manual running, 504/1,200 files, 3,912 passages, 1 in quarantine, 0.8 MB/s, 0:41 left")


def test_slow_progress_is_not_shown_as_none() -> None:
    assert "38 kB/s" in plain_line({"manual": running()}, Look({"manual": 38_000.0}, {"manual": 41.0}, 12.0))
    assert "38 kB/s" in draw(running(), rows(), look=Look({"manual": 38_000.0}, {}, 1.0))[1]
    assert " 0.038 " in f"{draw(running(), look=Look({'manual': 38_000.0}, {}, 1.0))[1]} "


def test_a_paused_pipeline_is_not_shown_as_one_that_runs() -> None:
    look = Look({"manual": 812_000.0}, {"manual": 41.0}, 12.0)
    assert plain_line({"manual": running(paused=True)}, look) == (
        "0:12: manual paused, 504/1,200 files, 3,912 passages, 1 in quarantine"
    )
    line = draw(running(paused=True))[1]
    assert line.startswith("‖")
    assert line.endswith("paused")
    assert plain_line({"manual": running(paused=True, state="done")}, look).startswith("0:12: manual done")


def test_a_pipe_gets_a_line_every_ten_seconds_and_one_at_the_end() -> None:
    stream, clock = io.StringIO(), ManualClock()
    display = ProgressDisplay(stream, clock=clock)
    display.start({"manual": running()})
    for _ in range(45):
        clock.advance(0.5)
        display.tick()
    assert stream.getvalue().count("\n") == 2
    display.close()
    display.close()
    assert stream.getvalue().count("\n") == 3
    assert "\x1b" not in stream.getvalue()


def test_a_terminal_gets_a_picture_that_stays_with_the_last_state(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    stream, progress = Terminal(), running()
    display = ProgressDisplay(stream, clock=ManualClock())
    display.start({"manual": progress})
    progress.state, progress.done, progress.seconds = "done", 1196, 95.0
    display.close()
    text = stream.getvalue()
    assert "1,200" in text
    assert "1:35" in text
    assert text.rstrip().endswith("\x1b[?25h"), "the cursor is back"


def test_a_terminal_that_went_away_does_not_end_the_run() -> None:
    stream = io.StringIO()
    display = ProgressDisplay(stream, clock=ManualClock())
    display.start({"manual": running()})
    stream.close()
    display.close()


def test_quiet_starts_no_thread_and_writes_nothing() -> None:
    stream = Terminal()
    display = ProgressDisplay(stream, quiet=True)
    display.start({"manual": running()})
    assert display._thread is None
    display.close()
    assert stream.getvalue() == ""


def test_the_picture_is_taken_in_the_middle_of_the_run(tmp_path: Path) -> None:
    path, progress = tmp_path / "p.svg", running(bytes_done=1_000_000)
    display = ProgressDisplay(io.StringIO(), record=path, clock=ManualClock())
    display.start({"manual": progress})
    display.tick()
    assert not path.exists()
    progress.bytes_done = 7_000_000
    display.tick()
    assert "70%" in path.read_text(encoding="utf-8")
    progress.bytes_done = 9_000_000
    display.close()
    assert "70%" in path.read_text(encoding="utf-8")


def test_the_picture_shows_the_frame_and_loads_nothing(tmp_path: Path) -> None:
    save_svg(tmp_path / "p.svg", {"manual": running()}, Look({"manual": 1e6}, {"manual": 60.0}, 30.0))
    text = (tmp_path / "p.svg").read_text(encoding="utf-8")
    assert "manual" in text
    assert "font-face" not in text


def test_the_speed_forgets_what_passed_at_once() -> None:
    speed = Speed()
    assert speed.update(0, now=0.0) == 0.0
    assert speed.update(100_000_000, now=1.0) == 100_000_000
    for second in range(2, 30):
        last = speed.update(100_000_000 + second * 1000, now=float(second))
    assert last == pytest.approx(1000)


def test_the_time_left_is_unknown_while_nothing_moves() -> None:
    assert Speed.remaining(100, 0.0) is None
    assert Speed.remaining(100, 50.0) == 2.0
    assert Speed.remaining(0, 0.0) == 0.0


def test_the_time_left_counts_down_while_the_speed_goes_up_and_down() -> None:
    time_left = TimeLeft()
    shown = [time_left.update(100.0, now=0.0)]
    for quarter in range(1, 160):
        at = quarter / 4
        promised = (100.0 - at) * (2.0 if quarter % 8 < 4 else 0.5)
        shown.append(time_left.update(promised, now=at))
    steps = [after - before for before, after in pairwise(shown) if before and after]
    assert len(steps) == 159
    assert max(steps) < 3.0  # the promises jump by a hundred
    assert 40.0 < shown[-1] < 110.0  # type: ignore[operator]


def test_the_time_left_follows_a_speed_that_stays() -> None:
    time_left = TimeLeft()
    time_left.update(1000.0, now=0.0)
    for second in range(1, 61):
        shown = time_left.update(200.0 - second, now=float(second))
    assert shown == pytest.approx(140.0, rel=0.05)


@pytest.mark.parametrize("promised", [None, 0.0])
def test_no_time_is_made_up_when_nothing_moves_or_nothing_is_left(promised: float | None) -> None:
    time_left = TimeLeft()
    time_left.update(100.0, now=0.0)
    assert time_left.update(promised, now=1.0) == promised
    assert time_left.update(50.0, now=2.0) is not None


def test_a_clock_that_stands_still_gives_no_speed() -> None:
    speed = Speed()
    speed.update(0, now=1.0)
    assert speed.update(1000, now=1.0) == 0.0


def test_a_running_pipeline_has_a_line_for_each_stage_and_says_which_one_limits_it() -> None:
    run = PipelineProgress("docs", state="running", seen=10, bytes_seen=100, seconds=5.0)
    run.stages = [
        StageProgress("prepare", done=20, busy_s=1.0, unit="file"),
        StageProgress("embed", done=300, waiting=1200, busy_s=4.0),
    ]
    look = Look({}, {}, 5.0, rates={("docs", "prepare"): 4.0, ("docs", "embed"): 60.0})
    console = Console(file=io.StringIO(), width=110, force_terminal=False)
    console.print(frame({"docs": run}, look))
    shown = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    (prepare,) = (line for line in shown if " prepare" in line)
    (embed,) = (line for line in shown if " embed" in line)
    assert "4.0 files/s" in prepare
    assert "limits" not in prepare
    assert "limits the run: 60 passages/s, 1,200 waiting" in embed
    assert any("limits the run: 60 p" in line for line in draw(run, look=look)), "in 80 columns, too"
    run.state = "done"
    console = Console(file=io.StringIO(), width=110, force_terminal=False)
    console.print(frame({"docs": run}, look))
    assert "embed" not in console.file.getvalue()  # type: ignore[attr-defined]


def test_what_has_to_be_done_before_anything_counts_is_said() -> None:
    run = PipelineProgress("docs", state="running", seen=10, bytes_seen=100)
    run.stages = [StageProgress("prepare", unit="file"), StageProgress("embed", doing="loading the model")]
    console = Console(file=io.StringIO(), width=110, force_terminal=False)
    console.print(frame({"docs": run}, Look({}, {}, 5.0)))
    assert "loading the model" in console.file.getvalue()  # type: ignore[attr-defined]
    assert "loading the model" in plain_line({"docs": run}, Look({}, {}, 5.0))
    run.stages[1].doing, run.stages[1].done = "", 40
    assert plain_line({"docs": run}, Look({}, {}, 5.0)).endswith("40 passages, files count once they are stored")
    run.chunks = 1
    assert plain_line({"docs": run}, Look({}, {}, 5.0)).endswith("40 passages")


def test_a_picture_is_never_higher_than_the_terminal_and_keeps_what_needs_attention() -> None:
    many = [running(f"p{number}", state="done", quarantined=0) for number in range(30)]
    many += [running("slow", quarantined=0), running("sick", state="failed", error="disk full", quarantined=0)]
    look = Look({}, {"slow": 41.0}, 12.0, height=12)
    lines = draw(*many, look=look)
    assert len(lines) <= 11, "one line is the cursor's"
    names = [line.split()[1] for line in lines[1:7]]
    assert names[:2] == ["sick", "slow"], "what failed and what runs comes first"
    assert names[2:5] == ["p0", "p1", "p2"]
    assert "and 26 more: 26 done" in lines[7]
    assert "disk full" in lines[8]
    assert "32 pipelines: 1 failed, 1 running, 30 done; 16,096/38,400 files; 0:41 left" in lines[9]
    assert "Ctrl-C" in lines[10]
    ended = draw(*many, look=Look({}, {}, 12.0, ended=True, height=12))
    assert sum("100%" in line for line in ended) == 30, "the table that stays is whole"


def test_the_line_on_all_pipelines_tells_how_fast_they_are_together_where_that_has_a_sum() -> None:
    one, two, over = running("one"), running("two"), running("over", state="done")
    look = Look({"one": 800_000.0, "two": 400_000.0, "over": 9e9}, {"one": 41.0, "two": 12.0}, 12.0)
    line = "3 pipelines: 2 running, 1 done; 1,512/3,600 files; 1.2 MB/s; 0:41 left"
    assert line in draw(one, two, over, look=look)
    rows = running("rows", unit="row")
    assert any(
        "2 pipelines: 2 running; 1,008/2,400 items; 0:41 left" in each
        for each in draw(one, rows, look=Look({"one": 800_000.0, "rows": 4.0}, {"one": 41.0, "rows": 12.0}, 12.0))
    )


def test_stages_give_way_before_pipelines_do() -> None:
    many = [running(f"p{number}", stages=[StageProgress("embed", done=7, doing="embeds")]) for number in range(4)]
    assert sum("embeds" in line for line in draw(*many, look=Look({}, {}, 1.0, height=13))) == 4
    small = draw(*many, look=Look({}, {}, 1.0, height=12))
    assert not any("embeds" in line for line in small)
    assert [line.split()[1] for line in small[1:5]] == ["p0", "p1", "p2", "p3"]


def test_names_that_begin_alike_can_be_told_apart() -> None:
    lines = draw(running("summaries-of-the-long-list-1"), running("summaries-of-the-long-list-2"))
    assert [line.split()[1] for line in lines[1:3]] == ["summaries-…ist-1", "summaries-…ist-2"]
    assert shortened("日本語の名前とても長い", 10) == "日本語…い"
    assert shortened("short", 10) == "short"
    plain = draw(running("summaries-of-the-long-list-1"), look=Look({}, {}, 1.0, unicode=False))
    assert "summaries-~ist-1" in plain[1]


def test_the_display_keeps_to_the_height_of_its_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINES", "10")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal()
    display = ProgressDisplay(terminal, clock=ManualClock())
    display.start({f"p{number}": running(f"p{number}") for number in range(30)})
    display.tick()
    shown = terminal.getvalue()
    display.close()
    assert "more: " in shown
    assert "Ctrl-C" in shown
