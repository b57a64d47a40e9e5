"""What the proof with killed components takes for a proof; the runs themselves are left out."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType


@pytest.fixture
def prove(script: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Judge a run in which so many tasks ran when each component was killed."""
    module = script("component_proof")

    def judge(running: dict[str, int]) -> int:
        def run(base: Path, name: str, rows: int, through: tuple[str, ...]) -> tuple[Any, float]:
            if name != "calm":
                told = {
                    "supervised": module.COMPONENTS,
                    "found": {name: ["up", "down", "up"] for name in module.COMPONENTS},
                    "running": dict.fromkeys(module.COMPONENTS, 3) | running,
                }
                Path(through[1]).write_text(json.dumps(told), encoding="utf-8")
            return module.Outcome({}, [], []), 1.0

        monkeypatch.setattr(module, "run", run)
        monkeypatch.setattr(sys, "argv", ["component_proof", "--files", "0", "--together"])
        return int(module.main())

    return judge


def test_kills_while_tasks_run_are_a_proof(prove: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert prove({}) == 0
    assert "10 of 10 component(s) killed while tasks of the pipelines ran" in capsys.readouterr().out


def test_one_of_ten_kills_may_meet_a_moment_without_a_task(
    prove: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert prove({"watchdog": 0}) == 0
    assert "9 of 10 component(s)" in capsys.readouterr().out


def test_two_of_ten_kills_when_no_task_ran_are_no_proof(prove: Callable[..., int]) -> None:
    with pytest.raises(SystemExit, match=r"when no task ran: (history, watchdog|watchdog, history);"):
        prove({"watchdog": 0, "history": 0})
