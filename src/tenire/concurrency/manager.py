"""The engine's face: one object that starts everything and stops everything."""

from __future__ import annotations

import asyncio
import contextlib
import random
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast, overload

from tenire.clock import SYSTEM_CLOCK, Clock
from tenire.concurrency.async_tasks import AsyncTaskManager
from tenire.concurrency.compaction_steps import engine_steps
from tenire.concurrency.compactor import Compactor
from tenire.concurrency.control import Control
from tenire.concurrency.data import DataManager
from tenire.concurrency.engine_arguments import check_arguments
from tenire.concurrency.engine_metrics import families
from tenire.concurrency.engine_thread import EngineThread
from tenire.concurrency.event_keeper import event_keeper
from tenire.concurrency.history_keeper import HistoryKeeper
from tenire.concurrency.loops import EventLoopManager, LoopState
from tenire.concurrency.orchestrator import Orchestrator
from tenire.concurrency.parts import Parts
from tenire.concurrency.pools import ThreadPoolManager
from tenire.concurrency.pools.thread_share import ThreadShare
from tenire.concurrency.sampler import ThreadSampler
from tenire.concurrency.signals import Signals
from tenire.concurrency.snapshot import Snapshot, take_snapshot
from tenire.concurrency.supervisor import Supervisor
from tenire.concurrency.termination import Termination
from tenire.concurrency.timer import UniversalTimer
from tenire.core.admission import RESIDENT, Admission
from tenire.core.scheduler import Scheduler
from tenire.core.tasks import Priority
from tenire.errors import ComponentError, ConfigError, RejectedError
from tenire.observe.machine import read_machine
from tenire.observe.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable
    from types import TracebackType

    from tenire.concurrency.handle import Handle
    from tenire.concurrency.supervisor import ComponentChanged
    from tenire.concurrency.task_groups import TaskGroup
    from tenire.core.tasks import Resources, Retry
    from tenire.observe.machine import Machine

__all__ = ["ConcurrencyManager"]

T = TypeVar("T")

_LEAST_THREADS = 8


