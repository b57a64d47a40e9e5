"""A run of a row pipeline, cancelled at each of its awaits."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Any

import pytest

from tenire.testing import cancel_sweep

from .row_engine import Echo, RowEngine, told, write
from .sim_engine import sim_pools

if TYPE_CHECKING:
    from pathlib import Path


def rows(count: int) -> list[dict[str, Any]]:
    return [{"id": number, "text": f"text {number}"} for number in range(count)]


@pytest.mark.blocking_allowed("the sweep makes a new home for each run, on its loop")
def test_cancelled_anywhere_a_run_gives_everything_back_and_answers_no_row_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = itertools.count()
    engines: list[RowEngine] = []
    folders: list[Path] = []
    recipes: list[Echo] = []

    def fresh(folder: Path) -> RowEngine:
        return RowEngine(asyncio.get_running_loop(), folder, memory=2 << 20)  # type: ignore[arg-type]

    async def scenario() -> None:
        folder = tmp_path / str(next(numbers))
        folder.mkdir()
        write(folder, *rows(5), "broken")
        engine = fresh(folder)
        engines[:], folders[:], recipes[:] = [engine], [folder], [Echo(broken={3})]
        async with engine, engine.session:
            await engine.rows("p", recipes[0]).run()

    async def check() -> None:
        (engine,), (folder,) = engines, folders
        await asyncio.sleep(1)  # virtual; threads that could not be stopped end
        engine.manager.orchestrator.take_in_ended()
        engine.check_nothing_is_held()
        assert not engine.session.hold.held
        again = fresh(folder)
        async with again, again.session:
            again.session.recover()
            kept = set(again.session.ledger.rows.known("p", [str(number) for number in range(5)]))
            second = Echo(broken={3})
            await again.rows("p", second).run()
        assert not {str(number) for number in second.calls} & kept
        assert told(folder) == [(number, f"TEXT {number}") for number in (0, 1, 2, 4)]
        assert (again.progress["p"].seen, again.progress["p"].quarantined) == (6, 2)

    with sim_pools(monkeypatch):
        report = cancel_sweep(scenario, check=check)
    assert report.runs > 20
