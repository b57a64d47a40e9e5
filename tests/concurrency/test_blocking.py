"""Blocking functions of the engine's own: on threads that nobody has to end, and never waited for without end."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from typing import TYPE_CHECKING, Any

import pytest
from tests.concurrency.engines import eventually

from tenire.concurrency import blocking
from tenire.concurrency.blocking import (
    HASTE_S,
    LEAST_S,
    MOST,
    acquire_blocking,
    haste_s,
    hurry,
    run_blocking,
    stuck_functions,
    wait_or_give_up,
)
from tenire.testing import FakeExecutor

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from tenire.testing import SimLoop


class Stuck:
    """A function that does not return until it is let go; on a real thread."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.go = threading.Event()

    def __call__(self) -> int:
        self.begun.set()
        self.go.wait(30)
        return 42


def with_stuck(scenario: Callable[[Stuck], Coroutine[Any, Any, Any]]) -> Any:
    """Run a scenario on a plain loop; what is stuck is let go after the loop has ended."""
    stuck = Stuck()
    try:
        return asyncio.run(scenario(stuck))
    finally:
        stuck.go.set()


async def begun(stuck: Stuck) -> None:
    await run_blocking(stuck.begun.wait, 30)


def hangs(loop: SimLoop) -> None:
    loop.set_default_executor(FakeExecutor(loop, min_s=3600.0, max_s=3600.0))


def test_a_function_runs_on_a_daemon_that_ends_with_it_and_knows_the_context() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")
    seen: list[threading.Thread] = []

    def look(*, word: str) -> str:
        seen.append(threading.current_thread())
        return variable.get() + word

    async def main() -> str:
        variable.set("a")
        return await run_blocking(look, word="b")

    assert asyncio.run(main()) == "ab"
    (thread,) = seen
    assert thread.daemon
    thread.join(10)
    assert not thread.is_alive()


def test_an_error_reaches_whoever_waits() -> None:
    async def main() -> None:
        await run_blocking(int, "x")

    with pytest.raises(ValueError, match="invalid literal"):
        asyncio.run(main())


def test_no_more_run_at_once_than_there_may_be_and_the_others_follow() -> None:
    guard, running, most = threading.Lock(), 0, 0
    full = threading.Event()

    def work(number: int) -> int:
        nonlocal running, most
        with guard:
            running += 1
            most = max(most, running)
            if running == MOST:
                full.set()
        full.wait(30)
        with guard:
            running -= 1
        return number

    async def main() -> list[int]:
        async with asyncio.TaskGroup() as tasks:
            made = [tasks.create_task(run_blocking(work, number)) for number in range(3 * MOST)]
        return [each.result() for each in made]

    assert asyncio.run(main()) == list(range(3 * MOST))
    assert most == MOST


def test_a_loop_ends_though_a_function_does_not_return() -> None:
    async def scenario(stuck: Stuck) -> None:
        task = asyncio.create_task(run_blocking(stuck))
        await begun(stuck)
        task.cancel()
        await asyncio.wait([task])

    with_stuck(scenario)  # on the loop's default executor it would end after 30 s, with a loop that is closed


def test_what_nobody_waits_for_and_does_not_return_is_named_once() -> None:
    async def scenario(stuck: Stuck) -> tuple[list[str], list[str]]:
        awaited = asyncio.create_task(run_blocking(stuck.go.wait, 30))
        left = asyncio.create_task(run_blocking(stuck))
        await begun(stuck)
        left.cancel()
        await asyncio.wait([left])
        found = await stuck_functions(), await stuck_functions()
        awaited.cancel()
        return found

    first, second = with_stuck(scenario)
    assert first == [f"{Stuck.__module__}.Stuck"]
    assert second == []


def test_one_that_returns_in_time_is_not_named() -> None:
    async def scenario(stuck: Stuck) -> list[str]:
        left = asyncio.create_task(run_blocking(stuck))
        await begun(stuck)
        left.cancel()
        await asyncio.wait([left])
        stuck.go.set()
        return await stuck_functions(30.0)

    assert with_stuck(scenario) == []


