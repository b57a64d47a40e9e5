"""What a stage is: a function of a batch of items, and how it wants to be called."""

from __future__ import annotations

import inspect
import os
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, cast, overload

from tenire.concurrency.sendable import check_sendable
from tenire.errors import ConfigError
from tenire.pipeline.named_functions import body_hash, name_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["MOST_ITEMS", "ReadyStage", "Stage", "stage", "texts_in"]

MOST_ITEMS = 4096
"""Items that one call of a stage may ask for."""

_PLACES = ("auto", "loop", "thread", "process")
_MARK = "__tenire_stage__"

F = TypeVar("F", bound="Callable[..., Any]")


@dataclass(frozen=True, slots=True)
class _Options:
    on: str = "auto"
    batch: int = 64
    version: int | str = 1
    keep: bool = True
    timeout: float | None = None


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of a pipeline.

    Attributes:
        name: What it is called in counts, messages and the quarantine.
        function: What is called with a list of items.
        on: ``loop``, ``thread`` or ``process``.
        batch: Most items of one call.
        keep: Whether what it made is kept, so that a change of a later stage does not call it again.
        timeout: Seconds that one call may take, or ``None``.
        identity: Changes when the stage does: module, name, version, and its own lines.
        explicit_place: What ``@stage`` said of where it runs, or ``auto``.
        worker: The worker process in which its model is; empty for any.
    """

    name: str
    function: Callable[..., Any]
    on: str
    batch: int
    keep: bool
    timeout: float | None
    identity: str
    explicit_place: str = "auto"
    worker: str = ""

    @classmethod
    def of(cls, function: Any, *, threads: int | None = None) -> Stage:
        """Return the stage that a function is; one without ``@stage`` has the usual options.

        Args:
            function: The function, or one of the stages that Tenire brings along.
            threads: Threads that a model computes with; ``None``: what is there.

        Raises:
            ConfigError: If it is no function, or cannot run where it is to run.
        """
        if isinstance(function, ReadyStage):
            return function.as_stage(threads)
        if not inspect.isroutine(function):
            message = f"a stage must be a function of a list of items, got {function!r:.80}"
            hint = "define it with def or async def; what else it needs can be a variable of its module"
            raise ConfigError(message, key="stages", hint=hint)
        options: _Options = getattr(function, _MARK, _Options())
        name = function.__name__
        coroutine = inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)
        if coroutine and options.on not in ("auto", "loop"):
            message = f"the stage {name} is a coroutine function, which runs on the loop, not on={options.on!r}"
            raise ConfigError(message, key="stages", hint='use on="auto", or a plain function')
        on = ("loop" if coroutine else "thread") if options.on == "auto" else options.on
        if on == "process":
            check_sendable(function)
        # By the name under which a worker, or another program, would import it.
        written = os.path.basename(name_of(function))
        identity = f"{written}@{options.version}#{body_hash(function)}"
        return cls(name, function, on, options.batch, options.keep, options.timeout, identity, options.on)


class ReadyStage(ABC):
    """A stage that Tenire brings along, and that knows itself how it wants to be called."""

    __slots__ = ()

    @abstractmethod
    def as_stage(self, threads: int | None) -> Stage:
        """Return it as a stage, with all that it needs in a worker process.

        Args:
            threads: Threads that a model computes with; ``None``: what is there.

        Raises:
            TenireError: If what it needs is not there.
        """


def texts_in(items: Sequence[Mapping[str, Any]], field: str) -> list[str]:
    """Return the texts that items have in a field.

    Raises:
        ValueError: If one of them has none; the item is found by asking about fewer.
    """
    texts = [item.get(field) for item in items]
    for text in texts:
        if not isinstance(text, str):
            message = f"expected a text in the field {field}, got {'nothing' if text is None else f'{text!r:.40}'}"
            raise ValueError(message)  # noqa: TRY004 - what is wrong is the item, not who asks
    return cast("list[str]", texts)


@overload
def stage(function: F, /) -> F: ...


@overload
def stage(
    *, on: str = "auto", batch: int = 64, version: int | str = 1, keep: bool = True, timeout: float | None = None
) -> Callable[[F], F]: ...


def stage(
    function: F | None = None,
    /,
    *,
    on: str = "auto",
    batch: int = 64,
    version: int | str = 1,
    keep: bool = True,
    timeout: float | None = None,
) -> F | Callable[[F], F]:
    """Say how a function wants to be called as a stage of a pipeline; it stays the function that it was.

    A stage is given a list of items, each a ``dict`` with an ``id``, and returns, or yields, one
    result for each of them in their order: the item as it goes on (a ``dict``; a text
    becomes ``{"text": …}``), a list of several items that it becomes, or ``None`` if it is
    to leave. What items hold must be what JSON can hold. An item keeps its id; of several,
    each gets ``ID#0``, ``ID#1``, ….

    An item for which the function raises goes to quarantine, and the run goes on: the
    batch is cut in halves until it is found.

    Args:
        function: The function, where there is nothing to say.
        on: Where it runs: ``loop``, ``thread``, ``process``, or ``auto``: a coroutine function on
            the loop, any other one on a thread. What computes says ``process``.
        batch: Most items of one call.
        version: Another value says that it does something else, even though its own lines
            are the same. A changed line says so by itself.
        keep: Whether what it made is kept in the home, so that a change of a later stage, or a
            crash, does not call it again. ``False`` for what is quicker to do than to keep.
        timeout: Seconds that one call may take.

    Raises:
        ConfigError: If one of these is impossible.

    >>> @stage(batch=100, version=2)
    ... def shout(items):
    ...     return [{**item, "text": item["text"].upper()} for item in items]
    >>> shout([{"id": 1, "text": "hello"}])
    [{'id': 1, 'text': 'HELLO'}]
    """
    if on not in _PLACES:
        message = f"on must be one of {', '.join(_PLACES)}, got {on!r}"
        raise ConfigError(message, key="on")
    if not isinstance(batch, int) or isinstance(batch, bool) or not 1 <= batch <= MOST_ITEMS:
        message = f"batch must be a whole number from 1 to {MOST_ITEMS:,}, got {batch!r}"
        raise ConfigError(message, key="batch")
    if timeout is not None and not timeout > 0:
        message = f"timeout must be a number of seconds above 0, got {timeout!r}"
        raise ConfigError(message, key="timeout")
    options = _Options(on, batch, version, keep, timeout)

    def mark(marked: F) -> F:
        setattr(marked, _MARK, options)
        return marked

    return mark if function is None else mark(function)
