"""The one door to kreuzberg, which parses PDF and Office formats natively."""

from __future__ import annotations

import multiprocessing
import os
import re
from functools import lru_cache
from typing import TYPE_CHECKING

from tenire.documents.authorship import iso_date
from tenire.documents.readers.reading import Raw, damaged, too_long
from tenire.errors import DocumentError, MissingExtraError
from tenire.protocols import About

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kreuzberg import ExtractionConfig, ExtractionResult

__all__ = ["about_of", "extract", "title_of", "unescaped"]

_PARSER_LOST = 5
_ESCAPED = re.compile(r"\\([!-/:-@\[-`{-~])")
_FENCE = re.compile(r"^ {0,3}(```+|~~~+)", re.M)
_EXTRA = ("subject", "keywords", "category", "publisher", "sheet_names", "language")


def extract(raw: Raw, mimetype: str, what: str, *, page_marks: str = "") -> ExtractionResult:
    """Have a document parsed.

    Args:
        raw: The document.
        mimetype: Its type.
        what: What it is, with its article, for the refusal: ``a PDF``.
        page_marks: Goes before each page or slide; ``{page_num}`` stands for its number.

    Raises:
        DocumentError: If it cannot be read; says so if that is for its password.
        MissingExtraError: If kreuzberg is not installed.
    """
    try:
        from kreuzberg import KreuzbergError, extract_bytes_sync
    except ImportError as error:
        raise MissingExtraError(f"reading {what}", extra="data", missing="kreuzberg") from error
    try:
        result = extract_bytes_sync(raw.data, mimetype, _config(page_marks))
    except (KreuzbergError, ValueError, OSError, RuntimeError) as error:
        if "poisoned" in str(error):
            raise _unusable(raw, error) from error
        if "password" in str(error).lower() or "encrypted" in str(error).lower():
            raise locked(raw, what) from error
        raise damaged(raw, what, error) from error
    if len(result.content) > raw.max_text:
        raise too_long(raw)
    return result


def _unusable(raw: Raw, error: BaseException) -> DocumentError:
    """End this worker process: after a panic in the midst of a PDF, its parser refuses every other PDF.

    A worker that died of itself says nothing about its files: they are read again by
    the next one. In a process that is no worker, only the document is refused.
    """
    if multiprocessing.parent_process() is not None:
        os._exit(_PARSER_LOST)
    return DocumentError(
        f"the parser has crashed on another document before, and reads no more in this process: {error}",
        source=raw.source,
        stage="read",
        hint="try again in a new process",
    )


def locked(raw: Raw, what: str) -> DocumentError:
    """Return the refusal of a document that needs a password."""
    return DocumentError(
        f"{what} that can be read without a password was expected, this one is encrypted",
        source=raw.source,
        stage="read",
        hint="save it without a password, or leave it out",
    )


@lru_cache(maxsize=4)
def _config(page_marks: str) -> ExtractionConfig:
    from kreuzberg import ConcurrencyConfig, ExtractionConfig, PageConfig

    pages = PageConfig(extract_pages=True)
    if page_marks:
        pages = PageConfig(insert_page_markers=True, marker_format=f"\n\n{page_marks}")
    # A worker process is one of several on purpose: threads of its own would only get in their way.
    return ExtractionConfig(
        use_cache=False, enable_quality_processing=False, output_format="markdown", pages=pages,
        concurrency=ConcurrencyConfig(max_threads=1),
    )  # fmt: skip


def about_of(kind: str, metadata: Mapping[str, object], *, pages: int = 0) -> About:
    """Return what a document says about itself.

    Args:
        kind: Its format.
        metadata: As kreuzberg tells it.
        pages: How many it has, if that is known better.
    """
    authors = metadata.get("authors") or metadata.get("created_by") or metadata.get("initial_creator") or ""
    author = ", ".join(map(str, authors)) if isinstance(authors, list) else str(authors)
    date = iso_date(str(metadata.get("created_at") or "")) or iso_date(str(metadata.get("modified_at") or ""))
    extra = []
    for name in _EXTRA:
        value = metadata.get(name)
        text = ", ".join(map(str, value)) if isinstance(value, list) else str(value or "")
        if text.strip():
            extra.append((name, text.strip()[:1000]))
    return About(kind, author=author.strip()[:1000], date=date, pages=pages, extra=tuple(extra))


def title_of(metadata: Mapping[str, object]) -> str:
    """Return the title that a document names, or an empty string."""
    title = metadata.get("title")
    return " ".join(title.split())[:1000] if isinstance(title, str) else ""


def unescaped(markdown: str) -> str:
    r"""Undo the escapes of Markdown, which nobody searches for: ``R\&D`` is ``R&D``.

    Code stays, and so does the escape of a sign that would begin a heading.
    """
    pieces = []
    start = 0
    while (fence := _FENCE.search(markdown, start)) is not None:
        pieces.append(_prose(markdown[start : fence.start()]))
        closing = re.compile(rf"^ {{0,3}}{re.escape(fence.group(1))}[ \t]*$", re.M).search(markdown, fence.end())
        end = closing.end() if closing is not None else len(markdown)
        pieces.append(markdown[fence.start() : end])
        start = end
    pieces.append(_prose(markdown[start:]))
    return "".join(pieces)


def _prose(text: str) -> str:
    def plain(found: re.Match[str]) -> str:
        at_line_start = found.start() == 0 or text[found.start() - 1] == "\n"
        return found.group() if found.group(1) in "#`~" and at_line_start else found.group(1)

    return _ESCAPED.sub(plain, text) if "\\" in text else text
