"""A loop that does not come round is noticed, with where it stands."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest

from tenire.clock import SYSTEM_CLOCK
from tenire.concurrency.loops import EventLoopManager, LoopOwner, LoopState, LoopThread, Stall
from tenire.concurrency.loops.watchdog import Watchdog
from tenire.errors import ConfigError, RejectedError

if TYPE_CHECKING:
    from tenire.testing import ManualClock


@pytest.mark.blocking_allowed("the loop is stalled on purpose")
def test_a_stall_is_noticed_with_its_task_and_its_stack_and_so_is_its_end() -> None:
    noticed, over = threading.Event(), threading.Event()
    stalls: list[Stall] = []

    def listen(stall: Stall) -> None:
        stalls.append(stall)
        (over if stall.over else noticed).set()

    async def stand_still() -> None:
        assert noticed.wait(30)

    with EventLoopManager(stall_after=0.02) as loops:
        loops.on_stall(listen)
        loops.call(stand_still)
        assert over.wait(30)
        kept = loops.stalls
    first, second = stalls[:2]
    assert (first.loop, first.over, second.over) == ("main", False, True)
    assert first.task is not None
    assert first.task.endswith("stand_still")
    assert any(line.endswith("stand_still") for line in first.stack)
    assert first.seconds >= 0.02
    assert second in kept
    assert second.seconds >= first.seconds


class Held:
    """A watchdog that is looked through by hand, on a clock of the test."""

    def __init__(self, clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock = clock
        monkeypatch.setattr(threading.Thread, "start", lambda _: None)
        self.watchdog = Watchdog(clock, stall_after=1.0)

    def look(self, seconds: float) -> list[Stall]:
        self.clock.advance(seconds)
        self.watchdog.look()
        return list(self.watchdog.stalls)


def test_a_loop_that_is_not_run_for_a_while_has_not_stalled(
    manual_clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Held(manual_clock, monkeypatch)
    owner = LoopOwner("main", manual_clock)

    async def enter() -> None:
        owner.adopt()
        held.watchdog.watch(owner)
        held.look(0.5)

    async def leave() -> None:
        assert held.look(0.5) == []
        await owner.aclose()
        held.look(0.5)

    with asyncio.Runner() as runner:
        runner.run(enter())
        for _ in range(10):
            assert held.look(1.0) == []
        runner.run(leave())


def test_a_loop_that_was_closed_behind_its_owners_back_is_found_and_told_of(
    manual_clock: ManualClock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    held = Held(manual_clock, monkeypatch)
    owner = LoopOwner("main", manual_clock)
    loop = asyncio.new_event_loop()

    async def enter() -> None:
        owner.adopt()
        held.watchdog.watch(owner)

    loop.run_until_complete(enter())
    future = owner.spawn(asyncio.sleep, 1)
    loop.close()
    held.look(0.5)
    assert owner.state is LoopState.CLOSED
    with pytest.raises(RejectedError, match="its loop was closed while the engine was still open"):
        future.result(0)
    assert caplog.text.count("nothing runs on the loop 'main' any more") == 1


def test_a_listener_that_fails_does_not_end_the_watch(
    manual_clock: ManualClock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    held = Held(manual_clock, monkeypatch)
    owner = LoopOwner("main", manual_clock)
    told: list[Stall] = []
    held.watchdog.on_stall += [lambda _: 1 // 0, told.append]

    async def stall() -> None:
        owner.adopt()
        held.watchdog.watch(owner)
        for _ in range(5):
            held.look(0.5)
        await asyncio.sleep(0)
        held.look(0.5)
        await owner.aclose()

    asyncio.run(stall())
    assert [(found.over, found.seconds) for found in told] == [(False, 1.0), (True, 2.0)]
    assert [(found.over, found.seconds) for found in held.watchdog.stalls] == [(True, 2.0)]
    assert caplog.text.count("a listener for stalls failed") == 2


@pytest.mark.parametrize("stall_after", [0, -1.0, float("inf"), float("nan")])
def test_an_impossible_time_is_refused(stall_after: float) -> None:
    with pytest.raises(ConfigError, match="stall_after"):
        EventLoopManager(stall_after=stall_after)


def test_without_a_time_there_is_no_thread_and_no_stall() -> None:
    before = threading.active_count()
    with EventLoopManager(stall_after=None) as loops:
        loops.on_stall(print)
        assert threading.active_count() == before + 1
        assert loops.stalls == []


def test_every_loop_of_an_engine_is_watched() -> None:
    with EventLoopManager(stall_after=30.0) as loops, loops.start("other"):
        assert loops.call(lambda: sorted(owner.name for owner in loops.watchdog._watched)) == ["main", "other"]  # type: ignore[union-attr]


def test_a_loop_in_a_thread_is_watched_before_anything_runs_on_it(monkeypatch: pytest.MonkeyPatch) -> None:
    called = asyncio.Event()
    live = EventLoopManager._live

    async def late(loops: EventLoopManager) -> None:
        await called.wait()
        await live(loops)

    monkeypatch.setattr(EventLoopManager, "_live", late)
    with EventLoopManager(stall_after=30.0) as loops:
        assert loops.watchdog is not None
        watched = loops.call(list, loops.watchdog._watched)
        loops.call(called.set)
    assert watched == [loops.main]


def test_a_thread_of_its_own_can_be_watched_alone() -> None:
    with LoopThread("side", SYSTEM_CLOCK) as loop:
        assert loop.call(int) == 0
