"""Pipelines on Ray: the same results as here, whatever becomes of a node, and nothing left behind."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import uuid
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tenire.app.config import load_config
from tenire.app.inspect import verify
from tenire.app.runs import run_config
from tenire.app.search import search
from tenire.clock import SYSTEM_CLOCK

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        find_spec("ray") is None,
        reason="Ray is not installed here: make test installs it where it has a build for the system and its Python",
    ),
    pytest.mark.skipif(sys.platform != "linux", reason="looks at the processes that are left in /proc"),
]

ROOT = Path(__file__).parents[2]
LIMIT_S = 240

HELD = '''
import contextlib
import sys
import time
from pathlib import Path

import tenire

BASE = Path(__file__).parent


@tenire.stage(on="process")
def hold(items):
    """On the first node that comes here wait for ever; on others, and where nobody asks for it, do nothing."""
    ray, here = sys.modules.get("ray"), BASE / "here"
    if ray is not None and (BASE / "hold").exists():
        node = ray.get_runtime_context().get_node_id()
        with contextlib.suppress(FileExistsError), open(here, "x") as file:
            file.write(node)
        while here.read_text() in ("", node):
            time.sleep(0.01)
    return items
'''


def corpus(folder: Path, files: int = 60) -> None:
    """Write documents of a few passages each; every tenth is a copy, and two cannot be read."""
    folder.mkdir()
    words = ["zebra", "ledger", "volcano", "harbour", "violin", "glacier", "lantern", "orchard"]
    for number in range(files):
        word = words[number % len(words)]
        lines = [f"The {word} of note {number} stands in line {line}, and nobody moved it since." for line in range(30)]
        text = "\n\n".join(lines) if number % 10 else "A copy of the same few words about a quiet harbour."
        (folder / f"{number:03}.md").write_text(f"# {word.title()} {number}\n\n{text}\n")
    for number in range(2):
        (folder / f"broken{number}.txt").write_bytes(b"\0\1\2\3" * 50)


def config(folder: Path, home: str, engine: str) -> Path:
    file = folder / f"{home}.toml"
    (folder / "held.py").write_text(HELD)
    file.write_text(
        f'[tenire]\nhome = "{home}"\ncpu = 2\nengine = {engine}\n'
        '[pipelines.docs]\nsource = "docs"\nembedder = "static"\nstages = ["held:hold"]\n'
    )
    return file


def local(folder: Path) -> None:
    run_config(load_config(config(folder, "local", '"local"')))


def stored(home: Path) -> tuple[list[Any], list[Any]]:
    """Return what a home has of each document, and the five best hits for a few questions."""
    with contextlib.closing(sqlite3.connect(home / "ledger.db")) as ledger:
        rows = ledger.execute(
            "SELECT source, content_hash, state, document, passages FROM sources"
            " LEFT JOIN documents ON documents.id = document ORDER BY source"
        ).fetchall()
    hits = []
    for question in ("who moved the zebra", "a quiet harbour", "note 17 about the glacier"):
        found = search(home, question, k=5, mode="hybrid", exact=True).hits
        hits.append([(hit.source, hit.text, hit.score) for hit in found])
    return rows, hits


def marked(**more: str) -> tuple[dict[str, str], str]:
    """Return an environment by which all processes are known that come of one started in it."""
    mark = uuid.uuid4().hex
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]),
        "TENIRE_TEST_MARK": mark,
        **more,
    }, mark


def left_of(mark: str) -> list[str]:
    """Return the command lines of processes that live in an environment."""
    found = []
    for each in Path("/proc").iterdir():
        try:
            if each.name.isdigit() and mark.encode() in (each / "environ").read_bytes():
                found.append((each / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return found


def wait_until(condition: Any, seconds: float = 20) -> bool:
    """Wait, within reason, for what other processes do."""
    until = SYSTEM_CLOCK.now() + seconds
    while not condition() and SYSTEM_CLOCK.now() < until:
        subprocess.run(["sleep", "0.1"], check=False)
    return bool(condition())


def run_script(*words: str) -> dict[str, Any]:
    environment, mark = marked()
    script = str(Path(__file__).with_name("ray_cluster.py"))
    done = subprocess.run(
        [sys.executable, script, *words], capture_output=True, text=True, timeout=LIMIT_S, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert wait_until(lambda: not left_of(mark)), left_of(mark)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def tenire(*words: str) -> list[str]:
    return [sys.executable, "-m", "tenire", *words]


def test_a_run_on_ray_ends_with_what_a_run_here_ends_with_and_leaves_no_process(tmp_path: Path) -> None:
    corpus(tmp_path / "docs")
    local(tmp_path)
    environment, mark = marked()
    file = config(tmp_path, "cluster", '"ray"')
    done = subprocess.run(
        tenire("run", str(file), "--json"),
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        env=environment,
        check=False,
    )
    assert done.returncode == 3, done.stderr[-3000:]  # two files cannot be read
    (line,) = done.stdout.splitlines()  # and nothing of Ray's is among the results
    totals = json.loads(line)["pipelines"]["docs"]
    assert (totals["seen"], totals["done"], totals["quarantined"]) == (62, 60, 2)
    assert stored(tmp_path / "cluster") == stored(tmp_path / "local")
    assert verify(tmp_path / "cluster").ok
    assert wait_until(lambda: not left_of(mark)), left_of(mark)
    assert not (tmp_path / "cluster/engine.witness").exists()


def test_a_node_that_is_killed_costs_nothing_but_time(tmp_path: Path) -> None:
    corpus(tmp_path / "docs")
    local(tmp_path)
    file = config(tmp_path, "cluster", '{ kind = "ray", address = "ADDRESS" }')
    (tmp_path / "hold").touch()
    result = run_script(str(file))
    assert (tmp_path / "here").exists()  # a document was held there when it was killed
    totals = result["report"]["pipelines"]["docs"]
    assert (totals["state"], totals["seen"], totals["done"], totals["quarantined"]) == ("done", 62, 60, 2)
    assert stored(tmp_path / "cluster") == stored(tmp_path / "local")
    report = verify(tmp_path / "cluster")
    assert (report.ok, report.missing, report.orphans, report.duplicates) == (True, 0, 0, 0)
    # The cluster was there before, and is left as it is.
    assert (result["works"], result["left"]) == (True, True)


def test_ctrl_c_ends_a_run_on_ray_with_everything_that_was_started(tmp_path: Path) -> None:
    corpus(tmp_path / "docs")
    local(tmp_path)
    environment, mark = marked()
    file = config(tmp_path, "cluster", '"ray"')
    (tmp_path / "hold").touch()
    process = subprocess.Popen(
        tenire("run", str(file), "--json"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    )
    try:
        assert wait_until((tmp_path / "here").exists, 120)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 130
    assert wait_until(lambda: not left_of(mark)), left_of(mark)
    config(tmp_path, "cluster", '"local"')
    (tmp_path / "hold").unlink()
    run_config(load_config(tmp_path / "cluster.toml"))
    assert stored(tmp_path / "cluster") == stored(tmp_path / "local")


def test_a_cluster_whose_engine_is_killed_ends_with_it(tmp_path: Path) -> None:
    corpus(tmp_path / "docs", files=4)
    environment, mark = marked()
    file = config(tmp_path, "cluster", '"ray"')
    (tmp_path / "hold").touch()
    process = subprocess.Popen(
        tenire("run", str(file)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment
    )
    try:
        assert wait_until((tmp_path / "here").exists, 120)
    finally:
        process.kill()
        process.wait()
    assert wait_until(lambda: not left_of(mark)), left_of(mark)
