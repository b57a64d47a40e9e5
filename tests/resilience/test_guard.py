from __future__ import annotations

import asyncio
import contextlib
import random
from typing import TYPE_CHECKING

import pytest

from tenire.core.breaker import CircuitBreaker
from tenire.core.retry_budget import RetryBudget
from tenire.core.tasks import Retry
from tenire.errors import CallTimeoutError, CircuitOpenError
from tenire.resilience import FailedTry, Guard, Kind
from tenire.testing import run

from .servers import BusyError, Server, down

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


def test_a_guard_without_layers_only_calls() -> None:
    server = Server(*down())

    async def main() -> None:
        with pytest.raises(ConnectionError):
            await Guard().call(server)
        assert await Guard().call(server, 7) == 7

    run(main)
    assert len(server.times) == 2


def test_a_call_that_failed_is_tried_again_after_a_delay() -> None:
    server = Server(*down(2))
    guard = Guard(retry=Retry(attempts=3, backoff=8.0), rng=random.Random(3))
    assert run(lambda: guard.call(server)) == "answer"
    first, second, third = server.times
    assert 0 < second - first <= 8
    assert 0 < third - second <= 16
    assert guard.statistics().tries == 3
    assert guard.statistics().retries == 2


def test_the_last_error_is_raised_as_it_is_and_says_why_it_is_the_last() -> None:
    errors = down(3)
    guard = Guard(retry=3)

    async def main() -> None:
        with pytest.raises(ConnectionError) as caught:
            await guard.call(Server(*errors))
        assert caught.value is errors[2]
        assert caught.value.__notes__ == ["tenire: Server was given up after 3 tries: all 3 tries are used up"]

    run(main)
    assert guard.statistics().failed == 1


def test_a_mistake_of_the_program_is_not_tried_again() -> None:
    server = Server(TypeError("no such argument"))

    async def main() -> None:
        with pytest.raises(TypeError) as caught:
            await Guard(retry=3).call(server)
        assert not hasattr(caught.value, "__notes__")

    run(main)
    assert len(server.times) == 1


def test_cancellation_is_never_tried_again() -> None:
    calls = 0

    async def cancelled_inside() -> None:
        nonlocal calls
        calls += 1
        raise asyncio.CancelledError

    async def main() -> None:
        with pytest.raises(asyncio.CancelledError):
            await Guard(retry=3, fallback=lambda _: None).call(cancelled_inside)

    run(main)
    assert calls == 1


def test_a_next_try_waits_for_as_long_as_the_server_says() -> None:
    server = Server(BusyError("40"))
    run(lambda: Guard(retry=Retry(attempts=2, backoff=0.1)).call(server))
    assert 40 <= server.times[1] < 40.2


def test_a_next_try_that_would_come_after_the_deadline_is_not_waited_for() -> None:
    server = Server(BusyError("40"))

    async def main() -> None:
        with pytest.raises(BusyError) as caught:
            await Guard(retry=2, deadline=30).call(server)
        assert "after the deadline" in caught.value.__notes__[0]
        assert asyncio.get_running_loop().time() < 1

    run(main)


def test_all_calls_of_a_guard_spend_one_budget_for_retries() -> None:
    guard = Guard(retry=Retry(attempts=3, backoff=0.0), budget=RetryBudget(ratio=0.0, reserve=3))

    async def main() -> None:
        for _ in range(4):
            with pytest.raises(ConnectionError):
                await guard.call(Server(*down(3)))

    run(main)
    assert guard.statistics().retries == 3
    assert guard.statistics().tries == 7


def test_a_try_that_takes_too_long_ends_and_the_next_one_begins() -> None:
    async def slow_then_quick() -> str:
        tries.append(asyncio.get_running_loop().time())
        if len(tries) == 1:
            await asyncio.sleep(1000)
        return "quick"

    tries: list[float] = []
    assert run(lambda: Guard(retry=Retry(attempts=2, backoff=0.0), timeout=5).call(slow_then_quick)) == "quick"
    assert tries == [0.0, 5.0]


def test_the_last_try_that_takes_too_long_is_a_timeout_that_names_the_call() -> None:
    async def main() -> None:
        with pytest.raises(CallTimeoutError, match=r"slow gave no answer within its timeout of 5 s") as caught:
            await Guard(timeout=5).call(slow)
        assert isinstance(caught.value, TimeoutError)
        assert caught.value.tries == 1

    async def slow() -> None:
        await asyncio.sleep(1000)

    run(main)


def test_a_timeout_of_the_function_s_own_is_not_taken_for_the_guard_s() -> None:
    error = TimeoutError("of a library")

    async def main() -> None:
        with pytest.raises(TimeoutError) as caught:
            await Guard(timeout=5, deadline=50).call(Server(error))
        assert caught.value is error

    run(main)


