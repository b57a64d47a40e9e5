"""What a circuit breaker promises, written down anew and without its code.

``Model`` follows a breaker from outside: it is told every call and every result, and
says what must have happened. ``random_steps`` drives both with results that come late
or twice, results of cancelled calls, and a clock that stands still, jumps and goes back.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from tenire.core.breaker import CircuitBreaker

if TYPE_CHECKING:
    from tenire.core.breaker import CallPermit

__all__ = ["Model", "random_steps"]


class Model:
    """Follows one breaker, and asserts whatever it does.

    Args:
        breaker: With these settings, and nothing called yet.
        window: As the breaker's.
        minimum_calls: As the breaker's.
        failure_ratio: As the breaker's.
        open_for: As the breaker's.
        half_open_permits: As the breaker's.
        window_calls: As the breaker's.
        half_open_failures: As the breaker's.
        longest_open: As the breaker's.
    """

    def __init__(
        self,
        breaker: CircuitBreaker,
        *,
        window: float,
        minimum_calls: int,
        failure_ratio: float,
        open_for: float,
        half_open_permits: int,
        window_calls: int | None = None,
        half_open_failures: int = 1,
        longest_open: float | None = None,
    ) -> None:
        self.breaker = breaker
        self.window, self.minimum_calls, self.failure_ratio = window, minimum_calls, failure_ratio
        self.open_for, self.half_open_permits = open_for, half_open_permits
        self.window_calls, self.half_open_failures = window_calls, half_open_failures
        self.longest_open = 80 * open_for if longest_open is None else longest_open * 1.2
        self.state = "closed"
        self.out: dict[CallPermit, int] = {}  # by the era in which it was admitted
        self.era = 0
        self.results: list[tuple[float, bool]] = []
        self.good = self.bad = 0
        self.retry_at = breaker.retry_at
        self.admitted = self.refused = 0
        self.seen: set[tuple[str, str]] = set()

    def acquire(self, now: float) -> CallPermit | None:
        """Call, and check that it was right to admit or refuse it."""
        permit = self.breaker.acquire(now)
        probing = sum(era == self.era for era in self.out.values())
        if self.state == "open":
            expected = now >= self.retry_at
            if expected:
                self._enter("half_open")
        else:
            expected = self.state == "closed" or probing < self.half_open_permits
        assert (permit is not None) == expected, f"{self.state} at {now}: admitted {permit is not None}"
        if permit is not None:
            assert permit not in self.out
            self.out[permit] = self.era
        self.admitted, self.refused = self.admitted + expected, self.refused + (not expected)
        self._compare()
        return permit

    def release(self, permit: CallPermit, now: float, outcome: str) -> None:
        """Let a call end, for the first time or again, and check what follows from it."""
        before = self.state
        self.breaker.release(permit, now, outcome)
        if self.out.pop(permit, None) == self.era and outcome != "cancelled":
            if before == "half_open":
                self._probed(now, ok=outcome == "ok")
            else:
                self._counted(now, failed=outcome == "failure")
        self._compare()

    def _probed(self, now: float, *, ok: bool) -> None:
        self.good += ok
        self.bad += not ok
        if self.bad == self.half_open_failures:
            self._opened(now)
        elif self.good == self.half_open_permits:
            self._enter("closed")

    def _counted(self, now: float, *, failed: bool) -> None:
        if self.results:
            latest = self.results[-1][0]
            if now < latest - self.window:
                self.results = []
            now_in_window = max(now, latest) if self.results else now
        else:
            now_in_window = now
        self.results.append((now_in_window, failed))
        self.results = [(at, bad) for at, bad in self.results if now_in_window - at < self.window]
        self.results = self.results[-self.window_calls :] if self.window_calls else self.results
        calls, failures = len(self.results), sum(bad for _, bad in self.results)
        if calls >= self.minimum_calls and failures / calls >= self.failure_ratio:
            self._opened(now)

    def _opened(self, now: float) -> None:
        self._enter("open")
        self.retry_at = self.breaker.retry_at
        rounding = 1e-9 * (abs(now) + 1)
        assert self.open_for - rounding <= self.retry_at - now <= self.longest_open + rounding

    def _enter(self, state: str) -> None:
        self.seen.add((self.state, state))
        self.state, self.results, self.good, self.bad = state, [], 0, 0
        self.era += 1

    def _compare(self) -> None:
        assert self.breaker.state == self.state, f"it is {self.breaker.state}, not {self.state}"
        assert self.breaker.retry_at == self.retry_at, "the time to try again was moved"


SETTINGS = (
    {"window": 30.0, "minimum_calls": 10, "failure_ratio": 0.5, "open_for": 5.0, "half_open_permits": 3},
    {"window": 10.0, "minimum_calls": 1, "failure_ratio": 1.0, "open_for": 0.1, "half_open_permits": 1},
    {"window": 5.0, "minimum_calls": 4, "failure_ratio": 0.1, "open_for": 60.0, "half_open_permits": 7},
    {"window": 100.0, "minimum_calls": 20, "failure_ratio": 0.3, "open_for": 1.0, "half_open_permits": 2},
    {
        "window": 60.0, "minimum_calls": 5, "failure_ratio": 0.6, "open_for": 1.0, "half_open_permits": 3,
        "window_calls": 8, "half_open_failures": 2, "longest_open": 5.0,
    },
)  # fmt: skip


def random_steps(steps: int, seed: int) -> Model:
    """Drive a breaker and its model through random steps; return the model."""
    rng = random.Random(seed)
    settings = SETTINGS[seed % len(SETTINGS)]
    breaker = CircuitBreaker(**settings, rng=random.Random(seed) if seed % 3 else None)
    model = Model(breaker, **settings)
    now, failing, ended = rng.choice((0.0, 1e6)), 0.5, []
    for step in range(steps):
        if step % 100 == 0:
            failing = rng.choice((0.0, 0.05, 0.5, 0.95, 1.0))
        now = _moved(now, model, rng)
        kind = rng.random()
        if kind < 0.5 or not model.out:
            model.acquire(now)
        elif kind < 0.95 or not ended:
            permit = rng.choice(list(model.out)[-50:])
            outcome = "cancelled" if rng.random() < 0.1 else "failure" if rng.random() < failing else "ok"
            model.release(permit, now, outcome)
            ended = [*ended[-20:], permit]
        else:
            model.release(rng.choice(ended), now, rng.choice(("ok", "failure", "cancelled")))
        if len(model.out) > 200:  # calls that are never heard of again
            model.out = dict(list(model.out.items())[100:]) if model.state != "half_open" else model.out
        breaker.check()
    return model


def _moved(now: float, model: Model, rng: random.Random) -> float:
    """Return the next time: the same one, soon, exactly when it may, just before, far, or back."""
    settings = model
    kind = rng.random()
    if kind < 0.3:
        return now
    if kind < 0.9:
        return now + rng.random() * settings.window / 20
    if kind < 0.93 and model.state == "open":
        return max(now, model.retry_at)
    if kind < 0.96 and model.state == "open":
        return max(now, model.retry_at - 1e-6)
    if kind < 0.98:
        return now + rng.random() * settings.window * 2
    if kind < 0.99:
        return now - rng.random() * settings.window / 10
    return now + rng.choice((-3600.0, 3600.0))
