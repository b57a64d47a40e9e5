from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from tenire.engines import ray_watch

if TYPE_CHECKING:
    from pathlib import Path

READS = "import sys; file = open(sys.argv[1]) if sys.argv[1:] else None; print(flush=True); sys.stdin.read()"


def started(*words: str, title: str = sys.executable, **more: str) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [title, "-c", READS, *words],
        executable=sys.executable,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, **more},
    )  # fmt: skip
    assert process.stdout is not None
    process.stdout.readline()  # it has begun
    return process


def test_what_is_of_a_cluster_ends_with_its_watch_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "cluster"
    (folder / "logs").mkdir(parents=True)
    (folder / "logs/agent.log").touch()
    (tmp_path / "other.log").touch()
    marked = started(**{ray_watch.VARIABLE: str(folder)})
    logging = started(str(folder / "logs/agent.log"), title="ray::Agent")
    others = [
        started(str(tmp_path / "other.log"), **{ray_watch.VARIABLE: f"{folder}2"}),
        started(str(folder / "logs/agent.log")),  # as the engine
        started(title="ray::Agent"),  # another cluster's
    ]
    watch = ray_watch.begin(str(folder))
    try:
        assert [process.poll() for process in (marked, logging, *others)] == [None] * 5
        ray_watch.end(watch)
        assert watch.returncode == 0
        assert [process.wait(10) < 0 for process in (marked, logging)] == [True, True]
        assert [process.poll() for process in others] == [None] * 3
        assert not folder.exists()
    finally:
        for process in (marked, logging, *others):
            process.kill()
            process.communicate()
