"""Another embedder for a store: its passages are embedded again beside it, then it switches in one step.

::

    upgrade.json written ─► rows copied with new vectors, a few at a time ─► new table tidied up
        ─► format.json names it: the switch ─► upgrade.json and the old table go

Rules:

1. The old table is what searches see until ``format.json`` names the other one. That file
   is replaced whole, so there is no moment between the two.
2. Keys, texts and words stay what they are: only vectors are new.
3. It may be cut off at any point. ``upgrade.json`` names the unfinished table, and the next
   attempt with the same embedder goes on with it, unless the store has changed meanwhile in
   a way that more rows cannot mend.
4. The new table keeps no old version, so that the version which the text index names either
   holds all rows or is not there, and its latest is read.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import msgspec

from tenire.errors import StoreError
from tenire.vectors.lance_table import LanceTable
from tenire.vectors.passage_rows import ADDED, COLUMNS
from tenire.vectors.repair import synchronise
from tenire.vectors.store_files import StoreFormat, read_whole, write_format, write_whole

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from tenire.vectors.stored_texts import StoredTexts
    from tenire.vectors.text_index import TextIndex

__all__ = ["EmbedderUpgrade", "forget_finished"]

_NOTE = "upgrade.json"
_AT_ONCE = 512
_COPIED = [*COLUMNS, "batch", "source"]


class EmbedderUpgrade:
    """One upgrade. Its methods block and are called one after the other, by whoever holds the home.

    Args:
        path: Directory of the store.
        wanted: What the store is to be built with; its table is chosen here.
        old: The table in use.
        words: The text index.
        texts: Restores texts.
        writing: Keeps commits away.
        switched: Called after the switch.
    """

    def __init__(
        self,
        path: Path,
        wanted: StoreFormat,
        *,
        old: LanceTable,
        words: TextIndex,
        texts: StoredTexts,
        writing: AbstractContextManager[Any],
        switched: Callable[[], object],
    ) -> None:
        self._path = path
        self._old = old
        self._words = words
        self._texts = texts
        self._writing = writing
        self._switched = switched
        self._wanted = self._named(wanted)
        self._new = LanceTable(path, wanted.dimension, half=self._wanted.half, name=self._wanted.table)
        self._left: list[int] = []
        self._rows: dict[str, Any] = {}

    def begin(self) -> int:
        """Find out what has to be done, and return the number of passages that are to be embedded.

        Raises:
            StoreError: If the store cannot be read or written.
        """
        have, wanted = set(_keys(self._new)), set(_keys(self._old))
        if have - wanted:
            self._new.drop()
            have = set()
        write_whole(self._path / _NOTE, msgspec.json.encode(self._wanted))
        self._left = sorted(wanted - have, reverse=True)
        return len(self._left)

    def texts(self) -> list[str]:
        """Return the next texts to embed; none when all are done.

        Raises:
            StoreError: If they cannot be read.
        """
        keys = [self._left.pop() for _ in range(min(_AT_ONCE, len(self._left)))]
        if not keys:
            return []
        names = [*_COPIED, *(name for name in ADDED if name in self._old.columns())]
        condition = f"key >= {keys[0]} AND key <= {keys[-1]}"
        (rows,) = self._old.scan(names, where=condition)
        wanted = set(keys)
        rows = rows.filter([key in wanted for key in rows.column("key").to_pylist()]).sort_by("key")
        self._rows = {**dict.fromkeys(ADDED, [None] * rows.num_rows), **rows.to_pydict()}
        return [self._texts.decompress(frame) for frame in self._rows["text_z"]]

    def add(self, vectors: NDArray[np.float32]) -> None:
        """Keep the vectors of the texts that were handed out last, of shape ``(n, dimension)``.

        Raises:
            ValueError: If they do not fit.
            StoreError: If they cannot be written.
        """
        expected = (len(self._rows["key"]), self._wanted.dimension)
        if vectors.shape != expected:
            message = f"an upgrade needs vectors of shape {expected}, got {vectors.shape}"
            raise ValueError(message)
        self._new.write({**self._rows, "vector": vectors}, [])

    def switch(self) -> None:
        """Put the new table in the place of the old one, and free the room that this one took.

        Raises:
            StoreError: If not all passages were embedded, or it cannot be written.
        """
        with self._writing:
            synchronise(self._old, self._words, self._texts)
            if set(_keys(self._new)) != set(_keys(self._old)):
                message = f"the store {self._path} changed while it was given another embedder"
                raise StoreError(message, hint="run the same command again: what was embedded is kept")
            if self._new.count():
                self._new.compact(keep=timedelta(milliseconds=1))
            write_format(self._path, self._wanted)
            self._words.apply([], [], batches=[], version=self._new.version())
            (self._path / _NOTE).unlink(missing_ok=True)
            self._old.drop()
            self._new.close()
            self._switched()

    def _named(self, wanted: StoreFormat) -> StoreFormat:
        """Return what is wanted with the table of an attempt that was cut off, or with a new one."""
        note = self._path / _NOTE
        number = 2
        if note.exists():
            begun = msgspec.json.decode(read_whole(note), type=StoreFormat)
            if (begun.embedder, begun.dimension, begun.format) == (wanted.embedder, wanted.dimension, wanted.format):
                if begun.table != self._old.name:
                    return begun
            elif begun.table != self._old.name:
                LanceTable(self._path, begun.dimension, name=begun.table).drop()
        while (self._path / f"passages-{number}.lance").exists():
            number += 1
        return replace(wanted, table=f"passages-{number}")


def forget_finished(path: Path, in_use: str) -> None:
    """Delete what an upgrade left that was cut off after its switch; for whoever holds the home.

    Args:
        path: Directory of the store.
        in_use: Name of the table in use.

    Raises:
        StoreError: If it cannot be deleted.
    """
    note = path / _NOTE
    kept = {in_use}
    if note.exists():
        begun = msgspec.json.decode(read_whole(note), type=StoreFormat)
        if begun.table == in_use:
            note.unlink(missing_ok=True)
        kept.add(begun.table)
    for folder in path.glob("*.lance"):
        if folder.stem not in kept:
            LanceTable(path, 1, name=folder.stem).drop()


def _keys(table: LanceTable) -> list[int]:
    return [key for part in table.scan(["key"]) for key in part.column("key").to_pylist()]
