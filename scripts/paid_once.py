"""Kills chat runs at random moments and proves that no finished reply is paid for twice.

    python scripts/paid_once.py [--kills 20] [--rows 3000] [--latency lognormal:0.2:0.5] [--seed 1]
                                [--enforcement sliding]

A file of rows is put to a strict server on this machine, which counts by sliding window, by
fixed window or as a bucket, and must never have to refuse a call; and the engine is killed with
SIGKILL at random moments, again and again, each time a while after its first new call.
After each kill no id may stand twice in the output, and at most the last line may be cut
off. A last run goes to its end. Then every row must stand in the output exactly once, in
the order of the source; one more run must ask for nothing; and of the calls that were made
twice, each must have been under way at a kill.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from tenire.testing import FakeModelServer

GRACE_S = 0.25
"""A reply that the server sent so shortly before a kill may not have been written down yet.

And a busy server may read a call so long after its sender is dead; the next run takes longer to start.
"""

CONCURRENCY = 16
RPM, TPM = 12_000, 4_000_000
CONFIGURATION = """
[tenire]
home = "home"

[quotas.main]
base_url = "{address}"
rpm = {rpm}
tpm = {tpm}
max_concurrency = {concurrency}

[pipelines.rows]
recipe = "chat"
source = "rows.jsonl"
quota = "main"
model = "gpt-4o-mini"
prompt = "Say something about {{text}}"
max_output_tokens = 40
timeout_s = 20
output = "out.jsonl"
"""


def start(folder: Path) -> subprocess.Popen[bytes]:
    """Start a run."""
    words = [sys.executable, "-m", "tenire", "run", str(folder / "tenire.toml"), "--json", "--quiet"]
    return subprocess.Popen(words, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def finish(folder: Path) -> dict[str, Any]:
    """Run to the end and return what the pipeline counted."""
    with start(folder) as engine:
        said, complaints = engine.communicate()
    if engine.returncode != 0:
        raise SystemExit(f"the run ended with {engine.returncode}:\n{complaints.decode()}")
    counted: dict[str, Any] = json.loads(said.splitlines()[-1])["pipelines"]["rows"]
    return counted


def kill_after_a_new_call(folder: Path, server: FakeModelServer, wait: float) -> float | None:
    """Start a run and kill it; return when, on the server's clock, or ``None`` if it ended before."""
    before = server.statistics().calls
    with start(folder) as engine:
        while server.statistics().calls == before and engine.poll() is None:
            time.sleep(0.005)
        try:
            engine.wait(wait)
        except subprocess.TimeoutExpired:
            os.kill(engine.pid, signal.SIGKILL)
            killed = server.seconds()
            engine.communicate()
            return killed
        complaints = engine.communicate()[1].decode()
    if engine.returncode != 0:
        raise SystemExit(f"the run ended with {engine.returncode}:\n{complaints}")
    return None


def ids_in(path: Path) -> list[int]:
    """Return the ids in an output whose last line may be cut off."""
    content = path.read_bytes() if path.exists() else b""
    return [json.loads(line)["id"] for line in content.split(b"\n")[:-1]]


def repeated(server: FakeModelServer, kills: list[float]) -> tuple[int, list[float]]:
    """Return how many calls were made again after a kill, and which of those for no good reason.

    Those are told by how many seconds before the next kill the server had sent their replies.
    """
    by_prompt: dict[str, list[Any]] = defaultdict(list)
    for record in server.records():
        by_prompt[record.prompt].append(record)
    again, wrongly = 0, []
    for records in by_prompt.values():
        records.sort(key=lambda record: record.at)
        for record in records[:-1]:
            again += 1
            if not any(record.at <= kill + GRACE_S and record.ended >= kill - GRACE_S for kill in kills):
                wrongly.append(min((kill - record.ended for kill in kills if kill >= record.ended), default=math.inf))
    return again, wrongly


def main() -> None:
    """Run the proof; exits with 0 if it holds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--rows", type=int, default=3000)
    parser.add_argument("--latency", default="lognormal:0.2:0.5")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--enforcement", choices=("sliding", "fixed", "bucket"), default="sliding")
    options = parser.parse_args()
    rng = random.Random(options.seed)
    expected = list(range(options.rows))
    with (
        tempfile.TemporaryDirectory(prefix="tenire-paid-once-") as temporary,
        FakeModelServer(
            latency=options.latency, seed=options.seed, enforcement=options.enforcement, rpm=RPM, tpm=TPM
        ) as server,
    ):
        folder = Path(temporary)
        os.environ["TENIRE_STATE"] = str(folder / "state")  # nothing of the user's quotas counts or is touched
        told = CONFIGURATION.format(address=server.base_url, concurrency=CONCURRENCY, rpm=RPM, tpm=TPM)
        (folder / "tenire.toml").write_text(told, encoding="utf-8")
        rows = ({"id": number, "text": f"thing number {number}"} for number in expected)
        (folder / "rows.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
        kills: list[float] = []
        while len(kills) < options.kills:
            killed = kill_after_a_new_call(folder, server, rng.uniform(0.0, 1.2))
            if killed is None:
                raise SystemExit(f"all rows were done after {len(kills)} kills: more --rows are needed")
            kills.append(killed)
            found = ids_in(folder / "out.jsonl")
            if len(found) != len(set(found)):
                raise SystemExit(f"an id stands twice in the output after kill {len(kills)}")
            print(f"kill {len(kills)}: {len(found)} rows in the output", flush=True)
        counted = finish(folder)
        print(f"the last run: {counted['done']} done, {counted['unchanged']} unchanged, {counted['calls']} calls")
        if ids_in(folder / "out.jsonl") != expected:
            raise SystemExit("the output does not hold every row once, in the order of the source")
        idle = finish(folder)
        if idle["calls"] or idle["unchanged"] != options.rows:
            raise SystemExit(f"a run with nothing to do made {idle['calls']} calls: {idle}")
        again, wrongly = repeated(server, kills)
        print(f"{again} calls were made again after {len(kills)} kills, {len(wrongly)} of them had been finished")
        if wrongly:
            early = ", ".join(f"{seconds:.2f}" for seconds in sorted(wrongly))
            print(f"their replies had been sent so many seconds before a kill: {early}")
        print(f"(the server paid for {server.statistics().paid_twice} replies twice)")
        of = server.settings
        print(f"server: {of.enforcement}, window {of.window:g} s, latency {of.latency}, limits {of.limits()}")
        print(f"load of the machine: {os.getloadavg()[0]:.1f}")
        if refused := server.statistics().refused:
            raise SystemExit(f"the server refused {refused} calls for its quota")
        # Those under way at a kill, and as many whose replies were not written down yet: on a slow disk there are some.
        if wrongly or again > 2 * len(kills) * CONCURRENCY:
            raise SystemExit("finished replies were paid for twice")


if __name__ == "__main__":
    main()
