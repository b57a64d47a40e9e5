"""Who a mark in the ledger belongs to, and whether that program still runs.

1. A mark is good until a time, which its owner moves on for as long as it needs it. That
   alone would do: a program that was killed moves nothing.
2. Waiting for that takes a while, so on the machine on which it was made a mark ends
   with its process.
3. Clocks may be set back: a time that lies further ahead than any owner would write is
   none.
"""

from __future__ import annotations

import functools
import os
import platform
import secrets

__all__ = ["LEASE_S", "RENEW_S", "is_gone", "is_void", "new_owner"]

LEASE_S = 60.0
"""Seconds for which a mark is good."""
RENEW_S = 15.0
"""Seconds after which an owner that still needs its marks moves them on."""

_SAME_START_S = 2.0  # by which the system may tell the start of one process differently


def new_owner() -> str:
    """Return a name for marks of this process; each call returns another one."""
    return f"{os.getpid()}/{_started(os.getpid()) or 0:.2f}/{secrets.token_hex(6)}/{platform.node()}"


def is_void(owner: str, good_until: float, now: float) -> bool:
    """Return whether a mark does not count any more.

    Args:
        owner: Whose it is.
        good_until: Seconds since the epoch.
        now: Seconds since the epoch.
    """
    return not _is_good(good_until, now) or is_gone(owner, good_until, now)


def is_gone(owner: str, good_until: float, now: float) -> bool:
    """Return whether the program that a mark belongs to has ended.

    Not even a clock that jumps, or a machine that slept, makes one that still runs here a lost one. Of
    one on another machine only its mark tells.

    Args:
        owner: Whose the mark is.
        good_until: Seconds since the epoch.
        now: Seconds since the epoch.
    """
    pid, started, _, machine = owner.split("/", 3)
    if machine != platform.node():
        return not _is_good(good_until, now)
    found = _started(int(pid))
    return found is None or abs(found - float(started)) > _SAME_START_S


def _is_good(good_until: float, now: float) -> bool:
    return now < good_until <= now + 2 * LEASE_S


def _started(pid: int) -> float | None:
    """Return when a process started, seconds since the epoch; ``None`` if there is none."""
    if pid == os.getpid():
        return _own_start()
    return _start_of(pid)


def _start_of(pid: int) -> float | None:
    import psutil  # dear to load, and mostly not needed

    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return float(process.create_time())
    except psutil.NoSuchProcess:
        return None
    except psutil.Error:  # there, but not ours to see: its marks are good until they run out
        return 0.0


@functools.cache
def _own_start() -> float | None:
    return _start_of(os.getpid())
