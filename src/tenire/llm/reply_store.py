"""Replies that are kept: in memory for the moment, and in a home for good.

It is the cache of a guard, and decides itself when a call is made (``FillingCache``): not
while another program is making the same one. The reply is durable, with what it cost,
before anybody sees it.

1. A reply is fresh for ``ttl`` seconds. For ``stale`` seconds more it is still given, and a
   new one is fetched meanwhile for those who come later.
2. What is asked for without a key is not kept, but what it cost is.
3. Who asks for what a batch at the provider asks for too needs it now, and does not wait for
   the batch, which may take a day: it is paid twice, and that is said once.
4. In memory replies take no more than some bytes, and give way when the machine is under
   pressure; in the home those used longest ago go first (``storage.replies``).
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from tenire.errors import CallTimeoutError
from tenire.llm.replies import Vector, size_of
from tenire.resilience import MISSING
from tenire.storage.replies import Began

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from tenire.concurrency.data.cache import Cache
    from tenire.llm.replies import Answer
    from tenire.llm.reply_log import ReplyLog
    from tenire.storage.spending import Charge

__all__ = ["Asked", "ReplyStore"]

T = TypeVar("T")

_log = logging.getLogger("tenire.llm")

_SOON_S, _LATER_S = 0.05, 0.5  # after which it is looked at what another program does


class Asked:
    """One request on its way, and what it has cost so far. Equal keys are equal.

    Attributes:
        key: Of the request.
        made_after: Seconds since the epoch; an older reply does not count.
        charges: What its tries have cost, and the home does not know yet.
        expected: Numbers under which the home knows what these were expected to cost.
        calls: Tries that were sent to the provider.
        under_way: Those of them that are with the provider now.
        answers: Those of them that the provider answered, however it did.
        cost: What they have cost, picodollars.
        repair: What the model answered that did not fit, and what was wrong with it.
    """

    __slots__ = ("answers", "calls", "charges", "cost", "expected", "key", "made_after", "repair", "under_way")

    def __init__(self, key: bytes, made_after: float = 0.0) -> None:
        self.key = key
        self.made_after = made_after
        self.charges: list[Charge] = []
        self.expected: list[int] = []
        self.calls = self.under_way = self.answers = 0
        self.cost = 0
        self.repair: tuple[str, str] | None = None

    def bill(self) -> tuple[list[Charge], list[int]]:
        """Return what the home does not know yet, and what that stands for; it is the home's from here on."""
        charges, expected = self.charges, self.expected
        self.charges, self.expected = [], []
        return charges, expected

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Asked) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)


