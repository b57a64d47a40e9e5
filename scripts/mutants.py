"""Mutation testing of the core: change one thing at a time and see whether a test fails.

For each module the syntax tree is changed in one place (a comparison, an operator, a
number, a condition, a returned value, a statement that is left out), and the module's
tests run against it in a process forked from a warm one, which is a hundred times
faster than to start Python and pytest anew. What no test sees is printed with its
place. Left out is what only looks or speaks: ``check`` and ``__repr__``, texts,
``__all__``, ``__slots__`` and annotations.

    make mutants                                  all modules of the core
    make mutants ARGS="waits rates --sample 50"   two modules, fifty mutants of each
    make mutants ARGS="waits --line 112"          all mutants of one line
"""

from __future__ import annotations

import argparse
import ast
import importlib
import importlib.abc
import importlib.util
import json
import math
import os
import random
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

ROOT = Path(__file__).resolve().parents[1]
CORE = ROOT / "src" / "tenire" / "core"
TESTS = ROOT / "tests" / "core"
SIMULATION = ROOT / "tests" / "simulation"
GOAL = 0.90

_TOGETHER: dict[tuple[str, ...], tuple[tuple[str, ...], ...]] = {
    (
        "accounts", "admission", "burst", "dependencies", "doom", "expiry", "explain", "fair_share", "overload",
        "rates", "ready_queue", "reservations", "scheduler", "selection", "tasks", "waits",
    ): (
        (
            "test_scheduler.py", "test_selection.py", "test_fair_share.py", "test_explain.py", "test_waits.py",
            "test_limits.py",
        ),
        ("../simulation/test_circles.py", "test_scheduler_states.py", "../simulation/test_core_simulation.py"),
    ),
    ("capacity_belief", "concurrency_limit", "latency_probe", "loss_limit"): (
        ("test_concurrency_limit.py",), ("test_concurrency_limit_servers.py",),
    ),
}  # fmt: skip
"""What sees modules through what they are composed to, the quick tests first."""

MODULES = tuple(sorted(path.stem for path in CORE.glob("[!_]*.py")))

_COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
_OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.Pow: ast.Mult,
}
_SILENT = ("check", "__repr__")


class Mutant(NamedTuple):
    """One change.

    Attributes:
        line: Where it is.
        what: What it does, for people.
        number: Which of the places it is.
        step: Which of the changes that are possible there.
    """

    line: int
    what: str
    number: int
    step: int


# -- changes --------------------------------------------------------------------


