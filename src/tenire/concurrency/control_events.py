"""Events of the control loop, for listeners of ``Signals``."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["LevelChanged", "OverloadChanged", "SlotsChanged"]


@dataclass(frozen=True, slots=True)
class LevelChanged:
    """The engine does less than before, or more again.

    Attributes:
        level: ``normal``, ``elevated``, ``high`` or ``critical``.
        before: The level until now; always a neighbour of ``level``.
        load: The load from 0 to 1, or ``None`` if nothing is known of it.
        reason: Why, in a few words.
    """

    level: str
    before: str
    load: float | None
    reason: str


@dataclass(frozen=True, slots=True)
class OverloadChanged:
    """More classes of work go last than before, because other work waits far too long; or fewer again.

    Attributes:
        last: Names of the classes that go last now, from the least urgent on; empty once it is over.
        before: The same until now.
        wait: Seconds that normal and low work waited on average in the last second, or
            ``None`` if none started.
        reason: Why, in a few words.
    """

    last: tuple[str, ...]
    before: tuple[str, ...]
    wait: float | None
    reason: str


@dataclass(frozen=True, slots=True)
class SlotsChanged:
    """Fewer tasks may compute at once than before, or more again.

    Attributes:
        slots: CPU slots now.
        before: CPU slots until now.
        full: CPU slots on a machine that nobody else uses.
        reason: Why, in a few words.
    """

    slots: float
    before: float
    full: float
    reason: str
