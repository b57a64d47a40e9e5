"""Another embedder for a store on a server; what ``vectors.embedder_upgrade`` is for one in a directory.

::

    upgrade says which ─► new vectors in upgrade_vectors, a few at a time ─► upgraded: the whole table anew,
        with its indexes ─► it becomes passages: the switch, one transaction

Rules:

1. Nothing that searches look at is touched before the switch.
2. Keys, texts and words stay what they are: only vectors are new.
3. It may be cut off at any point, and the next attempt with the same embedder goes on. New vectors are
   kept by the key of their passage, and no key is ever given to another one: so passages may come and
   leave meanwhile. The table is made of them again each time.
4. That table is committed before the switch begins. A search that the switch keeps waiting looks at the
   new table with the eyes of the moment at which it came: it would not see rows of the switch itself.
5. Each step is a transaction that can be done twice; see ``connection``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tenire.errors import StoreError
from tenire.vectors.postgres.commit import WRITERS_LOCK, binary_vectors
from tenire.vectors.postgres.looking import text_of
from tenire.vectors.postgres.schema import WORDS_INDEX, passages_table, require_indexable
from tenire.vectors.postgres.upkeep import INDEX_ROWS, build_index

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from tenire.vectors.postgres.connection import Connection

__all__ = ["ServerUpgrade"]

_AT_ONCE = 512
_COPIED = "document, ordinal, key, start, stop, source, place, text, original, text_hash, words"
_LEFT = "SELECT key FROM tenire.passages EXCEPT SELECT key FROM tenire.upgrade_vectors"
_CHANGED = (
    "SELECT EXISTS (SELECT key FROM tenire.passages EXCEPT SELECT key FROM tenire.upgraded)"
    " OR EXISTS (SELECT key FROM tenire.upgraded EXCEPT SELECT key FROM tenire.passages)"
)
# Of the owner's rights there is no need to say anything; a role that is not there any more has none.
_RIGHTS = (
    "SELECT format('GRANT %s ON tenire.upgraded TO %s', privilege_type, CASE grantee WHEN 0 THEN 'PUBLIC' ELSE"
    " quote_ident(pg_get_userbyid(grantee)) END) FROM pg_class, aclexplode(relacl)"
    " WHERE oid = 'tenire.passages'::regclass AND grantee <> relowner"
)


class ServerUpgrade:
    """One upgrade. Its methods block and are called one after the other, by whoever holds the home.

    Args:
        writer: The connection that commits go through.
        shown: Where the store is, for errors.
        embedder: Identity of the embedder that it goes over to.
        dimension: Length of its vectors.
        switched: Called after the switch.

    Raises:
        StoreError: If the vectors are too long for a server.
    """

    def __init__(
        self, writer: Connection, shown: str, *, embedder: str, dimension: int, switched: Callable[[], object]
    ) -> None:
        require_indexable(dimension)
        self._writer = writer
        self._shown = shown
        self._wanted = (embedder, dimension)
        self._switched = switched
        self._left: list[int] = []
        self._given: list[int] = []

    def begin(self) -> int:
        """Find out what has to be done, and return the number of passages that are to be embedded.

        Raises:
            StoreError: If the store cannot be read or written.
        """
        self._left = self._writer.run("write", self._begin)
        return len(self._left)

    def texts(self) -> list[str]:
        """Return the next texts to embed; none when all are done.

        Raises:
            StoreError: If they cannot be read.
        """
        keys = [self._left.pop() for _ in range(min(_AT_ONCE, len(self._left)))]
        if not keys:
            return []
        query = "SELECT key, text, original FROM tenire.passages WHERE key = ANY(%s) ORDER BY key"
        rows = self._writer.run("read", lambda connection: connection.execute(query, (keys,)).fetchall())
        self._given = [key for key, _, _ in rows]
        return [text_of(text, original) for _, text, original in rows]

    def add(self, vectors: NDArray[np.float32]) -> None:
        """Keep the vectors of the texts that were handed out last, of shape ``(n, dimension)``.

        Raises:
            ValueError: If they do not fit.
            StoreError: If they cannot be written.
        """
        keys, expected = self._given, (len(self._given), self._wanted[1])
        if vectors.shape != expected:
            message = f"an upgrade needs vectors of shape {expected}, got {vectors.shape}"
            raise ValueError(message)

        def write(connection: Any) -> None:
            connection.execute("DELETE FROM tenire.upgrade_vectors WHERE key = ANY(%s)", (keys,))
            command = "COPY tenire.upgrade_vectors (key, vector) FROM STDIN (FORMAT BINARY)"
            with connection.cursor().copy(command) as copy:
                copy.set_types(("int8", "bytea"))
                for row in zip(keys, binary_vectors(vectors), strict=True):
                    copy.write_row(row)

        self._writer.run("write", write)

    def switch(self) -> None:
        """Put the new vectors in the place of the old ones.

        Raises:
            StoreError: If not all passages were embedded, or it cannot be written.
        """
        self._writer.run("write", self._put_together)
        self._writer.run("write", self._swap)
        self._switched()

    def _begin(self, connection: Any) -> list[int]:
        connection.execute(WRITERS_LOCK)
        connection.execute(
            "CREATE TABLE IF NOT EXISTS tenire.upgrade (embedder text NOT NULL, dimension integer NOT NULL)"
        )
        if connection.execute("SELECT embedder, dimension FROM tenire.upgrade").fetchone() != self._wanted:
            connection.execute("TRUNCATE tenire.upgrade")
            connection.execute("INSERT INTO tenire.upgrade (embedder, dimension) VALUES (%s, %s)", self._wanted)
            connection.execute("DROP TABLE IF EXISTS tenire.upgrade_vectors, tenire.upgraded")
            connection.execute(
                "CREATE TABLE tenire.upgrade_vectors"
                f" (key bigint PRIMARY KEY, vector halfvec({self._wanted[1]:d}) NOT NULL)"
            )
        return [key for (key,) in connection.execute(f"{_LEFT} ORDER BY key DESC")]

    def _put_together(self, connection: Any) -> None:
        connection.execute(WRITERS_LOCK)
        if connection.execute(f"SELECT EXISTS ({_LEFT})").fetchone()[0]:
            raise self._changed()
        connection.execute("DROP TABLE IF EXISTS tenire.upgraded")
        for statement in passages_table("upgraded", self._wanted[1]):
            connection.execute(statement)
        rows = connection.execute(
            f"INSERT INTO tenire.upgraded ({_COPIED}, vector) OVERRIDING SYSTEM VALUE"
            f" SELECT {_COPIED}, added.vector FROM (SELECT {_COPIED} FROM tenire.passages) AS kept"
            " JOIN tenire.upgrade_vectors AS added USING (key) ORDER BY key"
        ).rowcount
        connection.execute(
            "SELECT setval(pg_get_serial_sequence('tenire.upgraded', 'key'),"
            " pg_sequence_last_value(pg_get_serial_sequence('tenire.passages', 'key')::regclass))"
        )
        for (grant,) in connection.execute(_RIGHTS).fetchall():
            connection.execute(grant)
        connection.execute(WORDS_INDEX.format(table="upgraded"))
        if rows >= INDEX_ROWS:
            build_index(connection, rows, self._wanted[1], table="upgraded")

    def _swap(self, connection: Any) -> None:
        connection.execute(WRITERS_LOCK)
        if connection.execute("SELECT to_regclass('tenire.upgraded')").fetchone()[0] is None:
            return  # it was done, and the answer to that was lost
        if connection.execute(_CHANGED).fetchone()[0]:
            raise self._changed()
        connection.execute("DROP TABLE tenire.passages, tenire.upgrade_vectors, tenire.upgrade")
        connection.execute("ALTER TABLE tenire.upgraded RENAME TO passages")
        connection.execute("ALTER SEQUENCE tenire.upgraded_key_seq RENAME TO passages_key_seq")
        names = "SELECT indexname FROM pg_indexes WHERE schemaname = 'tenire' AND tablename = 'passages'"
        for (name,) in connection.execute(names).fetchall():
            connection.execute(f'ALTER INDEX tenire."{name}" RENAME TO "{name.replace("upgraded", "passages")}"')
        connection.execute("UPDATE tenire.store SET embedder = %s, dimension = %s", self._wanted)

    def _changed(self) -> StoreError:
        message = f"the store at {self._shown} changed while it was given another embedder"
        return StoreError(message, hint="run the same command again: what was embedded is kept")
