"""What an examination of a machine finds."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

__all__ = ["Check", "Diagnosis"]


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: What it is.
        state: ``ok``, ``warn`` (works, but less well) or ``missing``.
        found: What was found, for people.
        remedy: What to do, or ``None`` if there is nothing to do.
    """

    name: str
    state: Literal["ok", "warn", "missing"]
    found: str
    remedy: str | None = None


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """All checks of one machine.

    Attributes:
        checks: In the order in which to read them.
    """

    checks: tuple[Check, ...]

    @property
    def usable(self) -> bool:
        """Whether documents can be ingested and searched: nothing that is needed is missing."""
        return all(check.state != "missing" for check in self.checks)

    def as_json(self) -> list[dict[str, Any]]:
        """Return the list that ``tenire doctor --json`` prints under ``checks``."""
        return [asdict(check) for check in self.checks]
