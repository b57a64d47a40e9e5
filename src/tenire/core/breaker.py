"""When to stop calling what fails, and when to try it again.

::

            failure_ratio of at least minimum_calls failed
    CLOSED ───────────────────────────────────────────────► OPEN
       ▲                                                    │  ▲
       │ half_open_permits successes     a call, not before │  │ half_open_failures
       │                                       retry_at     ▼  │ failures
       └────────────────────────────────────────────── HALF_OPEN

1. OPEN admits nothing before ``retry_at``. The call that comes at that time or later is
   admitted, and makes it HALF_OPEN. A refused call changes nothing.
2. HALF_OPEN admits a call whenever fewer than ``half_open_permits`` are out. They are
   not counted off: a place is free again as soon as its call has ended.
3. A result counts only if its call was admitted in the state that still lasts (its
   *generation*, as in sony/gobreaker). What comes later says how things were, and
   changes nothing; neither does a second result of the same call.
4. ``cancelled`` counts neither as success nor as failure. It gives back its place.
5. OPEN lasts ``open_for`` seconds, twice as long each time that it follows another OPEN
   before the breaker was CLOSED for as long as it had been open, 64 times or
   ``longest_open`` at the most; and up to a fifth longer by chance, so that many who
   failed together do not come back together.

There is no way from OPEN to CLOSED, as there is in libraries that let the late success
of an old call close it. In HALF_OPEN nobody knows when a place will be free, so
``retry_at`` stays where it was. A call that never ends would hold its place for ever:
give calls a time limit, and release in ``finally``.

Not thread-safe: guard it by a lock, or keep it on one event loop.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from tenire.core.outcome_window import EXACT, OutcomeWindow

if TYPE_CHECKING:
    import random

__all__ = ["CLOSED", "HALF_OPEN", "OPEN", "CallPermit", "CircuitBreaker", "Outcome", "State"]

State = Literal["closed", "open", "half_open"]
Outcome = Literal["ok", "failure", "cancelled"]

CLOSED: State = "closed"
OPEN: State = "open"
HALF_OPEN: State = "half_open"

_OUTCOMES = ("ok", "failure", "cancelled")
_MOST_DOUBLINGS = 6
_SPREAD = 0.2


class CallPermit:
    """One admitted call.

    Attributes:
        generation: Stands for the state in which it was admitted.
        live: Whether it was not released yet.
    """

    __slots__ = ("generation", "live")

    def __init__(self, generation: object) -> None:
        self.generation = generation
        self.live = True


class CircuitBreaker:
    """Refuses calls while too many of them fail.

    Example:
        >>> breaker = CircuitBreaker(minimum_calls=2)
        >>> for now in (0.0, 1.0):
        ...     breaker.release(breaker.acquire(now), now, "failure")
        >>> breaker.state, breaker.retry_at, breaker.acquire(5.9)
        ('open', 6.0, None)
        >>> breaker.acquire(6.0) is not None
        True

    Args:
        window: Seconds for which a result counts.
        minimum_calls: Results in the window before there is an opinion.
        failure_ratio: Part of them that must have failed, above 0 and up to 1.
        open_for: Seconds for which it is open the first time.
        half_open_permits: Calls at a time in HALF_OPEN, and successes that close it.
        window_calls: The latest so many results count, of those in the window; ``None``: all.
            With a thousand results in the window, an outage has to last for as many again
            before half of them have failed.
        half_open_failures: Failures in HALF_OPEN that open it again: more than one for what
            fails now and then when it is well.
        longest_open: Seconds for which it is open at the most, but for chance; ``None``: 64
            times ``open_for``.
        rng: Where the chance of rule 5 comes from; without it there is none.

    Attributes:
        state: ``"closed"``, ``"open"`` or ``"half_open"``.
        retry_at: Seconds; from when on calls were, or will be, admitted after the last
            opening. 0 if it never was open.

    Raises:
        ValueError: If an argument is impossible.
    """

    __slots__ = (
        "_bad",
        "_closed_at",
        "_doublings",
        "_failure_ratio",
        "_generation",
        "_good",
        "_half_open_failures",
        "_half_open_permits",
        "_longest_open",
        "_minimum_calls",
        "_open_for",
        "_open_time",
        "_out",
        "_rng",
        "_window",
        "retry_at",
        "state",
    )

    def __init__(
        self,
        *,
        window: float = 30.0,
        minimum_calls: int = 10,
        failure_ratio: float = 0.5,
        open_for: float = 5.0,
        half_open_permits: int = 3,
        window_calls: int | None = None,
        half_open_failures: int = 1,
        longest_open: float | None = None,
        rng: random.Random | None = None,
    ) -> None:
        for name, seconds in (("window", window), ("open_for", open_for)):
            if not 0 < seconds < float("inf"):
                raise ValueError(f"{name} must be a positive number of seconds, got {seconds!r}")
        whole = {
            "minimum_calls": minimum_calls,
            "half_open_permits": half_open_permits,
            "half_open_failures": half_open_failures,
        }
        for name, number in whole.items():
            if number != int(number) or number < 1:
                raise ValueError(f"{name} must be a whole number from 1, got {number!r}")
        if not 0 < failure_ratio <= 1:
            raise ValueError(f"failure_ratio must be above 0 and at most 1, got {failure_ratio!r}")
        most = minimum_calls if window_calls is None else window_calls
        if most != int(most) or (window_calls is not None and not minimum_calls <= most <= EXACT):
            span = f"minimum_calls, which is {minimum_calls}, to {EXACT:,}"
            raise ValueError(f"window_calls must be a whole number from {span}, got {window_calls!r}")
        longest = open_for * 2.0**_MOST_DOUBLINGS if longest_open is None else longest_open
        if not open_for <= longest <= open_for * 2.0**_MOST_DOUBLINGS:
            raise ValueError(f"longest_open must be from 1 to 64 times open_for ({open_for:g} s), got {longest_open!r}")
        self._window = OutcomeWindow(window, window_calls)
        self._longest_open = longest
        self._half_open_failures = half_open_failures
        self._minimum_calls = minimum_calls
        self._failure_ratio = failure_ratio
        self._open_for = open_for
        self._half_open_permits = half_open_permits
        self._rng = rng
        self.state: State = CLOSED
        self.retry_at = 0.0
        self._generation = object()
        self._doublings = -1  # of the open time, by the next opening
        self._open_time = 0.0  # how long it was open last, seconds
        self._closed_at = float("-inf")
        self._out = 0  # permits of this HALF_OPEN that are out
        self._good = self._bad = 0  # successes and failures of this HALF_OPEN

    def acquire(self, now: float) -> CallPermit | None:
        """Ask for a call.

        Args:
            now: Seconds on a clock that should never go back. If it does, an open
                breaker stays open for longer, and nothing else happens.

        Returns:
            A permit, to be released exactly once; ``None`` if the call is refused.
        """
        if self.state != CLOSED:
            if self.state == OPEN:
                if now < self.retry_at:
                    return None
                self._enter(HALF_OPEN)
            elif self._out >= self._half_open_permits:
                return None
            self._out += 1
        return CallPermit(self._generation)

    def current(self, permit: CallPermit) -> bool:
        """Return whether the state in which a call was admitted still lasts.

        For a caller that had to wait for something else between ``acquire`` and the call:
        if not, it should give the permit back and ask again.
        """
        return permit.generation is self._generation

    def release(self, permit: CallPermit, now: float, outcome: Outcome) -> None:
        """Record how a call ended.

        Args:
            permit: From ``acquire``; a second release changes nothing.
            now: Seconds on the same clock.
            outcome: ``"ok"``, ``"failure"``, or ``"cancelled"`` if the call says nothing
                about what it called.

        Raises:
            ValueError: If there is no such outcome.
        """
        if outcome not in _OUTCOMES:
            raise ValueError(f"outcome must be one of {', '.join(_OUTCOMES)}, got {outcome!r}")
        if not permit.live:
            return
        permit.live = False
        if permit.generation is not self._generation:
            return
        if self.state == HALF_OPEN:
            self._out -= 1
            if outcome == "failure":
                self._bad += 1
                if self._bad >= self._half_open_failures:
                    self._open(now)
            elif outcome == "ok":
                self._good += 1
                if self._good >= self._half_open_permits:
                    self._closed_at = now
                    self._enter(CLOSED)
        elif outcome != "cancelled":
            window = self._window
            window.add(now, failed=outcome == "failure")
            # A quotient, since a product is rounded: 0.1 * 30 is more than 3.
            if window.calls >= self._minimum_calls and window.failures / window.calls >= self._failure_ratio:
                self._open(now)

    def _open(self, now: float) -> None:
        if self.state == CLOSED and now - self._closed_at > self._open_time:
            self._doublings = -1
        self._doublings = min(_MOST_DOUBLINGS, self._doublings + 1)
        spread = 1.0 if self._rng is None else 1.0 + _SPREAD * self._rng.random()
        self._open_time = min(self._longest_open, self._open_for * 2.0**self._doublings) * spread
        self.retry_at = now + self._open_time
        self._enter(OPEN)

    def _enter(self, state: State) -> None:
        self.state = state
        self._generation = object()
        self._out = self._good = self._bad = 0
        self._window.clear()

    def check(self) -> None:
        """Verify the rules."""
        self._window.check()
        assert 0 <= self._out <= self._half_open_permits
        assert 0 <= self._good < self._half_open_permits
        assert 0 <= self._bad < self._half_open_failures
        assert self.state == HALF_OPEN or self._out == self._good == self._bad == 0
        assert self.state == CLOSED or self._window.calls == 0
        assert -1 <= self._doublings <= _MOST_DOUBLINGS
        assert self._open_time <= self._longest_open * (1.0 + _SPREAD)
        window = self._window
        assert window.calls < self._minimum_calls or window.failures / window.calls < self._failure_ratio
