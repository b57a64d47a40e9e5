from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tenire.vectors.lance_import import import_lancedb

if TYPE_CHECKING:
    from collections.abc import Callable

    from tenire.vectors.store import LanceStore

    from .conftest import Maker

    Open = Callable[..., LanceStore]

WORDS = ["zebra", "ledger", "volcano", "river", "engine", "window"]


def filled(store: LanceStore, make: Maker, number: int) -> None:
    documents = [make.document(f"{number}.{n}", f"{WORDS[n % 6]} {WORDS[n % 5]} {number} {n}") for n in range(40)]
    store.commit(make.batch(f"b{number}", *documents, remove=(f"{number - 1}.3", f"{number - 1}.30")))


@pytest.mark.parametrize("mode", ["vector", "text", "hybrid"])
def test_a_warm_search_waits_for_lancedb_as_rarely_as_can_be(
    open_store: Open, make: Maker, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    store = open_store()
    filled(store, make, 1)
    import_lancedb()
    from lancedb.background_loop import LOOP

    waits: list[object] = []
    run = LOOP.run

    def spy(work: Any) -> Any:
        waits.append(work)
        return run(work)

    def search() -> list[str]:
        waits.clear()
        return [hit.text for hit in store.search("zebra river", make.vector("zebra river"), k=3, mode=mode)]

    monkeypatch.setattr(LOOP, "run", spy)
    first = search()
    assert search() == first
    assert search() == first
    assert len(waits) == (1 if mode == "text" else 2), "for what is nearest, and for the passages"


def test_what_is_nearest_is_the_same_once_it_is_known_where_passages_stand(open_store: Open, make: Maker) -> None:
    store = open_store()
    for number in range(3):
        filled(store, make, number)
    store._table.compact(keep=timedelta(milliseconds=1))
    filled(store, make, 3)
    view = store._table.view(store._words.version)
    vector = make.vector("volcano engine")
    before = view.nearest(vector, limit=30, exact=False)
    rows = view.fetch(before)
    assert view._places is None
    assert view.fetch(before) == rows
    assert view._places is not None
    assert list(view.nearest(vector, limit=30, exact=False).items()) == list(before.items())
    assert {key: row.key for key, row in rows.items()} == {key: key for key in before}


def test_where_passages_stand_is_read_in_few_pieces(
    open_store: Open, make: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store()
    store.commit(make.batch("b1", make.document("d1", *(f"passage {n}" for n in range(3000)))))
    view = store._table.view(store._words.version)
    view.fetch([7])
    from lancedb.arrow import AsyncRecordBatchReader

    pieces: list[int] = []
    following = AsyncRecordBatchReader.__anext__

    async def spy(reader: Any) -> Any:
        piece = await following(reader)
        pieces.append(piece.num_rows)
        return piece

    monkeypatch.setattr(AsyncRecordBatchReader, "__anext__", spy)
    assert sorted(view.fetch([7, 2999])) == [7, 2999]
    assert (sum(pieces), len(pieces)) == (3002, 2), "where all of them stand, and then two passages"
