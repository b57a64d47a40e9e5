"""Allocates the machine: pipelines' shares, resources, permits, and why something waits."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from tenire.concurrency.dispatcher import Dispatcher
from tenire.concurrency.endings import deadlock, explain
from tenire.concurrency.handle import THREAD, Handle
from tenire.concurrency.holding import Holder, waits_with
from tenire.concurrency.permits import Permit
from tenire.concurrency.submit import amount_of, due_at
from tenire.core.explain import why
from tenire.core.tasks import DONE, FINAL, READY, RUNNING, Claim, Priority, Resources
from tenire.errors import RejectedError

if TYPE_CHECKING:
    from tenire.concurrency.handle import Explanation
    from tenire.core.tasks import Task

__all__ = ["Orchestrator"]


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
        level = Priority.parse(priority) if isinstance(priority, str) else priority
        self.scheduler.shares.pipeline(name).configure(weight=weight, priority=level)
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
            ConfigError: If the capacity is impossible.
        """
        self.scheduler.admission.register(name, amount_of(name, capacity))
        self.on_loop(self.wake)

    def register_rate(self, name: str, per_second: float, burst: int) -> None:
        """Add a resource that is used up and comes back with time, or change it.

        Args:
            name: By which tasks need it.
            per_second: Units that come back each second.
            burst: Units that can be saved up, and the most that one task can need.

        Raises:
            ConfigError: If either is impossible.
        """
        amount_of(f"{name} per second", per_second, least=1e-9)
        self.scheduler.admission.register_rate(name, per_second, int(amount_of(name, burst, least=1)))
        self.on_loop(self.wake)

    def suspend(self, pipeline: str, reason: str | None) -> None:
        """Start nothing of a pipeline until further notice; ``None`` ends that.

        What runs goes on, and gets the permits that it needs in order to finish.
        """
        self.scheduler.shares.pipeline(pipeline).suspended = reason
        self.on_loop(self.wake)

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
        if held and not scheduler.waits.in_order(held, permit.needs):
            lacking = scheduler.grant(permit, now)
            if lacking:
                raise self._out_of_order(permit, holder, held, lacking)
            self._open(permit)
            return False
        if held:
            permit.claim = Claim.HOLDER
        elif holder.state == RUNNING:
            permit.claim = Claim.PERMIT
        self.accept(permit)
        if held and permit.state == READY and not scheduler.waits.wait_for(holder, permit):
            self._cancel(permit)
            raise deadlock(holder, permit, scheduler.admission)
        return True

    def end_permit(self, permit: Handle[Any]) -> None:
        """Give back what a granted permit holds."""
        self.permits.discard(permit)
        held = permit.args[0].permits
        if held is not None and permit in held:
            held.remove(permit)
        self._end(permit, DONE)

    def begin_wait(self, holder: Task, target: Handle[Any]) -> None:
        """Take in that code of a holder is about to wait for a task; on the loop's thread.

        Raises:
            DeadlockError: If neither could ever go on.
        """
        if target.state >= FINAL:
            return
        run = getattr(holder, "run", None)
        if isinstance(holder, Handle):
            if holder.orchestrator is not self:
                return
            # Without an asyncio task it is in its first step, and nothing of it runs yet.
            own = holder.on == THREAD or not isinstance(run, asyncio.Task) or waits_with(run, asyncio.current_task())
        else:
            own = isinstance(holder, Holder) and waits_with(run, asyncio.current_task())
        if not own:
            self.scheduler.waits.urge(holder, target)
        elif not self.scheduler.waits.wait_for(holder, target):
            raise deadlock(holder, target, self.scheduler.admission)

    def end_wait(self, holder: Task, target: Handle[Any]) -> None:
        """Take in that the waiting has ended, however it did."""
        self.scheduler.waits.end(holder, target)

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

    def request_cancel(self, handle: Handle[Any]) -> None:
        """Cancel a task from any thread."""
        self.on_loop(self._cancel, handle)

    def explain(self, handle: Handle[Any]) -> Explanation:
        """Return why a task is where it is."""
        state = handle.state_name()
        gate = why(self.scheduler, handle, self._clock.now()) if state in ("waiting", "ready") else None
        return explain(handle, state, gate, self.scheduler.history)

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
            waiting.extend(pipeline.queue.all())
        waiting.extend(self._coroutines.values())
        waiting.extend(self._running)
        found = dict.fromkeys(waiting)
        while waiting:  # and whatever waits for those, and so on
            fresh = [other for task in waiting for other in task.dependents or () if other not in found]
            found.update(dict.fromkeys(fresh))
            waiting = fresh
        return [handle for handle in found if handle.state < FINAL]

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
