"""The shell around the scheduler: it tells the core what happened and does what it says.

One ``call_soon`` a wake-up takes in everything that was submitted and everything
that ended, reads the clock once, and starts what the core decided. Nothing else
in the engine starts work.
"""

from __future__ import annotations

import asyncio
import sys
from asyncio import CancelledError
from typing import TYPE_CHECKING, Any, cast

from tenire.concurrency.ended_tasks import EndedTasks
from tenire.concurrency.endings import dependency_failed, interrupt, left_unrun, missed_deadline, without_this_frame
from tenire.concurrency.handle import LOOP, PERMIT, THREAD, Handle, gone
from tenire.concurrency.holding import HOLDER
from tenire.concurrency.retries import Retries
from tenire.concurrency.stopping import Stopper
from tenire.concurrency.timer import Alarm
from tenire.concurrency.turns import Turns
from tenire.concurrency.unseen import UnseenFailures
from tenire.concurrency.worker_health import WorkerHealth
from tenire.core.tasks import DONE, READY, RUNNING, WAITING, State

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Sequence

    from tenire.clock import Clock
    from tenire.concurrency.loops.portal import Portal
    from tenire.concurrency.pools import ThreadPoolManager
    from tenire.concurrency.timer import UniversalTimer
    from tenire.core.scheduler import Scheduler

__all__ = ["Dispatcher"]

_STARTS_A_WAKE = 256
"""Tasks started in one turn of the loop; more would make the loop late."""

_EAGER = sys.version_info >= (3, 12)
"""Whether a coroutine can run up to its first wait without a turn of the loop."""


