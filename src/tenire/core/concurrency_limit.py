"""How many calls may be in flight to a server of unknown capacity.

::

    start ──▶ phase at the aim ──▶ phase a step up or down ──▶ phase at the aim ──▶ …
                    ▲      each gives (calls in flight, response time)
                    └── new aim ◀── belief about the capacity ◀──┘
    failure ──▶ cut of the bound ──▶ clean round ──▶ growth ──▶ … ──▶ no bound
    limit = min(wanted by the phase, bound)

Two cores decide. ``latency_probe`` finds the number beyond which calls only wait for
each other: servers that queue. ``loss_limit`` finds the number beyond which calls
fail: servers that refuse. The smaller one holds. What others do was measured against
simulated servers first: a minimum of response times as baseline (Vegas, BBR, Envoy's
gradient) is biased by noise, and an average that follows (Netflix's Gradient2) follows
the queue too.

1. ``minimum <= limit <= maximum``.
2. The limit rises only in ``on_start``, and only while at least half of it is in
   flight (Netflix ``concurrency-limits``, AIMDLimit): what is not used is not tested.
3. A failure cuts once per round trip: only a call that started after the last cut
   may cut again.
4. A token that never ends costs nothing but the memory of its caller; one that ends
   twice counts once.
5. The same calls at the same times give the same limits: there is no chance in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenire.core.latency_probe import LatencyProbe
from tenire.core.loss_limit import LATE_SHARE, TIMEOUT_SHARE, LossLimit

if TYPE_CHECKING:
    from tenire.core.latency_probe import Phase

__all__ = ["AdaptiveLimit", "Token"]


class Token:
    """One call in flight.

    Attributes:
        start: When it started, seconds.
        number: Calls are numbered in order of their start, from 1.
        inflight: Calls in flight then, itself included.
        phase: The phase that counts it.
        live: Whether it has not ended.
    """

    __slots__ = ("inflight", "live", "number", "phase", "start")

    def __init__(self, start: float, number: int, inflight: int) -> None:
        self.start, self.number, self.inflight = start, number, inflight
        self.phase: Phase | None = None
        self.live = True


class AdaptiveLimit:
    """Finds the right number of concurrent calls, whether the server queues or refuses.

    Example:
        >>> limit = AdaptiveLimit(initial=4)
        >>> token = limit.on_start(0.0, 1)
        >>> limit.on_end(token, 0.25)
        >>> limit.limit
        4

    Args:
        initial: Calls in flight to begin with; moved into the bounds.
        minimum: The least limit, 1 or more.
        maximum: The largest limit.

    Attributes:
        limit: Calls that may be in flight now; may change at every start and end.

    Raises:
        ValueError: If the bounds are impossible.
    """

    __slots__ = ("_loss", "_maximum", "_minimum", "_probe", "_started", "limit")

    def __init__(self, initial: int = 4, minimum: int = 1, maximum: int = 200) -> None:
        if minimum < 1:
            raise ValueError(f"minimum must be 1 or more, got {minimum}")
        if maximum < minimum:
            raise ValueError(f"maximum must not be below minimum ({minimum}), got {maximum}")
        self._minimum, self._maximum = minimum, maximum
        self.limit = max(minimum, min(maximum, initial))
        self._probe = LatencyProbe(self.limit, minimum, maximum)
        self._loss = LossLimit(minimum)
        self._started = 0

    def on_start(self, now: float, inflight: int) -> Token:
        """Record that a call starts.

        Args:
            now: Seconds on a clock that never goes back.
            inflight: Calls in flight, this one included.

        Returns:
            A token to hand to ``on_end``.
        """
        number = self._started = self._started + 1
        token = Token(now, number, inflight)
        if 2 * inflight >= self.limit:
            loss, probe = self._loss, self._probe
            if loss.active and loss.grow(probe.aim):
                probe.retreat()
                self._settle()
            if probe.start(token, self.limit, loss.bound if loss.active else self._maximum):
                self._settle()
        return token

    def on_end(self, token: Token, now: float, ok: bool = True) -> None:
        """Record that a call ended.

        Args:
            token: From ``on_start``; a second end changes nothing.
            now: Seconds on the same clock.
            ok: ``False`` if the server refused the call or it timed out. An answer that
                the caller does not like is an answer.
        """
        if not token.live:
            return
        token.live = False
        late = self._probe.end(token, now, ok=ok)
        if ok:
            self._loss.succeed(token.number)
            return
        bearable = 0.0
        if late:
            bearable = TIMEOUT_SHARE if self._probe.cut_off(now - token.start) else LATE_SHARE
        if self._loss.fail(token.number, latest=self._started, bearable=bearable, limit=self.limit):
            self._probe.retreat()
            self._settle()

    def _settle(self) -> None:
        wanted = int(self._probe.wanted + 0.5)
        if self._loss.active:
            wanted = min(wanted, int(self._loss.bound))
        self.limit = max(self._minimum, min(self._maximum, wanted))

    def check(self) -> None:
        """Verify the rules."""
        assert self._minimum <= self.limit <= self._maximum
        self._probe.check()
        self._loss.check()
