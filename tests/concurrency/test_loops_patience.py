"""A loop that stands still when it is told to end: its thread is given up, by name, and nobody waits for it."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from typing import TYPE_CHECKING, Any, cast

import pytest

from tenire import ConcurrencyManager, RejectedError
from tenire.clock import SYSTEM_CLOCK
from tenire.concurrency.loops import EventLoopManager, LoopState, LoopThread
from tenire.concurrency.loops import thread as thread_module
from tenire.concurrency.loops.patience import STUCK_S, Patience
from tenire.concurrency.loops.requests import Request
from tenire.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tenire import Handle
    from tenire.concurrency.loops import Spawned
    from tenire.concurrency.loops.portal import Portal
    from tenire.testing import ManualClock

GIVEN_UP = "its thread did not end and was given up"


class Loop:
    """Takes what is asked of it, and answers when the test says so."""

    def __init__(self) -> None:
        self.asked: list[Callable[[], object]] = []

    def interrupt(self, fn: Callable[[], object]) -> None:
        self.asked.append(fn)


def test_a_loop_that_comes_round_is_waited_for_however_long_it_takes() -> None:
    loop = Loop()
    patience = Patience(cast("Portal", loop))
    for _ in range(100):
        assert not patience.over(STUCK_S * 0.9)
        loop.asked[-1]()
        assert not patience.over(STUCK_S * 0.9)
    assert len(loop.asked) == 101, "one question at a time"
    assert not patience.over(STUCK_S * 0.9)
    assert patience.over(STUCK_S * 0.1)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Wait only for a moment, inside of this context."""
    monkeypatch.setattr("tenire.concurrency.loops.patience.STUCK_S", 0.02)
    monkeypatch.setattr("tenire.concurrency.loops.thread.ROUND_S", 0.01)
    monkeypatch.setattr("tenire.concurrency.engine_thread.ROUND_S", 0.01)
    return monkeypatch


class Still:
    """Has a loop stand still until the block is left."""

    def __init__(self) -> None:
        self.stands = threading.Event()
        self._release = threading.Event()

    def __enter__(self) -> Still:
        return self

    def __exit__(self, *_: object) -> None:
        self._release.set()

    def stand(self) -> str:
        self.stands.set()
        self._release.wait(10)
        return "stood still"

    async def stand_later(self) -> str:
        await asyncio.sleep(0)
        return self.stand()

    def on(self, loop: EventLoopManager | LoopThread, *, as_task: bool = False) -> Spawned[Any]:
        self.stands.clear()
        spawned: Spawned[Any] = loop.spawn(self.stand_later if as_task else self.stand)
        assert self.stands.wait(5)
        return spawned


@pytest.mark.blocking_allowed("the loop is stalled on purpose")
@pytest.mark.parametrize("as_task", [False, True])
def test_closing_gives_up_a_thread_that_stands_still_and_leaves_nobody_waiting(
    impatient: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, *, as_task: bool
) -> None:
    side = LoopThread("side", EventLoopManager().main.clock)
    with Still() as still:
        side.start()
        stuck = still.on(side, as_task=as_task)
        queued = side.spawn(int)
        side.close()
        for future in (stuck, queued):
            assert future.done()
            with pytest.raises(RejectedError, match=GIVEN_UP):
                future.result()
        with pytest.raises(RejectedError, match=GIVEN_UP):
            side.call(int)
        assert (side.abandoned, side.is_alive(), side.state) == (True, True, LoopState.DRAINING)
        side.close()
        [told] = [record.getMessage() for record in caplog.records if record.name == "tenire.loops"]
        assert told.startswith("the thread of the loop 'side' does not end; given up. It stands at:")
        assert "in Still.stand" in told
    impatient.undo()
    assert side.join(5), "it came round, and closed"
    assert side.state is LoopState.CLOSED


@pytest.mark.blocking_allowed("the loop is stalled on purpose")
def test_a_thread_that_several_give_up_is_named_once(caplog: pytest.LogCaptureFixture) -> None:
    side = LoopThread("side", SYSTEM_CLOCK)
    with Still() as still:
        side.start()
        stuck = still.on(side)
        side.stop()
        side.abandon()
        side.abandon()
        assert side.abandoned
        assert isinstance(stuck.exception(), RejectedError)
    assert caplog.text.count("does not end; given up") == 1
    assert side.join(5)


