"""Which models of a pool are loaded: room and memory before, a worker process each, what they took after.

::

    use ──► loaded? ──yes──────────────────────────────────────────────────────────► at work ──► unuse
                └─no─► room in the pool ──► memory of the engine, and the GPU's ──► worker ──┘

1. A model that has its room is at work from that moment on, or the next one would take it.
2. One that takes more memory than the engine shares out is loaded when nobody else has any: alone, rather
   than never. What it takes more than was thought is admitted afterwards, if it is free.
3. What was admitted for a model is given back once its worker is told to end.
4. Where tasks wait for memory, models go that did nothing for ``SPARED_S``; while the machine is
   about to swap, all that do nothing. They are loaded again when they are asked.
"""

from __future__ import annotations

import asyncio
import contextlib
from contextlib import AsyncExitStack
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any

from tenire.core.admission import CPU, MEMORY
from tenire.core.model_room import ModelRoom
from tenire.core.tasks import CPU_UNIT, Priority, Resources
from tenire.errors import RejectedError
from tenire.ml.gpu_memory import GpuMemory
from tenire.ml.serving import load

if TYPE_CHECKING:
    from collections.abc import Callable, Container

    from tenire.concurrency.handle import Handle
    from tenire.concurrency.manager import ConcurrencyManager
    from tenire.concurrency.periodic import Periodic
    from tenire.concurrency.permits import Permit
    from tenire.ml.pooled_model import PooledModel

__all__ = ["SPARED_S", "Residence"]

SPARED_S = 2.0
"""Seconds after its last use for which a model is kept though tasks wait for memory."""

_EVERYTHING = 1 << 62

_PATIENCE_S = 1.0
"""For a permit for bytes that were free a moment ago."""

_numbers = count(1)


