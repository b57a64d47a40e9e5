"""Starts a group of components in the right order, and stops them in reverse.

1. ``core.startup`` decides what starts next.
2. What became ready is stopped exactly once, in exact reverse order: also if the start
   is cancelled in the very moment in which a component became ready.
3. A stop is not left half done, however often its caller is cancelled.
4. A ``start`` that fails, takes too long or is cancelled tidies up after itself: ``stop``
   is for what became ready.
5. What a ``start`` raises that is no ``Exception`` and no cancellation is no failure to go on
   after: it breaks the start off, and is raised as it is.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

from tenire.clock import SYSTEM_CLOCK
from tenire.concurrency.engine_arguments import check_fields, is_seconds
from tenire.concurrency.unbroken import unbroken
from tenire.core.backoff import full_jitter
from tenire.core.startup import StartupOrder
from tenire.core.tasks import is_number
from tenire.errors import ConfigError

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from tenire.clock import Clock

__all__ = ["BatchInitializationGroup", "Component", "StartupProgress"]

Step = Callable[[], Awaitable[object]]

_LONGEST_BACKOFF_S = 30.0
_GRACE_S = 5.0
"""Seconds that a start may take to end once it is cancelled."""

_log = logging.getLogger("tenire.startup")


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
        timeout: Seconds that one try of ``start``, and ``stop``, may take, or ``None``.
        attempts: Tries of ``start``, the first one included.
        backoff: Seconds; the bound of the random wait after the first failed try. It
            doubles with each.
        seconds: What ``start`` usually takes; what was measured takes its place.
    """

    name: str
    start: Step
    stop: Step | None = None
    needs: tuple[str, ...] = ()
    priority: int = 0
    optional: bool = False
    timeout: float | None = None
    attempts: int = 1
    backoff: float = 0.1
    seconds: float = 1.0

    def __post_init__(self) -> None:
        """Check the fields.

        Raises:
            ConfigError: If one is impossible.
        """
        check_fields(
            self,
            (
                ("name", isinstance(self.name, str), "text"),
                ("start", callable(self.start), "a coroutine function"),
                ("stop", self.stop is None or callable(self.stop), "a coroutine function or None"),
                ("needs", not isinstance(self.needs, str), "a tuple of names"),
                ("priority", is_number(self.priority), "a number"),
                ("timeout", self.timeout is None or (is_seconds(self.timeout) and self.timeout > 0),
                 "a positive number of seconds or None"),
                ("attempts", isinstance(self.attempts, int) and self.attempts >= 1, "a whole number, 1 or more"),
                ("backoff", is_seconds(self.backoff), "a number of seconds, 0 or more"),
                ("seconds", is_seconds(self.seconds), "a number of seconds, 0 or more"),
            ),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class StartupProgress:
    """One step of a group.

    Attributes:
        component: Whose.
        step: ``starting``, ``retrying`` (a try failed), ``ready``, ``failed``, ``left_out``
            (it needs one that failed), ``stopping`` or ``stopped``.
        ready: Components that are ready now.
        total: Components of the group.
        error: What went wrong, or ``None``.
    """

    component: str
    step: Literal["starting", "retrying", "ready", "failed", "left_out", "stopping", "stopped"]
    ready: int
    total: int
    error: BaseException | None = None


class BatchInitializationGroup:
    """A group of components, started on entering and stopped on leaving.

    Args:
        components: In any order.
        concurrency: How many may start at once.
        all_or_nothing: What a failure means of a component that is not optional. Those
            that need it never start, and all others do. Then everything is stopped again
            and the errors are raised; or, if this is false, the others stay.
        on_progress: Called with a ``StartupProgress`` for each step; must not block.
        rng: For the jitter of the waits between tries.
        clock: What measures how long starts take.

    Attributes:
        errors: What went wrong in the last start, by component; optional ones included.
        took: Seconds that the last successful start of each component took.

    Raises:
        ConfigError: If a component needs one that is not there, or itself over others, if
            two have one name, or if a number is impossible.
    """

    def __init__(
        self,
        components: list[Component],
        *,
        concurrency: int = 4,
        all_or_nothing: bool = True,
        on_progress: Callable[[StartupProgress], object] = lambda _: None,
        rng: random.Random | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._components = {component.name: component for component in components}
        if len(self._components) != len(components):
            names = sorted(component.name for component in components)
            twice = next(name for name, after in pairwise(names) if name == after)
            message = f"two components of one group are called {twice!r}"
            raise ConfigError(message, key=twice)
        if not isinstance(concurrency, int) or concurrency < 1:
            message = f"concurrency must be 1 or more, got {concurrency!r}"
            raise ConfigError(message, key="concurrency")
        self._concurrency = concurrency
        self._all_or_nothing = all_or_nothing
        self._on_progress = on_progress
        self._rng = rng or random.Random()
        self._clock = clock
        self.errors: dict[str, BaseException] = {}
        self.took: dict[str, float] = {}
        self._order = self._new_order()
        self._started = False
        self._breaking_off = False
        self._one_at_a_time = asyncio.Lock()

    @property
    def ready(self) -> tuple[str, ...]:
        """Names of the components that are ready, in the order in which they became so."""
        return tuple(self._order.ready)

    @property
    def failed(self) -> frozenset[str]:
        """Names of the components that failed, and of those that never started because of it."""
        return frozenset(self._order.failed)

    # -- starting ---------------------------------------------------------

    async def start(self) -> None:
        """Start everything; a group that was stopped may start again.

        Raises:
            ExceptionGroup: Every error of a component that was not optional, if the group
                is all or nothing. What had started is stopped.
            BaseException: What a component raised that is no ``Exception``, optional or not.
                What had started is stopped.
            ConfigError: If it has been started already.
        """
        if self._started:
            message = "this group has been started already"
            raise ConfigError(message)
        self._started = True
        self._order = self._new_order()
        self.errors.clear()
        self._breaking_off = False
        running: set[asyncio.Task[None]] = set()
        try:
            while True:
                for name in self._order.next(self._concurrency):
                    running.add(asyncio.get_running_loop().create_task(self._start_one(name)))
                if not running:
                    break
                ended, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in ended:
                    running.remove(task)
                    task.result()  # raises what is no failure, but ends the whole
        except BaseException:
            for error in await unbroken(self._break_off(running)):
                _log.exception("a component failed while the start was broken off", exc_info=error)
            raise
        hard = [error for name, error in self.errors.items() if not self._components[name].optional]
        if hard and self._all_or_nothing:
            hard += await unbroken(self._stop_all())
            raise _together("the group could not start", hard)

    def _new_order(self) -> StartupOrder:
        components = self._components.values()
        return StartupOrder(
            {component.name: component.needs for component in components},
            priority={component.name: component.priority for component in components},
            seconds={component.name: component.seconds for component in components} | self.took,
        )

    def _take_in(self, name: str, error: BaseException | None) -> None:
        if error is None:
            self._order.succeeded(name)
            self._tell(name, "ready")
            return
        error.add_note(f"while component {name!r} started")
        self.errors[name] = error
        left_out = self._order.gave_up(name, optional=self._components[name].optional)
        self._tell(name, "failed", error)
        for other in sorted(left_out):
            self._tell(other, "left_out")

    async def _start_one(self, name: str) -> None:
        # Taken in here, in the order of their ends: whoever waits for several tasks gets a set.
        try:
            await self._try(self._components[name])
        except GeneratorExit:  # the loop is gone
            raise
        except BaseException as error:
            if self._breaking_off:
                self._order.broken_off(name)
            else:
                self._take_in(name, error)
            if not isinstance(error, (Exception, asyncio.CancelledError)):
                raise
        else:
            self._take_in(name, None)

    async def _try(self, component: Component) -> None:
        name = component.name
        self._tell(name, "starting")
        for attempt in range(1, component.attempts + 1):
            began = self._clock.now()
            try:
                await _within(component.timeout, component.start, f"component {name!r} did not start")
            except Exception as error:
                if attempt == component.attempts:
                    raise
                self._tell(name, "retrying", error)
            else:
                self.took[name] = self._clock.now() - began
                return
            await asyncio.sleep(full_jitter(attempt, base=component.backoff, cap=_LONGEST_BACKOFF_S, rng=self._rng))

    async def _break_off(self, running: set[asyncio.Task[None]]) -> list[BaseException]:
        """End what starts now, stop what is ready, and return what went wrong in that."""
        self._breaking_off = True
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running, timeout=_GRACE_S)
        ended = [task for task in running if task.done() and not task.cancelled()]
        errors = [error for task in ended if (error := task.exception()) is not None]
        for name in sorted(self._order.starting):
            _log.error("component %r is abandoned: its start did not end within %g s", name, _GRACE_S)
        return errors + await self._stop_all()

    # -- stopping ---------------------------------------------------------

    async def stop(self) -> None:
        """Stop what is ready, in exact reverse order.

        Raises:
            ExceptionGroup: Every error of a stop; the others are stopped all the same.
            SystemExit: If one of them is this, or ``KeyboardInterrupt``.
        """
        errors = await unbroken(self._stop_all())
        if errors:
            raise _together("components could not be stopped cleanly", errors)

    async def _stop_all(self) -> list[BaseException]:
        async with self._one_at_a_time:
            return await self._stop_ready()

    async def _stop_ready(self) -> list[BaseException]:
        errors: list[BaseException] = []
        while self._order.ready:
            component = self._components[self._order.ready[-1]]
            self._tell(component.name, "stopping")
            error: BaseException | None = None
            try:
                if component.stop is not None:
                    await _within(component.timeout, component.stop, f"component {component.name!r} did not stop")
            except GeneratorExit:  # the loop is gone
                raise
            except BaseException as caught:  # noqa: BLE001 - told by whoever called this
                caught.add_note(f"while component {component.name!r} stopped")
                errors.append(caught)
                error = caught
            self._order.stopped(component.name)
            self._tell(component.name, "stopped", error)
        self._started = False
        return errors

    def _tell(
        self,
        name: str,
        step: Literal["starting", "retrying", "ready", "failed", "left_out", "stopping", "stopped"],
        error: BaseException | None = None,
    ) -> None:
        progress = StartupProgress(name, step, len(self._order.ready), len(self._components), error)
        try:
            self._on_progress(progress)
        except Exception:  # noqa: BLE001 - foreign code; logged, and the group goes on
            _log.exception("a listener to component %r failed", name)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()


def _together(message: str, errors: list[BaseException]) -> BaseException:
    """Return what to raise for several errors: as a task group, what ends the program as it is."""
    for error in errors:
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            return error
    return BaseExceptionGroup(message, errors)


async def _within(seconds: float | None, step: Step, otherwise: str) -> None:
    """Make a step, and say what took too long if it did."""
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            await step()
    except TimeoutError as error:
        if not limit.expired():
            raise
        message = f"{otherwise} within {seconds:g} s"
        raise TimeoutError(message) from error
