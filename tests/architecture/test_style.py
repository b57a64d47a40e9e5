"""Rules of ruff that carry a design decision: each is shown to catch what it must."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .conftest import House


def rules_broken(house: House, code: str, *, as_file: str) -> set[str]:
    result = subprocess.run(
        [
            sys.executable,
            "-m",
            "ruff",
            "check",
            "-q",
            "--no-cache",
            "--output-format=concise",
            f"--stdin-filename={as_file}",
            "-",
        ],
        cwd=house.root,
        input=code,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    assert result.returncode in (0, 1), result.stderr
    return {line.split(" ")[1].rstrip(":") for line in result.stdout.splitlines() if line.startswith(as_file)}


@pytest.mark.parametrize(
    "call",
    [
        "time.time()",
        "time.time_ns()",
        "time.monotonic()",
        "time.monotonic_ns()",
        "time.perf_counter()",
        "time.perf_counter_ns()",
        "time.sleep(1)",
        "asyncio.gather()",
        "asyncio.ensure_future(x)",
    ],
)
def test_a_banned_call_is_caught_in_the_library_and_in_tests(house: House, call: str) -> None:
    code = f"import {call.partition('.')[0]}\n\n{call}\n"
    assert "TID251" in rules_broken(house, code, as_file="src/tenire/core/planted.py")
    assert "TID251" in rules_broken(house, code, as_file="tests/core/test_planted.py")


def test_only_the_clock_may_ask_for_the_time(house: House) -> None:
    code = "import time\n\ntime.monotonic()\n"
    assert "TID251" not in rules_broken(house, code, as_file="src/tenire/clock.py")


@pytest.mark.parametrize(
    ("rule", "code"),
    [
        ("T201", "print(1)\n"),
        ("BLE001", "try:\n    f()\nexcept Exception:\n    pass\n"),
        ("E722", "try:\n    f()\nexcept:\n    pass\n"),
        ("RUF022", '__all__ = ["b", "a"]\na = b = 1\n'),
        ("TID252", "from . import clock\n"),
        ("D103", "def public():\n    return 1\n"),
        ("DTZ005", "import datetime\n\ndatetime.datetime.now()\n"),
        ("RUF006", "import asyncio\n\n\nasync def f():\n    asyncio.create_task(g())\n"),
    ],
)
def test_a_rule_is_on(house: House, rule: str, code: str) -> None:
    assert rule in rules_broken(house, code, as_file="src/tenire/core/planted.py")
