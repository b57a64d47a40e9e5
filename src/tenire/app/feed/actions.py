"""What a person can do from any face: one function each, the same for window, page and terminal.

1. Each tells in one sentence what it has done, or raises the error that says why not.
2. Entries of the quarantine are tried again by the next run of their pipelines. If no
   engine runs, that run is started at once, as ``tenire retry`` in a process of its own.
3. That process is work like any other: it goes on when the face is closed, or nobody waits
   for its end any more, and whoever wants it to end cancels its pipelines.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from tenire.app.apart import Apart
from tenire.app.orders import NewPriority, NewWeight
from tenire.app.why import Answer, why
from tenire.clock import SYSTEM_CLOCK
from tenire.concurrency.blocking import acquire_blocking, run_blocking
from tenire.concurrency.channel import ChannelClient
from tenire.concurrency.timer import UniversalTimer
from tenire.concurrency.unbroken import unbroken
from tenire.core.tasks import Priority
from tenire.errors import ChannelError, ConfigError, RejectedError, TenireError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tenire.app.hits import SearchResult
    from tenire.app.search import Store
    from tenire.storage.home import Home

__all__ = ["LEVELS", "Actions", "Outcome"]

LEVELS = tuple(level.name.lower() for level in sorted(Priority))
"""The levels of a pipeline, the highest first."""

_ANSWER_S = 10.0
_END_S = 60.0
"""A pipeline that is cancelled finishes its commit first."""
_LOOK_S = 0.1
"""Between two looks whether a retry has ended."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was done.

    Attributes:
        text: In one sentence, for people.
        facts: For programs.
    """

    text: str
    facts: dict[str, Any] = field(default_factory=dict)


class Actions:
    """Acts on the engine of a home, and on the home. Every method raises ``TenireError`` if it cannot.

    Args:
        home: The home.
        changed: Called when what the ledger holds has changed.
        timer: The engine's, on the loop of an engine.
    """

    def __init__(
        self, home: Home, *, changed: Callable[[], object] = lambda: None, timer: UniversalTimer | None = None
    ) -> None:
        self._home = home
        self._changed = changed
        # Of its own: an action that takes its time must not hold up the pictures.
        self._client = ChannelClient(home.path, timeout=_ANSWER_S, timer=timer)
        self._patient = ChannelClient(home.path, timeout=_END_S, timer=timer)
        self._store: Store | None = None
        self._opening = asyncio.Lock()
        self._timer = timer
        self._closed = False
        self._starting = asyncio.Lock()
        self._retrying: Apart | None = None
        self._waiting: set[asyncio.Future[bool]] = set()

    async def pause(self, pipeline: str) -> Outcome:
        """Start nothing more of a pipeline for now."""
        return Outcome(f"{pipeline} is paused", await self._client.call("pause", pipeline))

    async def resume(self, pipeline: str) -> Outcome:
        """Go on with a pipeline that was paused."""
        return Outcome(f"{pipeline} goes on", await self._client.call("resume", pipeline))

    async def cancel(self, pipeline: str) -> Outcome:
        """End a pipeline and keep what it has finished; waits until it has ended."""
        facts = await self._patient.call("cancel", pipeline)
        return Outcome(f"{pipeline} is {facts['state']}; everything finished is kept", facts)

    async def end(self, pipelines: Sequence[str]) -> Outcome:
        """End pipelines, which are all that go on, and keep what they have finished; waits until they have ended."""
        failed: list[TenireError] = []

        async def end(name: str) -> None:
            try:
                await self._patient.call("cancel", name)
            except RejectedError:  # it has ended by itself meanwhile
                pass
            except TenireError as error:
                failed.append(error)

        async with asyncio.TaskGroup() as ending:  # all are asked at once: each answers only when it has ended
            for name in pipelines:
                ending.create_task(end(name))
        if failed:
            raise failed[0]
        return Outcome("the run has ended; everything finished is kept", {"pipelines": list(pipelines)})

    async def priority(self, pipeline: str, level: str) -> Outcome:
        """Move a pipeline to another level, one of ``LEVELS``."""
        facts = await self._client.call("priority", NewPriority(pipeline, level))
        return Outcome(f"{pipeline} has priority {facts['priority']} now", facts)

    async def weight(self, pipeline: str, weight: float) -> Outcome:
        """Give a pipeline another share against the others."""
        facts = await self._client.call("weight", NewWeight(pipeline, weight))
        return Outcome(f"{pipeline} has weight {facts['weight']:g} now", facts)

    async def why(self, task: str) -> Answer:
        """Return why a task, or an entry of the quarantine, is where it is."""
        return await run_blocking(why, self._home.path, task)

    async def retry(self, ids: Sequence[str] | None = None) -> Outcome:
        """Have entries of the quarantine tried again; ``None`` takes all."""
        try:
            facts = await self._client.call("retry", None if ids is None else list(ids))
        except ChannelError:
            if await run_blocking(self._home.owner) is not None:
                raise
            return await self._retry_now(ids)
        self._changed()
        return Outcome(f"{_items(facts['requeued'])} will be tried again by the next run", facts)

    async def search(self, query: str, *, k: int = 10, mode: str = "hybrid", where: str | None = None) -> SearchResult:
        """Return the passages that answer a query best; see ``Store.search``."""
        store = await self._opened()
        return await store.asearch(query, k=k, mode=mode, where=where)

    async def aclose(self) -> None:
        """Close what was opened; a retry goes on, and who waits for it is told so."""
        try:
            await unbroken(self._end())
        finally:
            if self._store is not None:
                await unbroken(run_blocking(self._store.close))

    async def _end(self) -> None:
        self._closed = True
        await self._client.aclose()
        await self._patient.aclose()
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(False)
        async with self._starting:
            if self._retrying is not None:
                await run_blocking(self._retrying.let_go)

    async def _opened(self) -> Store:
        async with self._opening:
            if self._store is None:
                self._store = await acquire_blocking(partial(_open, self._home), _close)
            return self._store

    async def _retry_now(self, ids: Sequence[str] | None) -> Outcome:
        async with self._starting:
            if self._closed:
                message = "nothing can be tried again here any more: this feed is closed"
                raise RejectedError(message, hint="ask inside its `async with` block")
            if self._retrying is not None and self._retrying.code() is None:
                message = "items are being tried again already"
                raise ConfigError(message, key="retry", hint="wait until that has ended")
            words = ["--all"] if ids is None else ["--", *ids]
            await unbroken(run_blocking(self._begin_retry, words))  # or it would run, and nobody would know it
        retrying = self._retrying
        assert retrying is not None
        try:
            ended = await self._wait_for(retrying)
        finally:
            self._changed()
        if not ended:
            message = "nobody waits any more for the items that are being tried again"
            raise RejectedError(message, hint="that goes on by itself: tenire status shows how far it is")
        try:
            facts: dict[str, Any] = json.loads((await run_blocking(retrying.said)).splitlines()[-1])
        except (ValueError, IndexError):
            facts = {"error": {"message": f"tenire retry ended with {retrying.code()} and said nothing"}}
        if "error" in facts:
            raise RejectedError(facts["error"]["message"], hint=facts["error"].get("hint"))
        return Outcome(f"{_items(facts['requeued'])} tried again", facts)

    def _begin_retry(self, words: Sequence[str]) -> None:
        if self._retrying is not None:  # one that has ended, and for which nobody waited
            self._retrying.let_go()
        self._retrying = Apart(self._home.path, ["--json", "--quiet", "retry", *words], heard="stdout")

    async def _wait_for(self, retrying: Apart) -> bool:
        """Return whether it has ended; if not, this was closed."""
        if self._closed:  # while it was being started
            return False
        ended: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

        def look() -> None:
            if retrying.code() is not None and not ended.done():
                ended.set_result(True)

        timer = self._timer or UniversalTimer.of_running_loop(SYSTEM_CLOCK)
        looking = timer.every(_LOOK_S, look)
        self._waiting.add(ended)
        try:
            return await ended
        finally:
            self._waiting.discard(ended)
            looking.cancel()
            if timer is not self._timer:
                timer.close()


def _open(home: Home) -> Store:
    # Imported here: the store and its libraries take a second and a hundred megabytes.
    from tenire.app.search import Store

    return Store(home.path)


def _close(store: Store) -> None:
    store.close()


def _items(number: int) -> str:
    return "1 item" if number == 1 else f"{number:,} items"
