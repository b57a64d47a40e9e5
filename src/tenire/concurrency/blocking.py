"""Blocking functions of the engine's own, on daemon threads.

A loop has one executor for them, whoever runs it, and it is not the loop's default one:
``asyncio.run`` joins that at its end, and a disk that hangs would hold up Ctrl-C.

1. At most ``MOST`` run at once, those that nobody waits for any more left out; what comes
   then waits its turn.
2. Whoever is cancelled waits no longer; the function goes on, and ends with the program at
   the latest. A thread that has nothing left to do ends.
3. What must be done, such as giving back a lock or writing a result down, is waited for with
   ``unbroken``, however long it takes. What may be left undone, such as the last lines of
   the event log, is waited for with a limit: ``HASTE_S`` if there is no time, and
   ``LEAST_S`` once somebody has waited in vain, as the disk answers no one else either.
4. What an engine leaves behind at its end is named, once.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import os
import threading
import weakref
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from tenire.concurrency.daemon_executor import DaemonExecutor, names_of
from tenire.concurrency.unbroken import unbroken

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = [
    "HASTE_S",
    "LEAST_S",
    "MOST",
    "acquire_blocking",
    "haste_s",
    "hurry",
    "run_blocking",
    "stuck_functions",
    "wait_or_give_up",
]

P = ParamSpec("P")
T = TypeVar("T")

MOST = min(32, (os.cpu_count() or 1) + 4)
HASTE_S = 0.25
LEAST_S = 0.05
_REMEMBERED_S = 10.0
"""How long a disk counts as one that hangs after somebody waited for it in vain."""
_HASTE_LASTS_S = 1.0


class _Blocking(DaemonExecutor):
    """The executor of one loop.

    Attributes:
        gave_up_at: When somebody last waited for a function in vain, in the loop's time.
        hurried_at: When there was last no time to wait.
        waits: Those that wait now, for a limited time.
    """

    def __init__(self) -> None:
        super().__init__("tenire-blocking", MOST, keep=False)
        self.gave_up_at = self.hurried_at = float("-inf")
        self.waits: set[asyncio.Timeout] = set()


_executors: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Blocking] = weakref.WeakKeyDictionary()


def _executor(loop: asyncio.AbstractEventLoop) -> _Blocking:
    found = _executors.get(loop)
    if found is None:
        found = _executors[loop] = _Blocking()
    return found


async def run_blocking(fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a blocking function on a thread and return what it returns; context variables are carried."""
    loop = asyncio.get_running_loop()
    call = functools.partial(contextvars.copy_context().run, fn, *args, **kwargs)
    return await loop.run_in_executor(_executor(loop), call)


def haste_s() -> float:
    """Return for how many seconds to wait for a disk when there is no time; on a loop."""
    loop = asyncio.get_running_loop()
    return LEAST_S if loop.time() < _executor(loop).gave_up_at + _REMEMBERED_S else HASTE_S


def hurry() -> None:
    """Have those that wait for a disk with a limit, now or in a moment, wait only for ``haste_s``; on a loop."""
    loop = asyncio.get_running_loop()
    executor = _executor(loop)
    executor.hurried_at = loop.time()
    soon = loop.time() + haste_s()
    for limit in executor.waits:
        if (until := limit.when()) is None or until > soon:
            limit.reschedule(soon)


async def wait_or_give_up(tasks: Iterable[asyncio.Future[Any]], seconds: float) -> bool:
    """Wait for tasks that wait for a disk; those that are late are cancelled, and their functions go on alone.

    Args:
        tasks: The tasks, or what ``run_in_executor`` returns for a function on a thread of one's own.
        seconds: To wait at the most; 0 or less only looks.

    Returns:
        Whether all of them were in time.
    """
    loop = asyncio.get_running_loop()
    executor = _executor(loop)
    left = [task for task in tasks if not task.done()]
    if not left:
        return True
    if loop.time() < executor.hurried_at + _HASTE_LASTS_S:
        seconds = min(seconds, haste_s())
    limit = asyncio.timeout(max(0.0, seconds))
    executor.waits.add(limit)
    try:
        async with limit:
            await asyncio.wait(left)
    except TimeoutError:
        left = [task for task in left if not task.done()]
    else:
        return True
    finally:
        executor.waits.discard(limit)
    executor.gave_up_at = loop.time()
    executor.at_exit = 0.0
    for task in left:
        task.add_done_callback(_observe)
        task.cancel()
    await asyncio.wait(left, timeout=LEAST_S)
    return False


async def acquire_blocking(acquire: Callable[[], T], undo: Callable[[T], object]) -> T:
    """Get something by a blocking function; whoever is cancelled meanwhile gets nothing, and it is undone.

    Args:
        acquire: Returns it.
        undo: Is given it, on a thread, if it came though nobody wants it any more.
    """
    got: list[T] = []
    wanted, guard = True, threading.Lock()

    def get() -> None:
        value = acquire()
        with guard:
            if wanted:
                got.append(value)
                return
        undo(value)  # every task of the loop was cancelled, even the one that waited for this, as at the loop's end

    try:
        await unbroken(run_blocking(get))
    except asyncio.CancelledError:
        with guard:
            wanted = False
        for value in got:
            await unbroken(run_blocking(undo, value))
        raise
    return got[0]


def _observe(task: asyncio.Future[Any]) -> None:
    """Take in an error that nobody waits for any more."""
    if not task.cancelled():
        task.exception()


async def stuck_functions(grace: float = HASTE_S) -> list[str]:
    """Return the names of this loop's functions that nobody waits for and that do not return.

    Each of them is named once.

    Args:
        grace: Seconds that they may take at the most, if nobody has waited in vain before.
    """
    executor = _executor(asyncio.get_running_loop())
    await asyncio.sleep(0)  # who was cancelled in this turn has let go of its function in the next one
    left = [job for job in executor.running() if job.abandoned and not job.named]
    if left and haste_s() == HASTE_S:  # nobody has waited in vain yet
        waiting = [asyncio.wrap_future(job) for job in left]
        await asyncio.wait(waiting, timeout=grace)
        for one in waiting:
            if not one.cancel():
                _observe(one)
    return names_of(job for job in left if not job.done())
