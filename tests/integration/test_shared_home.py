"""Programs that share a home: equal requests are one call, also when one of them is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tenire.storage.home import Home
from tenire.storage.ledger import Ledger
from tenire.testing import FakeModelServer

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = """
import asyncio, sys
from tenire.llm import ChatClient

async def main(url, home, first, last, budget=None):
    budget = None if budget is None else float(budget)
    async with ChatClient("gpt-4o-mini", base_url=url, home=home, max_concurrency=8, budget_usd=budget) as client:
        print("open", flush=True)
        prompts = [f"prompt {number}" for number in range(int(first), int(last))]
        replies = [reply async for reply in client.map(prompts, max_output_tokens=5)]
        assert not [reply.error for reply in replies if reply.error], replies
        print("done", client.statistics().calls, client.statistics().cached_calls, flush=True)

asyncio.run(main(*sys.argv[1:]))
"""


def start(server: FakeModelServer, home: Path, first: int, last: int, *budget: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PROGRAM, server.base_url, str(home), str(first), str(last), *budget]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def outcome(program: subprocess.Popen[str]) -> tuple[int, int]:
    """Wait for the end of a program; return its calls, and the prompts that others answered."""
    printed, _ = program.communicate(timeout=60)
    assert program.returncode == 0
    _, calls, cached = printed.splitlines()[-1].split()
    return int(calls), int(cached)


def test_of_two_programs_that_ask_the_same_each_makes_a_part_of_the_calls(tmp_path: Path) -> None:
    with FakeModelServer(latency=0.2) as server:
        programs = [start(server, tmp_path, 0, 60), start(server, tmp_path, 0, 60)]
        (calls, cached), (others, other_cached) = map(outcome, programs)
        statistics = server.statistics()
    assert (statistics.answered, statistics.paid_twice) == (60, 0)
    assert calls + others == 60
    assert cached + other_cached == 60


@pytest.mark.skipif(os.name == "nt", reason="has no SIGKILL")
def test_what_a_killed_program_was_asking_another_one_asks_at_once(tmp_path: Path) -> None:
    with FakeModelServer(latency=0.3) as server:
        killed = start(server, tmp_path, 0, 100)
        assert killed.stdout is not None
        while server.statistics().answered < 20:
            assert killed.poll() is None
        killed.send_signal(signal.SIGKILL)
        killed.wait(timeout=30)
        killed.stdout.close()
        in_flight = 8
        calls, cached = outcome(start(server, tmp_path, 0, 100))
        statistics = server.statistics()
    assert cached >= 20 - in_flight
    assert calls + cached == 100
    assert statistics.paid_twice <= in_flight
    with Ledger.read(Home(tmp_path)) as ledger:
        assert ledger.replies.count() == 100
        assert ledger.spending.total().calls >= 100 - in_flight


@pytest.mark.skipif(os.name == "nt", reason="has no SIGKILL")
def test_what_a_killed_program_had_in_flight_counts_against_the_budget_of_the_next(tmp_path: Path) -> None:
    with FakeModelServer(latency=3600.0) as server:
        killed = start(server, tmp_path, 0, 100, "1.0")
        assert killed.stdout is not None
        while server.statistics().in_flight < 1:  # the first call goes alone: a wrong key is to cost one
            assert killed.poll() is None
        killed.send_signal(signal.SIGKILL)
        killed.wait(timeout=30)
        killed.stdout.close()
    with FakeModelServer(latency=0.0) as server:
        assert outcome(start(server, tmp_path, 0, 10, "1.0")) == (10, 0)
    with Ledger.read(Home(tmp_path)) as ledger:
        spent = ledger.spending.total()
    assert spent.calls == 11
    assert 0 < spent.guessed < spent.cost


def test_an_engine_and_a_client_use_one_home_side_by_side(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    for number in range(20):
        (tmp_path / "docs" / f"{number}.md").write_text(f"# Salt {number}\n\nSalt is white, says number {number}.\n")
    with FakeModelServer(latency=0.01) as server:
        program = start(server, tmp_path / "home", 0, 200)
        command = [sys.executable, "-m", "tenire", "--home", str(tmp_path / "home"), "ingest", str(tmp_path / "docs")]
        ingest = subprocess.run(
            [*command, "--embedder", "static"], capture_output=True, text=True, check=False, timeout=120
        )
        assert ingest.returncode == 0, ingest.stderr
        assert outcome(program) == (200, 0)
    with Ledger.read(Home(tmp_path / "home")) as ledger:
        assert ledger.replies.count() == 200
        assert ledger.totals().documents == 20
