"""The core imports, at run time, from a short list and from itself.

import-linter's contract forbids what is known to be impure. This is the other
side: whatever is not on the list is refused, known or not. A name that is used
for its type alone (``random.Random`` comes in as an argument) may be imported
under ``TYPE_CHECKING``.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .conftest import House

ALLOWED = {
    "__future__", "array", "bisect", "collections", "contextlib", "dataclasses", "enum", "functools", "hashlib",
    "heapq", "itertools", "math", "numbers", "operator", "statistics", "types", "typing",
}  # fmt: skip
ALLOWED_OWN = ("tenire.core", "tenire.errors")


def imports(body: list[ast.stmt]) -> Iterator[tuple[int, str]]:
    """Yield line and name of every import that runs, in functions too."""
    for statement in body:
        if isinstance(statement, ast.If) and "TYPE_CHECKING" in ast.unparse(statement.test):
            yield from imports(statement.orelse)
            continue
        if isinstance(statement, ast.Import):
            yield from ((statement.lineno, alias.name) for alias in statement.names)
        elif isinstance(statement, ast.ImportFrom):
            yield statement.lineno, statement.module or "."
        for field in ("body", "orelse", "finalbody", "handlers", "cases"):
            for inner in getattr(statement, field, []):
                yield from imports(inner.body if isinstance(inner, ast.ExceptHandler | ast.match_case) else [inner])


def impurities(core: Path) -> list[str]:
    found = []
    for file in sorted(core.rglob("*.py")):
        for line, name in imports(ast.parse(file.read_text(encoding="utf-8")).body):
            own = any(name == prefix or name.startswith(f"{prefix}.") for prefix in ALLOWED_OWN)
            if not own and name.partition(".")[0] not in ALLOWED:
                found.append(f"{file.name}:{line} imports {name}")
    return found


def test_the_core_imports_only_what_is_pure(house: House) -> None:
    assert impurities(house.package / "core") == []


@pytest.mark.parametrize(
    "code",
    [
        "import random",
        "import colorsys",
        "from os import path",
        "def late():\n    import random",
        "try:\n    pass\nexcept ValueError:\n    import random",
        "if TYPE_CHECKING:\n    pass\nelse:\n    import random",
        "from tenire.protocols import Batch",
    ],
)
def test_an_impure_import_is_caught(copied_house: House, code: str) -> None:
    copied_house.plant("core/planted.py", code)
    assert [found.partition(":")[0] for found in impurities(copied_house.package / "core")].count("planted.py") == 1


def test_a_type_alone_may_be_imported(copied_house: House) -> None:
    copied_house.plant("core/planted.py", "if TYPE_CHECKING:\n    import random")
    assert "planted.py" not in " ".join(impurities(copied_house.package / "core"))
