"""Copies of the models of a pool: which of them an item goes to, and those that come and go in the background."""

from __future__ import annotations

import asyncio
import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tenire.core.replicas import IDLE_S
from tenire.resilience.tasks import end

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator
    from typing import Any

    from tenire.concurrency.control import Control
    from tenire.concurrency.periodic import Periodic
    from tenire.ml.pooled_model import PooledModel
    from tenire.ml.residence import Residence

__all__ = ["Copying"]

_log = logging.getLogger("tenire.ml")


class Copying:
    """Has copies of models loaded and dropped, as ``core.replicas`` says.

    Args:
        residence: Loads and drops them.
        control: Has somebody look now and then.
    """

    def __init__(self, residence: Residence, control: Control) -> None:
        self._residence = residence
        self._control = control
        self._models: dict[str, PooledModel] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._looking: Periodic | None = None

    @contextmanager
    def given(self, model: PooledModel) -> Iterator[PooledModel]:
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

    async def aclose(self) -> None:
        """Load and drop no more."""
        if self._looking is not None:
            self._looking.cancel()
        await end(tuple(self._tasks))

    async def _more(self, model: PooledModel) -> None:
        """Load one more copy, if there is memory for it that nobody wants."""
        replicas, number = model.replicas, len(model.replicas)
        if not self._residence.fits(model):
            replicas.no_more()
            return
        if number == len(model.copies):
            model.copies.append(model.copy(f"{model.name} ({number + 1})"))
            self._residence.enter(model.copies[number])
        copy = model.copies[number]
        try:
            await self._residence.use(copy)
        except Exception:  # noqa: BLE001 - the copies that there are go on without it
            _log.debug("one more %s could not be loaded", model.name, exc_info=True)
            replicas.no_more()
            return
        self._residence.unuse(copy)
        replicas.more(asyncio.get_running_loop().time())
        self._models[model.name] = model
        if self._looking is None:
            self._looking = self._control.every(IDLE_S / 3, self._fewer)

    def _fewer(self) -> None:
        """Drop the copies that have nothing to do, or bring nothing."""
        now = asyncio.get_running_loop().time()
        for model in self._models.values():
            if (number := model.replicas.going(now)) is not None:
                self._begin(self._drop(model, number))

    async def _drop(self, model: PooledModel, number: int) -> None:
        copy = model.copies[number]
        async with copy.loading:
            if number >= len(model.replicas):  # or it was wanted again before it went
                await self._residence.drop(copy)

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
