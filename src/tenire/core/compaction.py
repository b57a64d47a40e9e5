"""When an engine tidies up after itself: in idle periods only, a step at a time.

::

                 quiet for long enough, a step is due
    BUSY ──► QUIET ──────────────────────────────► STEP ──► QUIET (the next one, at once)
     ▲         │ work                 work          │
     └─────────┴────────────────────────────────────┘  the step is told to stop

1. A step runs only while nothing else does, and only after ``quiet`` seconds without work.
2. Steps run one at a time, of those that are due the one that was added first.
3. A step that was stopped is the first of the next round.
4. A step that has ended is not run again before there was work since it began, nor
   before its own ``every`` has passed.
5. Each time that it brought nothing this pause doubles, ``MOST_DOUBLINGS`` times at
   the most; when it brought something the pause is ``every`` again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenire.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["MOST_DOUBLINGS", "QUIET_S", "Compaction"]

QUIET_S = 5.0
MOST_DOUBLINGS = 4


class _Step:
    """What is known of one step."""

    __slots__ = ("began_after", "every", "name", "not_before", "quiet", "useless")

    def __init__(self, name: str, every: float, quiet: float) -> None:
        self.name = name
        self.every = every
        self.quiet = quiet
        self.not_before = -float("inf")
        self.began_after = -1  # busy periods before it began for the last time; -1: never ended
        self.useless = 0


class Compaction:
    """Decides which step runs when; whoever runs it reports its end.

    Attributes:
        running: The step that runs now, or ``None``.
        stopping: Whether it was told to stop.
    """

    __slots__ = ("_begun", "_busy", "_first", "_periods", "_quiet_since", "_steps", "running", "stopping")

    def __init__(self, now: float) -> None:
        self._steps: list[_Step] = []
        self._busy = False
        self._periods = 0
        self._quiet_since = now
        self._first: str | None = None
        self._begun = 0
        self.running: str | None = None
        self.stopping = False

    def add(self, name: str, *, every: float, quiet: float = QUIET_S) -> None:
        """Add a step to the end of the order.

        Args:
            name: By which it is told apart.
            every: Seconds between two runs at the least.
            quiet: Seconds without work before it runs.

        Raises:
            ConfigError: If there is one of this name, or a number is impossible.
        """
        if name in self.names():
            message = f"there is a step {name!r} already"
            raise ConfigError(message, key=name)
        if not (0 <= every < float("inf") and 0 <= quiet < float("inf")):
            message = f"times of a step are seconds from 0, got every={every!r} and quiet={quiet!r}"
            raise ConfigError(message, key=name)
        self._steps.append(_Step(name, every, quiet))

    def remove(self, name: str) -> bool:
        """Forget a step; one that runs has to be reported all the same. Return whether it must stop."""
        self._steps = [step for step in self._steps if step.name != name]
        if self._first == name:
            self._first = None
        return self._stop() if self.running == name else False

    def names(self) -> list[str]:
        """Return the names of all steps, in order."""
        return [step.name for step in self._steps]

    def busy(self) -> bool:
        """Take in that there is work. Return whether a step has to be told to stop."""
        if not self._busy:
            self._busy = True
            self._periods += 1
        return self._stop()

    def idle(self, now: float) -> None:
        """Take in that there is no work any more."""
        if self._busy:
            self._busy = False
            self._quiet_since = now

    def next_at(self) -> float | None:
        """Return when ``begin`` may have something to run, or ``None`` if not before something happens."""
        if self._busy or self.running is not None:
            return None
        return min(map(self._due, self._waiting()), default=None)

    def begin(self, now: float) -> str | None:
        """Return the step to run now, which then runs; ``None`` if there is none."""
        if self._busy or self.running is not None:
            return None
        for step in self._waiting():
            if self._due(step) <= now:
                self.running = step.name
                self._begun = self._periods
                return step.name
        return None

    def ended(self, now: float, *, gained: bool, finished: bool) -> None:
        """Take in that the running step has ended.

        Args:
            now: The time.
            gained: Whether it brought anything.
            finished: Whether it came to its end, and was not stopped before.
        """
        name, self.running, self.stopping = self.running, None, False
        for step in self._steps:
            if step.name != name:
                continue
            if not finished:
                self._first = name
                return
            step.began_after = self._begun
            step.useless = 0 if gained else min(step.useless + 1, MOST_DOUBLINGS)
            step.not_before = now + step.every * 2**step.useless
        if self._first == name:
            self._first = None

    def _stop(self) -> bool:
        must = self.running is not None and not self.stopping
        self.stopping = self.stopping or must
        return must

    def _due(self, step: _Step) -> float:
        return max(step.not_before, self._quiet_since + step.quiet)

    def _waiting(self) -> Iterable[_Step]:
        """Return the steps that have something to do, in the order in which they would run."""
        waiting = [step for step in self._steps if step.began_after < self._periods]
        return sorted(waiting, key=lambda step: step.name != self._first)

    def check(self) -> None:
        """Verify the rules."""
        names = self.names()
        assert len(set(names)) == len(names)
        assert not self.stopping or self.running is not None
        assert self.running is None or not self._busy or self.stopping
        assert self._first is None or self._first in names
        assert all(step.began_after <= self._periods for step in self._steps)
        assert all(0 <= step.useless <= MOST_DOUBLINGS for step in self._steps)
