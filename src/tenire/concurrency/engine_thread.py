"""An engine on a loop in a thread of its own, for programs without a loop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from typing import TYPE_CHECKING

from tenire.concurrency.blocking import hurry
from tenire.concurrency.loops.patience import ROUND_S
from tenire.concurrency.termination import TERMINATED, Termination
from tenire.concurrency.waiting import wait_set

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from tenire.concurrency.manager import ConcurrencyManager

__all__ = ["EngineThread"]

_MEANWHILE_S = 0.016


class EngineThread:
    """A context manager around an engine: starts its thread, and ends it.

    Leaving the block waits for what was submitted. Leaving it by an exception, Ctrl-C
    among them, cancels that; so does Ctrl-C while it is being left. A second one leaves at
    once: the thread ends by itself, or with the program. A loop that does not come round is
    given up with its thread. A block that is never left is closed in the same way when the
    interpreter exits.

    Args:
        manager: The engine, which has not been entered.

    Attributes:
        meanwhile: Called again and again by the thread that leaves the block, while it
            waits: work may wait for what is to be done there.
    """

    meanwhile: Callable[[], object] | None = None

    def __init__(self, manager: ConcurrencyManager) -> None:
        self._manager = manager
        self._entered = threading.Event()
        self._cancel = False
        self._failure: BaseException | None = None
        self._leaving: asyncio.Task[None] | None = None
        self._termination = Termination()

    def __enter__(self) -> ConcurrencyManager:
        self._pid = os.getpid()
        self._thread = thread = self._manager.loops.own_thread()
        thread.at_exit = self._abort
        thread.start(self._live)
        try:
            wait_set(self._entered)
            if self._failure is None:
                self._termination.begin()
        except BaseException:  # Ctrl-C while it starts
            self._abort()
            self._termination.end()
            raise
        if self._failure is not None:
            thread.join()
            raise self._failure
        return self._manager

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if os.getpid() != self._pid:  # in a fork, which has none of the threads that this would wait for
            return
        thread = self._thread
        try:
            if error is not None:
                self._cancel = True
            thread.stop()
            if self._cancel:
                self._end(self.meanwhile)
            else:  # what was submitted is waited for, also where it blocks the loop
                while not thread.join(None if self.meanwhile is None else _MEANWHILE_S):
                    if self.meanwhile is not None:
                        self.meanwhile()
        except BaseException as other:
            if thread.is_alive():  # Ctrl-C while waiting: stop the work as well, then go
                self._abort()
                if _is_interrupt(error) and not isinstance(other, Exception):  # the second one: go at once
                    thread.leave()
                else:
                    self._end_or_leave()
            raise
        finally:
            self._termination.end()

    def _end_or_leave(self) -> None:
        """Wait until the thread has ended, but leave at Ctrl-C, which is the second one."""
        try:
            self._end()
        except (KeyboardInterrupt, SystemExit):
            self._thread.leave()
            raise

    def _end(self, meanwhile: Callable[[], object] | None = None) -> None:
        """Wait until the thread, which cancels everything, has ended, or is given up."""
        every = ROUND_S if meanwhile is None else _MEANWHILE_S
        if not self._thread.end(meanwhile, every=every) and self._entered.is_set() and self._failure is None:
            self._manager.async_tasks.refuse("the engine was given up with the thread of its loop")

    def _abort(self) -> None:
        """Cancel everything and end; from any thread."""
        self._cancel = True
        self._thread.interrupt(self._cancel_all)
        self._thread.stop()
        if os.getpid() == self._pid:
            # Also when it takes no calls any more, and only its records are still being written.
            with contextlib.suppress(RuntimeError):  # its loop is closed
                self._thread.loop.call_soon_threadsafe(hurry)

    def _cancel_all(self) -> None:
        if self._entered.is_set() and self._failure is None:
            self._manager.orchestrator.cancel_all()
            if self._leaving is not None:
                self._leaving.cancel()  # it may wait for a task that goes on though it was cancelled

    async def _live(self) -> None:
        manager = self._manager
        try:
            await manager.__aenter__()
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that enters
            self._failure = error
            return
        finally:
            self._entered.set()
        try:
            await self._thread.stopping.wait()
        except asyncio.CancelledError:  # an interrupt went through the loop
            self._cancel = True
            raise
        finally:
            self._leaving = asyncio.current_task()
            try:
                await manager.shutdown(cancel=self._cancel)
            except asyncio.CancelledError:
                if not self._cancel:
                    raise


def _is_interrupt(error: BaseException | None) -> bool:
    """Return whether an exception is what Ctrl-C or SIGTERM raises on a thread without a loop."""
    return isinstance(error, KeyboardInterrupt) or (isinstance(error, SystemExit) and error.code == TERMINATED)
