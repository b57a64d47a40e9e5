"""Cutting a cleansed text into passages with exact places."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tenire.documents.formats import Kind
from tenire.documents.headings import with_markup
from tenire.documents.overlap import overlapping
from tenire.documents.places import places_of
from tenire.documents.sections import passages_of, section_starts
from tenire.documents.structure import Structure
from tenire.documents.token_limit import NEAR, most_characters, tokens_of, within_limit
from tenire.protocols import Passage

if TYPE_CHECKING:
    from collections.abc import Callable

    from tenire.documents.windows import Span

__all__ = ["Cutting", "cut"]


@dataclass(frozen=True, slots=True)
class Cutting:
    """How texts are cut.

    Attributes:
        most: Most characters of a passage. 700 are about 175 tokens of English; of 120
            sentences from a manual, 95 were nearest to their own page by vector, with
            1,000 characters 89.
        tokens: Most tokens of a passage, or ``None``: an embedder reads no further.
        count: Counts the tokens of texts as the embedder does; ``None`` to estimate
            them. It travels to worker processes, so it must be importable.
        counted_by: Names what ``count`` counts, for the recipe.
        counted_from: Part of ``tokens``, by the estimate, from which on they are counted.
        overlap: Part of a passage, 0 to 0.5, that the next one of its section repeats.
    """

    most: int = 700
    tokens: int | None = None
    count: Callable[[list[str]], list[int]] | None = None
    counted_by: str = ""
    counted_from: float = NEAR
    overlap: float = 0.0

    @property
    def identity(self) -> str:
        """What passages depend on here, as one string."""
        limit = f" tokens={self.tokens}:{self.counted_by}" if self.tokens is not None else ""
        return f"passage={self.most}{limit}" + (f" overlap={self.overlap:g}" if self.overlap else "")


def cut(
    text: str, structure: Structure | None = None, *, kind: Kind, cutting: Cutting | None = None
) -> tuple[Passage, ...]:
    """Cut a text at its own boundaries: sections, code, tables, paragraphs, sentences, words.

    Args:
        text: The cleansed text, without marks.
        structure: What its reader has marked in it.
        kind: How it is marked up: Markdown and reStructuredText have headings of their own.
        cutting: How to cut.

    Returns:
        Passages in order, none empty. ``text[start:end]`` is the passage, and only
        blank space lies between them: nothing is lost. None overlap, unless
        ``cutting.overlap`` asks for it.

    Raises:
        MissingExtraError: If semantic-text-splitter is not installed.
    """
    cutting = cutting or Cutting()
    structure = with_markup(text, structure or Structure(), kind)
    markdown = kind is Kind.MARKDOWN
    most = cutting.most
    if cutting.tokens is not None:
        most = most_characters(text, tokens=cutting.tokens, most=most)
    shared = int(most * cutting.overlap)
    spans = passages_of(text, structure, markdown=markdown, most=most - shared)
    if cutting.tokens is not None:
        spans = within_limit(
            text,
            spans,
            structure,
            limit=cutting.tokens,
            count=cutting.count,
            counted_from=cutting.counted_from,
            markdown=markdown,
        )
    if shared:
        spans = _overlapping(text, spans, structure, cutting, shared)
    places = places_of(text, spans, structure)
    return tuple(
        Passage(ordinal, start, end, text[start:end], place)
        for ordinal, ((start, end), place) in enumerate(zip(spans, places, strict=True))
    )


def _overlapping(text: str, spans: list[Span], structure: Structure, cutting: Cutting, shared: int) -> list[Span]:
    widened = overlapping(text, spans, most=shared, starts=section_starts(text, structure))
    if cutting.tokens is None:
        return widened
    tokens = tokens_of(text, widened, limit=cutting.tokens, count=cutting.count, counted_from=cutting.counted_from)
    return [
        wide if number <= cutting.tokens else narrow
        for wide, narrow, number in zip(widened, spans, tokens, strict=True)
    ]
