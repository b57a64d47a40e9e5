"""How many calls a server works on at a time, found by the time it takes.

Calls are counted in phases. In most the number in flight is the one aimed at; now
and then one goes a step up or down. Each phase gives one response time for its
number of calls in flight to the belief about the capacity (``capacity_belief``),
and from that belief comes the next aim. All is compared across phases that
alternate within a few round trips, so a workload that drifts is no signal.

1. A phase counts calls by when they started, and is measured once all of them have
   ended or have taken longer than ``high``: to count those that ended first would
   count the short ones. A call that never ends costs its phase one long call.
2. Times below ``low`` and above ``high`` count as these bounds (Huber's winsorising,
   1964), set around the median by the median deviation, so that a heavy tail or a
   second kind of calls adds little noise. Dividing by the share inside the bounds
   gives back the full shift.
3. A phase in which nearly all are outside was judged by outdated bounds: these are
   set anew and it is not used, twice in a row at the most.
4. Only calls that started while at least three quarters of the limit, and not more
   than the limit, was in flight are counted. An application that offers less teaches
   nothing, and moves nothing.
5. The aim leans upwards when the noise hides a few calls more or less; it leans
   downwards when calls take longer than they did and it is not clear why. The latter
   keeps several clients of one server from growing together: each sees only its
   share of the queue that all make.
6. ``len(waiting) <= most_waiting``.
"""

from __future__ import annotations

from collections import deque
from math import exp, log, sqrt
from typing import TYPE_CHECKING

from tenire.core.capacity_belief import CapacityBelief

if TYPE_CHECKING:
    from tenire.core.concurrency_limit import Token

__all__ = ["LatencyProbe", "Phase"]

_FEWEST = 12  # calls in a phase
_KNOWN = 8  # calls whose time must be known before the first phase
_LEAST_STEP, _MOST_STEP = 0.06, 0.25  # of the phases that go up or down, in logarithms
_CYCLE = 3.0  # phases from one step up or down to the next
_LEAST_NOISE = 4e-4  # variance of one call's log time; clocks and networks are never exact
_MISFIT = 0.02**2  # variance of a phase, however many calls it counts: the hinge is a model
_NEARLY = 0.3  # in logarithms
_SHORTEST = 1e-9  # seconds


class Phase:
    """Calls that started with the same limit.

    Attributes:
        step: 1 if more than the aim was in flight, -1 if less.
        size: Calls to count.
        started: Calls counted so far.
        open: Of these, those without a time yet.
    """

    __slots__ = ("ended", "inside", "load", "open", "size", "squares", "started", "step", "total")

    def __init__(self, size: int, step: int) -> None:
        self.size, self.step = size, step
        self.started = self.open = self.ended = self.inside = self.load = 0
        self.total = self.squares = 0.0