@pytest.mark.blocking_allowed("the loop is stalled on purpose")
def test_what_is_sent_in_the_moment_in_which_it_is_given_up_is_refused_too() -> None:
    class Inbox(deque[Request]):
        def append(self, request: Request) -> None:
            side.abandon()
            super().append(request)

    side = LoopThread("side", SYSTEM_CLOCK)
    with Still() as still:
        side.start()
        still.on(side)
        side._inbox = Inbox()
        with pytest.raises(RejectedError, match=GIVEN_UP):
            side.call(int, timeout=5)
    side.stop()
    assert side.join(5)


class Left:
    """A loop in a thread that nobody closed, and how long the interpreter waits for it."""

    def __init__(self, clock: ManualClock, *, waits_for: Sequence[Left] = (), stands_still: bool = False) -> None:
        self._clock = clock
        self._waits_for = waits_for
        self._stands_still = stands_still
        self.given_up = 0
        self.at_exit = lambda: None

    def interrupt(self, fn: Callable[[], object]) -> None:
        if not self._stands_still:
            fn()

    @property
    def abandoned(self) -> bool:
        return self.given_up > 0

    def abandon(self) -> None:
        self.given_up += 1

    def is_alive(self) -> bool:
        return self._stands_still or not all(other.abandoned for other in self._waits_for)

    def join(self, timeout: float) -> bool:
        if self.is_alive():
            self._clock.advance(timeout)
        return not self.is_alive()


