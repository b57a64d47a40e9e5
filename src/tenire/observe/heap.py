"""Gives memory that this process has freed back to the system.

The only place that knows allocators. A freed block usually stays with the process:
glibc keeps whole arenas, macOS its zones. Where nothing is known nothing is done.
"""

from __future__ import annotations

import ctypes
import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["keep_heap_small", "memory_returned", "resident_bytes", "return_memory"]

_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8
_ARENAS = 2
_LARGE = 64 << 10


def keep_heap_small() -> bool:
    """Have the allocator share a few heaps between all threads, and keep large blocks out of them.

    Returns:
        Whether there was a way to ask.

    glibc gives each thread a heap, up to eight for each core. A library with threads of its own
    leaves holes in all of them, which nobody else can use: after two compactions of LanceDB
    that was a third of the whole process.

    A large block has pages of its own, which go back to the system with it. But whenever one is
    freed, glibc takes blocks of that size for small ones from then on, up to 32 MiB: they come to
    lie in the heaps and leave holes there, 25 MB more while an index is built. Said once, the
    size stays. Of blocks between 64 and 256 KiB a run leaves holes of 10 MB within a minute.

    Who says ``MALLOC_ARENA_MAX`` or ``MALLOC_MMAP_THRESHOLD_`` is obeyed.
    """
    if sys.platform != "linux":
        return False
    # musl has no such function: it has one heap.
    tell = getattr(ctypes.CDLL(None), "mallopt", None)
    if tell is None:
        return False
    told = False
    for variable, option, value in (
        ("MALLOC_ARENA_MAX", _M_ARENA_MAX, _ARENAS),
        ("MALLOC_MMAP_THRESHOLD_", _M_MMAP_THRESHOLD, _LARGE),
    ):
        if variable not in os.environ:
            told = bool(tell(ctypes.c_int(option), ctypes.c_int(value))) or told
    return told


def return_memory() -> bool:
    """Have the allocator give back what is free; return whether there was a way to ask.

    Takes milliseconds for a large heap; other threads run meanwhile.
    """
    _release_arrow()
    if sys.platform == "linux":
        return _trim_glibc()
    if sys.platform == "darwin":
        ctypes.CDLL(None).malloc_zone_pressure_relief(None, ctypes.c_size_t(0))
        return True
    if sys.platform == "win32":
        kernel = ctypes.windll.kernel32
        kernel.GetProcessHeap.restype = ctypes.c_void_p
        kernel.HeapCompact.argtypes = (ctypes.c_void_p, ctypes.c_uint32)
        kernel.HeapCompact(kernel.GetProcessHeap(), 0)
        return True
    return False


@contextmanager
def memory_returned() -> Iterator[None]:
    """Do before and after the block what ``return_memory`` does, however it ends."""
    return_memory()
    try:
        yield
    finally:
        return_memory()


def _trim_glibc() -> bool:
    # musl has no such function: it gives back by itself.
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is None:
        return False
    trim.argtypes = (ctypes.c_size_t,)
    trim(0)
    return True


def _release_arrow() -> None:
    """Release what the store's memory pool keeps; only if it was loaded, and without loading it."""
    arrow = sys.modules.get("pyarrow")
    if arrow is not None and hasattr(arrow, "default_memory_pool"):
        arrow.default_memory_pool().release_unused()


def resident_bytes(pid: int | None = None) -> int:
    """Return the memory of a process that is resident now, bytes; 0 if there is no such process.

    Args:
        pid: The process; default: this one.
    """
    # Imported here: a process that never asks does not need it.
    import psutil

    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0
