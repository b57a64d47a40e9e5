"""What Linux control groups leave to this process: CPU quota and memory limit.

A container, a service manager or a batch system may give a process less than
the machine has, at any level of the tree. The smallest limit of *all* ancestors
counts, and the two versions of control groups may be mounted at once, so both
are read:

- version 2: ``cpu.max`` and ``memory.max``;
- version 1: ``cpu.cfs_quota_us`` / ``cpu.cfs_period_us`` and ``memory.limit_in_bytes``.

Everything is read from files below a root that tests replace. Where there are
no control groups (macOS, Windows) the answer is "no limit".
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["NO_LIMIT", "CgroupLimits", "cpu_quota", "groups", "read_cgroups", "read_number"]

# Version 1 says "no limit" with the largest multiple of a page that fits 63 bits.
NO_LIMIT = 1 << 60


@dataclass(frozen=True, slots=True)
class CgroupLimits:
    """The smallest limits of all groups that hold this process.

    Attributes:
        cpu: Cores' worth of CPU time, for example 1.5, or ``None``.
        memory: Bytes, or ``None``.
    """

    cpu: float | None
    memory: int | None


def read_cgroups(root: Path = Path("/")) -> CgroupLimits:
    """Return the limits of this process.

    Args:
        root: What ``proc/self`` and the mount points are below of.
    """
    quotas: list[float] = []
    limits: list[int] = []
    for folder, version in groups(root):
        quota = cpu_quota(folder, version)
        if quota is not None:
            quotas.append(quota)
        limit = read_number(folder / ("memory.max" if version == 2 else "memory.limit_in_bytes"))
        if limit is not None and 0 < limit < NO_LIMIT:
            limits.append(limit)
    return CgroupLimits(min(quotas, default=None), min(limits, default=None))


def groups(root: Path) -> Iterator[tuple[Path, int]]:
    """Yield the folder of each group that holds this process, and its version."""
    memberships = _memberships(root)
    for line in _lines(root / "proc/self/mountinfo"):
        left, separator, right = line.partition(" - ")
        fields, kinds = left.split(" "), right.split(" ")
        if not separator or len(fields) < 5 or len(kinds) < 3 or kinds[0] not in ("cgroup", "cgroup2"):
            continue
        version = 2 if kinds[0] == "cgroup2" else 1
        controllers = {""} if version == 2 else set(kinds[2].split(",")) & {"cpu", "memory"}
        shown, mount = PurePosixPath(_unescape(fields[3])), _unescape(fields[4])
        top = root / mount.lstrip("/")
        for controller in controllers & memberships.keys():
            group = PurePosixPath(memberships[controller])
            # A container may see only its own part of the tree mounted: the mount
            # then begins at `shown`, and nothing above it can be read.
            below = group.relative_to(shown) if group.is_relative_to(shown) else PurePosixPath()
            if ".." in below.parts:
                below = PurePosixPath()
            folder = top / below
            while True:
                yield folder, version
                if folder == top:
                    break
                folder = folder.parent


def _memberships(root: Path) -> dict[str, str]:
    """Return this process's group per controller; the empty name is version 2."""
    groups = {}
    for line in _lines(root / "proc/self/cgroup"):
        _, _, rest = line.partition(":")
        controllers, separator, group = rest.partition(":")
        if separator:
            groups.update(dict.fromkeys(controllers.split(","), group))
    return groups


def cpu_quota(folder: Path, version: int) -> float | None:
    """Return the cores' worth of CPU time that one group allows, or ``None``."""
    return _cpu_v2(folder) if version == 2 else _cpu_v1(folder)


def _cpu_v2(folder: Path) -> float | None:
    words = _text(folder / "cpu.max").split()
    if len(words) != 2 or not all(word.isdigit() for word in words) or int(words[1]) == 0:
        return None
    return int(words[0]) / int(words[1])


def _cpu_v1(folder: Path) -> float | None:
    quota, period = read_number(folder / "cpu.cfs_quota_us"), read_number(folder / "cpu.cfs_period_us")
    return quota / period if quota and period and quota > 0 else None


def read_number(path: Path) -> int | None:
    """Return the whole number that a file holds, or ``None``."""
    text = _text(path).strip()
    try:
        return int(text)
    except ValueError:  # absent, or "max"
        return None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:  # not there, or not for us: no limit that we can know of
        return ""


def _lines(path: Path) -> list[str]:
    return _text(path).split("\n")


def _unescape(field: str) -> str:
    # proc(5): space, tab, newline and backslash are written as octal.
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        field = field.replace(code, character)
    return field
