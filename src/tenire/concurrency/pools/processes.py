"""Worker processes: spawned, at lowest priority, warm and reused, replaced when they die.

Each worker process has one thread in the engine that talks to it. The thread
starts the process, sends a job, waits for its outcome and reports it to the
loop, so neither starting (tens of milliseconds) nor large results ever hold up
the loop.
"""

from __future__ import annotations

import asyncio
import atexit
import multiprocessing
import multiprocessing.resource_tracker
import multiprocessing.util
import queue
import signal
import threading
import weakref
from typing import TYPE_CHECKING, Any

from tenire.concurrency.pools.frames import dump, receive, send
from tenire.concurrency.pools.mailbox import Mailbox, gone
from tenire.concurrency.pools.worker import RemoteTraceback, main
from tenire.errors import TaskError, WorkerDiedError

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection
    from multiprocessing.context import SpawnProcess

    from tenire.concurrency.handle import Handle

__all__ = ["Processes", "WorkerLink"]

_JOIN_S = 1.0

_links: weakref.WeakSet[WorkerLink] = weakref.WeakSet()


def _kill_leftovers() -> None:
    for link in list(_links):
        link.kill()


# After multiprocessing.util registered its own exit handler, so this runs before that
# one, which would wait for the workers of an engine that was never closed.
atexit.register(_kill_leftovers)


