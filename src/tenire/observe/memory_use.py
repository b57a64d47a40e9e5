"""How full the memory is: the machine's, and that of every control group around us.

What counts is the tightest place. Of a group's use, pages of files that nobody
touched lately (``inactive_file``) are taken off: the kernel drops them before it
runs out.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tenire.observe.cgroups import NO_LIMIT, groups, read_number

__all__ = ["MemoryMeter"]


class MemoryMeter:
    """Watches memory.

    Args:
        root: What ``proc`` and the control groups' mounts are below of; for tests.
    """

    def __init__(self, root: Path = Path("/")) -> None:
        self._meminfo = root / "proc/meminfo"
        self._groups = [found for found in groups(root) if _limit(*found) is not None]

    def sample(self) -> dict[str, float]:
        """Return ``memory_used``, the share in use from 0 to 1, and what else the system says."""
        shares = [share for found in self._groups if (share := _group_share(*found)) is not None]
        machine = self._machine()
        if machine is not None:
            shares.append(machine)
        signals = {"memory_used": max(shares)} if shares else {}
        if sys.platform == "darwin":
            warning = _macos_pressure_level()
            if warning is not None:
                signals["memory_warning"] = float(warning)
        return signals

    def _machine(self) -> float | None:
        try:
            text = self._meminfo.read_text(encoding="ascii", errors="replace")
        except OSError:
            # Imported here: on Linux it is not needed.
            import psutil

            memory = psutil.virtual_memory()
            return 1.0 - float(memory.available) / float(memory.total) if memory.total else None
        total, available = _kilobytes(text, "MemTotal:"), _kilobytes(text, "MemAvailable:")
        return 1.0 - available / total if total and available is not None else None


def _kilobytes(text: str, name: str) -> int | None:
    words = text.partition(name)[2].split(maxsplit=1)
    return int(words[0]) if words and words[0].isdigit() else None


def _limit(folder: Path, version: int) -> int | None:
    """Return the bytes that a group allows; the softer limit of version 2 too, from which on it is slowed down."""
    names = ("memory.max", "memory.high") if version == 2 else ("memory.limit_in_bytes",)
    limits = [limit for name in names if (limit := read_number(folder / name)) is not None]
    return min((limit for limit in limits if 0 < limit < NO_LIMIT), default=None)


def _group_share(folder: Path, version: int) -> float | None:
    limit = _limit(folder, version)  # read again: it may be changed while we run
    used = read_number(folder / ("memory.current" if version == 2 else "memory.usage_in_bytes"))
    if limit is None or used is None:
        return None
    name = "inactive_file" if version == 2 else "total_inactive_file"
    try:
        lines = (folder / "memory.stat").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        lines = []
    droppable = next((int(value) for key, _, value in (line.partition(" ") for line in lines) if key == name), 0)
    return min(1.0, max(0.0, (used - droppable) / limit))


def _macos_pressure_level() -> int | None:
    """Return 1 (normal), 2 (warning) or 4 (critical); ``None`` if the kernel does not say."""
    # Imported here: elsewhere it would take a megabyte for nothing.
    import ctypes

    level = ctypes.c_int(0)
    size = ctypes.c_size_t(ctypes.sizeof(level))
    name = b"kern.memorystatus_vm_pressure_level"
    failed = ctypes.CDLL(None).sysctlbyname(name, ctypes.byref(level), ctypes.byref(size), None, 0)
    return None if failed else level.value
