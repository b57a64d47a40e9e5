"""What a store on a server consists of, and what it was built with.

Everything is in the schema ``tenire`` of one database:

- ``store``: one row. What it was built with, whose it is; the one who writes holds a lock on it.
- ``batches``: what was committed, by id.
- ``passages``: one row each, with its words and its vector. ``text`` is for people and for
  other programs; where PostgreSQL cannot hold a text as it is, ``original`` does. ``spelled`` is
  how words come in: the server makes ``words`` of it, and leaves it empty.
- ``words``: how texts become words: as they are, without endings, none is left out.
- ``upgrade``, ``upgrade_vectors``, ``upgraded``: what ``embedder_upgrade`` has done so far.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from tenire.errors import EmbedderMismatchError, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tenire.vectors.postgres.address import ServerAddress

__all__ = [
    "WORDS_INDEX", "ServerFormat", "make", "open_format", "passages_table", "prepare", "prepare_maker",
    "read_server_format", "require_indexable",
]  # fmt: skip

FORMAT = 1
_LEAST_PGVECTOR = (0, 7)
_ITERATES = (0, 8)
_INLINE = 1536
"""Numbers of a vector up to which it stays in its row: a row has room for 8 KiB."""
_MOST_NUMBERS = 4000
"""As many as pgvector can index."""
WORDS_INDEX = "CREATE INDEX {table}_words ON tenire.{table} USING gin (words)"
_TOKENS = (
    "asciihword, asciiword, float, hword, hword_asciipart, hword_numpart, hword_part, int, numhword, numword, sfloat,"
    " uint, version, word"
)


class ServerFormat(NamedTuple):
    """What a store was built with.

    Attributes:
        embedder: Identity of the embedder.
        dimension: Length of a vector.
        owner: Id of the home that it belongs to, or an empty string.
    """

    embedder: str
    dimension: int
    owner: str = ""


def prepare(connection: Any) -> None:
    """Make a new connection find the types of pgvector, wherever they are installed."""
    row = connection.execute(
        "SELECT n.nspname, e.extversion FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace"
        " WHERE e.extname = 'vector'"
    ).fetchone()
    if row is None:
        return
    schema, version = row
    known = tuple(int(part) for part in version.split(".")[:2])
    if known < _LEAST_PGVECTOR:
        message = f"a store needs pgvector 0.7 or later on its server, which has {version}"
        raise StoreError(message, hint="install it there, and run: ALTER EXTENSION vector UPDATE")
    connection.execute("SELECT set_config('search_path', quote_ident(%s), false)", (schema,))
    if known >= _ITERATES:
        # Passages that left stay in the index for a while, and must not take the place of others.
        connection.execute("SET hnsw.iterative_scan = strict_order")


def prepare_maker(connection: Any) -> None:
    """Make a new connection wait for any other that may be making the store, as long as it lasts."""
    # Before the transaction begins: one that waited inside would not see what the other has made.
    connection.execute("SELECT pg_advisory_lock(hashtext('tenire'))")
    prepare(connection)


def read_server_format(connection: Any) -> ServerFormat | None:
    """Return what the store was built with, or ``None`` if there is none.

    Raises:
        StoreError: If it is of a newer Tenire.
    """
    if connection.execute("SELECT to_regclass('tenire.store')").fetchone()[0] is None:
        return None
    row = connection.execute("SELECT format, embedder, dimension, owner FROM tenire.store").fetchone()
    if row is None:
        return None
    if row[0] != FORMAT:
        message = f"the schema tenire says format {row[0]}, this Tenire knows format {FORMAT}"
        raise StoreError(message, hint="use the Tenire that made this store, or ingest into another database")
    return ServerFormat(*row[1:])


def make(connection: Any, wanted: ServerFormat) -> ServerFormat:
    """Make the store in the transaction that is open, and return what it is built with."""
    require_indexable(wanted.dimension)
    if connection.execute("SELECT current_setting('server_encoding')").fetchone()[0] != "UTF8":
        message = "the database of a store must have the encoding UTF8"
        raise StoreError(message, hint="CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0")
    _add_pgvector(connection)
    prepare(connection)
    for statement in (
        "CREATE SCHEMA IF NOT EXISTS tenire",
        "CREATE TEXT SEARCH DICTIONARY tenire.stem (TEMPLATE = pg_catalog.snowball, Language = english)",
        'CREATE TEXT SEARCH CONFIGURATION tenire.words (PARSER = pg_catalog."default")',
        f"ALTER TEXT SEARCH CONFIGURATION tenire.words ADD MAPPING FOR {_TOKENS} WITH tenire.stem",
        "CREATE TABLE tenire.store (one boolean PRIMARY KEY DEFAULT true CHECK (one), format integer NOT NULL,"
        " embedder text NOT NULL, dimension integer NOT NULL, owner text NOT NULL)",
        "CREATE TABLE tenire.batches (id text PRIMARY KEY)",
        "CREATE FUNCTION tenire.take_words() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " NEW.words := pg_catalog.to_tsvector('tenire.words', NEW.spelled); NEW.spelled := NULL; RETURN NEW; END $$",
        *passages_table("passages", wanted.dimension),
        WORDS_INDEX.format(table="passages"),
    ):
        connection.execute(statement)
    connection.execute(
        "INSERT INTO tenire.store (format, embedder, dimension, owner) VALUES (%s, %s, %s, %s)", (FORMAT, *wanted)
    )
    return wanted


def passages_table(name: str, dimension: int) -> Iterator[str]:
    """Return the statements that make a table of passages, without the indexes that searches need."""
    storage = " STORAGE PLAIN" if dimension <= _INLINE else ""
    yield (
        f"CREATE TABLE tenire.{name} (document text NOT NULL, ordinal integer NOT NULL,"
        " key bigint GENERATED ALWAYS AS IDENTITY UNIQUE, start bigint NOT NULL, stop bigint NOT NULL,"
        " source text NOT NULL, place text, text text NOT NULL, original bytea, text_hash bytea NOT NULL,"
        f" words tsvector NOT NULL, vector halfvec({dimension:d}){storage} NOT NULL, spelled text,"
        # To compress the words of rows of usual length costs more time than room.
        " PRIMARY KEY (document, ordinal)) WITH (toast_tuple_target = 4080)"
    )
    yield (
        f"CREATE TRIGGER take_words BEFORE INSERT ON tenire.{name} FOR EACH ROW WHEN (NEW.spelled IS NOT NULL)"
        " EXECUTE FUNCTION tenire.take_words()"
    )


def require_indexable(dimension: int) -> None:
    """Refuse vectors that are longer than what pgvector can index.

    Raises:
        StoreError: If they are.
    """
    if dimension > _MOST_NUMBERS:
        message = f"a store on a server has vectors of up to {_MOST_NUMBERS} numbers, this embedder makes {dimension}"
        raise StoreError(message, hint="use another embedder, or a store in a directory")


def open_format(
    connection: Any,
    address: ServerAddress,
    dimension: int | None,
    embedder: str | None,
    owner: str | None,
    *,
    create: bool,
) -> ServerFormat:
    """Return what the store is built with; make it if that is asked for.

    Args:
        connection: In a transaction.
        address: For errors.
        dimension: Length of a vector that the caller works with, or ``None`` for the store's.
        embedder: Identity of the embedder that the caller works with, or ``None`` for the store's.
        owner: Id of the home that it has to belong to, or ``None`` for any.
        create: Whether to make it if there is none.

    Raises:
        StoreError: If there is none and none shall be made, if it belongs to another home, or
            cannot be used.
        EmbedderMismatchError: If it was built with something else.
    """
    stored = read_server_format(connection)
    if stored is None:
        if not create or dimension is None or embedder is None:
            raise StoreError(f"no store at {address.shown}", hint="run: tenire ingest PATH")
        stored = make(connection, ServerFormat(embedder, dimension, owner or ""))
    if owner is not None and stored.owner != owner:
        message = f"the store at {address.shown} belongs to another home"
        raise StoreError(message, hint="use that home, or another database")
    asked = (embedder or stored.embedder, dimension or stored.dimension)
    if asked != (stored.embedder, stored.dimension):
        message = (
            f"the store at {address.shown} was built with the embedder {stored.embedder} ({stored.dimension}"
            f" dimensions), not with {asked[0]} ({asked[1]})"
        )
        hint = (
            "use the same embedder, embed all again with --upgrade-embedder, or ingest into another home and database"
        )
        raise EmbedderMismatchError(message, stored=stored.embedder, asked=asked[0], hint=hint)
    return stored


def _add_pgvector(connection: Any) -> None:
    there = "SELECT 1 FROM pg_available_extensions WHERE name = 'vector'"
    if connection.execute(there).fetchone() is None:
        message = "a store needs the extension pgvector, which is not installed on the server"
        raise StoreError(message, hint="install it there (Debian: apt install postgresql-17-pgvector)")
    connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
