"""Five bad minutes: a run of rows against a server on which everything goes wrong.

A tenth of the calls answer 500, and three in a hundred each hang, break off in the middle
or are no JSON; for twenty seconds the server is down; and a few rows can never be
answered. The run must end with each good row once in its output, with the answer to its
own question, and with exactly the poisoned rows in quarantine. ``calls_a_row`` is what
the server has counted, the outage included; fewer than ``least`` are not to be had.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from _common import report, tenire
from _models import ENFORCEMENTS, KEY, MODEL, described, quota_server

from tenire.testing import ServerFaults

FAULTS = ServerFaults(error_500=0.10, hang=0.03, disconnect=0.03, malformed=0.03)
OUTAGE = (60.0, 20.0, "503")
POISON = "arsenic"
RPM = 1200
TIMEOUT_S = 4.0
OUTPUT = 20
MUST, AIM = 1.5, 1.25

CONFIG = """
[tenire]
home = "home"

[quotas.main]
base_url = "{base_url}"
api_key_env = "BENCHMARK_KEY"
rpm = {rpm}
tpm = 10000000

[pipelines.rows]
recipe = "chat"
source = "rows.jsonl"
quota = "main"
model = "{model}"
prompt = "{{text}}: answer in one word"  # replies repeat how their prompts begin
max_output_tokens = {output}
timeout_s = {timeout}
output = "answers.jsonl"
"""


def write(folder: Path, base_url: str, rows: int) -> set[str]:
    """Write the configuration and the rows; return the ids of those that are poisoned."""
    told = CONFIG.format(base_url=base_url, rpm=RPM, model=MODEL, output=OUTPUT, timeout=TIMEOUT_S)
    (folder / "tenire.toml").write_text(told, encoding="utf-8")
    poisoned = {f"row{number}" for number in random.Random(0).sample(range(rows), max(1, rows // 200))}
    with (folder / "rows.jsonl").open("w", encoding="utf-8") as file:
        for number in range(rows):
            name = f"row{number}"
            text = f"{name}z {POISON if name in poisoned else 'sugar'}"
            file.write(json.dumps({"id": name, "text": text}) + "\n")
    return poisoned


def wrong_answers(folder: Path, good: set[str]) -> dict[str, int]:
    """Compare the output with what it must be: each good row once, with its own answer."""
    lines = [json.loads(line) for line in (folder / "answers.jsonl").read_text(encoding="utf-8").splitlines()]
    times = Counter(line["id"] for line in lines)
    return {
        "missing": len(good - set(times)),
        "twice": sum(count > 1 for count in times.values()),
        "unexpected": len(set(times) - good),
        "of_another": sum(f"{line['id']}z" not in line["output"] for line in lines),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=4600)
    parser.add_argument("--enforcement", choices=ENFORCEMENTS, default=ENFORCEMENTS[0], help="how the server counts")
    options = parser.parse_args()
    rows = options.rows
    settings: dict[str, Any] = {"faults": FAULTS, "outages": [OUTAGE], "poison": POISON, "rpm": RPM, "seed": 5}
    settings["enforcement"] = options.enforcement
    with tempfile.TemporaryDirectory() as place, quota_server(**settings) as server:
        folder = Path(place)
        os.environ |= {"BENCHMARK_KEY": KEY, "TENIRE_STATE": str(folder / "state")}
        poisoned = write(folder, server.base_url, rows)
        good = {f"row{number}" for number in range(rows)} - poisoned
        started = time.perf_counter()
        totals = tenire("run", str(folder / "tenire.toml"))["pipelines"]["rows"]
        seconds = time.perf_counter() - started
        failed = tenire("failed", "--home", str(folder / "home"))["failed"]
        quarantined = {entry["source"].rpartition("#")[2] for entry in failed}
        told, wrong = server.statistics(), wrong_answers(folder, good)
    calls_a_row = round(told.calls / rows, 3)
    right = not any(wrong.values()) and quarantined == poisoned
    within = right and calls_a_row <= MUST and told.refused == 0
    least = 1 / (1 - sum(part for _, part in FAULTS.parts()))
    report(
        "hostile_day", **described(server), rows=rows, poisoned=len(poisoned), seconds=round(seconds, 1),
        wrong=wrong, quarantined_right=quarantined == poisoned, calls_a_row=calls_a_row, least=round(least, 3),
        paid_twice=told.paid_twice, refused=told.refused, outcomes=told.outcomes, totals=totals, must=MUST, aim=AIM,
        within=within,
    )  # fmt: skip
    return 0 if within else 1


if __name__ == "__main__":
    raise SystemExit(main())
