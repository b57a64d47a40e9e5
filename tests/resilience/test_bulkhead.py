from __future__ import annotations

import asyncio

import pytest

from tenire.core.concurrency_limit import AdaptiveLimit
from tenire.errors import ConfigError
from tenire.resilience import Bulkhead, Guard
from tenire.resilience.failures import UnmadeError
from tenire.testing import run


def test_so_many_calls_run_at_a_time_and_those_that_wait_go_in_order() -> None:
    bulkhead = Bulkhead(3)
    order: list[int] = []
    most = 0

    async def call(number: int) -> None:
        nonlocal most
        async with bulkhead():
            order.append(number)
            most = max(most, bulkhead.inflight)
            await asyncio.sleep(1)

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(10):
                group.create_task(call(number))
            await asyncio.sleep(0.5)
            assert (bulkhead.inflight, bulkhead.waiting) == (3, 7)
        assert asyncio.get_running_loop().time() == 4

    run(main)
    assert most == 3
    assert order == list(range(10))
    assert (bulkhead.inflight, bulkhead.waiting) == (0, 0)


def test_a_slot_that_is_given_away_is_not_taken_by_who_comes_in_that_moment() -> None:
    bulkhead = Bulkhead(1)
    order: list[str] = []

    async def call(name: str) -> None:
        async with bulkhead():
            order.append(name)

    async def main() -> None:
        async with bulkhead():
            waiting = asyncio.create_task(call("first"))
            await asyncio.sleep(0)
        await call("second")  # at once, before the first one has woken up
        await waiting

    run(main)
    assert order == ["first", "second"]


def test_a_slot_granted_in_the_moment_of_cancellation_goes_to_the_next() -> None:
    bulkhead = Bulkhead(1)

    async def main() -> None:
        async with bulkhead():
            first, second = (asyncio.create_task(bulkhead.acquire()) for _ in range(2))
            await asyncio.sleep(1)
        first.cancel()
        await second
        assert bulkhead.inflight == 1

    run(main)


class Spy(AdaptiveLimit):
    __slots__ = ("ends", "inflights")

    def __init__(self) -> None:
        super().__init__(initial=4)
        self.ends: list[tuple[float, bool]] = []
        self.inflights: list[int] = []

    def on_start(self, now, inflight):  # type: ignore[no-untyped-def]
        self.inflights.append(inflight)
        return super().on_start(now, inflight)

    def on_end(self, token, now, ok=True):  # type: ignore[no-untyped-def]
        self.ends.append((now, ok))
        super().on_end(token, now, ok)


class BusyError(Exception):
    status = 429


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (None, [True]),
        (ValueError(), [True]),
        (BusyError(), [False]),
        (TimeoutError(), [False]),
        (UnmadeError(), []),
        (asyncio.CancelledError(), []),
    ],
)
def test_an_adaptive_limit_is_told_how_calls_ended(error: BaseException | None, told: list[bool]) -> None:
    limit = Spy()
    bulkhead = Bulkhead(limit)

    async def call() -> None:
        async with bulkhead():
            await asyncio.sleep(2)
            if error is not None:
                raise error

    async def main() -> None:
        if error is None:
            await call()
        else:
            with pytest.raises(type(error)):
                await call()

    run(main)
    assert limit.ends == [(2.0, ok) for ok in told]
    assert limit.inflights == [1]
    assert bulkhead.inflight == 0


def test_it_finds_how_much_a_server_bears_that_refuses_what_is_too_much() -> None:
    limit = AdaptiveLimit(initial=40, maximum=100)
    guard = Guard(limit=limit)
    inside = served = 0

    async def server() -> None:
        nonlocal inside, served
        if inside >= 10:
            raise BusyError
        inside += 1
        await asyncio.sleep(1)
        inside -= 1
        served += 1

    async def client() -> None:
        while asyncio.get_running_loop().time() < 120:
            try:
                await guard.call(server)
            except BusyError:
                await asyncio.sleep(0.01)

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(60):
                group.create_task(client())

    run(main)
    assert 7 <= limit.limit <= 13
    assert served >= 0.8 * 10 * 120


@pytest.mark.parametrize("limit", [0, -1, 2.5, True, "3", None])
def test_an_impossible_limit_is_refused(limit: object) -> None:
    with pytest.raises(ConfigError, match="limit must be"):
        Bulkhead(limit)  # type: ignore[arg-type]


def test_who_waits_goes_before_who_comes_when_the_limit_has_risen_in_between() -> None:
    limit = AdaptiveLimit(initial=1, maximum=9)
    bulkhead = Bulkhead(limit)

    async def main() -> None:
        token = await bulkhead.acquire()
        first = asyncio.create_task(bulkhead.acquire())
        await asyncio.sleep(1)
        limit.limit = 2
        second = asyncio.create_task(bulkhead.acquire())
        await asyncio.sleep(1)
        assert not second.done()
        bulkhead.release(token, None)
        await first
        await second

    run(main)


def test_a_limit_that_a_start_has_raised_lets_in_those_that_wait() -> None:
    class Rising(AdaptiveLimit):
        __slots__ = ()

        def on_start(self, now, inflight):  # type: ignore[no-untyped-def]
            self.limit = inflight + 1
            return super().on_start(now, inflight)

    bulkhead = Bulkhead(Rising(initial=1, maximum=9))

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(5):
                group.create_task(bulkhead.acquire())
        assert bulkhead.inflight == 5

    run(main)
