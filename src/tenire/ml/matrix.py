"""The rows of a training: made in parts, each whole or not there, and then one matrix on disk.

::

    FOLDER/
        part-000000.npz …  vectors of some rows each, as they are made; kept over a crash
        rows.npy           all of them, read a piece at a time; or rows.npz where they are sparse
        labels.npz         the class of each row, and what it is for
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["PartFiles", "TrainingRows", "keep_labels"]


class PartFiles:
    """The parts of one matrix; methods block.

    Args:
        folder: Where they are; it is made if it is not there.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def has(self, number: int) -> bool:
        """Return whether a part is there."""
        return self._path(number).is_file()

    def put(self, number: int, rows: Any) -> None:
        """Keep a part: an array, or a sparse one."""
        # Of its own: several are made at a time, by several processes.
        new = self._folder / f"{self._path(number).name}.{os.getpid()}.new"
        with new.open("wb") as file:
            if isinstance(rows, np.ndarray):
                np.savez(file, rows=rows)
            else:
                from scipy.sparse import save_npz

                save_npz(file, rows, compressed=False)
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, self._path(number))

    def join(self, parts: int, labels: NDArray[np.int32], uses: NDArray[np.int8]) -> None:
        """Make one matrix of so many parts.

        Args:
            parts: How many there are.
            labels: The class of each row.
            uses: What each is for: ``TRAINING``, ``VALIDATION`` or ``TEST``.
        """
        first = self._read(0)
        if isinstance(first, np.ndarray):
            shape = (len(labels), first.shape[1])
            matrix = np.lib.format.open_memmap(self._folder / "rows.new", "w+", np.float32, shape)
            start = 0
            for number in range(parts):
                rows = self._read(number)
                matrix[start : start + len(rows)] = rows
                start += len(rows)
            matrix.flush()
            del matrix
            os.replace(self._folder / "rows.new", self._folder / "rows.npy")
        else:
            from scipy.sparse import save_npz, vstack

            with (self._folder / "rows.new").open("wb") as file:
                save_npz(file, vstack([self._read(number) for number in range(parts)], format="csr"), compressed=False)
            os.replace(self._folder / "rows.new", self._folder / "rows.npz")
        keep_labels(self._folder, labels, uses)

    @property
    def joined(self) -> bool:
        """Whether they are one matrix by now."""
        return (self._folder / "labels.npz").is_file()

    def _path(self, number: int) -> Path:
        return self._folder / f"part-{number:06d}.npz"

    def _read(self, number: int) -> Any:
        with np.load(self._path(number), allow_pickle=False) as kept:
            if "rows" in kept:
                return kept["rows"]
        from scipy.sparse import load_npz

        return load_npz(self._path(number)).tocsr()


def keep_labels(folder: Path, labels: NDArray[np.int32], uses: NDArray[np.int8]) -> None:
    """Keep the class of each row, and what it is for: the last of what makes a matrix."""
    with (folder / "labels.new").open("wb") as file:
        np.savez(file, labels=labels, uses=uses)
    os.replace(folder / "labels.new", folder / "labels.npz")


@dataclass(frozen=True, slots=True)
class TrainingRows:
    """All rows of a training; dense ones are read from disk as they are taken.

    Attributes:
        matrix: Shape ``(n, d)``.
        labels: The class of each row.
        uses: What each is for.
    """

    matrix: Any
    labels: NDArray[np.int32]
    uses: NDArray[np.int8]

    @classmethod
    def open(cls, folder: Path) -> TrainingRows:
        """Return the rows that ``PartFiles.join`` has made."""
        with np.load(folder / "labels.npz", allow_pickle=False) as kept:
            labels, uses = kept["labels"], kept["uses"]
        dense = folder / "rows.npy"
        if dense.is_file():
            return cls(np.load(dense, mmap_mode="r", allow_pickle=False), labels, uses)
        from scipy.sparse import load_npz

        return cls(load_npz(folder / "rows.npz").tocsr(), labels, uses)

    @property
    def dimension(self) -> int:
        """Numbers of a row."""
        return int(self.matrix.shape[1])

    def places(self, uses: tuple[int, ...]) -> NDArray[np.intp]:
        """Return which rows are for something."""
        return np.flatnonzero(np.isin(self.uses, uses))

    def take(self, places: NDArray[np.intp]) -> Any:
        """Return some rows, in memory."""
        return self.matrix[places]

    def pieces(self, uses: tuple[int, ...], most: int) -> Iterator[NDArray[np.intp]]:
        """Yield which rows are for something, so many at a time."""
        places = self.places(uses)
        for start in range(0, len(places), most):
            yield places[start : start + most]
