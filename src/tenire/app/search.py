"""Searches a home's store and says where each passage stands."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tenire.app.context import joined
from tenire.app.hits import SearchHit, SearchResult, placed
from tenire.app.known import KnownDocuments
from tenire.app.place import open_recorded_store, recorded_place
from tenire.app.remote_embedder import EmbedderServer, RemoteEmbedder, is_remote
from tenire.app.stores import shown
from tenire.app.where_parser import parse_where
from tenire.clock import SYSTEM_CLOCK
from tenire.concurrency.blocking import run_blocking
from tenire.errors import ConfigError, EmbedderMismatchError, StoreError
from tenire.storage.home import Home
from tenire.storage.ledger import Ledger
from tenire.vectors.embedding import embedder_identity, load_embedder, resolve_embedder
from tenire.vectors.question import MODES

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from tenire.app.stores import OpenStore
    from tenire.app.where import Condition
    from tenire.protocols import Embedder, Hit
    from tenire.storage.abouts import KnownDocument

_MOST_CONTEXT = 100
# Commits take longer than searches, so hardly ever a second one comes in between.
_TURNS = 3

__all__ = ["SearchHit", "SearchResult", "Store", "search"]


class Store:
    """What a home has stored, open for many searches; a context manager.

    Args:
        home: The home directory.
        embedder: The embedder that the caller expects, or ``None`` for the store's.

    Raises:
        StoreError: If there is nothing to search.
        EmbedderMismatchError: If the store was built with another embedder.
    """

    def __init__(self, home: str | os.PathLike[str] = ".tenire", *, embedder: str | None = None) -> None:
        self._home = place = Home(home)
        path, recorded = recorded_place(place)
        self._name = recorded
        if (
            embedder is not None
            and embedder != recorded
            and (is_remote(embedder) or resolve_embedder(embedder) != recorded)
        ):
            message = f"the store at {shown(path)} was built with the embedder {recorded}, not with {embedder}"
            hint = f"search with {recorded}, or ingest into another home"
            raise EmbedderMismatchError(message, stored=recorded, asked=embedder, hint=hint)
        # Without the identity, a search by words works where the model is not installed.
        self._store: OpenStore = open_recorded_store(place)
        try:
            self._ledger = Ledger.read(place)
        except BaseException:
            self._store.close()
            raise
        self._known = KnownDocuments(self._ledger)
        self._embedder: Embedder | None = None
        self._closed = False
        self._idle = threading.Condition()
        self._searching = 0

    def search(
        self,
        query: str,
        *,
        k: int = 10,
        mode: str = "hybrid",
        exact: bool = False,
        where: str | None = None,
        context: int = 0,
    ) -> SearchResult:
        """Return up to ``k`` passages, best first.

        Args:
            query: Any text.
            k: How many.
            mode: ``hybrid`` (both, by reciprocal rank), ``vector`` or ``text``.
            exact: Compare with every vector, bypassing the index.
            where: Look only at documents of which this is true, for example
                ``kind = pdf and date >= 2024``; ``None`` for all.
            context: How many neighbours of each passage to return with it, on either side.

        Raises:
            ConfigError: If an argument is impossible, or ``where`` cannot be understood.
            EmbedderMismatchError: If the installed embedder is not the store's.
        """
        _refuse_on_loop()
        _check_question(query, k, mode, context)
        condition = None if where is None else parse_where(where)
        options = {"k": k, "mode": mode, "exact": exact}
        with self._kept_open():
            self._renewed()
            try:
                return self._search(query, options, condition, context)
            except StoreError:
                # It may have gone over to another embedder meanwhile.
                if not self._renewed():
                    raise
            return self._search(query, options, condition, context)

    @contextmanager
    def _kept_open(self) -> Iterator[None]:
        """Keep the store open for a search: one whose caller was cancelled goes on in its thread."""
        with self._idle:
            if self._closed:
                message = "this store is closed"
                raise StoreError(message, hint="open it again: tenire.Store(home)")
            self._searching += 1
        try:
            yield
        finally:
            with self._idle:
                self._searching -= 1
                self._idle.notify_all()

    def _renewed(self) -> bool:
        """Return whether the store went over to another embedder, and go on with that."""
        if not self._store.refresh():
            return False
        self._embedder = None
        _, self._name = recorded_place(self._home)
        return True

    def _search(
        self, query: str, options: Mapping[str, Any], condition: Condition | None, context: int
    ) -> SearchResult:
        k, mode = options["k"], options["mode"]
        embedder = self._loaded() if mode != "text" else None
        started = SYSTEM_CLOCK.now()
        vector: NDArray[np.float32] | None = embedder.embed([query])[0] if embedder is not None else None
        found, known = self._found(query, vector, options, condition)
        told = placed(found, known, query, k)
        if len(told) < min(k, len({hit.text for hit in found if hit.document in known})):
            # Some said the same, and there is room for others. Rare, so it is not asked for ahead.
            found, known = self._found(query, vector, {**options, "k": 2 * k + 10}, condition)
            told = placed(found, known, query, k)
        if context:
            around = self._store.around([hit for hit, _ in told], context)
            pairs = zip(told, around, strict=True)
            hits = [replace(each, context=joined(passages, hit.ordinal)) for (hit, each), passages in pairs]
        else:
            hits = [each for _, each in told]
        return SearchResult(query, mode, hits, round(SYSTEM_CLOCK.now() - started, 6))

    async def asearch(self, query: str, **options: Any) -> SearchResult:
        """Search on a thread, so that the running event loop goes on; see ``search`` for the options."""
        return await run_blocking(self.search, query, **options)

    def close(self) -> None:
        """Let go of the files, once no search runs any more; closing twice is fine."""
        with self._idle:
            self._closed = True
            self._idle.wait_for(lambda: not self._searching)
        self._store.close()
        self._ledger.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _loaded(self) -> Embedder:
        if self._embedder is None and is_remote(self._name):
            server = EmbedderServer.recorded(self._ledger)
            if server is None:
                message = f"the home does not say where the server of its embedder {self._name} is"
                raise StoreError(message, hint="run its pipelines once more, or search with --mode text")
            self._embedder = RemoteEmbedder(self._home, self._name, server, self._store.embedder)
        if self._embedder is None:
            identity = embedder_identity(self._name)
            if identity != self._store.embedder:
                message = f"the store was built with the embedder {self._store.embedder}, this Tenire has {identity}"
                hint = "search with --mode text, or ingest again into another home"
                raise EmbedderMismatchError(message, stored=self._store.embedder, asked=identity, hint=hint)
            self._embedder = load_embedder(self._name)
        return self._embedder

    def _found(
        self, query: str, vector: NDArray[np.float32] | None, options: Mapping[str, Any], condition: Condition | None
    ) -> tuple[list[Hit], dict[str, list[KnownDocument]]]:
        """Return the hits, and the places of their documents: both before a commit or both after it."""
        for turn in range(_TURNS + 1):
            with nullcontext() if turn < _TURNS else self._steady():
                version = self._known.version()
                within = None if condition is None else self._known.selected(condition)
                found = self._store.search(query, vector, within=within, **options)
                documents = {hit.document for hit in found}
                known = self._known.places(documents, condition)
            if (condition is None and known.keys() == documents) or self._known.version() == version:
                break
        return found, known

    @contextmanager
    def _steady(self) -> Iterator[None]:
        """Keep the view of the ledger and then that of the store: the intents tell of what comes in between."""
        with self._ledger.snapshot():
            self._ledger.setting("store")  # SQLite's view begins with the first look
            with self._store.steady():
                yield


def _refuse_on_loop() -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    message = "Store.search() would block the running event loop; use `await store.asearch(…)` here"
    raise RuntimeError(message)


def _check_question(query: str, k: int, mode: str, context: int) -> None:
    if not isinstance(query, str) or not query.strip():
        message = f"the query must be a text that is not empty, got {query!r}"
        raise ConfigError(message, key="query")
    if not isinstance(k, int) or k < 1:
        message = f"k must be a whole number from 1, got {k!r}"
        raise ConfigError(message, key="k")
    if mode not in MODES:
        message = f"mode must be one of {', '.join(MODES)}, got {mode!r}"
        raise ConfigError(message, key="mode")
    if not isinstance(context, int) or not 0 <= context <= _MOST_CONTEXT:
        message = f"context must be a whole number from 0 to {_MOST_CONTEXT}, got {context!r}"
        raise ConfigError(message, key="context")


def search(home: Path, query: str, *, embedder: str | None = None, **options: Any) -> SearchResult:
    """Open a home, search it once, and close it; see ``Store.search`` for the options."""
    with Store(home, embedder=embedder) as store:
        return store.search(query, **options)
