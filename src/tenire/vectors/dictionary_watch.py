"""When a store should learn a new dictionary for its texts: a decision on counts, and the samples for it.

::

    no dictionary ──128 KiB of texts──► learn a small one
         │
         ▼
    first 2 MiB ──► learn a larger one ──► watch: windows of 2 MiB each
                                             │  ratio of a window fell by 5 %
                                             └──► learn again

A dictionary that was learnt takes the place of the one in use only if it does better by 3 %
on texts that it was not learnt from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["LARGE", "SMALL", "DictionaryWatch"]

SMALL = 16 << 10
LARGE = 64 << 10

# Fewer or smaller samples teach a dictionary the quirks of a few files.
_FIRST_SAMPLES = 200
_FIRST_BYTES = 128 << 10
# More only takes memory while waiting: four instead of two bring 0.3 %.
_WINDOW = 2 << 20
_FALL = 0.95
_GAIN = 1.03


class DictionaryWatch:
    """What texts a store took in since it last tried a dictionary, and how well they shrank."""

    def __init__(self) -> None:
        self._samples: list[bytes] = []
        self._raw = 0
        self._stored = 0
        self._reference: float | None = None

    def note(self, texts: Sequence[bytes], stored: int | None) -> None:
        """Take texts into account.

        Args:
            texts: Texts in UTF-8.
            stored: Bytes of their frames; ``None`` while there is no dictionary.
        """
        if stored is not None and self._raw >= _WINDOW:
            # The last window was as good as the one before it.
            self._empty()
        self._samples += texts
        self._raw += sum(map(len, texts))
        self._stored += stored or 0

    def due(self, *, current: bool) -> bool:
        """Return whether it is time to learn.

        Args:
            current: Whether there is a dictionary.
        """
        if not current:
            return len(self._samples) >= _FIRST_SAMPLES and self._raw >= _FIRST_BYTES
        if self._raw < _WINDOW:
            return False
        return self._reference is None or self._raw < _FALL * self._reference * self._stored

    def samples(self) -> tuple[list[bytes], list[bytes], int]:
        """Return texts to learn from, others to try the result on, and bytes of a dictionary that suits them."""
        learn, compare = self._samples[::2], self._samples[1::2]
        return learn, compare, LARGE if self._raw >= _WINDOW else SMALL

    def tried(self, *, raw: int, before: int | None, after: int | None) -> bool:
        """Return whether the new dictionary is the better one, and begin to watch anew.

        Args:
            raw: Bytes of the texts that it was tried on.
            before: Bytes of their frames with the one in use; ``None`` while there is none.
            after: Bytes of their frames with the new one; ``None`` if nothing could be learnt.
        """
        adopt = after is not None and (before is None or before >= _GAIN * after)
        kept = after if adopt else before
        # The first one is small and was learnt from little: the next window may try a larger one.
        self._reference = raw / kept if kept and before is not None else None
        self._empty()
        return adopt

    def _empty(self) -> None:
        self._samples, self._raw, self._stored = [], 0, 0
