"""What an engine consists of: which part starts after which, and which is kept alive.

::

    timer ─┬─► supervisor ─┬─► events, watchdog
           │               ▼
           └─► data_manager ─► history ─► orchestrator ─┬─► thread_pool ─┐
                                                        ├─► compactor ───┼─► loops ─► async_tasks ─► garbage
                                                        └─► control ─────┘

1. A part starts once all that it needs is there; ``core.startup`` computes the order.
   They stop in exact reverse: first the door, then what others started through it, then
   what runs tasks, and last what keeps the records.
2. A part with a life of its own is a component of the supervisor meanwhile.
3. The engine goes on without a component that fails too often, unless it is the
   orchestrator or the pools: then it gives up, and every task with it.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from tenire.clock import SYSTEM_CLOCK
from tenire.concurrency.blocking import hurry, stuck_functions
from tenire.concurrency.garbage import set_aside, take_back
from tenire.concurrency.holding import HOLDER
from tenire.concurrency.startup import BatchInitializationGroup, Component
from tenire.concurrency.supervisor import Child
from tenire.concurrency.unbroken import unbroken
from tenire.concurrency.unwinding import unwind
from tenire.core.admission import CPU, MEMORY
from tenire.core.tasks import CPU_UNIT

if TYPE_CHECKING:
    import random
    from collections.abc import Awaitable, Callable

    from tenire.clock import Clock
    from tenire.concurrency.async_tasks import AsyncTaskManager
    from tenire.concurrency.compactor import Compactor
    from tenire.concurrency.control import Control
    from tenire.concurrency.data import DataManager
    from tenire.concurrency.event_keeper import EventKeeper
    from tenire.concurrency.history_keeper import HistoryKeeper
    from tenire.concurrency.loops import EventLoopManager
    from tenire.concurrency.orchestrator import Orchestrator
    from tenire.concurrency.pools import ThreadPoolManager
    from tenire.concurrency.startup import StartupProgress
    from tenire.concurrency.supervisor import Supervisor
    from tenire.concurrency.timer import UniversalTimer

__all__ = ["Parts"]

_GRACE_S = 0.5
"""Seconds that cancelled work, or a component, may take to end before it is given up, by name."""
_FIRST_PART = 0.6
"""Of that, before what goes on is cancelled a second time."""
_LEAST_GRACE_S = 0.05
"""What functions on threads get of that if coroutines have used it up."""
_SILENCE_S = 60.0
_ESSENTIAL = ("orchestrator", "thread_pool")

_log = logging.getLogger("tenire.manager")


@dataclass(slots=True)
class Parts:
    """The parts of one engine.

    Attributes:
        adaptive: Whether the machine is looked at.
        left_open: Closes the engine; called if its loop ends before it.
        events: Writes down what happens, or ``None`` for an engine without a home.
        stopped_by: The task that has them stop; it is not waited for.
        cancel: Whether what runs is cancelled when they stop, instead of waited for.
        stuck: Names of the tasks that did not end when they were told to.
        group: What starts and stops them, once they are to start.
        give_up_at: When cancelled work is given up, seconds of the clock.
    """

    loops: EventLoopManager
    timer: UniversalTimer
    supervisor: Supervisor
    history: HistoryKeeper
    orchestrator: Orchestrator
    thread_pool: ThreadPoolManager
    async_tasks: AsyncTaskManager
    data_manager: DataManager
    control: Control
    compactor: Compactor
    clock: Clock
    adaptive: bool
    left_open: Callable[[], Awaitable[object]]
    events: EventKeeper | None = None
    stopped_by: asyncio.Task[Any] | None = None
    cancel: bool = False
    stuck: tuple[str, ...] = ()
    give_up_at: float = 0.0
    group: BatchInitializationGroup | None = None

    def components(self) -> list[Component]:
        """Return all that starts and stops, in any order."""
        # On a clock of its own there is no machine to be looked at, nor memory to be given back.
        real = self.clock is SYSTEM_CLOCK
        silence = _SILENCE_S if real else None
        orchestrator = Child("orchestrator", self.orchestrator.run, silence=silence, ask=self.orchestrator.ask)
        history = Child("history", self.history.run, silence=silence, ask=self.history.ask)
        lives = ["thread_pool"]
        found = [
            Component("timer", _nothing, _step(self.timer.close)),
            Component("supervisor", self._start_supervisor, self.supervisor.aclose, needs=("timer",)),
            Component("data_manager", _step(self._start_data), self._stop_data, needs=("timer",)),
            self._living(history, "supervisor", "data_manager", stop=self._stop_history),
            self._living(orchestrator, "history", stop=_step(self.orchestrator.close)),
        ]
        if self.events is not None:
            # First of the components: whatever starts and stops later is written down.
            capacity = self.orchestrator.scheduler.admission.capacity
            run = partial(self.events.run, cpu=capacity[CPU] / CPU_UNIT, memory=capacity[MEMORY])
            events = Child("events", run, silence=silence, ask=self.events.ask)
            found.append(replace(self._living(events, "supervisor", stop=self._stop_events), priority=-1))
        if real:
            pool = Child("thread_pool", self.thread_pool.run, silence=silence, ask=self.thread_pool.ask)
            found.append(self._living(pool, "orchestrator", stop=self._stop_pools))
        else:
            found.append(Component("thread_pool", _nothing, self._stop_pools, needs=("orchestrator",)))
        if self.loops.watchdog is not None:
            watchdog = Child("watchdog", self.loops.watchdog.run, silence=_SILENCE_S)
            found.append(self._living(watchdog, "supervisor"))
        if real:
            compactor = Child("compactor", self.compactor.run, silence=silence, ask=self.compactor.ask)
            found.append(self._living(compactor, "orchestrator", stop=self._stop_compactor))
            lives.append("compactor")
        if self.adaptive:
            control = Child("control", self.control.run, silence=_SILENCE_S, ask=self.control.ask)
            found.append(self._living(control, "orchestrator", stop=self.control.aclose))
            lives.append("control")
        return [
            *found,
            Component("loops", _step(self._serve), self.loops.aclose, needs=tuple(lives)),
            Component("async_tasks", _nothing, self._stop_tasks, needs=("loops",)),
            # Last, so that all of the engine is there.
            Component(
                "garbage",
                _step(partial(set_aside, self._queued)),
                _step(partial(take_back, self._queued)),
                needs=("async_tasks",),
            ),
        ]

    async def start(self, *, on_progress: Callable[[StartupProgress], object], rng: random.Random) -> None:
        """Start everything; what has started is stopped again if that fails or is cancelled.

        Raises:
            ExceptionGroup: What went wrong; if it was one thing only, that error itself.
        """
        self.group = BatchInitializationGroup(self.components(), on_progress=on_progress, rng=rng, clock=self.clock)
        self.cancel = True  # a start that is broken off waits for nothing
        try:
            await self.group.start()
            self.cancel = False
        except BaseException as error:
            try:
                await self.loops.aclose()
            finally:
                await unbroken(self._name_stuck())
            if isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
                raise error.exceptions[0] from None
            raise

    async def stop(self, *, cancel: bool) -> None:
        """Stop everything, and name in the log the tasks that did not end when they were told to.

        Args:
            cancel: Cancel what runs instead of waiting for it.
        """
        assert self.group is not None
        self.cancel = self.cancel or cancel
        self.stopped_by = asyncio.current_task()
        self.shut_the_door()  # in this very moment
        # In a context of its own: it must not count as left behind by the task that asks for it.
        await unbroken(self._stop(self.group), context=contextvars.Context(), hurry=self.hurry)

    async def _stop(self, group: BatchInitializationGroup) -> None:
        try:
            await group.stop()
        finally:
            await self._name_stuck()

    async def _name_stuck(self) -> None:
        stuck, self.stuck = self.stuck, ()
        if names := [*stuck, *await stuck_functions()]:
            _log.warning("given up, did not end when cancelled: %s", ", ".join(sorted(names)))

    def hurry(self) -> None:
        """Stop in haste from now on."""
        self.cancel = True
        hurry()

    def _living(self, child: Child, *needs: str, stop: Callable[[], Awaitable[object]] | None = None) -> Component:
        """Return a component that the supervisor keeps alive; ``stop`` is for after its life."""
        optional = child.name not in _ESSENTIAL
        child = replace(child, optional=optional, grace=_GRACE_S)

        async def begin() -> None:
            try:
                await self.supervisor.add(child)
            except BaseException:
                # It is not ready, and so is not stopped with the others; but it may have begun.
                if stop is not None:
                    await unbroken(_step_of(stop))
                raise

        async def end() -> None:
            await self.supervisor.remove(child.name)
            if stop is not None:
                await stop()

        return Component(child.name, begin, end, needs=needs)

    # -- steps ------------------------------------------------------------

    async def _start_supervisor(self) -> None:
        # The engine may be entered inside a task of another one, which is not who holds what these do.
        HOLDER.set(None)
        await self.supervisor.start()

    def _queued(self) -> int:
        return self.orchestrator.scheduler.queued

    def _serve(self) -> None:
        self.loops.main.serve(self.orchestrator, left_open=self.left_open)

    def shut_the_door(self) -> None:
        """Take no new task from now on, and begin to cancel what there is if it shall be cancelled."""
        self.async_tasks.accepting = False
        self.loops.drain()
        if self.cancel:
            self.orchestrator.cancel_waiting()

    async def _stop_tasks(self) -> None:
        # Whoever cancels is in a hurry: then what runs on the loop beside tasks gets no further time of its own.
        self.give_up_at = self.loops.hurry() if self.cancel else self.clock.now() + _GRACE_S
        self.shut_the_door()
        if self.cancel:
            left = await unwind(self.orchestrator.everything, grace=_GRACE_S * _FIRST_PART, but=self.stopped_by)
            if left:
                rest = self.give_up_at - self.clock.now()
                await unwind(self.orchestrator.everything, grace=rest, again=True, but=self.stopped_by)

    async def _stop_pools(self) -> None:
        grace = max(_LEAST_GRACE_S, self.give_up_at - self.clock.now())
        stuck = await self.thread_pool.aclose(grace=grace, kill=self.cancel)
        self.stuck = (*stuck, *self.async_tasks.names_running())

    def _start_data(self) -> None:
        if self.clock is SYSTEM_CLOCK:
            self.data_manager.start()

    async def _stop_data(self) -> None:
        await self.data_manager.aclose(haste=self.cancel)

    async def _stop_history(self) -> None:
        await self.history.aclose(haste=self.cancel)

    async def _stop_events(self) -> None:
        assert self.events is not None
        await self.events.aclose(haste=self.cancel)

    async def _stop_compactor(self) -> None:
        await self.compactor.aclose(haste=self.cancel)


async def _step_of(stop: Callable[[], Awaitable[object]]) -> None:
    await stop()


async def _nothing() -> None:
    """Be ready from the beginning."""


def _step(fn: Callable[[], object]) -> Callable[[], Awaitable[Any]]:
    async def step() -> None:
        fn()

    return step
