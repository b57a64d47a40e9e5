"""What every store of passages does: in a directory, and on a PostgreSQL server."""

from __future__ import annotations

import threading
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tenire.errors import EmbedderMismatchError
from tenire.protocols import Batch, Hit, Passage, Place

from .conftest import BOOK, FOX, SEA, python_documents

if TYPE_CHECKING:
    from collections.abc import Callable

    from .conftest import Maker

    Open = Callable[..., Any]


def _ids(hits: list[Hit]) -> list[str]:
    return [hit.document for hit in hits]


def test_another_embedder_is_refused_by_name(open_any: Open) -> None:
    open_any()
    with pytest.raises(EmbedderMismatchError, match="built with the embedder bag") as caught:
        open_any(embedder="minilm")
    assert (caught.value.stored, caught.value.asked) == ("bag", "minilm")
    with pytest.raises(EmbedderMismatchError, match="32 dimensions"):
        open_any(dimension=384)


def test_a_store_remembers_what_it_was_built_with(open_any: Open) -> None:
    open_any()
    again = open_any(dimension=None, embedder=None, create=False)
    assert (again.embedder, again.dimension) == ("bag", 32)


def test_an_empty_store_answers_every_question(open_any: Open) -> None:
    store = open_any()
    for mode in ("hybrid", "vector", "text"):
        assert store.search("fox", np.ones(32, np.float32), k=3, mode=mode, exact=False) == []
    assert (store.count(), store.documents(), store.has_batch("b1")) == (0, 0, False)
    assert store.vectors_of(["x"]) == {}
    check = store.check()
    assert (dict(check.passages), check.duplicates, check.unindexed) == ({}, 0, 0)
    assert not store.optimise(idle=True)


def test_words_are_found_where_no_blanks_tell_them_apart(open_any: Open, make: Maker) -> None:
    store = open_any()
    store.commit(
        make.batch("b1", make.document("zh", "斑马身上的条纹各不相同"), make.document("ja", "日本語の文章です"))
    )
    for query, found in (("条纹", ["zh"]), ("日本語", ["ja"]), ("文章", ["ja"]), ("貓狗", [])):
        assert _ids(store.search(query, None, k=5, mode="text"))[:1] == found


def test_a_commit_is_found_again_by_another_store(open_any: Open, make: Maker) -> None:
    open_any().commit(make.batch("b1", make.document("d1", FOX, BOOK), make.document("d2", SEA)))
    store = open_any(create=False)
    assert store.has_batch("b1")
    assert not store.has_batch("b2")
    assert (store.count(), store.documents()) == (3, 2)
    check = store.check()
    assert (dict(check.passages), check.duplicates, check.unindexed, check.details) == ({"d1": 2, "d2": 1}, 0, 0, ())


def test_a_document_that_comes_again_is_stored_once(open_any: Open, make: Maker) -> None:
    store = open_any()
    one = make.document("d1", FOX)
    store.commit(make.batch("b1", one, one))
    store.commit(make.batch("b2", one, make.document("d2", SEA)))
    check = store.check()
    assert (dict(check.passages), check.duplicates) == ({"d1": 1, "d2": 1}, 0)
    assert store.has_batch("b2")
    found = store.vectors_of(["d2"])[sha256(SEA.encode()).hexdigest()]
    assert np.allclose(found, make.vector(SEA), atol=1e-3)


def test_a_batch_that_only_removes_is_remembered(open_any: Open, make: Maker) -> None:
    store = open_any()
    store.commit(make.batch("b1", make.document("d1", FOX), make.document("d2", SEA)))
    store.commit(make.batch("b2", remove=("d1", "never there")))
    assert store.has_batch("b2")
    assert dict(store.check().passages) == {"d2": 1}
    store.commit(make.batch("b3", make.document("d1", FOX)))
    assert _ids(store.search("quick fox", None, k=1, mode="text", exact=False)) == ["d1"]


def test_a_document_that_is_added_and_removed_at_once_stays(open_any: Open, make: Maker) -> None:
    store = open_any()
    store.commit(make.batch("b1", make.document("d1", FOX)))
    store.commit(make.batch("b2", make.document("d1", FOX), remove=("d1",)))
    assert dict(store.check().passages) == {"d1": 1}


