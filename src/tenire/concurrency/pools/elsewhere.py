"""Tasks that run in workers of an ``Engine`` instead of in worker processes of this machine's own.

One thread packs what is sent, talks to the engine and unpacks what comes back: all of
that may take time, or run foreign code, which the loop must not wait for.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
from functools import partial
from typing import TYPE_CHECKING, Any

from tenire.concurrency.pools.engine import Job, Lost
from tenire.concurrency.pools.frames import dump
from tenire.concurrency.pools.verdicts import lost, no_worker, read, thread_died, unreadable, unsendable
from tenire.concurrency.reporting_thread import ReportingThread
from tenire.concurrency.sendable import reference_to
from tenire.concurrency.waiting import until_gone
from tenire.core.admission import CPU, MEMORY
from tenire.core.tasks import CPU_UNIT

if TYPE_CHECKING:
    from collections.abc import Callable

    from tenire.concurrency.handle import Handle
    from tenire.concurrency.pools.engine import Engine, Outcome, Run
    from tenire.concurrency.pools.mailbox import Mailbox

__all__ = ["Elsewhere", "Errand"]

_END_S = 2.0
"""Seconds that jobs which were stopped get to end."""

_log = logging.getLogger("tenire.pools")


class Errand:
    """One task on its way to the engine and back; what ``handle.run`` is meanwhile.

    Attributes:
        handle: The task.
        run: Its job, once the engine has it.
        stopped: Whether it is to end.
    """

    __slots__ = ("handle", "run", "stopped")

    def __init__(self, handle: Handle[Any]) -> None:
        self.handle = handle
        self.run: Run | None = None
        self.stopped = False

    @property
    def since(self) -> float | None:
        """When a worker got it, or ``None`` if none has it (yet)."""
        return self.run.since if self.run is not None else None


class Elsewhere:
    """The way to an engine and back.

    Args:
        engine: The engine.
        mailbox: The way to the loop.
        report: Called on the loop with ``(handle, value, error)`` when a task ended.

    Attributes:
        engine: As given.
        fell: Called on the loop with the error that our thread died of; there is a new one then.
    """

    def __init__(
        self, engine: Engine, mailbox: Mailbox, report: Callable[[Handle[Any], Any, BaseException | None], None]
    ) -> None:
        self.engine = engine
        self._mailbox = mailbox
        self._report = report
        self._work: queue.SimpleQueue[tuple[Callable[..., object], tuple[Any, ...]] | None] = queue.SimpleQueue()
        self._under_way: set[Errand] = set()
        self._packing: Errand | None = None
        self._thread: ReportingThread | None = None
        self._empty: asyncio.Future[None] | None = None
        self.fell: Callable[[BaseException], object] = lambda error: _log.error("a thread died", exc_info=error)

    # -- on the loop's thread ---------------------------------------------

    def start(self, handle: Handle[Any]) -> None:
        """Run a task."""
        self._have_thread()
        errand = handle.run = Errand(handle)
        self._under_way.add(errand)
        self._post(self._send, errand)

    def resume(self) -> None:
        """Have a thread for the tasks under way, if the last one died when the system gave no other."""
        if self._under_way:
            self._have_thread()

    def stop(self, errand: Errand) -> None:
        """Stop a task that counts as ended, or is to; it is reported when its worker is gone."""
        self._post(self._stop, errand)

    async def aclose(self, *, kill: bool) -> None:
        """Let the engine go.

        Args:
            kill: Stop what runs, instead of waiting for it.
        """
        if self._thread is None:
            return
        for errand in self._under_way:
            if kill or errand.handle.done():  # it runs on though its task has ended
                self.stop(errand)
        if self._under_way:
            self._empty = asyncio.get_running_loop().create_future()
            await asyncio.wait([self._empty], timeout=_END_S)
        threads = [self._thread] if self._thread is not None else []  # it may have died meanwhile
        self._post(self.engine.close)
        self._work.put(None)
        await until_gone(threads)

    def _have_thread(self) -> None:
        if self._thread is None:
            self._start_thread()
            self._post(self.engine.begin, self._post)

    def _start_thread(self) -> None:
        thread = ReportingThread(self._serve, name="tenire-elsewhere", fell=self._dying)
        thread.start()
        self._thread = thread  # only now: the system may give none, and then it is tried again

    def _died(self, error: BaseException) -> None:
        errand, self._packing = self._packing, None
        self._thread = None
        with contextlib.suppress(RuntimeError):
            self._start_thread()
        if errand is not None and errand.run is None:
            self._over(errand, None, thread_died(errand.handle, error))
        self.fell(error)

    def _over(self, errand: Errand, value: Any, error: BaseException | None) -> None:
        self._under_way.discard(errand)
        self._report(errand.handle, value, error)
        if self._empty is not None and not self._under_way and not self._empty.done():
            self._empty.set_result(None)

    # -- from any thread --------------------------------------------------

    def _post(self, fn: Callable[..., object], *args: Any) -> None:
        self._work.put((fn, args))

    # -- on our own thread ------------------------------------------------

    def _serve(self) -> None:
        while (item := self._work.get()) is not None:
            fn, args = item
            fn(*args)
            # An idle thread must not keep the last job's value alive.
            del item, fn, args

    def _dying(self, error: BaseException) -> None:
        self._mailbox.post(self._died, error)

    def _send(self, errand: Errand) -> None:
        handle = errand.handle
        if errand.stopped or handle.done():
            self._end(errand, None, None)
            return
        self._packing = errand
        try:
            job = _job(handle)
        except Exception as error:  # noqa: BLE001 - pickling runs foreign code
            self._end(errand, None, unsendable(handle, error))
        else:
            try:
                errand.run = self.engine.run(job, partial(self._ended, errand))
            except Exception as error:  # noqa: BLE001 - whatever the engine is built on
                self._end(errand, None, no_worker(handle, str(error) or type(error).__name__))
        self._packing = None

    def _stop(self, errand: Errand) -> None:
        errand.stopped = True
        if errand.run is not None:
            errand.run.stop()

    def _ended(self, errand: Errand, outcome: Outcome) -> None:
        handle = errand.handle
        if not isinstance(outcome, Lost):
            try:
                value, error = read(handle, outcome)
            except Exception as strange:  # noqa: BLE001 - whatever it is that an engine took for an outcome
                self._end(errand, None, unreadable(handle, strange))
            except BaseException as fatal:  # unpickling runs foreign code
                self._end(errand, None, thread_died(handle, fatal))
                raise
            else:
                self._end(errand, value, error)
        elif errand.stopped and (handle.done() or handle.stop_error is not None):
            self._end(errand, None, None)  # by us, and why is known
        else:
            self._end(errand, None, (lost if outcome.started else no_worker)(handle, outcome.why))

    def _end(self, errand: Errand, value: Any, error: BaseException | None) -> None:
        self._mailbox.post(self._over, errand, value, error)


def _job(handle: Handle[Any]) -> Job:
    """Return a task as a job.

    Raises:
        Exception: Whatever pickling raises.
    """
    # A function that is more than a reference goes with its arguments.
    reference = reference_to(handle.fn)
    parts = [reference, *dump(handle.args if reference else (handle.fn, handle.args))]
    held = dict(handle.needs)
    return Job(
        task=handle.name,
        worker=handle.worker,
        cpu=held.get(CPU, 0) / CPU_UNIT,
        memory=held.get(MEMORY, 0),
        parts=[bytes(part) for part in parts],
    )
