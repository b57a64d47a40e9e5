"""What is done to a document between its reader and its passages, one step after the other."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tenire.documents.validation import Checks, validate

if TYPE_CHECKING:
    from tenire.documents.draft import Draft

__all__ = ["Cleaning", "clean"]


@dataclass(frozen=True, slots=True)
class Cleaning:
    """How documents are cleaned.

    Attributes:
        checks: What a document has to be like; otherwise it goes to quarantine.
    """

    checks: Checks = field(default_factory=Checks)

    @property
    def identity(self) -> str:
        """What a document depends on here, as one string; empty if nothing was asked for.

        Raises:
            ConfigError: If a function that is named cannot be loaded.
        """
        parts = {"validate": self.checks.identity}
        return " ".join(f"{name}[{value}]" for name, value in parts.items() if value)


def clean(draft: Draft, cleaning: Cleaning) -> Draft:
    """Return a document as it is to be stored.

    Raises:
        DocumentError: If the document breaks a rule; of stage ``validate``.
        ConfigError: If a function that is named cannot be loaded.
    """
    validate(draft, cleaning.checks)
    return draft