class LatencyProbe:
    """Finds the number of calls beyond which they only wait for each other.

    Attributes:
        aim: Calls in flight that are thought best.
        wanted: Calls in flight that the present phase wants.
        belief: How likely each capacity is.
        waiting: Counted calls without a time yet, in order of their start.
        most_waiting: How many these may be.
    """

    __slots__ = (
        "_base", "_centre", "_due", "_excess", "_fresh", "_high", "_low", "_maximum", "_measured", "_minimum",
        "_most", "_noise", "_patience", "_phase", "_phases", "_recent", "_skipped", "_smooth", "_step",
        "aim", "belief", "most_waiting", "waiting", "wanted",
    )  # fmt: skip

    def __init__(self, initial: int, minimum: int, maximum: int) -> None:
        self._minimum, self._maximum = minimum, maximum
        self.belief = CapacityBelief(minimum, maximum)
        self.aim = self.wanted = float(initial)
        self.waiting: deque[Token] = deque()
        self.most_waiting = 4 * maximum + 64
        self._recent: deque[float] = deque(maxlen=64)
        self._phase: Phase | None = None
        self._phases = 0
        self._due, self._step = 3.0, -1  # when the next step comes, and the last one's direction
        self._fresh = False  # whether the belief has changed since the last phase
        self._centre = self._low = self._high = self._patience = 0.0
        self._skipped = 0
        self._noise = 0.0  # variance of one call's log time; 0 while unknown
        self._most = 0.0  # logarithm of the largest load of late
        self._base: float | None = None  # usual log time without a queue
        self._measured = 0
        self._smooth = self._excess = 0.0  # log time of late, and how far it is above the usual

    # -- calls -----------------------------------------------------------------

    def start(self, token: Token, limit: int, bound: float) -> bool:
        """Count a call and return whether another number of calls is wanted now.

        Args:
            token: Of the call; at least half of ``limit`` is in flight.
            limit: Calls that may be in flight.
            bound: Calls in flight that the server is known to bear.
        """
        phase = self._phase
        begun = False
        if phase is None:
            if len(self._recent) < _KNOWN:
                return False
            self._set_bounds()
            phase = self._next(limit, bound)
            begun = True
        inflight = token.inflight
        if inflight <= limit and 4 * inflight >= 3 * limit:
            token.phase = phase
            phase.started += 1
            phase.open += 1
            waiting = self.waiting
            waiting.append(token)
            if len(waiting) > self.most_waiting:
                self._give_up(waiting.popleft())
            if phase.started >= phase.size:
                self._next(limit, bound)
                return True
        return begun

    def end(self, token: Token, now: float, *, ok: bool) -> bool:
        """Take a call's time and return whether it was longer than usual."""
        took = now - token.start
        time = log(took if took > _SHORTEST else _SHORTEST)
        phase = token.phase
        late = time > self._high
        if ok:
            self._recent.append(time)
        if phase is not None:
            token.phase = None
            if ok:
                if late:
                    self._take(phase, token.inflight, self._high, 0)
                elif time < self._low:
                    self._take(phase, token.inflight, self._low, 0)
                else:
                    self._take(phase, token.inflight, time, 1)
            elif late:
                # Failures that come late show like a queue, however the server sheds it.
                self._take(phase, token.inflight, self._centre + 2.0, 0)
            else:
                self._drop(phase)
        waiting = self.waiting
        overdue = now - self._patience
        while waiting:
            first = waiting[0]
            if first.phase is not None and first.start >= overdue:
                break
            self._give_up(waiting.popleft())
        return late and self._phase is not None

    def cut_off(self, took: float) -> bool:
        """Return whether a failure after so many seconds looks like a timeout.

        No call answered of late took longer, and some took nearly as long.
        """
        longest = max(self._recent, default=0.0)
        return longest < log(max(took, _SHORTEST)) < longest + _NEARLY

    def retreat(self) -> None:
        """End a step up or down at once; the phase goes on with what is aimed at."""
        self.wanted = self.aim

    def _give_up(self, token: Token) -> None:
        phase = token.phase
        if phase is not None:
            token.phase = None
            self._take(phase, token.inflight, self._high, 0)

    def _take(self, phase: Phase, load: int, time: float, inside: int) -> None:
        phase.ended += 1
        phase.load += load
        phase.total += time
        phase.squares += time * time
        phase.inside += inside
        self._drop(phase)

    def _drop(self, phase: Phase) -> None:
        phase.open -= 1
        if not phase.open and phase is not self._phase and phase.ended > 1:
            self._measure(phase)

    # -- phases ----------------------------------------------------------------

    def _set_bounds(self) -> None:
        times = sorted(self._recent)
        middle = len(times) // 2
        centre = times[middle]
        deviation = sorted(abs(time - centre) for time in times)[middle]
        self._centre = centre
        # Upwards at the least to 2.1 times: of calls that all take the same time, those
        # that wait take twice as long. Downwards further, for short calls show a queue best.
        self._high = centre + max(0.75, 0.5 * deviation)
        self._low = centre - max(1.0, 3.0 * deviation)
        self._patience = exp(self._high)

    def _measure(self, phase: Phase) -> None:
        """Give the response time of a phase to the belief."""
        count = phase.ended
        if phase.inside < 0.25 * count and self._skipped < 2:
            self._skipped += 1
            self._set_bounds()
            return
        self._skipped = 0
        mean = phase.total / count
        inside = max(0.3, phase.inside / count)
        variance = max(_LEAST_NOISE, (phase.squares / count - mean * mean) / (inside * inside))
        if not self._noise:
            self._noise = variance
        elif phase.step <= 0:  # a step up adds the variance of the queue that it makes
            self._noise += 0.1 * (variance - self._noise)
        time = self._centre + (mean - self._centre) / inside
        load = log(phase.load / count)
        noise = self._noise / count + _MISFIT
        self._most = max(self._most - 0.1, load)
        known = self.belief.known
        doubt = 0.5 * min(1.0, self._rise(time, noise)) if known else 0.0
        if self.belief.observe(load, time, noise, aim=log(self.aim), doubt=doubt):
            self._smooth = time
            self._set_bounds()
        self._fresh = True

    def _rise(self, time: float, noise: float) -> float:
        """Return how far calls take longer than usual, in logarithms, noise allowed for."""
        base = self._base
        if base is None:
            base = self._smooth = time
        self._smooth += 0.3 * (time - self._smooth)
        self._measured += 1
        gap = self._smooth - base
        # What is usual falls at once, unless it is the noise that fell. It may creep up, but
        # not while more seems to be in flight than can be served. The first measurements
        # are averaged, for one may be far off.
        creep = 0.015 * max(0.1, 1.0 - 4.0 * self.belief.overloaded)
        pace = 0.3 * min(1.0, 0.03 / noise) if gap < 0.0 else creep
        if self._measured <= 16:
            pace = max(pace, 0.5 / self._measured)
        self._base = base + gap * pace
        self._excess = max(0.0, self._smooth - self._base - 0.1 - sqrt(noise))
        return self._excess

    def _next(self, limit: int, bound: float) -> Phase:
        """Begin the next phase."""
        if self._fresh:
            self._fresh = False
            self._set_aim(limit)
        self._phases += 1
        step = self._choose_step(bound)
        base = max(self._minimum, min(int(min(self._maximum, self.aim) + 0.5), int(bound)))
        size, self.wanted = max(_FEWEST, base), self.aim
        if step:
            width = exp(min(_MOST_STEP, max(_LEAST_STEP, 0.6 * self.belief.spread)))
            self.wanted = max(base + 1.0, base * width) if step > 0 else min(base - 1.0, base / width)
            there = max(self._minimum, min(int(min(self._maximum, self.wanted) + 0.5), int(bound)))
            size = max(_FEWEST, there)
            if there != base and self._noise:
                # No more than is needed to tell; but a round trip, for calls in step with
                # each other queue in turns.
                size = max(4, there, min(size, int(6.0 * self._noise / log(there / base) ** 2) + 1))
        if self._phases % 8 == 0:
            self._set_bounds()
        self._phase = fresh = Phase(size, step)
        return fresh

    def _set_aim(self, limit: int) -> None:
        spread = self.belief.spread
        # While much is unknown there is more to find above than to lose.
        lean = 1.0 if spread > 0.5 else min(1.0, sqrt(self._noise) / 0.4 - 0.6)
        lean = max(-0.6, 0.9 * lean - 4.0 * self._excess)
        most = exp(self._most)
        aim = min(exp(self.belief.mean + lean * spread), 2.0 * most)
        if aim < 0.5 * most:
            aim = max(aim, 0.5 * limit)
        # Half a call too many, rounded up, is one that waits: seen where calls hardly vary.
        shy = 0.3 * max(0.0, 1.0 - sqrt(self._noise) / 0.3)
        self.aim = max(0.5, aim - shy)

    def _choose_step(self, bound: float) -> int:
        """Return 1 or -1 for a phase that goes up or down, 0 for one that does not."""
        if not self.belief.known:
            return 1
        if self._phases < self._due:
            return 0
        step = self._step = -self._step
        spread = self.belief.spread
        wait = _CYCLE * (1.0 if spread > 0.12 else min(4.0, 0.12 / max(spread, _SHORTEST)))
        if step > 0:
            wait *= 0.67
        if spread < 0.25:
            # With little noise one step says all there is to know.
            wait *= min(10.0, max(1.0, 0.1 / sqrt(self._noise)))
        self._due = self._phases + (2.0 * wait if bound < self.aim else wait)
        return step

    def check(self) -> None:
        """Verify the rules."""
        assert len(self.waiting) <= self.most_waiting
        assert self.aim > 0.0
        assert self._low <= self._centre <= self._high
        phase = self._phase
        if phase is not None:
            assert 0 <= phase.open <= phase.started < phase.size
            assert phase.inside <= phase.ended <= phase.started
        self.belief.check()
