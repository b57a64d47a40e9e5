from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from concurrent.futures import CancelledError
from typing import Any

import pytest

from tenire import ConcurrencyManager, RejectedError
from tenire.concurrency.loops import EventLoopManager, LoopState


def test_another_thread_calls_into_the_loop_and_gets_the_value_or_the_error() -> None:
    with ConcurrencyManager.in_thread(cpu=1, memory=1) as manager:
        assert manager.loops.call(threading.get_ident) != threading.get_ident()
        with pytest.raises(ZeroDivisionError):
            manager.loops.call(lambda: 1 // 0)

        async def add(one: int, two: int) -> int:
            await asyncio.sleep(0)
            return one + two

        assert manager.loops.wait(add(1, 2), timeout=5) == 3


def test_the_thread_of_the_main_loop_can_be_given_another_kind_of_loop() -> None:
    pytest.importorskip("uvloop")
    manager = EventLoopManager(stall_after=None)
    manager.own_thread(kind="asyncio")
    with contextlib.closing(asyncio.new_event_loop()) as plain, manager as loops:
        assert type(loops.call(asyncio.get_running_loop)) is type(plain)


def test_a_call_from_the_loops_own_thread_is_refused() -> None:
    with ConcurrencyManager.in_thread(cpu=1, memory=1) as manager:

        async def ask() -> None:
            with pytest.raises(RuntimeError, match="await"):
                manager.loops.call(lambda: None)

        manager.loops.wait(ask(), timeout=5)


def test_context_variables_go_along() -> None:
    who: contextvars.ContextVar[str] = contextvars.ContextVar("who")

    async def read() -> str:
        return who.get()

    with ConcurrencyManager.in_thread(cpu=1, memory=1) as manager:
        who.set("ann")
        assert manager.loops.wait(read(), timeout=5) == "ann"


def test_what_was_spawned_is_cancelled_at_the_end_and_nobody_waits_for_ever() -> None:
    with ConcurrencyManager.in_thread(cpu=1, memory=1) as manager:
        future = manager.loops.spawn(asyncio.sleep(1000))
    with pytest.raises(CancelledError):
        future.result(timeout=5)
    assert manager.loops.state == LoopState.CLOSED
    with pytest.raises(RejectedError, match="closed"):
        manager.loops.call(lambda: None)
    with pytest.raises(RejectedError, match="closed"):
        manager.loops.post(lambda: None)


def test_a_loop_without_an_owner_says_how_to_get_one() -> None:
    loops = EventLoopManager()
    assert loops.state == LoopState.NEW
    with pytest.raises(Exception, match="async with"):
        _ = loops.loop


def test_posted_calls_come_in_order() -> None:
    calls: list[Any] = []
    with ConcurrencyManager.in_thread(cpu=1, memory=1) as manager:
        for number in range(100):
            manager.loops.post(calls.append, number)
        manager.loops.call(lambda: None)
    assert calls == list(range(100))
