"""Whatever a person types, as questions that SQLite's full-text search understands.

Words are what the index's tokeniser takes for words: runs of letters and digits.
Everything else, operators, quotes, emoji, control characters, separates words and
never reaches SQLite, so no query can be a syntax error. What is written without blanks is
asked for by any two characters in a row (``unspaced``).
"""

from __future__ import annotations

import re
import unicodedata
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from tenire.vectors.unspaced import pairs, spaced

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Container

    from tenire.vectors.word_counts import WordCounts

__all__ = [
    "SENTENCE_WORDS",
    "TextMatch",
    "all_of",
    "any_of",
    "in_a_row",
    "owner",
    "phrase",
    "ranked",
    "verbatim",
    "words",
]

# A pasted page is a query too; the first words of it tell it apart well enough,
# and SQLite refuses expressions that are 256 deep.
_MOST_WORDS = 64
# Stepping through the passages that hold a word costs about 0.1 µs each, scoring
# them 1.5 µs, and "the" is in all of them. The rarest words of a query carry nearly
# all of its meaning: only so many count for "all of its words", and words are added
# to "some of its words" until they have so many passages. Counts stop at the same
# number; beyond it a word is just frequent.
_MOST_REQUIRED = 8
_POSTINGS = 5_000
SENTENCE_WORDS = 5
_ALL = -1
_WORD = re.compile(r"[^\W_]+")


def words(query: str) -> list[str]:
    """Return the words of a query in order, at most 64; of a script without blanks, pairs ``"a b"`` of characters."""
    terms = (pair for word in _WORD.findall(_plain(query)) for pair in pairs(word))
    return list(islice(terms, _MOST_WORDS))


def in_a_row(query: str) -> str:
    """Return the question for the first 64 words of a query in a row."""
    return phrase(_WORD.findall(spaced(_plain(query)))[:_MOST_WORDS])


def _plain(query: str) -> str:
    # A letter and its accent may come as two characters; the second of them is no letter.
    return unicodedata.normalize("NFC", query).lower()


def phrase(terms: list[str]) -> str:
    """Return the question for these words in a row."""
    return '"' + " ".join(terms) + '"'


def all_of(terms: list[str]) -> str:
    """Return the question for all of these words, anywhere in a passage."""
    return " AND ".join(f'"{term}"' for term in dict.fromkeys(terms))


def any_of(terms: list[str]) -> str:
    """Return the question for at least one of these words."""
    return " OR ".join(f'"{term}"' for term in dict.fromkeys(terms))


class TextMatch(NamedTuple):
    """A passage that holds words of a query.

    Attributes:
        key: The passage's key.
        score: Higher is better. All words in a row: 2 to 3; all words: 1 to 2;
            some: 0 to 1. Inside such a tier by BM25.
    """

    key: int
    score: float

    @property
    def in_a_row(self) -> bool:
        """Whether the passage holds all the words in a row."""
        return self.score >= 2.0


def ranked(
    connection: sqlite3.Connection,
    query: str,
    limit: int,
    counts: WordCounts,
    within: Container[int] | None = None,
) -> list[TextMatch]:
    """Return up to ``limit`` passages that hold words of ``query``, best first.

    Args:
        connection: The text index, in a transaction.
        query: Any string.
        limit: At most so many.
        counts: What was counted before in this index.
        within: Keys of the only passages to look at, or ``None`` for all.
    """
    terms = words(query)
    if not terms:
        return []
    found = _tier(connection, in_a_row(query), 2.0, limit, (), within)
    if len(terms) == 1 or len(found) >= limit:
        return list(found.values())[:limit]
    rare = _rarest_first(connection, terms, counts.of(connection))
    required = [term for term, _ in rare[:_MOST_REQUIRED]]
    found |= _tier(connection, all_of(required), 1.0, limit, found, within)
    if len(found) < limit:
        found |= _tier(connection, any_of(_affordable(rare)), 0.0, limit, found, within)
    return list(found.values())[:limit]


def verbatim(connection: sqlite3.Connection, query: str, limit: int, within: Container[int] | None = None) -> list[int]:
    """Return the keys of up to ``limit`` passages that hold a whole sentence word for word.

    Fewer than ``SENTENCE_WORDS`` words are no sentence and are not looked for.
    """
    terms = words(query)
    if len(terms) < SENTENCE_WORDS:
        return []
    return list(_tier(connection, in_a_row(query), 2.0, limit, (), within))


def _tier(
    connection: sqlite3.Connection,
    question: str,
    floor: float,
    limit: int,
    known: Collection[int],
    within: Container[int] | None,
) -> dict[int, TextMatch]:
    # Asked to order by `rank`, FTS5 sorts all that match, and where each word of them stands. Asked for the
    # same numbers without that name, SQLite sorts, and keeps only the best: 2.9 ms instead of 4.6 for 3,000.
    most = limit + len(known)
    matches = connection.execute(
        "SELECT rowid, -bm25(words) AS relevance FROM words WHERE words MATCH ? ORDER BY relevance DESC, rowid LIMIT ?",
        (question, most if within is None else _ALL),
    )
    rows = matches.fetchall() if within is None else list(islice((row for row in matches if row[0] in within), most))
    placed = []
    for key, relevance in rows:
        place = owner(connection, key)
        # Rule 2 of the index: words of a passage that left.
        if place is None or key in known:
            continue
        # Ties by document and place, which do not depend on the order in which documents came.
        placed.append((-max(relevance, 0.0), *place, key))
    placed.sort()
    return {key: TextMatch(key, floor + -negative / (1.0 - negative)) for negative, _, _, key in placed}


def owner(connection: sqlite3.Connection, key: int) -> tuple[str, int] | None:
    """Return the document of a passage and its place in it, or ``None`` if it left."""
    row = connection.execute(
        "SELECT id, first_key, passages FROM documents WHERE first_key <= ? ORDER BY first_key DESC LIMIT 1", (key,)
    ).fetchone()
    return None if row is None or key >= row[1] + row[2] else (row[0], key - row[1])


def _rarest_first(connection: sqlite3.Connection, terms: list[str], counts: dict[str, int]) -> list[tuple[str, int]]:
    """Return the different words with the number of passages that hold them, rarest first."""
    count = f"SELECT count(*) FROM (SELECT 1 FROM words WHERE words MATCH ? LIMIT {_POSTINGS})"
    different = list(dict.fromkeys(terms))
    for term in different:
        if term not in counts:
            counts[term] = connection.execute(count, (phrase([term]),)).fetchone()[0]
    # Among the frequent ones, whose counts are cut off, longer words say more.
    return sorted(((term, counts[term]) for term in different), key=lambda entry: (entry[1], -len(entry[0])))


def _affordable(rare: list[tuple[str, int]]) -> list[str]:
    chosen: list[str] = []
    postings = 0
    for term, count in rare:
        if postings and postings + count > _POSTINGS:
            break
        chosen.append(term)
        postings += count
    return chosen
