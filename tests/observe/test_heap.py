from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

from tenire.observe.heap import resident_bytes, return_memory

MIB = 1 << 20
# In a process of its own: this one's heap is full of holes from other tests.
PROGRAM = """
from tenire.observe.heap import resident_bytes, return_memory
blocks = [bytes(100_000) for _ in range(1000)]
kept = blocks[::20]
del blocks
before = resident_bytes()
assert return_memory()
print(before - resident_bytes())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators give memory back by themselves")
def test_freed_memory_goes_back_to_the_system() -> None:
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": str(MIB), "MALLOC_TRIM_THRESHOLD_": str(1 << 30)}
    ran = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True)
    assert int(ran.stdout) > 50 * MIB


def test_asking_twice_does_no_harm() -> None:
    assert return_memory() == return_memory()


def test_a_process_that_is_gone_holds_no_memory() -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert resident_bytes() > MIB
    assert resident_bytes(ended.pid) == 0
