"""Searches among some documents, against looking at everything and passing over the others."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

from tenire.vectors import nearest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tenire.protocols import Hit
    from tenire.vectors.store import LanceStore

    from .conftest import Maker

    Open = Callable[..., LanceStore]

WORDS = ["zebra", "ledger", "volcano", "river", "engine", "window", "letter", "number", "garden", "market"]
DOCUMENTS = 400


@pytest.fixture
def store(open_any: Open, make: Maker) -> Any:
    return filled(open_any(), make)


@pytest.fixture
def lance(open_store: Open, make: Maker) -> LanceStore:
    return filled(open_store(), make)


def filled(store: Any, make: Maker) -> Any:
    rng = random.Random(5)
    documents = [
        make.document(f"d{n:03}", *(" ".join(rng.choices(WORDS, k=6)) + f" n{n}x{p}" for p in range(1 + n % 3)))
        for n in range(DOCUMENTS)
    ]
    store.commit(make.batch("b1", *documents))
    return store


def some(share: float) -> frozenset[str]:
    rng = random.Random(7)
    return frozenset(f"d{n:03}" for n in range(DOCUMENTS) if rng.random() < share)


def brute(store: Any, make: Maker, query: str, mode: str, within: frozenset[str], k: int) -> list[Hit]:
    found = store.search(query, make.vector(query), k=10_000, mode=mode, exact=True)
    return [hit for hit in found if hit.document in within][:k]


@pytest.mark.parametrize("mode", ["vector", "text"])
@pytest.mark.parametrize("share", [0.02, 0.4, 0.9])
def test_the_best_of_some_documents_are_found(store: Any, make: Maker, mode: str, share: float) -> None:
    within = some(share)
    for query in ("zebra river", "market garden letter", "engine"):
        found = store.search(query, make.vector(query), k=7, mode=mode, within=within)
        expected = brute(store, make, query, mode, within, 7)
        assert [round(hit.score, 5) for hit in found] == [round(hit.score, 5) for hit in expected]
        assert {hit.document for hit in found} <= within


def test_hybrid_merges_what_both_find_among_some(store: Any, make: Maker) -> None:
    within = some(0.4)
    found = store.search("zebra river", make.vector("zebra river"), k=5, mode="hybrid", within=within)
    assert len(found) == 5
    assert {hit.document for hit in found} <= within


@pytest.mark.parametrize("within", [frozenset(), frozenset({"unknown"})])
@pytest.mark.parametrize("mode", ["hybrid", "vector", "text"])
def test_nothing_is_found_among_no_documents(store: Any, make: Maker, mode: str, within: frozenset[str]) -> None:
    assert store.search("zebra", make.vector("zebra"), k=3, mode=mode, within=within) == []


def test_few_among_many_are_found_however_deep_they_lie(
    lance: LanceStore, make: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Every third document: many runs. Their passages are the farthest from the query.
    query = "zebra zebra"
    order = [hit.document for hit in lance.search(query, make.vector(query), k=10_000, mode="vector", exact=True)]
    last = frozenset(order[-150:])
    monkeypatch.setattr(nearest, "_DEEPEST", 200)
    found = lance.search(query, make.vector(query), k=3, mode="vector", within=last)
    assert [hit.document for hit in found] == [hit.document for hit in brute(lance, make, query, "vector", last, 3)]


def test_the_index_is_not_trusted_where_it_finds_too_few(
    lance: LanceStore, make: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nearest, "_FEW", 0)
    lance._table.build_index()
    within = frozenset(f"d{n:03}" for n in range(100, 140))
    found = lance.search("zebra", make.vector("zebra"), k=20, mode="vector", within=within)
    assert [hit.score for hit in found] == pytest.approx(
        [hit.score for hit in brute(lance, make, "zebra", "vector", within, 20)], abs=1e-5
    )


def test_documents_that_came_later_are_seen_among_the_same(store: Any, make: Maker) -> None:
    within = frozenset({"d001", "new"})
    assert {hit.document for hit in store.search("zebra n1x0", None, k=9, mode="text", within=within)} <= {"d001"}
    store.commit(make.batch("b2", make.document("new", "zebra crossing")))
    assert "new" in {hit.document for hit in store.search("zebra", None, k=9, mode="text", within=within)}
