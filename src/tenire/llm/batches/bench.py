"""What all batches of one pipeline work with."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from tenire.core.retrying import Kind
from tenire.errors import ModelError
from tenire.llm.failures import kind_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tenire.concurrency.periodic import Periodic
    from tenire.concurrency.timer import Timeout, UniversalTimer
    from tenire.core.batch_looks import Looks
    from tenire.llm.batches.account import BatchAccount
    from tenire.llm.batches.provider import BatchProvider
    from tenire.llm.batches.spool import Spool
    from tenire.llm.replies import Answer
    from tenire.llm.reply_log import ReplyLog
    from tenire.llm.schemas import ReplySchema

__all__ = ["BatchOutcome", "Bench"]

T = TypeVar("T")

_MOST_FAILURES = 6
_NO_SUCH_ADDRESS = frozenset({404, 405, 501})

_log = logging.getLogger("tenire.llm")


@dataclass(frozen=True, slots=True)
class BatchOutcome:
    """What became of one request; with neither an answer nor an error it has to be asked in another way.

    Attributes:
        key: Of the request.
        answer: What is kept now.
        error: Why there is none.
        kept: Whether the answer was there before.
        line: What asked for it, if it has to be asked in another way and that is at hand.
    """

    key: bytes
    answer: Answer | None = None
    error: Exception | None = None
    kept: bool = False
    line: bytes | None = None


async def _nobody(outcome: BatchOutcome) -> None:
    """Hear what nobody waits for."""


@dataclass(slots=True)
class Bench:
    """What all batches of one pipeline work with.

    Attributes:
        provider: The way to the provider.
        log: The ledger's thread.
        spool: The files of lines.
        account: Whom they are charged to.
        looks: Paces looks at batches.
        timer: The engine's.
        every: Calls a function again and again, given the period in seconds: the engine's control.
        wall: Seconds since the epoch.
        resubmit: Whether what a batch has left undone goes into another one.
        schema: What replies must follow, or ``None``.
        most_tries: Batches that a request may be in.
        tell: Is told what became of each request; set by the desk.
        at_provider: Batches that the provider works on.
        may_lack_api: Whether a run goes on, asking at once, if the provider turns out to have no
            batch API.
        lacks_api: How it said so, if it has.
        uploading: One file is sent at a time.
        joining: Held while it is settled who waits for the requests of a batch: a journey that
            ends must not drop what somebody has just seen in its batch and is about to wait for.
    """

    provider: BatchProvider
    log: ReplyLog
    spool: Spool
    account: BatchAccount
    looks: Looks
    timer: UniversalTimer
    every: Callable[[float, Callable[[], object]], Periodic | Timeout]
    wall: Callable[[], float]
    resubmit: Callable[[], bool] = lambda: True
    schema: ReplySchema | None = None
    most_tries: int = 3
    tell: Callable[[BatchOutcome], Awaitable[None]] = field(default=_nobody)
    at_provider: set[str] = field(default_factory=set)
    may_lack_api: bool = False
    lacks_api: ModelError | None = None
    uploading: asyncio.Lock = field(default_factory=asyncio.Lock)
    joining: asyncio.Lock = field(default_factory=asyncio.Lock)

    def goes_on_without(self, error: ModelError) -> bool:
        """Return whether an error says that the provider has no batch API, and the run goes on all the same."""
        if not self.may_lack_api or error.status not in _NO_SUCH_ADDRESS:
            return False
        if self.lacks_api is None:
            self.lacks_api = error
            _log.warning("prompts are asked at once, at the usual price: the server has no batch API (%s)", error)
        return True

    def check_api(self) -> None:
        """See that the provider is not known to have no batch API.

        Raises:
            ModelError: What it said.
        """
        if self.lacks_api is not None:
            raise self.lacks_api

    async def patiently(self, call: Callable[[], Awaitable[T]]) -> T:
        """Do something that may be done again if the provider, or the way to it, fails for the moment.

        Raises:
            ModelError: If it cannot be done.
        """
        failures, now = 0, self.timer.now
        while True:
            try:
                return await call()
            except ModelError as error:
                failures += 1
                if failures == _MOST_FAILURES or kind_of(error) is Kind.PERMANENT:
                    raise
                not_before = now() + (error.retry_after or 0.0)
            at = self.looks.next_at(now(), now(), failures=failures, not_before=not_before)
            await self.timer.wait_until(at)
