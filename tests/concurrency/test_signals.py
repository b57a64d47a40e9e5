from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from tenire import ConcurrencyManager, ConfigError
from tenire.concurrency import Signals
from tenire.concurrency.signals.subscription import PER_TURN

if TYPE_CHECKING:
    from tenire.testing import SimLoop


class Event:
    pass


@dataclass(frozen=True)
class Finished(Event):
    name: str


@dataclass(frozen=True)
class Failed(Event):
    name: str


@dataclass(frozen=True)
class Over(Event):
    name: str
    terminal: ClassVar[bool] = True


# -- listeners ------------------------------------------------------------


def test_listeners_get_the_events_of_their_type_in_order() -> None:
    signals, seen = Signals(), []
    signals.subscribe(Finished, lambda event: seen.append(("one", event.name)))
    signals.subscribe(Finished, lambda event: seen.append(("two", event.name)))
    signals.subscribe(Failed, lambda event: seen.append(("failed", event.name)))
    assert signals.emit(Finished("a")) == 2
    assert signals.emit(Finished("b")) == 2
    assert signals.emit("nobody listens") == 0
    assert seen == [("one", "a"), ("two", "a"), ("one", "b"), ("two", "b")]


def test_a_base_class_stands_for_all_its_subclasses() -> None:
    signals, seen, everything = Signals(), [], []
    signals.subscribe(Event, seen.append)
    signals.emit(Finished("a"))
    signals.subscribe(object, everything.append)
    assert signals.emit(Failed("b")) == 2
    assert signals.emit("c") == 1
    assert seen == [Finished("a"), Failed("b")]
    assert everything == [Failed("b"), "c"]


def test_unsubscribing_stops_it_and_may_be_done_twice() -> None:
    signals, seen = Signals(), []
    subscription = signals.subscribe(Finished, seen.append)
    signals.emit(Finished("a"))
    signals.unsubscribe(subscription)
    signals.unsubscribe(subscription)
    assert signals.emit(Finished("b")) == 0
    assert seen == [Finished("a")]
    assert subscription.ended


def test_listening_does_not_keep_an_object_alive() -> None:
    class Window:
        def show(self, event: Finished) -> None:
            seen.append(event)

    signals: Signals = Signals()
    seen: list[Finished] = []
    window = Window()
    subscription = signals.subscribe(Finished, window.show)
    assert signals.emit(Finished("a")) == 1
    del window
    gc.collect()
    assert subscription.ended
    assert signals.emit(Finished("b")) == 0
    assert seen == [Finished("a")]
    assert not signals._subscribers


def test_a_listener_that_fails_is_logged_and_the_others_get_the_event(caplog: pytest.LogCaptureFixture) -> None:
    signals, seen = Signals(), []
    signals.subscribe(Finished, lambda _: 1 / 0)
    signals.subscribe(Finished, seen.append)
    assert signals.emit(Finished("a")) == 2
    assert seen == [Finished("a")]
    assert "a listener of Finished failed" in caplog.text


def test_what_a_listener_emits_reaches_everybody_after_what_it_got() -> None:
    signals, seen = Signals(), []

    def answer(event: Event) -> None:
        seen.append(("one", event))
        if event == Finished("a"):
            signals.emit(Failed("b"))
            seen.append(("one", "goes on"))

    signals.subscribe(Event, answer)
    signals.subscribe(Event, lambda event: seen.append(("two", event)))
    signals.emit(Finished("a"))
    assert [what for who, what in seen if who == "one"] == [Finished("a"), "goes on", Failed("b")]
    assert [what for who, what in seen if who == "two"] == [Finished("a"), Failed("b")]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_what_ends_the_program_keeps_no_event_from_the_others(error: type[BaseException]) -> None:
    signals, seen = Signals(), []

    def interrupted(event: Event) -> None:
        if event == Finished("a"):
            raise error

    signals.subscribe(Event, interrupted)
    signals.subscribe(Event, seen.append)
    with pytest.raises(error):
        signals.emit(Finished("a"))
    assert seen == [Finished("a")]
    signals.emit(Finished("b"))
    assert seen == [Finished("a"), Finished("b")]


