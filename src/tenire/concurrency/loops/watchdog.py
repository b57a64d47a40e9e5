"""A thread that notices when a loop does not come round, and writes down where it stands.

It asks each loop twice in the time that is a stall; the loop answers in its next turn.
It also finds loops that were closed behind the back of their owner. In an engine it
runs under a supervisor, which starts it again if it dies or hangs.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tenire.concurrency.loops.state import LoopState
from tenire.concurrency.loops.tracking import thread_stack
from tenire.concurrency.reporting_thread import ReportingThread
from tenire.concurrency.waiting import until_gone
from tenire.core.stalls import StallDetector

if TYPE_CHECKING:
    from collections.abc import Callable

    from tenire.clock import Clock
    from tenire.concurrency.loops.owner import LoopOwner
    from tenire.concurrency.supervisor import Life

__all__ = ["Stall", "Watchdog"]

_MOST_KEPT = 50
_LAST_WORD_S = 1.0

_log = logging.getLogger("tenire.loops")


@dataclass(frozen=True, slots=True)
class Stall:
    """A time in which a loop did not come round.

    Attributes:
        loop: The loop's name.
        task: The name of the task that ran on it, or ``None``.
        seconds: How long it lasted; while it lasts, until it was noticed.
        over: Whether it is over.
        stack: Where the loop's thread stood, innermost last, one line a call.
    """

    loop: str
    task: str | None
    seconds: float
    over: bool
    stack: tuple[str, ...]


class _Watched:
    """One loop, and what is known of it."""

    def __init__(self, owner: LoopOwner, detector: StallDetector, clock: Clock) -> None:
        self.owner = owner
        self.detector = detector
        self.answered_at: float | None = None
        self.stall: Stall | None = None
        self._clock = clock

    def answer(self) -> None:
        """Come round; on the loop's thread."""
        self.answered_at = self._clock.now()


class Watchdog:
    """Watches the loops of one process or engine.

    Args:
        clock: Where time comes from.
        stall_after: Seconds without a turn of the loop that are a stall.

    Attributes:
        stalls: The last stalls, oldest first.
        on_stall: Called on the watchdog's thread with each stall, when it is noticed
            and again when it is over.
    """

    def __init__(self, clock: Clock, *, stall_after: float) -> None:
        self.stalls: deque[Stall] = deque(maxlen=_MOST_KEPT)
        self.on_stall: list[Callable[[Stall], object]] = []
        self._clock = clock
        self._limit = stall_after
        self._interval = stall_after / 2
        self._watched: dict[LoopOwner, _Watched] = {}
        self._stop = threading.Event()
        self._closed = False
        self._thread: ReportingThread | None = None

    def watch(self, owner: LoopOwner) -> None:
        """Begin to watch a loop."""
        if not self._closed and owner not in self._watched:
            detector = StallDetector(self._limit, late=self._interval + self._limit)
            self._watched[owner] = _Watched(owner, detector, self._clock)

    async def run(self, life: Life) -> None:
        """Be a component: look at the loops for as long as it lives."""
        self.start(beat=life.beat, fell=life.fail)
        life.ready()
        try:
            await life.wait_told_to_end()
        finally:
            self._stop.set()
            await until_gone(self.threads(), _LAST_WORD_S)

    def start(
        self,
        *,
        beat: Callable[[], object] = lambda: None,
        fell: Callable[[BaseException], object] = lambda error: _log.error("the watchdog died", exc_info=error),
    ) -> None:
        """Start the thread.

        Args:
            beat: Called on it after each look.
            fell: Called on it if it dies.
        """
        stop = self._stop = threading.Event()  # one that hangs keeps its own

        def serve() -> None:
            while not stop.wait(self._interval):
                self.look()
                beat()

        self._thread = ReportingThread(serve, name="tenire-watchdog", fell=fell)
        self._thread.start()

    def close(self) -> None:
        """End the thread; it is gone within a moment."""
        self._closed = True
        self._stop.set()

    def threads(self) -> list[ReportingThread]:
        """Return its thread, if it has started one."""
        return [] if self._thread is None else [self._thread]

    def look(self) -> None:
        """Look at every loop once."""
        for watched in list(self._watched.values()):
            owner = watched.owner
            if owner.state is LoopState.CLOSED:
                self._watched.pop(owner, None)
            elif owner.loop.is_closed():
                self._watched.pop(owner, None)
                owner.lost("its loop was closed while the engine was still open")
            elif owner.loop.is_running():
                self._look_at(watched)

    def _look_at(self, watched: _Watched) -> None:
        owner = watched.owner
        finding = watched.detector.look(self._clock.now(), watched.answered_at)
        if finding.over is not None and watched.stall is not None:
            self._over(watched.stall, finding.over)
            watched.stall = None
        if finding.ask:
            watched.answered_at = None
            with contextlib.suppress(RuntimeError):  # closed since: found with the next look
                owner.loop.call_soon_threadsafe(watched.answer)
        elif finding.stalled is not None:
            watched.stall = stall = self._describe(owner, finding.stalled)
            self.stalls.append(stall)
            _log.warning(
                "the loop %r has not come round for %.1f s; %s. It stands at:\n  %s",
                stall.loop,
                stall.seconds,
                f"task {stall.task!r} runs on it" if stall.task else "no task runs on it",
                "\n  ".join(stall.stack) or "(unknown)",
            )
            self._tell(stall)

    def _describe(self, owner: LoopOwner, seconds: float) -> Stall:
        task = asyncio.current_task(owner.loop)
        return Stall(
            loop=owner.name,
            task=task.get_name() if task is not None else None,
            seconds=seconds,
            over=False,
            stack=tuple(thread_stack(owner.thread)),
        )

    def _over(self, stall: Stall, seconds: float) -> None:
        ended = replace(stall, seconds=seconds, over=True)
        with contextlib.suppress(ValueError):  # pushed out by newer ones
            self.stalls[self.stalls.index(stall)] = ended
        _log.warning("the loop %r came round again after %.1f s", stall.loop, seconds)
        self._tell(ended)

    def _tell(self, stall: Stall) -> None:
        for listener in list(self.on_stall):
            try:
                listener(stall)
            except Exception:  # noqa: BLE001 - foreign code must not end the watch
                _log.exception("a listener for stalls failed")
