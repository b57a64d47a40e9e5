"""Who uses the processor: this program, or others.

What the machine computes is no reason to step back if it computes for us, so the
CPU time of our own processes is taken off: this process, its workers, and whatever
the workers have started, ended or not. What this process starts beside its workers
is somebody's own program and holds no CPU slot; so it is one of the others.

1. Only the cores that this process may run on count.
2. Where control groups limit CPU time, what others in the same group use of it
   counts as well: ``foreign`` is what is missing from the cores' worth of CPU time
   that this process could have.
3. Time that the machine below a virtual one takes for itself (steal) is nobody's.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from tenire.observe.cgroups import cpu_quota, groups, read_number

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

__all__ = ["ProcessorMeter", "ProcessorUse"]

_USED = (0, 1, 2, 5, 6)
"""Columns of ``/proc/stat`` that are use: user, nice, system, interrupts. Guests are part of user."""

_USED_NAMES = ("user", "nice", "system", "irq", "softirq")
"""The same for psutil. On Windows interrupts are part of system."""


@dataclass(frozen=True, slots=True)
class ProcessorUse:
    """The use of the processor between two samples, in cores' worth of CPU time.

    Attributes:
        own: By this process and everything it started.
        foreign: By others, of what this process could have used.
        usable: What this process could use if it were alone.
    """

    own: float
    foreign: float
    usable: float


@dataclass(frozen=True, slots=True)
class _Times:
    """Counters in seconds since some beginning.

    Attributes:
        cores: The cores that were counted.
        used: All use of these cores.
        own: Use by our own processes.
        groups: Quota in cores, and use, of each group around us that has a quota.
    """

    cores: frozenset[int]
    used: float
    own: float
    groups: tuple[tuple[float, float], ...] = ()


class _Source(Protocol):
    def read(self, workers: Iterable[int]) -> _Times | None: ...


class ProcessorMeter:
    """Watches the processor.

    Args:
        root: Where ``proc`` and the control groups' mounts are; for tests.
        cores: Returns the cores that this process may run on; for tests.
    """

    def __init__(self, root: Path = Path("/"), *, cores: Callable[[], Collection[int]] | None = None) -> None:
        linux = (root / "proc/stat").exists()
        self._source: _Source = _Proc(root, cores or _affinity) if linux else _Psutil()
        self._before: _Times | None = None
        self._at = 0.0

    def sample(self, now: float, workers: Iterable[int] = ()) -> ProcessorUse | None:
        """Return the use since the last sample; ``None`` if it cannot be seen, and at first.

        Args:
            now: Seconds on a clock that never goes back.
            workers: Process ids of the workers alive now.
        """
        times = self._source.read(workers)
        before, self._before = self._before, times
        seconds, self._at = now - self._at, now
        if times is None or before is None or times.cores != before.cores or seconds <= 0:
            return None
        own = max(0.0, (times.own - before.own) / seconds)
        cores = float(len(times.cores))
        usable, room = cores, cores - max(0.0, (times.used - before.used) / seconds - own)
        if len(times.groups) == len(before.groups):
            for (quota, used), (_, used_before) in zip(times.groups, before.groups, strict=True):
                usable = min(usable, quota)
                room = min(room, quota - max(0.0, (used - used_before) / seconds - own))
        return ProcessorUse(own, min(usable, max(0.0, usable - room)), usable)


class _Proc:
    """Linux: small files, some ten microseconds each."""

    def __init__(self, root: Path, cores: Callable[[], Collection[int]]) -> None:
        self._proc = root / "proc"
        self._cores = cores
        self._tick = os.sysconf("SC_CLK_TCK")
        self._groups = [
            (quota, folder, version)
            for folder, version in groups(root)
            if (quota := cpu_quota(folder, version)) is not None
        ]

    def read(self, workers: Iterable[int]) -> _Times | None:
        cores, ticks = self._machine()
        if not cores:
            return None
        own = self._process("self", ended=False) + sum(self._process(pid) for pid in self._tree(workers))
        used_by_groups = [(quota, _group_seconds(folder, version)) for quota, folder, version in self._groups]
        known = tuple((quota, used) for quota, used in used_by_groups if used is not None)
        return _Times(cores, ticks / self._tick, own / self._tick, known)

    def _machine(self) -> tuple[frozenset[int], int]:
        ours = self._cores()
        counted, ticks = set(), 0
        try:
            text = (self._proc / "stat").read_bytes()
        except OSError:
            return frozenset(), 0
        # The lines of the cores stand first; the rest (interrupts) is long.
        for line in text[: text.find(b"\nintr")].split(b"\n"):
            name, *columns = line.split()
            number = name[3:]
            if not number.isdigit() or int(number) not in ours:
                continue
            counted.add(int(number))
            ticks += sum(int(columns[column]) for column in _USED)
        return frozenset(counted), ticks

    def _tree(self, workers: Iterable[int]) -> set[int]:
        """Return the workers, and everything that they started."""
        found: set[int] = set()
        pending = list(workers)
        while pending:
            pid = pending.pop()
            if pid in found:
                continue
            found.add(pid)
            try:
                threads = os.listdir(self._proc / f"{pid}/task")
            except OSError:  # it ended in between
                continue
            for thread in threads:
                # Not on every kernel (CONFIG_PROC_CHILDREN): then what has ended is known.
                pending += map(int, self._text(f"{pid}/task/{thread}/children").split())
        return found

    def _process(self, pid: int | str, *, ended: bool = True) -> int:
        """Return the CPU time of a process, and of its children that have ended, in ticks."""
        # The name stands in parentheses and may hold anything, parentheses too.
        fields = self._text(f"{pid}/stat").rpartition(")")[2].split()
        return sum(map(int, fields[11 : 15 if ended else 13]))

    def _text(self, path: str) -> str:
        try:
            return (self._proc / path).read_text(encoding="utf-8", errors="replace")
        except OSError:  # it ended in between, or is not for us to see
            return ""


class _Psutil:
    """Other systems: this process and its workers; to look for their children costs too much."""

    def __init__(self) -> None:
        # Imported here: on Linux it is not needed.
        import psutil

        self._psutil = psutil

    def read(self, workers: Iterable[int]) -> _Times | None:
        psutil = self._psutil
        try:
            times = psutil.cpu_times()
            me = psutil.Process().cpu_times()
            own = me.user + me.system + sum(self._process(pid) for pid in workers)
        except (psutil.Error, OSError):
            return None
        used = sum(getattr(times, name, 0.0) for name in _USED_NAMES)
        return _Times(frozenset(range(os.cpu_count() or 1)), used, own)

    def _process(self, pid: int) -> float:
        try:
            times = self._psutil.Process(pid).cpu_times()
        except self._psutil.Error:  # it ended in between
            return 0.0
        return float(times.user + times.system + times.children_user + times.children_system)


def _affinity() -> Collection[int]:
    affinity = getattr(os, "sched_getaffinity", None)
    return set(affinity(0)) if affinity is not None else set(range(os.cpu_count() or 1))


def _group_seconds(folder: Path, version: int) -> float | None:
    """Return the CPU time that a group has used, in seconds."""
    if version == 2:
        try:
            word, _, rest = (folder / "cpu.stat").read_text(encoding="ascii").partition(" ")
        except OSError:
            return None
        return int(rest.split()[0]) / 1e6 if word == "usage_usec" else None
    used = read_number(folder / "cpuacct.usage")  # mounted together with the quota, or not at all
    return used / 1e9 if used is not None else None