def test_a_listener_is_called_on_the_loop_on_which_it_subscribed() -> None:
    places: list[tuple[str, int]] = []

    async def scenario() -> None:
        signals, here = Signals(), threading.get_ident()
        arrived = asyncio.Event()

        def listen(event: Finished) -> None:
            places.append((event.name, threading.get_ident()))
            if event.name == "last":
                arrived.set()

        signals.subscribe(Finished, listen)
        signals.emit(Finished("here"))
        assert places == [("here", here)]  # at once
        await asyncio.to_thread(lambda: [signals.emit(Finished(name)) for name in ("a", "b", "last")])
        await arrived.wait()
        assert places[1:] == [("a", here), ("b", here), ("last", here)]

    asyncio.run(scenario())


def test_events_of_a_thread_that_wait_go_before_those_of_the_loop(sim_loop: SimLoop) -> None:
    signals, seen = Signals(), []
    signals.subscribe(Finished, seen.append, on=sim_loop)

    async def scenario() -> None:
        signals.emit(Finished("at once"))
        assert seen[-1] == Finished("at once")

    signals.emit(Finished("before it runs"))
    assert seen == []
    sim_loop.call_soon(signals.emit, Finished("on it"))
    sim_loop.run_until_complete(asyncio.sleep(1.0))
    assert seen == [Finished("before it runs"), Finished("on it")]
    sim_loop.run_until_complete(scenario())


def test_a_flood_lets_the_loop_come_round(sim_loop: SimLoop) -> None:
    signals, seen = Signals(), []
    signals.subscribe(Finished, seen.append, on=sim_loop)
    for number in range(5 * PER_TURN):
        signals.emit(Finished(str(number)))
    turns: list[int] = []

    async def scenario() -> None:
        while len(seen) < 5 * PER_TURN:
            turns.append(len(seen))
            await asyncio.sleep(0)

    sim_loop.run_until_complete(scenario())
    assert [int(event.name) for event in seen] == list(range(5 * PER_TURN))
    assert turns == [PER_TURN, 2 * PER_TURN, 3 * PER_TURN, 4 * PER_TURN]


def test_a_listener_is_called_through_any_function_that_calls_functions() -> None:
    signals, seen, calls = Signals(), [], []
    signals.subscribe(Finished, seen.append, on=calls.append)
    signals.emit(Finished("a"))
    signals.emit(Finished("b"))
    assert seen == []
    assert len(calls) == 1  # one call for all that waits
    calls.pop()()
    assert seen == [Finished("a"), Finished("b")]


def test_a_listener_whose_loop_is_closed_is_given_up(caplog: pytest.LogCaptureFixture) -> None:
    signals, seen = Signals(), []

    async def subscribe() -> Any:
        return signals.subscribe(Finished, seen.append)

    subscription = asyncio.run(subscribe())
    assert signals.emit(Finished("a")) == 1
    assert "is given up" in caplog.text
    assert subscription.ended
    assert signals.emit(Finished("b")) == 0
    assert seen == []


@pytest.mark.parametrize(
    ("key", "arguments", "options"),
    [
        ("event", ("Finished", print), {}),
        ("listener", (Finished, "print"), {}),
        ("on", (Finished, print), {"on": "the moon"}),
        ("policy", (Finished, print), {"policy": "newest"}),
        ("capacity", (Finished, print), {"capacity": 0}),
    ],
)
def test_impossible_arguments_are_refused(key: str, arguments: Any, options: Any) -> None:
    signals = Signals()
    with pytest.raises(ConfigError) as caught:
        signals.subscribe(*arguments, **options)
    assert caught.value.key == key
    assert not signals._subscribers


def test_a_coroutine_function_is_no_listener() -> None:
    async def listen(event: Finished) -> None:
        pytest.fail(str(event))

    with pytest.raises(ConfigError, match="plain function") as caught:
        Signals().subscribe(Finished, listen)
    assert "stream" in str(caught.value.hint)


