"""Models that are loaded once, each in a worker process of its own, and asked in batches.

::

    predict ──► Batcher of its class ──► a task with the model's slot and cores ──► worker
                 count, weight, time        the most urgent batch goes next

1. Memory is asked for before a model is loaded, and measured after. Where not all models fit,
   the one that was used longest ago goes, unless it is pinned or at work (``core.model_room``).
2. A model works on one batch at a time, and takes so many cores as it has threads: together
   they never have more than the engine gives.
3. Urgent items have batches of their own, and go between two batches of others.
4. A batch that fails, takes its worker along, or more memory than there is, is cut in two until
   the item that does it is alone; its caller gets the error.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any

from tenire.concurrency.sendable import check_sendable
from tenire.concurrency.unbroken import unbroken
from tenire.core.admission import CPU
from tenire.core.model_room import ModelRoom
from tenire.core.tasks import CPU_UNIT, Priority, Resources
from tenire.errors import ConfigError, PredictionError, RejectedError, WorkerDiedError
from tenire.ml.serving import ask, load
from tenire.resilience.batcher import Batcher
from tenire.resilience.failures import may_be_an_item

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable
    from types import TracebackType
    from typing import Self

    from tenire.concurrency.handle import Handle
    from tenire.concurrency.manager import ConcurrencyManager

__all__ = ["ModelPool", "ModelStatistics"]

_USUAL_MEMORY = 256 << 20
"""Bytes that a model of which nothing is known is thought to take."""

_WINDOW = 8
"""Batches' worth of items that ``map`` sorts by weight together."""

_numbers = count(1)


@dataclass(frozen=True, slots=True)
class ModelStatistics:
    """What one model has done so far.

    Attributes:
        loaded: Whether it is loaded now.
        loads: How often it was loaded.
        memory: Bytes that it takes, as measured, or as thought before it was loaded.
        items: Items that it was asked about.
        batches: Batches that these came in.
        splits: Batches that failed and were cut in two.
    """

    loaded: bool
    loads: int
    memory: int
    items: int
    batches: int
    splits: int


@dataclass(slots=True)
class _Model:
    name: str
    factory: Callable[[], Any]
    memory: int
    threads: int
    pinned: bool
    options: dict[str, Any]
    batchers: dict[Priority, Batcher[Any, Any]] = field(default_factory=dict)
    loading: asyncio.Lock = field(default_factory=asyncio.Lock)
    worker: str = ""
    held: AsyncExitStack = field(default_factory=AsyncExitStack)
    loads: int = 0


