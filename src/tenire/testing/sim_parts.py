"""What the virtual loop is made of: its clock, tasks, futures and errors."""

from __future__ import annotations

import asyncio
import functools
import weakref
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, TypeVar

from tenire.clock import Asleep
from tenire.testing.clock import DEFAULT_WALL

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "SimClock",
    "SimDeadlockError",
    "SimFuture",
    "SimLimitError",
    "SimTask",
    "SimUnhandledError",
    "callback_label",
    "describe_task",
    "refuse_everything_real",
    "waits_at",
]

T = TypeVar("T")
C = TypeVar("C")


class SimDeadlockError(AssertionError):
    """Nothing can ever run again, but the main task is not done."""


class SimLimitError(AssertionError):
    """A simulation reached its limit of steps or of virtual time."""


class SimUnhandledError(AssertionError):
    """Errors that nobody handled, or exceptions that nobody retrieved.

    Attributes:
        contexts: One dictionary an error, as asyncio's exception handlers get it.
    """

    def __init__(self, contexts: list[dict[str, Any]], replay: str) -> None:
        lines = [f"  {context.get('message')}: {context.get('exception')!r}" for context in contexts]
        super().__init__("\n".join(["errors that nobody handled:", *lines, replay]))
        self.contexts = contexts
        errors = [context["exception"] for context in contexts if context.get("exception") is not None]
        if errors:
            self.__cause__ = errors[0]


class _Timed(Protocol):
    def read_ns(self) -> int: ...


class SimClock:
    """A ``tenire.clock.Clock`` over the time of a virtual loop."""

    def __init__(self, loop: _Timed) -> None:
        # The loop holds its clock: a strong way back would be a cycle, and the
        # loop would live until a collection.
        self._loop = weakref.ref(loop)
        self._wall_ns = round(DEFAULT_WALL * 1e9)
        self._asleep = Asleep(0, 0)

    def now(self) -> float:
        """Return virtual seconds since the loop was made."""
        return self.now_ns() / 1e9

    def now_ns(self) -> int:
        """Return virtual nanoseconds since the loop was made."""
        loop = self._loop()
        if loop is None:
            msg = "the SimLoop of this clock is gone"
            raise RuntimeError(msg)
        return loop.read_ns()

    def wall(self) -> float:
        """Return virtual seconds since the epoch."""
        return (self.now_ns() + self._wall_ns) / 1e9

    def step_wall(self, seconds: float) -> None:
        """Step only the wall clock, forward or back (negative)."""
        self._wall_ns += round(seconds * 1e9)

    def asleep(self) -> Asleep:
        """Return how long the machine was suspended."""
        return self._asleep

    def sleep_ns(self, ns: int, *, unseen: bool) -> None:
        """Take in that the machine was suspended; the loop's ``suspend`` calls it."""
        total, hidden = self._asleep
        self._asleep = Asleep(total + ns, hidden + ns if unseen else hidden)
        if unseen:
            self._wall_ns += ns


class SimFuture(asyncio.Future[T]):
    """A future with a hash that does not depend on its address."""

    def __init__(
        self,
        ordinal: int,
        failed: weakref.WeakValueDictionary[int, SimFuture[Any]],
        *,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._ordinal = ordinal
        self._failed = failed
        super().__init__(loop=loop)

    def __hash__(self) -> int:
        return self._ordinal

    def set_exception(self, exception: type | BaseException, /) -> None:
        """Set the exception, and let the loop check that somebody looks at it."""
        super().set_exception(exception)
        self._failed[self._ordinal] = self


class SimTask(asyncio.Task[T]):
    """A task with a hash that does not depend on its address."""

    def __init__(self, ordinal: int, coro: Any, **kwargs: Any) -> None:
        # First: asyncio puts the task into a set before its __init__ returns.
        self._ordinal = ordinal
        super().__init__(coro, **kwargs)

    def __hash__(self) -> int:
        return self._ordinal


def callback_label(callback: Callable[..., object] | None) -> str:
    """Return a name for a callback that is the same in every run."""
    owner = getattr(callback, "__self__", None)
    if isinstance(owner, asyncio.Task):
        return owner.get_name()
    while isinstance(callback, functools.partial):
        callback = callback.func
    return getattr(callback, "__qualname__", None) or type(callback).__qualname__


def waits_at(coroutine: Any) -> str:
    """Return file, line and function at which a coroutine waits."""
    place = "its start"
    # Down the chain of awaits, to the line that really waits.
    while coroutine is not None:
        frame = getattr(coroutine, "cr_frame", None) or getattr(coroutine, "gi_frame", None)
        if frame is not None:
            place = f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}"
        coroutine = getattr(coroutine, "cr_await", None) or getattr(coroutine, "gi_yieldfrom", None)
    return place


def describe_task(task: asyncio.Task[Any]) -> str:
    """Return one line: the task's name, what it runs, and where it waits."""
    coroutine: Any = task.get_coro()
    name = getattr(coroutine, "__qualname__", type(coroutine).__qualname__)
    return f"  {task.get_name()} ({name}) waits at {waits_at(coroutine)}"


_REAL = (
    "add_reader", "remove_reader", "add_writer", "remove_writer", "sock_recv", "sock_recv_into", "sock_sendall",
    "sock_connect", "sock_accept", "sock_sendfile", "getaddrinfo", "getnameinfo", "create_connection",
    "create_server", "create_unix_connection", "create_unix_server", "create_datagram_endpoint",
    "connect_accepted_socket", "connect_read_pipe", "connect_write_pipe", "subprocess_exec", "subprocess_shell",
    "start_tls",
)  # fmt: skip


def _refusal(name: str) -> Callable[..., NoReturn]:
    def refuse(self: object, *_: object, **__: object) -> NoReturn:
        msg = f"{type(self).__name__} has no {name}(): it runs on virtual time, without sockets, pipes and processes"
        raise NotImplementedError(msg)

    refuse.__name__ = name
    return refuse


def refuse_everything_real(loop_class: type[C]) -> type[C]:
    """Make a loop class refuse, with a clear message, what virtual time cannot have."""
    for name in _REAL:
        setattr(loop_class, name, _refusal(name))
    return loop_class
