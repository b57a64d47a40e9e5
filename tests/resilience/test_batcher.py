from __future__ import annotations

import asyncio
import contextvars
import json
import math
from typing import Any

import pytest

from tenire.errors import CallError, CallTimeoutError, ConfigError, RejectedError, WorkerDiedError
from tenire.resilience import Batcher, Guard
from tenire.testing import cancel_sweep, run


class Double:
    """Doubles numbers, takes a second, and fails for those that are named."""

    def __init__(self, *bad: int, error: type[Exception] | Exception = ValueError, seconds: float = 1.0) -> None:
        self.bad = set(bad)
        self.error = error
        self.seconds = seconds
        self.batches: list[list[int]] = []
        self.inside = self.most = self.cancelled = 0

    async def __call__(self, numbers: list[int]) -> list[int]:
        self.batches.append(list(numbers))
        self.inside += 1
        self.most = max(self.most, self.inside)
        try:
            await asyncio.sleep(self.seconds)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.inside -= 1
        if self.bad.intersection(numbers):
            raise self.error
        return [2 * number for number in numbers]


async def ask(batcher: Batcher[int, int], numbers: range) -> list[Any]:
    tasks = [asyncio.create_task(batcher(number)) for number in numbers]
    await asyncio.wait(tasks)
    return ["cancelled" if task.cancelled() else task.exception() or task.result() for task in tasks]


def test_what_comes_together_goes_together_and_everybody_gets_their_own_result() -> None:
    double = Double()

    async def main() -> None:
        assert await ask(Batcher(double, most=4), range(10)) == [2 * number for number in range(10)]

    run(main)
    assert double.batches == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert double.most == 1


def test_nothing_waits_while_nothing_runs_and_otherwise_only_for_so_long() -> None:
    double = Double()

    async def main() -> None:
        batcher = Batcher(double, max_delay=0.2, places=2)
        first = asyncio.create_task(batcher(1))
        await asyncio.sleep(0.5)
        second = asyncio.create_task(batcher(2))
        await asyncio.sleep(0.1)
        third = asyncio.create_task(batcher(3))
        await first
        assert asyncio.get_running_loop().time() == 1.0
        await second
        await third
        assert asyncio.get_running_loop().time() <= 1.7

    run(main)
    assert double.batches == [[1], [2, 3]]
    assert double.most == 2


@pytest.mark.parametrize("bad", [(5,), (0,), (63,), (3, 40), tuple(range(64))])
def test_a_bad_item_fails_alone_and_costs_few_calls(bad: tuple[int, ...]) -> None:
    double = Double(*bad)
    batcher = Batcher(double, most=64)

    async def main() -> None:
        results = await ask(batcher, range(64))
        for number, result in enumerate(results):
            assert isinstance(result, ValueError) if number in bad else result == 2 * number

    run(main)
    assert len(double.batches) <= 1 + 2 * len(bad) * (math.log2(64) + 1)
    assert batcher.statistics().failed == len(bad)
    assert batcher.statistics().waiting == batcher.statistics().running == 0


class UnauthorizedError(Exception):
    status = 401


class TooLargeError(Exception):
    status = 413


@pytest.mark.parametrize(
    ("error", "cut"),
    [
        (ConnectionError(), False),
        (TimeoutError(), False),
        (UnauthorizedError(), False),
        (RejectedError("closing"), False),
        (TooLargeError(), True),
        (TypeError(), True),
        (WorkerDiedError("gone", task="x"), True),
        (json.JSONDecodeError("cut off", "", 0), False),
    ],
)
def test_only_what_may_be_an_item_s_fault_cuts_a_batch(error: Exception, cut: bool) -> None:
    double = Double(3, error=error)

    async def main() -> None:
        results = await ask(Batcher(double), range(8))
        assert results[3] is error
        assert [result is error for result in results].count(True) == (1 if cut else 8)

    run(main)
    assert (len(double.batches) > 1) is cut


