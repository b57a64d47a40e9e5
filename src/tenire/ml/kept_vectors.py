"""Vectors that a server gave for the texts of a training, until its model is there.

::

    FOLDER/
        000000-4f1c….npz …  keys and vectors of the texts of one request for a part

1. They go by text, not by row or version: whichever rows a training ends up with, nothing that is here is asked
   for again. The folder is that of one embedder.
2. A file is whole or not there: the hash of what is in it stands in its name, and one that does not match is not read.
3. A text that rows far apart have in common is asked for once: with the first of them.
4. All of them have one length. An embedder that gives another one is not what it was: what it gave before goes,
   and what stays of that all the same is not read.
"""

from __future__ import annotations

import os
from hashlib import sha256
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["KeptVectors"]

_KEY = np.dtype("S16")
"""Of a text: half of its hash, so that a million of them take 16 MB."""

_MOST_RECENT = 1 << 16
"""Keys in a set, which takes five times as much, until they are sorted in among the others."""


class KeptVectors:
    """What is there for one training; methods block, and ``look_up`` is for one caller at a time.

    Args:
        folder: Where it is; it is made if it is not there.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        keys, self._length = [np.empty(0, _KEY)], 0
        for found, vectors in self._read():
            keys.append(found)
            self._length = vectors.shape[1]
        self._keys = np.unique(np.concatenate(keys))
        self._asked: set[bytes] = set()  # for texts that are not there, but were told to be asked for

    def look_up(self, texts: list[str]) -> tuple[bytes, list[str]]:
        """Return the keys of some texts, for ``join``, and those to be asked for.

        These had no vector when this was opened, and were not told before.
        """
        keys = _keys_of(texts)
        there = np.searchsorted(self._keys, keys, "right") > np.searchsorted(self._keys, keys, "left")
        missing = []
        for text, key, known in zip(texts, keys.tolist(), there, strict=True):
            if not known and key not in self._asked:
                self._asked.add(key)
                missing.append(text)
        if len(self._asked) > _MOST_RECENT:
            self._keys = np.union1d(self._keys, np.array(list(self._asked), _KEY))
            self._asked = set()
        return keys.tobytes(), missing

    def put(self, number: int, texts: list[str], vectors: Any) -> bool:
        """Keep the vectors of some texts.

        Args:
            number: Of the part that they are for; one of each is made at a time.
            texts: The texts, at least one.
            vectors: Theirs, in the same order.

        Returns:
            ``False`` if they are of another length than those that are there, which go (rule 4).
        """
        rows = np.asarray(vectors, np.float32)
        if self._length not in (0, rows.shape[1]):
            for path in self._folder.glob("*.npz"):
                path.unlink(missing_ok=True)
            return False
        self._length = rows.shape[1]
        file = BytesIO()
        np.savez(file, keys=_keys_of(texts), vectors=rows)
        data = file.getvalue()
        path = self._folder / f"{number:06d}-{_digest(data)}.npz"
        new = path.with_suffix(".new")
        with new.open("wb") as kept:
            kept.write(data)
            kept.flush()
            os.fsync(kept.fileno())
        os.replace(new, path)
        return True

    def join(self, folder: Path, keys: bytearray) -> bool:
        """Make the matrix of a training, ``rows.npy``.

        Args:
            folder: Of the training.
            keys: Of the text of each row; texts may be equal.

        Returns:
            Whether there was a vector for each of them.
        """
        wanted = np.frombuffer(keys, _KEY)
        order = np.argsort(wanted, kind="stable")
        ordered = wanted[order]
        found = np.zeros(len(wanted), np.bool_)
        matrix: Any = None
        # File by file and not row by row: each is read once, also where equal texts stand far apart.
        for names, vectors in self._read():
            starts, ends = np.searchsorted(ordered, names, "left"), np.searchsorted(ordered, names, "right")
            if matrix is None:
                shape = (len(wanted), vectors.shape[1])
                matrix = np.lib.format.open_memmap(folder / "rows.new", "w+", np.float32, shape)
            for vector, start, end in zip(vectors, starts, ends, strict=True):
                places = order[start:end]
                matrix[places] = vector
                found[places] = True
        if not found.all():
            return False
        matrix.flush()
        del matrix
        os.replace(folder / "rows.new", folder / "rows.npy")
        return True

    def _read(self) -> Iterator[tuple[NDArray[np.bytes_], NDArray[np.float32]]]:
        """Yield keys and vectors of each file that is whole, and has the length of the first one."""
        length = 0
        for path in sorted(self._folder.glob("*.npz")):
            try:
                data = path.read_bytes()
            except OSError:
                continue
            if _digest(data) == path.stem.rpartition("-")[2]:
                with np.load(BytesIO(data), allow_pickle=False) as kept:
                    keys, vectors = kept["keys"], kept["vectors"]
                length = length or vectors.shape[1]
                if vectors.shape[1] == length:
                    yield keys, vectors


def _keys_of(texts: list[str]) -> NDArray[np.bytes_]:
    hashes = (sha256(text.encode("utf-8", "surrogatepass")).digest()[: _KEY.itemsize] for text in texts)
    return np.frombuffer(b"".join(hashes), _KEY)


def _digest(data: bytes) -> str:
    return sha256(data).hexdigest()[:32]
