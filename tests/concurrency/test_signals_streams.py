from __future__ import annotations

import asyncio
import gc
import threading
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenire.concurrency import Signals
from tenire.testing import SimLoop, cancel_sweep

if TYPE_CHECKING:
    from tenire.concurrency.signals import Stream


def test_a_stream_begins_when_it_is_made_and_keeps_the_order(sim_loop: SimLoop) -> None:
    async def scenario() -> None:
        signals = Signals()
        signals.emit(0)
        stream = signals.stream(int)
        signals.emit(1)
        signals.emit(2)
        waiting = asyncio.create_task(_take(stream, 3))
        await asyncio.sleep(1.0)
        signals.emit(3)
        assert await waiting == [1, 2, 3]

    sim_loop.run_until_complete(scenario())


async def _take(stream: Stream[Any], many: int) -> list[Any]:
    return [await anext(stream) for _ in range(many)]


def test_only_one_waits_for_a_stream(sim_loop: SimLoop) -> None:
    async def scenario() -> None:
        signals = Signals()
        stream = signals.stream(int)
        first = asyncio.create_task(_take(stream, 1))
        await asyncio.sleep(1.0)
        with pytest.raises(RuntimeError, match="another one waits"):
            await anext(stream)
        signals.emit(1)
        assert await first == [1]

    sim_loop.run_until_complete(scenario())


def test_who_gave_up_waiting_makes_room_for_another(sim_loop: SimLoop) -> None:
    async def scenario() -> None:
        signals = Signals()
        stream = signals.stream(int)
        first = asyncio.create_task(_take(stream, 1))
        await asyncio.sleep(1.0)
        first.cancel()
        await asyncio.wait([first])
        second = asyncio.create_task(_take(stream, 1))
        await asyncio.sleep(1.0)
        signals.emit(1)
        assert await second == [1]

    sim_loop.run_until_complete(scenario())


def test_who_waits_for_room_in_a_stream_goes_on_when_nobody_holds_that(sim_loop: SimLoop) -> None:
    signals = Signals()

    async def scenario() -> None:
        stream = signals.stream(int, policy="block", capacity=1)
        signals.emit(1)
        waiting = asyncio.create_task(signals.aemit(2))
        await asyncio.sleep(1.0)
        assert not waiting.done()
        del stream
        gc.collect()
        assert await asyncio.wait_for(waiting, 1.0) == 0

    sim_loop.run_until_complete(scenario())


def test_a_thread_that_waits_for_room_in_a_stream_goes_on_when_nobody_holds_that() -> None:
    signals = Signals()
    stream = signals.stream(int, policy="block", capacity=1)
    signals.emit(1)
    waits = threading.Event()

    class Room(list[Any]):
        """Tells when somebody waits."""

        def append(self, look_again: Any) -> None:
            super().append(look_again)
            waits.set()

    stream._inbox.room = Room()
    thread = threading.Thread(target=signals.emit, args=(2,), daemon=True)
    thread.start()
    assert waits.wait(10)
    del stream
    gc.collect()
    thread.join(10)
    assert not thread.is_alive()


def test_a_stream_that_nobody_holds_gets_nothing(sim_loop: SimLoop) -> None:
    async def scenario() -> None:
        signals = Signals()
        signals.emit(0)
        async for number in signals.stream(int):
            pytest.fail(str(number))
            break
        assert signals.emit(1) == 0

    async def left_early() -> None:
        signals = Signals()
        stream = signals.stream(int)
        signals.emit(1)
        async for number in stream:
            assert number == 1
            break
        assert signals.emit(2) == 1
        del stream
        gc.collect()
        assert signals.emit(3) == 0
        assert not signals._subscribers

    sim_loop.run_until_complete(left_early())
    with pytest.raises(TimeoutError):
        sim_loop.run_until_complete(asyncio.wait_for(scenario(), 5.0))


def test_a_stream_that_is_closed_ends_and_drops_what_waits(sim_loop: SimLoop) -> None:
    async def scenario() -> None:
        signals = Signals()
        async with signals.stream(int) as stream:
            signals.emit(1)
            following = asyncio.create_task(_take(stream, 2))
            await asyncio.sleep(1.0)
        with pytest.raises(StopAsyncIteration):
            await anext(stream)
        assert signals.emit(2) == 0
        with pytest.raises(StopAsyncIteration):
            await following

    sim_loop.run_until_complete(scenario())


def test_threads_iterate_and_wait_as_long_as_they_like() -> None:
    signals = Signals()
    got: list[int] = []
    with signals.stream(int) as stream:
        with pytest.raises(TimeoutError, match=r"within 0\.01 s"):
            stream.get(timeout=0.01)
        following = threading.Thread(target=lambda: got.extend(stream))
        following.start()
        for number in range(100):
            signals.emit(number)
        signals.close()
        following.join(5.0)
        assert got == list(range(100))
        with pytest.raises(EOFError):
            stream.get()


def test_a_thread_with_a_running_loop_is_told_how_to_wait(sim_loop: SimLoop) -> None:
    async def scenario() -> None:
        with pytest.raises(RuntimeError, match="async for"):
            Signals().stream(int).get()

    sim_loop.run_until_complete(scenario())


