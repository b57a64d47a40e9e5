"""What an engine that was killed leaves outside of its home's ledger and store: nothing for long."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
from tests.concurrency.engines import eventually

from tenire import ConcurrencyManager

SHARED = Path("/dev/shm")
KILLED = """
import asyncio, os, pickle, signal, sys
import tenire

async def main():
    async with tenire.ConcurrencyManager(home=sys.argv[1], memory=1000) as manager:
        on_disk = await manager.data_manager.put(bytes(5000))
        shared = await manager.data_manager.put(bytes(500))
        await asyncio.to_thread(pickle.dumps, shared)
        print(on_disk.where, shared.where, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing is both a file and memory")
def test_the_blobs_of_a_killed_engine_are_removed_by_the_next_one(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with subprocess.Popen([sys.executable, "-c", KILLED, home], stdout=subprocess.PIPE, text=True) as killed:
        told = killed.communicate(timeout=60)[0]
    assert (told.split(), killed.returncode) == (["disk", "shared"], -9)

    def left() -> list[Path]:
        return [*SHARED.glob(f"tenire-{killed.pid}-*"), *(home / "cache" / "spill").glob("tenire-*")]

    assert len(left()) == 4, "a directory and its lock in each place"

    async def next_one() -> None:
        async with ConcurrencyManager(home=home, cpu=1, memory=1000) as manager:
            blob = await manager.data_manager.put(bytes(5000))
            await eventually(lambda: len(left()) == 2)
            assert await blob.read() == bytes(5000), "its own stay"

    asyncio.run(next_one())
    assert left() == []
