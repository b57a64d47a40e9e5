"""The loops of one engine: the one that it runs on, and others beside it."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any, TypeVar, overload

from tenire.clock import SYSTEM_CLOCK
from tenire.concurrency.loops.owner import LoopOwner
from tenire.concurrency.loops.state import LoopState
from tenire.concurrency.loops.thread import LoopThread
from tenire.concurrency.loops.watchdog import Stall, Watchdog
from tenire.concurrency.unbroken import unbroken
from tenire.concurrency.waiting import on_a_loop, until_gone, wait_set
from tenire.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine
    from types import TracebackType
    from typing import Self

    from tenire.clock import Clock
    from tenire.concurrency.loops.kinds import LoopKind
    from tenire.concurrency.loops.spawned import Spawned
    from tenire.concurrency.loops.tracking import TrackedTask

__all__ = ["STALL_AFTER_S", "EventLoopManager"]

T = TypeVar("T")

_LAST_WORD_S = 1.0
_ANSWER_S = 0.25
"""What a loop may take to come round and tell what runs on it, before that is read from outside."""

STALL_AFTER_S = 1.0
"""Seconds without a turn of a loop after which the watchdog speaks up."""


class EventLoopManager:
    """Owns loops, and is the way into the main one from other threads.

    Usable by itself: ``async with`` takes on the running loop as the main one, ``with``
    runs it in a thread. Leaving the block closes every loop that it started.

    Args:
        clock: Where time comes from; on one of its own there is no watchdog.
        stall_after: Seconds without a turn of a loop that are a stall; ``None``: no watchdog.

    Attributes:
        main: The owner of the main loop.
        adopted: Whether the main loop was taken on; once is all.
        watchdog: What looks at the loops, or ``None``. Its thread starts with the block; an engine keeps it alive.

    Raises:
        ConfigError: If ``stall_after`` is not positive.
    """

    def __init__(self, *, clock: Clock = SYSTEM_CLOCK, stall_after: float | None = STALL_AFTER_S) -> None:
        if stall_after is not None and not 0 < stall_after < float("inf"):
            message = f"stall_after must be a positive number of seconds, or None, got {stall_after!r}"
            raise ConfigError(message, key="stall_after")
        self.main = LoopOwner("main", clock)
        self.adopted = False
        self._clock = clock
        self._others: dict[str, LoopThread] = {}
        self._naming = threading.Lock()
        watched = stall_after is not None and clock is SYSTEM_CLOCK
        self.watchdog = Watchdog(clock, stall_after=stall_after) if watched and stall_after is not None else None

    # -- loops ------------------------------------------------------------

    def adopt(self) -> asyncio.AbstractEventLoop:
        """Take on the running loop of this thread as the main one.

        Raises:
            InternalError: If there was one before.
        """
        loop = self.main.adopt()
        self.adopted = True
        if self.watchdog is not None:
            self.watchdog.watch(self.main)
        return loop

    def own_thread(self, *, kind: LoopKind = "auto") -> LoopThread:
        """Give the main loop a thread of its own, which the caller or `with` starts; return its owner.

        Raises:
            ConfigError: If the main loop has been started already.
        """
        if self.main.state is not LoopState.NEW:
            message = f"the main loop is {self.main.state.name.lower()}, too late to give it a thread of its own"
            raise ConfigError(message, key="loops")
        self.main = thread = LoopThread("main", self._clock, kind=kind)
        return thread

    def start(self, name: str, *, kind: LoopKind = "auto") -> LoopThread:
        """Start another loop, in a thread of its own.

        Args:
            name: For people; unique among the loops that are open.
            kind: ``asyncio``, ``uvloop``, or ``auto``: uvloop if it is installed.

        Returns:
            Its owner: a way into it, and a context manager that closes it. Otherwise it
            is closed with the engine.

        Raises:
            ConfigError: If there is a loop of that name, or no such kind.
            RejectedError: If the engine is closing.
            ComponentError: If the system has no room for one more loop or thread.
        """
        if self.main.state > LoopState.RUNNING:
            raise self.main.refusal()
        thread = LoopThread(name, self._clock, kind=kind)
        self._take_name(thread)
        try:
            thread.start()
        finally:
            if thread.state is LoopState.NEW:  # there was no room for it
                del self._others[name]
        # Asked once more: an end that began before the loop ran has not told it to stop. The lock is not
        # held until then, since to start a thread takes a while, for which it would keep the main loop.
        if self.main.state > LoopState.RUNNING:
            thread.close()
            raise self.main.refusal()
        if self.watchdog is not None:
            self.watchdog.watch(thread)
        return thread

    def _take_name(self, thread: LoopThread) -> None:
        """Note a loop that is about to start, so that there is one of its name."""
        name = thread.name
        with self._naming:
            known = self._others.get(name)
            if name == self.main.name or (known is not None and known.state is not LoopState.CLOSED):
                message = f"there is a loop {name!r} already"
                hint = "give each loop a name of its own, or close the other first"
                if known is not None and known.abandoned:  # to close it was tried
                    message += ": it stands still and was given up, so its thread is still there"
                    hint = "use another name; this one is free again when that loop comes round"
                raise ConfigError(message, key="name", hint=hint)
            for other in [one for one in self._others.values() if one.over]:
                del self._others[other.name]
            self._others[name] = thread

    def owners(self) -> dict[str, LoopOwner]:
        """Return the owners of the loops that are open, by name, the main one first."""
        owners: list[LoopOwner] = [self.main, *self._others.values()]
        return {owner.name: owner for owner in owners if owner.state in (LoopState.RUNNING, LoopState.DRAINING)}

    # -- the main loop, as if it were this object ---------------------------

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The main loop; ``InternalError`` if there is none yet."""
        return self.main.loop

    @property
    def state(self) -> LoopState:
        """Where the main loop is in its life."""
        return self.main.state

    def on_thread(self) -> bool:
        """Return whether the caller is on the main loop's thread."""
        return self.main.on_thread()

    @overload
    def call(self, fn: Callable[..., Coroutine[Any, Any, T]], *args: Any, timeout: float | None = ...) -> T: ...

    @overload
    def call(self, fn: Callable[..., T], *args: Any, timeout: float | None = ...) -> T: ...

    def call(self, fn: Callable[..., Any], *args: Any, timeout: float | None = None) -> Any:
        """See ``Portal.call``."""
        return self.main.call(fn, *args, timeout=timeout)

    @overload
    async def acall(self, fn: Callable[..., Coroutine[Any, Any, T]], *args: Any) -> T: ...

    @overload
    async def acall(self, fn: Callable[..., T], *args: Any) -> T: ...

    async def acall(self, fn: Callable[..., Any], *args: Any) -> Any:
        """See ``Portal.acall``."""
        return await self.main.acall(fn, *args)

    def wait(self, coroutine: Awaitable[T], *, timeout: float | None = None) -> T:
        """See ``Portal.wait``."""
        return self.main.wait(coroutine, timeout=timeout)

    @overload
    def spawn(self, what: Awaitable[T], /, *, name: str | None = ...) -> Spawned[T]: ...

    @overload
    def spawn(
        self, what: Callable[..., Coroutine[Any, Any, T]], /, *args: Any, name: str | None = ...
    ) -> Spawned[T]: ...

    @overload
    def spawn(self, what: Callable[..., T], /, *args: Any, name: str | None = ...) -> Spawned[T]: ...

    def spawn(self, what: Callable[..., Any] | Awaitable[Any], /, *args: Any, name: str | None = None) -> Spawned[Any]:
        """See ``Portal.spawn``."""
        return self.main.spawn(what, *args, name=name)

    def post(self, fn: Callable[..., object], *args: Any) -> None:
        """See ``Portal.post``."""
        self.main.post(fn, *args)

    # -- looking ----------------------------------------------------------

    def tasks(self) -> list[TrackedTask]:
        """Return the unfinished tasks of every open loop; from any thread.

        On the thread of a running loop it never waits. Elsewhere each loop has a quarter of a second to
        answer, so that what this thread has sent there before has begun; one that does not come round by
        then is read from outside.
        """
        return [task for owner in self.owners().values() for task in _ask(owner, owner.tasks)]

    def orphans(self) -> list[TrackedTask]:
        """Return tasks that go on though what started them has ended, of every open loop; as ``tasks`` does."""
        return [task for owner in self.owners().values() for task in _ask(owner, owner.orphans)]

    @property
    def abandoned(self) -> list[str]:
        """Names of loops whose threads were given up, since they did not end, and are still there."""
        threads = [owner for owner in (self.main, *self._others.values()) if isinstance(owner, LoopThread)]
        return [thread.name for thread in threads if thread.abandoned and thread.is_alive()]

    @property
    def stalls(self) -> list[Stall]:
        """The last times in which a loop did not come round, oldest first."""
        return list(self.watchdog.stalls) if self.watchdog is not None else []

    def on_stall(self, listener: Callable[[Stall], object]) -> None:
        """Have ``listener`` called on the watchdog's thread when a stall is noticed, and again when it is over."""
        if self.watchdog is not None:
            self.watchdog.on_stall.append(listener)

    # -- the end ----------------------------------------------------------

    def drain(self) -> None:
        """Refuse what comes to the main loop from other threads from now on."""
        self.main.drain()

    def hurry(self) -> float:
        """Give all that is cancelled on any of the loops half a second together; return when that is over."""
        until = self.main.hurry()
        for thread in list(self._others.values()):  # another thread may start one meanwhile
            thread.hurry(until)
        return until

    async def aclose(self) -> None:
        """Close the other loops, cancel what was spawned on the main one or left behind there, and close it.

        It is not left half done when it is cancelled.
        """
        self.drain()
        errors = await unbroken(self._close())
        if errors:
            raise errors[0]

    async def _close(self) -> list[BaseException]:
        others = list(self._others.values())
        for thread in others:  # all at once: each may take a while
            thread.stop()
        closing = [asyncio.get_running_loop().create_task(_end(thread)) for thread in others]
        if closing:
            await asyncio.wait(closing)
        await self.main.aclose()
        if self.watchdog is not None:
            self.watchdog.close()
            await until_gone(self.watchdog.threads(), _LAST_WORD_S)
        return [error for task in closing if not task.cancelled() and (error := task.result()) is not None]

    async def __aenter__(self) -> Self:
        self.adopt()
        if self.watchdog is not None:
            self.watchdog.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    def __enter__(self) -> Self:
        thread = self.main if isinstance(self.main, LoopThread) else self.own_thread()
        thread.start(self._live)
        if self.watchdog is not None:
            self.watchdog.watch(thread)  # a call may run there before it is adopted, and stand still
            self.watchdog.start()
        return self

    async def _live(self) -> None:
        self.adopt()
        await self.main.stopping.wait()  # type: ignore[attr-defined]  # a LoopThread, set by ``__enter__``
        await self.aclose()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        thread = self.main
        assert isinstance(thread, LoopThread)
        thread.close()


async def _end(thread: LoopThread) -> BaseException | None:
    """Close another loop, and return what ended it.

    Raised in a task, ``SystemExit`` would go through the loop that runs this, in the midst of its end.
    """
    try:
        await thread.aclose()
    except (Exception, KeyboardInterrupt, SystemExit) as error:  # noqa: BLE001 - raised once everything is closed
        return error
    return None


def _ask(owner: LoopOwner, question: Callable[[], list[T]]) -> list[T]:
    """Answer a question about a loop, on it if that can be had in a moment, and here otherwise."""
    if not owner.on_thread() and not on_a_loop():
        answers: list[list[T]] = []
        answered = threading.Event()

        def answer() -> None:
            answers.append(question())
            answered.set()

        owner.interrupt(answer)  # it comes after what was sent before, and a loop that drains takes it too
        if wait_set(answered, _ANSWER_S):
            return answers[0]
    return question()