class ModelPool:
    """The models of an engine; an async context manager.

    Args:
        manager: The engine.
        memory: Bytes that all models may take together; ``None``: half of what the engine shares out.
        pipeline: Whose share the work is charged to.
    """

    def __init__(self, manager: ConcurrencyManager, *, memory: int | None = None, pipeline: str = "models") -> None:
        self._manager = manager
        self._room = ModelRoom(memory or max(1, manager.data_manager.capacity // 2))
        self._pipeline = pipeline
        self._models: dict[str, _Model] = {}
        self._freed = asyncio.Event()
        self._closed = self._over = False
        capacity = manager.orchestrator.scheduler.admission.capacity[CPU]
        self._cores = capacity / CPU_UNIT

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed = True
        try:
            await self._end_batches(cancel=error is not None)
        finally:
            await unbroken(self._end())

    async def _end_batches(self, *, cancel: bool) -> None:
        for batcher in [each for model in self._models.values() for each in model.batchers.values()]:
            await batcher.aclose(cancel=cancel)

    async def _end(self) -> None:
        await self._end_batches(cancel=True)
        self._over = True  # for who loads a model yet without a batch
        self._freed.set()
        async with AsyncExitStack() as leaving:
            for model in self._models.values():
                self._room.forget(model.name)
                leaving.push_async_callback(self._let_go(model).aclose)

    def add(
        self,
        name: str,
        factory: Callable[[], Any],
        *,
        memory: int | None = None,
        threads: int = 1,
        pinned: bool = False,
        most: int = 64,
        max_delay: float = 0.005,
        target: float | None = None,
        weigh: Callable[[Any], int] | None = None,
        most_weight: int | None = None,
    ) -> None:
        """Make a model known; it is loaded when it is first asked.

        Args:
            name: What it is called here.
            factory: Importable; returns, in the worker, an object with ``predict``, or a function: either
                takes a list of items and returns a result for each.
            memory: Bytes that it is thought to take.
            threads: Threads and cores that a batch takes.
            pinned: Whether it stays once it is loaded.
            most: Items of a batch.
            max_delay: Seconds that an item may wait for others while a batch runs.
            target: Seconds that a batch should take at the most: its size adapts to that.
            weigh: Tells what an item weighs, for example its tokens.
            most_weight: What the items of a batch may weigh together.

        Raises:
            ConfigError: If the name is taken, or the factory cannot be sent to a worker.
        """
        if name in self._models:
            message = f"there is a model {name!r} already"
            raise ConfigError(message, key="name", hint="take another name")
        if threads < 1:
            message = f"threads must be a positive whole number, got {threads!r}"
            raise ConfigError(message, key="threads")
        check_sendable(factory)
        options = {
            "most": most, "max_delay": max_delay, "target": target, "weigh": weigh, "most_weight": most_weight,
        }  # fmt: skip
        size = memory or _USUAL_MEMORY
        self._models[name] = _Model(name, factory, size, threads, pinned, options)
        self._manager.orchestrator.register_resource(self._slot(name), 1)

    async def warm_up(self, name: str) -> None:
        """Have a model loaded."""
        model = self._model(name)
        await self._use(model)
        self._unuse(model)

    async def predict(
        self, name: str, item: Any, *, priority: Priority | str = Priority.NORMAL, deadline: float | None = None
    ) -> Any:
        """Return a model's result for one item.

        Args:
            name: The model.
            item: The item.
            priority: Its class: items of one class share batches.
            deadline: Seconds to wait at the most.

        Raises:
            PredictionError: If the model cannot say anything about this item.
            CallTimeoutError: If there was no result by the deadline.
            Exception: What the model raised about it.
        """
        model = self._model(name)
        batcher = self._batcher(model, Priority.parse(priority) if isinstance(priority, str) else priority)
        try:
            return await batcher(item, deadline=deadline)
        except (WorkerDiedError, MemoryError) as error:
            message = f"the model {name} takes its worker along, or all memory, for one item"
            raise PredictionError(message, model=name, hint="leave that item out, or make it smaller") from error

    async def map(
        self, name: str, items: Iterable[Any], *, priority: Priority | str = Priority.LOW
    ) -> AsyncIterator[tuple[int, Any]]:
        """Yield place and result, or error, of many items, in any order; one bad item does not stop the rest.

        Items of about the same weight share batches.

        Args:
            name: The model.
            items: The items.
            priority: Their class.
        """
        model = self._model(name)
        weigh = model.options["weigh"] or (lambda item: len(item) if hasattr(item, "__len__") else 0)
        window: list[tuple[int, Any]] = []
        size = model.options["most"] * _WINDOW
        for place, item in enumerate(items):
            window.append((place, item))
            if len(window) == size:
                async for found in self._mapped(name, sorted(window, key=lambda pair: weigh(pair[1])), priority):
                    yield found
                window = []
        async for found in self._mapped(name, sorted(window, key=lambda pair: weigh(pair[1])), priority):
            yield found

    async def _mapped(
        self, name: str, window: list[tuple[int, Any]], priority: Priority | str
    ) -> AsyncIterator[tuple[int, Any]]:
        async def one(place: int, item: Any) -> tuple[int, Any]:
            try:
                return place, await self.predict(name, item, priority=priority)
            except Exception as error:  # noqa: BLE001 - it is the answer to this item
                return place, error

        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(one(place, item)) for place, item in window]
        for task in asked:
            yield task.result()

    def statistics(self) -> dict[str, ModelStatistics]:
        """Return what each model has done so far."""
        found = {}
        for name, model in self._models.items():
            counts = [batcher.statistics() for batcher in model.batchers.values()]
            found[name] = ModelStatistics(
                loaded=name in self._room, loads=model.loads, memory=model.memory,
                items=sum(each.items for each in counts), batches=sum(each.batches for each in counts),
                splits=sum(each.splits for each in counts),
            )  # fmt: skip
        return found

    # -- batches -------------------------------------------------------------------------

    def _model(self, name: str) -> _Model:
        self._require_open(closed=self._closed)
        model = self._models.get(name)
        if model is None:
            message = f"there is no model {name!r} in this pool"
            raise ConfigError(message, key="name", hint=f"models: {', '.join(self._models) or 'none; add one first'}")
        return model

    @staticmethod
    def _require_open(*, closed: bool) -> None:
        if closed:
            message = "the pool of models was closed and takes no more items"
            raise RejectedError(message)

    def _batcher(self, model: _Model, priority: Priority) -> Batcher[Any, Any]:
        batcher = model.batchers.get(priority)
        if batcher is None:

            async def batch(items: list[Any]) -> list[Any]:
                return await self._ask(model, items, priority)

            batcher = model.batchers[priority] = Batcher(batch, blame=_blames_an_item, **model.options)
        return batcher

    async def _ask(self, model: _Model, items: list[Any], priority: Priority) -> list[Any]:
        await self._use(model)
        try:
            handle = self._submit(model, ask, items, priority=priority)
            try:
                results: list[Any] = await handle
            finally:
                handle.cancel()  # of a batch that nobody waits for any more
            return results
        finally:
            self._unuse(model)

    def _submit(self, model: _Model, fn: Callable[..., Any], *args: Any, priority: Priority) -> Handle[Any]:
        call = partial(fn, model.name, model.factory, model.threads)
        needs = Resources(cpu=min(model.threads, self._cores), other={self._slot(model.name): 1})
        return self._manager.submit(
            call, *args, on="process", worker=model.worker, needs=needs, priority=priority, pipeline=self._pipeline,
            name=f"{model.name}: {fn.__name__}",
        )  # fmt: skip

    # -- loading ---------------------------------------------------------------------------

    async def _use(self, model: _Model) -> None:
        """Have a model loaded, and kept until ``_unuse``."""
        async with model.loading:
            if model.name in self._room:
                self._room.use(model.name)
            else:
                await self._load(model)

    def _unuse(self, model: _Model) -> None:
        self._room.done(model.name)
        self._freed.set()

    async def _load(self, model: _Model) -> None:
        """Load a model; it is at work from the moment that it has its room, or the next one would take that."""
        while (going := self._room.admit(model.name, model.memory, pinned=model.pinned)) is None:
            self._freed.clear()
            await self._freed.wait()
            self._require_open(closed=self._over)
        self._room.use(model.name)
        try:
            async with AsyncExitStack() as leaving:
                # All of them at once: one that is asked for again meanwhile is another worker's.
                for name in going:
                    leaving.push_async_callback(self._let_go(self._models[name]).aclose)
            async with AsyncExitStack() as held:
                permit = self._manager.orchestrator.permit(
                    Resources(memory=model.memory), pipeline=self._pipeline, name=f"{model.name}: memory", detached=True
                )
                await held.enter_async_context(permit)
                model.worker = f"{model.name}-{next(_numbers)}"
                await self._submit(model, load, priority=Priority.HIGH)
                self._require_open(closed=self._over)
                model.held = held.pop_all()
        except BaseException:
            self._room.forget(model.name)
            self._freed.set()
            await self._let_go(model).aclose()
            raise
        model.loads += 1
        measured = self._manager.thread_pool.statistics().memory.get(model.worker, 0)
        if measured:
            model.memory = measured
            self._room.measured(model.name, measured)

    def _let_go(self, model: _Model) -> AsyncExitStack:
        """End the worker of a model; closing what is returned gives its memory back."""
        if model.worker:
            self._manager.thread_pool.end_worker(model.worker)
            model.worker = ""
        held, model.held = model.held, AsyncExitStack()
        return held

    @staticmethod
    def _slot(name: str) -> str:
        return f"model {name}"


def _blames_an_item(error: BaseException) -> bool:
    return isinstance(error, WorkerDiedError | MemoryError | PredictionError) or may_be_an_item(error)
