"""The replies, claims and money of one home, kept in its ledger by one thread.

Everything that is asked for while a commit runs goes into the next one: a disk that takes
five milliseconds for a commit keeps thousands of replies a second.

1. What ``finish`` is told is durable when it returns; whoever waits for the reply sees it
   after that.
2. Claims, and money that is held, are moved on for as long as there are any; those of a
   program that was killed run out. What calls of one that was killed were expected to cost
   counts as spent.
3. Other programs may use the same home meanwhile, an engine too.
4. What could not be written is an error for whoever waits for it. Its claim ends all the same,
   so that others can ask, but it was paid for: it is written later, before anything new is
   begun, and every ``RENEW_S`` seconds. While that fails nothing new is begun.
5. If the thread dies, whoever waits asks a new one, once: what ended and is kept is not written
   again, and no claim stays that nobody holds. If that one dies too, it is an error as in 4. So
   it is at once for a step of ``run``, which may be done or not.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, cast

from tenire.clock import SYSTEM_CLOCK
from tenire.concurrency.batch_thread import BatchThread
from tenire.concurrency.blocking import acquire_blocking, run_blocking
from tenire.concurrency.unbroken import unbroken
from tenire.errors import RejectedError, StoreError
from tenire.llm.reply_server import Ended, Expected, Holding, Look, Question, ReplyServer, Simple, Step, is_claim
from tenire.storage.owners import RENEW_S
from tenire.storage.replies import Began, Wanted

if TYPE_CHECKING:
    import os
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from tenire.clock import Clock
    from tenire.concurrency.timer import Timeout, UniversalTimer
    from tenire.llm.replies import Answer, Vector
    from tenire.storage.ledger import Ledger
    from tenire.storage.spending import Charge, Hold, Spent

__all__ = ["ReplyLog"]

T = TypeVar("T")

_GATHER_S = 1e-3  # while there are many calls: a commit for each reply costs five times as much as one for all
_MANY = 8  # calls under way


class ReplyLog:
    """The thread and the way to it; used from one event loop. Make one with ``open``.

    Args:
        server: What the thread works with.
        timer: The engine's.

    Attributes:
        timer: The engine's.
        recorded: Is told of so many picodollars whenever what ended is written down, with what it cost.
    """

    def __init__(self, server: ReplyServer, timer: UniversalTimer) -> None:
        self._server = server
        self.timer = timer
        self.recorded: Callable[[int], object] = lambda cost: None
        self._claimed: set[bytes] = set()  # requests that are under way
        self._expected: set[int] = set()
        self._numbers = itertools.count(1)
        self._thread: BatchThread[Question, Any] = BatchThread(
            server.serve,
            name="tenire replies",
            gather=lambda: _GATHER_S if len(self._claimed) >= _MANY else 0.0,
            failure=StoreError,
        )
        self._held = 0
        self._watched: set[str] = set()
        self._timeout: Timeout | None = None
        self._late: list[Ended] = []  # what could not be written yet
        self._closing = False

    @classmethod
    async def open(
        cls, home: str | os.PathLike[str], *, most: int, timer: UniversalTimer, clock: Clock = SYSTEM_CLOCK
    ) -> ReplyLog:
        """Open the ledger of a home, made if there is none.

        Args:
            home: The directory.
            most: Bytes that replies may take in it.
            timer: The engine's.
            clock: Tells the time.

        Raises:
            StoreError: If it cannot be used.
        """
        return cls(await acquire_blocking(partial(ReplyServer, home, most, clock), ReplyServer.close), timer)

    async def begin(self, key: bytes, made_after: float = 0.0) -> Answer | Vector | Began:
        """Return a reply that is kept, or claim the request; see ``storage.replies``."""
        return await self._or_again(partial(self._begin, key, made_after))

    async def _begin(self, key: bytes, made_after: float) -> Answer | Vector | Began:
        if self._late:
            await self._write_late()
        deaths = self._thread.deaths
        asked = self._thread.ask(Wanted(key, made_after))
        try:
            found = await asyncio.shield(asked)
        except asyncio.CancelledError:
            asked.add_done_callback(partial(self._unclaim, key, deaths))
            raise
        except StoreError:
            self._unclaim(key, deaths, asked)
            raise
        if is_claim(found):
            self._claimed.add(key)
            self._set_timer()
        return cast("Answer | Vector | Began", found)

    async def expect(self, charge: Charge) -> int:
        """Have the home know what a call is going to cost, before it is sent; return a number for that.

        It is for ``finish``, with what the call did cost, or for ``withdraw``. When the program
        is killed, the charge counts as spent.
        """
        return await self._or_again(partial(self._expect, charge))

    async def _expect(self, charge: Charge) -> int:
        if self._late:
            await self._write_late()
        number = next(self._numbers)
        asked = self._thread.ask(Expected(number, charge))
        self._expected.add(number)
        self._set_timer()
        try:
            await asyncio.shield(asked)
        except BaseException:
            self.withdraw(number)
            raise
        return number

    def withdraw(self, number: int) -> None:
        """Take in that a call which was expected to cost something does not."""
        self._expected.discard(number)
        with contextlib.suppress(RejectedError):  # it closes
            self._forget(self._thread.ask(Expected(number, None)))

    async def settle_lost(self) -> Spent:
        """Charge what calls of programs that were killed were expected to cost; return that."""
        return cast("Spent", await self._thread.ask(Simple("settle_lost")))

    def finish(
        self,
        key: bytes | None,
        reply: Answer | Vector | None,
        charges: Sequence[Charge] = (),
        expected: Sequence[int] = (),
    ) -> asyncio.Future[None]:
        """Keep a reply, if there is one, and charges; give up the claim on ``key``, which must be held.

        It will be done, whatever becomes of the caller. The future, which must not be
        cancelled, tells when it is durable. ``expected`` are numbers from ``expect`` for which
        the charges stand.
        """
        if key is not None:
            self._claimed.discard(key)
        self._expected.difference_update(expected)
        return self._end(Ended(key, reply, charges, expected))

    def keep(
        self, vectors: Mapping[bytes, Vector], charges: Sequence[Charge], expected: Sequence[int] = ()
    ) -> asyncio.Future[None]:
        """Keep vectors that nobody claimed, with what they cost together; as ``finish``."""
        for key, vector in vectors.items():
            self._end(Ended(key, vector, (), ()))
        return self.finish(None, None, charges, expected)  # after the others, so it is durable after them

    async def find(self, keys: Sequence[bytes]) -> dict[bytes, Answer | Vector]:
        """Return the replies that are kept, by key, without claiming the others."""
        return cast("dict[bytes, Answer | Vector]", await self._or_again(partial(self._thread.ask, Look(keys))))

    async def hold(self, wanted: int, *, least: int, keep: int, limit: int) -> Hold:
        """Keep money for this program; see ``SpendingTable.hold``."""
        return await self._or_again(partial(self._hold, Holding(wanted, least, keep, limit)))

    async def _hold(self, holding: Holding) -> Hold:
        if self._late:
            await self._write_late()
        found = cast("Hold", await self._thread.ask(holding))
        self._held = found.held
        self._set_timer()
        return found

    async def run(self, step: Callable[[Ledger, str], T]) -> T:
        """Do something short with the ledger, on the thread, and return what it returns.

        Args:
            step: Is given the ledger, and the name for marks of this program.
        """
        return cast("T", await self._thread.ask(Step(step)))

    @property
    def watched(self) -> frozenset[str]:
        """The batches at a provider that this program looks after."""
        return frozenset(self._watched)

    def watch(self, batch: str) -> None:
        """Look after a batch at a provider from now on."""
        self._watched.add(batch)
        self._set_timer()

    def unwatch(self, batch: str) -> None:
        """Look after a batch no more."""
        self._watched.discard(batch)

    async def total(self) -> Spent:
        """Return what was spent in this home."""
        return cast("Spent", await self._or_again(partial(self._thread.ask, Simple("total"))))

    async def by_pipeline(self) -> dict[str, Spent]:
        """Return what each pipeline has spent in this home."""
        return cast("dict[str, Spent]", await self._or_again(partial(self._thread.ask, Simple("by_pipeline"))))

    async def aclose(self) -> None:
        """Give up what this program holds, write everything down, and close the ledger."""
        if not self._closing:
            self._write_again()
        self._closing = True
        if self._timeout is not None:
            self._timeout.cancel()
            self._timeout = None
        await self._thread.aclose()
        if self._late and self._thread.deaths:  # what was to be written last may have met the thread's death
            await unbroken(run_blocking(partial(self._server.serve, [*self._late])))
        await unbroken(run_blocking(self._server.close))

    def _unclaim(self, key: bytes, deaths: int, asked: asyncio.Future[Any]) -> None:
        """Give up a claim that came too late for who wanted it, or that a thread may have made before it died."""
        if asked.cancelled():
            return
        if asked.exception() is not None:
            mine = self._thread.deaths > deaths and key not in self._claimed
        else:
            mine = is_claim(asked.result())
        if mine:
            with contextlib.suppress(RejectedError):  # it closes, and gives up all claims as it does
                self._end(Ended(key, None, (), ()))

    async def _or_again(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask, and once more if the thread died before it answered."""
        deaths = self._thread.deaths
        try:
            return await ask()
        except StoreError:
            if self._thread.deaths == deaths:
                raise
        # A turn later: by then all who wanted the same have given up the claim that the thread may have
        # made. One who did so after the first of them has claimed it again would take it from that one.
        await asyncio.sleep(0)
        return await ask()

    def _end(self, ended: Ended) -> asyncio.Future[None]:
        told: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._write(ended, told, again=True)
        return told

    def _write(self, ended: Ended, told: asyncio.Future[None], *, again: bool) -> None:
        asked: asyncio.Future[None] = self._thread.ask(ended)
        asked.add_done_callback(partial(self._ended, ended, told, self._thread.deaths, again))

    def _ended(
        self, ended: Ended, told: asyncio.Future[None], deaths: int, again: bool, asked: asyncio.Future[None]
    ) -> None:
        error = asked.exception()
        if isinstance(error, StoreError) and self._thread.deaths > deaths:
            if ended.kept:
                error = None  # only the word of it was lost
            elif again:
                with contextlib.suppress(RejectedError):  # it closes, and writes it then
                    self._write(ended, told, again=False)
                    return
        if error is None or (ended.kept and isinstance(error, (StoreError, MemoryError))):
            self.recorded(sum(charge.cost for charge in ended.charges))
        elif isinstance(error, (StoreError, MemoryError)):
            self._late.append(ended)
            self._set_timer()
        if told.done():
            return
        if error is None:
            told.set_result(None)
        else:
            told.set_exception(error)
            told.exception()  # it is known: if nobody waits for it, the calls that follow will say so

    def _write_again(self) -> list[asyncio.Future[None]]:
        late, self._late = self._late, []
        return [self._end(one) for one in late]

    async def _write_late(self) -> None:
        """Write what could not be written before.

        Raises:
            StoreError: If it still cannot be.
        """
        writing = self._write_again()
        await asyncio.wait(writing)
        for one in writing:
            one.result()

    def _forget(self, asked: asyncio.Future[Any]) -> None:
        # If it could not be written, the calls that follow will say so.
        asked.add_done_callback(lambda done: done.cancelled() or done.exception())

    def _set_timer(self) -> None:
        if self._timeout is None and not self._closing and self._needs_marks():
            self._timeout = self.timer.after(RENEW_S, self._renew)

    def _needs_marks(self) -> bool:
        return bool(self._claimed) or self._held > 0 or bool(self._expected or self._watched or self._late)

    def _renew(self) -> None:
        self._timeout = None
        if self._needs_marks():
            self._write_again()
            self._forget(self._thread.ask(Simple("renew")))
            self._set_timer()