class Residence:
    """Loads the models of one pool, and lets them go.

    Args:
        manager: The engine.
        memory: Bytes that all of them may take together.
        pipeline: Whose share the work is charged to.

    Attributes:
        room: Decides which of them are loaded.
        cores: What a model can have at the most.
    """

    def __init__(self, manager: ConcurrencyManager, *, memory: int, pipeline: str) -> None:
        self.room = ModelRoom(memory)
        self.cores = manager.orchestrator.scheduler.admission.capacity[CPU] / CPU_UNIT
        self._manager = manager
        self._pipeline = pipeline
        self._gpu = GpuMemory(manager, pipeline=pipeline)
        self._models: dict[str, PooledModel] = {}
        self._freed = asyncio.Event()
        self._over = False
        self._looking: Periodic | None = None
        self._leaving: set[asyncio.Task[None]] = set()
        self._take_back = manager.control.on_level(enter=self._at_level)

    def enter(self, model: PooledModel) -> None:
        """Make a model known, which is not loaded yet."""
        self._models[model.name] = model
        self._manager.orchestrator.register_resource(_slot(model), 1)

    def fits(self, model: PooledModel) -> bool:
        """Return whether there is memory for one more like it that nobody else has."""
        free = self._manager.orchestrator.scheduler.admission.free[MEMORY]
        return self.room.used + model.memory <= self.room.capacity and free >= model.memory

    async def use(self, model: PooledModel) -> None:
        """Have a model loaded, and kept until ``unuse``.

        Raises:
            ModelFileError: If it cannot be loaded.
            RejectedError: If the pool was closed meanwhile.
        """
        async with model.loading:
            if model.name in self.room:
                self.room.use(model.name)
            else:
                await self._load(model)

    def unuse(self, model: PooledModel) -> None:
        """End one use of a model."""
        self.room.done(model.name)
        model.used_at = asyncio.get_running_loop().time()
        self._freed.set()

    def submit(self, model: PooledModel, fn: Callable[..., Any], *args: Any, priority: Priority) -> Handle[Any]:
        """Have the model's worker call ``fn(name, factory, threads, *args)``."""
        call = partial(fn, model.name, model.placed(), model.threads)
        needs = Resources(cpu=min(model.threads, self.cores), other={_slot(model): 1})
        return self._manager.submit(
            call, *args, on="process", worker=model.worker, needs=needs, priority=priority, pipeline=self._pipeline,
            name=f"{model.name}: {fn.__name__}",
        )  # fmt: skip

    async def drop(self, model: PooledModel) -> None:
        """Let a model go that is loaded; whoever holds ``model.loading`` calls this."""
        self.room.forget(model.name)
        self._freed.set()
        await self._let_go(model).aclose()

    async def aclose(self) -> None:
        """Let all of them go; who waits for one is refused."""
        self._over = True  # for who loads a model yet without a batch
        self._freed.set()
        self._take_back()
        if self._looking is not None:
            self._looking.cancel()
        async with AsyncExitStack() as leaving:
            for model in self._models.values():
                self.room.forget(model.name)
                leaving.push_async_callback(self._let_go(model).aclose)
        if self._leaving:
            await asyncio.wait(self._leaving)

    async def _load(self, model: PooledModel) -> None:
        while (going := self.room.admit(model.name, model.memory, pinned=model.pinned)) is None:
            self._freed.clear()
            await self._freed.wait()
            self._require_open()
        self.room.use(model.name)
        began = asyncio.get_running_loop().time()
        try:
            async with AsyncExitStack() as leaving:
                # All of them at once: one that is asked for again meanwhile is another worker's.
                for name in going:
                    leaving.push_async_callback(self._let_go(self._models[name]).aclose)
            async with AsyncExitStack() as held, AsyncExitStack() as on_gpu:
                admitted = min(model.memory, self._manager.data_manager.capacity)
                model.asked = self._permit(model, admitted)
                try:
                    await held.enter_async_context(model.asked)
                finally:
                    model.asked = None
                model.worker = f"{model.name}-{next(_numbers)}"
                model.gpu_memory = await self._gpu.take(model, on_gpu)
                if await self.submit(model, load, priority=Priority.HIGH):
                    held.push_async_exit(on_gpu.pop_all())
                else:
                    model.gpu_memory = 0
                await self._measure(model, admitted, held)
                self._require_open()
                model.held = held.pop_all()
        except BaseException:
            await self.drop(model)
            raise
        if self._looking is None:
            self._looking = self._manager.control.every(SPARED_S / 2, self._relieve)
        model.loads += 1
        model.load_s = asyncio.get_running_loop().time() - began

    async def _measure(self, model: PooledModel, admitted: int, held: AsyncExitStack) -> None:
        """Take in what a model that was loaded really takes, and admit what is more than was thought."""
        measured = self._manager.thread_pool.statistics().memory.get(model.worker, 0)
        if not measured:
            return
        model.memory = measured
        self.room.measured(model.name, measured)
        more = measured - admitted
        if 0 < more <= self._manager.data_manager.free:
            # Not waited for where others have it: it is taken already, and the next time all of it is asked for.
            with contextlib.suppress(TimeoutError):
                await held.enter_async_context(self._permit(model, more, deadline=_PATIENCE_S))

    def _permit(self, model: PooledModel, size: int, *, deadline: float | None = None) -> Permit:
        # Urgent batches may wait for it too. And what is held for so long must not count as what a task of
        # a low class does while urgent work is late: no other such task would start until it goes.
        return self._manager.orchestrator.permit(
            Resources(memory=size), priority=Priority.HIGH, pipeline=self._pipeline, name=f"{model.name}: memory",
            deadline=deadline, detached=True,
        )  # fmt: skip

    def _relieve(self) -> None:
        """Have models go that have nothing to do, where tasks wait for memory."""
        lacking = self._manager.data_manager.lacking
        if lacking:
            since = asyncio.get_running_loop().time() - SPARED_S
            self._give_way(lacking, {model.name for model in self._models.values() if model.used_at > since})

    def _at_level(self, level: str) -> None:
        if level == "critical":
            self._give_way(_EVERYTHING, ())

    def _give_way(self, size: int, spared: Container[str]) -> None:
        for name in self.room.give_way(size, spared=spared):
            # Its worker ends now: one that is asked for again meanwhile is another worker's.
            leaving = asyncio.get_running_loop().create_task(self._let_go(self._models[name]).aclose())
            self._leaving.add(leaving)
            leaving.add_done_callback(self._leaving.discard)
        self._freed.set()

    def _require_open(self) -> None:
        if self._over:
            message = "the pool of models was closed and takes no more items"
            raise RejectedError(message)

    def _let_go(self, model: PooledModel) -> AsyncExitStack:
        """End the worker of a model; closing what is returned gives its memory back."""
        if model.worker:
            self._manager.thread_pool.end_worker(model.worker)
            model.worker = ""
        model.gpu_memory = 0
        held, model.held = model.held, AsyncExitStack()
        return held


def _slot(model: PooledModel) -> str:
    return f"model {model.name}"
