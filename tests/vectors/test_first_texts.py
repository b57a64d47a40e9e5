from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenire.vectors.first_texts import Ranked, first_texts

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence


class Row(NamedTuple):
    key: int
    text_hash: bytes


class Shelf:
    """Passages by key; remembers which of them were read, call by call."""

    def __init__(self, texts: dict[int, str]) -> None:
        self.rows = {key: Row(key, text.encode()) for key, text in texts.items()}
        self.read: list[list[int]] = []

    def fetch(self, keys: Collection[int]) -> dict[int, Row]:
        self.read.append(list(keys))
        return {key: self.rows[key] for key in keys if key in self.rows}

    def first(self, ranked: Sequence[Ranked], k: int) -> tuple[list[int], int]:
        chosen, texts = first_texts(self.fetch, ranked, k)
        return [row.key for row, _ in chosen], texts


def by_vector(count: int) -> list[Ranked]:
    return [Ranked(key, 0.9 - key / 100, 0.9 - key / 100) for key in range(count)]


def test_no_more_passages_are_read_than_are_returned() -> None:
    shelf = Shelf({key: f"text {key}" for key in range(50)})
    assert shelf.first(by_vector(50), 10) == (list(range(10)), 10)
    assert shelf.read == [list(range(10))]


def test_copies_further_down_are_read_in_the_same_go() -> None:
    texts = {key: f"text {key}" for key in range(50)} | {40: "text 3", 45: "text 20"}
    ranked = by_vector(50)
    ranked[40], ranked[45] = (ranked[40]._replace(cosine=ranked[3].cosine), ranked[45]._replace(cosine=0.7))
    shelf = Shelf(texts)
    assert shelf.first(ranked, 10) == ([*range(10), 40], 10)
    assert shelf.read == [[*range(10), 40]]


def test_a_copy_whose_vector_was_rounded_differently_is_one_too() -> None:
    ranked = [*by_vector(40), Ranked(99, 0.1, 0.9 - 0.0004)]
    shelf = Shelf({key: f"text {key}" for key in range(40)} | {99: "text 0"})
    assert shelf.first(ranked, 3) == ([0, 1, 2, 99], 3)


def test_equal_words_in_the_same_way_may_be_a_copy_whatever_else_is_known() -> None:
    ranked = [Ranked(0, 3, 0.5, 1.2), Ranked(1, 2, None, 1.1), Ranked(2, 1, None, 1.2), Ranked(3, 1, 0.5, 1.3)]
    shelf = Shelf({0: "a", 1: "b", 2: "a", 3: "c"})
    assert shelf.first(ranked, 1) == ([0, 2], 1)
    assert shelf.read == [[0, 2]], "not 3: its vector is the same, its words are others"


def test_passages_that_left_make_room_for_the_next() -> None:
    shelf = Shelf({key: f"text {key}" for key in range(50) if key not in (2, 5)})
    assert shelf.first(by_vector(50), 10) == ([0, 1, 3, 4, 6, 7, 8, 9, 10, 11], 10)
    assert shelf.read == [list(range(10)), [10, 11]], "and none is asked for twice"


def test_fewer_texts_than_wanted_are_all_returned() -> None:
    shelf = Shelf({0: "a", 1: "a", 2: "b"})
    assert shelf.first([Ranked(key, 1.0, 0.5) for key in range(3)], 5) == ([0, 1, 2], 2)
    assert Shelf({}).first([], 5) == ([], 0)


@pytest.mark.parametrize("known", ["vector", "words", "both"])
@given(
    texts=st.lists(st.integers(0, 12), max_size=40),
    facts=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3)), min_size=13, max_size=13),
    left=st.frozensets(st.integers(0, 39)),
    k=st.integers(1, 15),
)
def test_the_result_is_that_of_reading_all(
    known: str, texts: list[int], facts: list[tuple[int, int]], left: frozenset[int], k: int
) -> None:
    # Texts that differ may have the same vector or the same words; equal ones have both.
    ranked = []
    for key, text in enumerate(texts):
        cosine, relevance = facts[text][0] / 10, facts[text][1] / 2
        score = cosine if known == "vector" else relevance if known == "words" else cosine + relevance
        cosine_known = cosine if known != "words" else None
        ranked.append(Ranked(key, score, cosine_known, relevance if known != "vector" else None))
    ranked.sort(key=lambda place: -place.score)
    shelf = Shelf({key: str(text) for key, text in enumerate(texts) if key not in left})
    there = [place.key for place in ranked if place.key in shelf.rows]
    first = list(dict.fromkeys(texts[key] for key in there))[:k]
    assert shelf.first(ranked, k) == ([key for key in there if texts[key] in first], len(first))
