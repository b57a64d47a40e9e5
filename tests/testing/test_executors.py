from __future__ import annotations

import asyncio
import concurrent.futures

import pytest

from tenire.testing import FakeExecutor, LostWorkerError, SimLoop


def test_completion_times_lie_within_the_bounds_and_depend_on_the_seed() -> None:
    def times(seed: int) -> list[float]:
        with SimLoop(seed) as loop:
            pool = FakeExecutor(loop, min_s=1, max_s=3)

            async def main() -> list[float]:
                futures = [loop.run_in_executor(pool, loop.time) for _ in range(50)]
                return [await future for future in futures]

            return loop.run_until_complete(main())

    assert all(1 <= moment <= 3 for moment in times(1))
    assert times(1) == times(1)
    assert times(1) != times(2)
    assert times(1) != sorted(times(1)), "functions overtake each other"


def test_no_more_functions_run_at_once_than_there_are_workers() -> None:
    with SimLoop() as loop:
        pool = FakeExecutor(loop, min_s=1, max_s=1, workers=2)

        async def main() -> list[float]:
            futures = [loop.run_in_executor(pool, loop.time) for _ in range(5)]
            assert (pool.running, pool.waiting) == (2, 3)
            return [await future for future in futures]

        assert loop.run_until_complete(main()) == [1, 1, 2, 2, 3]


def test_a_waiting_function_can_be_cancelled_and_a_running_one_finishes() -> None:
    ran: list[str] = []
    with SimLoop() as loop:
        pool = FakeExecutor(loop, min_s=1, max_s=1, workers=1)

        async def main() -> None:
            running = loop.run_in_executor(pool, ran.append, "running")
            waiting = loop.run_in_executor(pool, ran.append, "waiting")
            running.cancel()
            waiting.cancel()
            await asyncio.sleep(5)

        loop.run_until_complete(main())
    assert ran == ["running"]


def test_an_exception_of_the_function_arrives() -> None:
    with SimLoop() as loop, pytest.raises(ZeroDivisionError):
        loop.run_until_complete(loop.run_in_executor(FakeExecutor(loop), lambda: 1 / 0))


def test_a_lost_worker_sometimes_did_the_work_before() -> None:
    ran: list[int] = []
    with SimLoop(seed=1) as loop:
        pool = FakeExecutor(loop, lose=1.0)

        async def main() -> None:
            for number in range(100):
                with pytest.raises(LostWorkerError, match="seed 1"):
                    await loop.run_in_executor(pool, ran.append, number)

        loop.run_until_complete(main())
    assert 20 < len(ran) < 80


def test_a_failure_replaces_the_function() -> None:
    with SimLoop() as loop:
        pool = FakeExecutor(loop, fail=1.0, error=lambda: OSError("no disk"))
        with pytest.raises(OSError, match="no disk"):
            loop.run_until_complete(loop.run_in_executor(pool, lambda: pytest.fail("it must not run")))


def test_a_delay_hits_the_next_function_only() -> None:
    with SimLoop() as loop:
        pool = FakeExecutor(loop, min_s=1, max_s=1)
        pool.delay(10)

        async def main() -> list[float]:
            futures = [loop.run_in_executor(pool, loop.time) for _ in range(2)]
            return [await future for future in futures]

        assert loop.run_until_complete(main()) == [11, 1]


def test_a_pending_future_refuses_to_block() -> None:
    with SimLoop() as loop:
        future = FakeExecutor(loop).submit(int)
        with pytest.raises(RuntimeError, match="would block its own loop for ever"):
            future.result(timeout=1)
        with pytest.raises(RuntimeError, match="would block its own loop for ever"):
            future.exception()


def test_after_shutdown_nothing_is_taken() -> None:
    with SimLoop() as loop:
        pool = FakeExecutor(loop, workers=1)
        first, second = pool.submit(int), pool.submit(int)
        pool.shutdown(cancel_futures=True)
        with pytest.raises(RuntimeError, match="after shutdown"):
            pool.submit(int)
        loop.run_until_complete(asyncio.sleep(1))
        assert first.result() == 0
        with pytest.raises(concurrent.futures.CancelledError):
            second.result()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_s": 2, "max_s": 1}, "min_s"),
        ({"min_s": -1}, "min_s"),
        ({"lose": 1.5}, "probabilities"),
        ({"workers": 0}, "workers"),
    ],
)
def test_impossible_settings_are_refused(options: dict[str, float], message: str) -> None:
    with SimLoop() as loop, pytest.raises(ValueError, match=message):
        FakeExecutor(loop, **options)  # type: ignore[arg-type]