class ReplyStore:
    """Keeps replies, and what they cost.

    Args:
        memory: For replies that were used lately.
        log: Of the home, or ``None``.
        wall: Tells seconds since the epoch.
    """

    def __init__(self, memory: Cache[Answer | Vector], log: ReplyLog | None, wall: Callable[[], float]) -> None:
        self._memory = memory
        self._log = log
        self._wall = wall
        self._failing = self._said_twice = False

    def get_nowait(self, asked: Asked) -> Answer | Vector | None:
        """Return a reply that is in memory, or ``None``."""
        found = self._memory.get(asked.key)
        if found is None or not asked.made_after:
            return found
        if found.made_at > (now := self._wall()):  # as in the home: it ages from here on
            found = msgspec.structs.replace(found, made_at=now)
            self._memory.put(asked.key, found, size=size_of(found))
        return found if found.made_at >= asked.made_after else None

    async def get(self, key: Any) -> Any:
        """Return a reply that is in memory, or ``MISSING``."""
        found = self.get_nowait(key)
        return MISSING if found is None else found

    async def put(self, key: Any, value: Any) -> None:
        """Keep a reply in memory."""
        self._memory.put(key.key, value, size=size_of(value))

    async def fill(self, key: Any, make: Callable[[], Awaitable[Any]]) -> Any:
        """Return the reply that another program has made meanwhile, or make it and keep it."""
        asked: Asked = key
        found = await self._begin(asked)
        if found is None:
            found = await self._make(asked, make)
        self._memory.put(asked.key, found, size=size_of(found))
        return found

    async def claimed(
        self, key: bytes, make: Callable[[], Awaitable[T]], *, deadline: float | None
    ) -> T | Answer | Vector:
        """Return what another program keeps under a key meanwhile, or what ``make`` has made, and kept itself.

        Args:
            key: Of the request.
            make: Makes it; nobody else does meanwhile.
            deadline: Seconds to wait for another program at the most.

        Raises:
            CallTimeoutError: If the other one had nothing by then.
        """
        log = self._log
        if log is None:
            return await make()
        limit = asyncio.timeout(deadline)
        try:
            async with limit:
                found = await self._begin(Asked(key))
        except TimeoutError as error:
            if not limit.expired():
                raise
            message = f"another program that asks for the same had no reply within {deadline:g} s"
            raise CallTimeoutError(message, call="a call that another program makes") from error
        if found is not None:
            return found
        try:
            return await make()
        finally:
            self._noted(log.finish(key, None))

    async def find(self, keys: list[bytes]) -> dict[bytes, Vector]:
        """Return the vectors that are kept."""
        found: dict[bytes, Vector] = {}
        for key in keys:
            if isinstance(kept := self._memory.get(key), Vector):
                found[key] = kept
        if self._log is not None and len(found) < len(keys):
            known = await self._log.find([key for key in keys if key not in found])
            found.update((key, kept) for key, kept in known.items() if isinstance(kept, Vector))
        return found

    async def known(self, keys: list[bytes], made_after: float) -> set[bytes]:
        """Return the keys of requests that are answered by what is kept and not older, seconds since the epoch."""
        if self._log is not None:
            kept = await self._log.find(keys)
        else:
            kept = {key: found for key in keys if (found := self._memory.get(key)) is not None}
        return {key for key, found in kept.items() if found.made_at >= made_after}

    async def keep(self, vectors: Mapping[bytes, Vector], asked: Asked) -> None:
        """Keep vectors, with what they have cost together."""
        charges, expected = asked.bill()
        if self._log is not None:
            await asyncio.shield(self._noted(self._log.keep(vectors, charges, expected)))
        for key, vector in vectors.items():
            self._memory.put(key, vector, size=size_of(vector))

    async def record(self, asked: Asked) -> None:
        """Let the home know what a request has cost whose reply is not kept."""
        charges, expected = asked.bill()
        if charges and self._log is not None:
            await asyncio.shield(self._noted(self._log.finish(None, None, charges, expected)))

    async def _make(self, asked: Asked, make: Callable[[], Awaitable[Any]]) -> Any:
        log = self._log
        if log is None:
            found = await make()
            asked.bill()
            return found
        found = None
        try:
            found = await make()
        finally:
            # It was paid for: from here on nothing loses it, neither an error nor a cancellation.
            charges, expected = asked.bill()
            writing = self._noted(log.finish(asked.key, found, charges, expected))
        await asyncio.shield(writing)
        return found

    def _noted(self, writing: asyncio.Future[None]) -> asyncio.Future[None]:
        writing.add_done_callback(self._written)
        return writing

    def _written(self, writing: asyncio.Future[None]) -> None:
        if writing.exception() is None:
            self._failing = False
        elif not self._failing:
            # Whoever waits for it gets the error too; but there may be nobody any more. A full
            # disk fails for every call in flight: said once, until something can be kept again.
            self._failing = True
            _log.warning("what a call has answered and cost could not be kept: %s", writing.exception())

    async def _begin(self, asked: Asked) -> Answer | Vector | None:
        log, pause = self._log, _SOON_S
        if log is None:
            return None
        while (found := await log.begin(asked.key, asked.made_after)) is Began.UNDER_WAY:
            await log.timer.wait_until(log.timer.now() + pause)
            pause = min(2 * pause, _LATER_S)
        if found is Began.ALSO_IN_BATCH and not self._said_twice:
            self._said_twice = True
            _log.warning(
                "a prompt that is in a batch which is not back yet is asked at once, and so paid twice: "
                "use mode='batch' to wait for it, or cancel the batch first"
            )
        return None if isinstance(found, Began) else found