def test_the_caller_may_say_whose_fault_it_is() -> None:
    double = Double(3, error=ConnectionError)

    async def main() -> None:
        results = await ask(Batcher(double, blame=lambda _: True), range(8))
        assert [type(result) for result in results].count(ConnectionError) == 1

    run(main)


def test_a_caller_that_leaves_takes_its_item_with_it() -> None:
    double = Double()

    async def main() -> None:
        batcher = Batcher(double, most=4)
        tasks = [asyncio.create_task(batcher(number)) for number in range(8)]
        await asyncio.sleep(0.5)
        tasks[1].cancel()  # is running with others: they go on
        tasks[6].cancel()  # still waits
        await asyncio.wait(tasks)
        assert [task.cancelled() for task in tasks].count(True) == 2

    run(main)
    assert double.batches == [[0, 1, 2, 3], [4, 5, 7]]
    assert double.cancelled == 0


def test_with_the_last_of_its_callers_a_batch_is_cancelled_and_has_ended_by_then() -> None:
    double = Double()

    async def main() -> None:
        batcher = Batcher(double)
        tasks = [asyncio.create_task(batcher(number)) for number in range(2)]
        await asyncio.sleep(0.5)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        assert (double.inside, double.cancelled) == (0, 1)
        assert await batcher(5) == 10

    run(main)


def test_an_item_without_a_caller_is_not_tried_again() -> None:
    double = Double(0)

    async def main() -> None:
        batcher = Batcher(double)
        tasks = [asyncio.create_task(batcher(number)) for number in range(4)]
        await asyncio.sleep(0.5)
        tasks[0].cancel()
        await asyncio.wait(tasks)
        assert [task.result() for task in tasks[1:]] == [2, 4, 6]

    run(main)
    assert not any(0 in batch for batch in double.batches[1:])


def test_who_is_left_of_a_batch_is_not_blamed_for_one_that_left() -> None:
    double = Double(0)

    async def main() -> None:
        batcher = Batcher(double)
        bad, good = [asyncio.create_task(batcher(number)) for number in range(2)]
        await asyncio.sleep(0.5)
        bad.cancel()
        assert await good == 2

    run(main)
    assert double.batches == [[0, 1], [1]]


def test_a_batch_that_cancels_itself_is_cancelled_for_all() -> None:
    async def main() -> None:
        async def cancels(_: list[int]) -> list[int]:
            raise asyncio.CancelledError

        assert await ask(Batcher(cancels), range(3)) == ["cancelled"] * 3

    run(main)


def test_an_item_has_a_deadline_of_its_own_for_which_a_batch_starts_early() -> None:
    double = Double()

    async def main() -> None:
        batcher = Batcher(double, max_delay=100.0, places=2)
        await batcher(0)  # how long a batch takes is known now
        double.seconds, running = 50.0, asyncio.create_task(batcher(1))
        await asyncio.sleep(1)
        double.seconds = 1.0
        assert await batcher(2, deadline=3) == 4
        with pytest.raises(CallTimeoutError, match=r"no result for an item within its deadline of 0.5 s"):
            await batcher(3, deadline=0.5)
        await running

    run(main)


def test_what_came_can_be_cancelled_instead_of_waited_for() -> None:
    double = Double(seconds=100.0)

    async def main() -> None:
        batcher = Batcher(double, most=2)
        asked = [asyncio.create_task(batcher(number)) for number in range(5)]
        await asyncio.sleep(1)
        async with asyncio.timeout(10):
            await batcher.aclose(cancel=True)
            await asyncio.wait(asked)
        assert all(task.cancelled() for task in asked)
        assert (batcher.statistics().waiting, batcher.statistics().running) == (0, 0)
        with pytest.raises(RejectedError, match="was closed"):
            await batcher(5)

    run(main)


