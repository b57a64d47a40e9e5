"""Pressure stall information: the share of time in which something had to wait.

Linux counts the microseconds in which some task, or every task that was not idle,
stood still for want of the processor, of memory or of the disk. The averages that
it offers beside them lag by ten seconds and more, so only the counters are read,
and compared over the caller's own interval (kernel documentation,
``Documentation/accounting/psi.rst``).

The files may be missing (older kernels, other systems, ``psi=0`` at boot); then
the signal is missing.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from tenire.observe.cgroups import groups

__all__ = ["PressureMeter"]


class PressureMeter:
    """Watches stalled time.

    Args:
        root: What ``proc`` and the control groups' mounts are below of; for tests.
    """

    def __init__(self, root: Path = Path("/")) -> None:
        files = {name: [root / "proc/pressure" / name] for name in ("cpu", "memory", "io")}
        # The group's own file too: in a container that is short of memory everything
        # may stand still while the machine around it does not.
        own = next((folder for folder, version in groups(root) if version == 2), None)
        if own is not None:
            files["memory"].append(own / "memory.pressure")
        self._files = {name: [path for path in paths if _totals(path)] for name, paths in files.items()}
        self._before: dict[tuple[Path, str], int] = {}
        self._at: float | None = None

    def sample(self, now: float) -> dict[str, float]:
        """Return the share of the time since the last sample, by ``resource_kind``.

        For example ``{"memory_some": 0.02, "memory_full": 0.0}``; what cannot be seen
        is left out, and so is everything in the first sample.

        Args:
            now: Seconds on a clock that never goes back.
        """
        before, self._before = self._before, {}
        seconds = now - self._at if self._at is not None else 0.0
        self._at = now
        shares: dict[str, float] = {}
        for name, paths in self._files.items():
            for path in paths:
                for kind, total in _totals(path).items():
                    self._before[path, kind] = total
                    last = before.get((path, kind))
                    if last is not None and seconds > 0:
                        share = min(1.0, max(0.0, (total - last) / 1e6 / seconds))
                        shares[f"{name}_{kind}"] = max(share, shares.get(f"{name}_{kind}", 0.0))
        return shares


def _totals(path: Path) -> dict[str, int]:
    """Return the counters of one file in microseconds: ``some``, and ``full`` if it is there."""
    try:
        lines = path.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:  # no such file, or switched off at boot (EOPNOTSUPP)
        return {}
    totals: dict[str, int] = {}
    for line in lines:
        kind, _, rest = line.partition(" ")
        with contextlib.suppress(ValueError):  # a line that this version does not know
            totals[kind] = int(rest.rpartition("total=")[2])
    return totals
