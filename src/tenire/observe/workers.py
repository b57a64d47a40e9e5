"""What processes of ours occupy, and whether they are stopped."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["ProcessLook", "look_at"]


class ProcessLook(NamedTuple):
    """One process at one moment.

    Attributes:
        resident: Memory that it occupies, bytes.
        stopped: Whether somebody has stopped it; a debugger that holds it does not count.
    """

    resident: int
    stopped: bool


def look_at(pids: Iterable[int]) -> dict[int, ProcessLook]:
    """Look at processes; off the loop, since it reads files. Those that have ended are left out."""
    # Imported here: an engine without worker processes does not need it.
    import psutil

    found = {}
    for pid in pids:
        try:
            process = psutil.Process(pid)
            with process.oneshot():
                status = process.status()
                if status != psutil.STATUS_ZOMBIE:
                    found[pid] = ProcessLook(process.memory_info().rss, status == psutil.STATUS_STOPPED)
        except psutil.Error:
            continue
    return found
