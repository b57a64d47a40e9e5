"""What a search sees while a commit is half done: the state before it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tenire.errors import StoreError
from tenire.vectors import searcher
from tenire.vectors.text_index import TextIndex

if TYPE_CHECKING:
    from collections.abc import Callable

    from tenire.vectors.store import LanceStore

    from .conftest import Maker

    Open = Callable[..., LanceStore]

OLD, NEW = "zebras graze on plains", "zebras sleep on plains"
MODES = ("hybrid", "vector", "text")


def found(store: LanceStore, make: Maker) -> dict[str, list[str]]:
    """Which passages each mode finds."""
    return {
        mode: [hit.text for hit in store.search("zebras plains", make.vector("zebras plains"), k=5, mode=mode)]
        for mode in MODES
    }


def test_a_search_in_the_middle_of_a_commit_sees_the_state_before_it(
    open_store: Open, make: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer, reader = open_store(), open_store()
    writer.commit(make.batch("b1", make.document("old", OLD)))
    seen: list[dict[str, list[str]]] = []
    apply = TextIndex.apply

    def look_first(index: TextIndex, *args: Any, **options: Any) -> None:
        # The table has the new document and no longer the old one; the text index does not know yet.
        assert reader._table.version() > reader._words.version
        seen.append(found(reader, make))
        apply(index, *args, **options)

    monkeypatch.setattr(TextIndex, "apply", look_first)
    writer.commit(make.batch("b2", make.document("new", NEW), remove=("old",)))
    assert seen == [{mode: [OLD] for mode in MODES}]
    assert found(reader, make) == {mode: [NEW] for mode in MODES}


def test_a_search_that_a_commit_overtakes_begins_again(
    open_store: Open, make: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer, reader = open_store(), open_store()
    writer.commit(make.batch("b1", make.document("old", OLD)))
    found(reader, make)
    best, waiting = searcher.best_texts, [make.batch("b2", make.document("new", NEW), remove=("old",))]

    def overtaken(*args: Any, **options: Any) -> Any:
        ranked = best(*args, **options)
        if waiting:
            writer.commit(waiting.pop())
        return ranked

    monkeypatch.setattr(searcher, "best_texts", overtaken)
    assert [hit.text for hit in reader.search("zebras", None, k=5, mode="text")] == [NEW]


def test_a_version_that_was_tidied_away_is_read_from_what_came_after_it(open_store: Open, make: Maker) -> None:
    writer, reader = open_store(), open_store()
    for n in range(3):
        writer.commit(make.batch(f"b{n}", make.document(f"d{n}", f"{OLD} {n}")))
    found(reader, make)
    writer._table.compact(keep=timedelta(milliseconds=1))
    # The text index still names a version whose files are gone.
    assert all(len(texts) == 3 for texts in found(reader, make).values())
    assert all(len(texts) == 3 for texts in found(open_store(), make).values())


def test_a_table_that_cannot_be_read_is_told(open_store: Open, make: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store()
    store.commit(make.batch("b1", make.document("old", OLD)))
    tries = []

    def broken(*_: Any, **__: Any) -> Any:
        tries.append(1)
        raise StoreError("the disk is gone")

    monkeypatch.setattr(searcher, "best_texts", broken)
    with pytest.raises(StoreError, match="the disk is gone"):
        found(store, make)
    assert len(tries) > 1


def test_a_search_that_is_always_overtaken_holds_its_view(
    open_store: Open, make: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer, reader = open_store(), open_store()
    writer.commit(make.batch("b0", make.document("d0", f"{OLD} 0")))
    best, number = searcher.best_texts, iter(range(1, 100))

    def overtaken(*args: Any, **options: Any) -> Any:
        n = next(number)
        writer.commit(make.batch(f"b{n}", make.document(f"d{n}", f"{OLD} {n}"), remove=(f"d{n - 1}",)))
        return best(*args, **options)

    monkeypatch.setattr(searcher, "best_texts", overtaken)
    for mode in MODES:
        assert len(reader.search("zebras", make.vector("zebras"), k=5, mode=mode)) == 1
