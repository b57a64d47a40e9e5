from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from tenire.app.inspect import status
from tenire.app.published import engine_path
from tenire.app.why import why
from tenire.errors import ConfigError, StoreError
from tenire.storage.home import Home, HomeLock
from tenire.storage.ledger import Ledger
from tenire.storage.records import Change, RejectedSource
from tenire.testing import ManualClock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TASKS = [
    {"id": "t3", "state": "running", "name": "docs: prepare", "reason": "it runs in a process, try 1", "gate": "none"},
    {"id": "t7", "state": "ready", "name": "bytes", "reason": "it waits for 5 MiB of memory"},
]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    """A home with an engine on it that told what it does, and answers no more."""
    monkeypatch.setattr("tenire.app.why.SYSTEM_CLOCK", ManualClock(wall=9.0))
    home = Home(tmp_path / "home")
    with HomeLock(home), Ledger.open(home) as ledger:
        ledger.runs.start("docs")
        for _ in range(2):
            rejected = RejectedSource("/a.txt", 1, 1, "h", racy=False, stage="validate", error="it holds no text.")
            ledger.batches.apply(Change("docs", rejected=(rejected,)))
        docs = {"totals": {"state": "running", "seen": 9}, "running": 1, "queued": 4, "tasks": TASKS}
        later = {"totals": {"state": "waiting", "seen": 0}, "running": 0, "queued": 0, "tasks": []}
        told: dict[str, Any] = {
            "pid": os.getpid(), "at": 1.0, "level": "high", "load": 0.9, "running": 1, "queued": 4,
            "reason": "memory is short", "overload": "idle work goes last", "pipelines": {"docs": docs, "later": later},
        }  # fmt: skip
        engine_path(home).write_text(json.dumps(told))
        yield home


def test_a_task_is_explained_in_the_engines_own_words(home: Home) -> None:
    answer = why(home.path, "t3")
    said = "Task t3 (docs: prepare) of pipeline docs is running: it runs in a process, try 1."
    assert answer.paragraph == f"The engine does not answer now; 8 s ago it said: {said}"
    assert answer.as_json() == {
        "id": "t3", "pipeline": "docs", "state": "running", "reason": "it runs in a process, try 1",
        "name": "docs: prepare", "gate": "none", "answers": False,
    }  # fmt: skip
    waiting = why(home.path, "t7").as_json()
    assert waiting == {
        "id": "t7", "pipeline": "docs", "state": "ready", "reason": "it waits for 5 MiB of memory", "name": "bytes",
        "answers": False,
    }  # fmt: skip


def test_an_engine_that_answers_is_not_said_to_be_silent(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    told = {"pipeline": "docs", "task": TASKS[0]}
    monkeypatch.setattr("tenire.app.why.ask", lambda *_, **__: json.dumps(told))
    answer = why(home.path, "t3")
    assert answer.paragraph.startswith("Task t3 (docs: prepare) of pipeline docs is running")
    assert answer.as_json()["answers"] is True


def test_an_entry_of_the_quarantine_tells_what_to_do(home: Home) -> None:
    answer = why(home.path, "q1")
    assert answer.as_json() == {
        "id": "q1", "pipeline": "docs", "state": "quarantined", "reason": "validate: it holds no text",
        "source": "/a.txt", "stage": "validate", "error": "it holds no text.", "attempts": 2,
    }  # fmt: skip
    for word in ("/a.txt", "pipeline docs", "the stage validate", "2 times", "it holds no text.", "tenire retry q1"):
        assert word in answer.paragraph
    assert "left alone until the file changes" in answer.paragraph
    with Ledger.join(home) as ledger:
        ledger.quarantine.retry(["q1"])
    answer = why(home.path, "q1")
    assert answer.state == "retrying"
    assert "next run" in answer.paragraph
    assert "tenire retry" not in answer.paragraph


def test_a_page_that_cannot_be_had_is_asked_for_by_each_run(home: Home) -> None:
    rejected = RejectedSource("https://a.example/b", 0, 0, "", racy=False, stage="read", error="it answers 404")
    with Ledger.join(home) as ledger:
        ledger.batches.apply(Change("web", rejected=(rejected,)))
        newest = next(entry.id for entry in ledger.quarantine.entries() if entry.pipeline == "web")
    said = why(home.path, newest).paragraph
    assert said.endswith(f"it answers 404. Each run asks for it again; to try it again now: tenire retry {newest}")


@pytest.mark.parametrize("task", ["t4", "t", "t3 ", "T3", "q2", "q", "", "docs", "t" + "9" * 5000, "\x1b[31m"])
def test_an_unknown_id_says_where_to_find_one(home: Home, task: str) -> None:
    with pytest.raises(ConfigError, match="no task") as caught:
        why(home.path, task)
    assert "tenire status" in (caught.value.hint or "")


def test_tasks_of_an_engine_that_is_gone_or_silent_are_not_made_up(home: Home) -> None:
    engine_path(home).write_text("")
    with pytest.raises(ConfigError, match="only just begun"):
        why(home.path, "t3")


def test_a_killed_engine_has_no_tasks_and_the_quarantine_stays(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with Ledger.open(home) as ledger:
        ledger.batches.apply(
            Change("docs", rejected=(RejectedSource("/a", 1, 1, "h", racy=False, stage="s", error="e"),))
        )
    engine_path(home).write_text(json.dumps({"pid": os.getpid()}))
    with pytest.raises(ConfigError, match="no engine is running") as caught:
        why(home.path, "t3")
    assert "tenire failed" in (caught.value.hint or "")
    assert why(home.path, "q1").state == "quarantined"
    assert status(home.path)["level"] is None


def test_without_a_home_there_is_nothing_to_explain(tmp_path: Path) -> None:
    for task in ("t1", "q1"):
        with pytest.raises(StoreError, match="no home"):
            why(tmp_path / "home", task)
    assert not (tmp_path / "home").exists()


def test_status_shows_what_the_engine_tells(home: Home) -> None:
    facts = status(home.path)
    assert (facts["running"], facts["pid"], facts["level"], facts["load"]) == (True, os.getpid(), "high", 0.9)
    assert (facts["reason"], facts["overload"]) == ("memory is short", "idle work goes last")
    docs = facts["pipelines"]["docs"]
    assert (docs["state"], docs["seen"], docs["running"], docs["queued"]) == ("running", 9, 1, 4)
    assert docs["tasks"] == [
        {"id": "t3", "state": "running", "name": "docs: prepare"}, {"id": "t7", "state": "ready", "name": "bytes"},
    ]  # fmt: skip
    assert facts["pipelines"]["later"]["state"] == "waiting", "it is not in the ledger yet"
