from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

import tenire
from tenire.app.pipelines import Pipeline, arun, run
from tenire.core.tasks import Priority
from tenire.errors import ConfigError

from .conftest import LEDGERS, ZEBRAS, write


def test_pipelines_described_in_python_run_side_by_side(tmp_path: Path) -> None:
    one, two = write(tmp_path / "one/a.txt", ZEBRAS), write(tmp_path / "two/b.txt", LEDGERS)
    report = run(
        Pipeline("first", one.parent, embedder="static", weight=2, priority=Priority.HIGH),
        Pipeline("second", [two, str(one)], embedder="static", priority="low", after=["first"]),
        home=tmp_path / "home",
        cpu=1,
        memory=1 << 20,
    )
    assert report.failed == ()
    assert [report.pipelines[name].done for name in ("first", "second")] == [1, 2]
    assert report.peak_rss_mib > 0


def test_a_loop_that_runs_goes_on(tmp_path: Path) -> None:
    write(tmp_path / "one/a.txt", ZEBRAS)

    async def main() -> int:
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1

        counting = asyncio.create_task(count())
        report = await arun(Pipeline("p", tmp_path / "one", embedder="static"), home=tmp_path / "home")
        counting.cancel()
        assert report.pipelines["p"].done == 1
        return turns

    assert asyncio.run(main()) > 100


def test_the_blocking_form_refuses_a_running_loop_and_names_its_twin(tmp_path: Path) -> None:
    async def main() -> None:
        run(Pipeline("p", "."), home=tmp_path / "home")

    with pytest.raises(RuntimeError, match=r"await tenire\.arun"):
        asyncio.run(main())
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"source": ""}, "source"),
        ({"embedder": "minilmm"}, "minilm"),
        ({"weight": 0}, "weight"),
        ({"weight": float("nan")}, "weight"),
        ({"priority": "urgent"}, "priority"),
        ({"max_file": -1}, "max_file"),
        ({"name": "a/b"}, "name"),
        ({"store": "lancdb"}, "lancedb"),
    ],
)
def test_an_impossible_description_is_refused_by_name(tmp_path: Path, facts: dict[str, Any], message: str) -> None:
    described = Pipeline(**{"name": "p", "source": str(tmp_path), **facts})
    with pytest.raises(ConfigError, match=message):
        run(described, home=tmp_path / "home")
    assert not (tmp_path / "home").exists()


def test_a_run_needs_pipelines_with_different_names(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="at least one"):
        run(home=tmp_path)
    with pytest.raises(ConfigError, match="'p' twice"):
        run(Pipeline("p", "."), Pipeline("p", "."), home=tmp_path)


def test_a_relative_source_starts_at_the_current_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "one/a.txt", ZEBRAS)
    monkeypatch.chdir(tmp_path)
    assert run(Pipeline("p", Path("one"), embedder="static"), home="home").pipelines["p"].done == 1
    assert (tmp_path / "home/ledger.db").exists()


def test_the_public_names_are_these() -> None:
    assert (tenire.Pipeline, tenire.run, tenire.arun) == (Pipeline, run, arun)


@pytest.mark.parametrize(
    ("after", "message"),
    [({"a": ("a",)}, "cycle a -> a"), ({"a": ("b",), "b": ("a",)}, "cycle"), ({"a": ("q",)}, '"q"')],
)
def test_pipelines_that_wait_for_each_other_or_for_nobody_are_refused(
    tmp_path: Path, after: dict[str, tuple[str, ...]], message: str
) -> None:
    (tmp_path / "docs").mkdir()
    pipelines = [
        tenire.Pipeline(name, source=tmp_path / "docs", after=after.get(name, ()), embedder="static") for name in "ab"
    ]
    with pytest.raises(tenire.ConfigError, match=message):
        tenire.run(*pipelines, home=tmp_path / "home")
    assert not (tmp_path / "home").exists()
