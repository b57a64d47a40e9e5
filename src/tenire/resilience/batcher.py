"""Single calls, gathered into batches: the shell of ``core.batching``.

1. A batch belongs to nobody. It runs in the context in which the batcher was made, goes on
   when some of its callers leave, and is cancelled with the last of them.
2. An error that may be one item's fault cuts the batch in two, until that item is alone and
   its caller gets the error. Any other error is the error of all.
3. What comes in the same turn of the loop goes together: batches start in the next one.
4. How a batch ended is told by a callback of its task: one that is cancelled before its
   first step never runs.
"""

from __future__ import annotations

import asyncio
import contextvars
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from tenire.core.batching import Batching
from tenire.errors import CallError, CallTimeoutError, ConfigError, RejectedError
from tenire.resilience.failures import may_be_an_item
from tenire.resilience.functions import is_async, name_of
from tenire.resilience.options import seconds_of
from tenire.resilience.tasks import end
from tenire.resilience.timing import time_of

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence
    from types import TracebackType
    from typing import Self

    from tenire.clock import Clock
    from tenire.core.batching import Batch

__all__ = ["Batcher", "BatcherStatistics"]

Item = TypeVar("Item")
Result = TypeVar("Result")

_NEVER = float("inf")


@dataclass(frozen=True, slots=True)
class BatcherStatistics:
    """What a batcher has done so far.

    Attributes:
        items: Items that came.
        batches: Batches that were begun.
        splits: Batches that failed and were cut in two.
        failed: Items whose callers got an error of the function.
        waiting: Items that wait now.
        running: Batches that run now.
        limit: Items that a batch may have now.
    """

    items: int
    batches: int
    splits: int
    failed: int
    waiting: int
    running: int
    limit: int


class _Entry:
    """One item and who waits for it."""

    __slots__ = ("future", "run", "value")

    def __init__(self, value: Any, future: asyncio.Future[Any]) -> None:
        self.value = value
        self.future = future
        self.run: _Run | None = None


class _Run:
    """One batch that runs."""

    __slots__ = ("batch", "task")

    def __init__(self, batch: Batch[_Entry], task: asyncio.Task[Any]) -> None:
        self.batch = batch
        self.task = task


