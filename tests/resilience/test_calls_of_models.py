"""What calls of paid models need beside the rest: refusals that cost nothing, and caches that fill themselves."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from typing import TYPE_CHECKING, Any

import pytest

from tenire.core.breaker import CircuitBreaker
from tenire.core.outages import Sign
from tenire.core.retry_budget import RetryBudget
from tenire.core.tasks import Retry
from tenire.errors import CircuitOpenError, ConfigError
from tenire.resilience import MISSING, FailedTry, FillingCache, Guard, Kind
from tenire.resilience.failures import PassedOverError
from tenire.testing import run

from .servers import BusyError, Server, down

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Hashable


def put_off(error: BaseException) -> Kind | None:
    return Kind.UNCOUNTED if isinstance(error, BusyError) else None


def test_what_is_put_off_burns_no_try_and_does_not_open_the_circuit() -> None:
    server = Server(*[BusyError("2") for _ in range(20)], *down(2))
    seen: list[FailedTry] = []
    guard = Guard(
        retry=Retry(attempts=3, backoff=0.1, max_delay=1.0),
        budget=RetryBudget(reserve=2),
        breaker=CircuitBreaker(minimum_calls=5),
        classify=put_off,
        watch=seen.append,
    )
    assert run(lambda: guard.call(server)) == "answer"
    assert guard.statistics().state == "closed"
    assert [failed.tries for failed in seen] == [0] * 20 + [1, 2]
    assert all(later - earlier >= 2.0 for earlier, later in itertools.pairwise(server.times[:20]))


def test_what_is_put_off_too_often_fails_and_says_so() -> None:
    server = Server(*[BusyError("1") for _ in range(200)])
    guard = Guard(retry=2, classify=put_off)

    async def main() -> None:
        with pytest.raises(BusyError) as caught:
            await guard.call(server)
        assert "given up after 101 tries: it was put off 101 times" in caught.value.__notes__[0]

    run(main)


def test_who_waits_for_the_end_of_an_outage_has_all_its_tries_left() -> None:
    ends_at = 300.0
    times: list[float] = []

    async def call() -> str:
        times.append(asyncio.get_running_loop().time())
        await asyncio.sleep(0.1)
        if times[-1] < ends_at:
            raise ConnectionError("down")
        return "answer"

    breaker = CircuitBreaker(minimum_calls=4, open_for=5.0, half_open_permits=1)
    guard = Guard(retry=Retry(attempts=3, backoff=0.1), budget=RetryBudget(reserve=20), breaker=breaker)

    async def main() -> list[str]:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(guard.call(call)) for _ in range(6)]
        return [task.result() for task in tasks]

    assert run(main) == ["answer"] * 6
    assert len(times) < 50
    assert max(times) < ends_at + 60


def test_a_blocking_call_that_waits_for_the_end_of_an_outage_has_its_tries_left_too() -> None:
    answers = iter([ConnectionError("down")] * 5)
    breaker = CircuitBreaker(minimum_calls=1, open_for=1e-6, half_open_permits=1)

    @Guard(retry=Retry(attempts=3, backoff=1e-6, max_delay=1e-6), budget=False, breaker=breaker)
    def call() -> str:
        for error in answers:
            raise error
        return "answer"

    assert call() == "answer"


class BrokenError(Exception):
    status_code = 500


def test_a_call_that_never_succeeds_does_not_hold_up_the_end_by_probing_for_ever() -> None:
    times: list[float] = []

    async def call(good: bool) -> str:
        times.append(asyncio.get_running_loop().time())
        await asyncio.sleep(0.1)
        if not good:
            raise BrokenError
        return "answer"

    breaker = CircuitBreaker(minimum_calls=4, open_for=1.0, half_open_permits=1)
    guard = Guard(retry=Retry(attempts=5, backoff=0.1), budget=RetryBudget(reserve=50), breaker=breaker)

    async def main() -> list[object]:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(tried(guard.call(call, good))) for good in (True, True, False)]
        return [task.result() for task in tasks]

    async def tried(answer: Awaitable[str]) -> object:
        try:
            return await answer
        except BrokenError:
            return "given up"

    assert run(main) == ["answer", "answer", "given up"]
    assert breaker.state != "closed", "nothing but the bad one was left to find out"
    assert len(times) - 2 == 5 + 3, "its probes count but for the first three"


@pytest.mark.parametrize(("others", "state"), [(True, "closed"), (False, "open")])
def test_what_keeps_failing_while_others_are_answered_does_not_open_the_circuit(others: bool, state: str) -> None:
    async def bad() -> str:
        raise BrokenError

    async def good() -> str:
        return "answer"

    breaker = CircuitBreaker(minimum_calls=8, open_for=1000.0)
    guard = Guard(retry=Retry(attempts=4, backoff=1.0, max_delay=1.0), budget=False, breaker=breaker, deadline=900.0)

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(3):
                group.create_task(given_up(guard))
            await asyncio.sleep(0.0)
            if others:
                await guard.call(good)

    async def given_up(guard: Guard) -> None:
        with pytest.raises(BrokenError if others else (BrokenError, CircuitOpenError)):
            await guard.call(bad)

    run(main)
    # Of twelve failures two of each call are told, six in all, and there are eight with the rest.
    assert breaker.state == state


def test_a_blocking_call_that_keeps_failing_does_not_open_the_circuit_either() -> None:
    breaker = CircuitBreaker(minimum_calls=6, open_for=1000.0)
    guard = Guard(retry=Retry(attempts=9, backoff=1e-6, max_delay=1e-6), budget=False, breaker=breaker, deadline=900.0)

    @guard
    def good() -> str:
        return "answer"

    @guard
    def bad() -> str:
        good()
        raise BrokenError

    with pytest.raises(BrokenError):
        bad()
    assert breaker.state == "closed"


def of_outage(error: BaseException) -> Sign | None:
    return Sign.UNREACHED if isinstance(error, ConnectionError) else None


def test_a_blocking_call_waits_out_an_outage_though_the_circuit_stays_closed() -> None:
    answers = iter([])
    breaker = CircuitBreaker(minimum_calls=100)
    seen: list[FailedTry] = []

    @Guard(
        retry=Retry(attempts=3, backoff=1e-6, max_delay=1e-6),
        budget=RetryBudget(reserve=0),
        breaker=breaker,
        outage=of_outage,
        watch=seen.append,
    )
    def call() -> str:
        for error in answers:
            raise error
        return "answer"

    assert call() == "answer"  # there is somebody to wait for
    answers = iter(down(50))
    assert call() == "answer"
    assert {(failed.kind, failed.tries) for failed in seen} == {(Kind.OUTAGE, 0)}


@pytest.mark.parametrize("attempts", [1, 3])
def test_who_is_told_to_try_once_waits_out_no_outage(attempts: int) -> None:
    guard = Guard(retry=attempts, breaker=True, outage=of_outage)
    server = Server(*down(5))

    async def main() -> None:
        await guard.call(Server())
        if attempts > 1:
            assert await guard.call(server) == "answer"
            return
        with pytest.raises(ConnectionError):
            await guard.call(server)

    run(main)
    assert len(server.times) == (1 if attempts == 1 else 6)


@pytest.mark.parametrize("patience", [0.0, 20.0])
def test_who_has_somebody_to_stand_in_waits_for_a_circuit_only_so_long(patience: float) -> None:
    guard = Guard(breaker=CircuitBreaker(minimum_calls=1, open_for=60.0))

    async def main() -> None:
        with pytest.raises(ConnectionError):
            await guard.call(Server(*down()))
        with pytest.raises(PassedOverError, match="its circuit is open"):
            await guard.call(Server(), patience=patience)
        assert asyncio.get_running_loop().time() == pytest.approx(patience)
        assert guard.statistics().waiting == 0
        assert await guard.call(Server(), patience=61.0) == "answer"

    run(main)


def test_and_sees_of_an_outage_no_more_than_it_has_tries() -> None:
    guard = Guard(retry=4, breaker=CircuitBreaker(minimum_calls=100), outage=of_outage)
    server = Server(*down(20))

    async def main() -> None:
        await guard.call(Server())
        with pytest.raises(PassedOverError) as caught:
            await guard.call(server, patience=0.0)
        assert isinstance(caught.value.__cause__, ConnectionError)

    run(main)
    assert len(server.times) == 4


def test_when_the_circuit_opens_who_waits_for_its_next_try_goes_on_at_once() -> None:
    breaker = CircuitBreaker(minimum_calls=2, open_for=1000.0)
    guard = Guard(retry=Retry(attempts=4, backoff=500.0, max_delay=500.0), budget=False, breaker=breaker)

    async def main() -> None:
        server = Server(*down(2), seconds=1.0)
        calls = [asyncio.create_task(guard.call(server, patience=0.0)) for _ in range(2)]
        await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
        assert asyncio.get_running_loop().time() == pytest.approx(1.0)
        await asyncio.wait(calls)
        assert all(isinstance(call.exception(), PassedOverError) for call in calls)

    run(main)


def test_an_outage_cannot_be_told_without_a_breaker() -> None:
    with pytest.raises(ConfigError, match="without a breaker"):
        Guard(retry=3, outage=of_outage)


def test_what_is_put_off_keeps_the_deadline() -> None:
    server = Server(*[BusyError("30") for _ in range(200)])
    guard = Guard(retry=2, classify=put_off, deadline=100.0)

    async def main() -> None:
        with pytest.raises(BusyError):
            await guard.call(server)

    run(main)
    assert len(server.times) == 4


def test_a_try_is_given_what_its_own_admission_gave() -> None:
    numbers = itertools.count(1)
    inside: set[int] = set()

    @contextlib.asynccontextmanager
    async def admission() -> AsyncIterator[int]:
        number = next(numbers)
        inside.add(number)
        try:
            yield number
        finally:
            inside.remove(number)

    errors = down(2)

    async def call(admitted: int, value: str) -> tuple[int, str]:
        assert inside == {admitted}
        if errors:
            raise errors.pop()
        return admitted, value

    guard = Guard(retry=3)
    assert run(lambda: guard.call(call, "x", admission=admission, hand_on=True)) == (3, "x")


def test_so_is_a_second_copy() -> None:
    numbers = itertools.count(1)

    @contextlib.asynccontextmanager
    async def admission() -> AsyncIterator[int]:
        yield next(numbers)

    slow: list[int] = []

    async def call(admitted: int, hang: bool = False) -> int:
        if hang and not slow:
            slow.append(admitted)
            await asyncio.sleep(1000.0)
        await asyncio.sleep(2.0 - admitted / 200)  # ever quicker: none of them needs a copy
        return admitted

    guard = Guard(hedge=True, idempotent=True, timeout=2000.0)

    async def main() -> int:
        for _ in range(100):
            await guard.call(call, admission=admission, hand_on=True)
        return await guard.call(call, True, admission=admission, hand_on=True)

    assert run(main) == slow[0] + 1  # the copy was quicker, and had a number of its own


class Shelf:
    """A cache that says itself when a result is made."""

    def __init__(self) -> None:
        self.kept: dict[Hashable, Any] = {}
        self.made = 0

    async def get(self, key: Hashable) -> Any:
        return self.kept.get(key, MISSING)

    async def put(self, key: Hashable, value: Any) -> None:
        raise AssertionError("it was to fill itself")

    async def fill(self, key: Hashable, make: Callable[[], Awaitable[Any]]) -> Any:
        await asyncio.sleep(1.0)
        self.made += 1
        self.kept[key] = await make()
        return self.kept[key]


def test_a_cache_that_fills_itself_is_asked_once_for_equal_calls() -> None:
    shelf, server = Shelf(), Server(seconds=1.0)
    assert isinstance(shelf, FillingCache)
    guard = Guard(cache=shelf)

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(5):
                group.create_task(guard.call(server, "x", key="x"))
        assert await guard.call(server, "x", key="x") == "x"

    run(main)
    assert shelf.made == len(server.times) == 1
    assert guard.statistics().cached == 1
    assert guard.statistics().shared == 4
