"""What tasks of a name usually take: time, memory, and how often they fail.

1. At most ``NAMES`` names are known. When one more comes, the eighth of them that was
   recorded longest ago is forgotten.
2. Of each name the last durations and memory sizes are kept as ``recent`` says.
3. ``usual`` and ``expected_memory`` are typical values as ``recent`` says; with fewer
   than ``ENOUGH`` values there is no opinion.
4. In the failure ratio each outcome weighs ``FADING`` times as much as the one after it.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from tenire.core.recent import ENOUGH, KEPT, Recent

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["ENOUGH", "FADING", "KEPT", "NAMES", "DurationHistory", "History", "Row", "TaskHistory"]

NAMES = 1024
FADING = 31 / 32

_VERSION = 1
_LONGEST_NAME = 200
_MOST = 2**53
"""The largest number that is believed: up to here every whole number is a float."""

Row = tuple[int, str, int, int, float, "Sequence[float]", "Sequence[float]"]
"""What is kept of a name: version, name, runs, failures, faded failures, seconds, bytes."""


@dataclass(frozen=True, slots=True)
class TaskHistory:
    """What is known of the tasks of one name.

    Attributes:
        count: Tasks that were done, ever.
        failures: Tasks that failed, ever.
        failure_ratio: Of those that ended lately, how many failed, 0 to 1, or ``None``.
        p50: Median duration of the last ones, seconds, or ``None``.
        p95: 95th percentile of it, seconds, or ``None``.
        memory: 95th percentile of memory, bytes, or ``None``.
    """

    count: int
    failures: int
    failure_ratio: float | None
    p50: float | None
    p95: float | None
    memory: int | None


class _Entry(Recent):
    """What is known of one name; its own values are durations."""

    __slots__ = ("failed_at", "failing", "failures", "memory", "saved")

    memory: Recent | None

    def __init__(self) -> None:
        super().__init__()
        self.failures = 0
        self.failing = 0.0
        self.failed_at = 0
        self.memory = None
        self.saved = 0

    @property
    def outcomes(self) -> int:
        return self.count + self.failures

    @property
    def stamp(self) -> int:
        """Grows with whatever is recorded."""
        return self.outcomes + (self.memory.count if self.memory is not None else 0)

    def faded(self) -> float:
        """Return the failures as they weigh now (rule 4)."""
        return self.failing * FADING ** (self.outcomes - self.failed_at)

    def absorb(self, earlier: _Entry) -> None:
        """Take in what was known of the same name before."""
        self.failing = self.faded() + earlier.faded() * FADING**self.outcomes
        self.put_before(earlier.values(), earlier.count)
        self.failures += earlier.failures
        self.failed_at = self.outcomes
        if earlier.memory is not None:
            self.memory = self.memory or Recent()
            self.memory.put_before(earlier.memory.values(), earlier.memory.count)


class History:
    """Durations, memory and failures by the name of the task."""

    __slots__ = ("_entries",)

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}  # the one recorded longest ago first

    # -- what happened ---------------------------------------------------

    def record(self, name: str, seconds: float) -> None:
        """Record that a task of this name was done and took so long."""
        # On the path of every task: the entry and its window are not asked, but
        # changed right here, which halves the cost.
        entries = self._entries
        entry = entries.pop(name, None)
        if entry is None:
            entry = self._new()
        entries[name] = entry
        recent = entry.recent
        recent.append(seconds)
        entry.count += 1
        if len(recent) >= KEPT:
            entry.older = recent
            entry.recent = array("d")

    def record_failure(self, name: str) -> None:
        """Record that a task of this name failed; how long that took says nothing."""
        entry = self._touched(name)
        entry.failures += 1
        entry.failing = entry.faded() + 1.0
        entry.failed_at = entry.outcomes

    def record_memory(self, name: str, size: int) -> None:
        """Record that a task of this name took so many bytes."""
        entry = self._touched(name)
        if entry.memory is None:
            entry.memory = Recent()
        entry.memory.add(size)

    def _touched(self, name: str) -> _Entry:
        entry = self._entries.pop(name, None)
        if entry is None:
            entry = self._new()
        self._entries[name] = entry
        return entry

    def _new(self) -> _Entry:
        if len(self._entries) >= NAMES:
            # Many at once: a dictionary finds its first key by walking over the
            # places of all that were taken out before it.
            self._forget(NAMES // 8)
        return _Entry()

    def _forget(self, most: int) -> None:
        for name in list(islice(self._entries, most)):
            del self._entries[name]

    # -- what to expect --------------------------------------------------

    def usual(self, name: str) -> float | None:
        """Return the median duration in seconds, or ``None`` if too few are known."""
        entry = self._entries.get(name)
        if entry is None:
            return None
        return entry.typical if entry.count < entry.due else entry.refresh(0.5)

    def quantile(self, name: str, q: float) -> float | None:
        """Return a quantile of the duration in seconds, or ``None`` if too few are known.

        Args:
            name: The tasks' name.
            q: Which one, 0 to 1.
        """
        entry = self._entries.get(name)
        return None if entry is None else entry.quantile(q)

    def expected_memory(self, name: str) -> int | None:
        """Return the 95th percentile of memory in bytes, or ``None`` if too few are known."""
        entry = self._entries.get(name)
        if entry is None or entry.memory is None:
            return None
        memory = entry.memory
        size = memory.typical if memory.count < memory.due else memory.refresh(0.95)
        return None if size is None else round(size)

    def failure_ratio(self, name: str) -> float | None:
        """Return which part of the last tasks failed, 0 to 1, or ``None`` if too few ended."""
        entry = self._entries.get(name)
        if entry is None or entry.outcomes < ENOUGH:
            return None
        everything = (1.0 - FADING**entry.outcomes) / (1.0 - FADING)
        return min(1.0, entry.faded() / everything)

    def summary(self, name: str) -> TaskHistory | None:
        """Return all that is known of a name, or ``None`` if it is unknown."""
        entry = self._entries.get(name)
        if entry is None:
            return None
        return TaskHistory(
            count=entry.count,
            failures=entry.failures,
            failure_ratio=self.failure_ratio(name),
            p50=entry.quantile(0.5),
            p95=entry.quantile(0.95),
            memory=self.expected_memory(name),
        )

    # -- what survives ---------------------------------------------------

    def rows(self) -> list[Row]:
        """Return everything, for ``from_rows``; the name that was recorded longest ago first."""
        return [_row(name, entry) for name, entry in self._entries.items() if len(name) <= _LONGEST_NAME]

    def changes(self) -> list[Row]:
        """Return the rows that changed since this was last asked.

        They count as saved from now on; hand those that could not be saved to ``keep_trying``.
        """
        changed = []
        for name, entry in self._entries.items():
            if entry.saved != (stamp := entry.stamp) and len(name) <= _LONGEST_NAME:
                entry.saved = stamp
                changed.append(_row(name, entry))
        return changed

    def keep_trying(self, rows: Iterable[Row]) -> None:
        """Let ``changes`` return these rows' names again."""
        for row in rows:
            entry = self._entries.get(row[1])
            if entry is not None:
                entry.saved = -1

    @classmethod
    def from_rows(cls, rows: Iterable[Any]) -> History:
        """Return the history that ``rows`` told of.

        A row that is not one, or of another version, is left out, and so is a second
        one of a name: they may come from any file.

        Args:
            rows: The name recorded longest ago first.
        """
        history = cls()
        entries = history._entries
        for row in rows:
            if not _is_row(row) or row[1] in entries:
                continue
            _, name, count, failures, failing, durations, memory = row
            entry = entries[name] = _Entry()
            entry.put_before(array("d", durations), count)
            entry.failures = failures
            entry.failing = failing
            entry.failed_at = entry.outcomes
            if memory:
                entry.memory = Recent()
                entry.memory.put_before(array("d", memory), len(memory))
            entry.saved = entry.stamp
        history._forget(max(0, len(entries) - NAMES))
        return history

    def absorb(self, earlier: History) -> None:
        """Take in the history of an earlier time, which must not be used any more.

        Quick, so that ``from_rows`` can do the work on another thread: only names
        that are known here too are looked into.
        """
        now = self._entries
        for name, entry in now.items():
            before = earlier._entries.pop(name, None)
            if before is not None:
                entry.absorb(before)
        self._entries = earlier._entries | now
        self._forget(max(0, len(self._entries) - NAMES))

    def check(self) -> None:
        """Verify the rules."""
        assert len(self._entries) <= NAMES
        for entry in self._entries.values():
            entry.check()
            if entry.memory is not None:
                entry.memory.check()
            assert entry.failed_at <= entry.outcomes
            assert 0.0 <= entry.failing <= 1.0 / (1.0 - FADING) + 1e-6


DurationHistory = History


def _row(name: str, entry: _Entry) -> Row:
    memory = entry.memory.values() if entry.memory is not None else array("d")
    return (_VERSION, name, entry.count, entry.failures, entry.faded(), entry.values(), memory)


def _is_row(row: Any) -> bool:
    if not isinstance(row, (list, tuple)) or len(row) != 7 or row[0] != _VERSION:
        return False
    _, name, count, failures, failing, durations, memory = row
    return (
        isinstance(name, str)
        and len(name) <= _LONGEST_NAME
        and all(type(number) is int and 0 <= number <= _MOST for number in (count, failures))
        and type(failing) in (int, float)
        and 0.0 <= failing <= min(failures, 1.0 / (1.0 - FADING))
        and all(_are_values(values) for values in (durations, memory))
        and min(count, KEPT) <= len(durations) <= count
    )


def _are_values(values: Any) -> bool:
    return (
        isinstance(values, (list, tuple, array))
        and len(values) < 2 * KEPT
        and all(type(value) in (int, float) and 0 <= value <= _MOST for value in values)
    )
