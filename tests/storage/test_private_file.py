"""Databases are for their owner only."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tenire.storage.database import Database
from tenire.storage.home import Home
from tenire.storage.ledger import Ledger
from tenire.storage.private_file import make_private, withdraw
from tenire.storage.shared_file import SharedFile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there, the directory decides")


def modes(folder: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir() if path.name.count(".db")}


@pytest.fixture(autouse=True)
def usual_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def test_a_new_ledger_and_what_lies_beside_it_are_for_their_owner_only(tmp_path: Path) -> None:
    ledger = Ledger.open(Home(tmp_path))
    assert modes(tmp_path) == dict.fromkeys(("ledger.db", "ledger.db-wal", "ledger.db-shm"), 0o600)
    ledger.close()


def test_one_that_others_could_read_is_withdrawn_from_them(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    Ledger.open(Home(tmp_path)).close()
    path.chmod(0o644)
    # Somebody was killed while it was open: what lies beside it is still there.
    code = (
        "import os, sqlite3, sys; c = sqlite3.connect(sys.argv[1]);"
        "c.execute('CREATE TABLE one (x)'); c.commit(); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)
    assert modes(tmp_path) == dict.fromkeys(("ledger.db", "ledger.db-wal", "ledger.db-shm"), 0o644)
    ledger = Ledger.open(Home(tmp_path))
    assert modes(tmp_path) == dict.fromkeys(("ledger.db", "ledger.db-wal", "ledger.db-shm"), 0o600)
    ledger.close()


def test_what_all_programs_share_is_for_its_owner_only(tmp_path: Path) -> None:
    file = SharedFile(tmp_path / "shared.db", application_id=1, tables=("CREATE TABLE one (x)",))
    with file.writing():
        pass
    assert set(modes(tmp_path).values()) == {0o600}
    file.close()


def test_a_file_of_something_else_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE mine (x)")
    connection.close()
    before = modes(tmp_path)
    Database(path, writable=True, write_ahead_log=False).close()
    assert modes(tmp_path) == before == {"ledger.db": 0o644}


def test_making_one_that_is_there_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "some.db"
    path.write_bytes(b"something")
    make_private(path)
    assert path.read_bytes() == b"something"
    make_private(tmp_path / "missing" / "some.db")
    withdraw(tmp_path / "missing" / "some.db")
    assert [entry.name for entry in tmp_path.iterdir()] == ["some.db"]
