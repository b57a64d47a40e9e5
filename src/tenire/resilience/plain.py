"""Guarded calls of plain functions: Fallback(Deadline(Retry(Breaker(call)))), on the caller's thread.

Nothing can stop a plain function that runs, so there is no time limit for one try, and
the deadline only says whether another one begins. Any number of threads may call.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from tenire.concurrency.waiting import on_a_loop
from tenire.errors import ConfigError
from tenire.resilience.retries import Tally

if TYPE_CHECKING:
    from collections.abc import Callable

    from tenire.clock import Clock
    from tenire.core.breaker import Outcome
    from tenire.resilience.gate import Gate
    from tenire.resilience.retries import Retries

__all__ = ["PlainCalls"]

_NEVER = float("inf")


class PlainCalls:
    """Makes calls, and makes them again, while the calling thread waits.

    Attributes:
        calls: Calls that came.
        tries: Times that a function was called.
        retries: Those of them that were not the first of their call.
        failed: Calls that ended with an exception.
        fallbacks: Of these, calls that the fallback answered.
    """

    def __init__(
        self,
        *,
        retries: Retries,
        gate: Gate | None,
        deadline: float | None,
        fallback: Callable[[Exception], Any] | None,
        clock: Clock,
    ) -> None:
        self._retries = retries
        self._gate = gate
        self._deadline = deadline
        self._fallback = fallback
        self._clock = clock
        self._lock = threading.Lock()
        self._pause: Callable[[float], object] = threading.Event().wait  # of an event that never comes
        self.calls = self.tries = self.retries = self.failed = self.fallbacks = 0

    def run(self, run: Callable[[], Any], name: str) -> Any:
        """Return the result of the first try that succeeds; otherwise raise what the last one raised.

        Raises:
            ConfigError: On the thread of a running event loop, which would stand still.
        """
        if on_a_loop():
            message = f"{name}() is guarded and may wait, which would block the running event loop"
            hint = "make it an async function, or use: await asyncio.to_thread(…)"
            raise ConfigError(message, key="guarded", hint=hint)
        with self._lock:
            self.calls += 1
        self._retries.begin()
        try:
            return self._tries(run, name)
        except Exception as error:
            with self._lock:
                self.failed += 1
            if self._fallback is None:
                raise
            result = self._fallback(error)
            with self._lock:
                self.fallbacks += 1
            return result

    def _tries(self, run: Callable[[], Any], name: str) -> Any:
        deadline = _NEVER if self._deadline is None else self._clock.now() + self._deadline
        tally = Tally()
        while True:
            try:
                return self._guarded_try(run, name, deadline, tally)
            except Exception as error:
                when = self._retries.after(error, tally, name=name, now=self._clock.now(), deadline=deadline)
                if when is None:
                    raise
            while (left := when - self._clock.now()) > 0:
                self._pause(left)
            with self._lock:
                self.retries += 1

    def _guarded_try(self, run: Callable[[], Any], name: str, deadline: float, tally: Tally) -> Any:
        gate, clock = self._gate, self._clock.now
        if gate is None:
            return self._one_try(run)
        permit = gate.enter_nowait(clock()) or gate.enter_blocking(clock, deadline=deadline, name=name)
        tally.begin(gate, clock())
        outcome: Outcome = "cancelled"
        try:
            result = self._one_try(run)
            outcome = "ok"
        except Exception as error:
            outcome = self._retries.outcome(error, tally, gate, clock())
            raise
        finally:
            gate.leave(permit, clock(), outcome, tally.began_at)
        return result

    def _one_try(self, run: Callable[[], Any]) -> Any:
        with self._lock:
            self.tries += 1
        return run()
