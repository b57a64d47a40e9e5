"""The shell around the scheduler: it tells the core what happened and does what it says.

One ``call_soon`` a wake-up takes in everything that was submitted and everything
that ended, reads the clock once, and starts what the core decided. Nothing else
in the engine starts work.
"""

from __future__ import annotations

import asyncio
import threading
from asyncio import CancelledError
from typing import TYPE_CHECKING, Any, cast

from tenire.concurrency.endings import dependency_failed, explain, missed_deadline
from tenire.concurrency.handle import LOOP, PERMIT, Handle
from tenire.concurrency.permits import Permit
from tenire.concurrency.retries import Retries
from tenire.concurrency.stopping import Stopper
from tenire.concurrency.submit import due_at
from tenire.concurrency.timer import Alarm
from tenire.concurrency.unseen import UnseenFailures
from tenire.core.tasks import DONE, FINAL, READY, RUNNING, WAITING, Priority, Resources, State

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterable

    from tenire.clock import Clock
    from tenire.concurrency.handle import Explanation
    from tenire.concurrency.pools import ThreadPoolManager
    from tenire.concurrency.timer import UniversalTimer
    from tenire.core.scheduler import Scheduler

__all__ = ["Orchestrator"]

_STARTS_A_WAKE = 256
"""Tasks started in one turn of the loop; more would make the loop late."""


