"""How much memory a job needed, and how much the worker keeps, measured inside the worker.

Only jobs that ran for a while are looked at: reading the figure costs some ten
microseconds, which a short job would feel and a long one does not. On Linux the
kernel's peak is set back between jobs, so it tells about one job; elsewhere only
growth beyond the largest job so far shows.
"""

from __future__ import annotations

import contextlib
import math
import os
import sys

__all__ = ["LONG_S", "PeakMeter", "joined", "parted", "peak_bytes", "resident_bytes"]

LONG_S = 0.02
"""Seconds after which a job is worth a look."""

_KIB = (1 << 32) - 1

_RESET_PEAK = b"5"
"""What the kernel wants to read in ``/proc/self/clear_refs``."""


def peak_bytes() -> int:
    """Return the largest resident memory since the start, or since it was last set back."""
    if sys.platform == "linux":
        with open("/proc/self/status", "rb") as file:
            status = file.read()
        return int(status.partition(b"VmHWM:")[2].split(None, 1)[0]) << 10
    if sys.platform == "win32":
        import psutil

        return int(psutil.Process().memory_info().peak_wset)
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak << 10  # bytes there, kilobytes elsewhere


def resident_bytes() -> int:
    """Return the memory that this process occupies now."""
    if sys.platform == "linux":
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    import psutil

    return int(psutil.Process().memory_info().rss)


def joined(needed: int, resident: int) -> int:
    """Return two amounts of bytes as one number below 2**64, each rounded to KiB."""
    return min(needed >> 10, _KIB) << 32 | min(resident >> 10, _KIB)


def parted(number: int) -> tuple[int, int]:
    """Return the amounts that ``joined`` has made one number of."""
    return number >> 32 << 10, (number & _KIB) << 10


class PeakMeter:
    """Measures from one job to the next.

    Rules:
        1. What a job needed is the peak since the last mark, less what was resident then.
        2. Marks are set while no job is there, at most every ``LONG_S`` seconds; so a
           long job is charged with itself and at most ``LONG_S`` of short jobs before it.
        3. A system that does not tell makes every figure 0.

    Attributes:
        resident: What the process occupied after the last long job, or at the last mark.
    """

    __slots__ = ("_base", "_marked_at", "_works", "resident")

    def __init__(self, now: float) -> None:
        self._base = 0
        self.resident = 0
        self._works = True
        self._marked_at = -math.inf
        self.between_jobs(now)

    def between_jobs(self, now: float) -> None:
        """Set a mark if the last one is old; call it when a job's outcome is sent and forgotten."""
        if now - self._marked_at < LONG_S or not self._works:
            return
        self._marked_at = now
        if sys.platform == "linux":
            # A sandbox may lack it: then it is as on other systems.
            with contextlib.suppress(OSError), open("/proc/self/clear_refs", "wb") as file:
                file.write(_RESET_PEAK)
        self._base = self._peak()
        self.resident = self._resident()

    def needed(self, took: float) -> int:
        """Return the bytes that the job that just ran for ``took`` seconds needed; 0 if it was short."""
        if took < LONG_S or not self._works:
            return 0
        self.resident = self._resident()
        return max(0, self._peak() - self._base)

    def _resident(self) -> int:
        try:
            return resident_bytes()
        except (OSError, ValueError, IndexError, ImportError):
            return 0

    def _peak(self) -> int:
        try:
            return peak_bytes()
        except (OSError, ValueError, IndexError, ImportError):
            self._works = False
            return 0
