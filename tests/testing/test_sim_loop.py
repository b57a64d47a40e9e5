from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest

from tenire.clock import SYSTEM_CLOCK
from tenire.testing import SimDeadlockError, SimLimitError, SimLoop, SimUnhandledError, run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


def test_time_jumps_over_a_year_at_once() -> None:
    async def main() -> float:
        await asyncio.sleep(365 * 86_400)
        return asyncio.get_running_loop().time()

    assert run(main) == 365 * 86_400


def test_a_million_seconds_pass_in_less_than_a_minute() -> None:
    async def main() -> None:
        for _ in range(100_000):
            await asyncio.sleep(10)

    started = SYSTEM_CLOCK.now()
    run(main)
    assert SYSTEM_CLOCK.now() - started < 60


def test_delays_add_up_to_equal_moments() -> None:
    async def main() -> list[float]:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(0.1)
        await asyncio.sleep(0.2)
        return [loop.time(), loop.call_later(0.3, int).when()]

    assert run(main) == [0.3, 0.6]


def test_call_at_never_fires_early() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        for when in (0.1 + 0.2, 1.1 * 3, 7 * 0.07 + 4):
            reached = asyncio.Event()
            loop.call_at(when, reached.set)
            await reached.wait()
            assert loop.time() >= when

    run(main)


def test_a_cancelled_timer_does_not_move_time() -> None:
    async def main() -> float:
        loop = asyncio.get_running_loop()
        for _ in range(1000):
            loop.call_later(5, int).cancel()
        await asyncio.sleep(10)
        loop.call_later(1, int).cancel()
        try:
            async with asyncio.timeout(1):
                await asyncio.sleep(99)
        except TimeoutError:
            return loop.time()
        return -1

    assert run(main) == 11


def test_cancelled_timers_do_not_pile_up() -> None:
    with SimLoop() as loop:

        async def main() -> None:
            for _ in range(5000):
                loop.call_later(1e6, int).cancel()
                await asyncio.sleep(1)

        loop.run_until_complete(main())
        assert len(loop._heap) < 500


def test_a_deadlock_names_the_tasks_that_wait_and_where() -> None:
    async def waits_for_ever() -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        await asyncio.create_task(waits_for_ever(), name="the-stuck-one")

    with pytest.raises(SimDeadlockError, match="deadlock at virtual time") as caught:
        run(main, seed=5)
    assert "the-stuck-one" in str(caught.value)
    assert "locks.py" in str(caught.value)
    assert any("SimLoop(seed=5)" in note for note in caught.value.__notes__)


def test_a_cancelled_timer_does_not_hide_a_deadlock() -> None:
    async def main() -> None:
        asyncio.get_running_loop().call_later(5, int).cancel()
        await asyncio.Event().wait()

    with pytest.raises(SimDeadlockError, match=r"at virtual time 0\.0 s"):
        run(main)


def test_a_timer_at_infinity_does_not_hide_a_deadlock() -> None:
    with pytest.raises(SimDeadlockError):
        run(lambda: asyncio.sleep(float("inf")))


def test_an_operation_under_way_is_not_a_deadlock() -> None:
    async def main() -> int:
        return await asyncio.to_thread(lambda: 42)

    assert run(main) == 42


def test_a_run_without_end_is_broken_off() -> None:
    async def spins() -> None:
        while True:  # noqa: ASYNC110 - a spinning task is what is tested
            await asyncio.sleep(0)

    async def ticks() -> None:
        while True:  # noqa: ASYNC110 - as above
            await asyncio.sleep(1)

    with pytest.raises(SimLimitError, match="1000 steps"):
        run(spins, max_steps=1000)
    with pytest.raises(SimLimitError, match=r"60\.0 virtual seconds"):
        run(ticks, max_virtual_seconds=60)


def test_a_failure_carries_the_seed() -> None:
    async def main() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no") as caught:
        run(main, seed=99)
    assert "SimLoop(seed=99)" in caught.value.__notes__[-1]


async def _fails() -> None:
    raise KeyError("lost")


def test_an_exception_that_nobody_retrieves_is_an_error() -> None:
    kept: list[Any] = []

    async def main() -> None:
        kept.append(asyncio.create_task(_fails()))
        await asyncio.sleep(1)

    with pytest.raises(SimUnhandledError, match=r"never retrieved.*lost") as caught:
        run(main)
    assert isinstance(caught.value.__cause__, KeyError)


def test_a_forgotten_task_that_failed_is_an_error_too() -> None:
    async def main() -> None:
        task = asyncio.create_task(_fails())
        await asyncio.sleep(1)
        del task
        await asyncio.sleep(1)

    with pytest.raises(SimUnhandledError, match=r"never retrieved.*lost"):
        run(main)


def test_a_future_that_failed_unseen_is_an_error() -> None:
    kept: list[Any] = []

    async def main() -> None:
        kept.append(asyncio.get_running_loop().create_future())
        kept[0].set_exception(KeyError("unseen"))

    with pytest.raises(SimUnhandledError, match="unseen"):
        run(main)


