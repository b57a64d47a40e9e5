"""Allocates the machine: pipelines' shares, resources, permits, and why something waits."""

from __future__ import annotations

import asyncio
import contextlib
from asyncio import CancelledError
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, cast

from tenire.concurrency.dispatcher import Dispatcher
from tenire.concurrency.endings import deadlock, explain, given_up, goes_on, held_by, held_by_abandoned, own_end
from tenire.concurrency.handle import THREAD, Handle
from tenire.concurrency.holding import HOLDER, Holder, waits_with
from tenire.concurrency.joined import task_that_waits_for_me
from tenire.concurrency.outside import outside_wait
from tenire.concurrency.permits import Permit
from tenire.concurrency.submit import amount_of, due_at, number_of, priority_of
from tenire.concurrency.tracing import TaskSpans
from tenire.core.explain import Gate, why
from tenire.core.tasks import DONE, FINAL, READY, RUNNING, Claim, Priority, Resources
from tenire.core.unwinding import leaves
from tenire.errors import ConfigError, RejectedError
from tenire.observe.tracing import Spans

if TYPE_CHECKING:
    from collections.abc import Callable

    from tenire.concurrency.handle import Explanation
    from tenire.core.tasks import Needs, Task
    from tenire.errors import ComponentError

__all__ = ["Orchestrator"]

T = TypeVar("T")


