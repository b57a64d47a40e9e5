"""One worker process after the other, and what is said to it, however long that takes.

Everything here may block, so it runs on a link's own thread, except ``received``
for a small outcome, and what says so.

Rule: a job of which a lost process got only a part, or nothing, has not run, so it
goes to a new one; every other job of a lost process ends with an error.
"""

from __future__ import annotations

import math
import pickle
import threading
from typing import TYPE_CHECKING, Any, TypeAlias

from tenire.clock import SYSTEM_CLOCK
from tenire.concurrency.pools.child import Child
from tenire.concurrency.pools.frames import dump, pack, receive, send
from tenire.concurrency.pools.jobs import JOB, PLAIN, RAISED, import_all
from tenire.concurrency.pools.memory import parted
from tenire.concurrency.pools.verdicts import GUARD_HINT, died, read, unreadable, unsendable, unstartable
from tenire.concurrency.sendable import reference_to
from tenire.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tenire.concurrency.handle import Handle
    from tenire.concurrency.pools.frames import Message
    from tenire.concurrency.pools.quickness import Known

__all__ = ["Conversation", "Outcome", "key_of"]

Outcome: TypeAlias = tuple[Any, BaseException | None, int]
"""A value, or an exception, and the memory that the job needed in bytes (0: nobody looked)."""


def key_of(handle: Handle[Any]) -> bytes:
    """Return by what a task's function is known; empty if it is more than a reference."""
    try:
        return reference_to(handle.fn)
    except ConfigError:  # its state has changed since it was submitted
        return b""


