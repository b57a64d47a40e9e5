from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from tenire.core.breaker import CircuitBreaker
from tenire.core.hedging import ENOUGH, Hedging
from tenire.errors import RejectedError
from tenire.resilience import Guard
from tenire.resilience.hedge import Hedge
from tenire.testing import run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from types import FrameType


class Server:
    """Takes the next of these seconds for each call, and 1 when they are used up."""

    def __init__(self, *seconds: float, errors: dict[int, Exception] | None = None) -> None:
        self.seconds = list(seconds)
        self.errors = errors or {}
        self.calls = self.ended = self.cancelled = self.inside = self.most = 0

    async def __call__(self) -> int:
        self.calls += 1
        number = self.calls
        self.inside += 1
        self.most = max(self.most, self.inside)
        try:
            await asyncio.sleep(self.seconds.pop(0) if self.seconds else 1.0)
            if number in self.errors:
                raise self.errors[number]
            self.ended += 1
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.inside -= 1
        return number


async def warm(guard: Guard, server: Server) -> None:
    """Make so many calls that it is known which ones are slow."""
    for _ in range(ENOUGH):
        await guard.call(server)


def hedged(**options: Any) -> Guard:
    return Guard(hedge=Hedging(quantile=0.9, budget=1.0), idempotent=True, **options)


def test_a_slow_call_is_made_twice_the_quicker_answer_counts_and_the_other_call_is_cancelled() -> None:
    guard = hedged()
    server = Server(*[1.0] * ENOUGH, 100.0, 2.0)

    async def main() -> None:
        await warm(guard, server)
        began = asyncio.get_running_loop().time()
        assert await guard.call(server) == ENOUGH + 2
        assert asyncio.get_running_loop().time() - began == 3.0
        assert (server.cancelled, server.inside) == (1, 0)

    run(main)
    assert (guard.statistics().copies, guard.statistics().copies_won) == (1, 1)
    assert guard.statistics().tries == ENOUGH + 1


def test_if_the_first_call_answers_after_all_the_copy_is_cancelled() -> None:
    guard = hedged()
    server = Server(*[1.0] * ENOUGH, 3.0, 100.0)

    async def main() -> None:
        await warm(guard, server)
        assert await guard.call(server) == ENOUGH + 1
        assert server.cancelled == 1

    run(main)
    assert (guard.statistics().copies, guard.statistics().copies_won) == (1, 0)


@pytest.mark.parametrize(("failing", "answer"), [(1, 2), (2, 1)])
def test_if_one_fails_the_other_one_is_waited_for(failing: int, answer: int) -> None:
    guard = hedged()
    seconds = {1: 5.0, 2: 5.0}
    seconds[failing] = 1.5
    errors: dict[int, Exception] = {ENOUGH + failing: ConnectionError()}
    server = Server(*[1.0] * ENOUGH, seconds[1], seconds[2], errors=errors)

    async def main() -> None:
        await warm(guard, server)
        assert await guard.call(server) == ENOUGH + answer

    run(main)


def test_if_both_fail_the_first_call_s_error_counts() -> None:
    guard = hedged()
    first, second = ConnectionError("first"), ConnectionError("second")
    server = Server(*[1.0] * ENOUGH, 9.0, 2.0, errors={ENOUGH + 1: first, ENOUGH + 2: second})

    async def main() -> None:
        await warm(guard, server)
        with pytest.raises(ConnectionError) as caught:
            await guard.call(server)
        assert caught.value is first

    run(main)


def test_when_everything_becomes_slow_copies_never_exceed_the_budget() -> None:
    guard = Guard(hedge=Hedging(quantile=0.9, budget=0.05), idempotent=True)
    server = Server()

    async def main() -> None:
        await warm(guard, server)
        server.seconds = [50.0] * 5000
        async with asyncio.TaskGroup() as group:
            for _ in range(1000):
                group.create_task(guard.call(server))

    run(main)
    assert 0 < guard.statistics().copies <= 0.05 * (1000 + ENOUGH) + 1


def test_a_copy_needs_an_admission_of_its_own_and_goes_without_if_it_is_refused() -> None:
    free = 1
    entered = 0

    @contextlib.asynccontextmanager
    async def one_only() -> AsyncIterator[None]:
        nonlocal free, entered
        if not free:
            raise RejectedError("full")
        free -= 1
        entered += 1
        try:
            yield
        finally:
            free += 1

    guard = hedged(admission=one_only)
    server = Server(*[1.0] * ENOUGH, 9.0)

    async def main() -> None:
        nonlocal free
        await warm(guard, server)
        assert await guard.call(server) == ENOUGH + 1
        assert guard.statistics().copies == 0
        free = 2
        server.seconds = [9.0, 1.0]
        assert await guard.call(server) == ENOUGH + 3
        assert free == 2

    run(main)
    assert server.most == 2
    assert entered == ENOUGH + 3


