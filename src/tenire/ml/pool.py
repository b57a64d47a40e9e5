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
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from tenire.concurrency.outside import waits_outside
from tenire.concurrency.sendable import check_sendable
from tenire.concurrency.unbroken import unbroken
from tenire.core.replicas import Replicas
from tenire.core.tasks import Priority
from tenire.errors import ConfigError, PredictionError, RejectedError, WorkerDiedError
from tenire.ml.copying import Copying
from tenire.ml.pooled_model import ModelStatistics, PooledModel, blames_an_item
from tenire.ml.residence import Residence
from tenire.ml.serving import ask
from tenire.resilience.batcher import Batcher

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable
    from types import TracebackType
    from typing import Self

    from tenire.concurrency.manager import ConcurrencyManager

__all__ = ["ModelPool"]

_USUAL_MEMORY = 256 << 20
"""Bytes that a model of which nothing is known is thought to take."""

_WINDOW = 8
"""Batches' worth of items that ``map`` sorts by weight together."""


class ModelPool:
    """The models of an engine; an async context manager.

    Args:
        manager: The engine.
        memory: Bytes that all models may take together; ``None``: half of what the engine shares out.
        pipeline: Whose share the work is charged to.
    """

    def __init__(self, manager: ConcurrencyManager, *, memory: int | None = None, pipeline: str = "models") -> None:
        room = memory or max(1, manager.data_manager.capacity // 2)
        self._residence = Residence(manager, memory=room, pipeline=pipeline)
        self._copying = Copying(self._residence, manager.control)
        self._models: dict[str, PooledModel] = {}
        self._closed = False

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
        copies = [copy for model in self._models.values() for copy in model.copies]
        for batcher in [each for copy in copies for each in copy.batchers.values()]:
            await batcher.aclose(cancel=cancel)

    async def _end(self) -> None:
        await self._copying.aclose()
        await self._end_batches(cancel=True)
        await self._residence.aclose()

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
        core = Replicas(most=max(1, min(replicas, int(self._residence.cores // threads))), batch=most)
        first = PooledModel(name, factory, memory or _USUAL_MEMORY, threads, pinned, options, core)
        first.copies.append(first)
        self._models[name] = first
        self._residence.enter(first)

    async def warm_up(self, name: str) -> None:
        """Have a model loaded."""
        model = self._model(name)
        await self._residence.use(model)
        self._residence.unuse(model)

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
            with self._copying.given(model) as copy, nullcontext() if copy.worker else waits_outside(copy.told):
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
        return {name: model.statistics(self._residence.room) for name, model in self._models.items()}

    # -- batches -------------------------------------------------------------------------

    def _model(self, name: str) -> PooledModel:
        if self._closed:
            message = "the pool of models was closed and takes no more items"
            raise RejectedError(message)
        model = self._models.get(name)
        if model is None:
            message = f"there is no model {name!r} in this pool"
            raise ConfigError(message, key="name", hint=f"models: {', '.join(self._models) or 'none; add one first'}")
        return model

    def _batcher(self, model: PooledModel, priority: Priority) -> Batcher[Any, Any]:
        batcher = model.batchers.get(priority)
        if batcher is None:

            async def batch(items: list[Any]) -> list[Any]:
                return await self._ask(model, items, priority)

            batcher = model.batchers[priority] = Batcher(batch, blame=blames_an_item, **model.options)
        return batcher

    async def _ask(self, model: PooledModel, items: list[Any], priority: Priority) -> list[Any]:
        await self._residence.use(model)
        try:
            handle = self._residence.submit(model, ask, items, priority=priority)
            try:
                results: list[Any] = await handle
            finally:
                handle.cancel()  # of a batch that nobody waits for any more
            return results
        finally:
            self._residence.unuse(model)
