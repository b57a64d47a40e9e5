"""How many bytes a file is likely to be once it is read: a guess by its name, for room in memory.

Room is taken before anybody has looked into a file. What is compressed comes to about
four times its size (manual pages, change logs and Office documents were measured at
three to five); of an archive no more than a slice is held beside the file itself, and
one too large to be held is read as a stream.
"""

from __future__ import annotations

__all__ = ["expected_size"]

_COMPRESSED_NAMES = """
    gz gzip bz2 xz lzma zst zstd docx docm dotx pptx pptm ppsx xlsx xlsm odt ods odp epub parquet pq
"""
_ARCHIVE_NAMES = "zip tar tgz tbz tbz2 txz tzst mbox mbx"
_COMPRESSED = frozenset(_COMPRESSED_NAMES.split())
_ARCHIVES = frozenset(_ARCHIVE_NAMES.split())
_TIMES = 4
_SLICE = 8 << 20
_HELD = 64 << 20


def expected_size(name: str, size: int) -> int:
    """Return the bytes that a file is likely to have once it is read.

    Args:
        name: Its name or path.
        size: Its bytes.
    """
    stem, _, suffix = name.lower().rpartition(".")
    if suffix in _ARCHIVES or (suffix in _COMPRESSED and stem.endswith(".tar")):
        return (size if size <= _HELD else 0) + min(_TIMES * size, _SLICE)
    return size * _TIMES if suffix in _COMPRESSED else size