def test_a_callback_that_fails_is_an_error() -> None:
    async def main() -> None:
        asyncio.get_running_loop().call_soon(lambda: 1 / 0)
        await asyncio.sleep(1)

    with pytest.raises(SimUnhandledError, match="division"):
        run(main)


def test_an_exception_handler_of_the_test_takes_errors_over() -> None:
    seen: list[Any] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: seen.append(context["exception"]))
        loop.call_soon(lambda: 1 / 0)
        await asyncio.sleep(1)

    run(main)
    assert [type(error) for error in seen] == [ZeroDivisionError]


def test_leftover_tasks_are_cancelled_and_their_ends_run() -> None:
    ends: list[str] = []

    async def lingers(name: str) -> None:
        try:
            await asyncio.sleep(1000)
        finally:
            await asyncio.sleep(1)
            ends.append(name)

    kept: list[Any] = []

    async def main() -> None:
        kept.extend(asyncio.create_task(lingers(name)) for name in "ab")
        await asyncio.sleep(0)

    with SimLoop() as loop:
        loop.run_until_complete(main())
    assert sorted(ends) == ["a", "b"]
    assert loop.time() == 1


def test_a_task_that_refuses_to_be_cancelled_is_named() -> None:
    async def stubborn() -> None:
        while True:
            try:
                await asyncio.sleep(1)
            except asyncio.CancelledError:
                continue

    kept: list[Any] = []

    async def main() -> None:
        kept.append(asyncio.create_task(stubborn(), name="stubborn"))
        await asyncio.sleep(0)

    with pytest.raises(SimLimitError, match="stubborn"):
        run(main)


def test_async_generators_are_closed() -> None:
    ends: list[str] = []

    async def numbers() -> AsyncIterator[int]:
        try:
            yield 1
            yield 2
        finally:
            await asyncio.sleep(1)
            ends.append("closed")

    kept = numbers()

    async def main() -> None:
        assert await anext(kept) == 1

    run(main)
    assert ends == ["closed"]


def test_another_thread_is_refused() -> None:
    errors: list[BaseException] = []

    def intrude() -> None:
        try:
            loop.call_soon_threadsafe(int)
        except RuntimeError as error:
            errors.append(error)

    with SimLoop() as loop:
        thread = threading.Thread(target=intrude, name="intruder")
        thread.start()
        thread.join()
        assert "intruder" in str(errors[0])
        loop.call_soon_threadsafe(loop.stop)
        loop.run_forever()


def test_sockets_and_processes_are_refused_with_a_reason() -> None:
    with pytest.raises(NotImplementedError, match=r"no create_connection\(\): it runs on virtual time"):
        run(lambda: asyncio.open_connection("127.0.0.1", 1))
    with pytest.raises(NotImplementedError, match=r"no subprocess_exec"):
        run(lambda: asyncio.create_subprocess_exec("true"))


def test_a_real_executor_is_replaced_by_a_fake_one() -> None:
    async def main() -> tuple[str, float]:
        loop = asyncio.get_running_loop()
        name = await loop.run_in_executor(None, lambda: threading.current_thread().name)
        return name, loop.time()

    name, took = run(main)
    assert name == threading.main_thread().name
    assert took > 0


def test_the_clock_of_the_loop_follows_virtual_time() -> None:
    with SimLoop() as loop:
        wall = loop.clock.wall()
        loop.run_until_complete(asyncio.sleep(1.5))
        assert (loop.clock.now(), loop.clock.now_ns(), loop.clock.wall() - wall) == (1.5, 1_500_000_000, 1.5)
        loop.clock.step_wall(-10)
        assert (loop.clock.now(), loop.clock.wall() - wall) == (1.5, -8.5)


def test_reading_the_clock_can_take_time() -> None:
    with SimLoop(reading_takes=0.25) as loop:
        assert [loop.clock.now(), loop.clock.now()] == [0.25, 0.5]
        assert loop.time() == 0.5, "the loop looks at its own time for nothing"


def test_after_a_suspend_gap_everything_due_runs_at_once() -> None:
    async def main() -> list[float]:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SimLoop)
        times: list[float] = []
        for delay in (1, 2, 3):
            loop.call_later(delay, lambda: times.append(loop.time()))
        loop.suspend(100)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return times

    assert run(main) == [100.0] * 3


def test_the_loop_of_a_failed_block_is_closed() -> None:
    with pytest.raises(ZeroDivisionError), SimLoop() as loop:
        _ = 1 / 0
    assert loop.is_closed()


def test_the_trace_shows_what_ran() -> None:
    with SimLoop() as loop:
        loop.run_until_complete(asyncio.sleep(1))
        kinds = [(event.time_ns, event.kind) for event in loop.trace.events]
        assert len(loop.trace) == len(kinds)
    assert (10**9, "timer") in kinds
