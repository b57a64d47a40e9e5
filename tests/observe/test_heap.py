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


HEAPS = """
import ctypes, threading
from tenire.observe.heap import keep_heap_small
kept = keep_heap_small()
allocate = ctypes.CDLL(None).malloc
allocate.restype = ctypes.c_void_p
together = threading.Barrier(8)
def use():
    together.wait()
    allocate(1000)
    together.wait()
threads = [threading.Thread(target=use) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
# A heap of a thread is a stretch of 64 MiB, of which little may be used.
lines = [line.split() for line in open("/proc/self/maps")]
ends = [tuple(int(end, 16) for end in line[0].split("-")) for line in lines if len(line) == 5]
starts = {start for start, _ in ends if start % (64 << 20) == 0}
print(kept, len(starts))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators have one heap, or none of these limits")
@pytest.mark.parametrize(("asked", "expected"), [(None, (True, 1)), ("4", (False, 3))])
def test_threads_share_few_heaps_unless_somebody_says_how_many(asked: str | None, expected: tuple[bool, int]) -> None:
    environment = {**_untold(), "MALLOC_MMAP_THRESHOLD_": "100000"}
    if asked is not None:
        environment["MALLOC_ARENA_MAX"] = asked
    ran = subprocess.run([sys.executable, "-c", HEAPS], env=environment, capture_output=True, text=True, check=True)
    kept, heaps = ran.stdout.split()
    assert (kept == "True", int(heaps)) == expected


LARGE = """
import ctypes
from tenire.observe.heap import keep_heap_small
kept = keep_heap_small()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.free.argtypes = [ctypes.c_void_p]
libc.free(libc.malloc(ctypes.c_size_t(16 << 20)))
block = libc.malloc(ctypes.c_size_t(1 << 20))
for line in open("/proc/self/maps"):
    first, last = (int(end, 16) for end in line.split()[0].split("-"))
    if first <= block < last:
        print(kept, "[heap]" in line)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators have no such threshold")
@pytest.mark.parametrize(("asked", "expected"), [(None, "True False"), (str(4 << 20), "False True")])
def test_a_large_block_has_pages_of_its_own_unless_somebody_says_otherwise(asked: str | None, expected: str) -> None:
    environment = {**_untold(), "MALLOC_ARENA_MAX": "1"}
    if asked is not None:
        environment["MALLOC_MMAP_THRESHOLD_"] = asked
    ran = subprocess.run([sys.executable, "-c", LARGE], env=environment, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == expected


def _untold() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}


def test_asking_twice_does_no_harm() -> None:
    assert return_memory() == return_memory()


def test_a_process_that_is_gone_holds_no_memory() -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert resident_bytes() > MIB
    assert resident_bytes(ended.pid) == 0
