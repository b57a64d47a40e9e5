"""Executors without threads: the seed decides when a function finishes.

A function that is submitted runs on the loop's own thread, at the virtual
moment at which it finishes. Nothing waits in real time, and two runs with the
same seed finish everything in the same order.
"""

from __future__ import annotations

import concurrent.futures
import random
from collections import deque
from typing import TYPE_CHECKING, ParamSpec, Protocol, TypeVar

from tenire.testing.clock import to_ns

if TYPE_CHECKING:
    from collections.abc import Callable

    from tenire.testing.trace import Trace

__all__ = ["FakeExecutor", "FakeFuture", "LostWorkerError", "VirtualTime"]

P = ParamSpec("P")
T = TypeVar("T")


class LostWorkerError(RuntimeError):
    """The fake worker that ran a function went away (injected)."""


class VirtualTime(Protocol):
    """What a fake executor needs of its loop."""

    @property
    def seed(self) -> int:
        """The seed that decides everything."""
        ...

    @property
    def trace(self) -> Trace:
        """Where events are recorded."""
        ...

    def now_ns(self) -> int:
        """Return virtual nanoseconds."""
        ...

    def call_at_ns(self, when_ns: int, callback: Callable[[], object]) -> object:
        """Run ``callback`` at a virtual time; equal times in the seed's order."""
        ...

    def next_executor(self) -> int:
        """Return the ordinal of one more executor."""
        ...


