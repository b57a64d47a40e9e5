"""Size of files, and ``__all__`` in each of them."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import House

LONGEST = 400


def too_long(package: Path) -> list[str]:
    lengths = {file: len(file.read_text(encoding="utf-8").splitlines()) for file in sorted(package.rglob("*.py"))}
    return [f"{file.relative_to(package)} has {lines} lines" for file, lines in lengths.items() if lines > LONGEST]


def bound_names(body: list[ast.stmt]) -> set[str]:
    """Names that a module binds at run time, also in a branch for one platform."""
    names: set[str] = set()
    for statement in body:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(statement.name)
        elif isinstance(statement, ast.Import | ast.ImportFrom):
            names.update((alias.asname or alias.name).partition(".")[0] for alias in statement.names)
        elif isinstance(statement, ast.If):
            if "TYPE_CHECKING" not in ast.unparse(statement.test):
                names |= bound_names(statement.body)
            names |= bound_names(statement.orelse)
        elif isinstance(statement, ast.Try):
            names |= bound_names([*statement.body, *statement.orelse, *statement.finalbody])
            names |= bound_names([inner for handler in statement.handlers for inner in handler.body])
        else:
            stored = (
                node for node in ast.walk(statement) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
            )
            names.update(node.id for node in stored)
    return names


def declared_names(tree: ast.Module) -> list[str] | None:
    """Return ``__all__`` if it is there, once, as a plain list of strings."""
    found = []
    for statement in tree.body:
        match statement:
            case ast.Assign(targets=[ast.Name(id="__all__")], value=ast.List(elts=elements)):
                found.append(elements)
            case ast.AnnAssign(target=ast.Name(id="__all__"), value=ast.List(elts=elements)):
                found.append(elements)
    if len(found) != 1:
        return None
    return [
        element.value for element in found[0] if isinstance(element, ast.Constant) and isinstance(element.value, str)
    ]


def wrong_all(package: Path) -> list[str]:
    problems = []
    for file in sorted(package.rglob("*.py")):
        name = file.relative_to(package).as_posix()
        tree = ast.parse(file.read_text(encoding="utf-8"))
        declared = declared_names(tree)
        if declared is None:
            problems.append(f"{name} has no __all__, or one that is not a plain list")
            continue
        bound = bound_names(tree.body)
        # A module with `__getattr__` loads names when they are asked for; a test of its own pins those.
        if "__getattr__" not in bound:
            problems += [f"{name} lists {missing}, which it does not define" for missing in set(declared) - bound]
        problems += [f"{name} lists the private name {each}" for each in declared if private(each)]
        if len(set(declared)) != len(declared):
            problems.append(f"{name} lists a name twice")
    return problems


def private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def test_no_file_is_longer_than_the_limit(house: House) -> None:
    assert too_long(house.package) == []


def test_a_planted_long_file_is_caught(copied_house: House) -> None:
    copied_house.plant("core/planted.py", "x = 1\n" * (LONGEST - 1))
    assert "core/planted.py has 401 lines" in too_long(copied_house.package)


def test_every_module_says_truly_what_is_public(house: House) -> None:
    assert wrong_all(house.package) == []


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ("x = 1", "has no __all__"),
        ("__all__ = sorted(globals())", "has no __all__"),
        ('__all__ = ["x", "y"]\nx = 1', "lists y, which it does not define"),
        ('__all__ = ["_x"]\n_x = 1', "lists the private name _x"),
        ('__all__ = ["x", "x"]\nx = 1', "lists a name twice"),
        ('__all__ = ["Path"]\nif TYPE_CHECKING:\n    from pathlib import Path', "lists Path"),
    ],
)
def test_a_planted_wrong_all_is_caught(copied_house: House, code: str, problem: str) -> None:
    copied_house.plant("core/planted.py", code)
    (found,) = (found for found in wrong_all(copied_house.package) if "planted.py" in found)
    assert problem in found
