"""Sets memory of the GPU aside for models, as the scheduler does with all other resources.

1. What there is becomes a resource of the engine once a model is loaded that could run there.
2. A model that finds no room there runs on the processor: it does not wait for the GPU.
3. It takes no more than was set aside for it: its runtime is told so.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
from importlib.util import find_spec
from typing import TYPE_CHECKING

from tenire.concurrency.blocking import run_blocking
from tenire.core.tasks import Priority, Resources
from tenire.errors import TaskError
from tenire.ml.gpu import GPU_MEMORY, find_gpu

if TYPE_CHECKING:
    from contextlib import AsyncExitStack

    from tenire.concurrency.manager import ConcurrencyManager
    from tenire.ml.pooled_model import PooledModel

__all__ = ["GpuMemory"]

_PATIENCE_S = 1.0
"""For a permit for what was free a moment ago."""

_log = logging.getLogger("tenire.ml")


class GpuMemory:
    """The GPU of one engine, as a pool of models sees it.

    Args:
        manager: The engine.
        pipeline: Whose share it is charged to.
    """

    def __init__(self, manager: ConcurrencyManager, *, pipeline: str) -> None:
        self._manager = manager
        self._pipeline = pipeline
        self._looking = asyncio.Lock()
        self._none = False

    async def take(self, model: PooledModel, held: AsyncExitStack) -> int:
        """Set aside what a model wants of it.

        Args:
            model: The model, before it is loaded.
            held: Gives it back when it is closed.

        Returns:
            The bytes; 0 if it is to run on the processor.
        """
        wanted = await run_blocking(model.gpu_wanted)
        if not wanted or not await self._is_there():
            return 0
        admission = self._manager.orchestrator.scheduler.admission
        index = admission.index_of(GPU_MEMORY)
        if index is None or admission.free[index] < wanted:
            _log.info("the model %s runs on the processor: the GPU has no %s bytes free", model.name, wanted)
            return 0
        permit = self._manager.orchestrator.permit(
            Resources(other={GPU_MEMORY: wanted}), pipeline=self._pipeline, name=f"{model.name}: {GPU_MEMORY}",
            deadline=_PATIENCE_S, detached=True,
        )  # fmt: skip
        try:
            await held.enter_async_context(permit)
        except TimeoutError:  # somebody else was faster
            return 0
        return wanted

    async def _is_there(self) -> bool:
        orchestrator = self._manager.orchestrator
        async with self._looking:
            if self._none or orchestrator.scheduler.admission.index_of(GPU_MEMORY) is not None:
                return not self._none
            found = None
            if await run_blocking(_may_be_there):
                try:
                    found = await self._manager.submit(
                        find_gpu, on="process", priority=Priority.HIGH, pipeline=self._pipeline, name="look for a GPU"
                    )
                except TaskError:
                    _log.warning("no GPU is used: looking for one failed", exc_info=True)
            self._none = found is None
            if found is not None:
                orchestrator.register_resource(GPU_MEMORY, found.memory)
            return not self._none


def _may_be_there() -> bool:
    """Return whether it is worth asking in a process of its own, which takes a second."""
    return find_spec("onnxruntime") is not None and shutil.which("nvidia-smi") is not None
