"""One run of a supervised component: its task, its signs of life, and its end.

How it ended is told by a done-callback, so one that was cancelled before its first
step is noticed as well.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from tenire.concurrency.supervisor.child import Life
from tenire.core.liveness import Liveness, Verdict
from tenire.errors import ComponentError

if TYPE_CHECKING:
    from contextvars import Context

    from tenire.clock import Clock
    from tenire.concurrency.supervisor.child import Child
    from tenire.concurrency.timer import Timeout, UniversalTimer

__all__ = ["Run", "Watcher"]


class Watcher(Protocol):
    """Who is told of a run; the supervisor."""

    def came_up(self, run: Run) -> None:
        """Take in that the component is up."""
        ...

    def fell(self, run: Run, error: BaseException) -> None:
        """Take in that the component does not work any more."""
        ...

    def ended(self, run: Run, error: BaseException | None) -> None:
        """Take in that the run has ended."""
        ...

    def overdue(self, run: Run) -> None:
        """Take in that the run has not ended within its grace."""
        ...


class Run:
    """One run of a component, from now on.

    Args:
        child: The component.
        watcher: Who is told of it.
        timer: Where all waiting is done.
        clock: The timer's clock.
        context: The context in which it runs.

    Attributes:
        child: The component.
        stopping: Whether it was told to end.
    """

    __slots__ = ("_alarm", "_clock", "_liveness", "_task", "_timer", "_watcher", "child", "stopping")

    def __init__(
        self, child: Child, watcher: Watcher, *, timer: UniversalTimer, clock: Clock, context: Context
    ) -> None:
        self.child = child
        self.stopping = False
        self._watcher = watcher
        self._timer = timer
        self._clock = clock
        self._liveness = None if child.silence is None else Liveness(child.silence, clock.now())
        self._alarm: Timeout | None = None  # for its next sign of life, or for the end of its grace
        loop = asyncio.get_running_loop()
        life = Life(loop, ready=partial(watcher.came_up, self), beat=self._beat, fail=partial(watcher.fell, self))
        self._task: asyncio.Task[Any] = loop.create_task(
            _live(child, life), name=f"tenire {child.name}", context=context
        )
        self._task.add_done_callback(self._ended)
        self._listen_later()

    def stop(self) -> None:
        """Tell it to end."""
        self.stopping = True
        self._task.cancel()
        self._silence_alarm()
        self._alarm = self._timer.after(self.child.grace, partial(self._watcher.overdue, self))

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._silence_alarm()
        self._watcher.ended(self, asyncio.CancelledError() if task.cancelled() else task.exception())

    def _silence_alarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    # -- signs of life ----------------------------------------------------

    def _beat(self) -> None:
        if self._liveness is not None:
            self._liveness.beat(self._clock.now())

    def _listen_later(self) -> None:
        if self._liveness is not None:
            # Not a bound method: the timer would hold it weakly.
            self._alarm = self._timer.at(self._liveness.next_look(), partial(self._listen, self._liveness))

    def _listen(self, liveness: Liveness) -> None:
        name, ask = self.child.name, self.child.ask
        verdict = liveness.look(self._clock.now())
        if verdict is Verdict.HUNG:
            message = f"component {name!r} gave no sign of life for {self.child.silence:g} s"
            self._watcher.fell(self, ComponentError(message, component=name))
            return
        self._listen_later()
        if verdict is Verdict.ASK and ask is not None:
            try:
                ask(self._beat)
            except Exception as error:  # noqa: BLE001 - one that cannot even be asked does not work
                self._watcher.fell(self, error)


async def _live(child: Child, life: Life) -> None:
    await child.run(life)