def test_after_one_has_waited_in_vain_the_next_ones_hardly_wait(sim_loop: SimLoop) -> None:
    async def wait() -> asyncio.Task[int]:
        return asyncio.create_task(run_blocking(int))

    async def main() -> None:
        hangs(sim_loop)
        assert haste_s() == HASTE_S
        assert not await wait_or_give_up([await wait()], haste_s())
        between = sim_loop.time()
        assert not await wait_or_give_up([await wait()], haste_s())
        assert sim_loop.time() - between <= 3 * LEAST_S
        await asyncio.sleep(60)
        assert haste_s() == HASTE_S, "that disk may be well again"
        sim_loop.set_default_executor(FakeExecutor(sim_loop))
        assert await wait_or_give_up([await wait()], haste_s())

    sim_loop.run_until_complete(main())


def test_what_is_got_late_though_nobody_wants_it_is_given_back_before_the_cancellation_comes() -> None:
    given_back: list[int] = []

    async def scenario(stuck: Stuck) -> None:
        taking = asyncio.create_task(acquire_blocking(stuck, given_back.append))
        await begun(stuck)
        for _ in range(3):
            taking.cancel()
            await asyncio.sleep(0)
        assert not taking.done()
        stuck.go.set()
        await asyncio.wait([taking])
        assert taking.cancelled()
        assert given_back == [42]

    with_stuck(scenario)


def test_functions_that_nobody_waits_for_any_more_take_no_place_from_others() -> None:
    async def scenario(stuck: Stuck) -> int:
        for _ in range(MOST):
            left = asyncio.create_task(run_blocking(stuck))
            await begun(stuck)
            stuck.begun.clear()
            left.cancel()
            await asyncio.wait([left])
        async with asyncio.timeout(30):
            return await run_blocking(int, "7")

    assert with_stuck(scenario) == 7


def test_what_is_got_in_time_though_nobody_wants_it_is_given_back(sim_loop: SimLoop) -> None:
    held: list[int] = []

    def take() -> int:
        held.append(1)
        return 1

    async def main() -> None:
        taking = asyncio.create_task(acquire_blocking(take, held.remove))
        await asyncio.sleep(0)
        taking.cancel()
        await asyncio.wait([taking])
        assert taking.cancelled()
        assert held == []
        assert await acquire_blocking(take, held.remove) == 1
        assert held == [1]

    sim_loop.run_until_complete(main())


def test_what_is_got_after_the_end_of_the_loop_is_given_back() -> None:
    begun, go, given_back = threading.Event(), threading.Event(), threading.Event()
    given: list[object] = []

    def take() -> str:
        begun.set()
        go.wait(10)
        return "it"

    def give_back(what: str) -> None:
        given.append(what)
        given_back.set()

    async def main() -> None:
        taking = asyncio.create_task(acquire_blocking(take, give_back))
        await eventually(begun.is_set)
        taking.add_done_callback(lambda _: go.set())

    asyncio.run(main())  # cancels every task at its end, also the one that is not to be broken
    given_back.wait(2)
    assert given == ["it"]


def test_each_loop_has_threads_of_its_own() -> None:
    async def main() -> object:
        await run_blocking(int)
        return blocking._executor(asyncio.get_running_loop())

    assert asyncio.run(main()) is not asyncio.run(main())


def test_who_waits_with_a_long_limit_can_be_hurried(sim_loop: SimLoop) -> None:
    async def main() -> None:
        hangs(sim_loop)
        waiting = asyncio.create_task(wait_or_give_up([asyncio.create_task(run_blocking(int))], 100.0))
        await asyncio.sleep(10.0)
        hurry()
        assert await waiting is False
        assert 10.0 + HASTE_S <= sim_loop.time() <= 10.0 + HASTE_S + 2 * LEAST_S
        assert not await wait_or_give_up([asyncio.create_task(run_blocking(int))], 100.0)
        assert sim_loop.time() <= 10.0 + HASTE_S + 5 * LEAST_S, "whoever comes next has no time either"

    sim_loop.run_until_complete(main())


def test_a_function_that_raises_what_no_future_holds_is_told_so() -> None:
    async def main() -> None:
        with pytest.raises(RuntimeError, match="StopIteration") as caught:
            async with asyncio.timeout(10):
                await run_blocking(next, iter(()))
        assert isinstance(caught.value.__cause__, StopIteration)

    asyncio.run(main())
