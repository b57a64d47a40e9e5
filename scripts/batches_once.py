"""Kills runs that wait for a provider's batches, and proves that nothing is handed over or paid twice.

    python scripts/batches_once.py [--kills 20] [--rows 600] [--dialect openai] [--seed 1]

Rows go to a server on this machine in batches, some of which fail in part, and the engine is
killed with SIGKILL at random moments. A last run goes to its end. Then every row must stand
in the output exactly once, and the server must have answered each row exactly once: a batch
goes on when the engine is gone, so not even what was under way at a kill is lost or made
again.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tenire.testing import FakeModelServer

BATCH_ROWS = 40
CONFIGURATION = """
[tenire]
home = "home"

[quotas.main]
base_url = "{address}"
dialect = "{dialect}"

[pipelines.rows]
recipe = "chat"
mode = "batch"
batch_rows = {batch_rows}
source = "rows.jsonl"
quota = "main"
model = "gpt-4o-mini"
prompt = "Say something about {{text}}"
max_output_tokens = 40
output = "out.jsonl"
"""


def start(folder: Path) -> subprocess.Popen[bytes]:
    """Start a run."""
    words = [sys.executable, "-m", "tenire", "run", str(folder / "tenire.toml"), "--json", "--quiet"]
    return subprocess.Popen(words, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def killed(folder: Path, seconds: float) -> bool:
    """Start a run and kill it after a while; return whether it came to that."""
    with start(folder) as engine:
        try:
            engine.wait(seconds)
        except subprocess.TimeoutExpired:
            engine.kill()
            engine.communicate()
            return True
        complaints = engine.communicate()[1].decode()
    if engine.returncode != 0:
        raise SystemExit(f"a run ended with {engine.returncode}:\n{complaints}")
    return False


def finish(folder: Path) -> dict[str, Any]:
    """Run to the end and return what the pipeline counted."""
    with start(folder) as engine:
        said, complaints = engine.communicate()
    if engine.returncode != 0:
        raise SystemExit(f"the run ended with {engine.returncode}:\n{complaints.decode()}")
    counted: dict[str, Any] = json.loads(said.splitlines()[-1])["pipelines"]["rows"]
    return counted


def main() -> None:
    """Run the proof; exits with 0 if it holds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--rows", type=int, default=600)
    parser.add_argument("--batch-seconds", type=float, default=6.0)
    parser.add_argument("--dialect", choices=("openai", "anthropic"), default="openai")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    with (
        tempfile.TemporaryDirectory(prefix="tenire-batches-once-") as temporary,
        FakeModelServer(batch_seconds=options.batch_seconds, faults={"error_500": 0.1}, seed=options.seed) as server,
    ):
        folder = Path(temporary)
        settings = CONFIGURATION.format(address=server.base_url, dialect=options.dialect, batch_rows=BATCH_ROWS)
        (folder / "tenire.toml").write_text(settings, encoding="utf-8")
        rows = ({"id": number, "text": f"thing number {number}"} for number in range(options.rows))
        (folder / "rows.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
        kills = 0
        for number in range(1, options.kills + 1):
            kills += killed(folder, rng.uniform(0.3, 3.5))
            print(f"kill {number}: the server has answered {server.statistics().answered} rows", flush=True)
        counted = finish(folder)
        print(f"the last run: {counted['done']} done, {counted['unchanged']} unchanged, {counted['calls']} calls")
        lines = (folder / "out.jsonl").read_text(encoding="utf-8").splitlines()
        if [json.loads(line)["id"] for line in lines] != list(range(options.rows)):
            raise SystemExit("the output does not hold every row once, in the order of the source")
        statistics = server.statistics()
        answered, twice = statistics.answered, statistics.paid_twice
        print(f"{kills} kills, {answered} answers to {options.rows} rows, {twice} paid twice")
        if kills < options.kills // 2:
            raise SystemExit("most runs ended before they were killed: more --rows or --batch-seconds are needed")
        if answered != options.rows or twice:
            raise SystemExit("rows were handed over or paid twice")


if __name__ == "__main__":
    main()
