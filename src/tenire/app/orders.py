"""What operations of a running engine take that need more than a name."""

from __future__ import annotations

import msgspec

__all__ = ["NewPriority", "NewWeight"]


class NewPriority(msgspec.Struct, frozen=True):
    """What ``priority`` takes."""

    pipeline: str
    level: str


class NewWeight(msgspec.Struct, frozen=True):
    """What ``weight`` takes."""

    pipeline: str
    weight: float
