"""The engine's blobs: takes them in, and has them give way to tasks that lack memory.

1. Bytes in memory are set aside in the byte budget: tasks and blobs together never exceed it.
2. Taking in a blob never waits for a task to end: what finds no room in memory goes to disk.
3. As soon as a task that is next lacks bytes, blobs move to disk, and the task gets them.
4. Whoever is cancelled while a blob is written gets none; the write ends, and is undone.

All methods belong to the loop's thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tenire.concurrency.blocking import haste_s, run_blocking, wait_or_give_up
from tenire.concurrency.data.blob import Blob
from tenire.concurrency.data.table import BlobTable
from tenire.core.admission import MEMORY
from tenire.core.spilling import PAUSE_S, Spilling, shortage
from tenire.errors import ConfigError, StoreError
from tenire.storage.advice import shortage as lacks
from tenire.storage.scratch import Scratch, shared_base, sweep

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path
    from typing import Any

    from tenire.clock import Clock
    from tenire.concurrency.orchestrator import Orchestrator
    from tenire.concurrency.timer import UniversalTimer

__all__ = ["BlobStatistics", "Blobs"]

_LAST_WAIT_S = 5.0

_log = logging.getLogger("tenire.data")


@dataclass(frozen=True, slots=True)
class BlobStatistics:
    """What the blobs of an engine take.

    Attributes:
        count: Blobs that somebody has.
        memory: Bytes of those in memory; part of the byte budget.
        disk: Bytes of those on disk, or on their way there.
        disk_capacity: Bytes that may lie on disk.
        spilled: Blobs that left memory so far.
        spilled_bytes: Their bytes.
    """

    count: int
    memory: int
    disk: int
    disk_capacity: int
    spilled: int
    spilled_bytes: int


class Blobs:
    """All blobs of one engine.

    Args:
        orchestrator: Whose byte budget they share.
        disk: Returns where files go that are to lie on disk; asked on a thread.
        most: Bytes that may lie there.
        clock: The engine's clock.
        timer: The engine's timer.
    """

    def __init__(
        self, orchestrator: Orchestrator, *, disk: Callable[[], Path], most: int, clock: Clock, timer: UniversalTimer
    ) -> None:
        self._orchestrator = orchestrator
        self._timer = timer
        self._loop = orchestrator.loop
        self._clock = clock
        self._disk = disk
        self._shared = shared = shared_base()
        self._core = Spilling(most)
        self._table = BlobTable(
            self._core,
            shared=None if shared is None else Scratch(lambda: shared),
            disk=Scratch(disk),
            clock=clock,
            changed=self._changed_anywhere,
        )
        self._settling = self._tidying = False
        self._warned = False
        self._writes: set[asyncio.Task[Any]] = set()
        self._sweeping: asyncio.Task[Any] | None = None
        self._closed = False

    def start(self) -> None:
        """Remove what engines left that are gone, in the background."""
        self._sweeping = self._loop.create_task(self._sweep(), name="tenire sweep")

    async def _sweep(self) -> None:
        def everywhere() -> int:
            return sum(sweep(base) for base in (self._shared, self._disk()) if base is not None)

        try:
            swept = await run_blocking(everywhere)
        except OSError as error:  # there is no such place; whoever puts a blob there is told
            _log.warning("blobs that killed engines may have left are not looked for: %s", error)
            return
        if swept:
            _log.info("removed the blobs of %d engine(s) that were killed", swept)

    # -- coming -------------------------------------------------------------

    async def put(self, data: Any, *, name: str) -> Blob:
        """Take in bytes; see ``DataManager.put``."""
        view = _bytes_of(data, name)
        size = view.nbytes
        room = self._room()
        if room < size <= self._capacity:
            await self._wait_for_room(size - room)
            room = self._room()
        key, to_write = self._table.add(name, view, room=room)
        self._settle()
        if to_write:
            writing = self._in_background(self._write(key))
            try:
                await asyncio.shield(writing)
            except BaseException:
                self._table.release(key)
                raise
        return Blob(self._table, key, name, size)

    @property
    def _capacity(self) -> int:
        return self._orchestrator.scheduler.admission.capacity[MEMORY]

    def _room(self) -> int:
        """Return the bytes of memory that no task waits for."""
        return 0 if self.shortage() else max(0, self._orchestrator.scheduler.admission.free[MEMORY])

    def shortage(self) -> int:
        """Return the bytes that would have to come free for every task that is next somewhere."""
        scheduler = self._orchestrator.scheduler
        free = scheduler.admission.free[MEMORY]
        return shortage(scheduler.shares.backlogged, MEMORY, free, self._clock.now())

    async def _wait_for_room(self, size: int) -> None:
        self.make_room(size)
        if self._writes:
            await asyncio.wait(self._writes)

    # -- giving way -----------------------------------------------------------

    def pressed(self) -> None:
        """Take in that tasks wait, perhaps for memory that blobs have."""
        lacking = self.shortage()
        if lacking:
            self.make_room(lacking)

    def make_room(self, size: int) -> None:
        """Have blobs leave memory until ``size`` bytes came free; does not wait for that."""
        for key in self._table.make_room(size):
            self._in_background(self._spill(key))

    async def _spill(self, key: int) -> None:
        try:
            await self._write(key)
        except StoreError as error:
            _log.log(logging.DEBUG if self._warned else logging.WARNING, "%s", error)
            self._warned = True
        else:
            self._warned = False

    async def _write(self, key: int) -> None:
        try:
            try:
                await run_blocking(self._table.write, key)
            except RuntimeError as error:
                if lacks(error) is None:
                    raise
                self._table.not_written(key, error)  # the system gives no thread for it
        except StoreError:
            # Nothing else may happen by then, and whoever waits for memory would do so for ever.
            self._timer.after(PAUSE_S, self._settle)
            raise

    async def _tidy(self) -> None:
        try:
            await run_blocking(self._table.remove_trash)
        except RuntimeError:  # the system gives no thread for it
            self._timer.after(PAUSE_S, self._tidy_again)
        else:
            self._tidying = False

    def _tidy_again(self) -> None:
        self._tidying = False
        self._settle()

    def shrink(self) -> None:
        """Have all blobs leave memory."""
        self.make_room(self._core.memory)

    def _in_background(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = self._loop.create_task(work, name="tenire blobs")
        self._writes.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._writes.discard(task)
        if not task.cancelled():
            task.exception()  # told to whoever waits for it; if nobody does any more, it is of no interest
        self._settle()

    def _changed_anywhere(self) -> None:
        # Not on_loop, which calls at once: this may be in the middle of anything.
        if not self._settling:
            self._settling = True
            with contextlib.suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._settle)

    def _settle(self) -> None:
        """Bring the byte budget up to date, and have files removed that nobody needs."""
        self._settling = False
        if self._closed:
            return
        self._table.drop_lost()
        admission = self._orchestrator.scheduler.admission
        before = admission.aside.get(MEMORY, 0)
        admission.set_aside(MEMORY, self._core.memory)
        if self._core.memory < before:
            self._orchestrator.wake()
        if self._table.has_trash and not self._tidying:
            self._tidying = True
            self._in_background(self._tidy())
        if self._core.memory:
            self.pressed()

    # -- the end ----------------------------------------------------------------

    def statistics(self) -> BlobStatistics:
        """Return what they take."""
        core = self._core
        return BlobStatistics(
            count=len(core),
            memory=core.memory,
            disk=core.disk,
            disk_capacity=core.most,
            spilled=core.spilled,
            spilled_bytes=core.spilled_bytes,
        )

    async def aclose(self, *, haste: bool = False) -> None:
        """Forget all blobs and remove their files.

        Args:
            haste: Wait for a slow disk only as long as nobody notices.
        """
        self._closed = True
        self._orchestrator.scheduler.admission.set_aside(MEMORY, 0)
        work = {*self._writes, *([self._sweeping] if self._sweeping is not None else [])}
        if self._table.close() or self._writes:
            work.add(self._loop.create_task(run_blocking(self._table.remove_files), name="tenire blobs"))
        if not work:
            return
        if not await wait_or_give_up(work, haste_s() if haste else _LAST_WAIT_S):
            _log.warning("files of blobs could not be removed in time; the next engine removes them")


def _bytes_of(data: Any, name: str) -> memoryview:
    try:
        return memoryview(data).cast("B").toreadonly()
    except TypeError as error:
        message = f"the blob {name!r} must be bytes, or an array in one piece, got {type(data).__name__}: {error}"
        raise ConfigError(message, key="data") from error
