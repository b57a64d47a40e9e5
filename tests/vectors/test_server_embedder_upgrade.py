"""A store on a server goes over to another embedder."""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tenire.errors import EmbedderMismatchError, StoreError
from tenire.vectors.postgres import embedder_upgrade
from tenire.vectors.postgres.store import PostgresStore

from .conftest import DIMENSION, Maker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from scripts.postgres_cluster import Cluster

    from tenire.vectors.postgres.embedder_upgrade import ServerUpgrade

    Ask = Callable[..., list[tuple[Any, ...]]]
    Open = Callable[[], PostgresStore]

WIDE = Maker(dimension=48)
TEXTS = [f"passage {n} of zebras and ledgers" for n in range(30)]
MADE = (
    "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'tenire'"
    " UNION SELECT relname, relkind::text, '' FROM pg_class WHERE relnamespace = 'tenire'::regnamespace ORDER BY 1, 2"
)


class Killed(BaseException):
    pass


@pytest.fixture
def ask(postgres: Cluster) -> Ask:
    return partial(postgres.execute, database="test")


@pytest.fixture
def open_store(new_database: Callable[[], str]) -> Iterator[Open]:
    address, opened = new_database(), list[PostgresStore]()

    def open_it() -> PostgresStore:
        first = not opened
        opened.append(
            PostgresStore(address, dimension=DIMENSION, embedder="bag")
            if first
            else PostgresStore(address, create=False)
        )
        return opened[-1]

    yield open_it
    for store in opened:
        store.close()


@pytest.fixture
def store(open_store: Open, make: Maker) -> PostgresStore:
    store = open_store()
    documents = [make.document(f"d{n}", text, f"{text} again") for n, text in enumerate(TEXTS)]
    store.commit(make.batch("b0", *documents))
    return store


def upgrade_of(store: PostgresStore) -> ServerUpgrade:
    return store.upgrade(dimension=WIDE.dimension, embedder="wide")


def finish(upgrade: ServerUpgrade, at_most: int = 100) -> int:
    """Embed what is left; return how many texts that were."""
    done = 0
    while at_most and (texts := upgrade.texts()):
        upgrade.add(np.stack([WIDE.vector(text) for text in texts]))
        done += len(texts)
        at_most -= 1
    return done


def upgraded(store: PostgresStore) -> int:
    upgrade = upgrade_of(store)
    left = upgrade.begin()
    assert finish(upgrade) == left
    upgrade.switch()
    return left


def test_a_store_on_a_server_goes_over_to_another_embedder_in_one_step(
    store: PostgresStore, open_store: Open, make: Maker, ask: Ask
) -> None:
    reader = open_store()
    made = ask(MADE)
    upgrade = upgrade_of(store)
    assert upgrade.begin() == 2 * len(TEXTS)
    assert finish(upgrade) == 2 * len(TEXTS)
    # Until the switch, nothing is different.
    assert reader.search(TEXTS[7], make.vector(TEXTS[7]), k=1, mode="vector")[0].text == TEXTS[7]
    assert not reader.refresh()
    keys = ask("SELECT key, document, ordinal FROM tenire.passages ORDER BY key")
    upgrade.switch()
    assert (store.embedder, store.dimension) == ("wide", WIDE.dimension)
    assert reader.search("zebras", None, k=3, mode="text")
    with pytest.raises(EmbedderMismatchError, match="gone over to the embedder wide"):
        reader.search(TEXTS[7], make.vector(TEXTS[7]), k=1, mode="vector")
    assert reader.refresh()
    assert not reader.refresh()
    for each in (store, reader, open_store()):
        assert each.search(TEXTS[7], WIDE.vector(TEXTS[7]), k=1, mode="hybrid")[0].text == TEXTS[7]
        with pytest.raises(EmbedderMismatchError):
            each.search("zebras", make.vector("zebras"), k=1, mode="vector")
    assert store.check().details == ()
    # What is there is as if the store had been made like that.
    assert ask(MADE) == made
    assert ask("SELECT key, document, ordinal FROM tenire.passages ORDER BY key") == keys
    store.commit(WIDE.batch("new", WIDE.document("new", "a new passage of herons"), remove=("d3",)))
    assert [hit.document for hit in store.search("herons", None, k=1, mode="text")] == ["new"]
    assert store.has_batch("b0")
    assert ask(f"SELECT key > {keys[-1][0]} FROM tenire.passages WHERE document = 'new'") == [(True,)]


