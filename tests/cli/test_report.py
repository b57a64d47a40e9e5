"""The page about a run, and what it is made from."""

from __future__ import annotations

import os
import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenire.cli.report.history import MOST, RunHistory
from tenire.cli.report.page import page, write_page
from tenire.cli.report.plots import Line, bars, line_plot, ticks
from tenire.cli.tables import run_notes
from tenire.pipeline.progress import PipelineProgress, RunReport, StageProgress

if TYPE_CHECKING:
    from pathlib import Path

_VOID = ("meta", "line")


class Balanced(HTMLParser):
    """Sees whether every element that is opened is closed, and collects what could load something."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loads: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "link", "img", "iframe"):
            self.loads.append(tag)
        self.loads += [name for name, _ in attrs if name in ("src", "href", "onload")]
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def checked(html: str) -> str:
    parser = Balanced()
    parser.feed(html)
    assert parser.open == []
    assert parser.loads == []
    return html


def progress(name: str = "docs", **counters: object) -> PipelineProgress:
    made = PipelineProgress(name, state="done", seen=10, done=8, chunks=80, seconds=10.0)
    made.stages = [
        StageProgress("prepare", done=10, busy_s=4.0, workers=2, unit="file"),
        StageProgress("embed", done=80, busy_s=9.0),
        StageProgress("store", done=80, busy_s=0.5),
    ]
    for key, value in counters.items():
        setattr(made, key, value)
    return made


def watched(made: PipelineProgress) -> RunHistory:
    history = RunHistory()
    for step in range(20):
        made.stages[1].done = step * 4
        history.sample({made.name: made}, step * 0.5, memory=100 << 20)
    return history


def test_the_page_says_what_limited_the_run_and_why_files_were_refused() -> None:
    made = progress(rejected={"min_text": 2}, filtered={"symbol_ratio": 3}, duplicates=4, duplicate_bytes=2_000_000)
    html = checked(page(RunReport({"docs": made}, 10.5, 512.0), watched(made).moments))
    assert "slowest stage was <b>embed</b>: it was busy for 90 % of the run" in html
    for said in ("min_text", "symbol_ratio", "exact copies, stored once", "2.00 MB", "512 MiB"):
        assert said in html
    assert html.count("<svg") == 3


def test_names_and_errors_of_a_run_cannot_become_part_of_the_page() -> None:
    evil = "<script>alert(1)</script>\x1b[31m\udcff"
    made = progress(evil, error=evil, state="failed", rejected={evil: 1})
    made.stages[1].name = evil
    html = checked(page(RunReport({evil: made}, 1.0, 1.0), watched(made).moments))
    assert "<script" not in html
    assert "\x1b" not in html
    html.encode()


def test_a_run_that_did_nothing_has_a_page_too() -> None:
    checked(page(RunReport({}, 0.0, 0.0), []))
    checked(page(RunReport({"docs": PipelineProgress("docs")}, 0.0, 0.0), []))


def test_the_page_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    write_page(tmp_path / "report.html", RunReport({"docs": progress()}, 1.0, 1.0), [])
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]
    with pytest.raises(OSError, match="missing"):
        write_page(tmp_path / "missing" / "report.html", RunReport({}, 0.0, 0.0), [])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no such pipes here")
def test_a_pipe_takes_the_page_and_stays_and_so_does_a_link(tmp_path: Path) -> None:
    report = RunReport({"docs": progress()}, 1.0, 1.0)
    pipe, link = tmp_path / "pipe", tmp_path / "link.html"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_page(pipe, report, [])
        assert os.read(reader, 1 << 16).startswith(b"<!doctype html>")
    finally:
        os.close(reader)
    assert pipe.is_fifo()
    link.symlink_to(tmp_path / "real.html")
    write_page(link, report, [])
    assert link.is_symlink()
    assert (tmp_path / "real.html").is_file()


def test_a_long_run_keeps_few_moments_and_always_the_last() -> None:
    history, made = RunHistory(every=0.25), progress()
    for step in range(20_000):
        made.done = step
        history.sample({"docs": made}, step * 0.25)
    history.sample({"docs": made}, 5000.1, last=True)
    times = [moment.at for moment in history.moments]
    assert MOST / 4 <= len(times) <= MOST + 1
    assert times == sorted(times)
    assert (times[0], times[-1]) == (0.0, 5000.1)
    assert history.moments[-1].finished == {"docs": 19_999}


@given(st.floats(0, 1e12, allow_nan=False))
def test_an_axis_has_few_round_numbers_and_holds_every_value(most: float) -> None:
    found = ticks(most)
    assert found[0] == 0
    assert found[-1] >= most * (1 - 1e-6)
    assert 2 <= len(found) <= 9


def test_lines_stay_within_their_plot() -> None:
    svg = line_plot([Line("a", [(0, 0), (5, 1e6), (10, 3)]), Line("none", [])], label="x", unit="y", filled=True)
    checked(svg)
    points = [
        tuple(map(float, pair.split(","))) for pair in re.findall(r'polyline[^>]*points="([^"]*)"', svg)[0].split()
    ]
    assert all(0 <= x <= 640 and 0 <= y <= 220 for x, y in points)


def test_the_longest_bar_fills_its_line() -> None:
    html = checked(bars([("a", 2.0, "two"), ("b", 1.0, "one")], label="x", marked="a"))
    assert re.findall(r"width:([0-9.]+)%", html) == ["100.0", "50.0"]
    assert html.count("marked") == 1


def test_the_terminal_says_the_same_in_a_line_a_pipeline() -> None:
    made = progress(rejected={"min_text": 2, "read": 5}, duplicates=1, duplicate_bytes=1000)
    (note,) = run_notes(RunReport({"docs": made}, 1.0, 1.0))
    assert note.startswith("docs: slowest stage embed (90% of the time busy); refused 5 by read, 2 by min_text; 1 cop")
    assert run_notes(RunReport({"docs": PipelineProgress("docs")}, 1.0, 1.0)) == []
