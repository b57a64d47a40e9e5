"""The texts of a store, compressed one by one with dictionaries that were learnt from them.

``dictionaries/<number>.zdict`` hold what the frames need to be read. There may be several:
each frame names its own, and the newest is for new texts.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from tenire.errors import StoreError
from tenire.storage.compression import TextCodec, train_dictionary, utf8
from tenire.vectors.dictionary_watch import DictionaryWatch
from tenire.vectors.store_files import read_whole, write_whole

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = ["StoredTexts"]


class StoredTexts:
    """Compresses the texts of one store, and learns what repeats in them. Threads may share it to read.

    Args:
        path: Directory of the store.
    """

    def __init__(self, path: Path) -> None:
        self._path = path / "dictionaries"
        self._lock = threading.Lock()
        self._codec: TextCodec | None = None
        self._watch = DictionaryWatch()

    def decompress(self, frame: bytes) -> str:
        """Return the text of a frame.

        Raises:
            StoreError: If it is damaged, or its dictionary is missing.
        """
        return self._ready().decompress(frame)

    def compress(self, texts: Iterable[str]) -> list[bytes]:
        """Return one frame per text.

        A call that completes a fair sample also learns a dictionary. It is on disk
        before any frame that needs it exists.

        Raises:
            StoreError: If the dictionary cannot be written.
        """
        codec = self._ready()
        texts = list(texts)
        raw = [utf8(text) for text in texts]
        if not codec.current:
            self._watch.note(raw, None)
            self._learn(codec)
            return [codec.compress(text) for text in texts]
        frames = [codec.compress(text) for text in texts]
        self._watch.note(raw, sum(map(len, frames)))
        self._learn(codec)
        return frames

    def _ready(self) -> TextCodec:
        with self._lock:
            if self._codec is None:
                codec = TextCodec(self._find)
                for file in sorted(self._path.glob("*.zdict"), key=lambda file: (file.stat().st_mtime_ns, file.name)):
                    data = read_whole(file)
                    # One that is damaged is as good as none: texts tell that they need it, and a repair drops them.
                    with suppress(StoreError):
                        codec.use(data)
                self._codec = codec
            return self._codec

    def _learn(self, codec: TextCodec) -> None:
        if not self._watch.due(current=bool(codec.current)):
            return
        learn, compare, size = self._watch.samples()
        other = TextCodec()
        try:
            # The first one has few samples, and nothing to be compared with.
            dictionary = train_dictionary(learn if codec.current else learn + compare, size)
            number = other.use(dictionary)
        except StoreError:
            number = 0  # all alike, so nothing to learn
        after = _bytes(other, compare) if number else None
        before = _bytes(codec, compare) if codec.current else None
        if self._watch.tried(raw=sum(map(len, compare)), before=before, after=after):
            write_whole(self._path / f"{number}.zdict", dictionary)
            codec.use(dictionary)

    def _find(self, number: int) -> bytes | None:
        # Another process may have learnt one since this store was opened.
        file = self._path / f"{number}.zdict"
        return read_whole(file) if file.exists() else None


def _bytes(codec: TextCodec, texts: list[bytes]) -> int:
    return sum(len(codec.compress_bytes(text)) for text in texts)
