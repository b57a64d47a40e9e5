"""Keeps components alive: starts again what fails or hangs, and ends them in order.

``core.restart`` decides who starts and who leaves, ``core.liveness`` who hangs; here
is only carried out what they say, on the loop's thread.

1. A run that does not end within its grace is abandoned: it counts as ended, is named
   in the log, and is never taken for the component's next run.
2. Each run gets the context in which the supervisor started: one that starts again
   from a timer must not inherit what somebody else's task happened to hold.
"""

from __future__ import annotations

import asyncio
import contextvars
import random
from functools import partial
from typing import TYPE_CHECKING

from tenire.concurrency.loops.forks import on_fork
from tenire.concurrency.supervisor.child import ChildStatistics, ComponentChanged
from tenire.concurrency.supervisor.report import error_line, log, log_fall
from tenire.concurrency.supervisor.run import Run
from tenire.concurrency.unbroken import unbroken
from tenire.core.restart import Member, Restarts, Start, State, Stop
from tenire.errors import ComponentError, ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tenire.clock import Clock
    from tenire.concurrency.supervisor.child import Child, Life
    from tenire.concurrency.timer import Timeout, UniversalTimer
    from tenire.core.restart import Strategy

__all__ = ["Supervisor"]


class Supervisor:
    """Runs components, each of them as its ``Child`` says; on one loop.

    Args:
        children: The components, in the order in which they start.
        timer: Where all waiting is done.
        clock: The timer's clock.
        strategy: Whom a component that fails takes along: ``one_for_one``, nobody;
            ``one_for_all``, all others; ``rest_for_one``, those after it.
        intensity: Failures of one component within the period that are borne. One more,
            and it is given up; unless it is optional, all others end with it.
        period: Seconds.
        rng: For the jitter of the waits before restarts.
        on_change: Called with a ``ComponentChanged``; must not block.
        on_escalation: Called with the ``ComponentError`` when all have ended because of it.

    Attributes:
        abandoned: Names of components whose run did not end within its grace, one for
            each such run that still goes on.

    Raises:
        ConfigError: If two components have one name, or a number or a word is impossible.
    """

    def __init__(
        self,
        children: Iterable[Child] = (),
        *,
        timer: UniversalTimer,
        clock: Clock,
        strategy: Strategy = "one_for_one",
        intensity: int = 5,
        period: float = 60.0,
        rng: random.Random | None = None,
        on_change: Callable[[ComponentChanged], object] = lambda _: None,
        on_escalation: Callable[[ComponentError], object] = lambda _: None,
    ) -> None:
        self._timer = timer
        self._clock = clock
        self._on_change = on_change
        self._on_escalation = on_escalation
        self._make_core = partial(
            Restarts, strategy=strategy, intensity=intensity, period=period, rng=rng or random.Random()
        )
        self._too_often = f"failed more than {intensity} times within {period:g} s"
        children = tuple(children)
        self._core = self._make_core([_member(child) for child in children])
        self._children = {child.name: child for child in children}
        self._runs: dict[str, Run] = {}
        self._abandoned: list[Run] = []
        self._errors: dict[str, BaseException] = {}
        self._due: Timeout | None = None
        self._running = False
        self._escalation: ComponentError | None = None
        self._changed = asyncio.Event()
        self._context = contextvars.copy_context()
        on_fork(self)

    @property
    def abandoned(self) -> list[str]:
        """Names of components with a run that goes on though it was given up."""
        return [run.child.name for run in self._abandoned]

    def statistics(self) -> dict[str, ChildStatistics]:
        """Return how each component fares."""
        now = self._clock.now()
        return {
            name: ChildStatistics(
                self._core.health(name, now),
                self._core.restarts(name),
                error_line(self._errors[name]) if name in self._errors else None,
            )
            for name in self._children
        }

    # -- life -------------------------------------------------------------

    async def start(self) -> None:
        """Start the components.

        Returns once each is up, or has ended; an optional one is not waited for after
        its first failure. A supervisor that has ended may start again.

        Raises:
            ComponentError: If a component failed too often; the others have ended.
        """
        if self._running:
            message = "this supervisor runs already"
            raise ConfigError(message)
        self._core = self._make_core([_member(child) for child in self._children.values()])
        self._context = contextvars.copy_context()
        self._errors.clear()
        self._escalation = None
        self._running = True
        try:
            self._obey(self._core.due(self._clock.now()))
            await self._wait_started(*self._children)
        except BaseException:
            await self.aclose()
            raise

    async def aclose(self) -> None:
        """End all components, in reverse order; calling it again does nothing.

        It takes at most the sum of their graces, and is not left half done when it is
        cancelled.
        """
        if self._running:
            self._obey(self._core.close(self._clock.now()))
            await unbroken(self.wait_ended())

    async def wait_ended(self) -> None:
        """Wait until all components have ended because the supervisor did."""
        while self._running:
            await self._changed.wait()

    async def run(self, life: Life) -> None:
        """Be a component of another supervisor: ``Child(name, supervisor.run)``.

        Raises:
            ComponentError: If a component failed too often.
        """
        await self.start()
        try:
            life.ready()
            await self.wait_ended()
            if self._escalation is not None:
                raise self._escalation
        finally:
            await self.aclose()

    async def add(self, child: Child) -> None:
        """Take in one more component, after all others, and wait as ``start`` does.

        Raises:
            ConfigError: If there is one of that name.
            ComponentError: If it failed too often.
        """
        if not (self._running or self._core.closed):  # it starts with all others
            self._core = self._make_core([_member(each) for each in (*self._children.values(), child)])
            self._children[child.name] = child
            return
        commands = self._core.add(_member(child), self._clock.now())
        self._children[child.name] = child
        if self._running:
            self._obey(commands)
            try:
                await self._wait_started(child.name)
            except asyncio.CancelledError:
                await self.remove(child.name)
                raise

    async def remove(self, name: str) -> None:
        """End one component for good; its name is free again. The others stay.

        Raises:
            ConfigError: If there is none of that name.
        """
        if name not in self._children:
            message = f"there is no component {name!r}; there are: {', '.join(self._children) or 'none'}"
            raise ConfigError(message, key="name")
        if self._running:
            self._obey(self._core.remove(name, self._clock.now()))
            await unbroken(self._wait_gone(name))
        else:
            self._forget(name)

    def forked(self) -> None:
        """Let go of all components in a child process made by ``fork``; see ``loops.forks``."""
        # The copy of a loop may go on there and cancel their tasks: that is nobody's fall.
        self._abandoned.extend(self._runs.values())
        self._runs.clear()
        self._running = False

    # -- waiting ----------------------------------------------------------

    async def _wait_started(self, *names: str) -> None:
        while self._running and any(self._is_starting(name) for name in names):
            await self._changed.wait()
        if self._escalation is not None:
            await self.wait_ended()
            raise self._escalation

    def _is_starting(self, name: str) -> bool:
        if self._children[name].optional and name in self._errors:
            return False
        return self._core.state(name) not in (State.UP, State.ENDED, State.FAILED)

    async def _wait_gone(self, name: str) -> None:
        while self._core.state(name) not in (State.ENDED, State.FAILED):
            await self._changed.wait()
        self._forget(name)  # here: whoever removes it may be cancelled meanwhile

    def _forget(self, name: str) -> None:
        self._core.forget(name)
        del self._children[name]
        self._errors.pop(name, None)

    # -- doing what the core says -----------------------------------------

    def _obey(self, commands: list[Start | Stop]) -> None:
        for command in commands:
            if isinstance(command, Stop):
                self._runs[command.name].stop()
                continue
            context = self._context.copy()
            self._runs[command.name] = Run(
                self._children[command.name], self, timer=self._timer, clock=self._clock, context=context
            )
        self._arm()
        self._escalate()
        # Those who wait look anew; the next change has an event of its own.
        self._changed.set()
        self._changed = asyncio.Event()

    def _arm(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None
        at = self._core.next_due()
        if at is not None:
            self._due = self._timer.at(at, self._come_due)

    def _come_due(self) -> None:
        self._obey(self._core.due(self._clock.now()))

    def _escalate(self) -> None:
        name = self._core.escalated
        if name is not None and self._escalation is None:
            message = f"component {name!r} {self._too_often}"
            hint = "its last error is the cause of this one"
            self._escalation = ComponentError(message, component=name, hint=hint)
            self._escalation.__cause__ = self._errors.get(name)
        if self._running and self._core.closed and not self._runs:
            self._running = False
            if self._escalation is not None:
                self._on_escalation(self._escalation)

    # -- what components do -----------------------------------------------

    def came_up(self, run: Run) -> None:
        """See ``Watcher``."""
        name = run.child.name
        if self._counts(run) and self._core.state(name) is State.STARTING:
            commands = self._core.ready(name, self._clock.now())
            self._tell(name, "up", None)
            self._obey(commands)

    def fell(self, run: Run, error: BaseException) -> None:
        """See ``Watcher``."""
        if self._counts(run):
            self._take_in(run.child.name, self._core.hung(run.child.name, self._clock.now()), error)

    def ended(self, run: Run, error: BaseException | None) -> None:
        """See ``Watcher``."""
        if run in self._abandoned:
            self._abandoned.remove(run)
            return
        name = run.child.name
        del self._runs[name]
        commands = self._core.ended(name, self._clock.now(), failed=error is not None)
        if not run.stopping:
            self._take_in(name, commands, error)
            return
        if error is not None and not isinstance(error, asyncio.CancelledError):
            log.warning("component %r did not end cleanly: %s", name, error_line(error), exc_info=error)
        if self._core.state(name) is State.ENDED:
            self._tell(name, "ended", None)
        self._obey(commands)

    def overdue(self, run: Run) -> None:
        """See ``Watcher``."""
        name = run.child.name
        log.error("component %r is abandoned: it did not end within %g s of being told to", name, run.child.grace)
        self._abandoned.append(run)
        del self._runs[name]
        self._obey(self._core.ended(name, self._clock.now(), failed=True))

    def _counts(self, run: Run) -> bool:
        """Return whether what a run says still means anything."""
        return self._runs.get(run.child.name) is run and not run.stopping

    def _take_in(self, name: str, commands: list[Start | Stop], error: BaseException | None) -> None:
        """Tell of an end that nobody asked for, and do what follows."""
        if error is not None:
            self._errors[name] = error
        fate = self._core.fate(name)
        log_fall(name, error, fate=fate, prospect=self._prospect(name, fate))
        self._tell(name, fate.value, error)
        self._obey(commands)

    def _prospect(self, name: str, fate: State) -> str:
        if fate is State.DOWN:
            return f"it starts again in {self._core.delay(name):.1f} s"
        if fate is State.ENDED:
            return "it is not started again"
        others = "all others end with it" if self._core.escalated == name else "the others go on without it"
        return f"it {self._too_often}, and is given up: {others}"

    def _tell(self, name: str, state: str, error: BaseException | None) -> None:
        try:
            self._on_change(
                ComponentChanged(name, state, error, self._core.restarts(name), self._children[name].pipelines)
            )
        except Exception:  # noqa: BLE001 - foreign code; logged, and what follows is done all the same
            log.exception("a listener to component %r failed", name)


def _member(child: Child) -> Member:
    return Member(child.name, child.restart, child.optional)
