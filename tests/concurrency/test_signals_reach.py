"""Listeners that cannot be reached for a moment, or any more."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from tenire import ConcurrencyManager, RejectedError
from tenire.clock import SYSTEM_CLOCK
from tenire.concurrency import EventLoopManager, Signals
from tenire.concurrency.loops import LoopState, LoopThread, portal
from tenire.concurrency.loops.forks import FORKED
from tenire.concurrency.loops.kinds import loop_factory
from tenire.concurrency.signals.subscription import PER_TURN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tenire.concurrency.signals import Subscription
    from tenire.testing import SimLoop


@dataclass(frozen=True)
class Step:
    number: int


@dataclass(frozen=True)
class Over:
    number: int
    terminal: ClassVar[bool] = True


class Door:
    """Lets functions in, or refuses them."""

    def __init__(self) -> None:
        self.shut = True
        self.asked = 0
        self.inside: list[Callable[[], object]] = []

    def post(self, fn: Callable[[], object]) -> None:
        self.asked += 1
        if self.shut:
            raise RejectedError("it is shut")
        self.inside.append(fn)

    def serve(self) -> None:
        while self.inside:
            self.inside.pop(0)()


# -- any function ---------------------------------------------------------


def test_a_refusal_costs_no_event_that_is_not_one_too_many(caplog: pytest.LogCaptureFixture) -> None:
    signals, door, seen = Signals(), Door(), []
    subscription = signals.subscribe(object, seen.append, on=door.post, capacity=2)
    for event in (Over(1), Step(2), Step(3), Step(4), Over(5)):
        signals.emit(event)
    assert not subscription.ended
    assert (subscription.waiting, subscription.dropped) == (4, 1)
    assert caplog.text.count("is not reached for now") == 1
    door.shut = False
    signals.emit(Step(6))
    door.serve()
    assert seen == [Over(1), Step(4), Over(5), Step(6)]


def test_an_event_of_any_type_has_it_tried_again() -> None:
    signals, door, seen = Signals(), Door(), []
    signals.subscribe(Over, seen.append, on=door.post)
    signals.emit(Over(1))
    door.shut = False
    assert signals.emit("for nobody") == 0
    door.serve()
    assert seen == [Over(1)]
    asked = door.asked
    signals.emit("for nobody")
    assert door.asked == asked  # no more than was refused is asked for


def test_what_was_refused_is_tried_for_the_last_time_at_the_end() -> None:
    signals, door, seen = Signals(), Door(), []
    signals.subscribe(Over, seen.append, on=door.post)
    signals.emit(Over(1))
    door.shut = False
    signals.close()
    door.serve()
    assert seen == [Over(1)]


def test_what_is_refused_at_the_end_too_is_told(caplog: pytest.LogCaptureFixture) -> None:
    signals, door = Signals(), Door()
    subscription = signals.subscribe(Over, print, on=door.post)
    signals.emit(Over(1))
    signals.emit(Over(2))
    signals.close()
    assert "a listener of Over is given up, 2 events lost" in caplog.text
    assert "it is shut" in caplog.text
    assert subscription.waiting == 0


def test_who_waits_for_room_at_one_that_was_refused_has_it_tried_again(sim_loop: SimLoop) -> None:
    signals, door, seen = Signals(), Door(), []
    signals.subscribe(Step, seen.append, on=door.post, policy="block", capacity=1)
    signals.emit(Step(1))

    async def scenario() -> None:
        door.shut = False
        waiting = asyncio.create_task(signals.aemit(Step(2)))
        await asyncio.sleep(1.0)
        door.serve()
        assert await waiting == 1

    sim_loop.run_until_complete(scenario())
    door.serve()
    assert seen == [Step(1), Step(2)]


def test_a_turn_that_was_forgotten_is_asked_for_again() -> None:
    signals, door, seen = Signals(), Door(), []
    door.shut = False
    signals.subscribe(Step, seen.append, on=door.post)
    signals.emit(Step(1))
    door.inside.clear()
    signals.emit(Step(2))
    door.serve()
    assert seen == [Step(1), Step(2)]


def test_a_loop_that_was_closed_before_the_turn_came_is_given_up(caplog: pytest.LogCaptureFixture) -> None:
    loop, signals = asyncio.new_event_loop(), Signals()
    subscription = signals.subscribe(Step, print, on=loop)
    signals.emit(Step(1))
    loop.close()
    assert not subscription.ended
    signals.emit(Step(2))
    assert subscription.ended
    assert "given up, 2 events lost" in caplog.text


def test_asking_again_and_again_costs_no_more_each_time() -> None:
    signals, door = Signals(), Door()
    signals.subscribe(Step, print, on=door.post)
    for number in range(100):
        signals.emit(Step(number))
    assert door.asked <= 200


# -- those who wait for room at one that is never reached again -----------


@pytest.fixture(params=["asyncio", "uvloop"])
def other_loop(request: pytest.FixtureRequest) -> Iterator[asyncio.AbstractEventLoop]:
    if request.param == "uvloop":
        pytest.importorskip("uvloop")
    loop = loop_factory(request.param)()
    yield loop
    loop.close()


def full(signals: Signals, on: Any) -> Subscription:
    subscription = signals.subscribe(Step, print, on=on, policy="block", capacity=1)
    signals.emit(Step(1))
    return subscription


def emitting(signals: Signals) -> tuple[threading.Thread, list[int]]:
    reached: list[int] = []
    thread = threading.Thread(target=lambda: reached.append(signals.emit(Step(2))), daemon=True)
    thread.start()
    return thread, reached


def test_a_thread_does_not_wait_for_a_loop_that_was_closed_before_the_turn_came(
    other_loop: asyncio.AbstractEventLoop, caplog: pytest.LogCaptureFixture
) -> None:
    signals = Signals()
    subscription = full(signals, other_loop)
    other_loop.close()
    thread, reached = emitting(signals)
    thread.join(10)
    assert reached == [0]
    assert subscription.ended
    assert "a listener of Step is given up, 1 events lost" in caplog.text


def test_a_thread_that_waits_learns_that_the_loop_is_closed(other_loop: asyncio.AbstractEventLoop) -> None:
    signals, waits = Signals(), threading.Event()

    class Room(list[Any]):
        """Tells when somebody waits."""

        def append(self, look_again: Any) -> None:
            super().append(look_again)
            waits.set()

    subscription = full(signals, other_loop)
    subscription.room = Room()
    thread, reached = emitting(signals)
    assert waits.wait(10)
    assert not reached
    other_loop.close()
    thread.join(10)
    assert reached == [0]
    assert subscription.ended


def test_a_coroutine_that_waits_learns_that_the_loop_is_closed(
    other_loop: asyncio.AbstractEventLoop, sim_loop: SimLoop
) -> None:
    signals = Signals()

    async def scenario() -> None:
        full(signals, other_loop)
        waiting = asyncio.create_task(signals.aemit(Step(2)))
        await asyncio.sleep(1.0)
        assert not waiting.done()
        other_loop.close()
        assert await asyncio.wait_for(waiting, 1.0) == 0
        full(signals, other_loop)
        assert signals.emit(Step(2)) == 0  # which may not wait here, and does not have to

    sim_loop.run_until_complete(scenario())


def test_a_loop_that_closes_just_when_it_is_asked_is_given_up_though_it_took_the_turn() -> None:
    signals, taken = Signals(), []

    class Closing(asyncio.SelectorEventLoop):
        def call_soon_threadsafe(self, *args: Any, **options: Any) -> Any:  # type: ignore[override]
            handle = super().call_soon_threadsafe(*args, **options)
            taken.append(handle)
            self.close()
            return handle

    subscription = full(signals, Closing())
    assert len(taken) == 1
    assert subscription.ended


def test_who_waits_has_it_asked_again_if_a_turn_was_thrown_away(sim_loop: SimLoop) -> None:
    signals, door = Signals(), Door()
    door.shut = False

    async def scenario() -> None:
        full(signals, door.post)
        waiting = asyncio.create_task(signals.aemit(Step(2)))
        await asyncio.sleep(1.0)
        door.inside.clear()
        await asyncio.sleep(1.0)
        assert door.asked == 2
        door.serve()
        assert await asyncio.wait_for(waiting, 1.0) == 1

    sim_loop.run_until_complete(scenario())


def test_who_forgets_every_turn_is_not_asked_without_end(sim_loop: SimLoop) -> None:
    signals, asked = Signals(), []

    async def scenario() -> None:
        subscription = full(signals, lambda _turn: asked.append(1))
        waiting = asyncio.create_task(signals.aemit(Step(2)))
        await asyncio.sleep(1.0)
        assert not waiting.done()
        assert len(asked) == 2
        subscription.cancel()
        assert await waiting == 0

    sim_loop.run_until_complete(scenario())


# -- the way into a loop --------------------------------------------------


def test_a_loop_for_which_too_many_calls_wait_still_gets_events(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(portal, "MOST_WAITING", 3)
    seen: list[Any] = []
    got = threading.Event()

    async def scenario() -> None:
        async with EventLoopManager() as loops:
            signals = Signals()
            subscription = signals.subscribe(Over, lambda event: (seen.append(event), got.set()), on=loops.post)
            for number in range(3):
                loops.post(seen.append, number)
            with pytest.raises(RejectedError):
                loops.post(int)
            signals.emit(Over(1))
            signals.emit(Over(2))
            assert subscription.waiting == 2
            assert loops.main.waiting == 4  # one turn for all of its events
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert not subscription.ended

    asyncio.run(scenario())
    assert seen == [0, 1, 2, Over(1), Over(2)]  # behind what was sent before


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_loop_that_drains_still_gets_events(wrapped: bool) -> None:
    seen: list[Any] = []

    async def scenario() -> None:
        loops, signals = EventLoopManager(), Signals()
        async with loops:
            on = (lambda turn: loops.post(turn)) if wrapped else loops.post
            subscription = signals.subscribe(Over, seen.append, on=on)
            signals.emit(Over(1))  # taken in, and refused before its turn
            loops.drain()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert seen == [Over(1)]
            signals.emit(Over(2))
        assert loops.state is LoopState.CLOSED
        signals.emit(Over(3))
        assert not subscription.ended
        await asyncio.sleep(0)
        assert seen == [Over(1), Over(2), Over(3)]

    asyncio.run(scenario())


def test_what_an_engine_says_at_its_end_reaches_who_listens_through_it() -> None:
    seen: list[Any] = []

    async def scenario() -> None:
        manager = ConcurrencyManager(cpu=1, memory=1, adaptive=False)
        manager.signals.subscribe(Over, seen.append, on=manager.loops.post)
        manager.signals.emit(Over(1))  # before there is a loop
        async with manager:
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert seen == [Over(1)]
            drain = manager.loops.drain

            def late() -> None:
                drain()
                manager.signals.emit(Over(2))

            manager.loops.drain = late  # type: ignore[method-assign]
        assert manager.loops.state is LoopState.CLOSED
        await asyncio.sleep(0)

    asyncio.run(scenario())
    assert seen[:2] == [Over(1), Over(2)]


def test_all_that_waits_at_the_end_comes_in_one_turn_which_may_be_the_last(sim_loop: SimLoop) -> None:
    signals, seen = Signals(), []
    signals.subscribe(object, seen.append, on=sim_loop)
    for number in range(10 * PER_TURN):
        signals.emit(number)
    signals.emit(Over(1))
    signals.close()
    sim_loop.run_until_complete(asyncio.sleep(0))
    assert seen == [*range(10 * PER_TURN), Over(1)]


def test_a_loop_of_its_own_thread_that_was_closed_ends_it_and_tells(caplog: pytest.LogCaptureFixture) -> None:
    signals = Signals()
    with LoopThread("side", SYSTEM_CLOCK, kind="asyncio") as loop:
        subscription = signals.subscribe(Over, print, on=loop.post)
    signals.emit(Over(1))
    assert subscription.ended
    assert "a listener of Over is given up, 1 events lost" in caplog.text
    assert "closed" in caplog.text


def test_what_must_arrive_is_refused_where_there_is_no_loop_of_this_process() -> None:
    class Owed:
        must_arrive = True

        def __call__(self) -> None:
            pytest.fail("called")

    owner = portal.Portal("side", SYSTEM_CLOCK)
    with pytest.raises(RejectedError, match="has not started"):
        owner.post(Owed())
    loop = asyncio.new_event_loop()
    owner.opened(loop)
    owner.forked()
    with pytest.raises(RejectedError, match=FORKED):
        owner.post(Owed())
    loop.close()