class Orchestrator(Dispatcher):
    """Allocates the machine's resources to tasks and permits."""

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
        level = None if priority is None else priority_of(priority)
        self._on_loop_now(partial(self.scheduler.shares.configure, name, weight=weight, priority=level))
        self.on_loop(self.wake)

    def permit(
        self,
        needs: Resources,
        *,
        priority: Priority | str = Priority.NORMAL,
        pipeline: str = "default",
        name: str = "permit",
        deadline: float | None = None,
        detached: bool = False,
    ) -> Permit:
        """Return an async context manager that holds resources; see ``Permit``.

        Raises:
            RejectedError: If the engine does not have that much at all.
        """
        return Permit(
            self, needs, priority=priority, pipeline=pipeline, name=name, deadline=deadline, detached=detached
        )

    def register_resource(self, name: str, capacity: float) -> None:
        """Add a resource that tasks can need by name, or change the capacity of any.

        Args:
            name: ``cpu`` (slots), ``memory`` (bytes), or a name of your own (units).
            capacity: How much there is. Below what is held, nothing more is given
                until enough came back.

        Raises:
            ConfigError: If the capacity is impossible, or the name is that of a rate.
        """
        amount = amount_of(name, capacity)
        admission = self.scheduler.admission
        if admission.index_of(name) in admission.rates:
            message = f"{name!r} is a rate, so it has no capacity"
            raise ConfigError(message, key=name, hint="change it with register_rate, or take another name")
        self._on_loop_now(admission.register, name, amount)
        self.on_loop(self.wake)

    def register_rate(self, name: str, per_second: float, burst: int) -> None:
        """Add a resource that is used up and comes back with time, or change it.

        Args:
            name: By which tasks need it.
            per_second: Units that come back each second.
            burst: Units that can be saved up, and the most that one task can need.

        Raises:
            ConfigError: If either is impossible, or the name is that of a resource.
        """
        admission = self.scheduler.admission
        amount = amount_of(name, burst, least=1)
        number_of(f"{name} per second", per_second, least=1e-9)
        if (index := admission.index_of(name)) is not None and index not in admission.rates:
            message = f"{name!r} is a resource that comes back when a task ends, so it cannot be a rate"
            raise ConfigError(message, key=name, hint="take another name")
        self._on_loop_now(admission.register_rate, name, float(per_second), amount)
        self.on_loop(self.wake)

    def _on_loop_now(self, fn: Callable[..., T], *args: Any) -> T:
        """Call a function where what it looks at changes, and return its value; from any thread."""
        if not self.on_own_thread():
            with contextlib.suppress(RejectedError):  # closing: nothing changes any more
                return self.portal.call(fn, *args)
        return fn(*args)

    def suspend(self, pipeline: str, reason: str | None, *, permits: bool = False) -> None:
        """Start nothing of a pipeline until further notice; ``None`` ends that.

        What runs goes on and gets its permits. What it submits to the same pipeline and
        waits for starts only if it holds something meanwhile.

        Args:
            pipeline: The pipeline.
            reason: Why, for those who ask what it waits for; ``None`` lets it go on.
            permits: Whether permits wait, too, of tasks that hold nothing meanwhile.
        """
        share = self.scheduler.shares.pipeline(pipeline)
        share.withheld = permits and reason is not None
        if reason is None:
            reason = self.health.reason(pipeline)  # what it needs may not be well
        share.suspend(reason, self._clock.now())
        self.on_loop(self.wake)

    def trace(self, tracer_provider: Any = None) -> None:
        """Have an OpenTelemetry span for each try of each task that starts from now on.

        Args:
            tracer_provider: Where spans go; ``None`` for the provider of the process.

        Raises:
            MissingExtraError: If OpenTelemetry is not installed.
        """
        self.enter = TaskSpans(Spans(tracer_provider)).enter

    # -- permits and waiting ------------------------------------------------

    def request(self, permit: Handle[Any], holder: Task) -> bool:
        """Ask for a permit; return whether it has to be waited for.

        Raises:
            RejectedError: If the holder holds something that comes after it in the
                order of asking, and it is not free.
            DeadlockError: If waiting could never end.
        """
        scheduler = self.scheduler
        now = self._clock.now()
        held = holder.holds()
        if not permit.mask or (held and not scheduler.waits.in_order(held, permit.needs)):
            lacking = scheduler.grant(permit, now)
            if lacking:
                raise self._out_of_order(permit, holder, held, lacking)
            self._open(permit)
            return False
        if held:
            permit.claim = Claim.AWAITED
        elif holder.root().state == RUNNING:
            permit.claim = Claim.PERMIT
        self.accept(permit)
        if permit.claim and permit.state == READY and not scheduler.waits.wait_for(holder, permit, in_order=True):
            self.cancel(permit)
            raise deadlock(holder, permit, scheduler)
        return True

    def end_permit(self, permit: Handle[Any]) -> None:
        """Give back what a granted permit holds."""
        self.permits.discard(permit)
        held = permit.args[0].permits
        if held is not None and permit in held:
            held.remove(permit)
        self._end(permit, DONE)

    def renew_permit(self, permit: Handle[Any], needs: Needs) -> bool:
        """Have a permit that waits need other amounts of the same resources; return whether it does now."""
        if permit.state != READY or permit.claim == Claim.AWAITED:  # that one stands with others of its size
            return False
        permit.pipeline.queue.renew(permit, needs)
        self.wake()
        return True

    def refuse_permit(self, permit: Handle[Any], error: RejectedError) -> None:
        """End the waiting for a permit with an error; does nothing if it has been granted."""
        if self.scheduler.cancel(permit, self._clock.now()):
            permit.release()
            permit.settle(None, error)
            self.wake()

    def begin_wait(self, holder: Task, target: Handle[Any], *, itself: bool | None = None) -> None:
        """Take in that code of a holder is about to wait for a task; on the loop's thread.

        Args:
            holder: The holder.
            target: The task.
            itself: Whether the holder cannot go on before; ``None``: find out from the code that calls.

        Raises:
            DeadlockError: If neither could ever go on.
        """
        own = self._own(holder)
        if target.state >= FINAL or own is None:
            return
        # A target that fits will start, so it matters only for those that do not who waits for whom.
        short = target.state < READY or (target.state == READY and bool(self.scheduler.admission.lacking(target.needs)))
        if not (self._waits_itself(own, thoroughly=short) if itself is None else itself):
            self.scheduler.waits.urge(own, target)
        elif not self.scheduler.waits.wait_for(own, target):
            raise deadlock(own, target, self.scheduler)

    def waits_itself(self, holder: Task) -> bool:
        """Return whether a holder cannot go on while the code that calls waits."""
        own = self._own(holder)
        return own is not None and self._waits_itself(own, thoroughly=True)

    def holder_of_thread(self) -> Handle[Any] | None:
        """Return the task that cannot go on before the calling thread, which is not its own, has ended."""
        return task_that_waits_for_me(self._pools.on_threads())

    def _own(self, holder: Any) -> Handle[Any] | Holder | None:
        """Return the innermost holder of this engine; code may stand inside permits of several."""
        while holder is not None and getattr(holder, "orchestrator", None) is not self:
            holder = getattr(holder, "outer", None)
        return cast("Handle[Any] | Holder | None", holder)

    def _waits_itself(self, holder: Handle[Any] | Holder, *, thoroughly: bool) -> bool:
        """Return whether a holder, and the task that it stands in, cannot go on while this code waits."""
        this = asyncio.current_task() if self.on_own_thread() else None
        root = holder.root()
        inside = holder.run if isinstance(holder, Holder) else this
        if isinstance(holder, Holder) and not waits_with(inside, this, thoroughly=thoroughly):
            return False
        if not isinstance(root, Handle) or root.on == THREAD:
            return True
        # Without an asyncio task it is in its first step, and nothing else of it runs yet.
        return not isinstance(root.run, asyncio.Task) or waits_with(root.run, inside, thoroughly=thoroughly)

    def end_wait(self, holder: Task, target: Handle[Any]) -> None:
        """Take in that the waiting has ended, however it did."""
        own = self._own(holder)
        if own is not None:
            self.scheduler.waits.end(own, target)

    def _out_of_order(self, permit: Handle[Any], holder: Task, held: int, lacking: int) -> RejectedError:
        admission = self.scheduler.admission
        short = " and ".join(
            f"{admission.shown(index, amount)} (free: {admission.shown(index, max(0, admission.free[index]))})"
            for index, amount in permit.needs
            if lacking >> index & 1
        )
        message = (
            f"permit {permit.name!r} asks for {short} while {holder.name!r} holds "
            f"{' and '.join(admission.named(held))}: waiting for it could stop both for ever"
        )
        hint = "ask for all at once, or in the order bytes, CPU, slots, rates, or give back first"
        return RejectedError(message, hint=hint)

    # -- looking, stopping --------------------------------------------------

    def due(self, deadline: float, *, name: str) -> float | None:
        """Return a deadline given in seconds from now as a time."""
        return due_at(deadline, self._clock.now(), name=name)

    def request_cancel(self, handle: Handle[Any]) -> bool:
        """Cancel a task from any thread; return whether it may end because of it."""
        if not self.on_own_thread():
            return self.on_loop(self.cancel, handle)
        if handle.seq:
            return self.cancel(handle)
        # Another thread has only just submitted it: it comes in the loop's next turn.
        self.loop.call_soon(self.request_cancel, handle)
        return True

    def explain(self, handle: Handle[Any]) -> Explanation:
        """Return why a task is where it is; from any thread."""
        return self._on_loop_now(self._explain, handle)

    def _explain(self, handle: Handle[Any]) -> Explanation:
        state = handle.state_name()
        asked: Task | None = handle if state in ("waiting", "ready") else None
        if state == "running":  # then what it waits for, first of all a permit
            targets = [task for task in self.scheduler.waits.targets(handle) if task.state < FINAL]
            asked = min(targets, key=lambda task: not task.is_permit, default=None)
        told = outside_wait(handle) if state == "running" else None
        gate = told if isinstance(told, Gate) else None
        if asked is None and isinstance(told, Handle) and told.state == READY:
            asked = told  # others wait for it too
        if asked is not None:
            gate = why(self.scheduler, asked, self._clock.now())
        explanation = explain(handle, state, asked, gate, self.scheduler.history)
        if gate is None or gate.name != "resource" or asked is None:
            return explanation
        admission = self.scheduler.admission
        lacking = admission.lacking(asked.needs) & ~admission.rate_mask  # nobody holds a rate
        holding = [
            each for each in (*self.unfinished(), *self.permits) if each.mask & lacking and each.state == RUNNING
        ]
        explanation = held_by(explanation, holding, self._clock.now())
        if handle.on == THREAD and asked is handle:
            return held_by_abandoned(explanation, self._pools.statistics().abandoned)
        return explanation

    async def wait_idle(self) -> None:
        """Wait until nothing runs or waits but abandoned threads; ``DeadlockError`` for who is part of that."""
        scheduler = self.scheduler
        own = self._own(HOLDER.get())
        if own is not None and goes_on(own) and self._waits_itself(own, thoroughly=True):
            raise own_end(own)
        # Tasks that ended without running are only told of in the next turn.
        while not self._closed and (
            scheduler.running > scheduler.abandoned or scheduler.queued or scheduler.doomed or self._ended
        ):
            if self._idle is None:
                self._idle = self.loop.create_future()
                self.wake()
            await asyncio.shield(self._idle)

    def cancel_all(self) -> None:
        """Cancel every task at once, those that run included, the newest first."""
        self.take_in_ended()  # or what waited for one that has just ended would start yet
        for handle in sorted(self.everything(), key=lambda handle: handle.seq, reverse=True):
            self.cancel(handle)
        self._step()

    def cancel_waiting(self) -> None:
        """Cancel every task that has not started, the newest first."""
        self.take_in_ended()
        for handle in leaves([handle for handle in self.everything() if handle.state < RUNNING]):
            self.cancel(handle)

    @property
    def running(self) -> int:
        """Number of tasks that run now; exact once everything that ended is taken in."""
        return self.scheduler.running - len(self.permits)

    def everything(self) -> list[Handle[Any]]:
        """Return every task that has not ended."""
        waiting: list[Any] = self._retries.handles()
        for pipeline in self.scheduler.shares.pipelines.values():
            waiting.extend(pipeline.queue.all())
        waiting.extend(self._coroutines.values())
        waiting.extend(self._running)
        waiting.extend(handle for handle in self._starting if not handle.is_permit)
        found = dict.fromkeys(waiting)
        while waiting:  # and whatever waits for those, and so on
            fresh = [other for task in waiting for other in task.dependents or () if other not in found]
            found.update(dict.fromkeys(fresh))
            waiting = fresh
        return [handle for handle in found if handle.state < FINAL]

    def unfinished(self) -> list[Handle[Any]]:
        """Return what still runs, tasks that count as ended included."""
        return [*self._coroutines.values(), *self._running]

    def give_up(self, error: ComponentError) -> None:
        """Stop for good because the engine cannot go on; every task that has not ended ends with an error."""
        self._closed = True
        for handle in [each for each in self.everything() if not each.done()]:
            handle.settle(None, given_up(handle, error))
        for task in self._coroutines:
            task.cancel()
        self._wake_idle()

    def _wake_idle(self) -> None:
        if self._idle is not None:
            self._idle.set_result(None)
            self._idle = None

    @property
    def closed(self) -> bool:
        """Whether it has stopped for good."""
        return self._closed

    def close(self) -> None:
        """Stop for good. Everything must have ended, or been given up."""
        self._closed = True
        for handle in self.everything():
            if handle.state < RUNNING:  # accepted in the very last moment
                handle.settle(None, CancelledError())
        self._wake_idle()  # what goes on now was given up
        self.unseen.report()
        self._alarm.cancel()
        self._retries.close()