class Orchestrator:
    """Allocates the machine's resources to tasks and permits.

    Attributes:
        loop: The loop that it runs on.
        scheduler: The core that decides.
        thread: Identifier of the loop's thread.
        permits: Permits that are open.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        *,
        loop: asyncio.AbstractEventLoop,
        clock: Clock,
        pools: ThreadPoolManager,
        timer: UniversalTimer,
        rng: random.Random,
    ) -> None:
        self.loop = loop
        self.scheduler = scheduler
        self.unseen = UnseenFailures()
        self._clock = clock
        self._pools = pools
        self._timer = timer
        self.thread = threading.get_ident()
        self._armed = False
        self._ended: list[tuple[Handle[Any], State]] = []
        self._coroutines: dict[asyncio.Task[Any], Handle[Any]] = {}
        self._running: set[Handle[Any]] = set()
        self.permits: set[Handle[Any]] = set()
        self._retries = Retries(timer, rng, self._retry_due)
        self._stopper = Stopper(scheduler, pools=pools, timer=timer, clock=clock, wake=self.wake)
        self._alarm = Alarm(timer, self.wake)
        self._idle: asyncio.Future[None] | None = None
        self._closed = False
        pools.report = self._pool_ended

    # -- the face ---------------------------------------------------------

    def configure_pipeline(
        self, name: str, *, weight: float | None = None, priority: Priority | str | None = None
    ) -> None:
        """Set a pipeline's share against the others; also while it runs.

        Args:
            name: The pipeline; it is made if it does not exist yet.
            weight: Its share relative to the other pipelines, a positive number.
            priority: Its level; each is worth four times the share of the one below.

        Raises:
            ConfigError: If the weight or the priority is impossible.
        """
        level = Priority.parse(priority) if isinstance(priority, str) else priority
        self.scheduler.shares.pipeline(name).configure(weight=weight, priority=level)
        if self.on_own_thread():
            self.wake()

    def permit(
        self,
        needs: Resources,
        *,
        priority: Priority | str = Priority.NORMAL,
        pipeline: str = "default",
        name: str = "permit",
        deadline: float | None = None,
    ) -> Permit:
        """Return an async context manager that holds resources; see ``Permit``.

        Raises:
            RejectedError: If the engine does not have that much at all.
        """
        return Permit(self, needs, priority=priority, pipeline=pipeline, name=name, deadline=deadline)

    def register_resource(self, name: str, capacity: int) -> None:
        """Add a resource that tasks can need by name, or change its capacity."""
        self.scheduler.admission.register(name, capacity)
        self.wake()

    # -- what happens -----------------------------------------------------

    def accept(self, handle: Handle[Any], after: Iterable[Handle[Any]] = ()) -> None:
        """Take in a new task; on the loop's own thread."""
        self.scheduler.submit(handle, self._clock.now(), after)
        if not self._armed:
            self._armed = True
            self.loop.call_soon(self._step)

    def request_cancel(self, handle: Handle[Any]) -> None:
        """Cancel a task from any thread."""
        if self.on_own_thread():
            self._cancel(handle)
        else:
            self.on_loop(self._cancel, handle)

    def end_permit(self, handle: Handle[Any]) -> None:
        """Give back what a granted permit holds."""
        self.permits.discard(handle)
        self._ended.append((handle, DONE))
        self.wake()

    def wake(self) -> None:
        """Have the core asked again, once, in the next turn of the loop."""
        if not self._armed and not self._closed:
            self._armed = True
            self.loop.call_soon(self._step)

    def on_own_thread(self) -> bool:
        """Return whether the caller is on the loop's thread."""
        return threading.get_ident() == self.thread

    def on_loop(self, fn: Callable[..., object], *args: Any) -> bool:
        """Call ``fn`` on the loop; at once if this is its thread.

        Returns:
            False if the loop is closed: then everything has ended already.
        """
        if self.on_own_thread():
            fn(*args)
            return True
        try:
            self.loop.call_soon_threadsafe(fn, *args)
        except RuntimeError:  # the loop is closed
            return False
        return True

    def due(self, deadline: float, *, name: str) -> float | None:
        """Return a deadline given in seconds from now as a time."""
        return due_at(deadline, self._clock.now(), name=name)

    # -- one wake-up ------------------------------------------------------

    def _step(self) -> None:
        self._armed = False
        if self._closed:
            return
        scheduler = self.scheduler
        now = self._clock.now()
        self._take_in_ended(now)
        started = scheduler.decide(now, _STARTS_A_WAKE)
        create_task, coroutines, ended = self.loop.create_task, self._coroutines, self._coroutine_ended
        for handle in cast("list[Handle[Any]]", started):
            if handle.on == LOOP:
                handle.attempts += 1
                try:
                    task = create_task(handle.fn(*handle.args), context=handle.context)
                except BaseException as error:  # noqa: BLE001 - the task's outcome, whatever it is
                    self._failed(handle, error)
                    continue
                handle.run = task
                coroutines[task] = handle
                task.add_done_callback(ended)
            else:
                self._start_elsewhere(handle)
        if scheduler.doomed:
            self._end_doomed(now)
        if len(started) >= _STARTS_A_WAKE or self._ended:
            self.wake()
        due = scheduler.next_deadline()
        if due is not None:
            self._alarm.set(due)
        if self._idle is not None and scheduler.running == scheduler.abandoned and not scheduler.queued:
            self._idle.set_result(None)
            self._idle = None

    def take_in_ended(self) -> None:
        """Tell the core about everything that has ended, now instead of in the next turn."""
        self._take_in_ended(self._clock.now())

    def _take_in_ended(self, now: float) -> None:
        scheduler = self.scheduler
        ended = self._ended
        if ended:
            self._ended = []
            for handle, state in ended:
                if handle.state == RUNNING:
                    scheduler.finish(handle, now, state)
                else:
                    scheduler.reclaim(handle, now)

    def _start_elsewhere(self, handle: Handle[Any]) -> None:
        handle.attempts += 1
        if handle.on == PERMIT:
            self.permits.add(handle)
            handle.settle(None, None)
            return
        self._running.add(handle)
        try:
            self._pools.start(handle)
        except Exception as error:  # noqa: BLE001 - the task's outcome, for example no thread could be started
            self._running.discard(handle)
            self._failed(handle, error)

    # -- endings ----------------------------------------------------------

    def _coroutine_ended(self, task: asyncio.Task[Any]) -> None:
        handle = self._coroutines.pop(task)
        handle.run = None
        if handle.settled:  # given up earlier; only its resources come back
            if not task.cancelled():
                task.exception()
            self._ended.append((handle, State.FAILED))
            self.wake()
            return
        try:
            value = task.result()
        except CancelledError:
            self._cancelled(handle)
            return
        except BaseException as error:  # noqa: BLE001 - the task's outcome, whatever it is
            self._failed(handle, error)
            return
        if handle.stop_reason is not None:
            self._failed(handle, None)
            return
        handle.value = value
        handle.settled = True
        if handle.waiter is not None or handle.callbacks is not None:
            handle.settle(value, None)
        self._ended.append((handle, DONE))
        if not self._armed:
            self._armed = True
            self.loop.call_soon(self._step)

    def _pool_ended(self, handle: Handle[Any], value: Any, error: BaseException | None) -> None:
        """Take in the end of a task on a thread or in a process."""
        self._running.discard(handle)
        handle.run = None
        if handle.done():  # abandoned earlier; only its resources come back
            self._ended.append((handle, State.FAILED))
            self.wake()
        elif error is None and handle.stop_reason is None:
            handle.settle(value, None)
            self._ended.append((handle, DONE))
            self.wake()
        elif isinstance(error, CancelledError):
            self._cancelled(handle)
        else:
            self._failed(handle, error)

    def _cancelled(self, handle: Handle[Any]) -> None:
        if handle.stop_reason is not None:
            self._failed(handle, None)
            return
        handle.settle(None, CancelledError())
        self._ended.append((handle, State.CANCELLED))
        self.wake()

    def _failed(self, handle: Handle[Any], error: BaseException | None) -> None:
        if handle.stop_reason is not None:
            error = missed_deadline(handle, handle.stop_reason)
        elif not self._closed and self._retries.allows(handle, error):
            self._try_again(handle)
            return
        handle.settle(None, error)
        self.unseen.add(handle)
        self._ended.append((handle, State.FAILED))
        self.wake()

    def _try_again(self, handle: Handle[Any]) -> None:
        now = self._clock.now()
        self.scheduler.postpone(handle, now)
        self._retries.wait(handle, now)
        self.wake()

    def _retry_due(self, handle: Handle[Any]) -> None:
        self.scheduler.release(handle, self._clock.now())
        self.wake()

    def _end_doomed(self, now: float) -> None:
        doomed, self.scheduler.doomed = self.scheduler.doomed, []
        for doom in doomed:
            handle: Handle[Any] = doom.task  # type: ignore[assignment]  # our own record
            self._retries.forget(handle)
            if doom.cause is not None:
                # Not among the unseen: the failure at the root is, and says it all.
                handle.settle(None, dependency_failed(handle, doom))
            elif handle.state == RUNNING:
                self._stopper.at_deadline(handle, doom.reason)
            else:
                handle.settle(None, missed_deadline(handle, doom.reason))
                self.unseen.add(handle)

    def _cancel(self, handle: Handle[Any]) -> None:
        if handle.done():
            return
        now = self._clock.now()
        if handle.state in (WAITING, READY):
            self._retries.forget(handle)
            self.scheduler.cancel(handle, now)
            handle.settle(None, CancelledError())
            self.wake()
        elif handle.state == RUNNING:
            self._stopper.cancel(handle)

    # -- looking, stopping ------------------------------------------------

    def explain(self, handle: Handle[Any]) -> Explanation:
        """Return why a task is where it is."""
        state = handle.state_name()
        waits = self.scheduler.why(handle, self._clock.now()) if state in ("waiting", "ready") else ""
        return explain(handle, state, waits)

    async def wait_idle(self) -> None:
        """Wait until nothing runs and nothing waits; abandoned threads do not count."""
        scheduler = self.scheduler
        while scheduler.running > scheduler.abandoned or scheduler.queued or self._ended:
            if self._idle is None:
                self._idle = self.loop.create_future()
                self.wake()
            await asyncio.shield(self._idle)

    def cancel_all(self) -> None:
        """Cancel every task, those that run included."""
        for handle in self.everything():
            self._cancel(handle)
        self._step()

    @property
    def running(self) -> int:
        """Number of tasks that run now."""
        return len(self._coroutines) + len(self._running)

    def everything(self) -> list[Handle[Any]]:
        """Return every task that has not ended."""
        waiting: list[Any] = self._retries.handles()
        for pipeline in self.scheduler.shares.pipelines.values():
            for lane in pipeline.queue.lanes.values():
                waiting.extend(lane.live())
        waiting.extend(self._coroutines.values())
        waiting.extend(self._running)
        return [handle for handle in waiting if handle.state < FINAL]

    def unfinished(self) -> list[Handle[Any]]:
        """Return what still runs, tasks that count as ended included."""
        return [*self._coroutines.values(), *self._running]

    @property
    def closed(self) -> bool:
        """Whether it has stopped for good."""
        return self._closed

    def close(self) -> None:
        """Stop for good. Everything must have ended, or been given up."""
        self._closed = True
        self.unseen.report()
        self._alarm.cancel()
        self._retries.close()