def changes(node: ast.AST) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Yield what can be changed at a node: in words, and a function that does it."""
    if isinstance(node, ast.Compare):
        for index, operator in enumerate(node.ops):
            for other in _COMPARISONS.get(type(operator), ()):
                yield other.__name__, lambda index=index, other=other: node.ops.__setitem__(index, other())  # type: ignore[misc]
    elif isinstance(node, ast.BinOp | ast.AugAssign):
        swapped = _OPERATORS.get(type(node.op))
        if swapped is not None and not isinstance(getattr(node, "left", None), ast.JoinedStr):
            yield swapped.__name__, lambda: setattr(node, "op", swapped())
    elif isinstance(node, ast.BoolOp):
        name = "Or" if isinstance(node.op, ast.And) else "And"
        yield name, lambda: setattr(node, "op", getattr(ast, name)())
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield str(not node.value), lambda: setattr(node, "value", not node.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        for value in (node.value + 1, node.value - 1):
            yield str(value), lambda value=value: setattr(node, "value", value)  # type: ignore[misc]
    elif isinstance(node, ast.If | ast.While | ast.IfExp):
        test = node.test
        yield f"not ({ast.unparse(test)})", lambda: setattr(node, "test", ast.UnaryOp(ast.Not(), test))
    elif isinstance(node, ast.Return) and not (node.value is None or getattr(node.value, "value", "") is None):
        yield "return None", lambda: setattr(node, "value", ast.Constant(None))


def removable(statement: ast.stmt) -> bool:
    """Return whether a statement can be left out, and does more than to speak."""
    if isinstance(statement, ast.Expr):
        return not isinstance(statement.value, ast.Constant)
    return isinstance(statement, ast.Assign | ast.AugAssign | ast.Continue | ast.Break | ast.Delete)


def silent(node: ast.AST) -> bool:
    """Return whether nothing at or below a node is to be changed."""
    if isinstance(node, ast.FunctionDef):
        return node.name in _SILENT
    if isinstance(node, ast.Assign):
        return any(isinstance(target, ast.Name) and target.id in ("__all__", "__slots__") for target in node.targets)
    if isinstance(node, ast.If):
        return ast.unparse(node.test) == "TYPE_CHECKING"
    return (isinstance(node, ast.AnnAssign) and node.value is None) or isinstance(node, ast.JoinedStr)


def places(tree: ast.AST) -> Iterator[tuple[ast.AST, ast.AST | None, str, int]]:
    """Yield every node that may be changed, with its parent and its place in the parent's statements."""
    pending: list[tuple[ast.AST, ast.AST | None, str, int]] = [(tree, None, "", -1)]
    while pending:
        node, parent, field, index = pending.pop()
        if silent(node):
            continue
        yield node, parent, field, index
        for name, value in ast.iter_fields(node):
            if name in ("annotation", "returns", "decorator_list", "type_params"):
                continue
            for number, child in enumerate(value if isinstance(value, list) else [value]):
                if isinstance(child, ast.AST):
                    pending.append((child, node, name, number if isinstance(value, list) else -1))


def options(place: tuple[ast.AST, ast.AST | None, str, int]) -> list[tuple[str, Callable[[], Any]]]:
    """Return all changes that are possible at a place."""
    node, parent, field, index = place
    found = list(changes(node))
    if index >= 0 and isinstance(node, ast.stmt) and removable(node):
        body = getattr(parent, field)
        found.append(("left out", lambda: body.__setitem__(index, ast.Pass())))
    return found


def mutants(source: str) -> list[Mutant]:
    """Return all mutants of a module."""
    return sorted(
        Mutant(getattr(place[0], "lineno", 0), f"{ast.unparse(place[0]).splitlines()[0]}  →  {what}", number, step)
        for number, place in enumerate(places(ast.parse(source)))
        for step, (what, _) in enumerate(options(place))
    )


def planted(source: str, mutant: Mutant) -> str:
    """Return a module with a mutant in it."""
    tree = ast.parse(source)
    place = next(place for number, place in enumerate(places(tree)) if number == mutant.number)
    options(place)[mutant.step][1]()
    ast.fix_missing_locations(tree)
    return ast.unparse(tree)


# -- running them -------------------------------------------------------------------


