"""The lines of batches, in files of the home: one file a batch, until it has ended.

What stands in them is asked for again if it is lost, so nothing is flushed to the disk.
All methods block.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from tenire.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator
    from pathlib import Path
    from typing import IO

__all__ = ["Lines", "Spool"]

_ENDING = ".jsonl"
_YOUNG_S = 3600.0
_KEY_AT = b'"custom_id":"'


class Lines:
    """The lines of one file, by key, while it is open.

    Args:
        places: Where each line begins, in the order of the lines.
        file: The file.
    """

    def __init__(self, places: dict[bytes, int], file: IO[bytes] | None) -> None:
        self._places = places
        self._file = file

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._places)

    def __contains__(self, key: bytes) -> bool:
        return key in self._places

    def get(self, key: bytes) -> bytes | None:
        """Return the line of a request, or ``None``."""
        place = self._places.get(key)
        if place is None or self._file is None:
            return None
        self._file.seek(place)
        return self._file.readline()

    def some(self, keys: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the lines of some requests, as far as they are there."""
        return (line for key in keys if (line := self.get(key)) is not None)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()


class Spool:
    """A folder of files of lines.

    Args:
        folder: Where they are; made with the first file.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, batch: str) -> Path:
        """Return the file of a batch."""
        return self._folder / f"{batch}{_ENDING}"

    def write(self, batch: str, lines: Iterable[bytes]) -> None:
        """Add lines to the file of a batch, which is made if it is not there.

        Raises:
            StoreError: If it cannot be written.
        """
        path = self.path(batch)
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with path.open("ab") as file:
                file.writelines(lines)
        except OSError as error:
            message = f"the lines of a batch cannot be written to {path}: {error.strerror or error}"
            raise StoreError(message, hint="free some space, or see who may write there") from error

    def open(self, batch: str) -> Lines:
        """Open the file of a batch; there are no lines if it is lost."""
        try:
            file = self.path(batch).open("rb")
        except OSError:
            return Lines({}, None)
        return Lines(_places(file), file)

    def drop(self, batch: str) -> None:
        """Delete the file of a batch, if it is there."""
        with suppress(OSError):
            self.path(batch).unlink(missing_ok=True)

    def tidy(self, known: Collection[str], now: float) -> None:
        """Delete the files of batches that nobody knows.

        Args:
            known: Ids of batches.
            now: Seconds since the epoch. A file that is young may be known in a moment.
        """
        with suppress(OSError):
            for path in list(self._folder.iterdir()):
                if path.suffix == _ENDING and path.stem not in known:
                    with suppress(OSError):
                        if path.stat().st_mtime < now - _YOUNG_S:
                            path.unlink()


def _places(file: IO[bytes]) -> dict[bytes, int]:
    places, place = {}, 0
    for line in file:
        start = line.find(_KEY_AT) + len(_KEY_AT)
        with suppress(ValueError):
            places[bytes.fromhex(line[start : line.find(b'"', start)].decode("ascii", "replace"))] = place
        place += len(line)
    return places
