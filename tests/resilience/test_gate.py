from __future__ import annotations

import asyncio
import random
import threading
from typing import Any

import pytest

from tenire.core.breaker import CircuitBreaker
from tenire.errors import CircuitOpenError
from tenire.resilience import Guard
from tenire.resilience.gate import Gate, gate_of
from tenire.testing import ManualClock, run


def opened(*, permits: int = 3, open_for: float = 10.0) -> Gate:
    gate = Gate(CircuitBreaker(minimum_calls=1, half_open_permits=permits, open_for=open_for))
    permit = gate.enter_nowait(0.0)
    assert permit is not None
    gate.leave(permit, 0.0, "failure")
    return gate


async def enter(gate: Gate) -> Any:
    now = asyncio.get_running_loop().time
    return gate.enter_nowait(now()) or await gate.enter(now, deadline=float("inf"), name="call")


@pytest.mark.parametrize("permits", [1, 3, 10])
def test_a_thousand_callers_at_half_open_never_exceed_its_permits(permits: int) -> None:
    inside = most = calls = 0
    breaker = CircuitBreaker(minimum_calls=1, half_open_permits=permits, open_for=10.0)
    guard = Guard(breaker=breaker)
    rng = random.Random(permits)

    async def probe() -> None:
        nonlocal inside, most, calls
        inside += 1
        calls += 1
        most = max(most, inside if breaker.state == "half_open" else 0)
        try:
            await asyncio.sleep(rng.random())
            if calls < 300 or rng.random() < 0.3:
                raise ConnectionError
        finally:
            inside -= 1

    async def main() -> None:
        with pytest.raises(ConnectionError):
            await guard.call(probe)
        tasks = [asyncio.create_task(guard.call(probe)) for _ in range(1000)]
        for place, task in enumerate(tasks):
            if place % 10 == 0:
                asyncio.get_running_loop().call_later(rng.uniform(5, 50), task.cancel)
        await asyncio.wait(tasks)
        assert {type(task.exception()) for task in tasks if not task.cancelled()} == {ConnectionError, type(None)}
        assert guard.statistics().waiting == 0

    run(main)
    assert most == permits
    breaker.check()


def test_they_are_let_in_in_the_order_in_which_they_came_and_nobody_overtakes() -> None:
    gate = opened(permits=1)
    order: list[int] = []

    async def caller(number: int) -> None:
        permit = await enter(gate)
        order.append(number)
        await asyncio.sleep(1)
        gate.leave(permit, asyncio.get_running_loop().time(), "cancelled")

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(5):
                group.create_task(caller(number))
                await asyncio.sleep(2.6)  # the last one comes at 10.4, when the circuit is half open

    run(main)
    assert order == [0, 1, 2, 3, 4]


def test_when_the_first_one_leaves_the_next_one_watches_the_clock() -> None:
    gate = opened()

    async def main() -> None:
        first, second = asyncio.create_task(enter(gate)), asyncio.create_task(enter(gate))
        await asyncio.sleep(5)
        first.cancel()
        await second
        assert asyncio.get_running_loop().time() == 10

    run(main)


def test_when_a_try_fails_those_that_wait_wait_for_the_new_time() -> None:
    gate = opened(permits=1)

    async def main() -> None:
        now = asyncio.get_running_loop().time
        permits = [asyncio.create_task(enter(gate)) for _ in range(3)]
        await asyncio.sleep(11)
        gate.leave(permits[0].result(), now(), "failure")
        await permits[1]
        assert now() == 31  # open for 20 s more
        gate.leave(permits[1].result(), now(), "ok")
        await permits[2]
        assert now() == 31

    run(main)


def test_a_permit_granted_in_the_moment_of_cancellation_comes_back() -> None:
    gate = opened(permits=1)

    async def main() -> None:
        now = asyncio.get_running_loop().time
        first = await enter(gate)
        second, third = asyncio.create_task(enter(gate)), asyncio.create_task(enter(gate))
        await asyncio.sleep(1)
        gate.leave(first, now(), "cancelled")
        second.cancel()
        await third
        assert now() == 11

    run(main)


def test_one_breaker_has_one_gate_for_as_long_as_anybody_holds_it() -> None:
    breaker = CircuitBreaker()
    gate = gate_of(breaker)
    assert gate_of(breaker) is gate
    assert gate_of(CircuitBreaker()) is not gate
    assert Guard(breaker=breaker)._gate is Guard(breaker=breaker)._gate is gate


def test_threads_wait_at_the_same_gate() -> None:
    clock = ManualClock(20.0)
    gate = opened(permits=2)
    inside = most = calls = 0
    lock = threading.Lock()

    def caller() -> None:
        nonlocal inside, most, calls
        for _ in range(50):
            permit = gate.enter_nowait(clock.now()) or gate.enter_blocking(
                clock.now, deadline=float("inf"), name="call"
            )
            with lock:
                inside += 1
                calls += 1
                most = max(most, inside)
            threading.Event().wait(0)
            with lock:
                inside -= 1
            gate.leave(permit, clock.now(), "cancelled")

    threads = [threading.Thread(target=caller) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert calls == 400
    assert most <= 2
    assert len(gate) == 0
    gate.breaker.check()


def test_a_thread_gives_its_place_to_who_waits_on_a_loop() -> None:
    gate = opened(permits=1)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        permit = gate.enter_nowait(1e9)
        assert permit is not None
        waiting = asyncio.create_task(gate.enter(lambda: 1e9, deadline=float("inf"), name="call"))
        await asyncio.sleep(0)
        assert len(gate) == 1
        await loop.run_in_executor(None, gate.leave, permit, 1e9, "ok")
        await asyncio.wait_for(waiting, 10)

    asyncio.run(main())


def test_who_waited_on_a_loop_that_was_closed_loses_no_place() -> None:
    gate = opened(permits=1)
    loop = asyncio.new_event_loop()

    async def stand() -> None:
        turn = asyncio.create_task(gate.enter(lambda: 11.0, deadline=float("inf"), name="call"))
        await asyncio.sleep(0)
        tasks.append(turn)

    tasks: list[Any] = []
    first = gate.enter_nowait(11.0)
    assert first is not None
    loop.run_until_complete(stand())
    loop.close()
    assert len(gate) == 1
    gate.leave(first, 11.0, "cancelled")
    assert gate.enter_nowait(11.0) is not None
    tasks[0]._log_destroy_pending = False
    tasks[0].get_coro().close()


def test_a_thread_that_cannot_wait_until_then_is_refused() -> None:
    gate = opened()
    with pytest.raises(CircuitOpenError, match=r"open for another 8 s"):
        gate.enter_blocking(lambda: 2.0, deadline=5.0, name="call")
    assert gate.enter_nowait(10.0) is not None
    clock = iter([10.0, 10.0, 10.2, 10.4, 10.6])
    gate.enter_nowait(10.0)
    gate.enter_nowait(10.0)
    with pytest.raises(CircuitOpenError, match=r"half open"):
        gate.enter_blocking(lambda: next(clock), deadline=10.3, name="call")
    assert len(gate) == 0


def test_at_the_very_time_the_one_who_waits_goes_before_the_one_who_comes() -> None:
    gate = opened(permits=1)

    async def main() -> None:
        waiting = asyncio.create_task(enter(gate))
        await asyncio.sleep(1)
        assert gate.enter_nowait(10.0) is None
        await waiting
        assert asyncio.get_running_loop().time() == 10

    run(main)
