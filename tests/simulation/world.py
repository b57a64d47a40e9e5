"""Programs on the real scheduler in virtual time: they work, hold, ask for more, and wait for each other.

A program is a list of steps that a task takes once it runs. The world does what
the shell does (``Orchestrator.request`` and ``begin_wait``), and nothing else, so a
program that comes to no end was let down by the core.

1. A task starts once for each time that it became ready, and ends once.
2. What running tasks and open permits hold is never more than the capacity; what
   was held when a capacity was lowered may be more, until enough came back. Where a
   limit is set, a task starts only within it, or if nothing is held; permits and what
   a holder waits for do not heed it.
3. When nothing works any more, everything has ended.
4. Nothing waits longer than all that there is to do takes one after the other: the
   work, the delays before further tries, and what rates take to come back.
"""

from __future__ import annotations

import hashlib
import heapq
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.simulation.programs import Ask, Fail, Give, Join, Par, Plan, Spawn, Step, Work

from tenire.core.admission import Admission
from tenire.core.scheduler import Scheduler
from tenire.core.tasks import FINAL, READY, RUNNING, WAITING, Claim, Needs, State, Task

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["World"]

RETRY_S = 0.5


@dataclass(eq=False)
class Branch:
    """One flow of control of a running task."""

    run: Run
    steps: Sequence[Step]
    parent: Branch | None = None
    at: int = 0
    waits: Task | None = None
    open: list[Task] = field(default_factory=list)
    left: int = 0


@dataclass(eq=False)
class Run:
    """A task with its program."""

    task: Task
    plan: Plan
    after: tuple[Task, ...] = ()
    children: list[Run] = field(default_factory=list)
    tries: int = 0
    branches: set[Branch] = field(default_factory=set)
    starts: int = 0
    ended: bool = False
    abandoned: bool = False


