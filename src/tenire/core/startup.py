"""In which order components start: dependencies first, the longest chain first.

List scheduling (R. L. Graham, 1969): whenever something may start, the ready
component with the highest priority goes, among equals the one on the critical path:
its own time and that of the longest chain of others behind it are the longest. The
time it takes is at most ``2 - 1/m`` times the best possible with ``m`` at once.

1. A component starts only after everything it needs is ready.
2. A failure dooms exactly the components that need it, directly or not, unless it
   was optional: then they start without it.
3. The order of stopping is the exact reverse of the order in which starts completed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenire.core.dependencies import find_cycle
from tenire.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["StartupOrder"]


class StartupOrder:
    """The state of one start-up.

    Args:
        needs: For each component, which must be ready first.
        priority: Smaller goes first; default: 0.
        seconds: How long a component usually takes to start; default: 1.

    Attributes:
        pending: Components that have not started.
        starting: Components that start now.
        ready: Components that are ready, in the order in which they became so.
        failed: Components that failed, or were doomed by a failure.
    """

    def __init__(
        self,
        needs: Mapping[str, Iterable[str]],
        *,
        priority: Mapping[str, int] | None = None,
        seconds: Mapping[str, float] | None = None,
    ) -> None:
        self._needs = {name: frozenset(of) for name, of in needs.items()}
        for name, of in self._needs.items():
            unknown = sorted(of - self._needs.keys())
            if unknown:
                message = f"component {name!r} needs {unknown[0]!r}, which is not part of the group"
                raise ConfigError(message, key=name)
        cycle = find_cycle(self._needs)
        if cycle is not None:
            message = f"components need each other in a circle: {' → '.join(cycle)}"
            raise ConfigError(message, key=cycle[0])
        self._priority = dict(priority or {})
        self._path = self._paths(seconds or {})
        self._without: set[str] = set()
        self.pending = set(self._needs)
        self.starting: set[str] = set()
        self.ready: list[str] = []
        self.failed: set[str] = set()

    def _paths(self, seconds: Mapping[str, float]) -> dict[str, float]:
        """Return for each component the time that it and the longest chain behind it take."""
        needed_by: dict[str, list[str]] = {name: [] for name in self._needs}
        for name, of in self._needs.items():
            for needed in of:
                needed_by[needed].append(name)
        left = {name: len(behind) for name, behind in needed_by.items()}
        path = {name: seconds.get(name, 1.0) for name in self._needs}
        done = [name for name, count in left.items() if not count]
        while done:
            name = done.pop()
            for needed in self._needs[name]:
                path[needed] = max(path[needed], seconds.get(needed, 1.0) + path[name])
                left[needed] -= 1
                if not left[needed]:
                    done.append(needed)
        return path

    def next(self, most: int) -> list[str]:
        """Return the components to start now, with at most ``most`` starting at once."""
        met = {*self.ready, *self._without}
        startable = sorted(
            (name for name in self.pending if self._needs[name] <= met),
            key=lambda name: (self._priority.get(name, 0), -self._path[name], name),
        )
        chosen = startable[: max(0, most - len(self.starting))]
        self.pending.difference_update(chosen)
        self.starting.update(chosen)
        return chosen

    def succeeded(self, name: str) -> None:
        """Take in that a component is ready."""
        self.starting.remove(name)
        self.ready.append(name)

    def broken_off(self, name: str) -> None:
        """Take in that a component's start was broken off; it has not failed."""
        self.starting.remove(name)
        self.pending.add(name)

    def stopped(self, name: str) -> None:
        """Take in that the component that became ready last is stopped."""
        assert self.ready[-1] == name
        self.ready.pop()
        self.pending.add(name)

    def gave_up(self, name: str, *, optional: bool) -> set[str]:
        """Take in that a component failed; return those that now never start."""
        self.starting.discard(name)
        self.failed.add(name)
        if optional:
            self._without.add(name)
            return set()
        doomed: set[str] = set()
        grown = {name}
        while grown:
            grown = {other for other in self.pending - doomed if self._needs[other] & grown}
            doomed |= grown
        self.pending -= doomed
        self.failed |= doomed
        return doomed

    def check(self) -> None:
        """Verify the rules."""
        parts = [self.pending, self.starting, set(self.ready), self.failed]
        assert sum(map(len, parts)) == len(self._needs)
        assert set().union(*parts) == self._needs.keys()
        met: set[str] = set(self._without)
        for name in self.ready:
            assert self._needs[name] <= met, name
            met.add(name)