def test_documents_without_passages_are_no_rows(open_any: Open, make: Maker) -> None:
    store = open_any()
    store.commit(make.batch("b1", make.document("empty"), make.document("d1", FOX)))
    store.commit(make.batch("b2", make.document("empty")))
    assert store.has_batch("b2")
    assert dict(store.check().passages) == {"d1": 1}


@pytest.mark.parametrize(
    ("vectors", "problem"),
    [(None, "shape"), (np.ones((2, 32)), "shape"), (np.ones((1, 31)), "shape"), (np.full((1, 32), np.nan), "finite")],
)
def test_vectors_that_do_not_fit_are_refused_and_nothing_is_written(
    open_any: Open, make: Maker, vectors: object, problem: str
) -> None:
    store = open_any()
    with pytest.raises(ValueError, match=problem):
        store.commit(Batch("b1", (make.document("d1", FOX),), vectors))
    assert store.count() == 0
    assert not store.has_batch("b1")


def test_hostile_texts_come_back_as_they_were(open_any: Open, make: Maker) -> None:
    store = open_any()
    texts = [
        "",
        "nul \0 inside",
        "lone \ud800 surrogate",
        "' OR 1=1; --",
        "naïve café Ünïcode 日本語 🦊",
        "x" * 200_000,
    ]
    document = make.document("d1", *texts)
    store.commit(make.batch("b1", document))
    hits = store.search("", make.vector("x"), k=10, mode="vector", exact=True)
    assert {hit.ordinal: hit.text for hit in hits} == dict(enumerate(texts))
    assert all(texts[hit.ordinal] == hit.text for hit in hits)
    assert [(hit.start, hit.end) for hit in hits if hit.ordinal == 1] == [(0, 12)]
    assert store.check().details == ()


