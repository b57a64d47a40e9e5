"""How files become passages."""

from __future__ import annotations

from dataclasses import dataclass, field

from tenire.documents.chunking import Cutting
from tenire.documents.cleaning import Cleaning

__all__ = ["PREPARE_VERSION", "PrepareOptions", "recipe_identity"]

PREPARE_VERSION = 7
"""Raised whenever the same file would give other passages: every document is then done again."""


_TEXT_PER_FILE = 4


@dataclass(frozen=True, slots=True)
class PrepareOptions:
    """How files become passages.

    Attributes:
        max_file: Largest file that is held in memory, bytes; also once it is expanded.
            Archives and mailboxes may be larger, their members may not.
        max_expanded: The most that may come out of one file, all its members together, bytes.
        cleaning: What is done to a text before it is cut.
        cutting: How it is cut.
    """

    max_file: int = 64 << 20
    max_expanded: int = 1 << 30
    cleaning: Cleaning = field(default_factory=Cleaning)
    cutting: Cutting = field(default_factory=Cutting)

    @property
    def max_text(self) -> int:
        """Most characters of one document: what is packed inside of a format may not outgrow memory either."""
        return min(self.max_expanded, _TEXT_PER_FILE * self.max_file)


def recipe_identity(options: PrepareOptions) -> str:
    """Return what a document depends on besides its content, as one string.

    ``max_file`` and ``max_expanded`` are left out: they decide whether a file is read,
    not what comes of it.

    Raises:
        ConfigError: If a function that is named cannot be loaded.
    """
    cleaning = options.cleaning.identity
    return f"documents/{PREPARE_VERSION} {options.cutting.identity}" + (f" {cleaning}" if cleaning else "")
