"""Blocking functions of the product run on the engine's own threads, never on a loop's default executor."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import House

# Who may use an executor, and why.
ALLOWED = {"concurrency/blocking.py": "it is the one place"}

USES_AN_EXECUTOR = ("to_thread", "run_in_executor")


def uses_an_executor(node: ast.AST) -> bool:
    """Whether the default executor could be meant: by a call, or by a name that is handed on."""
    return (isinstance(node, ast.Attribute) and node.attr in USES_AN_EXECUTOR) or (
        isinstance(node, ast.ImportFrom) and any(name.name in USES_AN_EXECUTOR for name in node.names)
    )


def others(package: Path) -> set[str]:
    found = set()
    for file in package.rglob("*.py"):
        where = file.relative_to(package).as_posix()
        tree = ast.parse(file.read_text(encoding="utf-8"))
        if not where.startswith("testing/") and any(uses_an_executor(node) for node in ast.walk(tree)):
            found.add(where)
    return found


def test_nothing_uses_the_default_executor_of_a_loop(house: House) -> None:
    assert others(house.package) == set(ALLOWED)


def test_a_function_on_the_default_executor_would_be_seen(copied_house: House) -> None:
    copied_house.plant("concurrency/control.py", "async def a(asyncio, f):\n    await asyncio.to_thread(f)\n")
    copied_house.plant("pipeline/progress.py", "def a(loop, f):\n    return loop.run_in_executor(None, f)\n")
    copied_house.plant("llm/calls.py", "from asyncio import to_thread\n")
    planted = {"concurrency/control.py", "pipeline/progress.py", "llm/calls.py"}
    assert others(copied_house.package) - set(ALLOWED) == planted
