"""The replies, claims and money of one home, kept in its ledger by one thread.

Everything that is asked for while a commit runs goes into the next one: a disk that takes
five milliseconds for a commit keeps thousands of replies a second.

1. What ``finish`` is told is durable when it returns; whoever waits for the reply sees it
   after that.
2. Claims, and money that is held, are moved on for as long as there are any; those of a
   program that was killed run out.
3. Other programs may use the same home meanwhile, an engine too.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypeVar, cast

from tenire.clock import SYSTEM_CLOCK
from tenire.concurrency.batch_thread import BatchThread
from tenire.concurrency.blocking import acquire_blocking, run_blocking
from tenire.concurrency.unbroken import unbroken
from tenire.errors import HomeBusyError, RejectedError, StoreError
from tenire.llm.replies import pack, unpack
from tenire.storage.home import Home, HomeLock
from tenire.storage.ledger import Ledger
from tenire.storage.owners import RENEW_S, new_owner
from tenire.storage.replies import Began, Finished, Kept, Wanted

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping, Sequence

    from tenire.clock import Clock
    from tenire.concurrency.timer import Timeout, UniversalTimer
    from tenire.llm.replies import Answer, Vector
    from tenire.storage.spending import Charge, Hold, Spent

__all__ = ["ReplyLog"]

T = TypeVar("T")

_PATIENCE_S = 30.0
_PAUSE_S = 0.05
_GATHER_S = 1e-3  # while there are many calls: a commit for each reply costs five times as much as one for all
_MANY = 8  # calls under way

_log = logging.getLogger("tenire.llm")


class _Ended(NamedTuple):
    key: bytes | None
    reply: Answer | Vector | None
    charges: Sequence[Charge]


class _Look(NamedTuple):
    keys: Sequence[bytes]


class _Holding(NamedTuple):
    wanted: int
    least: int
    keep: int
    limit: int


class _Simple(NamedTuple):
    """Something that is asked for rarely.

    Attributes:
        name: The method of ``_Server`` that does it.
    """

    name: str


class _Step(NamedTuple):
    step: Callable[[Ledger, str], Any]


_Asked: TypeAlias = "Wanted | _Ended | _Look | _Holding | _Simple | _Step"


class ReplyLog:
    """The thread and the way to it; used from one event loop. Make one with ``open``.

    Args:
        server: What the thread works with.
        timer: The engine's.

    Attributes:
        timer: The engine's.
    """

    def __init__(self, server: _Server, timer: UniversalTimer) -> None:
        self._server = server
        self.timer = timer
        self._marks = 0  # claims under way
        self._thread: BatchThread[_Asked, Any] = BatchThread(
            server.serve, name="tenire replies", gather=lambda: _GATHER_S if self._marks >= _MANY else 0.0
        )
        self._held = 0
        self._watched: set[str] = set()
        self._timeout: Timeout | None = None

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
        return cls(await acquire_blocking(partial(_Server, home, most, clock), _Server.close), timer)

    async def begin(self, key: bytes, made_after: float = 0.0) -> Answer | Vector | Began:
        """Return a reply that is kept, or claim the request; see ``storage.replies``."""
        asked = self._thread.ask(Wanted(key, made_after))
        try:
            found = await asyncio.shield(asked)
        except asyncio.CancelledError:
            asked.add_done_callback(partial(self._unclaim, key))
            raise
        if _is_claim(found):
            self._marks += 1
            self._set_timer()
        return cast("Answer | Vector | Began", found)

    def finish(
        self, key: bytes | None, reply: Answer | Vector | None, charges: Sequence[Charge] = ()
    ) -> asyncio.Future[None]:
        """Keep a reply, if there is one, and charges; give up the claim on ``key``, which must be held.

        It will be done, whatever becomes of the caller. The future, which must not be
        cancelled, tells when it is durable.
        """
        if key is not None:
            self._marks -= 1
        return self._thread.ask(_Ended(key, reply, charges))

    def keep(self, vectors: Mapping[bytes, Vector], charges: Sequence[Charge]) -> asyncio.Future[None]:
        """Keep vectors that nobody claimed, with what they cost together; as ``finish``."""
        for key, vector in vectors.items():
            self._forget(self._thread.ask(_Ended(key, vector, ())))
        return self._thread.ask(_Ended(None, None, charges))  # after the others, so it is durable after them

    async def find(self, keys: Sequence[bytes]) -> dict[bytes, Answer | Vector]:
        """Return the replies that are kept, by key, without claiming the others."""
        return cast("dict[bytes, Answer | Vector]", await self._thread.ask(_Look(keys)))

    async def hold(self, wanted: int, *, least: int, keep: int, limit: int) -> Hold:
        """Keep money for this program; see ``SpendingTable.hold``."""
        found = cast("Hold", await self._thread.ask(_Holding(wanted, least, keep, limit)))
        self._held = found.held
        self._set_timer()
        return found

    async def run(self, step: Callable[[Ledger, str], T]) -> T:
        """Do something short with the ledger, on the thread, and return what it returns.

        Args:
            step: Is given the ledger, and the name for marks of this program.
        """
        return cast("T", await self._thread.ask(_Step(step)))

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
        return cast("Spent", await self._thread.ask(_Simple("total")))

    async def by_pipeline(self) -> dict[str, Spent]:
        """Return what each pipeline has spent in this home."""
        return cast("dict[str, Spent]", await self._thread.ask(_Simple("by_pipeline")))

    async def aclose(self) -> None:
        """Give up what this program holds, write everything down, and close the ledger."""
        if self._timeout is not None:
            self._timeout.cancel()
            self._timeout = None
        await self._thread.aclose()
        await unbroken(run_blocking(self._server.close))

    def _unclaim(self, key: bytes, asked: asyncio.Future[Any]) -> None:
        """Give up a claim that came too late for who wanted it."""
        if not asked.cancelled() and asked.exception() is None and _is_claim(asked.result()):
            with contextlib.suppress(RejectedError):  # it closes, and gives up all claims as it does
                self._forget(self._thread.ask(_Ended(key, None, ())))

    def _forget(self, asked: asyncio.Future[Any]) -> None:
        # If it could not be written, the calls that follow will say so.
        asked.add_done_callback(lambda done: done.cancelled() or done.exception())

    def _set_timer(self) -> None:
        if self._timeout is None and self._needs_marks():
            self._timeout = self.timer.after(RENEW_S, self._renew)

    def _needs_marks(self) -> bool:
        return self._marks > 0 or self._held > 0 or bool(self._watched)

    def _renew(self) -> None:
        self._timeout = None
        if self._needs_marks():
            self._forget(self._thread.ask(_Simple("renew")))
            self._set_timer()


class _Server:
    """What happens on the thread."""

    def __init__(self, home: str | os.PathLike[str], most: int, clock: Clock) -> None:
        self._ledger = _open(Home(home), clock)
        self._owner = new_owner()
        self._most = most
        self._open = True

    def serve(self, asked: list[_Asked]) -> list[Any]:
        """Return the answers, in order; errors where there are none."""
        # First what others may be waiting for.
        kept = _try(self._finish, [one for one in asked if isinstance(one, _Ended)])
        found = _try(self._begin, {one.key: one for one in asked if isinstance(one, Wanted)})
        return [self._answer(one, kept, found) for one in asked]

    def _answer(self, one: _Asked, kept: Any, found: Any) -> Any:
        if isinstance(one, _Ended):
            return kept
        if isinstance(one, Wanted):
            if isinstance(found, Exception):
                return found
            answer = found[one.key]
            if _is_claim(answer):
                found[one.key] = Began.UNDER_WAY  # two of this program want the same: one of them makes the call
            return answer
        if isinstance(one, _Holding):
            hold = partial(self._ledger.spending.hold, self._owner, least=one.least, keep=one.keep, limit=one.limit)
            return _try(hold, one.wanted)
        if isinstance(one, _Look):
            return _try(self._look, one.keys)
        if isinstance(one, _Step):
            return _try(self._do, one)
        return _try(getattr(self, one.name))

    def _do(self, step: _Step) -> Any:
        value = step.step(self._ledger, self._owner)
        self._ledger.replies.trim(self._most)
        return value

    def _finish(self, ended: list[_Ended]) -> None:
        if ended:
            packed = [Finished(key, None if reply is None else pack(reply), charges) for key, reply, charges in ended]
            self._ledger.replies.finish(self._owner, packed)
            self._ledger.replies.trim(self._most)

    def _begin(self, wanted: dict[bytes, Wanted]) -> dict[bytes, Answer | Vector | Began]:
        if not wanted:
            return {}
        begun = zip(wanted, self._ledger.replies.begin(self._owner, list(wanted.values())), strict=True)
        kept: dict[bytes, Kept] = {}
        answers: dict[bytes, Answer | Vector | Began] = {}
        for key, one in begun:
            if isinstance(one, Kept):
                kept[key] = one
            else:
                answers[key] = one
        found, damaged = _unpacked(kept)
        answers.update(found)
        if damaged:
            self._ledger.replies.drop(damaged)
            answers.update(self._begin({key: wanted[key] for key in damaged}))
        return answers

    def _look(self, keys: Sequence[bytes]) -> dict[bytes, Answer | Vector]:
        found, damaged = _unpacked(self._ledger.replies.find(keys))
        self._ledger.replies.drop(damaged)
        return found

    def total(self) -> Spent:
        """Return what was spent in this home."""
        return self._ledger.spending.total()

    def by_pipeline(self) -> dict[str, Spent]:
        """Return what each pipeline has spent in this home."""
        return self._ledger.spending.by_pipeline()

    def renew(self) -> None:
        """Move on what this program holds."""
        self._ledger.replies.renew(self._owner)

    def close(self) -> None:
        """Give up what this program holds, and close the ledger; closing twice is fine."""
        if not self._open:
            return
        self._open = False
        try:
            self._ledger.replies.release(self._owner)
            self._ledger.spending.release(self._owner)
        finally:
            self._ledger.close()


def _open(home: Home, clock: Clock) -> Ledger:
    tries = int(_PATIENCE_S / _PAUSE_S)
    pause = threading.Event().wait  # of an event that never comes
    while not Ledger.exists(home):
        try:
            with HomeLock(home):
                Ledger.open(home, clock=clock).close()
        except HomeBusyError:  # somebody else is making it right now
            tries -= 1
            if not tries:
                raise
            pause(_PAUSE_S)
    return Ledger.join(home, clock=clock, patience_s=_PATIENCE_S)


def _is_claim(found: Any) -> bool:
    return isinstance(found, Began) and found.is_claim


def _try(fn: Callable[..., Any], *args: Any) -> Any:
    """Return what a step returns, or how it failed: the others of a batch go on."""
    try:
        return fn(*args)
    except Exception as error:  # noqa: BLE001 - it is the answer
        return error


def _unpacked(kept: Mapping[bytes, Kept]) -> tuple[dict[bytes, Answer | Vector], list[bytes]]:
    """Return what is kept, and the keys of what is damaged."""
    found, damaged = {}, []
    for key, one in kept.items():
        try:
            found[key] = unpack(one.reply, one.made_at)
        except StoreError as error:
            _log.warning("%s; it is asked for again", error)
            damaged.append(key)
    return found, damaged
