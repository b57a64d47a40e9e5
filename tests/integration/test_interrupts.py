"""Ctrl-C, SIGTERM, and workers that are killed."""

from __future__ import annotations

import signal
import sqlite3
import sys
from typing import TYPE_CHECKING

import psutil
import pytest

from .conftest import Command, Tenire, left_of, wait_until
from .scripts import at_once

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .conftest import Ended

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no process groups with signals")


def committed(command: Command) -> Callable[[], bool]:
    """Whether something is stored by now."""

    def look() -> bool:
        path = command.home / "ledger.db"
        if not path.exists() or command.process.poll() is not None:
            return command.process.poll() is not None
        connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
        try:
            return bool(connection.execute("SELECT 1 FROM documents LIMIT 1").fetchone())
        except sqlite3.OperationalError:  # being made just now
            return False
        finally:
            connection.close()

    return look


def reading(command: Command) -> Callable[[], bool]:
    """Whether worker processes are at work."""
    return lambda: len(command.workers()) >= 2


def loading(command: Command) -> Callable[[], bool]:
    """Whether the command has begun, which has nothing to end yet."""
    return command.home.exists


def interrupted(command: Command) -> Ended:
    command.interrupt()
    return command.ended()


def interrupted_twice(command: Command) -> Ended:
    command.interrupt()
    return interrupted(command)


def terminated(command: Command) -> Ended:
    command.process.terminate()
    return command.ended()


class Runs:
    """Starts runs, each on a home of its own, to be ended at a moment."""

    def __init__(self, tenire: Tenire, library: Path, moment: Callable[[Command], Callable[[], bool]]) -> None:
        self.tenire = tenire
        self.family: list[psutil.Process] = []
        self._library = library
        self._moment = moment
        self._first = tenire.home

    def __call__(self) -> Command:
        self.tenire.home = self._first.with_name(f"home{len(self.tenire.started)}")
        command = self.tenire.start("ingest", self._library, "--embedder", "static")
        wait_until(self._moment(command))
        self.family = command.family()
        return command


@pytest.mark.parametrize(
    ("end", "moment"), [(interrupted, committed), (terminated, reading)], ids=["ctrl-c", "sigterm"]
)
def test_an_interrupted_run_ends_clean_and_the_next_one_completes_it(
    tenire: Tenire,
    library: Path,
    end: Callable[[Command], Ended],
    moment: Callable[[Command], Callable[[], bool]],
) -> None:
    runs = Runs(tenire, library, moment)
    ended = at_once(runs, end)
    assert left_of(runs.family) == []
    assert ended.code == 130, ended.err
    assert "Traceback" not in ended.err
    assert "everything finished is kept" in ended.err
    assert ended.json["interrupted"] is True
    assert ended.totals["state"] == "cancelled"
    kept = tenire.verify()
    assert kept["ok"], kept
    assert kept["documents"] >= ended.totals["done"]
    again = tenire.ingest(library)
    assert again.code == 0
    assert again.totals["unchanged"] == kept["documents"]
    assert again.totals["seen"] == 120
    report = tenire.verify()
    assert (report["ok"], report["documents"]) == (True, 120)


def test_a_second_ctrl_c_ends_at_once_and_leaves_nothing_behind(tenire: Tenire, library: Path) -> None:
    runs = Runs(tenire, library, committed)
    ended = at_once(runs, interrupted_twice)
    assert ended.code == 130
    assert "Traceback" not in ended.err
    assert left_of(runs.family) == []
    assert tenire.verify()["ok"]


def test_ctrl_c_while_the_command_still_loads_says_so(tenire: Tenire, library: Path) -> None:
    ended = at_once(Runs(tenire, library, loading), interrupted)
    assert ended.code == 130
    assert "Traceback" not in ended.err
    assert ended.json
    assert tenire.verify()["ok"]


def test_workers_killed_again_and_again_lose_no_file(tenire: Tenire, library: Path) -> None:
    # The model's worker is among them.
    command = tenire.start("ingest", library, "--embedder", "static")
    for _ in range(2):
        workers = wait_until(command.workers)
        for worker in workers:
            worker.kill()
        psutil.wait_procs(workers, timeout=10)
    ended = command.ended()
    assert ended.code == 0, ended.out + ended.err
    assert (ended.totals["done"], ended.totals["quarantined"]) == (120, 0)
    assert tenire.verify()["ok"]


def test_an_engine_that_was_killed_leaves_no_orphan(tenire: Tenire, library: Path) -> None:
    command = tenire.start("ingest", library, "--embedder", "static")
    wait_until(reading(command))
    family = command.family()
    command.process.kill()
    command.ended()
    assert left_of(family) == []
    status = tenire("status").json
    assert (status["running"], status["pipelines"]["ingest"]["state"]) == (False, "interrupted")
    assert status["pipelines"]["ingest"]["seen"] == 0


def test_a_second_engine_is_refused_with_the_pid_of_the_first(tenire: Tenire, library: Path) -> None:
    command = tenire.start(
        "ingest", library, "--embedder", "static", "--watch"
    )  # or it might end before it is asked about
    wait_until(reading(command))
    second = tenire("ingest", library, "--embedder", "static")
    status = tenire("status").json
    command.interrupt()
    assert second.code == 1
    error = second.json["error"]
    assert error["type"] == "HomeBusyError"
    assert f"pid {command.process.pid}" in error["message"]
    assert error["hint"]
    assert (status["running"], status["pid"]) == (True, command.process.pid)
    assert command.ended().code == 130


def test_sigterm_ends_a_background_job_that_was_told_to_ignore_ctrl_c(tenire: Tenire, library: Path) -> None:
    # What a shell script does to `command &`.
    background = Tenire(tenire.home, through=("sh", "-c", 'trap "" INT; exec "$@"', "sh"))

    def both(command: Command) -> Ended:
        command.process.send_signal(signal.SIGINT)
        return terminated(command)

    assert at_once(Runs(background, library, reading), both).code == 130
    background.close()
