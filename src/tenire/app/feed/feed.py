"""The looker-on's end of the feed: follows the engine of a home, whatever becomes of either.

::

    GONE ──an engine answers──► ATTACHED ──it ends, or is killed──► GONE
      └──one runs, but is silent──► SILENT ──it answers──► ATTACHED ──it stops answering──► SILENT

1. One task asks for pictures, one at a time, and not more often than once in a period.
   What it knows is ``view``: one frozen record, replaced as a whole, so it may be read
   from any thread, and whoever reads seldom reads the latest.
2. While nobody answers it tries again as soon as another engine listens, and every
   ``RETRY_S`` besides, or ``SILENT_S`` while one runs; whose the home is it asks less often. What is shown meanwhile is
   what the home's ledger holds, and what the last engine told of runs whose end is not
   there: it was killed.
3. No failure ends it: what is wrong is the view's note. A bug does, and ``ended`` tells.
4. Its waits hang on a timer: the engine's, on the loop of an engine.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from tenire.app.feed.actions import Actions
from tenire.app.feed.happened import KEPT, Happened
from tenire.app.feed.holdings import Holdings, read_holdings
from tenire.app.feed.pictures import HOLD_S, Told, Watch
from tenire.app.feed.rates import Curves
from tenire.app.feed.view import View
from tenire.app.published import Published, from_text
from tenire.clock import SYSTEM_CLOCK
from tenire.concurrency.blocking import run_blocking
from tenire.concurrency.channel import ChannelClient, Lookout
from tenire.concurrency.timer import UniversalTimer
from tenire.concurrency.unbroken import unbroken
from tenire.errors import ChannelError, RejectedError, TenireError
from tenire.storage.home import Home

if TYPE_CHECKING:
    import os
    from collections.abc import AsyncIterator, Awaitable, Callable
    from types import TracebackType
    from typing import Self

    from tenire.clock import Clock

__all__ = ["PERIOD_S", "RETRY_S", "Feed"]

PERIOD_S = 0.1
RETRY_S = 3.0
"""Between two tries where no engine is: one that comes is seen at once, and an idle window costs next to nothing."""
SILENT_S = 0.4
OWNER_S = 1.0
"""Between two looks whose a home is where no engine was, at the least: each is a turn of another thread."""
HOLDINGS_S = 2.0
"""Between two looks into the ledger, at the least."""

_ANSWER_S = HOLD_S + 3.0
_SOON_S = 0.1
"""One that was killed holds its home for a moment more, and seems to be silent."""


class Feed:
    """Follows the engine of a home; an async context manager.

    Args:
        home: The home, or its directory, which need not exist yet.
        period: Seconds between two views, at the least.
        on_view: Called with each view, on the loop of the feed; must not block.
        clock: Tells the time.
        client: The way to the engine.
        lookout: Waits until there may be another engine, or for so many seconds.
        timer: The engine's, on the loop of an engine; anywhere else it makes one of its own.

    Attributes:
        period: Seconds between two views, at the least; may be changed while nobody looks.
        view: What is to be shown now; may be read from any thread.
        looks: How often it has asked, and heard an answer or that there is none.
        actions: What can be done.
    """

    def __init__(
        self,
        home: Home | str | os.PathLike[str],
        *,
        period: float = PERIOD_S,
        on_view: Callable[[View], object] | None = None,
        clock: Clock = SYSTEM_CLOCK,
        client: ChannelClient | None = None,
        lookout: Callable[[float], Awaitable[object]] | None = None,
        timer: UniversalTimer | None = None,
    ) -> None:
        self._home = home if isinstance(home, Home) else Home(home)
        self.period = period
        self._on_view = on_view
        self._clock = clock
        self._timer = timer
        self._own_timer: UniversalTimer | None = None
        self._client = client or ChannelClient(self._home.path, timeout=_ANSWER_S, timer=timer)
        self._lookout = lookout or Lookout(self._home.path).wait
        self._watch = Watch(period=period)
        self._curves = Curves()
        self._holdings = Holdings()
        self._stale = False  # whether the ledger has changed since the last reading began
        self._counted: object = None  # the counters when the ledger was read last
        self._read_at = float("-inf")
        self._owner_at = float("-inf")
        self._ledger: object = None  # what tells whether it was written since nobody is there
        self._reading: asyncio.Task[None] | None = None
        self._following: asyncio.Task[None] | None = None
        self._closing = False
        self.looks = 0
        self._waiting: list[asyncio.Future[None]] = []
        self.view = View(1, str(self._home.path), "gone", clock.wall(), "looking for an engine")
        self.actions = Actions(self._home, changed=self._renew_holdings, timer=timer)

    async def __aenter__(self) -> Self:
        if self._timer is None:
            self._timer = self._own_timer = UniversalTimer.of_running_loop(self._clock)
        self._following = asyncio.get_running_loop().create_task(self._follow(), name="tenire feed")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing = True
        async with AsyncExitStack() as ending:
            ending.callback(self._let_go)
            if self._own_timer is not None:
                ending.callback(self._own_timer.close)
            ending.push_async_callback(self._client.aclose)
            ending.push_async_callback(self.actions.aclose)
            for task in (self._reading, self._following):
                if task is not None:
                    task.cancel()
                    # A step that it must not leave half done, such as a connection, is waited for.
                    ending.push_async_callback(_wait_for, task)

    def _let_go(self) -> None:
        for waiting in self._waiting:
            waiting.cancel()

    @property
    def ended(self) -> asyncio.Future[None]:
        """Done once it has ended: by itself it does so only by an error, which this then holds."""
        assert self._following is not None, "the feed is not open"
        return asyncio.shield(self._following)  # who waits for it may be cancelled; the feed goes on

    async def newer(self, number: int) -> View:
        """Return the latest view once there is one after number ``number``.

        Raises:
            RejectedError: If the feed is closed, and there is none.
            asyncio.CancelledError: If it is closed meanwhile.
        """
        while self.view.number <= number:
            if self._closing:
                message = f"the feed of {self._home.path} is closed, so nothing comes after view {self.view.number}"
                raise RejectedError(message, hint="ask inside its `async with` block")
            waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(waiting)
            await waiting
        return self.view

    async def __aiter__(self) -> AsyncIterator[View]:
        """Yield the view now, and then the latest one each time when there is a newer one."""
        number = 0
        while True:
            view = await self.newer(number)
            number = view.number
            yield view

    # -- following ----------------------------------------------------------

    async def _follow(self) -> None:
        while True:
            began = self._clock.now()
            try:
                told = await self._client.call("watch", self._watch, returns=Told)
                self._take(told)
            except (TenireError, ValueError, TypeError, RecursionError) as error:
                attached = self.view.attached
                await self._lost(error)
                self.looks += 1
                await self._lookout(_SOON_S if attached else RETRY_S if self.view.link == "gone" else SILENT_S)
            else:
                self.looks += 1
                await self._pause(began + self.period - self._clock.now())

    async def _pause(self, seconds: float) -> None:
        assert self._timer is not None, "the feed is not open"
        await self._timer.wait_until(self._timer.now() + seconds)

    def _take(self, told: Told) -> None:
        now = self._clock.now()
        new = told.engine != self._watch.engine
        engine = from_text(told.picture, Published) if told.picture else self.view.engine
        heard = told.events[-1].number if told.events else (0 if new else self._watch.heard)
        self._watch = Watch(told.engine, told.number, heard, self.period, told.sampled)
        pipelines = engine.pipelines if engine is not None else {}
        # What it looked like, and when, is the engine's to say: here is only when that was heard.
        (self._curves.join if new else self._curves.go_on)(told.samples)
        counted = {
            name: tuple(each.totals.get(counter) for counter in ("state", "quarantined", "chunks", "done"))
            for name, each in pipelines.items()
        }
        if counted != self._counted and now >= self._read_at + HOLDINGS_S:
            self._counted = counted
            self._renew_holdings()
        self._show("attached", "", engine=engine, pipelines=pipelines, rates=told.rates, events=tuple(told.events))

    async def _lost(self, error: Exception) -> None:
        now = self._clock.now()
        if self.view.link == "gone" and now < self._owner_at + OWNER_S:
            return
        self._owner_at = now
        owner, ledger = await run_blocking(_look_at, self._home)
        link = "gone" if owner is None else "silent"
        note = f"no engine is running on {self._home.path}"
        if link == "silent":
            begun = isinstance(error, ChannelError)
            note = f"an engine is running (pid {owner}), but does not answer" + ("" if begun else f": {error}")
        if link != self.view.link or note != self.view.note:
            if link == "gone":
                self._watch = Watch(period=self.period)
                self._ledger = ledger
                await self._read(running=False)
                self._show(link, note, pipelines=self._holdings.after(self.view.engine), rates={})
            else:
                self._show(link, note, rates={})
        elif link == "gone" and ledger != self._ledger:  # somebody came and went between two looks
            self._ledger = ledger
            await self._read(running=False)
            self._show(link, note, pipelines=self._holdings.after(self.view.engine))

    # -- the ledger -----------------------------------------------------------

    def _renew_holdings(self) -> None:
        if self._closing:  # a retry ends with the feed, and nobody would wait for what begins now
            return
        self._stale = True  # also for a reading that is under way: it may have begun before the change
        if self._reading is None or self._reading.done():
            self._reading = asyncio.get_running_loop().create_task(self._read_beside(), name="tenire feed: ledger")

    async def _read_beside(self) -> None:
        while self._stale:
            self._stale = False
            await self._read_once()

    async def _read_once(self) -> None:
        attached = self.view.link != "gone"
        await self._read(running=attached)
        if self.view.attached:
            # With the next picture, if there is one soon: views are not to come more often than once in a period.
            shown = self.view.number
            await self._pause(2 * self.period)
            if self.view.number == shown:
                self._show(self.view.link, self.view.note)
        elif attached:
            self._show(self.view.link, self.view.note)
        else:
            self._show(self.view.link, self.view.note, pipelines=self._holdings.after(self.view.engine))

    async def _read(self, *, running: bool) -> None:
        self._read_at = self._clock.now()
        try:
            self._holdings = await run_blocking(read_holdings, self._home, running=running)
        except TenireError as error:
            self._holdings = Holdings()
            events = (Happened(0, self._clock.wall(), "home", "", f"the ledger cannot be read: {error}", "bad"),)
            self._show(self.view.link, self.view.note, events=events)

    # -- the view -------------------------------------------------------------

    def _show(self, link: str, note: str, *, events: tuple[Happened, ...] = (), **changes: object) -> None:
        before, holdings = self.view, self._holdings
        facts = {name: getattr(before, name) for name in ("engine", "pipelines", "rates")} | changes
        self.view = View(
            number=before.number + 1,
            home=before.home,
            link=link,
            since=before.since if link == before.link else self._clock.wall(),
            note=note,
            events=(before.events + events)[-KEPT:] if events else before.events,
            quarantine=holdings.quarantine,
            quarantined=holdings.quarantined,
            documents=holdings.documents,
            passages=holdings.passages,
            samples=self._curves.samples,
            **facts,
        )
        if self._on_view is not None:
            self._on_view(self.view)
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            if not each.done():
                each.set_result(None)


async def _wait_for(task: asyncio.Task[None]) -> None:
    await unbroken(asyncio.wait([task]))


def _look_at(home: Home) -> tuple[int | None, object]:
    """Return whose a home is, and what its ledger looks like from outside."""
    owner = home.owner()
    try:
        found = home.ledger_path.stat()
    except OSError:
        return owner, None
    return owner, (found.st_ino, found.st_mtime_ns, found.st_size)
