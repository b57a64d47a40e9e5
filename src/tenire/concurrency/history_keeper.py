"""Keeps what tasks usually take in the ledger of the engine's home.

1. It is read once, at the start, on a thread. Until then the engine knows only what
   it has seen itself; that counts as newer.
2. It is written every ``PERIOD_S`` and at the end, on a thread, and only the names
   that have changed.
3. Nothing that goes wrong here stops the engine: it is logged once. What could not
   be written is tried again the next time. If it is broken off, or hangs, its supervisor
   starts it again; what hangs is not begun a second time beside that.
4. A home that does not exist yet is made only once there is something to keep.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from tenire.concurrency.blocking import haste_s, run_blocking, wait_or_give_up
from tenire.core.history import History
from tenire.errors import HomeBusyError
from tenire.storage.home import Home, HomeLock
from tenire.storage.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable
    from pathlib import Path

    from tenire.concurrency.periodic import Periodic
    from tenire.concurrency.supervisor import Life
    from tenire.concurrency.timer import Timeout
    from tenire.core.history import Row

__all__ = ["PERIOD_S", "HistoryKeeper"]

PERIOD_S = 60.0

_LAST_WAIT_S = 5.0

_log = logging.getLogger("tenire.history")


class HistoryKeeper:
    """Loads and saves the history of one engine; on the engine's loop.

    Args:
        history: The scheduler's.
        home: The engine's home; without one nothing is kept.
        every: Calls a function again and again, given the period in seconds.
    """

    def __init__(
        self, history: History, home: Path | None, *, every: Callable[[float, Callable[[], object]], Periodic | Timeout]
    ) -> None:
        self._history = history
        self._path = home
        self._home: Home | None = None
        self._loaded = False
        self._every = every
        self._ticking: Periodic | Timeout | None = None
        self._work: asyncio.Task[None] | None = None
        self._told = False
        self._fell: Callable[[BaseException], object] = _note_fall

    async def run(self, life: Life) -> None:
        """Be a component: load, and save, for as long as it lives."""
        self._fell = life.fail
        self.start()
        life.ready()
        try:
            await life.wait_told_to_end()
        finally:
            if self._ticking is not None:
                self._ticking.cancel()

    def ask(self, beat: Callable[[], None]) -> None:
        """Have ``beat`` called once nothing is read or written: a disk that hangs gives no sign of life."""
        if self._work is None or self._work.done():
            beat()
        else:
            self._work.add_done_callback(lambda _: beat())

    def start(self) -> None:
        """Begin to load, unless that was done or goes on, and save from now on."""
        if self._path is not None:
            if not self._loaded and (self._work is None or self._work.done()):
                self._begin(self._load(self._path))
            self._ticking = self._every(PERIOD_S, self._tick)

    async def aclose(self, *, haste: bool = False) -> None:
        """Save for the last time; the engine's tasks must have ended.

        Args:
            haste: Wait for a slow disk only as long as nobody notices.
        """
        if self._ticking is None:
            return
        self._ticking.cancel()
        self._fell = lambda _: None  # from here on it is told below
        limit = haste_s() if haste else _LAST_WAIT_S
        saving = asyncio.get_running_loop().create_task(self._save_last(), name="tenire history file")
        if not await wait_or_give_up([saving], limit):
            if self._work is not None:
                self._work.cancel()
            self._tell("saved", "the disk did not answer in time")

    async def _save_last(self) -> None:
        if self._work is not None:
            await asyncio.wait([self._work])
        await self._save()

    def _tick(self) -> None:
        if self._work is None or self._work.done():
            self._begin(self._save())

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        self._work = asyncio.get_running_loop().create_task(work, name="tenire history file")
        self._work.add_done_callback(self._ended)

    def _ended(self, work: asyncio.Task[None]) -> None:
        error = asyncio.CancelledError() if work.cancelled() else work.exception()
        if error is not None:
            self._fell(error)

    async def _load(self, path: Path) -> None:
        try:
            self._home = await run_blocking(Home, path)
            known = await run_blocking(_read, self._home)
        except Exception as error:  # noqa: BLE001 - rule 3
            self._tell("read", error)
        else:
            self._history.absorb(known)
        self._loaded = True

    async def _save(self) -> None:
        home = self._home
        if home is None or not (rows := self._history.changes()):
            return
        try:
            await run_blocking(_write, home, rows)
        except asyncio.CancelledError:
            self._history.keep_trying(rows)  # it may have been written; the next time it is written over
            raise
        except HomeBusyError:
            self._history.keep_trying(rows)  # another engine is making the ledger right now
        except Exception as error:  # noqa: BLE001 - rule 3
            self._history.keep_trying(rows)
            self._tell("saved", error)

    def _tell(self, what: str, error: object) -> None:
        level = logging.DEBUG if self._told else logging.WARNING
        self._told = True
        _log.log(level, "what tasks usually take could not be %s: %s", what, error)


def _read(home: Home) -> History:
    if not Ledger.exists(home):
        return History()
    with Ledger.read(home) as ledger:
        return History.from_rows(ledger.history.rows())


def _write(home: Home, rows: Iterable[Row]) -> None:
    if Ledger.exists(home):
        with Ledger.join(home) as ledger:
            ledger.history.save(rows)
    else:
        # With the lock, as any engine that makes a ledger: two at once would get in each other's way.
        with HomeLock(home), Ledger.open(home) as ledger:
            ledger.history.save(rows)


def _note_fall(error: BaseException) -> None:
    _log.error("keeping what tasks usually take was broken off", exc_info=error)
