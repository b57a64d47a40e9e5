"""What Ctrl-C and SystemExit leave behind, at whatever point they come."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.concurrency.interrupts import Interrupt

from tenire.concurrency import Signals
from tenire.concurrency import signals as package
from tenire.concurrency.signals.stream import Inbox
from tenire.core import event_queue

if TYPE_CHECKING:
    from collections.abc import Callable

    from tenire.concurrency.signals import Stream
    from tenire.testing import SimLoop

ENDING = (SystemExit, KeyboardInterrupt)


@pytest.mark.parametrize("error", ENDING)
def test_others_that_end_the_program_too_keep_nothing_from_the_rest(
    error: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    signals, calls, direct, posted = Signals(), [], [], []

    def end(number: int) -> None:
        raise error(number)

    signals.subscribe(int, end, on="emitter")
    signals.subscribe(int, lambda number: end(number + 10), on="emitter")
    signals.subscribe(int, lambda number: end(number + 20), on="emitter")
    signals.subscribe(int, direct.append, on="emitter")
    signals.subscribe(int, posted.append, on=calls.append)
    with pytest.raises(error) as caught:
        signals.emit(1)
    assert caught.value.args == (1,)
    assert caplog.text.count("ended the program too") == 2
    assert direct == [1]
    assert len(calls) == 1
    calls.pop()()
    assert posted == [1]


@pytest.mark.parametrize("error", ENDING)
def test_what_waits_for_who_ended_the_program_is_delivered_too(error: type[BaseException]) -> None:
    signals, seen, calls = Signals(), [], []

    def end(number: int) -> None:
        seen.append(number)
        if number < 3:
            signals.emit(number + 1)
            raise error(number)

    signals.subscribe(int, end, on="emitter")
    with pytest.raises(error) as caught:
        signals.emit(1)
    assert caught.value.args == (1,)
    assert seen == [1, 2, 3]
    seen.clear()
    signals.subscribe(str, lambda text: end(int(text)), on=calls.append)
    signals.emit("2")
    signals.emit("5")
    with pytest.raises(error):
        calls.pop()()
    calls.pop()()
    assert seen == [2, 3, 5]


def test_an_event_that_was_to_be_delivered_goes_before_those_that_came_meanwhile() -> None:
    signals, seen = Signals(), []

    def end(number: int) -> None:
        if number == 1:
            signals.emit(2)
            raise SystemExit

    signals.subscribe(int, end, on="emitter")
    signals.subscribe(int, seen.append, on="emitter")
    with pytest.raises(SystemExit):
        signals.emit(1)
    assert seen == [1, 2]


# -- at every point -------------------------------------------------------

ROOMS = (str(Path(package.__file__).parent), str(event_queue.__file__))


def scene() -> tuple[Signals, list[list[int]], list[Callable[[], object]], Callable[[], object]]:
    signals, calls = Signals(), []
    seen: list[list[int]] = [[] for _ in range(4)]

    def first(number: int) -> None:
        seen[0].append(number)
        if number == 1:
            signals.emit(2)

    signals.subscribe(int, first, on="emitter")
    signals.subscribe(int, seen[1].append, on="emitter", policy="block", capacity=2)
    signals.subscribe(int, seen[2].append, on=calls.append)
    signals.subscribe(int, seen[3].append, on=calls.append, policy="latest")

    def act() -> None:
        signals.emit(1)
        while calls:
            calls.pop(0)()

    return signals, seen, calls, act


@pytest.mark.usefixtures("uncollected")
def test_an_interrupt_at_any_point_leaves_every_listener_listening() -> None:
    struck = 0
    while True:
        signals, seen, calls, act = scene()
        if not Interrupt(struck + 1, ROOMS).strikes(act):
            break
        struck += 1
        for number in (3, 4):
            thread: Any = threading.Thread(target=signals.emit, args=(number,))
            thread.start()
            thread.join(10)
            assert not thread.is_alive()
            while calls:
                calls.pop(0)()
        for got in seen:
            assert got[-2:] == [3, 4], (struck, seen)
            assert got == sorted(set(got)), (struck, seen)
        for subscription in signals._subscribers:
            assert not subscription.busy
            assert not subscription.queue.size
            subscription.queue.check()
    assert seen == [[1, 2], [1, 2], [1, 2], [2]]
    assert struck > 50


# -- streams --------------------------------------------------------------


@pytest.mark.usefixtures("uncollected")
def test_an_interrupt_of_an_emitter_at_any_point_leaves_no_thread_asleep_at_its_stream(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    take, waits = Inbox.take, threading.Event()

    def noted(inbox: Inbox, waiter: Callable[[], object]) -> tuple[Any, ...]:
        taken = take(inbox, waiter)
        if not taken:
            waits.set()
        return taken

    monkeypatch.setattr(Inbox, "take", noted)
    struck, going_on = 0, True
    while going_on:
        signals, got = Signals(), []
        waits.clear()
        thread = threading.Thread(target=lambda stream, got: got.extend(stream), args=(signals.stream(int), got))
        thread.daemon = True
        thread.start()
        assert waits.wait(10)
        going_on = Interrupt(struck + 1, (*ROOMS, threading.__file__)).strikes(lambda signals=signals: signals.emit(1))
        struck += going_on
        signals.emit(2)
        signals.close()
        thread.join(10)
        assert not thread.is_alive(), struck
        assert got in ([1, 2], [2]), struck
    assert got == [1, 2]
    assert struck > 10


@pytest.mark.usefixtures("uncollected")
def test_an_interrupt_of_an_emitter_at_any_point_leaves_no_coroutine_asleep_at_its_stream(sim_loop: SimLoop) -> None:
    struck, going_on = 0, True

    async def follow(stream: Stream[int], got: list[int]) -> None:
        got.extend([number async for number in stream])

    while going_on:
        signals, got = Signals(), []
        following = sim_loop.create_task(follow(signals.stream(int), got))
        sim_loop.run_until_complete(asyncio.sleep(1.0))
        act = Interrupt(struck + 1, (*ROOMS, str(Path(asyncio.__file__).parent)))
        going_on = act.strikes(lambda signals=signals: signals.emit(1))
        struck += going_on
        signals.emit(2)
        signals.close()
        sim_loop.run_until_complete(asyncio.wait_for(following, 1.0))
        assert got in ([1, 2], [2]), struck
    assert got == [1, 2]
    assert struck > 10


@pytest.mark.usefixtures("uncollected")
def test_who_was_interrupted_while_it_waited_for_an_event_can_wait_again() -> None:
    struck, going_on = 0, True
    while going_on:
        signals = Signals()
        stream = signals.stream(int)

        def wait(stream: Stream[int] = stream) -> None:
            with suppress(TimeoutError):
                stream.get(timeout=0.0)

        going_on = Interrupt(struck + 1, ROOMS).strikes(wait)
        struck += going_on
        with pytest.raises(TimeoutError):
            stream.get(timeout=0.0)
        signals.emit(1)
        assert stream.get(timeout=10) == 1
    assert struck > 3


@pytest.mark.usefixtures("uncollected")
def test_an_interrupt_of_who_takes_an_event_leaves_nobody_asleep_who_waits_for_room(sim_loop: SimLoop) -> None:
    struck, going_on = 0, True

    def take(stream: Stream[int]) -> None:
        with suppress(TimeoutError):
            stream.get(timeout=0.0)

    while going_on:
        signals = Signals()
        stream = signals.stream(int, policy="block", capacity=1)
        signals.emit(1)
        waiting = [sim_loop.create_task(signals.aemit(number)) for number in (2, 3)]
        sim_loop.run_until_complete(asyncio.sleep(1.0))
        going_on = Interrupt(struck + 1, ROOMS).strikes(lambda stream=stream: take(stream))
        struck += going_on
        for _ in range(3):
            take(stream)
            sim_loop.run_until_complete(asyncio.sleep(1.0))
        assert all(task.done() for task in waiting), struck
    assert struck > 10


def test_an_emitter_does_not_hear_that_the_loop_of_who_waited_is_closed() -> None:
    signals, loop = Signals(), asyncio.new_event_loop()
    stream = signals.stream(int)

    async def follow() -> None:
        await anext(stream)

    waiting: Any = loop.create_task(follow())
    waiting._log_destroy_pending = False  # as it is meant to be
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    assert signals.emit(1) == 1
    assert stream.get(timeout=0.0) == 1
    with pytest.raises(TimeoutError):
        stream.get(timeout=0.0)  # nobody else waits
