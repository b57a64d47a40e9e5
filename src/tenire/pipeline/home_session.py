"""An engine's hold on one home: the lock, the ledger, and the store once it is needed.

The store costs a second to import, so an unchanged run never opens it.

The home is given back by the last one out: leaving the session waits for nobody,
but a thread that is still writing (its task was cancelled, the thread cannot be)
keeps store, ledger and lock until it has ended. Otherwise the next engine could
settle a batch that this one is just committing.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from tenire.concurrency.blocking import acquire_blocking, run_blocking
from tenire.concurrency.unbroken import unbroken
from tenire.errors import StoreError
from tenire.pipeline.journal import Journal
from tenire.pipeline.near_duplicates import stand_ins
from tenire.storage.hold import HomeHold

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from types import TracebackType

    from tenire.clock import Clock
    from tenire.pipeline.journal import Committed
    from tenire.pipeline.near_duplicates import StandIn
    from tenire.pipeline.recovery import Recovered
    from tenire.protocols import Document, SourceFile, StopSign, VectorStore
    from tenire.storage.home import Home
    from tenire.storage.ledger import Ledger
    from tenire.storage.records import Run

__all__ = ["HomeSession"]

T = TypeVar("T")


class HomeSession:
    """The right to write to a home; a context manager. Methods may be called from any thread.

    Args:
        home: The home; it is made if it does not exist.
        open_store: Opens the store; called at most once.
        clock: For the ledger.

    Attributes:
        hold: The lock and the ledger, which others of the same engine may share.

    Raises:
        HomeBusyError: On entering, if another engine runs on this home.
        StoreError: On entering, if the home cannot be used.
    """

    def __init__(self, home: Home, open_store: Callable[[], VectorStore], *, clock: Clock) -> None:
        self.home = home
        self._open_store = open_store
        self.hold = HomeHold(home, clock=clock)
        self._opening = threading.Lock()
        self._counting = threading.Lock()
        self._inside = 1  # the one who entered the session
        self._left = False
        self._store: VectorStore | None = None
        self._journal: Journal | None = None

    @property
    def ledger(self) -> Ledger:
        """The home's ledger."""
        return self.hold.ledger

    def __enter__(self) -> HomeSession:
        self.hold.enter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._left = True
        self._go_out()

    async def __aenter__(self) -> HomeSession:
        # A large ledger takes a while to check; the loop goes on meanwhile.
        return await acquire_blocking(self.__enter__, lambda _: self.__exit__(None, None, None))

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await unbroken(run_blocking(self.__exit__, kind, error, trace))

    @contextmanager
    def _using(self) -> Iterator[None]:
        """Keep the home open while the block runs, even if the session is left meanwhile.

        Raises:
            StoreError: If the session was left before.
        """
        with self._counting:
            if self._left:
                message = f"the session on {self.home.path} has ended"
                raise StoreError(message)
            self._inside += 1
        try:
            yield
        finally:
            self._go_out()

    def _go_out(self) -> None:
        with self._counting:
            self._inside -= 1
            if self._inside:
                return
        try:
            if self._store is not None:
                self._store.close()
        finally:
            self.hold.leave()

    def recover(self) -> Recovered | None:
        """Settle what an engine that was killed left behind; opens the store only if there is something."""
        with self._using():
            if self.ledger.batches.pending():
                return self._opened().recover()
            self.ledger.runs.mark_interrupted()
            return None

    def open_store(self) -> VectorStore:
        """Return the store, opening it if it is not open yet.

        Raises:
            StoreError: If the store cannot be opened.
        """
        with self._using():
            self._opened()
        assert self._store is not None
        return self._store

    def _opened(self) -> Journal:
        with self._opening:
            if self._journal is None:
                self._store = self._open_store()
                self._journal = Journal(self.ledger, self._store)
            return self._journal

    def absent(self, documents: Sequence[Document]) -> list[Document]:
        """Return the documents that have to be embedded; see ``Journal.absent``."""
        with self._using():
            return self._opened().absent(documents)

    def commit(self, run: Run, *args: Any, **changes: Any) -> Committed:
        """Make one batch of results true; see ``Journal.commit``."""
        with self._using():
            return self._opened().commit(run, *args, **changes)

    def vectors_of(self, documents: Sequence[str]) -> Mapping[str, Any]:
        """Return vectors that the store has; see ``VectorStore.vectors_of``."""
        with self._using():
            return self.open_store().vectors_of(documents)

    def documents_of(self, run: Run, paths: Sequence[str]) -> set[str]:
        """Return the documents that sources have so far."""
        with self._using():
            found = self.ledger.sources.documents_of(run.pipeline, paths)
        return {document for document in found.values() if document is not None}

    def has_memos(self, recipe: str) -> bool:
        """Return whether results of a recipe are kept; see ``MemoTable.any``."""
        with self._using():
            return self.ledger.memos.any(recipe)

    def recall(self, recipe: str, inputs: Iterable[str]) -> dict[str, bytes]:
        """Return kept results; see ``MemoTable.get``."""
        with self._using():
            return self.ledger.memos.get(recipe, inputs)

    def keep(self, recipe: str, outputs: Mapping[str, bytes]) -> None:
        """Keep results; see ``MemoTable.put``."""
        with self._using():
            self.ledger.memos.put(recipe, outputs)

    def forget(self, recipe: str, inputs: Iterable[str]) -> None:
        """Forget results; see ``MemoTable.drop``."""
        with self._using():
            self.ledger.memos.drop(recipe, inputs)

    def forget_all(self) -> None:
        """Forget all kept results: nothing waits for its commit any more."""
        with self._using():
            self.ledger.memos.clear()

    def within(self, fn: Callable[..., T], *args: Any) -> T:
        """Call a function that uses the home, which stays open until it has ended."""
        with self._using():
            return fn(*args)

    def optimise(self) -> None:
        """Let the store tidy up where it pays and is quick."""
        with self._using():
            self.open_store().optimise()

    def optimise_at_end(self, before_long: Callable[[], object]) -> None:
        """Let the store tidy up where it pays: no commit is about to follow; see ``VectorStore.optimise``."""
        with self._using():
            self.open_store().optimise(ended=True, before_long=before_long)

    def tidy_ledger(self, stop: StopSign) -> int:
        """Give free space of the ledger back; see ``Ledger.tidy``."""
        with self._using():
            return self.ledger.tidy(stop)

    def tidy_store(self, stop: StopSign) -> bool:
        """Have the store do all that brings anything, if it is open; return whether anything was done."""
        with self._using():
            return self._store is not None and self._store.optimise(idle=True, stop=stop)

    def start_run(self, pipeline: str, recipe: str) -> Run:
        """Begin a run of a pipeline."""
        return self.ledger.runs.start(pipeline, recipe=recipe)

    def finish_run(self, run: Run, state: str, totals: Mapping[str, Any]) -> None:
        """End a run of a pipeline."""
        self.ledger.runs.finish(run, state, totals)

    def stand_ins(
        self, run: Run, documents: Sequence[Document], threshold: float, changing: set[str]
    ) -> dict[str, StandIn]:
        """Find who stands for whom among documents that are nearly the same; see ``pipeline.near_duplicates``."""
        with self._using():
            return stand_ins(run, documents, self.ledger.near, threshold=threshold, changing=changing)

    def reasons(self, run: Run, paths: Sequence[str]) -> Mapping[str, int]:
        """Count paths in quarantine by their reason; see ``QuarantineTable.reasons``."""
        return self.ledger.quarantine.reasons(run.pipeline, paths)

    def touched(self, run: Run, files: Sequence[SourceFile]) -> None:
        """Note the new times of files whose content did not change."""
        self.ledger.sources.touched(run, files)
