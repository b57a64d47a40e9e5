"""Many prompts, a bounded number of them under way: the source may be endless.

1. A prompt is taken from the source only while fewer than ``ahead`` are under way or wait
   to be looked at: whoever is slow to look slows the source down. So the next one is taken
   when one is looked at, at once from a plain iterable, and by a task from an async one.
2. One bad prompt is an answer like any other. What would be the answer to all (a wrong key,
   no money, an unknown model, a home that cannot be written) is raised instead, once what
   was finished has been given out. So is a cancellation that comes from the source or a call.
3. Leaving early cancels what is under way.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterable, Iterable
from typing import TYPE_CHECKING, Any

from tenire.errors import (
    AuthenticationError,
    BudgetError,
    ConfigError,
    InternalError,
    OutOfCreditError,
    StoreError,
    UnknownModelError,
)
from tenire.llm.replies import Reply
from tenire.resilience.tasks import end

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterator

    from tenire.llm.requests import Prompt

    Prompts = Iterable[Prompt] | AsyncIterable[Prompt]

__all__ = ["FATAL", "check_prompts", "each_of", "map_prompts"]

FATAL = (AuthenticationError, OutOfCreditError, UnknownModelError, BudgetError, StoreError, InternalError)
"""What says something about all prompts."""

_AT_ONCE = (AuthenticationError, OutOfCreditError, UnknownModelError)  # the others would all get the same


class _Map:
    """One run over a source."""

    def __init__(
        self, ask: Callable[[Prompt], Coroutine[Any, Any, Reply]], prompts: Prompts, *, ahead: int, ordered: bool
    ) -> None:
        self._ask = ask
        self._prompts = prompts
        self._ordered = ordered
        self._room = ahead
        self._room_made = asyncio.Event()
        self._changed = asyncio.Event()
        self._running: set[asyncio.Task[None]] = set()
        self._done: deque[Reply] = deque()
        self._early: dict[int, Reply] = {}  # finished before one that comes before it
        self._next = self._taken = 0
        self._source: Iterator[Prompt] | None = None
        self._fatal: BaseException | None = None
        self._feeder: asyncio.Task[None] | None = None

    async def replies(self) -> AsyncIterator[Reply]:
        if isinstance(self._prompts, Iterable):
            self._source = iter(self._prompts)
        else:
            self._feeder = asyncio.create_task(self._feed(self._prompts), name="prompts")
            self._feeder.add_done_callback(self._fed)
        try:
            self._take()
            while True:
                while self._done:
                    reply = self._done.popleft()
                    self._room += 1
                    self._take()
                    yield reply
                if self._source is None and not self._running and (self._feeder is None or self._feeder.done()):
                    break
                self._changed.clear()
                await self._changed.wait()
            for index in sorted(self._early):  # what came before them never will
                yield self._early[index]
            if self._fatal is not None:
                raise self._fatal
        finally:
            await end((*self._running,) if self._feeder is None else (self._feeder, *self._running))

    def _take(self) -> None:
        """Begin with the next prompts of a plain iterable, as many as there is room for."""
        self._room_made.set()
        while self._room > 0 and self._source is not None:
            try:
                prompt = next(self._source)
            except StopIteration:
                self._source = None
            except Exception as error:  # noqa: BLE001 - raised once what was finished has been given out
                self._source, self._fatal = None, self._fatal or error
            else:
                self._begin(prompt)

    async def _feed(self, prompts: AsyncIterable[Prompt]) -> None:
        async for prompt in prompts:
            while self._room <= 0:
                self._room_made.clear()
                await self._room_made.wait()
            self._begin(prompt)

    def _begin(self, prompt: Prompt) -> None:
        self._room -= 1
        task = asyncio.create_task(self._answer(self._taken, prompt), name="prompt")
        self._taken += 1
        self._running.add(task)
        task.add_done_callback(self._ended)

    async def _answer(self, index: int, prompt: Prompt) -> None:
        try:
            reply = await self._ask(prompt)
        except FATAL as error:
            self._stop(error)
            return
        except Exception as error:  # noqa: BLE001 - it is the reply
            reply = Reply(error=error)
        reply.index = index
        if not self._ordered:
            self._done.append(reply)
            return
        self._early[index] = reply
        while (found := self._early.pop(self._next, None)) is not None:
            self._done.append(found)
            self._next += 1

    def _stop(self, error: BaseException) -> None:
        """Take no more prompts; what is under way goes on, unless it can only fail in the same way."""
        if self._fatal is None:
            self._fatal = error
        self._source = None
        if self._feeder is not None:
            self._feeder.cancel()
        if isinstance(error, _AT_ONCE):
            for task in self._running:
                task.cancel()

    def _fed(self, feeder: asyncio.Task[None]) -> None:
        if (error := _error_of(feeder)) is not None and self._fatal is None:
            self._fatal = error
        self._changed.set()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if (error := _error_of(task)) is not None and (self._fatal is None or not task.cancelled()):
            self._stop(error)
        self._changed.set()


def _error_of(task: asyncio.Task[None]) -> BaseException | None:
    """Return what ended a task; the reply of one that cancels itself must not be missing without a word."""
    return asyncio.CancelledError() if task.cancelled() else task.exception()


def check_prompts(prompts: Prompts) -> None:
    """See that prompts are many.

    Raises:
        ConfigError: If they are not.
    """
    if isinstance(prompts, (str, bytes)) or not isinstance(prompts, (Iterable, AsyncIterable)):
        message = f"prompts must be an iterable of prompts, or an async one, got {type(prompts).__name__!r}"
        raise ConfigError(message, key="prompts", hint="use complete() for a single prompt")


async def each_of(prompts: Prompts) -> AsyncIterator[Prompt]:
    """Yield what an iterable yields, also an async one.

    Raises:
        ConfigError: If it is none.
    """
    check_prompts(prompts)
    if isinstance(prompts, Iterable):
        for prompt in prompts:
            yield prompt
    else:
        async for prompt in prompts:
            yield prompt


def map_prompts(
    ask: Callable[[Prompt], Coroutine[Any, Any, Reply]], prompts: Prompts, *, ahead: int, ordered: bool
) -> AsyncIterator[Reply]:
    """Yield a reply for each prompt.

    Args:
        ask: Returns the reply to one prompt.
        prompts: Any iterable, also an async one.
        ahead: Prompts that may be under way, or finished and not looked at yet.
        ordered: Whether replies come in the order of the prompts; otherwise as they finish.

    Raises:
        ConfigError: If an argument is impossible.
    """
    check_prompts(prompts)
    if isinstance(ahead, bool) or not isinstance(ahead, int) or ahead < 1:
        raise ConfigError(f"ahead must be a whole number of prompts from 1, got {ahead!r}", key="ahead")
    return _Map(ask, prompts, ahead=ahead, ordered=ordered).replies()