@pytest.mark.parametrize(
    ("returned", "words"), [([1], "for each of 3 items, got 1"), (None, "must return a sequence .* got NoneType")]
)
def test_a_function_that_returns_something_else_is_told_so_and_not_called_again(returned: Any, words: str) -> None:
    calls = 0

    async def wrong(_: list[int]) -> Any:
        nonlocal calls
        calls += 1
        return returned

    async def main() -> None:
        results = await ask(Batcher(wrong), range(3))
        assert all(isinstance(result, CallError) for result in results)
        with pytest.raises(CallError, match=words):
            raise results[0]

    run(main)
    assert calls == 1


def test_a_guard_inside_tries_the_batch_again_and_the_batcher_finds_the_bad_item() -> None:
    double = Double(3, seconds=0.1)
    failures = 2

    async def flaky(numbers: list[int]) -> list[int]:
        nonlocal failures
        if failures:
            failures -= 1
            raise ConnectionError
        return await double(numbers)

    async def main() -> None:
        results = await ask(Batcher(Guard(retry=3)(flaky)), range(8))
        assert [isinstance(result, ValueError) for result in results] == [number == 3 for number in range(8)]

    run(main)


def test_a_batch_runs_in_the_context_in_which_the_batcher_was_made() -> None:
    variable = contextvars.ContextVar("variable", default="batcher")

    async def read(items: list[int]) -> list[str]:
        return [variable.get() for _ in items]

    async def main() -> None:
        batcher = Batcher(read)
        variable.set("caller")
        assert await batcher(1) == "batcher"

    run(main)


def test_closing_waits_for_what_came_and_takes_no_more() -> None:
    double = Double()

    async def main() -> None:
        async with Batcher(double, most=2) as batcher:
            tasks = [asyncio.create_task(batcher(number)) for number in range(5)]
            await asyncio.sleep(0)
        assert [task.result() for task in tasks] == [0, 2, 4, 6, 8]
        with pytest.raises(RejectedError, match="Double was closed"):
            await batcher(6)

    run(main)


def test_one_loop_after_the_other_but_not_two_at_a_time() -> None:
    batcher = Batcher(Double(seconds=0.0))
    assert asyncio.run(batcher(1)) == 2  # type: ignore[arg-type]
    assert run(lambda: batcher(2)) == 4  # type: ignore[arg-type]
    batcher = Batcher(Double(seconds=5.0))

    async def main() -> None:
        running = asyncio.create_task(batcher(1))
        await asyncio.sleep(1)
        other = asyncio.new_event_loop()
        batcher._loop, own = other, batcher._loop
        with pytest.raises(ConfigError, match="in use on another event loop"):
            await batcher(2)
        batcher._loop = own
        other.close()
        assert await running == 2

    run(main)


def test_impossible_arguments_are_refused() -> None:
    with pytest.raises(ConfigError, match="async function"):
        Batcher(len)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="most"):
        Batcher(Double(), most=0)

    async def main() -> None:
        with pytest.raises(ConfigError, match="deadline"):
            await Batcher(Double())(1, deadline=-1)

    run(main)


@pytest.mark.parametrize("deadline", [None, 50.0])
@pytest.mark.parametrize("bad", [(), (3,)])
def test_a_caller_that_is_cancelled_at_any_await_leaves_nothing_behind(
    deadline: float | None, bad: tuple[int, ...]
) -> None:
    double: Double
    batcher: Batcher[int, int]

    async def scenario() -> None:
        nonlocal double, batcher
        double = Double(*bad)
        batcher = Batcher(double, most=2)
        async with asyncio.TaskGroup() as group:
            for number in range(5, 8):
                group.create_task(batcher(number))
            await batcher(4, deadline=deadline)
            await batcher.aclose()

    def check() -> None:
        statistics = batcher.statistics()
        assert (statistics.waiting, statistics.running, double.inside) == (0, 0, 0)
        assert batcher._timer is None
        batcher._core.check()

    assert cancel_sweep(scenario, check=check).awaits >= 3
