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
5. A model may have copies, each in a process of its own: one more is loaded while there is work for
   it and memory that nobody wants, and goes when it has none (``core.replicas``).
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack, contextmanager
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any

from tenire.concurrency.sendable import check_sendable
from tenire.concurrency.unbroken import unbroken
from tenire.core.admission import CPU, MEMORY
from tenire.core.model_room import ModelRoom
from tenire.core.replicas import IDLE_S, Replicas
from tenire.core.tasks import CPU_UNIT, Priority, Resources
from tenire.errors import ConfigError, PredictionError, RejectedError, WorkerDiedError
from tenire.ml.pooled_model import ModelStatistics, PooledModel, blames_an_item
from tenire.ml.serving import ask, load
from tenire.resilience.batcher import Batcher
from tenire.resilience.tasks import end

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator
    from types import TracebackType
    from typing import Self

    from tenire.concurrency.handle import Handle
    from tenire.concurrency.manager import ConcurrencyManager
    from tenire.concurrency.periodic import Periodic

__all__ = ["ModelPool"]

_log = logging.getLogger("tenire.ml")

_USUAL_MEMORY = 256 << 20
"""Bytes that a model of which nothing is known is thought to take."""

_WINDOW = 8
"""Batches' worth of items that ``map`` sorts by weight together."""

_numbers = count(1)


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
        self._models: dict[str, PooledModel] = {}
        self._freed = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._looking: Periodic | None = None
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
        if self._looking is not None:
            self._looking.cancel()
        await end(tuple(self._tasks))
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
        replicas: int = 1,
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
            replicas: Copies that it may have, as load wants them; no more than there are cores for.
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
        for key, number in (("threads", threads), ("replicas", replicas), ("most", most)):
            if number < 1:
                message = f"{key} must be a positive whole number, got {number!r}"
                raise ConfigError(message, key=key)
        check_sendable(factory)
        options = {
            "most": most, "max_delay": max_delay, "target": target, "weigh": weigh, "most_weight": most_weight,
        }  # fmt: skip
        core = Replicas(most=max(1, min(replicas, int(self._cores // threads))), batch=most)
        first = PooledModel(name, factory, memory or _USUAL_MEMORY, threads, pinned, options, core)
        first.copies.append(first)
        self._models[name] = first
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
        urgency = Priority.parse(priority) if isinstance(priority, str) else priority
        try:
            with self._copy(model) as copy:
                return await self._batcher(copy, urgency)(item, deadline=deadline)
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
        return {name: model.statistics(self._room) for name, model in self._models.items() if model.copies}

    # -- batches -------------------------------------------------------------------------

    def _model(self, name: str) -> PooledModel:
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

    def _batcher(self, model: PooledModel, priority: Priority) -> Batcher[Any, Any]:
        batcher = model.batchers.get(priority)
        if batcher is None:

            async def batch(items: list[Any]) -> list[Any]:
                return await self._ask(model, items, priority)

            batcher = model.batchers[priority] = Batcher(batch, blame=blames_an_item, **model.options)
        return batcher

    async def _ask(self, model: PooledModel, items: list[Any], priority: Priority) -> list[Any]:
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

    def _submit(self, model: PooledModel, fn: Callable[..., Any], *args: Any, priority: Priority) -> Handle[Any]:
        call = partial(fn, model.name, model.factory, model.threads)
        needs = Resources(cpu=min(model.threads, self._cores), other={self._slot(model.name): 1})
        return self._manager.submit(
            call, *args, on="process", worker=model.worker, needs=needs, priority=priority, pipeline=self._pipeline,
            name=f"{model.name}: {fn.__name__}",
        )  # fmt: skip

    # -- copies ----------------------------------------------------------------------------

    @contextmanager
    def _copy(self, model: PooledModel) -> Iterator[PooledModel]:
        """Give an item to a copy of a model for as long as the block takes."""
        replicas, now = model.replicas, asyncio.get_running_loop().time
        number = replicas.begin(now())
        replicas.loaded_in(model.load_s)
        if replicas.wants_more(now()):
            self._begin(self._more(model))
        try:
            yield model.copies[number]
        finally:
            replicas.end(number, now())

    async def _more(self, model: PooledModel) -> None:
        """Load one more copy, if there is memory for it that nobody wants."""
        replicas, number = model.replicas, len(model.replicas)
        free = self._manager.orchestrator.scheduler.admission.free[MEMORY]
        if self._room.used + model.memory > self._room.capacity or free < model.memory:
            replicas.no_more()
            return
        if number == len(model.copies):
            name = f"{model.name} ({number + 1})"
            model.copies.append(model.copy(name))
            self._models[name] = model.copies[number]
            self._manager.orchestrator.register_resource(self._slot(name), 1)
        copy = model.copies[number]
        try:
            await self._use(copy)
        except Exception:  # noqa: BLE001 - the copies that there are go on without it
            _log.debug("one more %s could not be loaded", model.name, exc_info=True)
            replicas.no_more()
            return
        self._unuse(copy)
        replicas.more(asyncio.get_running_loop().time())
        if self._looking is None:
            self._looking = self._manager.control.every(IDLE_S / 3, self._fewer)

    def _fewer(self) -> None:
        """Drop the copies that have nothing to do, or bring nothing."""
        now = asyncio.get_running_loop().time()
        for model in [each for each in self._models.values() if each.copies]:
            if (number := model.replicas.going(now)) is not None:
                self._begin(self._drop(model, number))

    async def _drop(self, model: PooledModel, number: int) -> None:
        copy = model.copies[number]
        async with copy.loading:
            if number < len(model.replicas):  # it was wanted again before it went
                return
            self._room.forget(copy.name)
            self._freed.set()
            await self._let_go(copy).aclose()

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # -- loading ---------------------------------------------------------------------------

    async def _use(self, model: PooledModel) -> None:
        """Have a model loaded, and kept until ``_unuse``."""
        async with model.loading:
            if model.name in self._room:
                self._room.use(model.name)
            else:
                await self._load(model)

    def _unuse(self, model: PooledModel) -> None:
        self._room.done(model.name)
        self._freed.set()

    async def _load(self, model: PooledModel) -> None:
        """Load a model; it is at work from the moment that it has its room, or the next one would take that."""
        while (going := self._room.admit(model.name, model.memory, pinned=model.pinned)) is None:
            self._freed.clear()
            await self._freed.wait()
            self._require_open(closed=self._over)
        self._room.use(model.name)
        began = asyncio.get_running_loop().time()
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
        model.load_s = asyncio.get_running_loop().time() - began
        measured = self._manager.thread_pool.statistics().memory.get(model.worker, 0)
        if measured:
            model.memory = measured
            self._room.measured(model.name, measured)

    def _let_go(self, model: PooledModel) -> AsyncExitStack:
        """End the worker of a model; closing what is returned gives its memory back."""
        if model.worker:
            self._manager.thread_pool.end_worker(model.worker)
            model.worker = ""
        held, model.held = model.held, AsyncExitStack()
        return held

    @staticmethod
    def _slot(name: str) -> str:
        return f"model {name}"