class _Planted(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Gives out one module with a mutant in it."""

    def __init__(self, name: str, source: str) -> None:
        self._name = name
        self._code = compile(source, str(CORE / f"{name.rpartition('.')[2]}.py"), "exec")

    def find_spec(self, fullname: str, path: object = None, target: ModuleType | None = None) -> ModuleSpec | None:
        return importlib.util.spec_from_loader(fullname, self) if fullname == self._name else None

    def exec_module(self, module: ModuleType) -> None:
        exec(self._code, module.__dict__)


def tests_of(module: str) -> list[list[str]]:
    """Return the tests that see a module: what is run first, and what is run if that saw nothing."""
    own = TESTS / f"test_{module}.py"
    together = next((tests for modules, tests in _TOGETHER.items() if module in modules), ())
    composed = [[(TESTS / name).resolve() for name in names if name != own.name] for names in together]
    # Modules that make up one thing are tested in one file.
    named = f"tenire.core.{module} import"
    known = {own, *(file for files in composed for file in files)}
    others = [
        file for file in sorted(TESTS.glob("test_*.py")) if file not in known and named in file.read_text("utf-8")
    ]
    found = [[str(file) for file in files] for files in ([own] if own.exists() else [], *composed, others) if files]
    if not found:
        sys.exit(f"tenire: no test of {TESTS.name} imports {module}")
    return found


def judge(module: str, source: str, limit: float) -> tuple[str, float]:
    """Return ``killed``, ``survived`` or ``timeout``, and the processor seconds that it took.

    The limit is in processor seconds too, so that a busy machine kills no mutant.
    """
    child = os.fork()
    if not child:
        import resource  # not on Windows, nor is fork

        seconds = math.ceil(limit)
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
        os._exit(_run(module, source))
    _, status, usage = os.wait4(child, 0)
    code = os.waitstatus_to_exitcode(status)
    verdict = "timeout" if code < 0 else "killed" if code else "survived"
    return verdict, usage.ru_utime + usage.ru_stime


def _run(module: str, source: str) -> int:
    """Run the tests of a module against a mutant, in a process of its own."""
    import pytest

    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    sys.path[:0] = [str(ROOT / "src"), str(ROOT)]
    sys.meta_path.insert(0, _Planted(f"tenire.core.{module}", source))
    # Tests import their neighbours by relative names, which needs the root and this mode.
    options = ["-x", "-q", "-c", os.devnull, "--rootdir", str(ROOT), "--confcutdir", str(TESTS)]
    options += ["--import-mode=importlib", "-p", "no:cacheprovider"]
    try:
        return any(pytest.main([*options, *files]) for files in tests_of(module))
    except BaseException:  # noqa: BLE001 - a mutant may do anything; whatever it is, it was seen
        return 1


def examine(module: str, args: argparse.Namespace) -> dict[str, Any]:
    """Judge the mutants of one module and print those that survived."""
    source = (CORE / f"{module}.py").read_text(encoding="utf-8")
    verdict, usual = judge(module, source, 300.0)
    if verdict != "survived":
        sys.exit(f"tenire: the tests of {module} fail without any change")
    chosen = [mutant for mutant in mutants(source) if args.line in (None, mutant.line)]
    total = len(chosen)
    if args.sample and args.sample < total:
        chosen = sorted(random.Random(f"{args.seed}/{module}").sample(chosen, args.sample))
    survivors = []
    for mutant in chosen:
        verdict, _ = judge(module, planted(source, mutant), 3 * usual + 10)
        if verdict == "survived":
            survivors.append(mutant)
            print(f"  {module}.py:{mutant.line}: {mutant.what}", flush=True)
    score = 1 - len(survivors) / len(chosen) if chosen else 1.0
    result = {"module": module, "mutants": total, "tried": len(chosen), "survived": len(survivors)}
    print(json.dumps({**result, "score": round(score, 3)}), flush=True)
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it; the exit status says whether the goal was met."""
    parser = argparse.ArgumentParser(description="Mutation testing of the core.")
    parser.add_argument("modules", nargs="*", default=[], help="default: all of the core")
    parser.add_argument("--sample", type=int, default=0, help="mutants to try of each module; default: all")
    parser.add_argument("--seed", type=int, default=0, help="which of them")
    parser.add_argument("--line", type=int, help="only those of this line")
    args = parser.parse_args(arguments)
    if not hasattr(os, "fork"):
        sys.exit("tenire: this needs a system that can fork a process")
    os.environ["TENIRE_MUTANT"] = "1"
    os.environ.setdefault("TENIRE_SIM_SEEDS", "100")
    sys.dont_write_bytecode = True
    for name in ("hypothesis.stateful", "pytest"):
        importlib.import_module(name)  # once here, and there in all that are forked

    results = [examine(module, args) for module in args.modules or MODULES]
    tried = sum(result["tried"] for result in results)
    score = 1 - sum(result["survived"] for result in results) / max(1, tried)
    print(json.dumps({"mutants": sum(r["mutants"] for r in results), "tried": tried, "score": round(score, 3)}))
    return 0 if score >= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
