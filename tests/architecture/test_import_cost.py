from __future__ import annotations

import json
import os
import subprocess
import sys

from tenire.clock import SYSTEM_CLOCK

HEAVY = {
    "aiohttp", "asyncio", "lancedb", "multiprocessing", "numpy", "openvino", "pandas", "pyarrow", "pydantic", "rich",
    "selectolax", "sqlite3", "tokenizers", "torch", "typer",
}  # fmt: skip
LIMIT_S = 0.1
ROUNDS = 7


def run(code: str) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, encoding="utf-8", check=True, env=environment
    ).stdout


def seconds(code: str) -> float:
    started = SYSTEM_CLOCK.now()
    run(code)
    return SYSTEM_CLOCK.now() - started


def test_importing_tenire_imports_nothing_heavy() -> None:
    loaded = json.loads(run("import tenire, sys, json; print(json.dumps(sorted(sys.modules)))"))
    assert "tenire" in loaded
    assert {name.partition(".")[0] for name in loaded} & HEAVY == set()


def test_importing_tenire_takes_less_than_a_tenth_of_a_second() -> None:
    # The best of several, one after the other: what else the machine does only ever adds.
    pairs = [(seconds("pass"), seconds("import tenire")) for _ in range(ROUNDS)]
    bare, with_tenire = (min(times) for times in zip(*pairs, strict=True))
    assert with_tenire - bare < LIMIT_S
