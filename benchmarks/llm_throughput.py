"""Rows a second against the official client with a semaphore, which is how most scripts do it.

Both ask the same server (a process of its own, a fixed latency, limits that are never
reached but counted strictly, in one of three ways after the other) for the same rows with
as many calls in flight, each in a fresh process, in turns. The official client is
installed into an environment of its own under ``.bench``. ``kept`` has a home, where each
reply and its cost are durable before anybody sees it; ``plain`` keeps nothing, as the
official client does. Times are from the first call to the last answer.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from _common import report, spread
from _models import ENFORCEMENTS, KEY, MODEL, chosen_enforcements, described, prompt_of, quota_server

from tenire.llm import ChatClient

OFFICIAL = "openai==3.57.0"
PLACE = Path(__file__).resolve().parent.parent / ".bench" / "openai"
SCRIPT = Path(__file__).with_name("_official_client.py")
LATENCY = 0.02
AT_ONCE = 64
LIMITS = {"rpm": 10_000_000, "tpm": 2_000_000_000}
MUST, AIM = 3.0, 6.0


def official_python() -> str:
    """Return the Python that has the official client; install it if need be."""
    python = PLACE / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    mark = PLACE / "installed.txt"
    if not mark.exists() or mark.read_text(encoding="utf-8") != OFFICIAL:
        print(f"installing {OFFICIAL} into {PLACE}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", str(PLACE)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", OFFICIAL], check=True)
        mark.write_text(OFFICIAL, encoding="utf-8")
    return str(python)


async def tenire_rows(base_url: str, first: int, rows: int, home: str | None) -> float:
    """Return rows a second."""
    prompts = (prompt_of(number, 100) for number in range(first, first + rows))
    async with ChatClient(
        MODEL, base_url=base_url, api_key=KEY, max_concurrency=AT_ONCE, home=home, **LIMITS
    ) as client:
        started = time.perf_counter()
        answered = 0
        async for reply in client.map(prompts, max_output_tokens=20):
            if reply.error is not None:
                raise reply.error
            answered += 1
        return answered / (time.perf_counter() - started)


def in_a_process(python: str, script: str, **told: object) -> float:
    """Run one side and return its rows a second."""
    words = [python, script, "--client", json.dumps(told)]
    return float(subprocess.run(words, check=True, capture_output=True, text=True).stdout)


def figures(official: str, enforcement: str, rows: int, rounds: int) -> bool:
    """Measure against one server; return whether the figure is as it must be."""
    speeds: dict[str, list[float]] = {"official": [], "plain": [], "kept": []}
    first = 0
    settings: dict[str, Any] = {"latency": LATENCY, "enforcement": enforcement, **LIMITS}
    with tempfile.TemporaryDirectory() as folder, quota_server(**settings) as server:
        os.environ["TENIRE_STATE"] = f"{folder}/state"
        for _ in range(rounds):
            for name, found in speeds.items():
                python, script = (official, str(SCRIPT)) if name == "official" else (sys.executable, __file__)
                found.append(
                    in_a_process(
                        python, script, base_url=server.base_url, key=KEY, model=MODEL, first=first, rows=rows,
                        at_once=AT_ONCE, home=f"{folder}/home" if name == "kept" else None,
                    )
                )  # fmt: skip
                first += rows
        refused = server.statistics().refused
    middle = {name: statistics.median(found) for name, found in speeds.items()}
    ratios = {name: round(middle[name] / middle["official"], 2) for name in ("plain", "kept")}
    within = ratios["plain"] >= MUST and not refused
    report(
        "llm_throughput", **described(server), official=OFFICIAL, at_once=AT_ONCE, rows=rows, rounds=rounds,
        rows_per_s={name: spread(found, 1) for name, found in speeds.items()}, ratios=ratios,
        most_at_this_latency=AT_ONCE / LATENCY, refused=refused, must=MUST, aim=AIM, within=within,
    )  # fmt: skip
    return within


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--client", type=json.loads, help=argparse.SUPPRESS)
    chosen_enforcements(parser)
    told = parser.parse_args()
    if told.client is not None:
        asked = told.client
        print(asyncio.run(tenire_rows(asked["base_url"], asked["first"], asked["rows"], asked["home"])))
        return 0
    official = official_python()
    chosen = told.enforcement or ENFORCEMENTS
    within = [figures(official, enforcement, told.rows, told.rounds) for enforcement in chosen]
    return 0 if all(within) else 1


if __name__ == "__main__":
    raise SystemExit(main())
