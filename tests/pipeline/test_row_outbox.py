from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tenire.pipeline.rows import outbox as module
from tenire.pipeline.rows.outbox import Outbox, Outcome
from tenire.storage.rows import AnsweredRow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tenire.testing import SimLoop


def outcome(number: int) -> Outcome:
    return Outcome(AnsweredRow(str(number), f"/f#{number}", "r", b"\n"))


def test_who_waits_goes_on_when_what_was_handed_in_before_is_committed(
    sim_loop: SimLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST", 2)
    batches: list[list[str]] = []

    async def commit(outcomes: Sequence[Outcome]) -> None:
        await asyncio.sleep(1)
        batches.append([each.row.key for each in outcomes])

    async def main() -> None:
        box = Outbox(commit)
        await box.settled()  # of nothing
        running = asyncio.create_task(box.run())
        now = sim_loop.time
        for number in range(3):
            box.put(outcome(number))
        first = asyncio.create_task(box.settled())
        await asyncio.sleep(0.5)
        for number in range(3, 5):
            box.put(outcome(number))
        started = now()
        await first
        assert now() - started == pytest.approx(1.5, abs=0.2)
        await box.settled()
        assert now() - started == pytest.approx(2.5, abs=0.2)
        box.put(outcome(5))
        box.close()
        await running
        assert batches == [["0", "1"], ["2", "3"], ["4"], ["5"]]

    sim_loop.run_until_complete(main())


def test_what_is_left_when_nobody_runs_can_be_flushed(sim_loop: SimLoop) -> None:
    seen: list[str] = []

    async def commit(outcomes: Sequence[Outcome]) -> None:
        seen.extend(each.row.key for each in outcomes)

    async def main() -> None:
        box = Outbox(commit)
        box.put(outcome(1))
        await box.flush()
        await box.flush()
        assert seen == ["1"]

    sim_loop.run_until_complete(main())