def test_the_deadline_covers_all_tries_and_says_what_it_cut_off() -> None:
    async def fails_slowly() -> None:
        await asyncio.sleep(4)
        raise ConnectionError

    async def main() -> None:
        guard = Guard(retry=Retry(attempts=9, backoff=0.0), deadline=10)
        with pytest.raises(
            CallTimeoutError, match=r"deadline of 10 s: after 3 tries it was waiting for the answer"
        ) as it:
            await guard.call(fails_slowly)
        assert isinstance(it.value.__cause__, ConnectionError)
        assert asyncio.get_running_loop().time() == 10

    run(main)


def test_waiting_behind_an_open_circuit_burns_no_try() -> None:
    breaker = CircuitBreaker(minimum_calls=2, open_for=60.0)
    guard = Guard(retry=Retry(attempts=2, backoff=0.0), breaker=breaker)
    server = Server(*down(2))

    async def main() -> None:
        with pytest.raises(ConnectionError):
            await guard.call(server)
        assert breaker.state == "open"
        server.failures = down(1)
        # In half-open its first try fails too: open again, for twice as long. Then it succeeds.
        assert await guard.call(server) == "answer"

    run(main)
    assert server.times == [0.0, 0.0, 60.0, 180.0]


def test_what_must_not_be_tried_again_is_not_even_to_find_out_whether_a_circuit_may_close() -> None:
    breaker = CircuitBreaker(minimum_calls=1, open_for=60.0)
    guard = Guard(breaker=breaker)
    server = Server(*down(2))

    async def main() -> None:
        for _ in range(2):
            with pytest.raises(ConnectionError):
                await guard.call(server)
        assert breaker.state == "open"

    run(main)
    assert server.times == [0.0, 60.0]


def test_who_cannot_wait_for_the_circuit_is_told_at_once_and_how_long_it_takes() -> None:
    guard = Guard(breaker=CircuitBreaker(minimum_calls=1, open_for=60.0), deadline=20)

    async def main() -> None:
        with pytest.raises(ConnectionError):
            await guard.call(Server(*down()))
        await asyncio.sleep(10)
        with pytest.raises(CircuitOpenError, match=r"open for another 50 s") as caught:
            await guard.call(Server())
        assert caught.value.retry_at == 60.0
        assert asyncio.get_running_loop().time() == 10

    run(main)


def test_those_that_wait_for_a_slot_do_not_run_into_a_server_that_died_meanwhile() -> None:
    # Without asking the breaker again, all fifty would be sent, one after the other.
    breaker = CircuitBreaker(minimum_calls=5, open_for=60.0, half_open_permits=1)
    guard = Guard(breaker=breaker, limit=5)
    server = Server(*down(5), seconds=1.0)

    async def main() -> None:
        tasks = [asyncio.create_task(guard.call(server)) for _ in range(50)]
        await asyncio.sleep(30)
        assert len(server.times) == 5
        assert guard.statistics().waiting == 45
        await asyncio.wait(tasks)
        assert sum(task.exception() is None for task in tasks) == 45

    run(main)
    assert len(server.times) == 50
    assert server.times[5] >= 61.0
    assert server.most == 5


def test_a_refusal_for_good_reasons_does_not_open_the_circuit_and_a_mistake_neither() -> None:
    class NotFoundError(Exception):
        status_code = 404

    breaker = CircuitBreaker(minimum_calls=1)
    guard = Guard(breaker=breaker)

    async def main() -> None:
        for error in (NotFoundError(), KeyError("x")):
            with pytest.raises(type(error)):
                await guard.call(Server(error))
        assert breaker.state == "closed"
        with pytest.raises(ConnectionError):
            await guard.call(Server(*down()))
        assert breaker.state == "open"

    run(main)


@pytest.mark.parametrize(("timeout", "state"), [(None, "open"), (60.0, "closed")])
def test_a_deadline_counts_against_the_server_only_if_there_is_no_timeout(timeout: float | None, state: str) -> None:
    breaker = CircuitBreaker(minimum_calls=1)
    guard = Guard(breaker=breaker, deadline=5, timeout=timeout)

    async def main() -> None:
        with pytest.raises(CallTimeoutError):
            await guard.call(Server(seconds=1000))
        assert breaker.state == state

    run(main)


def test_a_caller_that_gives_up_says_nothing_about_the_server() -> None:
    breaker = CircuitBreaker(minimum_calls=1)
    guard = Guard(breaker=breaker, deadline=50)

    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await guard.call(Server(seconds=1000))
        assert breaker.state == "closed"

    run(main)