def test_a_method_of_what_cannot_be_held_weakly_is_refused_with_the_way_out() -> None:
    class Slotted:
        __slots__ = ()

        def listen(self, event: Finished) -> None:
            pytest.fail(str(event))

    with pytest.raises(ConfigError, match=r"referred to weakly, got .*Slotted") as caught:
        Signals().subscribe(Finished, Slotted().listen)
    assert "__weakref__" in str(caught.value.hint)


# -- bounds ---------------------------------------------------------------


def test_the_newest_wins_and_the_end_is_never_lost(sim_loop: SimLoop) -> None:
    signals, seen = Signals(), []
    subscription = signals.subscribe(Event, seen.append, on=sim_loop, policy="latest")
    for event in (Finished("1"), Over("2"), Finished("3"), Over("4"), Finished("5"), Finished("6")):
        signals.emit(event)
    assert subscription.waiting == 3
    sim_loop.run_until_complete(asyncio.sleep(1.0))
    assert seen == [Over("2"), Over("4"), Finished("6")]
    assert subscription.dropped == 3


def test_the_oldest_is_dropped_and_counted(sim_loop: SimLoop) -> None:
    signals, seen = Signals(), []
    subscription = signals.subscribe(Event, seen.append, on=sim_loop, capacity=3)
    for number in range(10):
        signals.emit(Finished(str(number)))
    sim_loop.run_until_complete(asyncio.sleep(1.0))
    assert [event.name for event in seen] == ["7", "8", "9"]
    assert subscription.dropped == 7


def test_who_may_lose_nothing_lets_threads_wait() -> None:
    seen: list[int] = []

    async def scenario() -> None:
        signals = Signals()
        everything = signals.stream(int, policy="block", capacity=2)

        def emit() -> None:
            for number in range(50):
                signals.emit(number)
            signals.close()

        emitting = asyncio.create_task(asyncio.to_thread(emit))
        async for number in everything:
            assert everything.waiting <= 2
            seen.append(number)
        await emitting

    asyncio.run(scenario())
    assert seen == list(range(50))


def test_on_a_loop_that_must_not_block_emitting_says_so_and_nobody_gets_it(sim_loop: SimLoop) -> None:
    signals, others = Signals(), []

    async def scenario() -> None:
        signals.subscribe(Event, others.append)
        slow = signals.stream(Event, policy="block", capacity=1)
        signals.emit(Finished("a"))
        with pytest.raises(RuntimeError, match=r"await signals\.aemit"):
            signals.emit(Finished("b"))
        assert others == [Finished("a")]
        assert signals.emit(Over("c")) == 2  # for the end there is always room
        waiting = asyncio.create_task(signals.aemit(Finished("d")))
        await asyncio.sleep(1.0)
        assert not waiting.done()
        assert [await anext(slow), await anext(slow)] == [Finished("a"), Over("c")]
        assert await waiting == 2
        assert others == [Finished("a"), Over("c"), Finished("d")]
        assert signals.post(Finished("e")) == 2  # as the engine does it
        assert [await anext(slow), slow.dropped] == [Finished("e"), 1]

    sim_loop.run_until_complete(scenario())


def test_a_listener_of_the_loop_that_may_lose_nothing_lets_threads_wait() -> None:
    seen: list[int] = []

    async def scenario() -> None:
        signals = Signals()
        subscription = signals.subscribe(int, seen.append, policy="block", capacity=2)
        await asyncio.to_thread(lambda: [signals.emit(number) for number in range(50)])
        assert subscription.dropped == 0
        over = asyncio.Event()
        signals.subscribe(str, lambda _: over.set())
        await asyncio.to_thread(signals.emit, "over")
        await over.wait()
        assert subscription.room == []

    asyncio.run(scenario())
    assert seen == list(range(50))


def test_who_gave_up_waiting_for_room_leaves_nothing_behind(sim_loop: SimLoop) -> None:
    async def scenario() -> None:
        signals = Signals()
        slow = signals.stream(int, policy="block", capacity=1)
        signals.emit(1)
        waiting = asyncio.create_task(signals.aemit(2))
        await asyncio.sleep(1.0)
        waiting.cancel()
        await asyncio.wait([waiting])
        with pytest.raises(RuntimeError):
            signals.emit(3)
        assert slow._inbox.room == []
        assert await anext(slow) == 1
        assert slow.waiting == 0

    sim_loop.run_until_complete(scenario())


