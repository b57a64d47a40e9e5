"""A PostgreSQL server of one's own for as long as a test or a measurement takes.

    with Cluster() as cluster:
        dsn = cluster.database("notes")

Its data lie in a temporary directory, it listens on a socket in there only unless it is given
a port, and it runs under an unprivileged user. It needs PostgreSQL with the pgvector extension (Debian:
``postgresql-17`` and ``postgresql-17-pgvector``) and the extra ``postgres``; ``unavailable`` says what is missing.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pwd
    from types import TracebackType

OWNER = "tester"
"""Name of the role that owns everything."""

_SETTINGS = {
    "listen_addresses": "",
    "max_connections": "40",
    "shared_buffers": "64MB",
    "lc_messages": "C",
}
_START_S = 60
_NO_USER = "root cannot run PostgreSQL, and there is neither a user postgres nor nobody"


def unavailable() -> str:
    """Return why there can be no cluster here, or nothing if there can be one."""
    if sys.platform == "win32":
        return "a private PostgreSQL server is not started on Windows"
    if find_spec("psycopg") is None:
        return "needs the extra postgres"
    if _programs() is None:
        return "needs PostgreSQL with pgvector (Debian: postgresql-17 postgresql-17-pgvector)"
    return _NO_USER if os.geteuid() == 0 and _user() is None else ""


def _programs() -> Path | None:
    """Return the directory of the newest server that has pgvector."""
    found = sorted(Path("/usr/lib/postgresql").glob("[0-9]*/bin"), key=lambda path: int(path.parent.name), reverse=True)
    on_path = shutil.which("initdb")
    for folder in [*found, *([Path(on_path).resolve().parent] if on_path else [])]:
        config = folder / "pg_config"
        if not (folder / "initdb").exists() or not config.exists():
            continue
        told = subprocess.run([str(config), "--sharedir"], capture_output=True, text=True, check=False).stdout.strip()
        # Debian's pg_config of one version speaks for all.
        shares = (Path(told), Path("/usr/share/postgresql") / folder.parent.name)
        if any((share / "extension" / "vector.control").exists() for share in shares):
            return folder
    return None


def _user() -> pwd.struct_passwd | None:
    import pwd  # there is none on Windows

    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    return None


def _end_with_parent() -> None:
    """Have the system stop the server if the test is killed; on Linux."""
    if sys.platform == "linux":
        set_death_signal = 1
        ctypes.CDLL(None).prctl(set_death_signal, signal.SIGINT)


class Cluster:
    """A server; a context manager.

    Args:
        durable: Whether it waits for the disk, as servers do that matter; without, it is quicker.
        port: Listen on this port of 127.0.0.1 too, and have addresses name it.

    Attributes:
        folder: Where its data and its socket are.
    """

    def __init__(self, *, durable: bool = False, port: int | None = None) -> None:
        self._durable = durable
        self._port = port
        self._process: subprocess.Popen[bytes] | None = None
        self._as: dict[str, Any] = {}

    def __enter__(self) -> Cluster:
        programs = _programs()
        assert programs is not None, unavailable()
        # Not below a directory of the caller's, which another user may not enter.
        self.folder = Path(tempfile.mkdtemp(prefix="tenire-postgres-"))
        try:
            if os.geteuid() == 0:
                user = _user()
                assert user is not None, _NO_USER
                os.chown(self.folder, user.pw_uid, user.pw_gid)
                self._as = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
            self._programs = programs
            # --no-sync: nothing of it outlives the test.
            command = [
                programs / "initdb", "-D", self.folder / "data", "-U", OWNER, "-A", "trust", "-E", "UTF8",
                "--locale=C.UTF-8", "--no-sync", "--no-instructions",
            ]  # fmt: skip
            subprocess.run([*map(str, command)], check=True, capture_output=True, cwd=self.folder, **self._as)
            self.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        settings = {**_SETTINGS, "unix_socket_directories": str(self.folder)}
        if not self._durable:
            settings |= {"fsync": "off", "full_page_writes": "off"}
        if self._port is not None:
            settings |= {"listen_addresses": "127.0.0.1", "port": str(self._port)}
        words = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        command = [str(self._programs / "postgres"), "-D", str(self.folder / "data"), *words]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=self.folder,
                preexec_fn=_end_with_parent, **self._as,
            )  # fmt: skip
        ready = [str(self._programs / "pg_isready"), "-q", "-h", str(self.folder), "-d", "postgres", "-U", OWNER]
        ready += [] if self._port is None else ["-p", str(self._port)]
        for _ in range(20 * _START_S):
            if subprocess.run(ready, check=False).returncode == 0:
                return
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(0.05)
                break
        raise RuntimeError(f"PostgreSQL did not start:\n{(self.folder / 'log').read_text()}")

    def stop(self, *, how: signal.Signals = signal.SIGINT) -> None:
        """Stop the server: quickly and cleanly with SIGINT, as in a power cut with SIGQUIT."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait()
            self._process = None

    def dsn(self, database: str = "postgres", *, user: str = OWNER, password: str = "") -> str:
        """Return the address of a database."""
        secret = f":{password}" if password else ""
        if self._port is not None:
            return f"postgresql://{user}{secret}@127.0.0.1:{self._port}/{database}"
        return f"postgresql://{user}{secret}@/{database}?host={self.folder}"

    def database(self, name: str) -> str:
        """Make an empty database, in the place of one of the same name, and return its address."""
        self.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)', f'CREATE DATABASE "{name}" TEMPLATE template0')
        return self.dsn(name)

    def execute(self, *statements: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run statements as the owner; return the rows of the last one."""
        import psycopg

        with psycopg.connect(self.dsn(database), autocommit=True) as connection:
            for statement in statements:
                cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []
