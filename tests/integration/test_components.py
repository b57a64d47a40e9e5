"""Every supervised component of an engine is killed while its pipelines run: the run completes equal."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.integration.conftest import MOST_S, SOURCES, Tenire

SCRIPT = Path(__file__).with_name("kill_components.py")
COMPONENTS = {
    "watchdog", "control", "orchestrator", "history", "compactor", "channel", "publisher", "thread_pool", "events",
    "dashboard",
}  # fmt: skip


def configuration(folder: Path, library: Path) -> Path:
    folder.mkdir()
    file = folder / "tenire.toml"
    parts = sorted(library.iterdir())
    halves = {"one": parts[:2], "two": parts[2:]}
    tables = [
        f"[pipelines.{name}]\nsource = {json.dumps([str(part) for part in half])}\nembedder = 'static'\n"
        for name, half in halves.items()
    ]
    file.write_text("[tenire]\nhome = 'home'\ncpu = 1\n" + "\n".join(tables), encoding="utf-8")
    return file


def outcome(done: subprocess.CompletedProcess[str]) -> dict[str, tuple[int, ...]]:
    assert done.returncode in (0, 3), done.stdout + done.stderr
    pipelines = json.loads(done.stdout.splitlines()[-1])["pipelines"]
    return {
        name: tuple(totals[key] for key in ("seen", "done", "quarantined", "chunks"))
        for name, totals in pipelines.items()
    }


def test_each_component_is_killed_while_pipelines_run_and_the_run_completes_equal(
    tmp_path: Path, library: Path
) -> None:
    environment = {**os.environ, "PYTHONPATH": SOURCES}

    def run(name: str, *through: str) -> tuple[dict[str, tuple[int, ...]], set[tuple[str, ...]]]:
        file = configuration(tmp_path / name, library)
        command = [sys.executable, *through, "run", str(file), "--dashboard", "--json", "--quiet"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=4 * MOST_S)
        tenire = Tenire(file.parent / "home")
        assert tenire.verify()["ok"]
        hits = tenire("search", "parse a header line", "-k", "20", "--exact").json["hits"]
        tenire.close()
        return outcome(done), {(hit["source"], hit["text"]) for hit in hits}

    undisturbed = run("undisturbed", "-m", "tenire")
    result = tmp_path / "result.json"
    attacked = run("attacked", str(SCRIPT), str(result))
    assert attacked == undisturbed
    seen = json.loads(result.read_text(encoding="utf-8"))
    for name in COMPONENTS:
        states = seen["found"][name]
        assert states[states.index("down") :][:2] == ["down", "up"], (name, states)
    assert seen["during"].keys() == COMPONENTS
    running = [name for name, what in seen["during"].items() if " 0 task(s) running" not in what]
    assert len(running) > len(COMPONENTS) / 2, seen["during"]
