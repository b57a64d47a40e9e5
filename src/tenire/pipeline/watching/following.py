"""A documents pipeline that goes on after its run: what changes is done again, until it is told to stop.

::

    run ──► watching ──► something changed ──► at rest ──► a round over it ──┐
               ▲                                                             │
               └─────────────────────────────────────────────────────────────┘

1. It listens before its first run lists anything, so nothing falls between the two.
2. A round takes what is at rest (``core.settling``) and nothing else. Rounds follow each
   other; what changes meanwhile waits for the next one.
3. What the system does not tell is found out: after a lost connection, in the place of a
   directory that was replaced, and every now and then, everything is compared by size
   and time, and looked through if that differs. Where the system tells nothing at all,
   that is how changes are found.
4. A named directory that is missing is waited for, and what is stored of it stays: it
   may be a disk that comes back.
5. A round that fails ends nothing. The next one, after a pause, looks through everything.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from tenire.concurrency.blocking import run_blocking
from tenire.concurrency.unbroken import unbroken
from tenire.core.settling import LONGEST_S, Settled, Settling
from tenire.errors import TenireError
from tenire.pipeline.progress import PipelineProgress
from tenire.pipeline.roots import Roots, facts_of, identities
from tenire.pipeline.watching.changed_source import ChangedSource
from tenire.pipeline.watching.file_events import FileEvents, UnwatchableError
from tenire.pipeline.watching.fingerprint import fingerprint
from tenire.pipeline.watching.sums import Sums

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from tenire.clock import Clock
    from tenire.concurrency.handle import Handle
    from tenire.concurrency.manager import ConcurrencyManager
    from tenire.pipeline.document_run import DocumentRun
    from tenire.pipeline.files import FileSource

    MakeRun = Callable[[FileSource | ChangedSource, PipelineProgress], Awaitable[DocumentRun]]

__all__ = ["Following"]

_LOOK_S = 4.0
"""Seconds between two looks at whether the named directories are still there."""
_COMPARE_S = 600.0
_LONGEST_COMPARE_S = 3600.0
_POLL_S = 2.0
_LONGEST_POLL_S = 300.0
_PART_OF_TIME = 0.02
"""Comparing takes no more than this part of the time."""
_AGAIN_S = 30.0
_SHOW_S = 0.2

_log = logging.getLogger("tenire.watch")


class Following:
    """One documents pipeline that is kept in step with its files.

    Args:
        name: The pipeline's name.
        manager: The engine.
        source: Its files.
        progress: What people see; sums of all rounds.
        make: Makes a run over a source, that counts in a progress of its own.
        first_ended: Called once the first run has ended well.
        clock: For the time.
        events: Makes what hears of changes; ``FileEvents``.
    """

    def __init__(
        self,
        name: str,
        *,
        manager: ConcurrencyManager,
        source: FileSource,
        progress: PipelineProgress,
        make: MakeRun,
        first_ended: Callable[[], object],
        clock: Clock,
        events: Callable[..., FileEvents] = FileEvents,
    ) -> None:
        self._name = name
        self._manager = manager
        self._source = source
        self._progress = progress
        self._make = make
        self._first_ended = first_ended
        self._clock = clock
        self._make_events = events
        self._settling = Settling()
        self._something = asyncio.Event()
        self._events: list[FileEvents] = []
        self._roots = Roots()
        self._identities: tuple[tuple[int, int] | None, ...] = ()
        self._seen = b""
        self._differs_since: float | None = None
        self._polls = False
        self._look_at = self._compare_at = self._not_before = 0.0
        self._known_quarantined = 0

    async def run(self) -> None:
        """Run the pipeline, and go on until cancelled.

        Raises:
            TenireError: If its first run fails.
        """
        self._roots = await self._thread(self._source.roots)
        try:
            await self._listen()
            await (await self._make(self._source, self._progress)).run()
            self._known_quarantined = self._progress.quarantined
            self._progress.state = "watching"
            self._first_ended()
            while True:
                settled = await self._wait_for_changes()
                await self._go_through(settled)
        finally:
            await self._deaf()

    # -- rounds ---------------------------------------------------------------

    async def _go_through(self, settled: Settled) -> None:
        progress, part = self._progress, PipelineProgress(self._name)
        source = self._source if settled.everything else ChangedSource(self._source, settled.paths)
        sums = Sums(progress, part, self._known_quarantined if settled.everything else None)
        progress.state = "running"
        showing = self._manager.control.every(_SHOW_S, sums.update)
        try:
            await (await self._make(source, part)).run()
        except Exception as error:  # noqa: BLE001 - logged and shown; the files go on changing
            _log.warning("pipeline %s could not take in what changed: %s", self._name, error)
            _log.debug("the failure", exc_info=True)
            progress.error = _told(error)
            now = self._clock.now()
            self._not_before = now + _AGAIN_S
            self._settling.lost_track(now)  # rule 5
        else:
            progress.error = ""
            self._known_quarantined = part.quarantined if settled.everything else self._known_quarantined
        finally:
            showing.cancel()
            sums.update()
            progress.listed = True
        progress.state = "watching"

    # -- changes --------------------------------------------------------------

    async def _wait_for_changes(self) -> Settled:
        while True:
            now = self._clock.now()
            if now >= self._look_at:
                await self._look_at_roots()
                self._look_at = self._clock.now() + _LOOK_S
            if self._is_whole() and now >= self._compare_at:
                await self._compare()
            for path, facts in await self._look(self._settling.due(now)):
                self._settling.looked(path, facts, self._clock.now())
            now = self._clock.now()
            if self._is_whole() and now >= self._not_before and not self._progress.paused:
                settled = self._settling.take(now)
                if settled:
                    return settled
            await self._sleep(now)

    async def _sleep(self, now: float) -> None:
        """Sleep until something has changed, or is due."""
        due = [self._look_at]
        if self._is_whole():
            due.append(self._compare_at)
        settles_at = self._settling.next_at()
        if settles_at is not None and self._is_whole() and not self._progress.paused:
            due.append(max(settles_at, self._not_before))
        alarm = self._manager.timer.at(max(now, min(due)), self._something.set)
        try:
            await self._something.wait()
        finally:
            alarm.cancel()
            self._something.clear()

    async def _look(self, paths: Sequence[str]) -> list[tuple[str, Any]]:
        if not paths:
            return []
        found: list[tuple[str, Any]] = await self._thread(_facts, paths)
        return found

    async def _compare(self) -> None:
        """Find out whether anything has changed, and is at rest (rule 3)."""
        begun = self._clock.now()
        try:
            found = await self._thread(fingerprint, self._source)
        except TenireError:
            return  # a named path left just now; the next look tells
        now = self._clock.now()
        usual, longest = (_POLL_S, _LONGEST_POLL_S) if self._polls else (_COMPARE_S, _LONGEST_COMPARE_S)
        self._compare_at = now + min(longest, max(usual, (now - begun) / _PART_OF_TIME))
        if found != self._seen:
            self._seen = found
            if self._differs_since is None:
                self._differs_since = now
            self._compare_at = now + _POLL_S
            if now < self._differs_since + LONGEST_S:
                return
        if self._differs_since is not None:
            self._differs_since = None
            self._settling.lost_track(now)

    # -- listening ------------------------------------------------------------

    def _is_whole(self) -> bool:
        return None not in self._identities

    async def _look_at_roots(self) -> None:
        """Listen anew where a named directory has come back, or another one stands in its place."""
        found = await self._thread(identities, self._roots)
        if found == self._identities:
            return
        missing = [path for path, one in zip((*self._roots.deep, *self._roots.flat), found, strict=True) if one is None]
        await self._deaf()
        self._identities = found
        if missing:
            self._progress.error = f"{missing[0]} is missing; it goes on once that is back"  # rule 4
            _log.warning("pipeline %s waits: %s is missing", self._name, missing[0])
            return
        self._progress.error = ""
        await self._listen()
        self._settling.lost_track(self._clock.now())

    async def _listen(self) -> None:
        loop = asyncio.get_running_loop()

        def heard(paths: list[str]) -> None:
            # A name that is no text does not come through whole.
            odd = any("\ufffd" in path for path in paths)
            concerned = [path for path in paths if self._source.concerns(path)]
            if concerned or odd:
                loop.call_soon_threadsafe(self._heard, concerned, odd)

        def broke() -> None:
            loop.call_soon_threadsafe(self._poll, "it broke off")

        def open_all() -> None:
            for directories, recursive in ((self._roots.deep, True), (self._roots.flat, False)):
                if directories:
                    self._events.append(self._make_events(directories, recursive=recursive, heard=heard, broke=broke))

        self._identities = await self._thread(identities, self._roots)
        self._polls, self._compare_at = False, self._clock.now() + _COMPARE_S
        try:
            await unbroken(run_blocking(open_all))
        except UnwatchableError as error:
            await self._deaf()
            self._poll(str(error))

    def _heard(self, paths: list[str], odd: bool) -> None:
        now = self._clock.now()
        self._settling.changed(paths, now)
        if odd:
            self._settling.lost_track(now)
        self._something.set()

    def _poll(self, reason: str) -> None:
        """Find changes by comparing from now on."""
        _log.warning("pipeline %s compares its files every few seconds to find what changed: %s", self._name, reason)
        self._polls = True
        self._compare_at = self._clock.now()
        self._something.set()

    async def _deaf(self) -> None:
        events, self._events = self._events, []
        for each in events:
            each.stop()  # all of them, before the first one is waited for
        # In one step: who is cancelled while the first one ends must not leave the others open.
        await unbroken(run_blocking(_close, events))

    def _thread(self, fn: Callable[..., Any], *args: Any) -> Handle[Any]:
        name = f"{self._name}: {getattr(fn, '__name__', 'watch')}"
        return self._manager.submit(fn, *args, on="thread", name=name)


def _close(events: Sequence[FileEvents]) -> None:
    with ExitStack() as closing:
        for each in events:
            closing.callback(each.close)


def _facts(paths: Sequence[str]) -> list[tuple[str, Any]]:
    return [(path, facts_of(path)) for path in paths]


def _told(error: Exception) -> str:
    text = str(error) or type(error).__name__
    if not isinstance(error, TenireError):
        text = f"{type(error).__name__}: {text}"
    return f"{text}; it is tried again in a while"
