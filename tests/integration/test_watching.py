"""An engine seen from other processes: while it runs, and after it was killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import sys
from typing import TYPE_CHECKING, Any

import pytest

from .conftest import Tenire, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot hold a process still")


_COPIES = 40
"""Of the library: enough work for the engine to tell of a task once a second or so."""


def told(home: Path) -> Callable[[], dict[str, Any] | None]:
    """What the engine tells, once it tells of a task."""

    def look() -> dict[str, Any] | None:
        try:
            facts: dict[str, Any] = json.loads((home / "engine.json").read_text())
        except FileNotFoundError:
            return None
        return facts if facts["pipelines"]["ingest"]["tasks"] else None

    return look


def test_status_and_why_see_into_an_engine_that_runs_and_believe_nothing_of_a_dead_one(
    tenire: Tenire, library: Path, tmp_path: Path
) -> None:
    files = tmp_path / "files"
    for number in range(_COPIES):
        shutil.copytree(library, files / str(number))
    (files / "bad.txt").write_bytes(b"\0\1\2\3" * 50)
    command = tenire.start("ingest", files, "--embedder", "static")
    wait_until(told(tenire.home))
    # Held still, so that what was told stays true for as long as it takes to ask.
    os.kill(command.process.pid, signal.SIGSTOP)
    facts = told(tenire.home)()
    assert facts is not None
    assert facts["pid"] == command.process.pid
    assert stat.S_IMODE((tenire.home / "engine.json").stat().st_mode) == 0o600

    status = tenire("status").json
    assert (status["running"], status["pid"]) == (True, command.process.pid)
    assert status["level"] in ("normal", "elevated", "high", "critical")
    pipeline = status["pipelines"]["ingest"]
    assert pipeline["state"] == "running"
    (first, *_) = tasks = pipeline["tasks"]
    assert len(tasks) <= 20
    answer = tenire("why", first["id"])
    assert answer.code == 0
    assert answer.json["state"] == first["state"] == facts["pipelines"]["ingest"]["tasks"][0]["state"]
    assert answer.json["reason"] == facts["pipelines"]["ingest"]["tasks"][0]["reason"]
    shown = tenire("why", first["id"], options=()).out
    assert shown.startswith("The engine does not answer now; ")
    assert f" it said: Task {first['id']} (" in shown
    assert first["id"] in tenire("status", options=()).out

    command.process.kill()
    command.ended()
    assert (tenire.home / "engine.json").exists(), "a killed engine cannot tidy up"
    status = tenire("status").json
    assert (status["running"], status["level"]) == (False, None)
    assert status["pipelines"]["ingest"]["tasks"] == []
    unknown = tenire("why", first["id"])
    assert unknown.code == 2
    assert "no engine is running" in unknown.json["error"]["message"]

    assert tenire.ingest(files).code == 3
    assert not (tenire.home / "engine.json").exists()
    entry = tenire("why", "q1").json
    assert (entry["state"], entry["source"]) == ("quarantined", str(files / "bad.txt"))
    assert tenire("why", "q99").code == 2
