"""Starts a group of components in the right order, and stops them in reverse."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from tenire.core.startup import StartupOrder
from tenire.errors import ConfigError

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["BatchInitializationGroup", "Component"]

Step = Callable[[], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Component:
    """One part of a group.

    Attributes:
        name: Unique in its group.
        start: Makes it ready.
        stop: Undoes ``start``; called only if that completed.
        needs: Names of components that must be ready first.
        priority: Smaller starts earlier.
        optional: Whether the others go on without it if it fails.
        timeout: Seconds that one try of ``start`` may take, or ``None``.
        attempts: Tries of ``start``, the first one included.
    """

    name: str
    start: Step
    stop: Step | None = None
    needs: tuple[str, ...] = ()
    priority: int = 0
    optional: bool = False
    timeout: float | None = None
    attempts: int = 1


class BatchInitializationGroup:
    """A group of components, started on entering and stopped on leaving.

    Attributes:
        errors: What went wrong, by component; optional ones included.
    """

    def __init__(self, components: list[Component], *, concurrency: int = 4) -> None:
        self._components = {component.name: component for component in components}
        if len(self._components) != len(components):
            names = sorted(component.name for component in components)
            twice = next(name for name, after in pairwise(names) if name == after)
            message = f"two components of one group are called {twice!r}"
            raise ConfigError(message, key=twice)
        self._order = StartupOrder(
            {component.name: component.needs for component in components},
            priority={component.name: component.priority for component in components},
        )
        self._concurrency = concurrency
        self.errors: dict[str, BaseException] = {}

    @property
    def ready(self) -> tuple[str, ...]:
        """Names of the components that are ready, in the order in which they became so."""
        return tuple(self._order.ready)

    async def start(self) -> None:
        """Start everything; on a failure, stop again what had started.

        Raises:
            ExceptionGroup: Every error of a component that was not optional.
        """
        order = self._order
        running: dict[asyncio.Task[None], str] = {}
        try:
            while True:
                for name in order.next(self._concurrency):
                    task = asyncio.get_running_loop().create_task(self._start_one(self._components[name]))
                    running[task] = name
                if not running:
                    break
                done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    self._take_in(running.pop(task), task.exception())
        except BaseException:
            for task in running:
                task.cancel()
            if running:
                await asyncio.wait(running)
            await self.stop()
            raise
        hard = [error for name, error in self.errors.items() if not self._components[name].optional]
        if hard:
            await self.stop()
            message = "the group could not start"
            raise BaseExceptionGroup(message, hard)

    def _take_in(self, name: str, error: BaseException | None) -> None:
        if error is None:
            self._order.succeeded(name)
            return
        self.errors[name] = error
        self._order.gave_up(name, optional=self._components[name].optional)

    @staticmethod
    async def _start_one(component: Component) -> None:
        for attempt in range(1, component.attempts + 1):
            try:
                async with asyncio.timeout(component.timeout):
                    await component.start()
            except Exception:
                if attempt == component.attempts:
                    raise
            else:
                return

    async def stop(self) -> None:
        """Stop what is ready, in exact reverse order.

        Raises:
            ExceptionGroup: Every error of a stop; the others are stopped all the same.
        """
        errors: list[Exception] = []
        while self._order.ready:
            stop = self._components[self._order.ready.pop()].stop
            if stop is None:
                continue
            try:
                await stop()
            except Exception as error:  # noqa: BLE001 - collected and raised below
                errors.append(error)
        if errors:
            message = "components could not be stopped cleanly"
            raise ExceptionGroup(message, errors)

    async def __aenter__(self) -> BatchInitializationGroup:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> Any:
        await self.stop()