def test_what_waits_for_a_listener_is_dropped_when_it_is_unsubscribed(sim_loop: SimLoop) -> None:
    signals, seen = Signals(), []
    subscription = signals.subscribe(Event, seen.append, on=sim_loop)
    signals.emit(Finished("a"))
    signals.emit(Over("b"))
    assert subscription.waiting == 2
    subscription.cancel()
    assert subscription.waiting == 0
    sim_loop.run_until_complete(asyncio.sleep(1.0))
    assert seen == []


def test_a_listener_that_would_have_to_wait_for_itself_is_told() -> None:
    signals = Signals()
    errors: list[str] = []

    def listen(event: Finished) -> None:
        if event.name == "a":
            signals.emit(Finished("b"))
            try:
                signals.emit(Finished("c"))
            except RuntimeError as error:
                errors.append(str(error))

    signals.subscribe(Finished, listen, policy="block", capacity=1)
    signals.emit(Finished("a"))
    assert len(errors) == 1
    assert "only this thread" in errors[0]


def test_a_listener_that_is_still_to_get_an_event_cannot_be_waited_for_by_the_one_before_it() -> None:
    signals = Signals()
    errors: list[str] = []

    def first(event: Finished) -> None:
        if event.name == "a":
            signals.emit(Finished("b"))
            try:
                signals.emit(Finished("c"))
            except RuntimeError as error:
                errors.append(str(error))

    seen: list[Any] = []
    signals.subscribe(Finished, first, on="emitter")
    signals.subscribe(Finished, seen.append, on="emitter", policy="block", capacity=1)
    signals.emit(Finished("a"))
    assert len(errors) == 1
    assert "only this thread" in errors[0]
    assert seen == [Finished("a"), Finished("b")]


def test_a_subscription_whose_owner_is_gone_is_gone_without_the_collector() -> None:
    class Owner:
        def listen(self, event: Finished) -> None:
            pytest.fail(str(event))

    signals, owner = Signals(), Owner()
    gone = weakref.ref(signals.subscribe(Finished, owner.listen))
    gc.collect()
    gc.disable()
    try:
        del owner
        assert signals.emit(Finished("a")) == 0
        assert gone() is None
    finally:
        gc.enable()


# -- the end --------------------------------------------------------------


def test_closing_wakes_all_who_wait_and_delivers_what_was_emitted(sim_loop: SimLoop) -> None:
    signals, heard = Signals(), []
    signals.subscribe(Finished, heard.append, on=sim_loop)

    async def follow(stream: Any) -> list[Any]:
        return [event async for event in stream]

    async def scenario() -> None:
        full = signals.stream(Failed, policy="block", capacity=1)
        following = asyncio.create_task(follow(signals.stream(Finished)))
        idle = asyncio.create_task(follow(signals.stream(Over)))
        await asyncio.sleep(1.0)
        signals.emit(Failed("fills it"))
        blocked = asyncio.create_task(signals.aemit(Failed("waits")))
        await asyncio.sleep(1.0)
        signals.emit(Finished("a"))
        signals.close()
        assert signals.emit(Finished("too late")) == 0
        assert await following == [Finished("a")]
        assert await idle == []
        assert await blocked == 0
        assert await follow(full) == [Failed("fills it")]
        assert await follow(signals.stream(Finished)) == []

    sim_loop.run_until_complete(scenario())
    assert heard == [Finished("a")]


def test_the_engine_closes_its_signals_at_its_end() -> None:
    async def scenario() -> None:
        async with ConcurrencyManager(cpu=1, memory=1, adaptive=False) as manager:
            stream = manager.signals.stream(Finished)
            manager.signals.emit(Finished("a"))
        assert [event async for event in stream] == [Finished("a")]

    asyncio.run(scenario())
