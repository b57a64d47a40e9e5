"""How much memory a job needed, measured inside the worker.

Only jobs that ran for a while are looked at: reading the figure costs some ten
microseconds, which a short job would feel and a long one does not. On Linux the
kernel's peak is set back between jobs, so it tells about one job; elsewhere only
growth beyond the largest job so far shows.
"""

from __future__ import annotations

import contextlib
import math
import sys

__all__ = ["LONG_S", "PeakMeter", "peak_bytes"]

LONG_S = 0.02
"""Seconds after which a job is worth a look."""

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


class PeakMeter:
    """Measures from one job to the next.

    Rules:
        1. What a job needed is the peak since the last mark, less what was resident then.
        2. Marks are set while no job is there, at most every ``LONG_S`` seconds; so a
           long job is charged with itself and at most ``LONG_S`` of short jobs before it.
        3. A system that does not tell makes every figure 0.
    """

    __slots__ = ("_base", "_marked_at", "_works")

    def __init__(self, now: float) -> None:
        self._base = 0
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

    def needed(self, took: float) -> int:
        """Return the bytes that the job that just ran for ``took`` seconds needed; 0 if it was short."""
        return max(0, self._peak() - self._base) if took >= LONG_S and self._works else 0

    def _peak(self) -> int:
        try:
            return peak_bytes()
        except (OSError, ValueError, IndexError, ImportError):
            self._works = False
            return 0
