from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tenire.app.why import Answer
from tenire.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import App, Run

    Tenire = Callable[..., Run]

ANSWER = Answer(
    "q1", "docs", "quarantined", "read: it\nis \x1b[31mbad", "/a is\nout: it is \x1b[31mbad.", {"stage": "read"}
)


def test_why_prints_one_paragraph_that_drives_no_terminal(tenire: Tenire, app: App) -> None:
    asked: list[tuple[Any, ...]] = []

    def why(home: Path, task: str) -> Answer:
        asked.append((str(home), task))
        return ANSWER

    app.put("why", why=why)
    told = tenire("why", "q1", "--home", "h")
    assert (told.code, asked) == (0, [("h", "q1")])
    assert told.out == "/a is out: it is \\x1b[31mbad.\n"
    assert tenire("why", "q1", "--json").last == {
        "id": "q1", "pipeline": "docs", "state": "quarantined", "reason": "read: it\nis \x1b[31mbad", "stage": "read",
    }  # fmt: skip


def test_why_needs_to_know_what_about(tenire: Tenire, app: App) -> None:
    def why(home: Path, task: str) -> Answer:
        message = f"there is no task {task!r}"
        raise ConfigError(message, key="TASK", hint="tenire status lists them")

    app.put("why", why=why)
    assert tenire("why").code == 2
    unknown = tenire("why", "t9")
    assert unknown.code == 2
    assert "hint: tenire status" in unknown.err
    assert tenire("why", "t9", "--json").last["error"]["type"] == "ConfigError"


@pytest.mark.parametrize(
    ("level", "reason", "overload", "shown"),
    [
        ("normal", None, None, "running\n"), (None, None, None, "running\n"),
        ("high", None, None, "running, load high\n"),
        ("high", "memory is short", None, "running, load high: memory is short\n"),
        ("normal", None, "idle work goes last", "running; overload: idle work goes last\n"),
        ("high", "memory is short", "low work goes last", "high: memory is short; overload: low work goes last\n"),
    ],
)  # fmt: skip
def test_status_shows_tasks_level_and_overload(
    tenire: Tenire, app: App, level: str | None, reason: str | None, overload: str | None, shown: str
) -> None:
    tasks = [
        {"id": "t3", "state": "running", "name": "docs: prepare"},
        {"id": "t12345", "state": "ready", "name": "\x1b[31mbytes\n"},
    ]
    docs = {"seen": 5, "done": 4, "state": "running", "seconds": 2.0, "tasks": tasks}
    facts = {"running": True, "level": level, "reason": reason, "pipelines": {"docs": docs, "later": {"tasks": []}}}
    facts["overload"] = overload
    app.put("inspect", status=lambda home: facts)
    out = tenire("status").out
    assert "an engine is running" in out
    assert shown in out
    assert out.splitlines()[-2:] == ["t3       running  docs: prepare", "t12345   ready    docs: \\x1b[31mbytes\\n"]
    assert tenire("status", "--json").last == facts


def test_status_names_what_was_halted_and_an_engine_that_is_stuck(tenire: Tenire, app: App) -> None:
    pipelines = {name: {"state": name, "tasks": []} for name in ("running", "paused", "cancelled", "failed")}
    facts: dict[str, Any] = {"running": True, "pid": 42, "answers": True, "pipelines": pipelines}
    app.put("inspect", status=lambda home: facts)
    assert tenire("status").out.splitlines()[-2:] == ["paused is paused", "cancelled is cancelled"]
    facts["answers"] = False
    assert "an engine is running (pid 42), but does not answer" in tenire("status").out


def test_a_level_that_is_not_normal_is_told_while_it_matters(tenire: Tenire, app: App) -> None:
    levels = {"a": ("running", "low"), "b": ("running", "normal"), "c": ("paused", "high"), "d": ("done", "low")}
    pipelines = {name: {"state": state, "priority": level} for name, (state, level) in levels.items()}
    app.put("inspect", status=lambda home: {"running": True, "pipelines": pipelines})
    assert tenire("status").out.splitlines()[-3:] == ["a has priority low", "c is paused", "c has priority high"]
