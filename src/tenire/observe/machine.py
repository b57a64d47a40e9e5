"""Facts about this machine: what it really offers to this process.

``os.cpu_count`` counts the machine's cores; a container, a batch system or
``taskset`` may leave fewer to this process. What counts is the smallest of
cores, affinity and quota, and likewise for memory.
"""

from __future__ import annotations

import contextlib
import math
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from tenire.core.pool_size import slots_at_rest
from tenire.observe.cgroups import read_cgroups

__all__ = [
    "Battery",
    "Machine",
    "own_cores",
    "own_share",
    "peak_rss_bytes",
    "pressure_available",
    "read_battery",
    "read_machine",
]

_GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Machine:
    """What the machine offers.

    Attributes:
        cores: Logical cores of the machine.
        affinity: Cores this process may run on.
        quota: Cores' worth of CPU time that control groups allow, or ``None``.
        memory: Bytes of memory of the machine.
        memory_free: Bytes that are available now, without swapping.
        memory_limit: Bytes that control groups allow, or ``None``.
    """

    cores: int
    affinity: int
    quota: float | None
    memory: int
    memory_free: int
    memory_limit: int | None

    @property
    def usable_cores(self) -> float:
        """The cores' worth of CPU time that is really there; above 0."""
        return min(self.affinity, self.quota) if self.quota else float(self.affinity)

    @property
    def usable_memory(self) -> int:
        """The bytes that this process may ever use."""
        return min(self.memory, self.memory_limit) if self.memory_limit else self.memory

    @property
    def memory_for_workers(self) -> int:
        """The bytes that worker processes may be expected to take together."""
        return self.usable_memory * 4 // 5

    @property
    def default_cpu(self) -> int:
        """Worker slots when nothing is configured: what is there, less one, at least one."""
        return slots_at_rest(cores=self.cores, affinity=self.affinity, quota=self.quota)

    def model_threads(self, cpu: int | None) -> int:
        """Return the threads that a model computes with: the cores that are there, or the slots if those are fewer.

        Args:
            cpu: Worker slots, as configured; ``None``: the usual ones.
        """
        cores = max(1, math.ceil(self.usable_cores))
        return cores if cpu is None else min(cores, cpu)

    @property
    def default_memory(self) -> int:
        """Bytes in flight when nothing is configured: a quarter of what is there, at most 1 GiB."""
        return max(64 << 20, min(_GIB, self.usable_memory // 4))


@dataclass(frozen=True, slots=True)
class Battery:
    """The battery's state.

    Attributes:
        percent: Charge from 0 to 100.
        plugged: Whether the machine is on mains; ``None`` if it does not say.
    """

    percent: float
    plugged: bool | None


def read_machine(root: Path = Path("/")) -> Machine:
    """Look at the machine; takes about a millisecond.

    Args:
        root: Where ``proc`` and the control groups' mounts are; for tests.
    """
    # Imported here: not every process that knows a Machine has to look at one.
    import psutil

    groups = read_cgroups(root)
    memory = psutil.virtual_memory()
    cores = os.cpu_count() or 1
    return Machine(
        cores=cores,
        affinity=own_cores(),
        quota=groups.cpu,
        memory=memory.total,
        memory_free=memory.available,
        memory_limit=groups.memory,
    )


def own_cores() -> int:
    """Return how many cores this process may run on; reads no file."""
    cores = os.cpu_count() or 1
    # Looked up by name, since type checkers know each platform's own set only. Windows
    # has affinity by way of psutil; macOS has none.
    own = getattr(os, "sched_getaffinity", None)
    if own is not None:
        return len(own(0))
    import psutil

    affinity = getattr(psutil.Process(), "cpu_affinity", None)
    return len(affinity()) or cores if affinity is not None else cores


def own_share() -> float:
    """Return the cores' worth of CPU time that affinity and control groups leave to this process; reads files."""
    cores = own_cores()
    return min(cores, read_cgroups().cpu or cores)


def read_battery() -> Battery | None:
    """Return the battery's state, or ``None`` where there is none to be seen."""
    import psutil

    sensor = getattr(psutil, "sensors_battery", None)
    try:
        state = sensor() if sensor is not None else None
    except (OSError, ValueError, RuntimeError):  # half-present power supplies in virtual machines
        return None
    return Battery(float(state.percent), state.power_plugged) if state is not None else None


def pressure_available(root: Path = Path("/")) -> tuple[str, ...]:
    """Return which pressure files (``cpu``, ``memory``, ``io``) the kernel offers to us."""
    readable = []
    for name in ("cpu", "memory", "io"):
        try:
            if (root / "proc/pressure" / name).read_text(encoding="ascii").startswith("some"):
                readable.append(name)
        except OSError:  # no such file, or switched off at boot (EOPNOTSUPP)
            continue
    return tuple(readable)


def peak_rss_bytes() -> int:
    """Return the largest resident memory that this process ever had."""
    if sys.platform == "linux":
        # Not getrusage: its figure survives exec, so a small program that a large one
        # started would report the large one's memory.
        with contextlib.suppress(OSError, ValueError, IndexError):
            status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
            return int(status.partition("VmHWM:")[2].split()[0]) * 1024
    if sys.platform == "win32":
        import psutil

        return int(psutil.Process().memory_info().peak_wset)
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Kilobytes on Linux, bytes on macOS.
    return peak if sys.platform == "darwin" else peak * 1024