def test_an_embedder_of_the_same_dimension_is_told_from_the_old_one(store: PostgresStore, open_store: Open) -> None:
    reader = open_store()
    upgrade = store.upgrade(dimension=DIMENSION, embedder="other")
    upgrade.begin()
    while texts := upgrade.texts():
        upgrade.add(np.ones((len(texts), DIMENSION), np.float32))
    upgrade.switch()
    with pytest.raises(EmbedderMismatchError, match="gone over"):
        reader.search("zebras", np.ones(DIMENSION, np.float32), k=1, mode="vector")


def test_an_upgrade_that_was_cut_off_goes_on_while_passages_come_and_leave(
    store: PostgresStore, open_store: Open, make: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedder_upgrade, "_AT_ONCE", 16)
    first = upgrade_of(store)
    first.begin()
    assert finish(first, at_most=2) == 32
    with pytest.raises(StoreError, match="changed while"):
        first.switch()
    # Meanwhile the store is used as it is.
    store.commit(make.batch("more", make.document("more", "one more passage"), remove=("d29",)))
    again = upgrade_of(open_store())
    assert again.begin() == 2 * len(TEXTS) - 32 - 2 + 1
    finish(again)
    again.switch()
    reader = open_store()
    assert (reader.embedder, reader.count()) == ("wide", 2 * len(TEXTS) - 1)
    assert reader.search("one more passage", WIDE.vector("one more passage"), k=1, mode="vector")[0].document == "more"


def test_an_upgrade_to_a_third_embedder_forgets_the_unfinished_one(store: PostgresStore) -> None:
    first = upgrade_of(store)
    first.begin()
    finish(first, at_most=1)
    other = store.upgrade(dimension=8, embedder="third")
    assert other.begin() == 2 * len(TEXTS)
    while texts := other.texts():
        other.add(np.ones((len(texts), 8), np.float32))
    other.switch()
    assert (store.embedder, store.dimension) == ("third", 8)


def test_passages_that_come_before_the_switch_are_not_lost(store: PostgresStore, make: Maker) -> None:
    upgrade = upgrade_of(store)
    upgrade.begin()
    finish(upgrade)
    store._writer.run("write", upgrade._put_together)
    store.commit(make.batch("late", make.document("late", "a late passage")))
    with pytest.raises(StoreError, match="changed while"):
        store._writer.run("write", upgrade._swap)
    assert upgraded(store) == 1
    assert store.search("late", None, k=1, mode="text")[0].document == "late"


@pytest.mark.parametrize("step", ["_put_together", "_swap", "_switched"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "within"])
def test_a_kill_at_the_switch_leaves_one_store_on_the_server_or_the_other(
    store: PostgresStore, open_store: Open, make: Maker, monkeypatch: pytest.MonkeyPatch, step: str, after: bool
) -> None:
    upgrade = upgrade_of(store)
    upgrade.begin()
    finish(upgrade)
    whole = getattr(upgrade, step)

    def kill(*connection: Any) -> None:
        if after:
            whole(*connection)
        raise Killed

    monkeypatch.setattr(upgrade, step, kill)
    with pytest.raises(Killed):
        upgrade.switch()
    reopened = open_store()
    switched = step == "_switched"
    assert reopened.embedder == ("wide" if switched else "bag")
    maker = WIDE if switched else make
    for mode in ("vector", "text", "hybrid"):
        assert reopened.search(TEXTS[4], maker.vector(TEXTS[4]), k=1, mode=mode)[0].text == TEXTS[4]
    reopened.commit(maker.batch("next", maker.document("next", "the next passage")))
    if not switched:
        assert upgraded(reopened) == 1
    assert (
        reopened.search("the next passage", WIDE.vector("the next passage"), k=1, mode="vector")[0].document == "next"
    )


