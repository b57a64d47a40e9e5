"""Finds the sizes of a run's pieces while it runs, and keeps what it learned for the next run.

::

    monitor ──► adjust ──────► optimise ─────► cache
    calls of    costs of a     sizes that      the ledger, by
    stages      stage          suit them       machine and recipe

The decisions are ``core.stage_cost`` and ``core.stage_sizes``; here they are fed and followed.
"""

from __future__ import annotations

import json
import os
import platform
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from tenire.core.stage_cost import StageCost
from tenire.core.stage_sizes import FIRST, StageSizes, sizes_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from tenire.storage.ledger import Ledger

__all__ = ["Tuning"]

_VERSION = 1
_FADING = 63 / 64
_DIGITS = 6


class Tuning:
    """The sizes of one run.

    Args:
        recipe: What the stages do to a file: its reader, its model.
        workers: Worker processes that can read at the same time.

    Attributes:
        sizes: In which pieces documents go through the run, now.
        on_change: Called after ``sizes`` has become another.
        workers: Worker processes that can read at the same time.
    """

    def __init__(self, recipe: str, *, workers: int) -> None:
        self.sizes = FIRST
        self.on_change: Callable[[], object] = lambda: None
        self._key = f"tuning:{sha256(recipe.encode()).hexdigest()[:16]}:{_machine()}:{workers}"
        self.workers = workers
        self._read, self._embed, self._store = StageCost(), StageCost(), StageCost()
        self._batches = self._bytes = self._passages = self._characters = 0.0
        self._first_reads = workers

    # -- monitor -----------------------------------------------------------

    def note_read(self, size: int, passages: int, characters: int, seconds: float) -> None:
        """Take in that a batch was read.

        Args:
            size: Bytes of its files.
            passages: What came of them.
            characters: In those passages.
            seconds: How long a worker took for it.
        """
        self._batches = _FADING * self._batches + 1
        self._bytes = _FADING * self._bytes + size
        self._passages = _FADING * self._passages + passages
        self._characters = _FADING * self._characters + characters
        if self._first_reads:
            self._first_reads -= 1  # a new worker first loads what it reads with
        else:
            self._read.observe(size, seconds)

    def note_embedded(self, characters: int, seconds: float) -> None:
        """Take in a call of the model. Short passages cost less, so they count for less than one."""
        if self._characters:
            self._embed.observe(characters * self._passages / self._characters, seconds)

    def note_stored(self, passages: int, seconds: float) -> None:
        """Take in a commit, and find the sizes anew."""
        self._store.observe(passages, seconds)
        self._find()

    # -- optimise ----------------------------------------------------------

    def _find(self) -> None:
        sizes = sizes_for(
            self.sizes,
            read=self._read,
            embed=self._embed,
            store=self._store,
            usual=(self._bytes / self._batches, self._passages / self._batches) if self._batches else (0.0, 0.0),
            workers=self.workers,
        )
        if sizes != self.sizes:
            self.sizes = sizes
            self.on_change()

    # -- cache -------------------------------------------------------------

    def load(self, ledger: Ledger) -> None:
        """Go on from what earlier runs learned here; on a thread. What cannot be read counts as not there.

        Raises:
            StoreError: If the ledger cannot be read.
        """
        text = ledger.setting(self._key)
        try:
            self._take(json.loads(text or "null"))
        except (ValueError, TypeError, KeyError, RecursionError):
            return  # advice to itself: nothing is wrong if it is lost

    def save(self, ledger: Ledger) -> None:
        """Keep what was learned; on a thread.

        Raises:
            StoreError: If the ledger cannot be written.
        """
        costs = {"read": self._read, "embed": self._embed, "store": self._store}
        facts = {
            "version": _VERSION,
            "costs": {name: [_rounded(value) for value in cost.sums] for name, cost in costs.items()},
            "amounts": [_rounded(value) for value in (self._batches, self._bytes, self._passages, self._characters)],
            "sizes": [getattr(self.sizes, name) for name in StageSizes.__slots__],
        }
        ledger.remember(self._key, json.dumps(facts, separators=(",", ":")))

    def _take(self, facts: Any) -> None:
        if facts["version"] != _VERSION:
            return
        read, embed, store = (StageCost(facts["costs"][name]) for name in ("read", "embed", "store"))
        amounts = [float(value) for value in facts["amounts"]]
        sizes = StageSizes(*(int(value) for value in facts["sizes"]))
        self._batches, self._bytes, self._passages, self._characters = amounts
        self._read, self._embed, self._store, self.sizes = read, embed, store, sizes
        self._find()  # brings sizes that a changed Tenire would not choose back between their bounds
        self.on_change()


def _machine() -> str:
    return sha256(f"{platform.node()}\0{platform.machine()}\0{os.cpu_count()}".encode()).hexdigest()[:8]


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")
