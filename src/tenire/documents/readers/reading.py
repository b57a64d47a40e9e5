"""What a reader is given and what it gives back."""

from __future__ import annotations

from dataclasses import dataclass, field

from tenire.documents.formats import Kind
from tenire.documents.row_lines import WHOLE, Part, RowLines
from tenire.errors import DocumentError
from tenire.protocols import About

__all__ = ["Raw", "Reading", "damaged", "too_long"]


@dataclass(frozen=True, slots=True)
class Raw:
    """One document as bytes.

    Attributes:
        name: Its name without directories, and without the suffix of a compression.
        source: Where it comes from, for errors: a path, or ``CONTAINER!/MEMBER``.
        data: Its bytes, expanded.
        max_text: Most characters that may come of it: what is packed inside of a
            format (a Parquet file, an Office document) may expand without end.
        part: Of a part of a table, what it has from the whole.
    """

    name: str
    source: str
    data: bytes
    max_text: int = 256 << 20
    part: Part = WHOLE


@dataclass(frozen=True, slots=True)
class Reading:
    """What a reader made of a document.

    Attributes:
        text: Its text, not cleansed yet, with the marks of ``documents.structure``.
        kind: How the text is marked up.
        title: As the document names it, or an empty string.
        about: What else it says about itself.
        lines: Whether the lines of the text are the lines of the file.
        rows: Where the records are in the file of which the text is made.
    """

    text: str
    kind: Kind = Kind.TEXT
    title: str = ""
    about: About = field(default_factory=About)
    lines: bool = False
    rows: RowLines | None = None


def damaged(raw: Raw, what: str, error: BaseException | str) -> DocumentError:
    """Return the refusal of a document that its parser cannot make sense of.

    Args:
        raw: The document.
        what: What it should be, with its article: ``a PDF``.
        error: What the parser says.
    """
    said = " ".join(str(error).split())[:300]
    return DocumentError(
        f"expected {what}, got something that its reader cannot read: {said}",
        source=raw.source,
        stage="read",
        hint="the file is damaged or cut off; get it again, or leave it out",
    )


def too_long(raw: Raw) -> DocumentError:
    """Return the refusal of a document that expands to more text than it may."""
    return DocumentError(
        f"the text in it is longer than {raw.max_text} characters",
        source=raw.source,
        stage="read",
        hint="split it, or raise max_file and max_expanded",
    )
