"""Threads and worker processes behind one face."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tenire.concurrency.handle import ANYWHERE, THREAD
from tenire.concurrency.pools.elsewhere import Elsewhere, Errand
from tenire.concurrency.pools.link import WorkerLink
from tenire.concurrency.pools.mailbox import Mailbox
from tenire.concurrency.pools.processes import Processes
from tenire.concurrency.pools.threads import Threads
from tenire.concurrency.pools.verdicts import no_thread, unstartable
from tenire.concurrency.pools.watch import PoolWatch
from tenire.errors import ConfigError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable, Mapping

    from tenire.concurrency.handle import Handle
    from tenire.concurrency.pools.engine import Engine
    from tenire.concurrency.pools.thread_share import ThreadShare
    from tenire.concurrency.supervisor import Life
    from tenire.concurrency.timer import UniversalTimer

__all__ = ["PoolStatistics", "ThreadPoolManager"]


@dataclass(frozen=True, slots=True)
class PoolStatistics:
    """What the pools hold now.

    Attributes:
        threads: Threads alive.
        threads_busy: Tasks on a thread, or on their way to one.
        processes: Process ids of the workers by their names.
        replaced: Worker processes started in place of one that died or was ended.
        abandoned: Names of tasks that have ended, by being cancelled or by taking too long, but
            whose functions still run on a thread.
        memory: Bytes that each worker occupied when it was last looked at, by its name.
        recycled: Worker processes ended because they kept too much memory after a task.
    """

    threads: int
    threads_busy: int
    processes: dict[str, int]
    replaced: int
    abandoned: tuple[str, ...] = ()
    memory: Mapping[str, int] = field(default_factory=dict)
    recycled: int = 0


class ThreadPoolManager:
    """Runs tasks on threads and in worker processes.

    How many run at once is the scheduler's decision; the pools grow to that and
    keep what they have started warm.

    Args:
        loop: The engine's loop.
        timer: Its timer; ``None``: nobody looks after the workers while they run.
        threads: Tells how many threads numerical libraries may use in worker processes;
            ``None``: no limit.
        worker_memory: Bytes that a worker process without a name may keep after a task;
            one that keeps more is replaced. ``None``: learnt from what they usually keep.
        all_workers_memory: Bytes that all workers may take together, or the largest is
            ended; ``None``: found out once there are any.

    Attributes:
        report: Called on the loop with ``(handle, value, error, memory)`` when a task
            ended; ``memory`` is what a worker process needed for it, in bytes, or 0 if
            nobody looked: on a thread, and for a job too short to be worth it.
        memory_found: Called on the loop with the bytes that all workers may take together,
            if that had to be found out.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        timer: UniversalTimer | None = None,
        threads: ThreadShare | None = None,
        worker_memory: int | None = None,
        all_workers_memory: int | None = None,
    ) -> None:
        self._mailbox = mailbox = Mailbox(loop)
        self._fell: Callable[[BaseException], object] | None = None
        self.memory_found: Callable[[int], object] = lambda most: None
        self.report: Callable[[Handle[Any], Any, BaseException | None, int], None] = _unconnected
        self._threads = Threads(mailbox, self._ended)
        self._processes = Processes(mailbox, self._ended, threads=threads)
        self._elsewhere: Elsewhere | None = None
        self._watch = self._processes.watch = PoolWatch(
            timer=timer,
            loop=loop,
            links=lambda: self._processes.links,
            limit=worker_memory,
            most=all_workers_memory,
            found=lambda most: self.memory_found(most),
        )

    async def run(self, life: Life) -> None:
        """Be a component: have what died told, and the workers looked at, for as long as it lives."""
        self._threads.fell = self._processes.fell = self._watch.fell = life.fail
        if self._elsewhere is not None:
            self._elsewhere.fell = life.fail
            self._elsewhere.resume()
        self._fell = life.fail
        if self._processes.links:
            self._watch.begun()
        life.ready()
        await life.wait_told_to_end()

    def use(self, engine: Engine) -> None:
        """Run what may run anywhere in an engine's workers, instead of worker processes of this machine.

        Before the first such task; on the loop's thread.
        """
        self._elsewhere = Elsewhere(engine, self._mailbox, self._ended)
        if self._fell is not None:
            self._elsewhere.fell = self._fell

    @property
    def workers_of_a_name(self) -> int:
        """How many workers may share one name, for tasks that may run anywhere; 1 without an engine."""
        return 1 if self._elsewhere is None else self._elsewhere.engine.capacity().workers

    def ask(self, beat: Callable[[], None]) -> None:
        """Have ``beat`` called on the way that the ends of tasks take."""
        self._mailbox.post(beat)

    def start(self, handle: Handle[Any]) -> None:
        """Run a task in its place; on the loop's thread.

        Raises:
            NoWorkerError: If the system gives no thread for it.
        """
        try:
            if handle.on == THREAD:
                self._threads.start(handle)
            elif handle.on == ANYWHERE and self._elsewhere is not None:
                self._elsewhere.start(handle)
            else:
                self._processes.start(handle)
        except RuntimeError as error:
            lacking = no_thread(handle.name, error)
            if lacking is None:
                raise
            raise lacking from error

    def stop(self, handle: Handle[Any]) -> None:
        """Stop a task that counts as ended: kills its process; a thread goes on."""
        if isinstance(handle.run, WorkerLink):
            handle.run.stop(handle)
        elif isinstance(handle.run, Errand):
            assert self._elsewhere is not None
            self._elsewhere.stop(handle.run)

    def running_since(self, handle: Handle[Any]) -> float | None:
        """Return when a worker process got a task, or ``None`` if it is not there (yet)."""
        if isinstance(handle.run, Errand):
            return handle.run.since
        return handle.run.running_since(handle) if isinstance(handle.run, WorkerLink) else None

    def idle_workers(self) -> list[int]:
        """Return the process ids of workers without a name that have nothing to do."""
        return self._processes.idle()

    def retire_idle(self, *, workers: int, threads: int) -> int:
        """End what has nothing to do; on the loop's thread.

        Args:
            workers: Idle worker processes that stay; those with a name all do.
            threads: Idle threads that stay.

        Returns:
            How many worker processes end.
        """
        self._threads.retire(keep=threads)
        return self._processes.retire(keep=workers)

    def end_worker(self, name: str, *, if_idle: bool = False) -> bool:
        """End a worker process with a name; on the loop's thread.

        Args:
            name: The worker's name. The next task for it gets a new process.
            if_idle: Only if nothing runs or waits there.

        Returns:
            Whether such a process ends. It does so after the tasks that it has.
        """
        return self._processes.end_named(name, if_idle=if_idle)

    async def warm_up(self, workers: int, *, imports: Iterable[str] = ()) -> None:
        """Have worker processes ready before there is work for them.

        Args:
            workers: How many there are to be at least, those with names not counted.
            imports: Names of modules that each of those that are idle imports.

        Raises:
            ImportError: A module cannot be imported there.
            NoWorkerError: No process can be started.
            ConfigError: If the number is impossible.
        """
        if not isinstance(workers, int) or workers < 0:
            message = f"workers must be a whole number, 0 or more, got {workers!r}"
            raise ConfigError(message, key="workers")
        try:
            await self._processes.warm_up(workers, tuple(imports))
        except (OSError, RuntimeError) as error:
            raise unstartable("warm-up", error) from error

    def resize(self, workers: int) -> None:
        """End worker processes without a name beyond so many; busy ones after their task.

        They are started again when the scheduler lets more tasks run.
        """
        self._processes.resize(workers)

    def on_threads(self) -> dict[int | None, Handle[Any]]:
        """Return the tasks that run on threads, by the identifiers of those; from any thread."""
        return self._threads.tasks()

    def statistics(self) -> PoolStatistics:
        """Return what the pools hold now."""
        links = self._processes.links
        return PoolStatistics(
            threads=self._threads.size,
            threads_busy=self._threads.busy,
            abandoned=tuple(self._threads.abandoned()),
            memory={link.name: link.resident for link in links if link.pid is not None},
            recycled=self._processes.recycled,
            processes={
                **{link.name: pid for link in links if (pid := link.pid) is not None},
                **({} if self._elsewhere is None else self._elsewhere.engine.processes()),
            },
            replaced=self._processes.replaced,
        )

    async def aclose(self, *, grace: float, kill: bool) -> list[str]:
        """End threads and processes; return the names of tasks stuck in a thread.

        Args:
            grace: Seconds to wait for functions on threads at the most.
            kill: Kill busy worker processes instead of waiting for their task.
        """
        await self._watch.aclose()
        if self._elsewhere is not None:
            await self._elsewhere.aclose(kill=kill)
        await self._processes.aclose(kill=kill)
        return await self._threads.aclose(grace)

    def _ended(self, handle: Handle[Any], value: Any, error: BaseException | None, memory: int = 0) -> None:
        self.report(handle, value, error, memory)


def _unconnected(handle: Handle[Any], value: Any, error: BaseException | None, memory: int = 0) -> None:
    """Stand in until the orchestrator has connected itself."""
