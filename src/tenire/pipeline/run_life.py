"""The life of one run of one pipeline, whatever it does: from its start to its end in the ledger.

::

    running ──► noted in the ledger ──► chunks of the source ──► done │ failed │ cancelled
       the clock of its progress ticks all the while                    noted, with its totals

1. What the run left behind is noted even if it was cancelled or paused: its last task
   gets a moment of its own.
2. What ended the run is told, not what went wrong while that was noted.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from tenire.pipeline.count_ahead import count_ahead
from tenire.pipeline.run_tasks import RunTasks
from tenire.pipeline.waits import LAST_WORD_S, ended, seen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType

    from tenire.clock import Clock
    from tenire.concurrency.manager import ConcurrencyManager
    from tenire.pipeline.chunks import Chunk
    from tenire.pipeline.home_session import HomeSession
    from tenire.pipeline.progress import PipelineProgress
    from tenire.storage.records import Run

__all__ = ["RunLife"]

_TICK_S = 0.1
_LONGEST_TICK_S = 0.4

C_co = TypeVar("C_co", bound="Chunk", covariant=True)


class _Listing(Protocol[C_co]):
    def next_chunk(self) -> C_co | None: ...


class RunLife:
    """One run of one pipeline; an asynchronous context manager around all that it does.

    Args:
        name: The pipeline's name.
        manager: The engine.
        session: The home, with its ledger.
        progress: Where to count; its state follows the run.
        clock: For the duration.
        count: Called now and then, and at the end: counts what calls cost, for example.

    Attributes:
        tasks: The tasks of the run.
        progress: What it counts.
    """

    def __init__(
        self,
        name: str,
        *,
        manager: ConcurrencyManager,
        session: HomeSession,
        progress: PipelineProgress,
        clock: Clock,
        count: Callable[[], object],
    ) -> None:
        self.tasks = RunTasks(name, manager)
        self.progress = progress
        self._name = name
        self._manager = manager
        self._session = session
        self._clock = clock
        self._count = count
        self._run: Run | None = None
        self._at_end: Callable[[Run, str], object] | None = None
        self._counting = False
        self._started = clock.now()

    @property
    def run(self) -> Run:
        """The run in the ledger, once it was noted there."""
        assert self._run is not None
        return self._run

    async def __aenter__(self) -> RunLife:
        self._started = self._clock.now()
        self.progress.state = "running"
        self._ticking = self._manager.control.every(_TICK_S, self._tick, longest=_LONGEST_TICK_S)
        return self

    async def begin(self, recipe: str = "", *, at_end: Callable[[Run, str], object] | None = None) -> Run:
        """Note the run in the ledger.

        Args:
            recipe: What the pipeline does, if that decides which items need work.
            at_end: ``at_end(run, state)`` is called on a thread before the end is noted.

        Raises:
            StoreError: If the ledger cannot be written.
        """
        self._run = await self.tasks.thread(self._session.start_run, self._name, recipe)
        self._at_end = at_end
        return self._run

    async def next_chunk(self, listing: _Listing[C_co]) -> C_co | None:
        """List and count the next chunk of the source, on a thread.

        Returns:
            The chunk, or ``None`` at the end of the source.

        Raises:
            TenireError: What the listing raised.
        """
        chunk: C_co | None = await self.tasks.thread(listing.next_chunk)
        if chunk is None:
            progress = self.progress
            progress.listed = True
            # What was expected and has left meanwhile does not come any more.
            progress.expected, progress.bytes_expected = progress.seen, progress.bytes_seen
        else:
            self.progress.count_listed(chunk)
        return chunk

    def count_ahead(self, sizes: Callable[[], Iterable[int]]) -> None:
        """Count the source to its end while it is worked on; a second call does nothing.

        Args:
            sizes: Lists the source once more: the bytes of each of its items.
        """
        if not self._counting:
            self._counting = True
            self.tasks.head_start(count_ahead, sizes, self.progress)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        state = "done" if kind is None else "cancelled" if issubclass(kind, asyncio.CancelledError) else "failed"
        self._ticking.cancel()
        self._tick()
        self.progress.state = state
        self._manager.orchestrator.suspend(self._name, None)  # or a paused one could not note its end
        if self._run is not None:
            await self._note_end(self._run, state)

    def _tick(self) -> None:
        self.progress.seconds = self._clock.now() - self._started
        self._count()

    async def _note_end(self, run: Run, state: str) -> None:
        noting = self.tasks.thread(self._end, run, state, self.progress.totals())
        cancelled = await ended(noting, last_word=LAST_WORD_S)
        if cancelled is not None:
            raise cancelled
        if state == "done":
            await noting
        else:
            seen(noting)  # rule 2

    def _end(self, run: Run, state: str, totals: dict[str, Any]) -> None:
        try:
            if self._at_end is not None:
                self._at_end(run, state)
        finally:
            self._session.finish_run(run, state, totals)
