"""An engine's hold on one home: the lock, the ledger, and the store once it is needed.

The store costs a second to import, so an unchanged run never opens it.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from tenire.pipeline.journal import Journal
from tenire.storage.home import HomeLock
from tenire.storage.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType

    from tenire.clock import Clock
    from tenire.pipeline.recovery import Recovered
    from tenire.protocols import SourceFile, VectorStore
    from tenire.storage.home import Home
    from tenire.storage.records import Run

__all__ = ["HomeSession"]


class HomeSession:
    """The right to write to a home; a context manager. Methods may be called from any thread.

    Args:
        home: The home; it is made if it does not exist.
        open_store: Opens the store; called at most once.
        clock: For the ledger.

    Raises:
        HomeBusyError: On entering, if another engine runs on this home.
        StoreError: On entering, if the home cannot be used.
    """

    def __init__(self, home: Home, open_store: Callable[[], VectorStore], *, clock: Clock) -> None:
        self.home = home
        self._open_store = open_store
        self._clock = clock
        self._lock = HomeLock(home)
        self._opening = threading.Lock()
        self._ledger: Ledger | None = None
        self._store: VectorStore | None = None
        self._journal: Journal | None = None

    @property
    def ledger(self) -> Ledger:
        """The home's ledger."""
        assert self._ledger is not None, "the session is not open"
        return self._ledger

    def __enter__(self) -> HomeSession:
        self._lock.acquire()
        try:
            self._ledger = Ledger.open(self.home, clock=self._clock)
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._opening:
            if self._store is not None:
                self._store.close()
            self.ledger.close()
            self._lock.release()

    def recover(self) -> Recovered | None:
        """Settle what an engine that was killed left behind; opens the store only if there is something."""
        if self.ledger.batches.pending():
            return self.journal().recover()
        self.ledger.runs.mark_interrupted()
        return None

    def journal(self) -> Journal:
        """Return the journal, opening the store if it is not open yet.

        Raises:
            StoreError: If the store cannot be opened.
        """
        with self._opening:
            if self._journal is None:
                self._store = self._open_store()
                self._journal = Journal(self.ledger, self._store)
            return self._journal

    def store(self) -> VectorStore:
        """Return the store, opening it if it is not open yet."""
        self.journal()
        assert self._store is not None
        return self._store

    def vectors_of(self, documents: Sequence[str]) -> Mapping[str, Any]:
        """Return vectors that the store has; see ``VectorStore.vectors_of``."""
        return self.store().vectors_of(documents)

    def optimise(self) -> None:
        """Let the store tidy up where it pays."""
        self.store().optimise()

    def start_run(self, pipeline: str, recipe: str) -> Run:
        """Begin a run of a pipeline."""
        return self.ledger.runs.start(pipeline, recipe=recipe)

    def finish_run(self, run: Run, state: str, totals: Mapping[str, Any]) -> None:
        """End a run of a pipeline."""
        self.ledger.runs.finish(run, state, totals)

    def touched(self, run: Run, files: Sequence[SourceFile]) -> None:
        """Note the new times of files whose content did not change."""
        self.ledger.sources.touched(run, files)
