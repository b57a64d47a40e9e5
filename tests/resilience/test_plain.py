from __future__ import annotations

import asyncio
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

import tenire
from tenire.core.breaker import CircuitBreaker
from tenire.core.retry_budget import RetryBudget
from tenire.core.tasks import Retry
from tenire.errors import CircuitOpenError, ConfigError
from tenire.resilience import FailedTry, Guard
from tenire.testing import ManualClock

if TYPE_CHECKING:
    from types import FrameType


class Failing:
    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.calls = 0

    def __call__(self, value: str = "answer") -> str:
        self.calls += 1
        if self.failures:
            raise self.failures.pop(0)
        return value


def guard_at(clock: ManualClock, **options: Any) -> Guard:
    """Return a guard whose waiting moves the clock."""
    guard = Guard(clock=clock, **options)
    guard._plain._pause = clock.advance
    return guard


def test_a_plain_function_stays_one_and_is_tried_again() -> None:
    clock = ManualClock()
    guard = guard_at(clock, retry=Retry(attempts=3, backoff=8.0))

    @guard
    def fetch(number: int, *, times: int = 1) -> int:
        """Fetch it."""
        return number * times

    assert (fetch.__name__, fetch.__doc__) == ("fetch", "Fetch it.")
    assert fetch(2, times=3) == 6
    failing = Failing(ConnectionError(), ConnectionError())
    assert guard(failing)("x") == "x"
    assert failing.calls == 3
    assert 0 < clock.now() <= 24
    assert (guard.statistics().calls, guard.statistics().tries, guard.statistics().retries) == (2, 4, 2)


def test_what_is_raised_in_the_end_says_why() -> None:
    error = ConnectionError()
    guard = guard_at(ManualClock(), retry=2)
    with pytest.raises(ConnectionError) as caught:
        guard(Failing(ConnectionError(), error))()
    assert caught.value is error
    assert caught.value.__notes__ == ["tenire: Failing was given up after 2 tries: all 2 tries are used up"]
    assert guard.statistics().failed == 1


def test_no_try_begins_after_the_deadline() -> None:
    class BusyError(Exception):
        status = 503
        retry_after = 20

    failing = Failing(BusyError(), BusyError())
    with pytest.raises(BusyError):
        guard_at(ManualClock(), retry=3, deadline=30)(failing)()
    assert failing.calls == 2


def test_a_fallback_answers_when_all_is_lost() -> None:
    guard = guard_at(ManualClock(), fallback=lambda error: f"not {error}")
    assert guard(Failing(ConnectionError("up")))() == "not up"
    assert guard.statistics().fallbacks == 1


def test_a_thread_waits_behind_an_open_circuit_and_burns_no_try() -> None:
    breaker = CircuitBreaker(minimum_calls=1, open_for=0.02)
    failing = Failing(ConnectionError())
    guarded = Guard(breaker=breaker)(failing)
    with pytest.raises(ConnectionError):
        guarded()
    assert breaker.state == "open"
    assert guarded() == "answer"
    assert failing.calls == 2
    with pytest.raises(CircuitOpenError):
        guard_at(ManualClock(-100.0), breaker=opened_until(1000.0), deadline=5)(failing)()


def opened_until(when: float) -> CircuitBreaker:
    breaker = CircuitBreaker(minimum_calls=1, open_for=when)
    permit = breaker.acquire(0.0)
    assert permit is not None
    breaker.release(permit, 0.0, "failure")
    return breaker


def test_many_threads_share_a_guard() -> None:
    guard = Guard(retry=Retry(attempts=2, backoff=0.0), breaker=True)
    guarded = guard(Failing())
    threads = [threading.Thread(target=lambda: [guarded() for _ in range(200)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert guard.statistics().calls == guard.statistics().tries == 1600


def test_guards_of_two_threads_share_a_budget() -> None:
    budget = RetryBudget(ratio=1.0, reserve=0.0)
    first, second = (Guard(retry=2, budget=budget)(Failing()) for _ in range(2))
    other = threading.Thread(target=second)

    def meanwhile(frame: FrameType, event: str, _: object) -> None:
        # The new balance is known, and not yet there.
        if event == "c_return" and frame.f_code.co_name == "earn" and other.ident is None:
            other.start()
            other.join(0.05)  # it has to wait, or would have been faster

    before = sys.getprofile()
    sys.setprofile(meanwhile)
    try:
        first()
    finally:
        sys.setprofile(before)
    other.join(10)
    assert budget.balance == 2


def test_on_a_running_loop_it_is_refused_with_the_remedy() -> None:
    guarded = tenire.guarded(retry=2)(Failing())

    async def main() -> None:
        with pytest.raises(ConfigError, match="block the running event loop") as caught:
            guarded()
        assert "to_thread" in str(caught.value.hint)
        assert await asyncio.to_thread(guarded) == "answer"

    asyncio.run(main())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"timeout": 1.0}, "no timeout"),
        ({"hedge": True, "idempotent": True}, "no hedge"),
        ({"limit": 1, "share": True}, "no limit and no share"),
    ],
)
def test_what_a_plain_function_cannot_have_is_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=f"Failing is a plain function, for which guarded\\(\\) has {words}"):
        Guard(**options)(Failing())


def test_who_watches_may_call_the_guard_itself() -> None:
    seen: list[int] = []

    def watch(failed: FailedTry) -> None:
        seen.append(failed.tries)
        if failed.next_in is None:
            guard(Failing())()

    guard = guard_at(ManualClock(), retry=2, watch=watch)
    with pytest.raises(ConnectionError):
        guard(Failing(ConnectionError(), ConnectionError()))()
    assert seen == [1, 2]