class Dispatcher(Turns):
    """Starts what the core decides, and reports to it what ended.

    Attributes:
        scheduler: The core that decides.
        permits: Permits that are open.
        unseen: Failures that nobody has looked at yet.
        ended: The last tasks that have ended.
        health: Suspends the pipelines of what is not well.
        busy: Whether there is work, as of the last turn.
        busy_changed: Called with ``busy`` when that has changed.
        waiting_for_more: Called when tasks stay waiting though something is set aside.
        enter: Called with a task, in its context, before it starts.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        *,
        loop: asyncio.AbstractEventLoop,
        portal: Portal,
        clock: Clock,
        pools: ThreadPoolManager,
        timer: UniversalTimer,
        rng: random.Random,
    ) -> None:
        super().__init__(loop, portal, clock)
        self.scheduler = scheduler
        self.unseen = UnseenFailures()
        self.ended = EndedTasks()
        self.permits: set[Handle[Any]] = set()
        self.busy = False
        self.busy_changed: Callable[[bool], object] | None = None
        self.waiting_for_more: Callable[[], object] | None = None
        self.enter: Callable[[Handle[Any]], object] = HOLDER.set
        self._pools = pools
        self._ended: list[tuple[Handle[Any], State]] = []
        self._coroutines: dict[asyncio.Task[Any], Handle[Any]] = {}
        self._running: set[Handle[Any]] = set()
        self._starting: list[Handle[Any]] = []
        self._retries = Retries(timer, rng, self._retry_due)
        self._stopper = Stopper(
            scheduler, ended=self.ended, pools=pools, timer=timer, clock=clock, unseen=self.unseen, wake=self.wake
        )
        self._alarm = Alarm(timer, self.wake)
        self.health = WorkerHealth(scheduler.shares, timer=timer, clock=clock, wake=self.wake)
        self._idle: asyncio.Future[None] | None = None
        pools.report = self._pool_ended

    # -- what happens -----------------------------------------------------

    def accept(self, handle: Handle[Any], after: Sequence[Handle[Any]] = ()) -> None:
        """Take in a new task; on the loop's own thread."""
        if self._closed:  # submitted from another thread while the engine was closing
            handle.settle(None, CancelledError())
            return
        if not self._armed:
            self._armed = True
            self.loop.call_soon(self._step)
            # Once for all that come before the loop's next turn: they are looked at together.
            self._now = self._clock.now()
        self.scheduler.submit(handle, self._now, after)

    def take_in_ended(self) -> None:
        """Tell the core about everything that has ended, now instead of in the next turn."""
        self._take_in_ended(self._clock.now())

    # -- one wake-up ------------------------------------------------------

    def _turn(self) -> None:
        scheduler = self.scheduler
        now = self._clock.now()
        if self._starting:  # a turn that failed got no further
            self._start_all([handle for handle in self._starting if self._is_lost(handle)])
        if self._ended:
            self._take_in_ended(now)
        started = cast("list[Handle[Any]]", scheduler.decide(now, _STARTS_A_WAKE))
        number = len(started)
        if started:
            self._start_all(started)
        if scheduler.doomed:
            self._end_doomed(now)
        if number >= _STARTS_A_WAKE or self._ended:
            self.wake()
        if scheduler.admission.aside and scheduler.shares.backlogged and self.waiting_for_more is not None:
            self.waiting_for_more()
        due = scheduler.next_wake()
        if due is not None:
            self._alarm.set(due)
        busy = scheduler.running > scheduler.abandoned or bool(scheduler.queued)
        if busy is not self.busy:
            self.busy = busy
            if self.busy_changed is not None:
                self.busy_changed(busy)
        if self._idle is not None and not busy:
            self._idle.set_result(None)
            self._idle = None

    def _is_lost(self, handle: Handle[Any]) -> bool:
        started = handle.run in self._coroutines or handle in self._running or handle.done()
        return handle.state == RUNNING and not started

    def _take_in_ended(self, now: float) -> None:
        scheduler = self.scheduler
        ended, self._ended = self._ended, []
        note, taken = self.ended.note, 0
        try:
            for handle, state in ended:
                if handle.state == RUNNING:
                    scheduler.finish(handle, now, state)
                    if not handle.is_permit:
                        note(handle, state, now)
                else:
                    scheduler.reclaim(handle, now)
                taken += 1
        except Exception:
            taken += ended[taken][0].state != RUNNING  # that one has been taken in, as far as could be
            self._ended = ended[taken:] + self._ended
            raise

    def _start_all(self, started: list[Handle[Any]]) -> None:
        loop = self.loop
        # A task factory is the user's business: it may want to see every task.
        create_task = loop.create_task if loop.get_task_factory() is not None else None
        coroutines, ended, enter = self._coroutines, self._coroutine_ended, self.enter
        context: Any = None
        coroutine = task = cast("Any", None)
        self._starting = started
        for handle in started:
            if handle.run is not None:  # cancelled by one that started before it in this turn
                self._cancelled(handle)
                continue
            if handle.on != LOOP:
                self._start_elsewhere(handle)
                continue
            handle.attempts += 1
            context = handle.context
            try:
                context.run(enter, handle)
                coroutine = handle.fn(*handle.args)
                if create_task is not None:
                    task = create_task(coroutine, context=context)
                elif _EAGER:
                    task = asyncio.Task(coroutine, loop=loop, name=handle.name, context=context, eager_start=True)  # type: ignore[call-arg]
                else:
                    task = asyncio.Task(coroutine, loop=loop, name=handle.name, context=context)
            except BaseException as error:  # noqa: BLE001 - the task's outcome, whatever it is
                self._failed(handle, without_this_frame(error))
                if isinstance(error, KeyboardInterrupt):
                    loop.call_soon(interrupt, error)  # the loop's affair too, once the others have started
                continue
            if task.done():
                self._has_ended(handle, task)
                continue
            if handle.run is not None:  # cancelled in its own first step
                task.cancel()
            handle.run = task
            coroutines[task] = handle
            task.add_done_callback(ended)
            if handle.timeout is not None:
                self._stopper.begun(handle)
        self._starting = []
        # What failed in its first step keeps this frame, which must not keep the handle:
        # the circle would wait for the garbage collector.
        started.clear()
        del handle, context, coroutine, task

    def _start_elsewhere(self, handle: Handle[Any]) -> None:
        if handle.settled:  # given up by one that started before it in this turn
            self._end(handle, State.CANCELLED)
            return
        handle.attempts += 1
        if handle.on == PERMIT:
            self._open(handle)
            return
        if handle.context is not None:
            handle.context.run(self.enter, handle)
        self._running.add(handle)
        try:
            self._pools.start(handle)
            if handle.timeout is not None:
                self._stopper.begun(handle)
        except Exception as error:  # noqa: BLE001 - the task's outcome, for example no thread could be started
            self._running.discard(handle)
            self._failed(handle, error)

    def _open(self, permit: Handle[Any]) -> None:
        self.permits.add(permit)
        holder = permit.args[0]
        if holder.permits is None:
            holder.permits = [permit]
        else:
            holder.permits.append(permit)
        self.scheduler.waits.holds_now(holder)
        permit.settle(None, None)

    # -- endings ----------------------------------------------------------

    def _coroutine_ended(self, task: asyncio.Task[Any]) -> None:
        handle = self._coroutines.pop(task)
        handle.run = None
        if handle.timeout is not None:
            self._stopper.ended(handle)
        if handle.settled:  # given up earlier; only its resources come back
            if not task.cancelled():
                task.exception()
            self._end(handle, State.FAILED)
            return
        self._has_ended(handle, task)

    def _has_ended(self, handle: Handle[Any], task: asyncio.Task[Any]) -> None:
        """Take in the outcome of a coroutine."""
        try:
            value = task.result()
        except CancelledError:
            self._cancelled(handle)
            return
        except BaseException as error:  # noqa: BLE001 - the task's outcome, whatever it is
            self._failed(handle, without_this_frame(error))
            return
        if handle.stop_error is not None:
            self._failed(handle, None)
            return
        handle.value = value
        handle.settled = True
        handle.fn, handle.args, handle.context = gone, (), None  # as ``release``, which would be one call more
        if handle.waiter is not None or handle.callbacks is not None:
            handle.settle(value, None)
        self._ended.append((handle, DONE))
        if not self._armed:
            self.wake()

    def _pool_ended(self, handle: Handle[Any], value: Any, error: BaseException | None, memory: int = 0) -> None:
        """Take in the end of a task on a thread or in a process.

        Args:
            handle: The task.
            value: What it returned.
            error: What it raised.
            memory: Bytes that its process grew by at the most while it ran; 0 if unknown.
        """
        self._running.discard(handle)
        handle.run = None
        if handle.timeout is not None:
            self._stopper.ended(handle)
        # One that was cancelled, or took too long, was killed by us.
        if handle.worker is not None and not handle.settled and handle.stop_error is None:
            self.health.ended(handle, error)
        if memory:
            self.scheduler.history.record_memory(handle.name, memory)
        if error is None and handle.on == THREAD:
            error = left_unrun(handle, value)
        if handle.done():  # abandoned earlier; only its resources come back
            self._end(handle, State.FAILED)
        elif error is None and handle.stop_error is None:
            handle.settle(value, None)
            self._end(handle, DONE)
        elif isinstance(error, CancelledError):
            self._cancelled(handle)
        else:
            self._failed(handle, error)

    def _end(self, handle: Handle[Any], state: State) -> None:
        handle.release()
        self._ended.append((handle, state))
        self.wake()

    def _cancelled(self, handle: Handle[Any]) -> None:
        handle.run = None
        if handle.stop_error is not None:
            self._failed(handle, None)
            return
        handle.settle(None, CancelledError())
        self._end(handle, State.CANCELLED)

    def _failed(self, handle: Handle[Any], error: BaseException | None) -> None:
        handle.run = None
        if handle.stop_error is not None:
            error, handle.stop_error = handle.stop_error, None
        if not self._closed and self._retries.allows(handle, error):
            self._try_again(handle)
            return
        self.scheduler.history.record_failure(handle.name)
        handle.settle(None, error)
        self.unseen.add(handle)
        self._end(handle, State.FAILED)

    def _try_again(self, handle: Handle[Any]) -> None:
        now = self._clock.now()
        self.scheduler.postpone(handle, now)
        handle.pipeline.retried += 1
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
            if handle.state != RUNNING:
                handle.release()
            if doom.cause is not None:
                # Not among the unseen: the failure at the root is, and says it all.
                handle.settle(None, dependency_failed(handle, doom))
            elif handle.state == RUNNING:
                self._stopper.at_deadline(handle, doom.reason)
                continue
            else:
                handle.settle(None, missed_deadline(handle, doom.reason))
                self.unseen.add(handle)
            self.ended.note(handle, State.FAILED, now)

    def cancel(self, handle: Handle[Any]) -> bool:
        """Cancel a task; on the loop's own thread. Return whether it ends because of it."""
        if handle.done():
            return False
        now = self._clock.now()
        if handle.state in (WAITING, READY):
            self._retries.forget(handle)
            self.scheduler.cancel(handle, now)
            handle.release()
            handle.settle(None, CancelledError())
            self.ended.note(handle, State.CANCELLED, now)
            self.wake()
            return True
        return handle.state == RUNNING and self._stopper.cancel(handle)