class Batcher(Generic[Item, Result]):
    """Takes single items, and gives them to a function in batches.

    Example:
        >>> async def double(numbers: list[int]) -> list[int]:
        ...     return [2 * number for number in numbers]
        >>> async def main() -> int:
        ...     one = Batcher(double)
        ...     return await one(21)
        >>> asyncio.run(main())
        42

    Args:
        fn: Is given a list of items, and returns a sequence with one result for each.
        most: Items that a batch may have.
        max_delay: Seconds that an item may wait for others while a batch runs; while none
            runs, nothing waits.
        target: Seconds that a batch should take at the most: its size adapts to that.
        places: Batches that may run at the same time.
        weigh: Tells what an item weighs, for example its bytes.
        most_weight: What the items of a batch may weigh together; a heavier one goes alone.
        blame: Says whether an error may be one item's fault.
        clock: By default the running loop's time.

    Raises:
        ConfigError: If the function is not async.
        ValueError: If a number is impossible.
    """

    def __init__(
        self,
        fn: Callable[[list[Item]], Coroutine[Any, Any, Sequence[Result]]],
        *,
        most: int = 64,
        max_delay: float = 0.005,
        target: float | None = None,
        places: int = 1,
        weigh: Callable[[Item], int] | None = None,
        most_weight: int | None = None,
        blame: Callable[[BaseException], bool] = may_be_an_item,
        clock: Clock | None = None,
    ) -> None:
        self._name = name_of(fn)
        if not is_async(fn):
            message = f"a Batcher takes an async function of a list of items, got {self._name}"
            raise ConfigError(message, key="fn", hint="make it async, or give a lambda's work to an async function")
        self._fn = fn
        self._weigh = weigh
        self._core: Batching[_Entry] = Batching(
            most=most, max_delay=max_delay, target=target, places=places, most_weight=most_weight
        )
        self._blame = blame
        self._clock = clock
        self._context = contextvars.copy_context()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._runs: dict[asyncio.Task[Any], _Run] = {}
        self._soon = False
        self._closed = False
        self._items = self._batches = self._splits = self._failed = 0

    async def __call__(self, item: Item, *, deadline: float | None = None) -> Result:
        """Return the result for one item.

        Args:
            item: The item.
            deadline: Seconds to wait at the most. A batch starts early for it if need be.

        Raises:
            CallTimeoutError: If there was no result by then.
            RejectedError: If the batcher was closed.
            CallError: If the function returned something else than a result for each item.
            Exception: What the function raised.
        """
        seconds = seconds_of("deadline", deadline)
        if seconds is None:
            return await self._result(item, _NEVER)
        try:
            async with asyncio.timeout(seconds) as limit:
                return await self._result(item, seconds)
        except TimeoutError as error:
            if not limit.expired():
                raise
            message = f"{self._name} had no result for an item within its deadline of {seconds:g} s"
            raise CallTimeoutError(message, call=self._name) from error

    def statistics(self) -> BatcherStatistics:
        """Return what it has done so far."""
        core = self._core
        return BatcherStatistics(
            items=self._items,
            batches=self._batches,
            splits=self._splits,
            failed=self._failed,
            waiting=len(core),
            running=core.running,
            limit=core.limit,
        )

    async def aclose(self, *, cancel: bool = False) -> None:
        """Take no more items, and wait until all that came are done.

        Args:
            cancel: Whether to cancel them, and those who wait for them, instead.
        """
        self._closed = True
        while self._runs or len(self._core):
            if self._runs and cancel:
                await end(tuple(self._runs))
            elif self._runs:
                await asyncio.wait(tuple(self._runs))
            else:  # the next batch starts in the next turn of the loop
                await asyncio.sleep(0)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _result(self, item: Item, seconds: float) -> Result:
        loop = asyncio.get_running_loop()
        self._use(loop)
        entry = _Entry(item, loop.create_future())
        now = time_of(self._clock)()
        self._items += 1
        self._core.add(entry, now, now + seconds, 0 if self._weigh is None else self._weigh(item))
        self._start_soon()
        try:
            return cast("Result", await entry.future)
        except asyncio.CancelledError:
            await self._drop(entry)
            raise

    def _use(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._closed:
            message = f"the batcher of {self._name} was closed and takes no more items"
            raise RejectedError(message)
        if self._loop is loop:
            return
        if self._runs and self._loop is not None and not self._loop.is_closed():
            message = f"the batcher of {self._name} is in use on another event loop"
            raise ConfigError(message, key="Batcher", hint="make one for each loop")
        if self._runs:  # of a loop that was closed: what waited there is gone
            message = f"the batcher of {self._name} was left in the middle of a batch by a loop that was closed"
            raise ConfigError(message, key="Batcher", hint="make a new one")
        self._loop = loop

    def _start_soon(self) -> None:
        if not self._soon:
            self._soon = True
            cast("asyncio.AbstractEventLoop", self._loop).call_soon(self._start)

    def _start(self) -> None:
        """Start the batches that are due, and see when the next one is."""
        loop, core = cast("asyncio.AbstractEventLoop", self._loop), self._core
        now = time_of(self._clock)()
        self._soon = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while (batch := core.take(now)) is not None:
            self._batches += 1
            items = [entry.value for entry in batch.items]
            task = loop.create_task(self._fn(items), name=f"batch of {self._name}", context=self._context.copy())
            run = self._runs[task] = _Run(batch, task)
            for entry in batch.items:
                entry.run = run
            task.add_done_callback(self._ended)
        due = core.due_at()
        if due < _NEVER:
            self._timer = loop.call_later(due - now, self._start)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        batch = self._runs.pop(task).batch
        now = time_of(self._clock)()
        for entry in batch.items:
            entry.run = None
        if task.cancelled():
            self._core.give_up(batch)
            for entry in batch.items:
                entry.future.cancel()
        else:
            error = task.exception() or self._misfit(batch, task.result())
            if error is None:
                self._core.end(batch, now)
                for entry, result in zip(batch.items, task.result(), strict=True):
                    if not entry.future.done():
                        entry.future.set_result(result)
            else:
                self._fail(batch, error)
        # After the callbacks of those that have their results now: what they ask next comes along.
        self._start_soon()

    def _fail(self, batch: Batch[_Entry], error: BaseException) -> None:
        if not self._blame(error):
            self._core.give_up(batch)
            guilty = batch.items
        else:
            alone = self._core.fail(batch, [entry for entry in batch.items if not entry.future.done()])
            self._splits += alone is None
            guilty = [] if alone is None else [alone]
        for entry in guilty:
            if not entry.future.done():
                self._failed += 1
                entry.future.set_exception(error)

    def _misfit(self, batch: Batch[_Entry], results: Any) -> CallError | None:
        try:
            number = len(results)
        except TypeError:
            message = f"{self._name} must return a sequence with a result for each item, got {type(results).__name__}"
            return CallError(message, call=self._name, tries=1)
        if number == len(batch.items):
            return None
        message = f"{self._name} must return a result for each of {len(batch.items)} items, got {number}"
        return CallError(message, call=self._name, tries=1)

    async def _drop(self, entry: _Entry) -> None:
        """Forget an item whose caller has left; the last one of a batch ends it."""
        run = entry.run
        if run is None:
            self._core.remove(entry)
            self._start_soon()
        elif all(other.future.done() for other in run.batch.items):
            await end((run.task,))