class ConcurrencyManager:
    """Runs tasks of several pipelines side by side, fairly, within cpu and memory.

    Use it as an async context manager inside a program with a loop, or with
    ``in_thread()`` anywhere else. Leaving the block waits for everything that was
    submitted; leaving it by an exception cancels everything.

    Args:
        home: Directory of the ledger and the store, for pipelines that keep any.
        cpu: CPU slots to share out; default: what the machine really offers
            (affinity, container limits), less one.
        memory: Bytes in flight to share out; default: half of what the machine offers.
        spill: Bytes of blobs that may lie on disk; default: eight times ``memory``.
        seed: For the jitter of retries; a fixed one makes runs repeatable.
        clock: Where time comes from; tests put a virtual one here.
        adaptive: Whether to do less while other programs need the machine.
        worker_memory: Bytes that a worker process without a name may keep after a task; one
            that keeps more is replaced. Default: learnt from what such workers usually keep.

    Attributes:
        orchestrator: Shares, permits and the decisions behind them.
        thread_pool: Threads and worker processes.
        async_tasks: Takes tasks in and tracks them.
        data_manager: The byte budget, blobs and caches.
        loops: The event loop, and the way into it from other threads.
        timer: The engine's one timer.
        signals: Typed events.
        metrics: Counters, gauges and summaries: the engine's own, and any that you add.
        control: The load of the machine, and what the engine leaves out because of it.
        compactor: Tidies up in idle periods.
        supervisor: Keeps alive what lives as long as the engine; add what shall do so too.

    Raises:
        ConfigError: If an argument is impossible.
    """

    orchestrator: Orchestrator
    thread_pool: ThreadPoolManager
    async_tasks: AsyncTaskManager
    data_manager: DataManager
    timer: UniversalTimer
    control: Control
    compactor: Compactor
    supervisor: Supervisor

    def __init__(
        self,
        *,
        home: str | Path | None = None,
        cpu: float | None = None,
        memory: int | None = None,
        seed: int | None = None,
        clock: Clock = SYSTEM_CLOCK,
        adaptive: bool = True,
        worker_memory: int | None = None,
        spill: int | None = None,
    ) -> None:
        check_arguments(home=home, cpu=cpu, memory=memory, worker_memory=worker_memory, spill=spill)
        machine = read_machine() if cpu is None or memory is None else None
        self.cpu = cpu if cpu is not None else cast("Machine", machine).default_cpu
        self.memory = int(memory) if memory is not None else cast("Machine", machine).usable_memory // 2
        self._worker_memory = int(worker_memory) if worker_memory is not None else None
        self._spill = int(spill) if spill is not None else None
        self.home = Path(home) if home is not None else None
        self.loops = EventLoopManager(clock=clock)
        self.signals = Signals()
        self.metrics = Metrics()
        self.metrics.add_source(lambda: families(self.snapshot()))
        self._termination = Termination()
        self._clock = clock
        # On a clock of its own there is no machine to be looked at, nor one to be spared.
        self._adaptive = adaptive and clock is SYSTEM_CLOCK
        self._resident = machine.memory_for_workers if machine is not None else None
        self._rng = random.Random(seed)
        # Their own, so that looking at the machine, or a restart, moves no retry.
        self._control_rng = random.Random(seed)
        self._supervisor_rng = random.Random(seed)
        self._failure: ComponentError | None = None

    def __getattr__(self, name: str) -> Any:
        if name in type(self).__annotations__:
            message = f"the engine has no {name} yet: use `async with ConcurrencyManager()` or `in_thread()` first"
            raise AttributeError(message)
        message = f"{type(self).__name__!r} object has no attribute {name!r}"
        raise AttributeError(message)

    # -- life -------------------------------------------------------------

    async def __aenter__(self) -> ConcurrencyManager:
        if self.loops.adopted:
            message = "a ConcurrencyManager can be entered once; make a new one"
            raise ConfigError(message)
        self._parts = self._build(self.loops.adopt())
        try:
            await self._parts.start(on_progress=self.signals.post, rng=self._supervisor_rng)
        except BaseException:
            self.signals.close()
            raise
        self._termination.begin()
        # From here on `manager.submit` is that method itself: handing the keywords
        # through once more would cost a tenth of a task.
        self.submit = self.async_tasks.submit  # type: ignore[method-assign]
        return self

    def _build(self, loop: asyncio.AbstractEventLoop) -> Parts:
        """Make all parts, and have each know its neighbours; none of them does anything yet."""
        self.timer = UniversalTimer(
            loop=loop, clock=self._clock, on_thread=self.loops.on_thread, on_suspended=self.signals.post
        )
        slots = max(_LEAST_THREADS, int(self.cpu))
        admission = Admission(cpu=self.cpu, memory=self.memory, threads=slots, processes=slots)
        if self._resident:
            admission.register(RESIDENT, self._resident)
        self.thread_pool = ThreadPoolManager(
            loop,
            timer=self.timer,
            threads=ThreadShare(admission),
            worker_memory=self._worker_memory,
            all_workers_memory=self._resident,
        )
        self.thread_pool.memory_found = partial(admission.register, RESIDENT)
        self.orchestrator = Orchestrator(
            Scheduler(admission),
            loop=loop,
            portal=self.loops.main,
            clock=self._clock,
            pools=self.thread_pool,
            timer=self.timer,
            rng=self._rng,
        )
        self.async_tasks = AsyncTaskManager(self.orchestrator)
        self.data_manager = DataManager(
            self.orchestrator, self.home, clock=self._clock, timer=self.timer, spill=self._spill
        )
        self.control = Control(
            self.orchestrator,
            pools=self.thread_pool,
            timer=self.timer,
            clock=self._clock,
            signals=self.signals,
            sampler=ThreadSampler(loop, self._clock),
            rng=self._control_rng,
            cpu=self.cpu,
        )
        self.control.on_level(enter=self.data_manager.give_way)
        self.compactor = Compactor(loop, timer=self.timer, clock=self._clock, signals=self.signals)
        for step in engine_steps(self.thread_pool, self.data_manager, self._clock):
            self.compactor.add(step)
        self.orchestrator.busy_changed = self.compactor.busy_changed
        self.supervisor = Supervisor(
            timer=self.timer, clock=self._clock, rng=self._supervisor_rng,
            on_change=self._component_changed, on_escalation=self._give_up,
        )  # fmt: skip
        return Parts(
            loops=self.loops,
            timer=self.timer,
            supervisor=self.supervisor,
            history=HistoryKeeper(self.orchestrator.scheduler.history, self.home, every=self.control.every),
            orchestrator=self.orchestrator,
            thread_pool=self.thread_pool,
            async_tasks=self.async_tasks,
            data_manager=self.data_manager,
            control=self.control,
            compactor=self.compactor,
            clock=self._clock,
            adaptive=self._adaptive,
            left_open=partial(self.shutdown, cancel=True),
            events=event_keeper(self.home, self.orchestrator, self.signals, timer=self.timer, control=self.control),
        )

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            await self.shutdown(cancel=error is not None)
        except ComponentError:
            if error is None:
                raise

    async def shutdown(self, *, cancel: bool = False) -> None:
        """Stop the engine; calling it again does nothing.

        First no new task is taken from outside and what was submitted is awaited
        (or cancelled). Then threads, worker processes and timers end. Work that
        does not react to being cancelled is given up after a moment and named in
        the log.

        Args:
            cancel: Cancel what was submitted instead of waiting for it.

        Raises:
            ComponentError: If the engine had to give up, because a part of it failed too often.
            DeadlockError: If a task of this engine, or code that holds a permit, would wait for its own end.
        """
        if self.loops.state in (LoopState.NEW, LoopState.CLOSED):
            return
        if not cancel:
            try:
                await self.orchestrator.wait_idle()
            except asyncio.CancelledError:
                await self._stop(cancel=True)
                raise
        await self._stop(cancel=cancel)

    async def _stop(self, *, cancel: bool) -> None:
        try:
            await self._parts.stop(cancel=cancel)
        finally:  # it has stopped, also if that was cancelled meanwhile
            self.signals.close()
            self._termination.end()
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def _component_changed(self, change: ComponentChanged) -> None:
        self.orchestrator.health.changed(change)
        self.signals.post(change)

    def _give_up(self, error: ComponentError) -> None:
        """Take in that the engine cannot go on: nobody may wait for it in vain."""
        self._failure = error
        self.async_tasks.refuse(f"the engine has given up ({error})")
        self.orchestrator.give_up(error)

    @classmethod
    def in_thread(
        cls,
        *,
        home: str | Path | None = None,
        cpu: float | None = None,
        memory: int | None = None,
        seed: int | None = None,
        clock: Clock = SYSTEM_CLOCK,
        adaptive: bool = True,
        worker_memory: int | None = None,
        spill: int | None = None,
    ) -> EngineThread:
        """Run an engine with its own loop in a thread, for scripts, Qt and notebooks.

        Takes the same arguments as ``ConcurrencyManager`` and returns a context manager.
        """
        manager = cls(
            home=home,
            cpu=cpu,
            memory=memory,
            seed=seed,
            clock=clock,
            adaptive=adaptive,
            worker_memory=worker_memory,
            spill=spill,
        )
        return EngineThread(manager)

    # -- work -------------------------------------------------------------

    @overload
    def submit(
        self, fn: Callable[..., Coroutine[Any, Any, T]], /, *args: Any, name: str | None = ...,
        priority: Priority | str = ..., pipeline: str = ..., after: Iterable[Handle[Any]] = ...,
        needs: Resources | None = ..., deadline: float | None = ..., timeout: float | None = ...,
        retry: Retry | None = ..., on: str = ..., worker: str | None = ..., trigger: str = ...,
        group: TaskGroup | None = ...,
    ) -> Handle[T]: ...  # fmt: skip

    @overload
    def submit(
        self, fn: Callable[..., T], /, *args: Any, name: str | None = ...,
        priority: Priority | str = ..., pipeline: str = ..., after: Iterable[Handle[Any]] = ...,
        needs: Resources | None = ..., deadline: float | None = ..., timeout: float | None = ...,
        retry: Retry | None = ..., on: str = ..., worker: str | None = ..., trigger: str = ...,
        group: TaskGroup | None = ...,
    ) -> Handle[T]: ...  # fmt: skip

    def submit(
        self,
        fn: Callable[..., Any],
        /,
        *args: Any,
        name: str | None = None,
        priority: Priority | str = Priority.NORMAL,
        pipeline: str = "default",
        after: Iterable[Handle[Any]] = (),
        needs: Resources | None = None,
        deadline: float | None = None,
        timeout: float | None = None,
        retry: Retry | None = None,
        on: str = "auto",
        worker: str | None = None,
        trigger: str = "success",
        group: TaskGroup | None = None,
    ) -> Handle[Any]:
        """Submit a task from any thread; return its handle, which can be awaited.

        Args:
            fn: A coroutine function or a plain function.
            *args: Its arguments.
            name: For people; default: the function's name.
            priority: Its class within its pipeline; critical goes before all else.
            pipeline: Whose share it is charged to.
            after: Handles of tasks that must be done first.
            needs: What it holds while it runs. Default: nothing on the loop, one
                thread slot on a thread, one CPU slot in a process.
            deadline: Seconds from now by which it must have finished.
            timeout: Seconds that one try may take, from when it starts.
            retry: When to try again after a failure.
            on: ``loop``, ``thread``, ``process``, ``anywhere`` (a process, also one of
                another machine), or ``auto``: a coroutine function on the loop, others on a thread.
            worker: Name of a worker process of its own, which is started on first use
                and runs its tasks one after the other (for what should stay warm).
                It takes no CPU slot unless ``needs`` says so.
            trigger: ``success``: run when all of ``after`` succeeded, end with an error
                if one did not; ``done``: run when all have ended, however they did.
            group: The group that it belongs to; default: that of the task that submits it.

        Raises:
            ConfigError: If an argument is impossible.
            RejectedError: If the engine is closing, or the task needs more than the
                whole engine has.
        """
        if self.loops.state == LoopState.NEW:
            message = "the engine has not started: use `async with ConcurrencyManager()` or `in_thread()` first"
            raise RejectedError(message)
        return self.async_tasks.submit(
            fn, *args, name=name, priority=priority, pipeline=pipeline, after=after, needs=needs,
            deadline=deadline, timeout=timeout, retry=retry, on=on, worker=worker, trigger=trigger,
            group=group,
        )  # fmt: skip

    def snapshot(self) -> Snapshot:
        """Return a frozen picture of everything; from any thread."""
        if not self.loops.on_thread():
            # Read where it is written, so that the figures belong together.
            with contextlib.suppress(RejectedError):  # closing: nothing changes any more
                return self.loops.call(self.snapshot)
        self.orchestrator.take_in_ended()
        self.orchestrator.scheduler.admission.refill(self._clock.now())
        return take_snapshot(self._parts)