def test_a_switch_whose_answer_was_lost_is_not_done_twice(
    store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    upgrade = upgrade_of(store)
    upgrade.begin()
    finish(upgrade)
    swap = upgrade._swap

    def twice(connection: Any) -> None:
        swap(connection)
        swap(connection)

    monkeypatch.setattr(upgrade, "_swap", twice)
    upgrade.switch()
    assert store.search(TEXTS[4], WIDE.vector(TEXTS[4]), k=1, mode="vector")[0].text == TEXTS[4]


def test_a_search_that_comes_during_the_switch_waits_and_is_told(
    store: PostgresStore, open_store: Open, make: Maker, ask: Ask
) -> None:
    reader, told = open_store(), list[BaseException | None]()
    upgrade = upgrade_of(store)
    upgrade.begin()
    finish(upgrade)
    store._writer.run("write", upgrade._put_together)

    def search() -> None:
        try:
            reader.search("zebras", make.vector("zebras"), k=1, mode="vector")
            told.append(None)
        except EmbedderMismatchError as error:
            told.append(error)

    searching = threading.Thread(target=search)

    def swap(connection: Any) -> None:
        upgrade._swap(connection)
        searching.start()
        while not ask("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"):
            assert searching.is_alive(), "it did not wait"

    store._writer.run("write", swap)
    searching.join()
    assert isinstance(told[0], EmbedderMismatchError)
    assert reader.refresh()


def test_a_large_store_has_its_vector_index_at_the_switch(
    store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedder_upgrade, "INDEX_ROWS", len(TEXTS))
    upgraded(store)
    assert store.compact() == (2 * len(TEXTS), 2 * len(TEXTS))


def test_who_may_read_the_passages_still_may(store: PostgresStore, ask: Ask) -> None:
    ask('CREATE ROLE "the reader"')
    try:
        ask('GRANT SELECT ON tenire.passages TO "the reader", PUBLIC')
        may = "SELECT grantee, privilege_type FROM information_schema.role_table_grants WHERE table_name = 'passages'"
        before = sorted(ask(may))
        upgraded(store)
        assert sorted(ask(may)) == before
    finally:
        ask('DROP OWNED BY "the reader"')
        ask('DROP ROLE "the reader"')


def test_a_view_of_the_passages_is_told_and_nothing_is_lost(store: PostgresStore, ask: Ask) -> None:
    ask("CREATE VIEW zebras AS SELECT text FROM tenire.passages")
    with pytest.raises(StoreError) as caught:
        upgraded(store)
    assert "views" in (caught.value.hint or "")
    ask("DROP VIEW zebras")
    assert upgraded(store) == 0
    assert store.embedder == "wide"


def test_vectors_that_do_not_fit_a_server_are_refused(store: PostgresStore) -> None:
    upgrade = upgrade_of(store)
    upgrade.begin()
    texts = upgrade.texts()
    with pytest.raises(ValueError, match="vectors of shape"):
        upgrade.add(np.ones((len(texts), 3), np.float32))
    with pytest.raises(StoreError, match="up to 4000 numbers"):
        store.upgrade(dimension=4001, embedder="huge")


def test_an_empty_store_on_a_server_switches_at_once(open_store: Open) -> None:
    store = open_store()
    assert upgraded(store) == 0
    store.commit(WIDE.batch("b1", WIDE.document("d1", "a passage")))
    assert store.search("passage", WIDE.vector("passage"), k=1, mode="hybrid")[0].document == "d1"
