"""Results on their way into the ledger, and from there into the output: many in one commit."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from tenire.storage.rows import AnsweredRow, RefusedRow

__all__ = ["MOST", "Outbox", "Outcome"]

MOST = 1_000
"""Results in one commit."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one row.

    Attributes:
        row: What the ledger will say.
        was_done: Whether the output has an older answer to it.
    """

    row: AnsweredRow | RefusedRow
    was_done: bool = False


class Outbox:
    """Collects results while a commit is under way, and hands them to the next one.

    Args:
        commit: Makes results true; called by ``run`` only, one call at a time.
    """

    def __init__(self, commit: Callable[[Sequence[Outcome]], Awaitable[None]]) -> None:
        self._commit = commit
        self._results: deque[Outcome] = deque()
        self._filled = asyncio.Event()
        self._closed = False
        self._put = 0
        self._committed = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    def put(self, outcome: Outcome) -> None:
        """Hand in a result."""
        self._results.append(outcome)
        self._put += 1
        self._filled.set()

    async def settled(self) -> None:
        """Wait until everything that was handed in so far is committed."""
        if self._committed < self._put:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append((self._put, future))
            await future

    def close(self) -> None:
        """Let ``run`` end once everything is committed."""
        self._closed = True
        self._filled.set()

    async def run(self) -> None:
        """Commit what comes, until it is closed.

        Raises:
            Exception: What a commit raised.
        """
        while self._results or not self._closed:
            await self._filled.wait()
            self._filled.clear()
            await self.flush()

    async def flush(self) -> None:
        """Commit what there is; for the end of a run that broke off, when nobody else does.

        Raises:
            Exception: What a commit raised.
        """
        while self._results:
            batch = [self._results.popleft() for _ in range(min(MOST, len(self._results)))]
            await self._commit(batch)
            self._committed += len(batch)
            self._tell()

    def _tell(self) -> None:
        while self._waiting and self._waiting[0][0] <= self._committed:
            future = self._waiting.popleft()[1]
            if not future.done():
                future.set_result(None)