@pytest.mark.parametrize("mode", ["hybrid", "vector", "text"])
def test_a_distinctive_sentence_finds_its_document_first(open_any: Open, make: Maker, mode: str) -> None:
    store = open_any()
    documents = python_documents(make, 40)
    store.commit(make.batch("b1", *documents))
    for document in documents[::7]:
        passage = document.passages[len(document.passages) // 2]
        sentence = " ".join(passage.text.split()[3:25])
        # The bag-of-words vector of a part is not always nearest to its whole: ask with the passage's own.
        vector = make.vector(passage.text if mode == "vector" else sentence)
        hits = store.search(sentence, vector, k=3, mode=mode, exact=False)
        assert (hits[0].document, hits[0].text) == (document.id, passage.text)
        assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


def test_what_was_asked_for_word_for_word_is_first_even_if_another_is_nearly_as_good(
    open_any: Open, make: Maker
) -> None:
    store = open_any()
    documents = [
        make.document("exact", "one two three and then a long tale about entirely other things"),
        make.document("second", "two three one three two"),
        make.document("near", "three one two"),
    ]
    store.commit(make.batch("b1", *documents))
    # By vector the exact one comes last, by words the second one scores well in both.
    hits = store.search("one two three", make.vector("three one two"), k=3, mode="hybrid", exact=False)
    assert hits[0].document == "exact"


def test_copies_of_a_passage_never_hide_other_texts(open_any: Open, make: Maker) -> None:
    store = open_any()
    copies = [make.document(f"copy{n:03}", FOX) for n in range(120)]
    store.commit(make.batch("b1", *copies, make.document("other", "a brown fox of another kind")))
    for mode in ("hybrid", "vector", "text"):
        hits = store.search("brown fox", make.vector(FOX), k=2, mode=mode, exact=False)
        assert len({hit.text for hit in hits}) == 2
        assert sum(hit.text == FOX for hit in hits) > 2
        assert len({hit.text for hit in store.search("fox", make.vector(FOX), k=1, mode=mode, exact=False)}) == 1


def test_the_order_of_ties_does_not_depend_on_the_order_of_commits(open_any: Open, make: Maker) -> None:
    store = open_any()
    for name in ("d3", "d1", "d2"):
        store.commit(make.batch(f"b-{name}", make.document(name, FOX)))
    for mode in ("hybrid", "vector", "text"):
        assert _ids(store.search("fox", make.vector("fox"), k=1, mode=mode, exact=False)) == ["d1", "d2", "d3"]


def test_questions_that_make_no_sense_are_refused(open_any: Open) -> None:
    store = open_any()
    vector = np.ones(32, np.float32)
    with pytest.raises(ValueError, match="mode must be one of"):
        store.search("x", vector, k=1, mode="fuzzy", exact=False)
    with pytest.raises(ValueError, match="k must be at least 1"):
        store.search("x", vector, k=0, mode="text", exact=False)
    with pytest.raises(ValueError, match="needs the query's vector"):
        store.search("x", None, k=1, mode="hybrid", exact=False)
    with pytest.raises(EmbedderMismatchError, match="shape"):
        store.search("x", np.ones(384, np.float32), k=1, mode="vector", exact=False)


def test_an_open_store_sees_what_another_one_commits(open_any: Open, make: Maker) -> None:
    reader, writer = open_any(), open_any()
    assert reader.search("fox", make.vector(FOX), k=1, mode="hybrid", exact=False) == []
    for n in range(3):
        writer.commit(make.batch(f"b{n}", make.document(f"d{n}", f"{FOX} number{n}")))
        for mode in ("hybrid", "vector", "text"):
            hits = reader.search(f"number{n}", make.vector(f"{FOX} number{n}"), k=1, mode=mode, exact=False)
            assert hits[0].document == f"d{n}"


def test_searches_run_beside_commits_and_maintenance(open_any: Open, make: Maker) -> None:
    store = open_any()
    store.commit(make.batch("first", make.document("fox", FOX)))
    done, failures = threading.Event(), []

    def look() -> None:
        while not done.is_set():
            for mode in ("hybrid", "vector", "text"):
                if _ids(store.search(FOX, make.vector(FOX), k=1, mode=mode, exact=False)) != ["fox"]:
                    failures.append(mode)
                    return

    threads = [threading.Thread(target=look) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for n in range(20):
            replaced = (f"d{n - 1}",) if n % 3 else ()
            store.commit(make.batch(f"b{n}", make.document(f"d{n}", f"{BOOK} {n}"), remove=replaced))
            if n % 6 == 5:
                store.optimise(idle=True)
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert not failures


def test_vectors_are_given_back_by_the_hash_of_their_text(open_any: Open, make: Maker) -> None:
    store = open_any()
    store.commit(make.batch("b1", make.document("d1", FOX, BOOK), make.document("d2", SEA)))
    found = store.vectors_of(["d1", "unknown"])
    assert set(found) == {sha256(text.encode()).hexdigest() for text in (FOX, BOOK)}
    assert np.allclose(found[sha256(BOOK.encode()).hexdigest()], make.vector(BOOK), atol=1e-3)


def test_a_whole_sentence_is_found_first_by_vector_too_where_it_stands_word_for_word(
    open_any: Open, make: Maker
) -> None:
    sentence = "the quick reader opens every drawer before breakfast"
    with_others = f"many other words about ships rivers stones and clouds {sentence} and about lamps and windows"
    store = open_any()
    store.commit(make.batch("b", make.document("far", with_others), make.document("near", "reader opens every drawer")))

    def found(query: str) -> list[str]:
        return [hit.document for hit in store.search(query, make.vector(query), k=2, mode="vector")]

    assert found(sentence) == ["far", "near"]
    # A few words are no sentence: then only the vectors count.
    assert found("reader opens every drawer") == ["near", "far"]


@pytest.mark.parametrize("removed", [1, 3000])
def test_documents_come_and_go_in_one_batch(open_any: Open, make: Maker, removed: int) -> None:
    store = open_any()
    old = [make.document(f'it\'s "{n}" \\ ; --', f"old passage {n}") for n in range(removed)]
    store.commit(make.batch("b1", *old, make.document("stays", FOX)))
    store.commit(make.batch("b2", make.document("new", SEA), remove=tuple(d.id for d in old)))
    check = store.check()
    assert (dict(check.passages), check.duplicates, check.unindexed) == ({"stays": 1, "new": 1}, 0, 0)
    assert (store.count(), store.documents()) == (2, 2)
    assert store.search("old passage", None, k=5, mode="text") == []


def test_a_batch_is_applied_once_whatever_it_brings_the_second_time(open_any: Open, make: Maker) -> None:
    store = open_any()
    store.commit(make.batch("b1", make.document("d1", FOX)))
    store.commit(make.batch("b1", make.document("d2", SEA), remove=("d1",)))
    assert dict(store.check().passages) == {"d1": 1}


def test_the_passages_around_a_hit_are_those_of_its_document(open_any: Open, make: Maker) -> None:
    store = open_any()
    texts = [f"passage {n}" for n in range(5)]
    store.commit(make.batch("b1", make.document("d1", *texts), make.document("d2", SEA)))
    hits = [Hit("d1", 1, 9, 18, texts[1], 1.0), Hit("d2", 0, 0, 9, SEA, 1.0), Hit("gone", 0, 0, 1, "x", 1.0)]
    assert [[each.text for each in found] for found in store.around(hits, 2)] == [texts[:4], [SEA], []]
    assert store.around([], 2) == []


def test_a_place_comes_back_with_its_passage(open_any: Open, make: Maker) -> None:
    store = open_any()
    place = Place(("Ships", "Gulls \0 \ud800"), 3, (7, 9), 1)
    document = make.document("d1", SEA)
    passage = Passage(0, 0, len(SEA), SEA, place)
    batch = make.batch("b1", document)
    store.commit(Batch("b1", (type(document)(*_fields(document, (passage,))),), batch.vectors))
    found = store.search("gulls", None, k=1, mode="text")[0].place
    assert (found.page, found.lines, found.section, found.headings[0]) == (3, (7, 9), 1, "Ships")


def _fields(document: Any, passages: tuple[Passage, ...]) -> list[Any]:
    return [passages if name == "passages" else getattr(document, name) for name in document.__slots__]


def test_all_searches_in_a_steady_block_see_one_state(open_any: Open, make: Maker) -> None:
    store, other = open_any(), open_any()
    store.commit(make.batch("b1", make.document("d1", FOX)))
    with store.steady():
        before = _ids(store.search("fox", None, k=5, mode="text"))
        other.commit(make.batch("b2", make.document("d2", f"another {FOX}"), remove=("d1",)))
        assert _ids(store.search("fox", make.vector(FOX), k=5, mode="hybrid")) == before == ["d1"]
    assert _ids(store.search("fox", None, k=5, mode="text")) == ["d2"]


def test_words_are_found_without_their_endings_accents_and_punctuation(open_any: Open, make: Maker) -> None:
    store = open_any()
    texts = ["import os.path.join() here", "les forêts brûlées", "he was running home", "price: 10px, x86 and 1e5"]
    store.commit(make.batch("b1", *(make.document(f"d{n}", text) for n, text in enumerate(texts))))
    asked = {"os path": "d0", "path.join": "d0", "FORETS": "d1", "runs": "d2", "10px": "d3", "1e5": "d3", "was": "d2"}
    assert {query: _ids(store.search(query, None, k=1, mode="text"))[0] for query in asked} == asked


def test_of_some_of_the_words_the_rare_one_counts(open_any: Open, make: Maker) -> None:
    store = open_any()
    common = [make.document(f"c{n:02}", f"the engine and the window number {n}") for n in range(40)]
    store.commit(make.batch("b1", *common, make.document("rare", "a volcano beside an engine")))
    assert _ids(store.search("window of the volcano spirit", None, k=1, mode="text")) == ["rare"]


def test_closing_twice_is_fine_and_a_later_call_opens_again(open_any: Open, make: Maker) -> None:
    store = open_any()
    store.commit(make.batch("b1", make.document("d1", FOX)))
    store.close()
    store.close()
    assert store.has_batch("b1")
    assert store.count() == 1


def test_a_text_index_and_vectors_are_looked_at_together(open_any: Open, make: Maker) -> None:
    store = open_any()
    store.commit(make.batch("b1", make.document("d1", FOX, BOOK), make.document("d2", SEA)))
    sizes = store.sizes()
    assert sizes["text_bytes"] == sum(len(text) for text in (FOX, BOOK, SEA))
    assert sizes["store_bytes"] >= sizes["text_stored_bytes"] > 0
    assert not store.refresh()