def test_threads_that_emit_at_once_lose_nothing_and_mix_up_nothing() -> None:
    each, threads = 300, 4
    calls: list[tuple[int, int]] = []
    busy = threading.Lock()

    def listen(event: tuple[int, int]) -> None:
        assert busy.acquire(blocking=False)  # one call at a time
        calls.append(event)
        busy.release()

    async def scenario() -> list[tuple[int, int]]:
        signals = Signals()
        signals.subscribe(tuple, listen)
        directly: list[tuple[int, int]] = []
        signals.subscribe(tuple, directly.append, on="emitter", capacity=10_000)
        stream = signals.stream(tuple, policy="block", capacity=16)

        def emit(who: int) -> None:
            for number in range(each):
                signals.emit((who, number))

        emitting = [asyncio.create_task(asyncio.to_thread(emit, who)) for who in range(threads)]
        followed = await _take(stream, each * threads)
        await asyncio.wait(emitting)
        for seen in (followed, directly):
            assert len(seen) == each * threads
            for who in range(threads):
                assert [number for other, number in seen if other == who] == list(range(each))
        return followed

    followed = asyncio.run(scenario())
    dropped = len(followed) - len(calls)
    assert dropped >= 0
    for who in range(threads):
        numbers = [number for other, number in calls if other == who]
        assert numbers == sorted(set(numbers))


def test_cancelling_who_waits_loses_no_event_and_leaves_nothing() -> None:
    state: dict[str, Any] = {}

    async def scenario() -> None:
        signals = state["signals"] = Signals()
        stream = state["stream"] = signals.stream(int, policy="block", capacity=1)
        state["taken"] = []
        state["sent"] = 0
        loop = asyncio.get_running_loop()
        loop.call_later(1.0, signals.emit, 1)
        state["taken"].append(await anext(stream))
        signals.emit(2)
        loop.call_later(1.0, lambda: state["taken"].append(stream._inbox.take(lambda: None)[0]))
        await signals.aemit(3)
        state["sent"] = 1
        state["taken"].append(await anext(stream))

    async def check() -> None:
        signals, stream = state["signals"], state["stream"]
        await asyncio.sleep(5.0)  # what was under way comes
        assert stream._inbox.room == []
        while stream.waiting:
            state["taken"].append(await anext(stream))
        assert stream._inbox.waiter is None
        assert state["taken"] == sorted(set(state["taken"]))
        signals.emit(9)
        assert await anext(stream) == 9

    assert cancel_sweep(scenario, check=check).awaits >= 2


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("emit"), st.booleans()),
        st.tuples(st.just("run"), st.integers(0, 3)),
        st.tuples(st.just("subscribe"), st.sampled_from(["latest", "drop_oldest", "stream", "direct"])),
        st.tuples(st.just("cancel"), st.integers(0, 5)),
    ),
    max_size=40,
)


class Plain(int):
    pass


class Last(int):
    terminal = True


@given(steps=STEPS)
def test_every_subscriber_gets_what_it_should_in_order(steps: list[tuple[str, Any]]) -> None:
    """Events come while the loop does not run; so they wait, and the policies count."""
    capacity = 3
    signals = Signals()
    subscribers: list[tuple[str, Any, list[Any]]] = []
    models: list[list[Any]] = []  # what each has got, and what waits for it, by the rules
    waits: list[list[Any]] = []
    number = 0
    with SimLoop() as loop:
        for what, detail in steps:
            if what == "emit":
                number += 1
                event = (Last if detail else Plain)(number)
                alive = [index for index, (_, each, _) in enumerate(subscribers) if each is not None]
                assert signals.emit(event) == len(alive)
                for index in alive:
                    policy = subscribers[index][0]
                    if policy == "direct":
                        models[index].append(event)
                        continue
                    most = 1 if policy == "latest" else capacity
                    ordinary = [each for each in waits[index] if not isinstance(each, Last)]
                    if not detail and len(ordinary) >= most:
                        waits[index].remove(ordinary[0])
                    waits[index].append(event)
            elif what == "subscribe":
                seen: list[Any] = []
                if detail == "stream":
                    each: Any = signals.stream(int, capacity=capacity)
                elif detail == "direct":
                    each = signals.subscribe(int, seen.append)
                else:
                    each = signals.subscribe(int, seen.append, on=loop, policy=detail, capacity=capacity)
                subscribers.append((detail, each, seen))
                models.append([])
                waits.append([])
            elif what == "cancel" and subscribers:
                index = detail % len(subscribers)
                policy, each, seen = subscribers[index]
                if each is not None:
                    each.close() if policy == "stream" else each.cancel()
                    subscribers[index] = (policy, None, seen)
                    waits[index].clear()
            elif what == "run":
                loop.run_until_complete(asyncio.sleep(0.001))
                for index, (policy, each, seen) in enumerate(subscribers):
                    if policy == "stream" and each is not None:
                        seen += loop.run_until_complete(_take(each, len(waits[index])))
                        assert each.waiting == 0
                    models[index] += waits[index]
                    waits[index].clear()
            for (_, each, seen), model in zip(subscribers, models, strict=True):
                assert seen == model
                if each is not None:
                    (each._inbox if hasattr(each, "_inbox") else each).queue.check()
        signals.close()
