"""An asyncio event loop on virtual time, deterministic by seed.

Rules:

1. Time is a whole number of nanoseconds and moves only when nothing can run. It
   then jumps straight to the earliest timer or end of a fake operation.
2. ``call_soon`` stays first in, first out, as asyncio promises. Among timers and
   fake operations that are due at the same nanosecond the seed chooses.
3. No threads, no sockets, no child processes, no waiting in real time. What
   needs them says so.
4. If nothing can ever run again, the loop raises and names the tasks that wait.
5. Equal seeds give equal traces: tasks and futures hash by their ordinal (sets
   of them are walked in the same order every time), and the cycle collector
   runs at fixed steps only. One hole is left to the caller: a set of *bare
   coroutines*, as ``asyncio.as_completed`` makes on Python 3.11, is ordered by
   address; pass tasks.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar, cast

from tenire.testing.executors import FakeExecutor
from tenire.testing.sim_parts import SimFuture, SimTask, SimUnhandledError
from tenire.testing.virtual_loop import VirtualLoop

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from types import TracebackType
    from typing import Self, TypeVarTuple, Unpack

    Ts = TypeVarTuple("Ts")

__all__ = ["SimLoop", "run"]

T = TypeVar("T")

_CLEANUP_STEPS = 100_000  # steps that cancelled tasks get to come to an end


class SimLoop(VirtualLoop):
    """The loop. As a context manager it also cleans up and reports what was lost.

    Example:
        >>> import asyncio
        >>> with SimLoop(seed=1) as loop:
        ...     loop.run_until_complete(asyncio.sleep(3600, "an hour later"))
        'an hour later'
        >>> loop.time()
        3600.0
    """

    def __init__(
        self,
        seed: int = 0,
        *,
        max_virtual_seconds: float | None = None,
        max_steps: int | None = 10_000_000,
        reading_takes: float = 0.0,
    ) -> None:
        """Make a loop at virtual time 0.

        Args:
            seed: Decides everything that is left open.
            max_virtual_seconds: Virtual time at which a run is broken off.
            max_steps: Callbacks after which a run is broken off.
            reading_takes: Seconds that pass at each reading of ``clock``. On a real machine
                time never stands still between a decision and the next question.
        """
        super().__init__(
            seed, max_virtual_seconds=max_virtual_seconds, max_steps=max_steps, reading_takes=reading_takes
        )
        self._executors = 0
        self._fake_executor: FakeExecutor | None = None
        self._unhandled: list[dict[str, Any]] = []

    # Executors

    def next_executor(self) -> int:
        """Return the ordinal of one more fake executor."""
        self._executors += 1
        return self._executors

    def set_default_executor(self, executor: Any) -> None:
        """Set the fake executor that stands in for real ones; a real one is ignored."""
        if isinstance(executor, FakeExecutor):
            self._fake_executor = executor

    def run_in_executor(self, executor: Any, func: Callable[[Unpack[Ts]], T], *args: *Ts) -> asyncio.Future[T]:
        """Run ``func`` on a fake executor: the one given, else the default one.

        A real executor is never used; the default fake one stands in for it.
        """
        self._check_closed()
        if not isinstance(executor, FakeExecutor):
            if self._fake_executor is None:
                self._fake_executor = FakeExecutor(self)
            executor = self._fake_executor
        return cast("asyncio.Future[T]", asyncio.wrap_future(executor.submit(func, *args), loop=self))

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """Take no more work on the default executor."""
        if self._fake_executor is not None:
            self._fake_executor.shutdown()

    # Errors and the end

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        """Keep an error that nobody handles; leaving the context manager raises it."""
        self._unhandled.append(context)

    def unhandled(self) -> list[dict[str, Any]]:
        """Return the errors that nobody handled, exceptions never retrieved included."""
        lost: list[SimTask[Any] | SimFuture[Any]] = [task for _, task in sorted(self._tasks.items())]
        lost += [future for _, future in sorted(self._failed.items())]
        for future in lost:
            if future.done() and not future.cancelled() and getattr(future, "_log_traceback", False):
                # exception() also marks it as retrieved: it is told once.
                error, what = future.exception(), type(future).__name__
                self._unhandled.append(
                    {"message": f"{what} exception was never retrieved", "exception": error, "future": future}
                )
        return list(self._unhandled)

    def trace_hash(self) -> str:
        """Return a digest of everything that ran; equal for equal seeds."""
        return self.trace.hexdigest()

    def __enter__(self) -> Self:
        """Enter; the loop runs only inside ``run_until_complete`` and its like."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Cancel what is left, close, and raise what nobody handled.

        Raises:
            SimUnhandledError: If an error was left unhandled, and none is raised already.
        """
        try:
            self._finish()
        except BaseException as ending:
            if error is None:
                ending.add_note(self._replay())
                raise
            error.add_note(f"besides, the loop could not be closed cleanly: {ending}")
        unhandled = self.unhandled()
        if error is not None:
            for context in unhandled:
                error.add_note(f"besides, unhandled: {context.get('message')}: {context.get('exception')!r}")
            error.add_note(self._replay())
        elif unhandled:
            raise SimUnhandledError(unhandled, self._replay())

    def _replay(self) -> str:
        return f"SimLoop(seed={self.seed}), step {self.steps}, virtual time {self.time()} s: the same seed replays it"

    def _finish(self) -> None:
        if self.is_closed():
            return
        try:
            self._limit_ns, self._limit_steps = None, self.steps + _CLEANUP_STEPS
            leftovers = self.pending_tasks()
            for task in leftovers:
                task.cancel()
            if leftovers:
                self.run_until_complete(asyncio.wait(leftovers))
            self.run_until_complete(self.shutdown_asyncgens())
        finally:
            self._heap.clear()
            self.close()


def run(
    main: Callable[[], Coroutine[Any, Any, T]] | Coroutine[Any, Any, T],
    *,
    seed: int = 0,
    max_virtual_seconds: float | None = None,
    max_steps: int | None = 10_000_000,
) -> T:
    """Run a coroutine to its end on a fresh virtual loop, and close everything.

    Args:
        main: A coroutine function without arguments, or a coroutine.
        seed: Decides everything that is left open.
        max_virtual_seconds: Virtual time at which the run is broken off.
        max_steps: Callbacks after which the run is broken off.

    Returns:
        What the coroutine returned.

    Raises:
        SimDeadlockError: If nothing could ever run again; names the waiting tasks.
        SimLimitError: If a limit was reached first.
        SimUnhandledError: If an exception was left that nobody handled or retrieved.

    Example:
        >>> async def main():
        ...     await asyncio.sleep(86_400)
        ...     return asyncio.get_running_loop().time()
        >>> run(main)
        86400.0
    """
    with SimLoop(seed, max_virtual_seconds=max_virtual_seconds, max_steps=max_steps) as loop:
        return loop.run_until_complete(main() if callable(main) else main)
