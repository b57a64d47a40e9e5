"""All that the engine does again and again hangs on its one timer."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import House

# Who sets a timer of its own, and why it may.
ALLOWED = {
    "concurrency/timer/wakeup.py": "the timer",
    "concurrency/startup.py": "a group needs no engine: it is what starts one",
    "concurrency/waiting.py": "at the end only, for threads that have said their last word",
    "resilience/batcher.py": "a batcher needs no engine",
    "resilience/timing.py": "a guard needs no engine",
    "resilience/turns.py": "a guard needs no engine",
}

SETS_A_TIMER = ("call_later", "call_at", "sleep", "Timer")


def is_timer(call: ast.Call) -> bool:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    if name == "sleep" and call.args and isinstance(call.args[0], ast.Constant) and call.args[0].value == 0:
        return False  # one turn of the loop, no time
    return name in SETS_A_TIMER


def other_timers(package: Path) -> set[str]:
    found = set()
    for file in package.rglob("*.py"):
        where = file.relative_to(package).as_posix()
        tree = ast.parse(file.read_text(encoding="utf-8"))
        if not where.startswith("testing/") and any(
            isinstance(node, ast.Call) and is_timer(node) for node in ast.walk(tree)
        ):
            found.add(where)
    return found


def test_there_is_no_other_timer(house: House) -> None:
    assert other_timers(house.package) == set(ALLOWED)


def test_another_timer_would_be_seen(copied_house: House) -> None:
    copied_house.plant("concurrency/control.py", "def poll(loop):\n    loop.call_later(1.0, poll, loop)\n")
    copied_house.plant("pipeline/progress.py", "async def poll(asyncio):\n    await asyncio.sleep(0.1)\n")
    assert other_timers(copied_house.package) - set(ALLOWED) == {"concurrency/control.py", "pipeline/progress.py"}