class FakeFuture(concurrent.futures.Future[T]):
    """A future that refuses to block: nobody could ever finish it meanwhile."""

    def result(self, timeout: float | None = None) -> T:
        """Return the result of a future that is done.

        Raises:
            RuntimeError: If it is not done.
        """
        self._refuse_to_wait("result")
        return super().result(timeout)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Return the exception of a future that is done.

        Raises:
            RuntimeError: If it is not done.
        """
        self._refuse_to_wait("exception")
        return super().exception(timeout)

    def _refuse_to_wait(self, method: str) -> None:
        if not self.done():
            msg = f"{method}() of a pending FakeFuture would block its own loop for ever: await asyncio.wrap_future(…)"
            raise RuntimeError(msg)


class FakeExecutor(concurrent.futures.Executor):
    """A thread or process pool on virtual time.

    Each function takes a time drawn evenly from ``min_s … max_s``. As with real
    pools, a function that waits for a worker can be cancelled, one that runs
    cannot: it finishes, and its result is dropped.

    Example:
        >>> from tenire.testing import FakeExecutor, SimLoop
        >>> with SimLoop(seed=1) as loop:
        ...     pool = FakeExecutor(loop, min_s=1.0, max_s=1.0, workers=1)
        ...     async def main():
        ...         one, two = (loop.run_in_executor(pool, abs, n) for n in (-1, -2))
        ...         return await one, await two, loop.time()
        ...     loop.run_until_complete(main())
        (1, 2, 2.0)
    """

    def __init__(
        self,
        loop: VirtualTime,
        *,
        min_s: float = 0.001,
        max_s: float = 0.1,
        workers: int | None = None,
        lose: float = 0.0,
        fail: float = 0.0,
        error: Callable[[], BaseException] = LostWorkerError,
        name: str | None = None,
    ) -> None:
        """Make an executor on ``loop``.

        Args:
            loop: The virtual loop.
            min_s: Shortest virtual time a function takes, seconds.
            max_s: Longest virtual time a function takes, seconds.
            workers: How many functions run at once; ``None`` for no limit.
            lose: Probability that the worker is lost. Whether the function had
                run by then, and only its answer was lost, is drawn too.
            fail: Probability that the function is replaced by a failure.
            error: Makes the exception for ``fail``.
            name: For the trace; the default counts executors.

        Raises:
            ValueError: If a time, a probability or ``workers`` is impossible.
        """
        if not 0 <= min_s <= max_s:
            msg = f"expected 0 <= min_s <= max_s, got min_s={min_s!r}, max_s={max_s!r}"
            raise ValueError(msg)
        if not (0 <= lose <= 1 and 0 <= fail <= 1):
            msg = f"lose and fail are probabilities (0 … 1), got lose={lose!r}, fail={fail!r}"
            raise ValueError(msg)
        if workers is not None and workers < 1:
            msg = f"workers must be at least 1 or None, got {workers!r}"
            raise ValueError(msg)
        self._loop = loop
        self._min_ns, self._max_ns = to_ns(min_s), to_ns(max_s)
        self._workers = workers
        self._lose, self._fail, self._error = lose, fail, error
        ordinal = loop.next_executor()
        self.name = name or f"executor-{ordinal}"
        self._rng = random.Random(f"{loop.seed}/{ordinal}/{self.name}")
        self._waiting: deque[tuple[FakeFuture[object], str, Callable[[], object]]] = deque()
        self._running = 0
        self._submitted = 0
        self._extra_ns = 0
        self._closed = False

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> FakeFuture[T]:
        """Take a function; it runs when virtual time reaches its end.

        Raises:
            RuntimeError: After ``shutdown``.
        """
        if self._closed:
            msg = f"cannot submit to {self.name} after shutdown"
            raise RuntimeError(msg)
        self._submitted += 1
        label = f"{self.name}#{self._submitted}"
        future: FakeFuture[T] = FakeFuture()
        self._loop.trace.record(self._loop.now_ns(), "submit", label)
        self._waiting.append((future, label, lambda: fn(*args, **kwargs)))  # type: ignore[arg-type]
        self._start_waiting()
        return future

    def delay(self, seconds: float) -> None:
        """Make the next function that starts take ``seconds`` longer."""
        self._extra_ns += to_ns(seconds)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more functions. Never waits; what runs still finishes."""
        self._closed = True
        if cancel_futures:
            for future, _, _ in self._waiting:
                future.cancel()

    @property
    def running(self) -> int:
        """How many functions run now."""
        return self._running

    @property
    def waiting(self) -> int:
        """How many functions wait for a worker."""
        return sum(not future.cancelled() for future, _, _ in self._waiting)

    def _start_waiting(self) -> None:
        while self._waiting and (self._workers is None or self._running < self._workers):
            future, label, work = self._waiting.popleft()
            if not future.set_running_or_notify_cancel():
                continue
            self._running += 1
            takes = self._rng.randint(self._min_ns, self._max_ns) + self._extra_ns
            self._extra_ns = 0
            self._loop.call_at_ns(self._loop.now_ns() + takes, _Finish(self, future, label, work))

    def _finish(self, future: FakeFuture[object], label: str, work: Callable[[], object]) -> None:
        self._running -= 1
        fate, had_run = self._rng.random(), self._rng.random() < 0.5
        self._loop.trace.record(self._loop.now_ns(), "finish", label)
        try:
            if fate < self._lose:
                if had_run:
                    self._call(work)
                msg = f"{label} lost its worker (injected, seed {self._loop.seed})"
                raise LostWorkerError(msg)  # noqa: TRY301 - takes the road of a real failure
            if fate < self._lose + self._fail:
                raise self._error()  # noqa: TRY301 - takes the road of a real failure
            future.set_result(self._call(work))
        except BaseException as error:  # noqa: BLE001 - the future carries it, as in a real pool
            future.set_exception(error)
        finally:
            # The error's traceback holds this frame, and the future the error.
            del future
        self._start_waiting()

    def _call(self, work: Callable[[], object]) -> object:
        # A frame of its own: guards against blocking the loop allow what runs
        # below it, since on a real pool it would not be on the loop.
        return work()


class _Finish:
    """The end of one function, as a callback with a stable name for the trace."""

    __slots__ = ("_arguments", "_executor")

    def __init__(
        self, executor: FakeExecutor, future: FakeFuture[object], label: str, work: Callable[[], object]
    ) -> None:
        self._executor = executor
        self._arguments = (future, label, work)

    def __call__(self) -> None:
        self._executor._finish(*self._arguments)  # noqa: SLF001 - its own other half