def test_what_the_admission_raises_says_nothing_about_the_server_and_is_no_endless_loop() -> None:
    @contextlib.asynccontextmanager
    async def closed() -> AsyncIterator[None]:
        raise ConnectionError("the queue is gone")
        yield

    breaker = CircuitBreaker(minimum_calls=1)
    guard = Guard(retry=Retry(attempts=3, backoff=0.0), breaker=breaker, admission=closed)
    server = Server()

    async def main() -> None:
        with pytest.raises(ConnectionError, match="queue"):
            await guard.call(server)

    run(main)
    assert breaker.state == "closed"
    assert not server.times


def test_each_try_is_let_in_anew_and_holds_its_admission_only_while_it_runs() -> None:
    log: list[str] = []

    @contextlib.asynccontextmanager
    async def admission() -> AsyncIterator[None]:
        log.append("in")
        yield
        log.append("out")

    async def main() -> None:
        async def fails_once() -> None:
            log.append("call")
            if log.count("call") == 1:
                raise ConnectionError

        @contextlib.asynccontextmanager
        async def watched() -> AsyncIterator[None]:
            log.append("in")
            try:
                yield
            finally:
                log.append("out")

        await Guard(retry=Retry(attempts=2, backoff=0.0), admission=watched).call(fails_once)
        assert log == ["in", "call", "out", "in", "call", "out"]
        log.clear()
        await Guard(limit=1).call(Server(), admission=admission)
        assert log == ["in", "out"]

    run(main)


def test_a_fallback_answers_when_all_is_lost() -> None:
    async def later(error: Exception) -> str:
        await asyncio.sleep(1)
        return f"instead of {error}"

    async def main() -> None:
        assert await Guard(fallback=lambda error: f"not {error}").call(Server(ConnectionError("up"))) == "not up"
        guard = Guard(fallback=later, deadline=5)
        assert "deadline of 5 s" in str(await guard.call(Server(seconds=1000)))
        assert guard.statistics().fallbacks == guard.statistics().failed == 1

    run(main)


def test_the_caller_s_own_opinion_of_an_exception_counts_first() -> None:
    server = Server(ValueError("may pass"))

    async def main() -> None:
        guard = Guard(
            retry=Retry(attempts=2, backoff=0.0),
            classify=lambda error: Kind.TRANSIENT if isinstance(error, ValueError) else None,
        )
        assert await guard.call(server) == "answer"
        with pytest.raises(KeyError):
            await guard.call(Server(KeyError("x"), KeyError("y")))

    run(main)


def test_cancellation_is_never_tried_again_even_if_it_is_named() -> None:
    calls = 0

    async def cancels_itself() -> None:
        nonlocal calls
        calls += 1
        raise asyncio.CancelledError

    async def main() -> None:
        with pytest.raises(asyncio.CancelledError):
            await Guard(retry=Retry(attempts=3, on=BaseException)).call(cancels_itself)

    run(main)
    assert calls == 1


def test_a_deadline_that_ran_out_in_a_queue_of_ours_says_nothing_about_the_server() -> None:
    breaker = CircuitBreaker(minimum_calls=1)
    guard = Guard(breaker=breaker, limit=1)

    async def main() -> None:
        running = asyncio.create_task(guard.call(Server(seconds=100)))
        await asyncio.sleep(1)
        with pytest.raises(CallTimeoutError, match="after 0 tries it was waiting to be admitted"):
            await guard.call(Server(), deadline=5)
        assert breaker.state == "closed"
        await running

    run(main)


def test_no_next_try_comes_early_though_timers_do() -> None:
    class SlowClock:
        def now(self) -> float:
            return asyncio.get_running_loop().time() / 2

        def now_ns(self) -> int:
            raise NotImplementedError

        wall = now

    server = Server(BusyError("40"))
    run(lambda: Guard(retry=2, clock=SlowClock()).call(server))
    assert server.times[1] >= 80


def test_an_exception_that_is_raised_again_and_again_gets_one_note() -> None:
    error = ConnectionError()

    async def main() -> None:
        guard = Guard(retry=1 + 1)
        for _ in range(3):
            with pytest.raises(ConnectionError):
                await guard.call(Server(error, error))
        assert len(error.__notes__) == 1

    run(main)


def test_who_watches_is_told_of_every_try_that_failed_and_what_follows() -> None:
    seen: list[FailedTry] = []
    errors: list[Exception] = [ConnectionError(), BusyError("40")]

    async def main() -> None:
        with pytest.raises(BusyError):
            await Guard(retry=Retry(attempts=3, backoff=0.0), deadline=30, watch=seen.append).call(Server(*errors))

    run(main)
    assert [(one.call, one.tries, one.error, one.kind) for one in seen] == [
        ("Server", 1, errors[0], Kind.TRANSIENT),
        ("Server", 2, errors[1], Kind.OVERLOAD),
    ]
    assert [(one.next_in, one.reason) for one in seen] == [
        (0.0, None),
        (None, "the next try would come after the deadline"),
    ]
