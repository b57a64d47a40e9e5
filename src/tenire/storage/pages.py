"""Web pages as they were fetched last: their bytes as files, and what is known of them in a small table.

A page that is the same is not written again, so that its file keeps its time: whoever reads
files and skips what has not changed skips it. Bytes come first, then what is known of them: after
a crash in between, a page is fetched once more.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tenire.errors import StoreError
from tenire.storage.database import Database

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

__all__ = ["KeptPage", "PageShelf"]

_TABLE = """
    CREATE TABLE IF NOT EXISTS pages (
        url TEXT PRIMARY KEY, name TEXT NOT NULL, hash TEXT NOT NULL, final_url TEXT NOT NULL, etag TEXT NOT NULL,
        modified TEXT NOT NULL, source_hash TEXT NOT NULL, dynamic INTEGER NOT NULL, links TEXT NOT NULL
    ) WITHOUT ROWID
"""


@dataclass(frozen=True, slots=True)
class KeptPage:
    """A page that is kept.

    Attributes:
        url: Its address.
        file: Path of the file that holds its bytes.
        hash: SHA-256 of these, in hexadecimal.
        final_url: The address that it led to.
        etag: The server's tag of its source, or an empty text.
        modified: The time of its last change, as the server wrote it, or an empty text.
        source_hash: SHA-256 of what the server sent, or an empty text.
        dynamic: Whether scripts fetched something when it was rendered.
        links: Where it leads.
    """

    url: str
    file: str
    hash: str
    final_url: str
    etag: str = ""
    modified: str = ""
    source_hash: str = ""
    dynamic: bool = False
    links: tuple[str, ...] = ()


class PageShelf:
    """The pages of one pipeline. Methods block, and may be called from any thread.

    Args:
        folder: Where they lie; made if it is not there.

    Raises:
        StoreError: If it cannot be used.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            message = f"web pages cannot be kept in {folder} ({error.strerror or error})"
            raise StoreError(message) from error
        self._database = Database(folder / "pages.db", writable=True)
        with self._database.writing() as connection:
            connection.execute(_TABLE)

    def get(self, url: str) -> KeptPage | None:
        """Return a page, or ``None`` if it is not there, or not whole."""
        with self._database.reading() as connection:
            row = connection.execute("SELECT * FROM pages WHERE url = ?", (url,)).fetchone()
        if row is None:
            return None
        _, name, hash_, final_url, etag, modified, source_hash, dynamic, links = row
        path = self._folder / name
        if not path.is_file():
            return None
        links = tuple(json.loads(links))
        return KeptPage(url, str(path), hash_, final_url, etag, modified, source_hash, bool(dynamic), links)

    def put(
        self,
        url: str,
        content: bytes,
        suffix: str,
        *,
        final_url: str,
        etag: str = "",
        modified: str = "",
        source_hash: str = "",
        dynamic: bool = False,
        links: tuple[str, ...] = (),
    ) -> KeptPage:
        """Keep a page, in place of what was kept of it.

        Args:
            url: Its address.
            content: Its bytes.
            suffix: What kind of file it is, for who reads it: ``.html``.
            final_url: See ``KeptPage``.
            etag: See ``KeptPage``.
            modified: See ``KeptPage``.
            source_hash: See ``KeptPage``.
            dynamic: See ``KeptPage``.
            links: See ``KeptPage``.

        Raises:
            StoreError: If it cannot be written.
        """
        hash_ = hashlib.sha256(content).hexdigest()
        before = self.get(url)
        name = hashlib.sha256(url.encode()).hexdigest()[:32] + suffix
        path = self._folder / name
        if before is None or before.hash != hash_ or before.file != str(path):
            self._write(path, content)
        values = (url, name, hash_, final_url, etag, modified, source_hash, dynamic, json.dumps(links))
        with self._database.writing() as connection:
            connection.execute("INSERT OR REPLACE INTO pages VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", values)
        if before is not None and before.file != str(path):
            _remove(before.file)
        return KeptPage(url, str(path), hash_, final_url, etag, modified, source_hash, dynamic, links)

    def keep_only(self, urls: Collection[str]) -> int:
        """Forget all pages but these; return how many left."""
        with self._database.writing() as connection:
            rows = connection.execute("SELECT url, name FROM pages").fetchall()
            gone = [(url, name) for url, name in rows if url not in urls]
            connection.executemany("DELETE FROM pages WHERE url = ?", [(url,) for url, _ in gone])
        for _, name in gone:
            _remove(str(self._folder / name))
        return len(gone)

    def close(self) -> None:
        """Close the table; closing twice is fine."""
        self._database.close()

    def _write(self, path: Path, content: bytes) -> None:
        beside = path.with_name(f".{path.name}")
        try:
            with open(beside, "wb") as file:
                file.write(content)
            os.replace(beside, path)
        except OSError as error:
            message = f"a web page cannot be kept in {self._folder} ({error.strerror or error})"
            raise StoreError(message) from error


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
    except OSError as error:
        message = f"a web page that is not needed any more cannot be removed: {path} ({error.strerror or error})"
        raise StoreError(message) from error
