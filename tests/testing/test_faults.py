from __future__ import annotations

import asyncio
import contextlib

import pytest

from tenire.testing import FaultNeverFiredError, Faults, ManualClock, SimLoop


class Ledger:
    def __init__(self) -> None:
        self.rows: list[int] = []

    def commit(self, row: int) -> int:
        self.rows.append(row)
        return row

    async def flush(self) -> str:
        return "flushed"

    @staticmethod
    def version() -> int:
        return 1


def test_a_fault_happens_at_the_nth_visit_only() -> None:
    faults = Faults(seed=7)
    faults.at("commit", nth=2, raise_=OSError("disk full"))
    ledger = Ledger()
    with faults:
        faults.patch(ledger, "commit")
        assert ledger.commit(1) == 1
        with pytest.raises(OSError, match="disk full") as caught:
            ledger.commit(2)
        assert ledger.commit(3) == 3
    assert caught.value.__notes__ == ["injected at 'commit', visit 2, by Faults(seed=7)"]
    assert ledger.rows == [1, 3]
    assert faults.reached == {"commit": 3}
    assert [(fault.point, fault.nth) for fault in faults.fired] == [("commit", 2)]


def test_a_fault_after_the_work_loses_only_the_answer() -> None:
    faults = Faults()
    faults.at("commit", raise_=ConnectionError)
    ledger = Ledger()
    with faults:
        faults.patch(ledger, "commit", after=True)
        with pytest.raises(ConnectionError):
            ledger.commit(1)
    assert ledger.rows == [1]


def test_patches_end_with_the_block_even_after_an_error() -> None:
    faults = Faults(strict=False)
    original = Ledger.__dict__["commit"]
    ledger = Ledger()
    with pytest.raises(KeyError) as caught, faults:  # noqa: PT012 - the block is what is tested
        faults.patch(Ledger, "commit", point="ledger.commit")
        faults.patch(Ledger, "version")
        faults.patch(ledger, "flush")
        assert (ledger.commit(1), ledger.version()) == (1, 1)
        raise KeyError
    assert Ledger.__dict__["commit"] is original
    assert isinstance(Ledger.__dict__["version"], staticmethod)
    assert "flush" not in vars(ledger)
    assert "reached ledger.commit × 1" in caught.value.__notes__[0]


def test_a_planned_fault_that_never_happens_fails() -> None:
    faults = Faults(seed=3)
    faults.at("ledger.commit", nth=3, raise_=OSError)
    with pytest.raises(FaultNeverFiredError, match=r"seed=3[\s\S]*reached ledger.commit × 1[\s\S]*never fired"), faults:
        faults.hit("ledger.commit")


def test_chances_repeat_with_the_seed_and_points_do_not_disturb_each_other() -> None:
    def outcomes(seed: int, *, disturb: bool = False) -> list[bool]:
        faults = Faults(seed)
        faults.probability("send", 0.3, raise_=ConnectionError)
        faults.probability("other", 0.5, raise_=ConnectionError)
        result = []
        for _ in range(300):
            if disturb:
                with contextlib.suppress(ConnectionError):
                    faults.hit("other")
            try:
                faults.hit("send")
                result.append(False)
            except ConnectionError:
                result.append(True)
        return result

    assert outcomes(1) == outcomes(1) == outcomes(1, disturb=True)
    assert outcomes(1) != outcomes(2)
    assert 50 < sum(outcomes(1)) < 130


def test_a_delay_waits_on_virtual_time_in_a_coroutine() -> None:
    faults = Faults()
    faults.at("flush", delay=5)
    with SimLoop() as loop, faults:
        flush = faults.wrap("flush", Ledger().flush)
        assert loop.run_until_complete(flush()) == "flushed"
        assert loop.time() == 5


def test_a_delay_in_plain_code_moves_the_manual_clock() -> None:
    clock = ManualClock()
    faults = Faults(clock=clock)
    faults.at("commit", delay=2, step=-3600)
    wall = clock.wall()
    with faults:
        faults.hit("commit")
    assert (clock.now(), clock.wall() - wall) == (2, -3598)


def test_a_delay_in_plain_code_without_a_manual_clock_is_refused() -> None:
    faults = Faults()
    faults.at("commit", delay=2)
    with pytest.raises(RuntimeError, match="ManualClock"):
        faults.hit("commit")


def test_a_clock_step_acts_on_the_clock_of_a_loop() -> None:
    with SimLoop() as loop:
        faults = Faults(clock=loop.clock)
        faults.at("flush", step=60)
        wall = loop.clock.wall()
        with faults:
            loop.run_until_complete(faults.wrap("flush", Ledger().flush)())
        assert loop.clock.wall() - wall == 60


def test_a_visit_keeps_its_number_while_others_pass_it() -> None:
    faults = Faults(seed=1)
    faults.at("flush", nth=1, delay=5, raise_=OSError("late"))

    async def main() -> None:
        flush = faults.wrap("flush", Ledger().flush)
        slow = asyncio.create_task(flush())
        await asyncio.sleep(1)
        await flush()
        with pytest.raises(OSError, match="late") as caught:
            await slow
        assert "visit 1" in caught.value.__notes__[0]

    with SimLoop() as loop, faults:
        loop.run_until_complete(main())


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (lambda f: f.at("x"), "does nothing"),
        (lambda f: f.at("x", nth=0, raise_=OSError), "from 1"),
        (lambda f: f.at("x", delay=-1), "negative"),
        (lambda f: f.at("x", step=1), "clock"),
        (lambda f: f.probability("x", 1.1, raise_=OSError), "probability"),
    ],
)
def test_impossible_plans_are_refused(plan: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plan(Faults())  # type: ignore[operator]