class World:
    """The scheduler, the programs, and a clock that jumps to what comes next.

    Attributes:
        refused: Waits and permits that were refused because they could close a circle.
        log: One line for each thing that happened.
    """

    def __init__(self, *, capacity: dict[str, int], rates: dict[str, tuple[float, int]] | None = None) -> None:
        first = {name: capacity.pop(name, 1) for name in ("cpu", "memory", "threads", "processes")}
        self.admission = Admission(cpu=1, memory=1, threads=first["threads"], processes=first["processes"])
        for name in ("cpu", "memory"):
            self.admission.register(name, first[name])
        for name, amount in capacity.items():
            self.admission.register(name, amount)
        for name, (per_second, burst) in (rates or {}).items():
            self.admission.register_rate(name, per_second, burst)
        self.scheduler = Scheduler(self.admission)
        self.now = 0.0
        self.runs: list[Run] = []
        self.by_task: dict[Task, Run] = {}
        self.holding: dict[Task, None] = {}  # what the scheduler counts as running
        self.permits: dict[Task, Branch] = {}  # asked for or open
        self.refused = 0
        self.most: dict[int, int] = {}
        self.bound = 0.0  # of rule 4
        self.longest_wait = 0.0
        self.log: list[str] = []
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._awaiting: dict[Task, list[Branch]] = {}

    # -- what the shell does --------------------------------------------------

    def note(self, what: str, task: Task) -> None:
        self.log.append(f"{self.now:.9f} {what} {task.seq} {task.name} {task.needs} {task.priority} {task.claim}")

    def digest(self) -> str:
        return hashlib.blake2b("\n".join(self.log).encode(), digest_size=16).hexdigest()

    def at(self, seconds: float, call: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._events, (self.now + seconds, self._count, call))

    def submit(self, plan: Plan, after: Sequence[Run] = ()) -> Run:
        due = None if plan.deadline is None else self.now + plan.deadline
        pipeline = self.scheduler.shares.pipeline(plan.pipeline)
        task = Task(pipeline, plan.name, plan.priority, plan.needs, due, always=plan.always)
        run = Run(task, plan, tuple(other.task for other in after))
        self.runs.append(run)
        self.by_task[task] = run
        self.scheduler.submit(task, self.now, run.after)
        self.note("submit", task)
        self.take_doomed()
        return run

    def take_doomed(self) -> None:
        while self.scheduler.doomed:
            doomed, self.scheduler.doomed = self.scheduler.doomed, []
            for doom in doomed:
                task = doom.task
                if task.state == RUNNING:
                    if task in self.permits:
                        continue  # granted in time; only waiting for it had a limit
                    self.end(self.by_task[task], State.FAILED)
                else:
                    self.note("doomed", task)
                    self.ended(task)

    def ended(self, task: Task) -> None:
        run = self.by_task.get(task)
        if run is not None:
            assert not run.ended, f"{task} ended twice"
            run.ended = True
        branch = self.permits.pop(task, None)
        for waiting in self._awaiting.pop(task, ()):
            self.scheduler.waits.end(waiting.run.task, task)
            waiting.waits = None
            self.at(0, lambda waiting=waiting: self.go_on(waiting))
        if branch is not None and task in branch.open:
            branch.open.remove(task)

    def wait(self, branch: Branch, target: Task, *, in_order: bool = False) -> bool:
        if not self.scheduler.waits.wait_for(branch.run.task, target, in_order=in_order):
            self.refused += 1
            self.note("stuck", target)
            return False
        branch.waits = target
        self._awaiting.setdefault(target, []).append(branch)
        return True

    def ask(self, branch: Branch, needs: Needs) -> bool:
        """Ask for a permit; return whether it has to be waited for."""
        scheduler = self.scheduler
        holder = branch.run.task
        permit = Task(holder.pipeline, "permit", holder.priority, needs)
        held = holder.holds()
        if held and not scheduler.waits.in_order(held, needs):
            if scheduler.grant(permit, self.now):
                self.refused += 1
                return False
            self.note("grant", permit)
            self.permits[permit] = branch
            self.opened(permit)
            return False
        permit.claim = Claim.AWAITED if held else Claim.PERMIT
        self.permits[permit] = branch
        scheduler.submit(permit, self.now)
        self.note("ask", permit)
        if self.wait(branch, permit, in_order=True):
            return True
        scheduler.cancel(permit, self.now)
        del self.permits[permit]
        return False

    def opened(self, permit: Task) -> None:
        self.holding[permit] = None
        branch = self.permits[permit]
        holder = branch.run.task
        if holder.permits is None:
            holder.permits = []
        holder.permits.append(permit)
        branch.open.append(permit)
        self.scheduler.waits.holds_now(holder)
        if branch.waits is permit:
            self.scheduler.waits.end(holder, permit)
            del self._awaiting[permit]
            branch.waits = None
            self.at(0, lambda: self.go_on(branch))

    def close(self, permit: Task) -> None:
        branch = self.permits.pop(permit)
        holder = branch.run.task
        assert holder.permits is not None
        holder.permits.remove(permit)
        branch.open.remove(permit)
        del self.holding[permit]
        self.scheduler.finish(permit, self.now, State.DONE)
        self.note("give", permit)

    # -- programs -----------------------------------------------------------

    def go_on(self, branch: Branch) -> None:
        """Take steps until one takes time."""
        while branch in branch.run.branches and branch.waits is None:
            if branch.at == len(branch.steps):
                self.finished(branch)
                return
            step = branch.steps[branch.at]
            branch.at += 1
            if self.takes_time(branch, step):
                return

    def takes_time(self, branch: Branch, step: Step) -> bool:
        run = branch.run
        match step:
            case Work(seconds):
                self.bound += seconds
                self.at(seconds, lambda: self.go_on(branch))
                return True
            case Ask(needs):
                return self.ask(branch, needs)
            case Give():
                if branch.open:
                    self.close(branch.open[-1])
            case Spawn(plan, after):
                run.children.append(self.submit(plan, [run.children[i] for i in after if i < len(run.children)]))
            case Join(number, own):
                runs = run.children if own else self.runs
                if runs:
                    target = runs[number % len(runs)].task
                    if target.state < FINAL and target is not run.task:
                        return self.wait(branch, target)
            case Par(branches):
                branch.left = len(branches)
                for steps in branches:
                    child = Branch(run, steps, branch)
                    run.branches.add(child)
                    self.at(0, lambda child=child: self.go_on(child))
                return bool(branches)
            case Fail(tries):
                self.fail(run, again=run.tries < tries)
                return True
        return False

    def finished(self, branch: Branch) -> None:
        branch.run.branches.discard(branch)
        for permit in list(branch.open):
            self.close(permit)
        if branch.parent is None:
            self.end(branch.run, State.DONE)
        else:
            branch.parent.left -= 1
            if not branch.parent.left:
                self.go_on(branch.parent)

    def stop(self, run: Run) -> None:
        """End all flows of control of a task, as a cancelled coroutine does."""
        branches, run.branches = run.branches, set()
        for branch in sorted(branches, key=lambda one: one.at):
            if branch.waits is not None:
                self.scheduler.waits.end(run.task, branch.waits)
                self._awaiting[branch.waits].remove(branch)
                if branch.waits in self.permits:
                    assert self.scheduler.cancel(branch.waits, self.now)
                    del self.permits[branch.waits]
                branch.waits = None
            for permit in list(branch.open):
                self.close(permit)

    def end(self, run: Run, state: State) -> None:
        task = run.task
        self.stop(run)
        del self.holding[task]
        if run.abandoned:
            self.scheduler.reclaim(task, self.now)
            self.note("reclaim", task)
            return
        self.scheduler.finish(task, self.now, state)
        self.note(f"end {state.name}", task)
        self.ended(task)
        self.take_doomed()

    def fail(self, run: Run, *, again: bool) -> None:
        if not again or run.abandoned:
            self.end(run, State.FAILED)
            return
        run.tries += 1
        self.stop(run)
        del self.holding[run.task]
        self.scheduler.postpone(run.task, self.now)
        self.note("postpone", run.task)
        self.bound += RETRY_S
        self.at(RETRY_S, lambda: self.scheduler.release(run.task, self.now))

    def cancel(self, run: Run) -> None:
        task = run.task
        if task.state in (WAITING, READY):
            assert self.scheduler.cancel(task, self.now)
            self.note("cancel", task)
            self.ended(task)
            self.take_doomed()
        elif task.state == RUNNING:
            self.end(run, State.CANCELLED)

    def abandon(self, run: Run) -> None:
        if run.task.state == RUNNING:
            run.abandoned = True
            self.scheduler.abandon(run.task, self.now, State.FAILED)
            self.note("abandon", run.task)
            self.ended(run.task)
            self.take_doomed()

    # -- time ----------------------------------------------------------------

    def decide(self) -> bool:
        started = self.scheduler.decide(self.now, 256)
        self.check_limits(started)
        for task in started:
            assert task.state == RUNNING
            assert task not in self.holding, f"{task} started twice"
            self.longest_wait = max(self.longest_wait, self.now - task.ready_at)
            self.bound += self.admission.toll(task.needs) + 1e-5
            self.note("start", task)
            if task in self.permits:
                self.opened(task)
                continue
            self.holding[task] = None
            run = self.by_task[task]
            assert not run.ended
            run.starts += 1
            assert run.starts == run.tries + 1, f"{task} started twice"
            assert all(other.state == State.DONE or (run.plan.always and other.state >= FINAL) for other in run.after)
            branch = Branch(run, run.plan.steps)
            run.branches.add(branch)
            self.at(0, lambda branch=branch: self.go_on(branch))
        self.take_doomed()
        return bool(started)

    def run(self, *, check: Callable[[], None] | None = None, limit: int = 20_000) -> None:
        for _ in range(limit):
            while self._events and self._events[0][0] <= self.now:
                heapq.heappop(self._events)[2]()
            decided = self.decide()
            self.check()
            if check is not None:
                check()
            if decided:
                continue
            wake = self.scheduler.next_wake()
            times = [time for time in (wake, self._events[0][0] if self._events else None) if time is not None]
            if not times:
                self.check_all_ended()
                return
            self.now = max(self.now, min(times))
        raise AssertionError(f"no end after {limit} steps\n{self.picture()}")

    # -- rules --------------------------------------------------------------

    def check(self) -> None:
        self.scheduler.check(self.holding)
        held = [0] * len(self.admission.names)
        for task in self.holding:
            for index, amount in task.needs:
                held[index] += amount
        for index, name in enumerate(self.admission.names):
            if index in self.admission.rates:
                continue
            most = max(self.admission.capacity[index], self.most.get(index, 0))
            assert held[index] <= most, f"{name}: {held[index]} are held"
            self.most[index] = held[index]  # after a capacity was lowered it may only become less

    def check_limits(self, started: Sequence[Task]) -> None:
        """Verify the second half of rule 2, given what has just started, in order."""
        limits = self.scheduler.selection.limits
        held = dict.fromkeys(limits, 0)
        for task in (*self.holding, *started):
            for index, amount in task.needs:
                if index in limits:
                    within = not held[index] or held[index] + amount <= limits[index]
                    assert within or task in self.holding or task.claim, f"{task} starts though {held[index]} are held"
                    held[index] += amount

    def check_all_ended(self) -> None:
        left = [run for run in self.runs if not run.ended]
        assert not left, f"{len(left)} tasks wait for ever\n{self.picture()}"
        assert not self.holding
        assert not self.permits
        assert self.scheduler.queued == self.scheduler.running == self.scheduler.abandoned == 0
        for index, free in enumerate(self.admission.free):
            assert index in self.admission.rates or free == self.admission.capacity[index]

    def picture(self) -> str:
        lines = [f"at {self.now} s, free {dict(zip(self.admission.names, self.admission.free, strict=True))}"]
        waiting = {run.task: [branch.waits for branch in run.branches if branch.waits] for run in self.runs}
        lines += [
            f"  {run.task} needs {run.task.needs} {Claim(run.task.claim).name} "
            f"holds {self.admission.named(run.task.holds())} waits for {waiting[run.task]}"
            for run in self.runs
            if not run.ended or run.task in self.holding
        ]
        for permit, branch in self.permits.items():
            if permit.state < RUNNING:
                lines.append(f"  {permit} of {branch.run.task} needs {permit.needs} {Claim(permit.claim).name}")
        return "\n".join(lines)
