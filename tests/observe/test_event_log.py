from __future__ import annotations

import json
import logging
import math
import os
import threading
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenire.observe.event_log import MOST_PENDING, EventLog
from tenire.observe.redaction import REDACTED, Redaction
from tenire.testing import ManualClock

if TYPE_CHECKING:
    from pathlib import Path


def log(folder: Path, **options: Any) -> EventLog:
    return EventLog(folder / "logs", clock=ManualClock(), redaction=Redaction({}), **options)


def lines(folder: Path) -> list[dict[str, Any]]:
    """Return all lines, the oldest first."""
    files = sorted((folder / "logs").iterdir(), key=lambda file: file.name.count(".") * -100 - _number(file.name))
    return [json.loads(line) for file in files for line in file.read_text(encoding="utf-8").splitlines()]


def _number(name: str) -> int:
    middle = name.split(".")[1]
    return int(middle) if middle.isdigit() else 0


def test_a_line_holds_the_time_the_event_and_its_facts(tmp_path: Path) -> None:
    events = log(tmp_path)
    events.note("level changed", level="high", load=0.5, reason="mémoire")
    assert not (tmp_path / "logs").exists(), "nothing is written before a flush"
    events.flush()
    (line,) = lines(tmp_path)
    assert line.pop("at").endswith("+00:00")
    assert line == {"event": "level changed", "level": "high", "load": 0.5, "reason": "mémoire"}
    assert events.written == 1


def test_a_name_that_is_no_text_costs_no_line(tmp_path: Path) -> None:
    events = log(tmp_path)
    names = ["before", "p\udcff", "\\\udcff", "\ud83d", "after"]
    for name in names:
        events.note("pipeline counted", pipeline=name)
    events.flush()
    assert [line["pipeline"] for line in lines(tmp_path)] == names
    assert (events.written, events.dropped) == (len(names), 0)


def test_a_number_that_is_none_is_null(tmp_path: Path) -> None:
    events = log(tmp_path)
    events.note("e", load=math.nan, wait=math.inf, least=-math.inf, seconds=1e300, count=2)
    events.flush()
    (line,) = lines(tmp_path)
    del line["at"]
    assert line == {"event": "e", "load": None, "wait": None, "least": None, "seconds": 1e300, "count": 2}


def test_no_key_comes_into_a_line(tmp_path: Path) -> None:
    events = EventLog(tmp_path / "logs", clock=ManualClock(), redaction=Redaction({"MAIN_KEY": "hunter2222"}))
    events.note("task failed", task="call with hunter2222")
    events.flush()
    assert lines(tmp_path)[0]["task"] == f"call with {REDACTED}"


@settings(max_examples=30)
@given(sizes=st.lists(st.integers(0, 150), max_size=60), files=st.integers(1, 4), every=st.integers(1, 7))
def test_files_rotate_and_never_hold_more_than_they_may(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], files: int, every: int
) -> None:
    folder = tmp_path_factory.mktemp("log")
    events = log(folder, file_bytes=400, files=files)
    for number, size in enumerate(sizes):
        events.note("e", n=number, text="x " * (size // 2))
        if number % every == 0:
            events.flush()
    events.flush()
    if not sizes:
        return
    kept = list((folder / "logs").iterdir())
    assert len(kept) <= files
    assert all(file.stat().st_size <= 400 for file in kept)
    numbers = [line["n"] for line in lines(folder)]
    assert numbers == list(range(len(sizes)))[-len(numbers) :], "the newest are kept, in order"


def test_a_line_longer_than_a_file_goes_alone(tmp_path: Path) -> None:
    events = log(tmp_path, file_bytes=100, files=3)
    for text in ("a", "b " * 80, "c"):
        events.note("e", text=text)
    events.flush()
    assert [line["text"][0] for line in lines(tmp_path)] == ["a", "b", "c"]


def test_half_a_line_of_a_killed_engine_does_not_spoil_the_next(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    file = tmp_path / "logs" / "events.jsonl"
    file.write_bytes(b'{"at": "2026", "event": "wh')
    events = log(tmp_path)
    events.note("engine started")
    events.flush()
    assert json.loads(file.read_text(encoding="utf-8").splitlines()[1])["event"] == "engine started"


def test_what_the_disk_cannot_keep_up_with_is_counted(tmp_path: Path) -> None:
    events = log(tmp_path)
    assert events.note("e", n=0)
    assert not any(events.note("e", n=number) for number in range(1, MOST_PENDING + 10)), "one flush is enough"
    events.flush()
    assert events.dropped == 10
    last = lines(tmp_path)[-1]
    assert (last["event"], last["count"]) == ("lines dropped", 10)
    assert events.note("e"), "the next one needs a flush again"


def test_a_disk_that_cannot_be_written_is_told_once_and_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = log(tmp_path)

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with caplog.at_level(logging.WARNING, "tenire.events"), monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        for _ in range(3):
            events.note("e")
            events.flush()
    assert [record.message.rpartition(": ")[2] for record in caplog.records] == ["No space left on device"]
    events.note("room again")
    events.flush()
    told = [(line["event"], line.get("count")) for line in lines(tmp_path)]
    assert told == [("room again", None), ("lines dropped", 3)]


def test_lines_that_are_lost_by_any_other_error_are_counted_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = log(tmp_path)

    def breaks(*_: object) -> int:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", breaks)
        events.note("e")
        with pytest.raises(MemoryError):
            events.flush()
    events.note("again")
    events.flush()
    assert [(line["event"], line.get("count")) for line in lines(tmp_path)] == [("again", None), ("lines dropped", 1)]


def test_lines_of_several_threads_stay_whole(tmp_path: Path) -> None:
    events = log(tmp_path, file_bytes=5_000, files=100)

    def note(name: str) -> None:
        for number in range(200):
            if events.note("e", name=name, n=number):
                events.flush()

    threads = [threading.Thread(target=note, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    events.flush()
    found = lines(tmp_path)
    assert len(found) == 800
    for name in "abcd":
        assert [line["n"] for line in found if line["name"] == name] == list(range(200))


@pytest.mark.skipif(os.name == "nt", reason="Windows has no modes")
def test_only_the_owner_can_read_it(tmp_path: Path) -> None:
    events = log(tmp_path)
    events.note("e")
    events.flush()
    assert events.path.stat().st_mode & 0o077 == 0
    assert events.path.parent.stat().st_mode & 0o077 == 0