class WorkerLink:
    """The engine's end of one worker process.

    Attributes:
        name: The worker's name.
        job: The task that it runs now.
        started: Processes started so far, replacements included.
        thread: The thread that talks to the process.
    """

    def __init__(self, name: str, mailbox: Mailbox, ended: Callable[..., None], left: Callable[..., None]) -> None:
        self.name = name
        self.job: Handle[Any] | None = None
        self.started = 0
        self._mailbox = mailbox
        self._ended = ended
        self._left = left
        self._jobs: queue.SimpleQueue[Handle[Any] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._process: SpawnProcess | None = None
        self._connection: Connection[Any, Any] | None = None
        self._lifeline: Connection[Any, Any] | None = None
        self._served = 0
        self.thread = threading.Thread(target=self._serve, name=f"tenire-link-{name}", daemon=True)
        self.thread.start()
        _links.add(self)

    @property
    def pid(self) -> int | None:
        """The process's id, or ``None`` while there is none."""
        process = self._process
        return process.pid if process is not None else None

    def put(self, handle: Handle[Any] | None) -> None:
        """Queue a task; ``None`` ends the worker after those before it."""
        self._jobs.put(handle)

    def stop(self, handle: Handle[Any]) -> None:
        """Kill the process if it runs this task; the next task gets a new one."""
        with self._lock:
            if self.job is handle and self._process is not None:
                self._process.kill()

    def kill(self) -> None:
        """Kill the process, whatever it does."""
        with self._lock:
            if self._process is not None:
                self._process.kill()

    # -- on the link's own thread ----------------------------------------

    def _serve(self) -> None:
        if hasattr(signal, "pthread_sigmask"):
            # Inherited by the process: a Ctrl-C that comes before it can ignore it
            # would end it with a traceback.
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        while True:
            handle = self._jobs.get()
            if handle is None:
                break
            value, error = self._run(handle)
            self._mailbox.post(self._ended, self, handle, value, error)
            del handle, value, error
        self._end_process()
        self._mailbox.post(self._left, self)

    def _run(self, handle: Handle[Any]) -> tuple[Any, BaseException | None]:
        try:
            parts = dump((handle.fn, handle.args))
        except Exception as error:  # noqa: BLE001 - pickling runs foreign code
            return None, self._unsendable(handle, error)
        try:
            connection = self._connection or self._start_process()
        except Exception as error:  # noqa: BLE001 - also what multiprocessing says to a script without a guard
            return None, self._unstartable(handle, error)
        try:
            with self._lock:
                if handle.done():  # cancelled before it came to this worker
                    return None, None
                self.job = handle
            send(connection, parts)
            del parts
            ok, value, text = receive(connection)
        except (EOFError, OSError) as error:
            return None, self._died(handle, error)
        except Exception as error:  # noqa: BLE001 - unpickling runs foreign code
            return None, self._unreadable(handle, error)
        finally:
            with self._lock:
                self.job = None
        self._served += 1
        if ok:
            return value, None
        value.__cause__ = RemoteTraceback(text)
        return None, value

    def _start_process(self) -> Connection[Any, Any]:
        if hasattr(signal, "pthread_sigmask"):
            # Python starts its resource tracker with the first process, and unblocks
            # SIGINT in this thread after that (see ``_serve`` for why it is blocked).
            multiprocessing.resource_tracker.ensure_running()
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        lifeline_theirs, lifeline_ours = context.Pipe(duplex=False)
        process = context.Process(target=main, args=(theirs, lifeline_theirs), name=f"tenire-{self.name}")
        try:
            process.start()
        except BaseException:
            for connection in (ours, theirs, lifeline_theirs, lifeline_ours):
                connection.close()
            raise
        theirs.close()
        lifeline_theirs.close()
        with self._lock:
            self._process = process
            self._connection, self._lifeline = ours, lifeline_ours
        self.started += 1
        self._served = 0
        return ours

    def _end_process(self) -> int | None:
        with self._lock:
            process, connection, lifeline = self._process, self._connection, self._lifeline
            self._process = self._connection = self._lifeline = None
        if connection is not None:
            connection.close()
        if lifeline is not None:
            lifeline.close()
        if process is None:
            return None
        process.join(_JOIN_S)
        if process.is_alive():
            process.kill()
            process.join()
        code = process.exitcode
        process.close()
        return code

    def _died(self, handle: Handle[Any], error: BaseException) -> WorkerDiedError:
        first = not self._served
        code = self._end_process()
        how = f"killed by signal {-code}" if code is not None and code < 0 else f"exit code {code}"
        message = f"the worker process of task {handle.name!r} ended while it ran ({how})"
        hint = "pass retry=Retry(…) if the task may be run again"
        if first and code == 1:
            hint = (
                "it never got as far as the first task: a main script needs an "
                'if __name__ == "__main__": guard around what it does'
            )
        died = WorkerDiedError(message, task=handle.name, exit_code=code, hint=hint)
        died.__cause__ = error
        return died

    @staticmethod
    def _unstartable(handle: Handle[Any], error: Exception) -> TaskError:
        message = f"no worker process can be started for task {handle.name!r}: {error}"
        hint = "the system is short of processes, memory or open files" if isinstance(error, OSError) else None
        wrapped = TaskError(message, task=handle.name, hint=hint)
        wrapped.__cause__ = error
        return wrapped

    @staticmethod
    def _unsendable(handle: Handle[Any], error: Exception) -> TaskError:
        message = f"task {handle.name!r} cannot be sent to a worker process: {error}"
        hint = "the function must be importable and its arguments must be picklable"
        wrapped = TaskError(message, task=handle.name, hint=hint)
        wrapped.__cause__ = error
        return wrapped

    @staticmethod
    def _unreadable(handle: Handle[Any], error: Exception) -> TaskError:
        message = f"the result of task {handle.name!r} cannot be read back from its worker process: {error}"
        wrapped = TaskError(message, task=handle.name, hint="return plain data")
        wrapped.__cause__ = error
        return wrapped


class Processes:
    """Worker processes: a pool of equals, and named ones that keep something warm.

    Attributes:
        replaced: Processes started in place of one that died.
    """

    def __init__(self, mailbox: Mailbox, report: Callable[[Handle[Any], Any, BaseException | None], None]) -> None:
        self._mailbox = mailbox
        self._report = report
        self._idle: list[WorkerLink] = []
        self._pool: list[WorkerLink] = []
        self._named: dict[str, WorkerLink] = {}
        self._made = 0
        self._empty: asyncio.Future[None] | None = None

    @property
    def links(self) -> list[WorkerLink]:
        """Every worker."""
        return [*self._pool, *self._named.values()]

    @property
    def replaced(self) -> int:
        """Processes started in place of one that died."""
        return sum(max(0, link.started - 1) for link in self.links)

    def start(self, handle: Handle[Any]) -> None:
        """Run a task; on the loop's thread."""
        if handle.worker is not None:
            link = self._named.get(handle.worker)
            if link is None:
                link = self._named[handle.worker] = self._new(handle.worker)
        elif self._idle:
            link = self._idle.pop()
        else:
            self._made += 1
            link = self._new(f"worker-{self._made}")
            self._pool.append(link)
        handle.run = link
        link.put(handle)

    def _new(self, name: str) -> WorkerLink:
        return WorkerLink(name, self._mailbox, self._finished, self._left)

    def _finished(self, link: WorkerLink, handle: Handle[Any], value: Any, error: BaseException | None) -> None:
        if link.name not in self._named:
            self._idle.append(link)
        self._report(handle, value, error)

    def _left(self, link: WorkerLink) -> None:
        if link in self._pool:
            self._pool.remove(link)
        else:
            self._named.pop(link.name, None)
        if self._empty is not None and not self._pool and not self._named and not self._empty.done():
            self._empty.set_result(None)

    async def aclose(self, *, kill: bool) -> None:
        """End every worker.

        Args:
            kill: Kill those that are busy instead of waiting for their task.
        """
        self._idle.clear()
        links = self.links
        for link in links:
            if kill and link.job is not None:
                link.kill()
            link.put(None)
        if links:
            self._empty = asyncio.get_running_loop().create_future()
            await asyncio.wait([self._empty], timeout=2 * _JOIN_S)
        for link in self.links:
            link.kill()
        await gone(link.thread for link in links if link not in self.links)
