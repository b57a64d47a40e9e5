"""The signature by which documents that are nearly the same are found; see ``core.near_duplicates``.

Chinese, Japanese, Thai and the like are written without blanks, so where a word ends is not known. Of
such a run each two characters that follow one another count as a word, or three where they are letters
of an alphabet. Single ones would not do: most texts have the usual ones in common.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from tenire.core.near_duplicates import BANDS, FEWEST_WORDS, ROWS, pack
from tenire.errors import MissingExtraError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["signature", "signature_version"]

_WORD = re.compile(r"\w+")
_IDEOGRAMS = (
    "\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
)
_LETTERS = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"
_RUN = re.compile(f"[{_IDEOGRAMS}{_LETTERS}]")
_WORD_OR_RUN = re.compile(rf"([^\W{_IDEOGRAMS}{_LETTERS}]+)|([{_IDEOGRAMS}]+)|([{_LETTERS}]+)")
_TELLING = 1  # changes with what is taken for words
_SEED = 42
_MIX = 0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F  # odd numbers that spread bits well


def signature_version() -> str:
    """Return what changes when the same text would have another signature.

    Raises:
        MissingExtraError: If rensa is not installed.
    """
    return f"{_rensa().ALGORITHM_VERSION}.{_TELLING}"


def signature(text: str) -> bytes:
    """Return the signature of a text, or nothing if it has fewer than ``FEWEST_WORDS`` words.

    Upper and lower case, punctuation and layout make no difference.

    Raises:
        MissingExtraError: If rensa is not installed.
    """
    words = _words(text.lower())
    if len(words) < FEWEST_WORDS:
        return b""
    import numpy as np

    minhash = _rensa()
    (hashed,) = minhash.hash_token_sets([words])
    elements = _elements(np.array(hashed, dtype=np.uint64))
    matrix = minhash.digest_matrix_from_token_hash_sets([elements], BANDS * ROWS, _SEED)
    values = np.array(matrix.to_rows()[0], dtype=np.uint32)
    return pack(len(words), _bands(values), values.astype("<u2").tobytes())


def _words(text: str) -> list[str]:
    if text.isascii() or not _RUN.search(text):  # as most are: this is twice as fast
        return _WORD.findall(text)
    words: list[str] = []
    for word, ideograms, letters in _WORD_OR_RUN.findall(text):
        if word:
            words.append(word)
        else:
            run, size = (ideograms, 2) if ideograms else (letters, 3)
            words += [run[place : place + size] for place in range(max(1, len(run) - size + 1))]
    return words


def _elements(hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return a number for each occurrence of each word: its hash, mixed with how often it stood there before."""
    import numpy as np

    ordered = np.sort(hashes)
    places = np.arange(len(ordered))
    first = np.concatenate(([True], ordered[1:] != ordered[:-1]))
    before = places - np.maximum.accumulate(np.where(first, places, 0))
    return _mixed(ordered ^ (before.astype(np.uint64) * np.uint64(_MIX[1])))


def _bands(values: NDArray[np.uint32]) -> tuple[int, ...]:
    import numpy as np

    rows = values.reshape(BANDS, ROWS).astype(np.uint64)
    band = np.arange(1, BANDS + 1, dtype=np.uint64)  # or equal values in two bands would meet
    for column in range(ROWS):
        band = _mixed(band ^ rows[:, column])
    return tuple(band.view(np.int64).tolist())


def _mixed(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    import numpy as np

    mixed = numbers * np.uint64(_MIX[0])  # of arrays, an overflow is what is meant
    return mixed ^ (mixed >> np.uint64(31))


def _rensa() -> Any:
    try:
        from rensa import RMinHash
    except ImportError as error:
        raise MissingExtraError("finding near duplicates", extra="data", missing="rensa") from error
    return RMinHash
