from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

SCRIPT = Path(__file__).parents[2] / "scripts" / "soak.py"


def test_growth_is_seen_between_the_second_fifth_and_the_last(script: Callable[[str], ModuleType]) -> None:
    soak = script("soak")
    flat = dict.fromkeys(soak.ALLOWED, 1000 << 20)
    # The first fifth is the warm-up, and one outlier is none.
    samples = [dict.fromkeys(flat, 0)] * 2 + [flat] * 5 + [dict.fromkeys(flat, 9000 << 20)] + [flat] * 2
    assert soak.growth(samples)[1] == []
    for name in flat:
        grown = {**flat, name: flat[name] * 12 // 10}
        assert [said.split()[0] for said in soak.growth([*samples[:8], grown, grown])[1]] == [name]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limits")
def test_a_disk_fails_for_a_moment_and_is_as_before(script: Callable[[str], ModuleType], tmp_path: Path) -> None:
    with script("soak_disk").Disk(tmp_path / "disk") as disk:
        file = disk.folder / "home" / "file"
        file.parent.mkdir()
        file.write_bytes(b"before")

        def write(path: Path) -> None:
            with path.open("wb", buffering=0) as opened:
                for _ in range(2):  # the first time as much is written as there is room for
                    opened.write(bytes(5000))

        async def fail(kind: str) -> None:
            before = disk.met()
            failing = asyncio.create_task(disk.fail(kind, 0, random.Random(0)))
            await asyncio.sleep(0)
            during = disk.met()
            new = file.parent / "new"
            with pytest.raises(OSError, match=r"too large|denied"):
                write(new)
            await failing
            assert before()
            assert during()
            assert not disk.met()()
            write(new)
            new.unlink()
            assert file.read_bytes() == b"before"

        assert "too_large" in disk.kinds
        for kind in disk.kinds:
            asyncio.run(fail(kind))


@pytest.mark.slow
def test_a_short_soak_finds_nothing_wrong() -> None:
    command = [sys.executable, str(SCRIPT), "--minutes", "0.15", "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    report = json.loads(done.stdout.splitlines()[-1])
    # Whether something grows only shows after minutes: make soak.
    assert report["wrong"] == [], done.stderr
    assert report["tasks"] > 100
    assert report["channel"]["done"]["status"] > 0
    assert sum(report["outcomes"].values()) >= report["tasks"]
