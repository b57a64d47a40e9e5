"""How a server is asked for passages: by vector, by words, by key.

The rankings are those of ``text_query``: passages that hold all words in a row come first, then
those with all of them, then those with the rarer ones. PostgreSQL knows no BM25: inside the last
tier a word counts the more the fewer passages hold it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from tenire.vectors.passage_rows import read_place
from tenire.vectors.postgres.words import spelled
from tenire.vectors.text_query import SENTENCE_WORDS, TextMatch

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    import numpy as np
    from numpy.typing import NDArray

    from tenire.protocols import Place

__all__ = ["Passages", "ServerPassage", "Words", "read_passages", "vector_text"]

_EF = 400
_MOST_EF = 1000
"""As many as pgvector can be asked to look at; who wants more compares with all."""
_MOST_WORDS = 64
_MOST_REQUIRED = 8
_POSTINGS = 5_000
_FIELDS = "key, document, ordinal, start, stop, text, original, text_hash, place"


class ServerPassage(NamedTuple):
    """One row of ``tenire.passages``.

    Attributes:
        key: Its number in this store.
        document: Id of its document.
        ordinal: Its place in the document.
        start: Offset of its first character in the cleansed text.
        stop: Offset after its last character.
        text: The passage.
        text_hash: SHA-256 of its text in UTF-8.
        place: Where it stands, for people.
    """

    key: int
    document: str
    ordinal: int
    start: int
    stop: int
    text: str
    text_hash: bytes
    place: Place


def read_passages(connection: Any, condition: str, values: tuple[Any, ...]) -> list[ServerPassage]:
    """Return the passages of which an SQL condition is true, by document and place."""
    query = f"SELECT {_FIELDS} FROM tenire.passages WHERE {condition} ORDER BY document, ordinal"
    return [
        ServerPassage(key, document, ordinal, start, stop, text_of(text, original), bytes(text_hash), read_place(place))
        for key, document, ordinal, start, stop, text, original, text_hash, place in connection.execute(query, values)
    ]


def text_of(text: str, original: bytes | None) -> str:
    """Return the text that was stored."""
    return text if original is None else bytes(original).decode("utf-8", "surrogatepass")


def vector_text(vector: NDArray[np.float32]) -> str:
    """Return a vector as pgvector reads it."""
    return f"[{','.join(map(repr, vector.tolist()))}]"


class Passages:
    """The passages in the one view of a transaction.

    Args:
        connection: In a transaction.
    """

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def nearest(
        self, vector: NDArray[np.float32], *, limit: int, exact: bool, within: Collection[str] | None = None
    ) -> dict[int, float]:
        """Return the keys of the passages whose vectors have the largest cosine to ``vector``, with it, best first.

        Args:
            vector: Shape ``(dimension,)``, any length but zero.
            limit: At most so many.
            exact: Compare with every vector, even where there is an index.
            within: Ids of the only documents to look at, or ``None`` for all.
        """
        distance, asked = "vector <=> %s::halfvec", vector_text(vector)
        if within is not None:
            rows = self._connection.execute(
                f"WITH chosen AS MATERIALIZED (SELECT key, {distance} AS distance FROM tenire.passages"
                " WHERE document = ANY(%s)) SELECT key, distance FROM chosen ORDER BY distance, key LIMIT %s",
                (asked, list(within), limit),
            )
        elif exact or limit > _MOST_EF:
            # An index can serve an order by the distance, but not one by a sum.
            rows = self._connection.execute(
                f"SELECT key, {distance} FROM tenire.passages ORDER BY ({distance}) + 0, key LIMIT %s",
                (asked, asked, limit),
            )
        else:
            self._connection.execute(f"SET LOCAL hnsw.ef_search = {max(_EF, limit)}")
            rows = self._connection.execute(
                f"SELECT key, {distance} AS distance FROM tenire.passages ORDER BY distance LIMIT %s", (asked, limit)
            )
        # A vector without a direction is as near as any other.
        return {key: 0.0 if math.isnan(distance) else 1.0 - distance for key, distance in rows}

    def fetch(self, keys: Collection[int]) -> dict[int, ServerPassage]:
        """Return passages by key; a key that is not there is left out."""
        if not keys:
            return {}
        return {row.key: row for row in read_passages(self._connection, "key = ANY(%s)", (list(keys),))}


class Words:
    """The words of the passages in the one view of a transaction.

    Args:
        connection: In a transaction.
    """

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def search(self, query: str, *, limit: int, within: Collection[str] | None = None) -> list[TextMatch]:
        """Return up to ``limit`` passages that hold words of ``query``, best first."""
        terms = spelled(query).split()[:_MOST_WORDS]
        if not terms:
            return []
        found = self._in_a_row(terms, limit, within)
        if len(terms) == 1 or len(found) >= limit:
            return list(found.values())[:limit]
        rare = self._rarest_first(terms)
        required = "plainto_tsquery('tenire.words', %(words)s)"
        words = " ".join(term for term, _ in rare[:_MOST_REQUIRED])
        found |= self._tier(required, f"ts_rank(words, {required}, 1)", {"words": words}, 1.0, limit, found, within)
        if len(found) < limit:
            found |= self._some_of(rare, limit, found, within)
        return list(found.values())[:limit]

    def verbatim(self, query: str, *, limit: int, within: Collection[str] | None = None) -> list[int]:
        """Return the keys of up to ``limit`` passages that hold a whole sentence word for word."""
        terms = spelled(query).split()[:_MOST_WORDS]
        return [] if len(terms) < SENTENCE_WORDS else list(self._in_a_row(terms, limit, within))

    def owners(self, keys: Iterable[int]) -> dict[int, tuple[str, int]]:
        """Return the document of each key that is there, and the passage's place in it."""
        rows = self._connection.execute(
            "SELECT key, document, ordinal FROM tenire.passages WHERE key = ANY(%s)", (list(keys),)
        )
        return {key: (document, ordinal) for key, document, ordinal in rows}

    def _in_a_row(self, terms: list[str], limit: int, within: Collection[str] | None) -> dict[int, TextMatch]:
        question = "phraseto_tsquery('tenire.words', %(words)s)"
        values = {"words": " ".join(terms)}
        return self._tier(question, f"ts_rank(words, {question}, 1)", values, 2.0, limit, (), within)

    def _some_of(
        self, rare: list[tuple[str, int]], limit: int, known: Collection[int], within: Collection[str] | None
    ) -> dict[int, TextMatch]:
        chosen: list[tuple[str, int]] = []
        postings = 0
        for term, count in rare:
            if postings and postings + count > _POSTINGS:
                break
            chosen.append((term, count))
            postings += count
        values = {f"w{place}": term for place, (term, _) in enumerate(chosen)}
        each = [f"plainto_tsquery('tenire.words', %({name})s)" for name in values]
        # Counted exactly, up to a limit: two stores of the same passages rank them the same way.
        some = f"SELECT count(*) FROM (SELECT 1 FROM tenire.passages LIMIT {_POSTINGS}) AS counted"
        all_ = self._connection.execute(some).fetchone()[0]
        weights = [math.log(1 + (all_ - count + 0.5) / (count + 0.5)) for _, count in chosen]
        score = " + ".join(f"{weight!r} * ts_rank(words, {one}, 1)" for weight, one in zip(weights, each, strict=True))
        return self._tier(f"({' || '.join(each)})", score, values, 0.0, limit, known, within)

    def _tier(
        self,
        question: str,
        score: str,
        values: dict[str, Any],
        floor: float,
        limit: int,
        known: Collection[int],
        within: Collection[str] | None,
    ) -> dict[int, TextMatch]:
        inside = "" if within is None else " AND document = ANY(%(within)s)"
        rows = self._connection.execute(
            f"SELECT key, {score} AS relevance FROM tenire.passages WHERE words @@ {question}{inside}"
            " ORDER BY relevance DESC, document, ordinal LIMIT %(limit)s",
            {**values, "limit": limit + len(known)} | ({} if within is None else {"within": list(within)}),
        )
        return {
            key: TextMatch(key, floor + relevance / (1.0 + relevance)) for key, relevance in rows if key not in known
        }

    def _rarest_first(self, terms: list[str]) -> list[tuple[str, int]]:
        """Return the different words with the number of passages that hold them, rarest first."""
        counted = self._connection.execute(
            "SELECT term, (SELECT count(*) FROM (SELECT 1 FROM tenire.passages"
            f" WHERE words @@ plainto_tsquery('tenire.words', term) LIMIT {_POSTINGS}) AS hits)"
            " FROM unnest(%s::text[]) AS term",
            (list(dict.fromkeys(terms)),),
        ).fetchall()
        return sorted(counted, key=lambda entry: (entry[1], -len(entry[0]), entry[0]))