class Conversation:
    """Talks to one worker process at a time.

    Args:
        name: The worker's name.
        threads: Asked, when its process starts, for the threads that numerical libraries may use there;
            ``None``: no limit.
        known: Where to say how quick pickling was.

    Attributes:
        child: The process, or ``None`` while there is none.
        job: The task that it runs now.
        since: When that one was given to it, seconds of the system's clock.
        started: Processes started so far, replacements included.
        served: Jobs that this process has run.
        kept: Bytes that it occupied after its last job, as it says itself.
    """

    __slots__ = (
        "_killed",
        "_known",
        "_lock",
        "_name",
        "_threads",
        "_unread",
        "_why",
        "child",
        "job",
        "kept",
        "served",
        "since",
        "started",
    )

    def __init__(self, name: str, *, threads: Callable[[], int] | None, known: Known) -> None:
        self.child: Child | None = None
        self.job: Handle[Any] | None = None
        self.since = 0.0
        self.started = 0
        self._name = name
        self._threads = threads
        self._known = known
        self._lock = threading.Lock()
        self.served = 0
        self.kept = 0
        self._killed = False
        self._why: str | None = None
        self._unread = False

    # -- from any thread --------------------------------------------------

    def sent(self, handle: Handle[Any]) -> None:
        """Say that the process has got a job."""
        with self._lock:
            self.job = handle
            self.since = SYSTEM_CLOCK.now()

    def stop(self, handle: Handle[Any]) -> None:
        """Kill the process if it runs this task."""
        with self._lock:
            if self.job is handle and self.child is not None:
                self.child.kill()

    def kill(self, why: str | None = None) -> None:
        """Kill the process, whatever it does.

        Args:
            why: What is wrong with it; then the next job gets a new one. ``None``: it is
                not needed any more.
        """
        with self._lock:
            self._killed = self._killed or why is None
            if self.child is not None:
                self._why = why
                self._unread = self.child.has_unread()
                self.child.kill()

    def let_go(self) -> None:
        """Have no process any more, and leave the one that there was alone."""
        child, self.child = self.child, None  # without the lock: its holder may not be here
        if child is not None:
            child.let_go()

    # -- on the link's thread ---------------------------------------------

    def run(self, handle: Handle[Any]) -> Outcome:
        """Send a job, in a process that is started if there is none, and wait for its outcome."""
        try:
            # A function that is more than a reference goes with its arguments.
            reference = reference_to(handle.fn)
            started = SYSTEM_CLOCK.now()
            parts = [reference, *dump(handle.args if reference else (handle.fn, handle.args))]
            took = SYSTEM_CLOCK.now() - started
        except Exception as error:  # noqa: BLE001 - pickling runs foreign code
            return None, unsendable(handle, error), 0
        pieces = pack(JOB, 0, parts)
        del parts
        self._known.calls.note(reference, took if len(pieces) == 1 else math.inf)
        while True:
            try:
                child = self.child or self._start()
            except Exception as error:  # noqa: BLE001 - also what multiprocessing says to a script without a guard
                return None, unstartable(handle.name, error), 0
            with self._lock:
                if handle.done():  # cancelled before it came to this worker
                    return None, None, 0
                self.job = handle
                self.since = SYSTEM_CLOCK.now()
            try:
                send(child.connection, pieces)
            except OSError as error:
                if not self.served or self._killed:
                    return self._lost(handle, error)
                self._end()
                continue  # it had died while it waited for work: see the rule above
            return self.receive(handle)

    def warm_up(self, modules: tuple[str, ...]) -> BaseException | None:
        """Have a process that has imported modules; return why there is none."""
        fresh = self.child is None
        try:
            child = self.child or self._start()
            send(child.connection, pack(JOB, 0, [reference_to(import_all), *dump((modules,))]))
            outcome = receive(child.connection)
        except Exception as error:  # noqa: BLE001 - told to whoever waits; the next task finds out by itself
            code = self._end()
            if not fresh:
                return self.warm_up(modules)  # it had died while it waited for work
            if not isinstance(error, EOFError):
                return error
            return RuntimeError(f"it ended with exit code {code}" + (f"; {GUARD_HINT}" if code == 1 else ""))
        self.served += 1
        if outcome.tag == PLAIN:
            return None
        raised = pickle.loads(outcome.parts[0])[0]
        return raised if outcome.tag == RAISED else RuntimeError(raised)

    def send_rest(self, handle: Handle[Any], rest: bytes) -> Outcome:
        """Send the rest of a job and wait for its outcome."""
        assert self.child is not None
        try:
            send(self.child.connection, [rest])
        except OSError:
            return self.run(handle)
        self.sent(handle)
        return self.receive(handle)

    def receive(self, handle: Handle[Any], data: bytes | None = None) -> Outcome:
        """Wait for the outcome; ``data`` is its beginning, empty if the process is gone."""
        child = self.child
        assert child is not None
        if data is not None and not data:
            return self._lost(handle, EOFError())
        try:
            outcome = receive(child.connection, data or b"")
        except (EOFError, OSError) as error:
            return self._lost(handle, error)
        except Exception as error:  # noqa: BLE001 - it does not fit into memory; what is left unread is no use
            child.kill()
            self.bury(None)
            return None, unreadable(handle, error), 0
        return self.received(handle, outcome)

    def received(self, handle: Handle[Any], outcome: Message) -> Outcome:
        """Return what came; on the loop as well."""
        with self._lock:
            self.job = None
        self.served += 1
        needed, self.kept = parted(outcome.number)
        if outcome.tag == PLAIN:
            return *read(handle, outcome), needed
        started = SYSTEM_CLOCK.now()
        value, error = read(handle, outcome)
        self._known.values.note(key_of(handle), SYSTEM_CLOCK.now() - started)
        return value, error, needed

    def _start(self) -> Child:
        child = Child(self._name, None if self._threads is None else self._threads())
        with self._lock:
            self.child = child
            self._why = None
            self._unread = False
        self.started += 1
        self.served = 0
        return child

    def _lost(self, handle: Handle[Any], error: BaseException) -> Outcome:
        first = not self.served
        with self._lock:
            why, unread = self._why, self._unread
            if self.child is not None:
                self.child.kill()  # what it has forked could hide for a while that it is gone
        code = self._end()
        if why is not None and unread and not self._killed:
            return self.run(handle)  # it had been stopped before the job came: see the rule above
        return None, died(handle, error, code=code, first=first, why=why), 0

    def bury(self, _: None) -> Outcome:
        """Let the process end, if there is one."""
        self._end()
        return None, None, 0

    def _end(self) -> int | None:
        with self._lock:
            child, self.child, self.job = self.child, None, None
            self.kept = 0
        return child.end() if child is not None else None
