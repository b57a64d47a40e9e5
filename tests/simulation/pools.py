"""Threads and worker processes in virtual time: a function runs when the seed lets it finish."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tenire.concurrency.handle import THREAD, Handle
from tenire.concurrency.pools import PoolStatistics
from tenire.errors import WorkerDiedError
from tenire.testing import FakeExecutor, LostWorkerError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

__all__ = ["SimPools"]


class SimPools:
    """Stands in for ``ThreadPoolManager``; subclasses say what goes wrong.

    Attributes:
        lose: Probability that a worker goes away under a task.
        hung: Tasks whose function does not return.
        retired: Workers that were to end.
    """

    lose = 0.0

    def dies(self, handle: Handle[Any]) -> bool:
        """Whether the worker of a task dies before the task has run."""
        return False

    def hangs(self, handle: Handle[Any]) -> bool:
        """Whether the function of a task does not return."""
        return False

    def extra_s(self, handle: Handle[Any]) -> float:
        """How much longer than others a task takes, seconds."""
        return 0.0

    def refuse(self, handle: Handle[Any]) -> None:
        """Raise what starting a thread or a process would raise now."""

    def __init__(self, loop: asyncio.AbstractEventLoop, **_: Any) -> None:
        self._loop = loop
        self._executor = FakeExecutor(loop, lose=self.lose, name="pools")  # type: ignore[arg-type]  # a SimLoop
        self._stopped: set[Handle[Any]] = set()
        self.hung: list[Handle[Any]] = []
        self.retired: list[str] = []
        self.report: Callable[[Handle[Any], Any, BaseException | None], None]

    def start(self, handle: Handle[Any]) -> None:
        self.refuse(handle)
        handle.run = self
        if self.hangs(handle):
            self.hung.append(handle)
            return
        self._executor.delay(self.extra_s(handle))
        self._executor.submit(self._run, handle).add_done_callback(lambda future: self._ended(handle, future))

    def stop(self, handle: Handle[Any]) -> None:
        """Kill the process of a task; a thread goes on."""
        if handle.on != THREAD:
            self._stopped.add(handle)
            if handle in self.hung:
                self.hung.remove(handle)
            self._loop.call_soon(self.report, handle, None, WorkerDiedError("stopped", task=handle.name))

    def running_since(self, handle: Handle[Any]) -> float | None:
        """Return when a task that hangs was started: at most as long ago as its timeout is long."""
        timeout = handle.timeout or 0.0
        return self._loop.time() - timeout if handle in self.hung else None

    def release(self, handle: Handle[Any]) -> None:
        """Have a function that hangs return after all."""
        self.hung.remove(handle)
        self.report(handle, None, None)

    def statistics(self) -> PoolStatistics:
        return PoolStatistics(0, 0, {}, 0)

    def resize(self, workers: int) -> None:
        """Nothing is kept here."""

    def idle_workers(self) -> list[int]:
        return []

    def retire_idle(self, *, workers: int, threads: int) -> int:
        self.retired.append(f"all but {workers}")
        return 0

    def end_worker(self, name: str, *, if_idle: bool = False) -> bool:
        self.retired.append(f"{name} if idle" if if_idle else name)
        return True

    async def aclose(self, *, grace: float, kill: bool) -> list[str]:
        for handle in [handle for handle in self.hung if handle.on != THREAD and (kill or handle.done())]:
            self.stop(handle)
        return [handle.name for handle in self.hung]

    def _run(self, handle: Handle[Any]) -> Any:
        if handle.on != THREAD and self.dies(handle):
            raise WorkerDiedError("killed by signal 9", task=handle.name)
        # A thread that was given up goes on; one that has not begun never does.
        return None if handle.done() else handle.fn(*handle.args)

    def _ended(self, handle: Handle[Any], future: Any) -> None:
        if handle in self._stopped:
            return
        error = future.exception()
        if isinstance(error, LostWorkerError):
            error = WorkerDiedError(str(error), task=handle.name)
        self.report(handle, None if error else future.result(), error)
