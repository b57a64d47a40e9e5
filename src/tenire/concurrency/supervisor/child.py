"""What a supervised component is, what it can say, and what is told of it."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tenire.concurrency.engine_arguments import check_fields, is_seconds

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable

    from tenire.core.restart import Restart

__all__ = ["Child", "ChildStatistics", "ComponentChanged", "Life"]


class Life:
    """What a component tells its supervisor; handed to its ``run``.

    All of it may be said from any thread, and once the component has ended it means
    nothing any more.
    """

    __slots__ = ("_beat", "_fail", "_loop", "_ready")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        ready: Callable[[], None],
        beat: Callable[[], None],
        fail: Callable[[BaseException], None],
    ) -> None:
        self._loop = loop
        self._ready = ready
        self._beat = beat
        self._fail = fail

    def ready(self) -> None:
        """Say that the component is up."""
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens any more
            self._loop.call_soon_threadsafe(self._ready)

    def beat(self) -> None:
        """Give a sign of life: something was done."""
        self._beat()

    def fail(self, error: BaseException) -> None:
        """Say that the component does not work any more, from where nobody awaits it.

        Its ``run`` is cancelled, and what follows is what follows when ``run`` raises.
        """
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._fail, error)

    async def wait_told_to_end(self) -> None:
        """Wait until the component is cancelled; for one that lives in callbacks or on a thread."""
        await self._loop.create_future()


@dataclass(frozen=True, slots=True)
class Child:
    """One component of a supervisor.

    Attributes:
        name: Unique in its supervisor.
        run: A coroutine function that is the component: it brings it up, calls
            ``life.ready()``, lasts as long as the component does, and cleans up when it
            is cancelled. It is called anew for each restart.
        restart: When it starts again: ``permanent``, however it ended; ``transient``, if
            it failed; ``temporary``, never.
        optional: Whether the others go on without it when it fails too often.
        silence: Seconds without ``life.beat()`` after which it counts as hung, or ``None``.
        ask: Called with ``life.beat`` after half of that silence: passes it on, to be
            called from wherever the component lives, which shows that it does.
        grace: Seconds that it may take to end when it is told to.
        pipelines: In an engine, those that start nothing while it is not up.
    """

    name: str
    run: Callable[[Life], Awaitable[object]]
    restart: Restart = "permanent"
    optional: bool = False
    silence: float | None = None
    ask: Callable[[Callable[[], None]], object] | None = None
    grace: float = 5.0
    pipelines: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check the fields.

        Raises:
            ConfigError: If one is impossible.
        """
        silence = self.silence
        check_fields(
            self,
            (
                ("name", isinstance(self.name, str), "text"),
                ("run", callable(self.run), "a coroutine function of a Life"),
                ("silence", silence is None or (is_seconds(silence) and silence > 0),
                 "a positive number of seconds or None"),
                ("ask", self.ask is None or callable(self.ask), "a function or None"),
                ("grace", is_seconds(self.grace), "a number of seconds, 0 or more"),
                ("pipelines", not isinstance(self.pipelines, str), "a tuple of names"),
            ),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class ChildStatistics:
    """How one component fares.

    Attributes:
        health: ``healthy``, ``unsteady`` (up, but it failed lately), ``down`` (it waits for
            its next start), ``starting``, ``stopping``, ``ended`` or ``failed`` (given up).
        restarts: How often it was started again.
        error: Its last failure in one line, or ``None``.
    """

    health: str
    restarts: int
    error: str | None


@dataclass(frozen=True, slots=True)
class ComponentChanged:
    """A component came up, failed, was given up, or ended.

    Attributes:
        component: Its name.
        state: ``up``, ``down`` (it failed and starts again), ``failed`` (given up) or ``ended``.
        error: Why, or ``None``.
        restarts: How often it was started again so far.
        pipelines: Those that need it.
    """

    component: str
    state: str
    error: BaseException | None
    restarts: int
    pipelines: tuple[str, ...] = ()
