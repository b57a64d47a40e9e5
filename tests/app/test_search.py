from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
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

NOWHERE = Place()


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


def test_a_home_of_an_empty_folder_says_so_and_not_that_its_store_was_lost(tmp_path: Path, ingest: Any) -> None:
    (tmp_path / "files").mkdir()
    ingest(tmp_path / "files")
    with pytest.raises(StoreError, match="holds no passages yet") as caught:
        search(tmp_path / "home", "x")
    assert caught.value.hint == "run: tenire ingest PATH"


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


def known_home(base: Path, *documents: Document) -> Path:
    """A home with documents of which more is known than a text file tells."""
    home = Home(base / "known")
    chosen = choose_place(home, store="lancedb", embedder="static")
    texts = [passage.text for document in documents for passage in document.passages]
    with HomeSession(home, chosen.open_store, clock=SYSTEM_CLOCK) as session:
        chosen.record(session.ledger)
        session.commit(session.start_run("p", "r"), documents, load_embedder("static").embed(texts))
    return home.path


def known_document(name: str, *texts: str, title: str = "", place: Place = NOWHERE, **about: Any) -> Document:
    passages, start = [], 0
    for text in texts:
        passages.append(Passage(len(passages), start, start + len(text), text, place))
        start += len(text) + 2
    return Document(name, SourceFile(f"/files/{name}", 9, 1), "h", title, start, tuple(passages), About(**about))


def test_a_hit_says_what_is_known_about_it(tmp_path: Path) -> None:
    place = Place(headings=("Animals", "Zebras"), page=7, lines=(3, 4), section=0)
    told = {"kind": "pdf", "language": "en", "author": "Ann", "date": "2024-05", "pages": 9}
    document = known_document("z.pdf", ZEBRAS, title="On zebras", place=place, extra=(("shelf", "4b"),), **told)
    (hit,) = search(known_home(tmp_path, document), "zebras").as_json()["hits"]
    assert told.items() <= hit.items()
    assert (hit["title"], hit["extra"]) == ("On zebras", {"shelf": "4b"})
    assert (hit["headings"], hit["page"], hit["lines"], hit["ordinal"]) == (["Animals", "Zebras"], 7, [3, 4], 0)
    assert [ZEBRAS[start:end] for start, end in hit["highlights"]] == ["Zebras"]
    assert hit["context"] is None


@pytest.mark.parametrize("mode", ["hybrid", "vector", "text"])
def test_only_documents_of_which_the_condition_is_true_are_found(tmp_path: Path, mode: str) -> None:
    home = known_home(
        tmp_path,
        known_document("old.pdf", "zebras sleep standing", kind="pdf", date="2019"),
        known_document("new.pdf", "zebras graze together", kind="pdf", date="2024-02"),
        known_document("new.md", "zebras run quickly", kind="markdown", date="2024-03", extra=(("shelf", "4"),)),
    )

    def found(where: str) -> list[str]:
        return sorted(hit.source.rpartition("/")[2] for hit in store.search("zebras", mode=mode, where=where).hits)

    with Store(home) as store:
        assert found("kind = pdf") == ["new.pdf", "old.pdf"]
        assert found("date >= 2024") == ["new.md", "new.pdf"]
        assert found("source ~ *.md or date < 2020") == ["new.md", "old.pdf"]
        assert found("extra.shelf > 3") == ["new.md"]
        assert found("kind = epub") == []
        assert found("kind = pdf") == ["new.pdf", "old.pdf"]


def test_a_document_in_several_places_is_shown_where_it_was_looked_for(base: Path) -> None:
    (hit,) = search(base / "home", "zebras sleep", where="source ~ files/deep").hits
    assert (hit.source, hit.also) == (str(base / "files/deep/copy.txt"), [])


def test_a_condition_sees_what_came_while_the_store_was_open(tmp_path: Path) -> None:
    home = known_home(tmp_path, known_document("a", "zebras graze", kind="pdf"))
    with Store(home) as store:
        assert len(store.search("zebras", mode="text", where="kind = pdf").hits) == 1
        known_home(tmp_path, known_document("b", "zebras sleep", kind="pdf"))
        assert len(store.search("zebras", mode="text", where="kind = pdf").hits) == 2


def test_neighbours_come_with_a_passage(tmp_path: Path) -> None:
    home = known_home(tmp_path, known_document("a", "First part.", ZEBRAS, "Third part.", "Fourth part."))
    (context,) = [hit["context"] for hit in search(home, "zebras", k=1, context=1).as_json()["hits"]]
    assert context["text"] == f"First part.\n\n{ZEBRAS}\n\nThird part."
    assert context["text"][context["start"] : context["end"]] == ZEBRAS
    assert (context["first"], context["last"]) == (0, 2)
    (hit,) = search(home, "zebras", k=1, context=50).hits
    assert hit.context is not None
    assert (hit.context.first, hit.context.last, hit.text) == (0, 3, ZEBRAS)


@pytest.mark.parametrize("options", [{"context": -1}, {"context": 101}, {"context": "1"}, {"where": "knd = pdf"}])
def test_an_impossible_context_or_condition_is_refused(base: Path, options: dict[str, Any]) -> None:
    with Store(base / "home") as store, pytest.raises(ConfigError) as caught:
        store.search("zebras", **options)
    assert caught.value.key in options


def test_a_store_is_not_closed_under_a_search_that_runs(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(base / "home")
    begun, go_on = threading.Event(), threading.Event()
    real = store._search

    def slow(*arguments: Any) -> Any:
        begun.set()
        assert go_on.wait(60)
        return real(*arguments)

    monkeypatch.setattr(store, "_search", slow)
    with ThreadPoolExecutor(2) as threads:
        searching = threads.submit(store.search, "zebras", mode="text")
        assert begun.wait(60)
        closing = threads.submit(store.close)
        while not store._closed:
            pass
        with pytest.raises(StoreError, match="this store is closed"):
            store.search("zebras", mode="text")
        assert not closing.done()
        go_on.set()
        assert searching.result(60).hits
        closing.result(60)
