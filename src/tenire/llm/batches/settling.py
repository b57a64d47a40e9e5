"""Reads the results of one batch into the ledger, and says what is left.

============================================  =====================================
a line                                        then
============================================  =====================================
has a reply                                   kept and charged; as a guess, if it was not counted
has a reply that does not follow the schema   charged, and asked again
has one that cannot be read                   charged as a guess, and asked again
failed, and another try may help              asked again
failed for good                               told
was not reached (expired, cancelled)          asked again
has been tried too often                      told
============================================  =====================================

What would be the answer to all (a wrong key, no money at the provider) is raised, after
everything else has been kept.
"""

from __future__ import annotations

from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from tenire.concurrency.blocking import run_blocking
from tenire.core.retrying import Kind
from tenire.errors import AuthenticationError, BrokenReplyError, ModelError, UnknownModelError
from tenire.llm.batches.bench import BatchOutcome
from tenire.llm.failures import kind_of
from tenire.llm.replies import Answer, pack
from tenire.storage.provider_batches import SettledLine

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tenire.llm.batches.bench import Bench
    from tenire.llm.batches.provider import BatchView, LineResult
    from tenire.llm.batches.spool import Lines
    from tenire.storage.ledger import Ledger
    from tenire.storage.provider_batches import OpenBatch
    from tenire.storage.spending import Charge

__all__ = ["Settling"]

_AT_ONCE = 500
_DOWNLOADS = 6
_STOPS = (AuthenticationError, UnknownModelError)


class _Read(NamedTuple):
    """One line of results, and what is made of it."""

    key: bytes
    answer: Answer | None = None
    error: ModelError | None = None
    charge: Charge | None = None
    again: bool = False


class Settling:
    """Settles one batch that has ended.

    Args:
        bench: What batches work with.
        batch: The batch.
        tries: Its lines that have not ended, and how often the provider has tried each.
        lines: Its lines as they were sent, as far as they are there.

    Attributes:
        cost: What its lines have cost, picodollars.
        results: Lines that it says something of.
        stop: What would be the answer to all, or ``None``.
    """

    def __init__(self, bench: Bench, batch: OpenBatch, tries: dict[bytes, int], lines: Lines) -> None:
        self._bench = bench
        self._batch = batch
        self._tries = tries
        self._lines = lines
        self.cost = 0
        self.results = 0
        self.stop: ModelError | None = None

    async def settle(self, view: BatchView) -> None:
        """Take in all results.

        Raises:
            ModelError: If they cannot be had; those that came are kept.
        """
        for file in view.results:
            await self._bench.patiently(partial(self._take_in, file))

    async def _take_in(self, file: str) -> None:
        waiting: list[bytes] = []
        results: Any = self._bench.provider.results(file)
        async with aclosing(results):
            async for some in results:
                waiting += some
                while len(waiting) >= _AT_ONCE:
                    await self._keep(waiting[:_AT_ONCE])
                    del waiting[:_AT_ONCE]
        if waiting:
            await self._keep(waiting)

    async def _keep(self, raw: Sequence[bytes]) -> None:
        read = {one.key: one for one in await run_blocking(self._read_all, raw)}
        self.results += len(read)
        new = await self._bench.log.run(partial(_settle, self._batch.id, tuple(read.values())))
        fresh = [one for key, one in read.items() if key in new]
        self.cost += self._bench.account.settled([one.charge for one in fresh if one.charge is not None])
        for one in fresh:
            if not one.again:
                await self._bench.tell(BatchOutcome(one.key, one.answer, one.error))

    def _read_all(self, raw: Sequence[bytes]) -> list[_Read]:
        """On a thread: reads what was asked from the disk."""
        read = []
        for line in raw:
            result = self._bench.provider.read(line, None)
            if result is None or result.key not in self._tries:
                continue
            if result.error is not None and (asked := self._lines.get(result.key)) is not None:
                result = self._bench.provider.read(line, asked)
            if result is not None and (result.reply is not None or result.error is not None):
                read.append(self._of(result))
        return read

    def _of(self, result: LineResult) -> _Read:
        key, reply, error = result.key, result.reply, result.error
        charge = None
        if reply is not None:
            charge = self._guess(key, reply.text) if reply.usage is None else self._bench.account.charge(reply.usage)
            error = self._off_schema(reply.text)
            if error is None:
                return _Read(key, Answer.of(reply, charge.cost, self._bench.wall()), None, charge)
        assert error is not None
        if reply is None and error.charged:
            charge = self._guess(key, None)
        if isinstance(error, _STOPS):
            self.stop = error
            return _Read(key, again=True)
        error.tries = self._tries[key] + 1
        final = kind_of(error) is Kind.PERMANENT or error.tries >= self._bench.most_tries
        return _Read(key, None, error if final else None, charge, again=not final)

    def _guess(self, key: bytes, reply: str | None) -> Charge:
        """Return what a line may have cost that the provider has not counted."""
        account, batch, line = self._bench.account, self._batch, self._lines.get(key)
        if line is None:
            return account.guess_unseen(batch.held // max(1, batch.lines))
        return account.guess(self._bench.provider.request(line), reply)

    def _off_schema(self, text: str) -> ModelError | None:
        if self._bench.schema is None:
            return None
        try:
            self._bench.schema.read(text)
        except BrokenReplyError as error:
            return error
        return None


def _settle(batch: str, read: Sequence[_Read], ledger: Ledger, _: str) -> set[bytes]:
    settled = [
        SettledLine(one.key, None if one.answer is None else pack(one.answer), one.charge, one.again) for one in read
    ]
    new = ledger.provider_batches.settle(batch, settled)
    sizes = [len(line.key) + len(line.reply) for line in settled if line.reply is not None and line.key in new]
    ledger.replies.grown(len(sizes), sum(sizes))
    return new
