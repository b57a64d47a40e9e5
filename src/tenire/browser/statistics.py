"""What a pool of browser contexts has done."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["BrowserStatistics"]


@dataclass(frozen=True, slots=True)
class BrowserStatistics:
    """Sums since the pool's start, and how it stands.

    Attributes:
        pages: Pages that came to their end.
        failed: Pages that did not.
        contexts: Contexts that were made.
        leased: Contexts in use now.
        idle: Contexts that wait for use.
        generation: Number of the browser that new pages go to; 0 before the first.
        lost: Browsers or drivers that went away by themselves.
        crashed: Pages that crashed.
        refused: Connections to addresses that are not to be reached.
        blocked: Connections to trackers.
    """

    pages: int
    failed: int
    contexts: int
    leased: int
    idle: int
    generation: int
    lost: int
    crashed: int
    refused: int
    blocked: int
