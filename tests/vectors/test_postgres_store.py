"""The store on a server where it differs from one in a directory: transactions, connections, rights."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import threading
import traceback
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import psycopg
import pytest
from scripts.postgres_cluster import Cluster, unavailable

from tenire.concurrency.compactor import Stop
from tenire.errors import ConfigError, EmbedderMismatchError, MissingExtraError, StoreError
from tenire.vectors.postgres import commit, connection, upkeep
from tenire.vectors.postgres.address import ServerAddress
from tenire.vectors.postgres.looking import Passages
from tenire.vectors.postgres.store import PostgresStore, format_at

from .conftest import BOOK, DIMENSION, FOX, SEA

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .conftest import Maker


@pytest.fixture
def dsn(new_database: Callable[[], str]) -> str:
    return new_database()


@pytest.fixture
def open_store(dsn: str) -> Iterator[Callable[..., PostgresStore]]:
    opened: list[PostgresStore] = []

    def open_it(address: str = dsn, **options: Any) -> PostgresStore:
        store = PostgresStore(address, **{"dimension": DIMENSION, "embedder": "bag", **options})
        opened.append(store)
        return store

    yield open_it
    for store in opened:
        store.close()


@contextmanager
def indexing(store: PostgresStore, build: Callable[[Any], object]) -> Iterator[None]:
    """Have something else done in the block where the vector index would be built."""

    class Server:
        def __init__(self, real: Any) -> None:
            self._real = real

        def execute(self, query: str) -> Any:
            return build(self._real) if query.startswith("CREATE INDEX") else self._real.execute(query)

    run = store._writer.run
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store._writer, "run", lambda action, fn: run(action, lambda real: fn(Server(real))))
        yield


# ---------------------------------------------------------------- addresses


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("postgresql://me:hunter2@host:5433/db?sslmode=require", "postgresql://me@host:5433/db?sslmode=require"),
        ("postgres://me:hunter2@a,b:5433/db", "postgres://me@a,b:5433/db"),
        ("postgresql://host/db?password=hunter2&sslmode=require", "postgresql://host/db?sslmode=require"),
        ("postgresql://host/db?pass%77ord=hunter2", "postgresql://host/db"),
        ("postgresql://:hunter2@host", "postgresql://host"),
        ("postgresql://me@[::1]:5432,b/db?", "postgresql://me@[::1]:5432,b/db"),
        ("postgresql:///db?host=/tmp/x", "postgresql:///db?host=/tmp/x"),
    ],
)
def test_what_is_shown_of_an_address_holds_no_password(written: str, shown: str) -> None:
    address = ServerAddress.of(written)
    assert (address.shown, address.dsn) == (shown, written)
    assert "hunter2" not in repr(address)
    assert address == ServerAddress.of(shown)


@pytest.mark.parametrize(
    "written",
    [
        "mysql://me:hunter2@host/db",
        "postgresql://me:hunter2/x@host/db",
        "postgresql://me:hun@ter2@host/db",
        "postgresql://me:hunter2?@host/db",
        "postgresql://me:hunter2#@host/db",
        "postgresql://me:hunter2?a=b@host/db",
        "postgresql://me:hunter 2@host/db",
    ],
)
def test_an_address_that_could_hide_a_password_elsewhere_is_refused_unrepeated(written: str) -> None:
    with pytest.raises(ConfigError, match="must look like") as caught:
        ServerAddress.of(written)
    assert "%40" in (caught.value.hint or "")
    assert "hun" not in f"{caught.value} {caught.value.hint}"


def test_what_libpq_says_of_an_address_is_not_repeated() -> None:
    with pytest.raises(StoreError, match="does not understand") as caught:
        PostgresStore("postgresql://me:hunter2%zz@host/db", create=False)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None


# ---------------------------------------------------------------- opening


def test_a_server_that_is_not_there_is_told_without_the_password() -> None:
    with pytest.raises(StoreError, match=r"cannot open the store postgresql://me@127\.0\.0\.1:9/db") as caught:
        PostgresStore("postgresql://me:hunter2@127.0.0.1:9/db", create=False)
    assert "hunter2" not in f"{caught.value} {caught.value.__cause__}"
    assert "server runs" in (caught.value.hint or "")


def test_a_server_that_is_not_there_is_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[ServerAddress] = []

    def connect(address: ServerAddress) -> None:
        tried.append(address)
        raise psycopg.OperationalError("connection timeout expired")

    monkeypatch.setattr(connection, "_connect", connect)
    with pytest.raises(StoreError, match="timeout expired"):
        PostgresStore("postgresql://host/db")
    assert len(tried) == 1


def test_a_wrong_password_is_told_with_the_places_for_it(dsn: str, postgres: Cluster) -> None:
    rules = postgres.folder / "data" / "pg_hba.conf"
    before = rules.read_text()
    rules.write_text("local all guarded scram-sha-256\n" + before)
    try:
        postgres.execute(
            "DROP ROLE IF EXISTS guarded", "CREATE ROLE guarded LOGIN PASSWORD 'open sesame'", "SELECT pg_reload_conf()"
        )
        guarded = dsn.replace("tester", "guarded:hunter2")
        with pytest.raises(StoreError, match="password authentication failed") as caught:
            format_at(ServerAddress.of(guarded))
        assert "hunter2" not in str(caught.value)
        assert "PGPASSWORD" in (caught.value.hint or "")
        assert format_at(ServerAddress.of(guarded.replace("hunter2", "open%20sesame"))) is None
    finally:
        rules.write_text(before)
        postgres.execute("DROP ROLE guarded", "SELECT pg_reload_conf()")


def test_no_store_is_made_unless_asked_for(dsn: str) -> None:
    with pytest.raises(StoreError, match="no store at") as caught:
        PostgresStore(dsn, create=False)
    assert caught.value.hint == "run: tenire ingest PATH"
    assert format_at(ServerAddress.of(dsn)) is None


def test_a_store_that_belongs_to_another_home_is_refused(open_store: Callable[..., PostgresStore]) -> None:
    open_store(owner="one")
    open_store(owner="one", create=False)
    open_store(create=False)
    with pytest.raises(StoreError, match="belongs to another home"):
        open_store(owner="two")


def test_a_store_of_a_newer_version_is_refused(open_store: Callable[..., PostgresStore], postgres: Cluster) -> None:
    open_store()
    postgres.execute("UPDATE tenire.store SET format = 2", database="test")
    with pytest.raises(StoreError, match="format 2") as caught:
        open_store(create=False)
    assert caught.value.hint


def test_a_user_without_rights_is_told_what_is_needed(dsn: str, postgres: Cluster) -> None:
    postgres.execute("DROP ROLE IF EXISTS guest", "CREATE ROLE guest LOGIN")
    try:
        with pytest.raises(StoreError, match="permission denied") as caught:
            PostgresStore(dsn.replace("tester", "guest"), dimension=DIMENSION, embedder="bag")
        assert "right to create" in (caught.value.hint or "")
    finally:
        postgres.execute("DROP ROLE guest")


def test_a_database_of_another_encoding_is_refused(postgres: Cluster, dsn: str) -> None:
    postgres.execute(
        "DROP DATABASE IF EXISTS latin",
        "CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0",
    )
    try:
        with pytest.raises(StoreError, match="UTF8"):
            PostgresStore(postgres.dsn("latin"), dimension=DIMENSION, embedder="bag")
        assert format_at(ServerAddress.of(postgres.dsn("latin"))) is None
    finally:
        postgres.execute("DROP DATABASE latin WITH (FORCE)")


def test_pgvector_may_be_in_any_schema(
    dsn: str, postgres: Cluster, open_store: Callable[..., PostgresStore], make: Maker
) -> None:
    postgres.execute('CREATE SCHEMA "of ours"', 'CREATE EXTENSION vector SCHEMA "of ours"', database="test")
    store = open_store()
    store.commit(make.batch("b1", make.document("d1", FOX)))
    assert store.search("fox", make.vector(FOX), k=1, mode="vector")[0].score == pytest.approx(1.0, abs=1e-3)


def test_vectors_that_do_not_fit_into_a_row_or_the_index(
    open_store: Callable[..., PostgresStore], make: Maker, dsn: str, postgres: Cluster
) -> None:
    with pytest.raises(StoreError, match="up to 4000 numbers"):
        open_store(dimension=4001)
    store, wide = open_store(dimension=3072), type(make)(3072)
    store.commit(wide.batch("b1", wide.document("d1", FOX, BOOK * 100)))
    assert store.search("fox", wide.vector(FOX), k=1, mode="vector")[0].text == FOX


def test_two_that_make_a_store_at_once_make_one(open_store: Callable[..., PostgresStore]) -> None:
    made: list[Any] = []
    start = threading.Barrier(4)

    def make_it() -> None:
        start.wait()
        try:
            made.append(open_store().embedder)
        except StoreError as error:
            made.append(error)

    threads = [threading.Thread(target=make_it) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == ["bag"] * 4


def test_without_psycopg_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MissingExtraError, match="postgres") as caught:
        PostgresStore("postgresql://host/db")
    assert "tenire[postgres]" in (caught.value.hint or "")


def test_nobody_who_has_no_such_store_imports_psycopg() -> None:
    code = (
        "import sys, tenire, tenire.app.runs, tenire.app.search, tenire.app.document_runs, tenire.app.inspect\n"
        "print([name for name in sys.modules if name.startswith('psycopg')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


# ---------------------------------------------------------------- one transaction a batch


@pytest.mark.parametrize("step", ["INSERT INTO tenire.batches", "DELETE", "SELECT id FROM", "COPY", "after"])
def test_a_commit_that_breaks_off_anywhere_has_changed_nothing(
    open_store: Callable[..., PostgresStore], make: Maker, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    store = open_store()
    store.commit(make.batch("b1", make.document("old", FOX)))

    class Broken:
        """A connection on which one statement fails."""

        def __init__(self, real: Any) -> None:
            self._real = real

        def __getattr__(self, name: str) -> Any:
            return getattr(self._real, name)

        def execute(self, query: str, *values: Any) -> Any:
            if query.startswith(step):
                raise RuntimeError(step)
            return self._real.execute(query, *values)

        def cursor(self) -> Any:
            if step == "COPY":
                raise RuntimeError(step)
            return self._real.cursor()

    apply = commit.apply

    def broken(real: Any, *rest: Any) -> int:
        apply(Broken(real), *rest)
        raise RuntimeError(step)

    monkeypatch.setattr("tenire.vectors.postgres.store.apply", broken)
    batch = make.batch("b2", make.document("new", SEA), remove=("old",))
    with pytest.raises(RuntimeError, match=step):
        store.commit(batch)
    assert dict(store.check().passages) == {"old": 1}
    assert not store.has_batch("b2")
    monkeypatch.undo()
    store.commit(batch)
    assert dict(store.check().passages) == {"new": 1}


def test_whether_a_batch_is_there_is_only_known_once_a_killed_engine_has_let_go(
    open_store: Callable[..., PostgresStore], make: Maker, postgres: Cluster
) -> None:
    dying, next_one = open_store(), open_store()
    answers: list[bool] = []
    asking = threading.Thread(target=lambda: answers.append(next_one.has_batch("b1")))
    vectors = np.stack([make.vector(FOX)])
    batch = make.batch("b1", make.document("d1", FOX))

    def written(server: Any) -> None:
        commit.apply(server, batch, vectors)
        # The engine is gone, but its server process is not: it has yet to read the COMMIT.
        asking.start()
        while not postgres.execute("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"):
            assert asking.is_alive(), f"answered {answers} without waiting"

    dying._writer.run("write", written)
    asking.join()
    assert answers == [True]


def test_a_connection_that_broke_is_made_again_and_the_batch_applied_once(
    open_store: Callable[..., PostgresStore], make: Maker, monkeypatch: pytest.MonkeyPatch, postgres: Cluster
) -> None:
    store = open_store()
    store.commit(make.batch("b1", make.document("d1", FOX)))
    store.search("fox", None, k=1, mode="text")
    postgres.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tenire'")
    store.commit(make.batch("b2", make.document("d2", SEA)))
    assert [hit.document for hit in store.search("gulls", None, k=1, mode="text")] == ["d2"]
    # Now it breaks after the batch was written, and nobody knows whether it was committed.
    apply, calls = commit.apply, []

    def broken_once(server: Any, *rest: Any) -> int:
        changed = apply(server, *rest)
        calls.append(changed)
        if len(calls) == 1:
            postgres.execute(f"SELECT pg_terminate_backend({server.info.backend_pid})")
            server.execute("SELECT 1")
        return changed

    monkeypatch.setattr("tenire.vectors.postgres.store.apply", broken_once)
    store.commit(make.batch("b3", make.document("d3", BOOK)))
    assert calls == [1, 1]
    assert dict(store.check().passages) == {"d1": 1, "d2": 1, "d3": 1}


def test_a_lock_that_nobody_gives_back_is_told(
    open_store: Callable[..., PostgresStore], make: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "_LOCK_S", 0.05)
    holder, waiting = open_store(), open_store()
    with holder._writer.held("write"):
        holder._writer.run("write", lambda server: server.execute("SELECT 1 FROM tenire.store FOR UPDATE"))
        with pytest.raises(StoreError, match="lock timeout") as caught:
            waiting.commit(make.batch("b1", make.document("d1", FOX)))
    assert "pg_stat_activity" in (caught.value.hint or "")


def test_the_server_waits_for_its_disk_even_where_it_usually_does_not(
    dsn: str, open_store: Callable[..., PostgresStore], postgres: Cluster
) -> None:
    postgres.execute("ALTER DATABASE test SET synchronous_commit = off")
    shown = open_store()._writer.run("read", lambda server: server.execute("SHOW synchronous_commit").fetchone())
    assert shown == ("on",)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems name or know fewer of the socket's options")
def test_both_sides_notice_within_a_minute_that_the_other_one_is_gone(make: Maker) -> None:
    if unavailable():
        pytest.skip(unavailable())
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def asked(server: Any) -> tuple[list[int], list[str]]:
        with socket.socket(fileno=os.dup(server.fileno())) as ours:
            names = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT, socket.TCP_USER_TIMEOUT)
            client = [ours.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)]
            client += [ours.getsockopt(socket.IPPROTO_TCP, name) for name in names]
        settings = ("tcp_keepalives_idle", "tcp_keepalives_interval", "tcp_keepalives_count", "tcp_user_timeout")
        return client, [server.execute(f"SHOW {name}").fetchone()[0] for name in settings]

    with Cluster(port=port) as cluster:
        dsn = cluster.database("test")
        with closing(PostgresStore(dsn, dimension=DIMENSION, embedder="bag")) as store:
            client, server = store._writer.run("read", asked)
            store.commit(make.batch("b1", make.document("d1", FOX)))
        with closing(PostgresStore(f"{dsn}?keepalives_idle=7&tcp_user_timeout=9000", create=False)) as store:
            own, _ = store._writer.run("read", asked)
    assert client == [1, 30, 10, 3, 60_000]
    assert server == ["30", "10", "3", "60000"]
    assert own == [1, 7, 10, 3, 9000]


# ---------------------------------------------------------------- looking


def test_the_vector_index_is_built_where_it_pays_and_finds_the_same(
    open_store: Callable[..., PostgresStore], make: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "INDEX_ROWS", 300)
    store, told = open_store(), []
    store.commit(make.batch("b1", *[make.document(f"d{n}", f"passage number {n} of many") for n in range(400)]))
    assert not store.optimise(), "a run goes on"
    assert store.optimise(ended=True, before_long=lambda: told.append(store.count()))
    assert told == [400]
    assert not store.optimise(ended=True), "it is there"
    assert store.compact() == (400, 400)
    store.commit(make.batch("b2", make.document("late", "passage number nine hundred came late"), remove=("d8",)))
    for exact in (False, True):
        for text, name in (("passage number 7 of many", "d7"), ("passage number nine hundred came late", "late")):
            hits = store.search(text, make.vector(text), k=1, mode="vector", exact=exact)
            assert hits[0].document == name

    def plan(*, exact: bool) -> str:
        plans: list[str] = []

        class Explaining:
            """A connection that also asks how the server would go about it, where comparing with all is no choice."""

            def __init__(self, real: Any) -> None:
                self._real = real
                real.execute("SET LOCAL enable_seqscan = off")

            def execute(self, query: str, values: Any = ()) -> Any:
                if "tenire.passages" in query:
                    plans.append(str(self._real.execute(f"EXPLAIN {query}", values).fetchall()))
                return self._real.execute(query, values)

        store._reader.run(
            "read",
            lambda server: Passages(Explaining(server)).nearest(make.vector("passage"), limit=5, exact=exact),
        )
        return plans[0]

    assert ["passages_vector" in plan(exact=exact) for exact in (False, True)] == [True, False]


def test_passages_that_left_do_not_hide_others_in_the_index(
    dsn: str,
    open_store: Callable[..., PostgresStore],
    make: Maker,
    monkeypatch: pytest.MonkeyPatch,
    postgres: Cluster,
) -> None:
    monkeypatch.setattr(upkeep, "INDEX_ROWS", 1)
    # Or so few would simply be compared with all.
    postgres.execute("ALTER DATABASE test SET enable_seqscan = off")
    store = open_store()
    near = [make.document(f"n{n:04}", f"zebra zebra zebra {n}") for n in range(1200)]
    far = [make.document(f"f{n}", f"ledger of payments {n}") for n in range(30)]
    store.commit(make.batch("b1", *near, *far))
    assert store.optimise(ended=True)
    store.commit(make.batch("b2", remove=tuple(document.id for document in near)))
    found = store.search("zebra", make.vector("zebra"), k=10, mode="vector")
    assert len({hit.text for hit in found}) == 10


def test_an_index_that_is_not_wanted_any_more_is_broken_off(
    open_store: Callable[..., PostgresStore], make: Maker, monkeypatch: pytest.MonkeyPatch, postgres: Cluster
) -> None:
    monkeypatch.setattr(upkeep, "INDEX_ROWS", 1)
    store, stop = open_store(), Stop()
    store.commit(make.batch("b1", make.document("d1", FOX)))

    def stop_it() -> None:
        sleeping = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
        while not postgres.execute(sleeping):
            pass
        stop.request()

    stopping = threading.Thread(target=stop_it)

    def build(server: Any) -> None:
        stopping.start()
        server.execute("SELECT pg_sleep(60)")

    with indexing(store, build):
        assert not store.optimise(idle=True, stop=stop)
    stopping.join()
    assert (store.count(), store.compact()) == (1, (1, 1))


def test_who_wants_an_index_broken_off_waits_for_no_server(
    open_store: Callable[..., PostgresStore], make: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "INDEX_ROWS", 1)
    store, stop = open_store(), Stop()
    store.commit(make.batch("b1", make.document("d1", FOX)))
    gone_on, waited = threading.Event(), []

    def cancel_safe(_: Any, *, timeout: float = 30) -> None:
        waited.append((gone_on.wait(30), timeout))
        raise psycopg.errors.CancellationTimeout("cancellation timeout expired")

    async def work_arrives() -> None:
        stop.request()
        stop.request()

    def build(server: Any) -> None:
        loop.run_until_complete(work_arrives())
        gone_on.set()
        server.execute("SELECT 1")

    monkeypatch.setattr(psycopg.Connection, "cancel_safe", cancel_safe)
    with closing(asyncio.new_event_loop()) as loop, indexing(store, build):
        assert store.optimise(idle=True, stop=stop), "nobody broke it off"
    assert waited == [(True, 5)]


def test_breaking_off_an_index_that_is_done_does_not_break_off_a_commit(
    open_store: Callable[..., PostgresStore], make: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "INDEX_ROWS", 1)
    store, stop, built = open_store(), Stop(), []
    store.commit(make.batch("b1", make.document("d1", FOX)))
    cancel_safe, cancelling, go_on = psycopg.Connection.cancel_safe, threading.Event(), threading.Event()

    def late(server: Any, **options: Any) -> None:
        cancelling.set()
        assert go_on.wait(30)
        cancel_safe(server, **options)

    def build(server: Any) -> None:
        server.execute("SELECT 1")
        stop.request()

    def waits_for_a_thread(thread: threading.Thread) -> bool:
        frame = sys._current_frames().get(thread.ident or 0)
        return frame is not None and any(
            inner.f_code is threading.Thread.join.__code__ for inner, _ in traceback.walk_stack(frame)
        )

    monkeypatch.setattr(psycopg.Connection, "cancel_safe", late)
    builder = threading.Thread(target=lambda: built.append(store.optimise(idle=True, stop=stop)))
    with indexing(store, build):
        builder.start()
        cancelling.wait()
        while builder.is_alive() and not waits_for_a_thread(builder):
            pass
        free = store._writer._lock.acquire(blocking=False)
        go_on.set()
        builder.join()
    assert not free, "a commit could have begun"
    assert built == [True]
    store.commit(make.batch("b2", make.document("d2", SEA)))


def test_a_text_that_was_changed_behind_its_back_is_damage(
    open_store: Callable[..., PostgresStore], make: Maker, postgres: Cluster
) -> None:
    store = open_store()
    store.commit(make.batch("b1", make.document("d1", FOX), make.document("d2", SEA), make.document("d3", "a \0 b")))
    postgres.execute("UPDATE tenire.passages SET text = 'other' WHERE document = 'd1'", database="test")
    postgres.execute("UPDATE tenire.passages SET original = '\\xff' WHERE document = 'd3'", database="test")
    check = store.check()
    assert check.damaged == {"d1", "d3"}
    assert any("not the one that was stored" in detail for detail in check.details)
    assert dict(check.passages) == {"d1": 1, "d2": 1, "d3": 1}


def test_a_vector_without_a_direction_is_far_from_everything(
    open_store: Callable[..., PostgresStore], make: Maker
) -> None:
    store = open_store()
    batch = make.batch("b1", make.document("empty", BOOK), make.document("fox", FOX))
    assert batch.vectors is not None
    batch.vectors[0] = 0
    store.commit(batch)
    hits = store.search("fox", make.vector(FOX), k=2, mode="vector")
    assert [(hit.document, hit.score > 0.9) for hit in hits] == [("fox", True), ("empty", False)]


def test_another_embedder_is_no_way_to_go_over_to(open_store: Callable[..., PostgresStore]) -> None:
    with pytest.raises(EmbedderMismatchError), closing(open_store()):
        open_store(embedder="minilm")
