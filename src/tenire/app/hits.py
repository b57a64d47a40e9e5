"""What a search found, for people and programs: each passage once, with all that is known about it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from tenire.app.alike import alike, words_of
from tenire.app.highlights import highlights

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tenire.app.alike import Words
    from tenire.app.context import Context
    from tenire.protocols import About, Hit, Place
    from tenire.storage.abouts import KnownDocument

__all__ = ["SearchHit", "SearchResult", "placed"]


@dataclass(frozen=True, slots=True)
class SearchHit:
    """One passage that was found.

    Attributes:
        source: Absolute path of a file that holds it.
        text: The whole passage.
        score: Higher is better; comparable within one result only.
        document: Id of the document.
        start: Offset of its first character in the cleansed text.
        end: Offset after its last character.
        also: Other files that hold the same passage or nearly the same one, or nearly the same
            document.
        similar: Of those, the ones that are only nearly the same: the share of words that
            they have in common with it.
        title: The document's, or an empty string.
        kind: The document's format: ``html``, ``pdf``, ``email``, …
        language: ISO 639-1 code, or an empty string.
        author: As the document names it, or an empty string.
        date: ISO 8601, as precise as the document is, or an empty string.
        pages: How many pages the document has; 0 where there are none.
        extra: What its source knows besides.
        ordinal: The passage's place in the document, from 0.
        headings: The headings above it, outermost first.
        page: The page that it begins on, from 1, or ``None``.
        lines: Its first and last line in the file, from 1, or ``None``.
        highlights: Begin and end in ``text`` of each word of the query.
        context: The passage among its neighbours, if that was asked for.
    """

    source: str
    text: str
    score: float
    document: str
    start: int
    end: int
    also: list[str]
    title: str = ""
    kind: str = ""
    language: str = ""
    author: str = ""
    date: str = ""
    pages: int = 0
    extra: dict[str, str] = field(default_factory=dict)
    ordinal: int = 0
    headings: list[str] = field(default_factory=list)
    page: int | None = None
    lines: list[int] | None = None
    highlights: list[list[int]] = field(default_factory=list)
    context: Context | None = None
    similar: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SearchResult:
    """What a search found.

    Attributes:
        query: What was asked.
        mode: ``hybrid``, ``vector`` or ``text``.
        hits: Best first.
        seconds: How long it took, loading not included.
    """

    query: str
    mode: str
    hits: list[SearchHit]
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """Return the object that ``tenire search --json`` prints."""
        return asdict(self)


def placed(
    found: Iterable[Hit], known: Mapping[str, Sequence[KnownDocument]], query: str, k: int
) -> list[tuple[Hit, SearchHit]]:
    """Join hits with equal text, or nearly so in other documents, and say where each stands.

    Args:
        found: Best first.
        known: The places of each document that was found; a document without any is
            just leaving, and its passages are left out.
        query: What was asked.
        k: At most so many.

    Returns:
        For each text the first hit and what is told of it, best first.
    """
    groups: dict[str, list[Hit]] = {}
    for hit in found:
        if hit.document in known:
            groups.setdefault(hit.text, []).append(hit)
    hits: list[tuple[Hit, SearchHit]] = []
    for group in _joined(list(groups.values()), query)[:k]:
        best = group[0]
        document = known[best.document][0]
        hits.append((best, _told(best, document.title, document.about, _sources(group, known), query)))
    return hits


def _joined(groups: list[list[Hit]], query: str) -> list[list[Hit]]:
    """Join groups whose texts say the same to whoever asked; what stands in one document stays apart."""
    asked = words_of(query).different
    kept: list[tuple[Words, set[str], list[Hit]]] = []
    for group in groups:
        words, documents = words_of(group[0].text), {hit.document for hit in group}
        for other, theirs, hits in kept:
            if documents.isdisjoint(theirs) and alike(words, other, asked):
                theirs |= documents
                hits += group
                break
        else:
            kept.append((words, documents, list(group)))
    return [hits for _, _, hits in kept]


def _sources(group: Iterable[Hit], known: Mapping[str, Sequence[KnownDocument]]) -> dict[str, float]:
    """Return the files that hold a text, and how similar each is to the document found: whole ones first."""
    similarity: dict[str, float] = {}
    for hit in group:
        for place in known[hit.document]:
            similarity[place.source] = max(place.similarity, similarity.get(place.source, 0.0))
    return dict(sorted(similarity.items(), key=lambda item: item[1] < 1))


def _told(hit: Hit, title: str, about: About, similarity: dict[str, float], query: str) -> SearchHit:
    sources = list(similarity)
    place: Place = hit.place
    return SearchHit(
        source=sources[0],
        text=hit.text,
        score=hit.score,
        document=hit.document,
        start=hit.start,
        end=hit.end,
        also=sources[1:],
        title=title,
        kind=about.kind,
        language=about.language,
        author=about.author,
        date=about.date,
        pages=about.pages,
        extra=dict(about.extra),
        ordinal=hit.ordinal,
        headings=list(place.headings),
        page=place.page,
        lines=None if place.lines is None else list(place.lines),
        highlights=highlights(hit.text, query),
        similar={source: round(share, 3) for source, share in similarity.items() if share < 1},
    )
