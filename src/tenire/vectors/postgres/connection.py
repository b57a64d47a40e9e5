"""One connection to a store's server.

It is made when it is needed, and made again if it broke. What is done on it is a function of
one transaction, which can be done again: if the connection breaks in the middle, nobody knows
whether the transaction was committed, so it is simply asked for once more.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

from tenire.errors import MissingExtraError, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tenire.protocols import StopSign
    from tenire.vectors.postgres.address import ServerAddress

__all__ = ["Connection"]

T = TypeVar("T")

_CONNECT_S = 10
# A killed engine's last transaction ends within a moment, unless its machine is gone without a word:
# then the server gives it up after the first of these, and whoever waits for it gets on before the second.
_IDLE_S = 60
_LOCK_S = 90
# The same where one side waits for the other in the middle of a statement: who has acknowledged nothing for a minute
# is gone. Named as libpq does; in seconds, probes, and the last in milliseconds.
_KEEPALIVE = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3, "tcp_user_timeout": 60_000}
_CANCEL_S = 5


class Connection:
    """A connection that threads may share; they take turns.

    Args:
        address: The server.
        prepare: Called with each new connection before it is used, outside of any transaction.
        snapshot: Whether transactions only read, each in one view of the database.
    """

    def __init__(
        self, address: ServerAddress, prepare: Callable[[Any], object] = lambda _: None, *, snapshot: bool = False
    ) -> None:
        self._address = address
        self._prepare = prepare
        self._snapshot = snapshot
        self._lock = threading.RLock()
        self._connection: Any = None
        self._inside = False

    def run(self, action: str, fn: Callable[[Any], T]) -> T:
        """Return what a function does in one transaction, or in the one that this thread has open.

        Args:
            action: What it does, as a verb, for errors.
            fn: Takes psycopg's connection. It is called again if the connection broke.

        Raises:
            StoreError: If the server cannot be reached, or refuses.
        """
        with self._lock, self._explained(action):
            if self._inside:
                return fn(self._connection)
            try:
                return self._transaction(fn)
            except _psycopg().OperationalError:
                if self._connection is None or not self._connection.closed:
                    raise
            # The server was started again, or had enough of an idle connection.
            return self._transaction(fn)

    def alone(self, action: str, fn: Callable[[Any], T]) -> T:
        """Return what a function does outside of any transaction."""
        with self._lock, self._explained(action):
            return fn(self._opened())

    @contextmanager
    def held(self, action: str) -> Iterator[None]:
        """Have all that this thread does in the block done in one transaction; other threads wait meanwhile."""
        with self._lock:
            if self._inside:
                yield
                return
            with self._explained(action), self._opened().transaction():
                self._inside = True
                try:
                    yield
                finally:
                    self._inside = False

    @contextmanager
    def cancelled_by(self, stop: StopSign) -> Iterator[None]:
        """Have the server break off what it does in the block, as soon as that has to stop.

        The block belongs into a transaction, so that no other thread gets the connection before it is left.
        """
        connection, errors = self._connection, _psycopg()

        def cancel() -> None:
            with suppress(errors.Error):
                connection.cancel_safe(timeout=_CANCEL_S)

        # It connects to the server once more, and whoever says stop shall not wait for that.
        canceller = threading.Thread(target=cancel, name="tenire-cancel", daemon=True)

        def ask() -> None:
            if canceller.ident is None:
                canceller.start()

        try:
            with stop.calling(ask):
                yield
        finally:
            # Or it could break off what is done next on the connection.
            if canceller.ident is not None:
                canceller.join()

    def close(self) -> None:
        """Let go of the connection; a later call makes it again."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
            self._connection = None

    def _transaction(self, fn: Callable[[Any], T]) -> T:
        connection = self._opened()
        with connection.transaction():
            self._inside = True
            try:
                return fn(connection)
            finally:
                self._inside = False

    def _opened(self) -> Any:
        if self._connection is None or self._connection.closed:
            self._connection = None
            connection = _connect(self._address)
            try:
                self._prepare(connection)
                levels = _psycopg().IsolationLevel
                connection.isolation_level = levels.REPEATABLE_READ if self._snapshot else levels.READ_COMMITTED
                connection.read_only = self._snapshot
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    @contextmanager
    def _explained(self, action: str) -> Iterator[None]:
        errors = _psycopg()
        try:
            yield
        except errors.Error as error:
            told = " ".join(str(error).split())
            message = f"cannot {action} the store {self._address.shown}: {told or type(error).__name__}"
            raise StoreError(message, hint=_remedy(error, told)) from error


def _connect(address: ServerAddress) -> Any:
    psycopg = _psycopg()
    try:
        options = psycopg.conninfo.conninfo_to_dict(address.dsn)
    except psycopg.ProgrammingError:
        # What libpq says of it repeats a part of it, which may be the password.
        message = f"PostgreSQL does not understand the address {address.shown}"
        raise StoreError(message, hint="postgresql://USER@HOST:PORT/DATABASE?OPTION=VALUE") from None
    usual = {"connect_timeout": _CONNECT_S, "application_name": "tenire", **_KEEPALIVE}
    connection = psycopg.connect(**{**usual, **options}, autocommit=True, prepare_threshold=None)
    # A server ignores these, as libpq does, where the connection is a Unix-domain socket.
    keepalive = "".join(
        f" set_config('{name.replace('keepalives', 'tcp_keepalives')}', '{value}', false),"
        for name, value in _KEEPALIVE.items()
    )
    try:
        # As long as a connection lasts. A server that does not wait for its disk may forget what the ledger knows.
        connection.execute(
            f"SELECT set_config('idle_in_transaction_session_timeout', '{_IDLE_S}s', false),"
            f" set_config('lock_timeout', '{_LOCK_S}s', false), set_config('statement_timeout', '0', false),{keepalive}"
            " set_config('client_min_messages', 'warning', false), set_config('synchronous_commit', CASE"
            " current_setting('synchronous_commit') WHEN 'off' THEN 'on' ELSE current_setting('synchronous_commit')"
            " END, false)"
        )
        with suppress(psycopg.Error):
            # An index that is built for nobody would keep the next engine waiting. Not every server can tell.
            connection.execute("SET client_connection_check_interval = '1s'")
    except BaseException:
        connection.close()
        raise
    return connection


def _psycopg() -> Any:
    try:
        import psycopg
        import psycopg.conninfo
    except ImportError as error:
        raise MissingExtraError("a store on a PostgreSQL server", extra="postgres", missing="psycopg") from error
    return psycopg


def _remedy(error: Exception, told: str) -> str:
    state = getattr(error, "sqlstate", None) or ""
    if "password" in told or state.startswith("28"):
        return "give the password in PGPASSWORD or in ~/.pgpass: a home does not keep it"
    if state == "42501":
        return "the user needs the right to create in the database, or, once the store is made, the schema tenire"
    if state == "55P03":
        return "another connection holds the store: see pg_stat_activity of the server, then run the same again"
    if state == "2BP01":
        return "drop what others have made of tenire.passages, such as views, then run the same again"
    if state[:2] in ("53", "58"):
        return "see that the server has room on its disk and memory, then run the same again"
    return "see that the server runs and may be reached, then run the same again"
