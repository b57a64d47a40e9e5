"""Whether two documents are nearly the same, told from their signatures.

A signature stands for the words of a document, each with how often it occurs: the
*n*-th time a word stands there is an element of its own. The share of words that two
documents have in common (Dice's coefficient) then says how much of one is left in the
other, however paragraphs were moved: 0.9 means that nine of ten words are.

The elements are not kept. Of 256 random orders of all possible elements, the least
element of the document in each is: two documents agree in one of them as often as
their elements do (MinHash: Broder, *On the resemblance and containment of documents*,
1997), and 16 bits of each are enough to see that (Li and König, *b-Bit Minwise
Hashing*, 2010). To find candidates among millions, eight of the full values make a
*band*: documents that have one of 32 bands in common are compared (Leskovec,
Rajaraman, Ullman, *Mining of Massive Datasets*, chapter 3). Of documents with nine of
ten words in common, 999 of 1,000 share a band.

::

    bytes 0-3       number of words
    bytes 4-259     32 bands, 64 bits each
    bytes 260-771   256 values, 16 bits each
"""

from __future__ import annotations

from operator import eq

__all__ = ["BANDS", "FEWEST_WORDS", "ROWS", "bands", "near", "pack", "similarity"]

BANDS = 32
ROWS = 8
_VALUES = BANDS * ROWS
_FIRST_BAND = 4
_FIRST_VALUE = _FIRST_BAND + 8 * BANDS

FEWEST_WORDS = 40
"""A shorter text has no signature: a word or two may be all that it says."""

_SHORT = 100
_MAY_DIFFER = 5
"""Words in which texts of fewer than ``_SHORT`` words may differ: generated pages (one for
each function of a library) have most words in common, and differ in what they are about."""


_NOISE = 0.01
"""What similarities of signatures may be off by, which counts for the copy: a tenth of the
words changed is then found in 89 of 100 cases, not in 80, and of 10,000 that are taken for
copies 12 are none, not 3 (pages of PHP's manual)."""


def pack(words: int, bands: tuple[int, ...], values: bytes) -> bytes:
    """Return a signature.

    Args:
        words: Number of words.
        bands: ``BANDS`` signed numbers of 64 bits.
        values: The low 16 bits of each of the values, little-endian.
    """
    numbers = (band.to_bytes(8, "little", signed=True) for band in bands)
    return b"".join((words.to_bytes(_FIRST_BAND, "little"), *numbers, values))


def bands(signature: bytes) -> tuple[int, ...]:
    """Return the bands of a signature: signed numbers of 64 bits."""
    places = range(_FIRST_BAND, _FIRST_VALUE, 8)
    return tuple(int.from_bytes(signature[place : place + 8], "little", signed=True) for place in places)


def similarity(one: bytes, other: bytes) -> float:
    """Return the share of words that two documents have in common, from 0 to 1, about (± 0.015 at 0.9)."""
    left, right = memoryview(one)[_FIRST_VALUE:].cast("H"), memoryview(other)[_FIRST_VALUE:].cast("H")
    agree: float = sum(map(eq, left, right)) / _VALUES  # estimates their Jaccard similarity
    return 2 * agree / (1 + agree)


def _words(signature: bytes) -> int:
    return int.from_bytes(signature[:_FIRST_BAND], "little")


def near(one: bytes, other: bytes, threshold: float) -> float | None:
    """Return how similar two documents are, or ``None`` if they are not nearly the same.

    Args:
        one: The signature of one document.
        other: The signature of the other.
        threshold: The least similarity that counts; see ``similarity``. A little less is
            taken for it, since signatures only tell it about.
    """
    words = min(_words(one), _words(other))
    if words < _SHORT:
        threshold = max(threshold, 1 - _MAY_DIFFER / words)
    found = similarity(one, other)
    return found if found >= threshold - _NOISE else None
