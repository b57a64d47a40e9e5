from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from tenire.app import search as search_module
from tenire.app.config import ingest_config
from tenire.app.place import choose_place
from tenire.app.runs import run_config
from tenire.app.search import Store, search
from tenire.clock import SYSTEM_CLOCK
from tenire.errors import ConfigError, EmbedderMismatchError, StoreError
from tenire.pipeline.home_session import HomeSession
from tenire.protocols import About, Document, Passage, Place, SourceFile
from tenire.storage.home import Home
from tenire.storage.ledger import Ledger
from tenire.vectors.embedding import load_embedder

from .conftest import LEDGERS, VOLCANOES, ZEBRAS, write

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with files and a home that has read them."""
    base = tmp_path_factory.mktemp("search")
    for name, text in (("zebras", ZEBRAS), ("ledgers", LEDGERS), ("volcanoes", VOLCANOES)):
        write(base / f"files/{name}.txt", text)
    write(base / "files/deep/copy.txt", ZEBRAS)
    write(base / "files/same-words.md", ZEBRAS)  # another document with an equal passage
    run_config(ingest_config([str(base / "files")], home=base / "home", embedder="static"))
    return base


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("mode", ["hybrid", "vector", "text"])
def test_a_sentence_is_found_in_every_mode(base: Path, mode: str, exact: bool) -> None:
    result = search(base / "home", "every payment in the ledger", k=2, mode=mode, exact=exact)
    assert (result.mode, result.query) == (mode, "every payment in the ledger")
    best = result.hits[0]
    assert (best.source, best.text, best.also) == (str(base / "files/ledgers.txt"), LEDGERS, [])
    assert LEDGERS[best.start : best.end] == LEDGERS
    assert set(result.as_json()) == {"query", "mode", "hits", "seconds"}
    assert result.as_json()["hits"][0]["source"] == best.source


def test_a_passage_comes_once_with_all_its_places(base: Path) -> None:
    hits = search(base / "home", "zebras sleep standing", k=10, mode="hybrid").hits
    (hit,) = [hit for hit in hits if hit.text == ZEBRAS]
    files = base / "files"
    assert {hit.source, *hit.also} == {
        str(files / "deep/copy.txt"),
        str(files / "zebras.txt"),
        str(files / "same-words.md"),
    }
    assert len(hit.also) == 2


def test_no_more_hits_come_than_were_asked_for(base: Path) -> None:
    assert [len(search(base / "home", "sky plains ledger", k=k).hits) for k in (1, 2, 3)] == [1, 2, 3]


def test_another_embedder_than_the_store_s_is_refused(base: Path) -> None:
    with pytest.raises(EmbedderMismatchError, match="built with the embedder static"):
        Store(base / "home", embedder="minilm")


def test_words_are_found_where_the_model_is_another_one_by_now(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_module, "embedder_identity", lambda name: f"{name}-of-tomorrow/256")
    with Store(base / "home") as store:
        assert store.search("zebras", mode="text").hits
        with pytest.raises(EmbedderMismatchError, match="of-tomorrow") as caught:
            store.search("zebras", mode="vector")
    assert "--mode text" in (caught.value.hint or "")


def test_a_loop_goes_on_while_a_search_runs(base: Path) -> None:
    async def main() -> int:
        store = await asyncio.to_thread(Store, base / "home")
        try:
            results = await asyncio.create_task(store.asearch("zebras", k=1))
        finally:
            await asyncio.to_thread(store.close)
        return len(results.hits)

    assert asyncio.run(main()) == 1


def test_a_home_without_documents_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no home"):
        search(tmp_path / "home", "x")
    with Ledger.open(Home(tmp_path / "home")):
        pass
    with pytest.raises(StoreError, match="holds no documents yet"):
        search(tmp_path / "home", "x")


def test_a_question_that_makes_no_sense_and_a_closed_store_are_told(tmp_path: Path, ingest: Any) -> None:
    write(tmp_path / "files/a.txt", ZEBRAS)
    ingest(tmp_path / "files")
    store = Store(tmp_path / "home")
    for question in ({"query": " "}, {"query": "zebra", "k": 0}, {"query": "zebra", "mode": "psychic"}):
        with pytest.raises(ConfigError, match=r"query|k must|mode must"):
            store.search(**question)

    async def ask() -> None:
        with pytest.raises(RuntimeError, match="asearch"):
            store.search("zebra")
        assert (await store.asearch("zebra", mode="text")).hits

    asyncio.run(ask())
    store.close()
    store.close()
    with pytest.raises(StoreError, match="closed"):
        store.search("zebra")


def test_a_hit_says_what_is_known_about_it(tmp_path: Path) -> None:
    about = About(kind="pdf", language="en", author="Ann", date="2024-05", pages=9, extra=(("shelf", "4b"),))
    place = Place(headings=("Animals", "Zebras"), page=7, lines=(3, 4), section=0)
    passage = Passage(0, 0, len(ZEBRAS), ZEBRAS, place)
    file = SourceFile(str(tmp_path / "zebras.pdf"), 9, 1)
    document = Document("d1", file, "h", "On zebras", len(ZEBRAS), (passage,), about)
    home = Home(tmp_path / "home")
    chosen = choose_place(home, store="lancedb", embedder="static")
    with HomeSession(home, chosen.open_store, clock=SYSTEM_CLOCK) as session:
        chosen.record(session.ledger)
        session.commit(session.start_run("p", "r"), [document], load_embedder("static").embed([ZEBRAS]))
    (hit,) = search(home.path, "zebras").as_json()["hits"]
    assert {name: hit[name] for name in ("title", "kind", "language", "author", "date", "pages", "extra")} == {
        "title": "On zebras", "kind": "pdf", "language": "en", "author": "Ann", "date": "2024-05", "pages": 9,
        "extra": {"shelf": "4b"},
    }  # fmt: skip
    assert (hit["headings"], hit["page"], hit["lines"], hit["ordinal"]) == (["Animals", "Zebras"], 7, [3, 4], 0)