def test_a_copy_that_waits_for_what_the_first_call_holds_ends_with_it() -> None:
    lock = asyncio.Lock()
    guard = hedged(admission=lambda: lock)
    server = Server(*[1.0] * ENOUGH, 9.0, errors={ENOUGH + 1: ConnectionError("gone")})

    async def main() -> None:
        await warm(guard, server)
        began = asyncio.get_running_loop().time()
        with pytest.raises(ConnectionError, match="gone"):
            await asyncio.wait_for(guard.call(server), 60.0)
        assert asyncio.get_running_loop().time() - began == 9.0
        assert not lock.locked()

    run(main)
    assert server.calls == ENOUGH + 1


def test_a_server_that_is_being_tried_out_gets_no_copies() -> None:
    breaker = CircuitBreaker(minimum_calls=1, failure_ratio=0.01, half_open_permits=1, open_for=5.0)
    guard = hedged(breaker=breaker)
    server = Server()

    async def main() -> None:
        await warm(guard, server)
        server.seconds = [0.5]
        server.errors = {ENOUGH + 1: ConnectionError()}
        with pytest.raises(ConnectionError):
            await guard.call(server)
        server.seconds = [50.0]
        assert await guard.call(server) == ENOUGH + 2
        assert breaker.state == "closed"
        server.seconds = [50.0]
        await guard.call(server)

    run(main)
    assert guard.statistics().copies == 1


def test_a_caller_that_is_cancelled_takes_both_calls_with_it() -> None:
    guard = hedged()
    server = Server(*[1.0] * ENOUGH, 100.0, 100.0)

    async def main() -> None:
        await warm(guard, server)
        task = asyncio.create_task(guard.call(server))
        await asyncio.sleep(10)
        assert server.inside == 2
        task.cancel()
        await asyncio.wait([task])
        assert (server.inside, server.cancelled) == (0, 2)

    run(main)


def test_the_time_limit_holds_for_each_of_both() -> None:
    guard = hedged(timeout=5.0)
    server = Server(*[1.0] * ENOUGH, 100.0, 4.5)

    async def main() -> None:
        await warm(guard, server)
        began = asyncio.get_running_loop().time()
        assert await guard.call(server) == ENOUGH + 2
        assert asyncio.get_running_loop().time() - began == 5.5

    run(main)


class Spy(Hedging):
    __slots__ = ("ends",)

    def __init__(self) -> None:
        super().__init__(quantile=0.5, budget=1.0)
        for _ in range(ENOUGH):
            self.end(1.0)
        self.ends: list[float] = []

    def end(self, seconds: float) -> None:
        if hasattr(self, "ends"):
            self.ends.append(seconds)
        super().end(seconds)


def test_calls_that_were_given_up_count_with_the_time_that_they_had() -> None:
    # Left out, the slow ones would no longer count, and more and more calls would look slow.
    spy = Spy()
    guard = Guard(hedge=spy, idempotent=True, timeout=50.0)
    server = Server(9.0, 2.0, 100.0, 100.0)

    async def main() -> None:
        await guard.call(server)
        assert spy.ends == [3.0]
        spy.ends.clear()
        with pytest.raises(TimeoutError):
            await guard.call(server)
        assert spy.ends == [50.0]

    run(main)


def test_guards_of_two_threads_share_what_they_know_of_slow_calls() -> None:
    hedging = Hedging(budget=1.0)

    async def answer() -> int:
        return 1

    def call() -> None:
        hedge = Hedge(hedging)
        with pytest.raises(StopIteration, match="1"):  # it waits for nothing
            hedge.run(answer, lambda _: answer(), now=lambda: 0.0, allowed=lambda: True).send(None)

    other = threading.Thread(target=call)

    def meanwhile(frame: FrameType, event: str, _: object) -> None:
        # The new balance is known, and not yet there.
        if event == "c_return" and frame.f_code.co_name == "earn" and other.ident is None:
            other.start()
            other.join(0.05)  # it has to wait, or would have been faster

    before = sys.getprofile()
    sys.setprofile(meanwhile)
    try:
        call()
    finally:
        sys.setprofile(before)
    other.join(10)
    assert hedging._budget.balance == 1.0 + 2  # what there is to begin with, and both calls