@pytest.fixture
def at_exit(manual_clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> Callable[[Sequence[Left]], float]:
    """Do what happens to loops that nobody closed; return the seconds that it took."""

    def leave(left: Sequence[Left]) -> float:
        monkeypatch.setattr(thread_module, "SYSTEM_CLOCK", manual_clock, raising=False)
        monkeypatch.setattr(thread_module, "_alive", left)
        began = manual_clock.now()
        thread_module._close_all()
        monkeypatch.undo()
        return manual_clock.now() - began

    return leave


def test_at_exit_all_loops_that_stand_still_have_the_same_time(
    manual_clock: ManualClock, at_exit: Callable[[Sequence[Left]], float]
) -> None:
    stuck = [Left(manual_clock, stands_still=True) for _ in range(3)]
    engine = Left(manual_clock, waits_for=stuck)
    assert at_exit([engine, *stuck]) == pytest.approx(thread_module._AT_EXIT_S)
    assert [one.given_up for one in stuck] == [1, 1, 1]
    assert not engine.given_up, "what it waited for is given up: it has ended"


def test_at_exit_a_loop_that_comes_round_and_does_not_end_is_given_up_too(
    manual_clock: ManualClock, at_exit: Callable[[Sequence[Left]], float]
) -> None:
    endless = Left(manual_clock, waits_for=[Left(manual_clock)])
    assert at_exit([endless]) < 2 * thread_module._AT_EXIT_S
    assert endless.given_up == 1


@pytest.mark.blocking_allowed("the loops are stalled on purpose")
def test_an_engine_gives_up_the_threads_of_its_other_loops_and_counts_them(
    impatient: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def main(still: Still) -> tuple[EventLoopManager, list[LoopThread]]:
        async with EventLoopManager() as loops:
            sides = [loops.start(f"side {number}") for number in range(2)]
            stuck = [still.on(side) for side in sides]
        assert loops.abandoned == ["side 0", "side 1"]
        assert loops.state is LoopState.CLOSED
        for future in stuck:
            with pytest.raises(RejectedError, match=GIVEN_UP):
                await future
        return loops, sides

    with Still() as still:
        loops, sides = asyncio.run(main(still))
    impatient.undo()
    assert all(side.join(5) for side in sides)
    assert loops.abandoned == []
    assert caplog.text.count("does not end; given up") == 2


@pytest.mark.blocking_allowed("the loop is stalled on purpose")
def test_the_name_of_a_loop_whose_thread_is_still_there_is_taken(impatient: pytest.MonkeyPatch) -> None:
    loops = EventLoopManager(stall_after=None)
    with loops, Still() as still:
        side = loops.start("side")
        still.on(side)
        side.close()
        with pytest.raises(ConfigError, match="'side' already: it stands still and was given up") as caught:
            loops.start("side")
        assert "use another name" in str(caught.value.hint)
        assert loops.abandoned == ["side"]
        impatient.undo()
    assert side.join(5)


@pytest.mark.blocking_allowed("the engine's loop is stalled on purpose")
@pytest.mark.parametrize("watched", [False, True])
def test_leaving_an_engine_by_an_exception_gives_up_a_loop_that_stands_still(
    impatient: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, *, watched: bool
) -> None:
    engine = ConcurrencyManager.in_thread(cpu=1, memory=1 << 20)
    calls: list[None] = []
    if watched:
        engine.meanwhile = lambda: calls.append(None)

    def leave(still: Still) -> None:
        with engine as manager:
            known.append((manager, still.on(manager.loops)))
            raise ZeroDivisionError

    known: list[tuple[ConcurrencyManager, Spawned[Any]]] = []
    with Still() as still:
        with pytest.raises(ZeroDivisionError):
            leave(still)
        [(manager, stuck)] = known
        assert manager.loops.abandoned == ["main"]
        assert bool(calls) == watched
        with pytest.raises(RejectedError, match=GIVEN_UP):
            stuck.result()
        with pytest.raises(RejectedError, match="the engine was given up with the thread of its loop"):
            manager.submit(int)
        assert "the thread of the loop 'main' does not end; given up. It stands at:" in caplog.text
    impatient.undo()
    thread = manager.loops.main
    assert isinstance(thread, LoopThread)
    assert thread.join(10), "it came round, and closed the engine"
    assert manager.orchestrator.closed
    assert manager.loops.state is LoopState.CLOSED


@pytest.mark.blocking_allowed("the engine's loop is stalled on purpose")
def test_who_waits_for_a_task_of_an_engine_that_is_given_up_is_refused_and_the_task_ends_if_it_comes_round(
    impatient: pytest.MonkeyPatch,
) -> None:
    outcomes: list[str] = []

    def ask(how: Callable[[], object]) -> None:
        try:
            how()
        except RejectedError as error:
            outcomes.append(str(error))

    async def wait(handle: Handle[str]) -> None:
        await handle

    def leave(still: Still) -> None:
        with ConcurrencyManager.in_thread(cpu=1, memory=1) as manager:
            known.append((manager, handle := manager.submit(still.stand_later)))
            assert still.stands.wait(5)
            for how in (handle.result, lambda: handle.result(10), lambda: asyncio.run(wait(handle))):
                threads.append(threading.Thread(target=ask, args=(how,), daemon=True))
                threads[-1].start()
            while len(manager.orchestrator.waiting_elsewhere) < len(threads):
                threads[-1].join(0.001)
            raise ZeroDivisionError

    known: list[tuple[ConcurrencyManager, Handle[str]]] = []
    threads: list[threading.Thread] = []
    with Still() as still:
        with pytest.raises(ZeroDivisionError):
            leave(still)
        for thread in threads:
            thread.join(5)
        [(manager, handle)] = known
        ask(handle.result)
        refusal = f"task '{handle.name}' is not waited for any more, since its loop stands still: {GIVEN_UP}"
        assert outcomes == [refusal] * 4
        assert not handle.done()
    impatient.undo()
    assert manager.loops.main.join(10)  # type: ignore[attr-defined]  # it has a thread
    assert handle.result() == "stood still"


@pytest.mark.blocking_allowed("the engine's loop is stalled on purpose")
@pytest.mark.usefixtures("impatient")
def test_leaving_an_engine_waits_for_what_was_submitted_also_if_it_blocks_the_loop(
    caplog: pytest.LogCaptureFixture,
) -> None:
    calls: list[None] = []

    def wait_on() -> None:
        calls.append(None)
        if len(calls) == 10:  # by then it would have been given up
            still.__exit__()

    async def block() -> str:
        return still.stand()

    still, engine = Still(), ConcurrencyManager.in_thread(cpu=1, memory=1 << 20)
    engine.meanwhile = wait_on
    with engine as manager:
        handle = manager.submit(block)
        assert still.stands.wait(5)
    assert handle.result(0) == "stood still"
    assert len(calls) >= 10
    assert "given up" not in caplog.text
