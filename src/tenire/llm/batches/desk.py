"""All batches of one pipeline: fills files with requests, sees them through, gives out what comes.

1. What is kept is given out at once. What another batch holds already, of this program, of an
   earlier run or of another program, is waited for and not handed over again.
2. Batches that an earlier run handed over go on; those that it did not hand over any more are
   forgotten, since nobody knows whether their requests are still wanted.
3. Whoever is slow to look slows down the reading of results, not their keeping.
4. Leaving early leaves the batches that the provider has to the next run (``journey``).
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from tenire.concurrency.blocking import run_blocking
from tenire.concurrency.unbroken import unbroken
from tenire.core.batch_files import FileCut
from tenire.errors import BadRequestError, ModelError
from tenire.llm.batches.bench import BatchOutcome
from tenire.llm.batches.handing import find
from tenire.llm.batches.journey import Journey, new_batch_id
from tenire.llm.batches.stream import Stream, first_error
from tenire.llm.replies import Answer
from tenire.storage.provider_batches import OpenBatch

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Sequence

    from tenire.llm.batches.bench import Bench
    from tenire.llm.records import ChatRequest
    from tenire.storage.ledger import Ledger

__all__ = ["MOST_BYTES", "MOST_LINES", "BatchDesk"]

MOST_LINES = 50_000
"""Requests of one batch."""
MOST_BYTES = 100_000_000
"""Bytes of its file."""

_ROOM = 1000
_AT_ONCE = 100  # so that the loop is never kept for long
_LOOK_AT_OTHERS_S = 10.0


class _Line(NamedTuple):
    key: bytes
    line: bytes
    most: int


class BatchDesk:
    """Answers requests in batches; used once.

    Args:
        bench: What batches work with; ``tell`` is set here.
        service: Who is asked, as the ledger knows it.
        pipeline: Whose batches they are.
        model: The model.
        made_after: Seconds since the epoch; a reply that is older does not count.
        lines: Most requests of a batch.
        size: Most bytes of its file.
    """

    def __init__(
        self,
        bench: Bench,
        *,
        service: str,
        pipeline: str,
        model: str,
        made_after: float = 0.0,
        lines: int = MOST_LINES,
        size: int = MOST_BYTES,
    ) -> None:
        self._bench = bench
        bench.tell = self._tell
        self._service = service
        self._pipeline = pipeline
        self._model = model
        self._made_after = made_after
        self._cut = FileCut(lines=lines, size=size)
        self._size = size
        self._filling: OpenBatch | None = None
        self._stream: Stream[BatchOutcome] = Stream(_ROOM)
        self._ended = asyncio.Event()  # a batch did, or it is time to look at those of others
        self._joined: set[bytes] = set()  # requests that a batch held before, and that are waited for here
        self._own: set[str] = set()  # batches all of whose requests are waited for here
        self._under_way: dict[str, OpenBatch] = {}

    def outcomes(self, asks: AsyncGenerator[tuple[bytes, ChatRequest]]) -> AsyncIterator[BatchOutcome]:
        """Yield what becomes of each request, as it is known.

        Also of requests that were not asked for, which batches of an earlier run hold, and now
        and then of one twice: whoever looks passes over what it does not wait for.

        Args:
            asks: Keys and requests.

        Raises:
            TenireError: If the others cannot be answered either.
        """
        return self._stream.of(self._work(asks))

    async def _tell(self, outcome: BatchOutcome) -> None:
        self._joined.discard(outcome.key)
        await self._stream.put(outcome)

    # -- work ---------------------------------------------------------------------

    async def _work(self, asks: AsyncGenerator[tuple[bytes, ChatRequest]]) -> None:
        try:
            async with aclosing(asks), asyncio.TaskGroup() as tasks:
                await self._tidy()
                await self._adopt(tasks)
                await self._fill(asks, tasks)
                await self._wait_for_others(tasks)
        except BaseExceptionGroup as group:
            raise first_error(group) from None
        finally:
            await unbroken(self._leave())

    async def _leave(self) -> None:
        """Forget the file that was being filled, and batches whose journey was cancelled before it began."""
        filling, self._filling = self._filling, None
        for batch in (*([] if filling is None else [filling]), *self._under_way.values()):
            self._bench.log.unwatch(batch.id)
            if batch.state == "made":
                await self._forget(batch)
            else:
                await self._bench.log.run(partial(_release, batch.id))

    async def _tidy(self) -> None:
        known = await self._bench.log.run(lambda ledger, _: ledger.provider_batches.known())
        await run_blocking(self._bench.spool.tidy, known, self._bench.wall())

    async def _adopt(self, tasks: asyncio.TaskGroup) -> None:
        """Go on with what earlier runs have left."""
        log, watched, found = self._bench.log, self._bench.log.watched, list[OpenBatch]()

        async def adopt() -> None:
            found.extend(
                await log.run(
                    lambda ledger, owner: ledger.provider_batches.adopt(owner, self._service, self._pipeline, watched)
                )
            )
            self._under_way.update((one.id, one) for one in found)

        await unbroken(adopt())
        for one in found:
            batch = one
            if one.state == "creating":
                try:
                    batch = await self._bench.patiently(partial(self._find, one))
                except ModelError as error:
                    if not self._bench.goes_on_without(error):
                        raise
            if batch.state == "sent":
                self._see_through(batch, tasks)
            else:
                await self._forget(batch)
                del self._under_way[batch.id]

    async def _find(self, batch: OpenBatch) -> OpenBatch:
        """Return a batch that may have been handed over as it is now."""
        view = await find(self._bench, batch)
        if view is None or view.status == "failed":
            return batch
        name = view.id
        await self._bench.log.run(lambda ledger, _: ledger.provider_batches.sent(batch.id, name))
        return batch._replace(state="sent", provider_id=name, sent_at=self._bench.wall())

    async def _forget(self, batch: OpenBatch) -> None:
        await self._bench.log.run(lambda ledger, _: ledger.provider_batches.drop(batch.id))
        await run_blocking(self._bench.spool.drop, batch.id)

    def _see_through(self, batch: OpenBatch, tasks: asyncio.TaskGroup) -> None:
        self._under_way[batch.id] = batch
        tasks.create_task(self._journey(batch, tasks), name=f"batch {batch.id}")

    async def _journey(self, batch: OpenBatch, tasks: asyncio.TaskGroup) -> None:
        own = batch.id in self._own
        try:
            left = await Journey(self._bench, batch, lambda key: own or key in self._joined).run()
        finally:
            del self._under_way[batch.id]
            self._ended.set()
        for new in left:
            self._own.add(new.id)  # only what is wanted goes into it
            self._see_through(new, tasks)

    # -- fill -----------------------------------------------------------------------

    async def _fill(self, asks: AsyncGenerator[tuple[bytes, ChatRequest]], tasks: asyncio.TaskGroup) -> None:
        chunk: dict[bytes, ChatRequest] = {}
        async for key, request in asks:
            chunk[key] = request
            if len(chunk) == _AT_ONCE:
                await self._take(chunk, tasks)
                chunk = {}
        if chunk:
            await self._take(chunk, tasks)
        await self._seal(tasks)

    async def _take(self, chunk: dict[bytes, ChatRequest], tasks: asyncio.TaskGroup) -> None:
        log = self._bench.log
        kept = await self._kept(list(chunk))
        async with self._bench.joining:
            held = await log.run(lambda ledger, _: ledger.provider_batches.holding([*chunk]))
            self._joined.update(key for key, batch in held.items() if key not in kept and batch not in self._own)
        lines: list[_Line] = []
        for key, request in chunk.items():
            if key in kept:
                await self._tell(BatchOutcome(key, kept[key], kept=True))
            elif key not in held:
                lines += await self._line(key, request)
        start = 0
        for place, line in enumerate(lines):
            if self._cut.add(len(line.line)):
                await self._claim(lines[start:place])
                await self._seal(tasks)
                start = place
        await self._claim(lines[start:])

    async def _line(self, key: bytes, request: ChatRequest) -> list[_Line]:
        error: BadRequestError | None = None
        try:
            line = self._bench.provider.line(key, request)
        except BadRequestError as refused:
            error = refused
        else:
            if self._cut.fits(len(line)):
                return [_Line(key, line, self._bench.account.most(request))]
            message = f"expected a request of at most {self._size} bytes, got {len(line)}"
            error = BadRequestError(message, hint="shorten the prompt")
        await self._tell(BatchOutcome(key, error=error))
        return []

    async def _kept(self, keys: Sequence[bytes]) -> dict[bytes, Answer]:
        found = await self._bench.log.find(keys)
        return {
            key: answer
            for key, answer in found.items()
            if isinstance(answer, Answer) and answer.made_at >= self._made_after
        }

    async def _claim(self, lines: Sequence[_Line]) -> None:
        """Put lines into the file that is being filled."""
        if not lines:
            return
        log, spool, batch = self._bench.log, self._bench.spool, self._filling
        if batch is None:
            batch = OpenBatch(new_batch_id(), self._service, self._pipeline, self._model, made_at=self._bench.wall())
            self._filling = batch
            self._own.add(batch.id)
            log.watch(batch.id)
            await log.run(partial(_open, batch))
        name, keys = batch.id, [line.key for line in lines]
        async with self._bench.joining:
            found = await log.run(lambda ledger, _: ledger.provider_batches.claim(name, keys, self._made_after))
            self._joined.update(found)  # somebody has been quicker
        claimed = [line for line in lines if line.key not in found]
        await run_blocking(spool.write, name, [line.line for line in claimed])
        self._filling = batch._replace(
            lines=batch.lines + len(claimed), held=batch.held + sum(line.most for line in claimed)
        )

    async def _seal(self, tasks: asyncio.TaskGroup) -> None:
        """Hand over the file that is being filled."""
        batch = self._filling
        if batch is None or not batch.lines:  # one without lines is filled with the next ones
            return
        self._filling = None
        self._under_way[batch.id] = batch
        await self._bench.log.run(
            lambda ledger, _: ledger.provider_batches.seal(batch.id, lines=batch.lines, held=batch.held)
        )
        self._see_through(batch, tasks)

    # -- what others have -------------------------------------------------------------

    async def _wait_for_others(self, tasks: asyncio.TaskGroup) -> None:
        """Wait for requests that are in batches whose requests are not all waited for here."""
        while self._joined:
            self._ended.clear()
            await self._adopt(tasks)
            strange = False
            for waiting in _chunks(list(self._joined)):
                kept = await self._kept(waiting)
                held = await self._bench.log.run(partial(_holding, waiting))
                strange = strange or any(batch not in self._under_way for batch in held.values())
                for key in waiting:
                    if key in self._joined and key not in held:
                        await self._tell(BatchOutcome(key, kept.get(key), kept=key in kept))
            if self._joined:
                # Of what another program does nobody tells: that is looked at.
                looking = self._bench.every(_LOOK_AT_OTHERS_S, self._ended.set) if strange else None
                try:
                    await self._ended.wait()
                finally:
                    if looking is not None:
                        looking.cancel()


def _open(batch: OpenBatch, ledger: Ledger, owner: str) -> None:
    ledger.provider_batches.open(owner, batch)


def _release(batch: str, ledger: Ledger, _: str) -> None:
    ledger.provider_batches.release(batch)


def _holding(keys: Sequence[bytes], ledger: Ledger, _: str) -> dict[bytes, str]:
    return ledger.provider_batches.holding(keys)


def _chunks(keys: list[bytes]) -> list[list[bytes]]:
    return [keys[start : start + _AT_ONCE] for start in range(0, len(keys), _AT_ONCE)]
