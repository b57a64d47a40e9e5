"""The client for programs without an event loop: scripts, notebooks, Qt.

Each method blocks the calling thread, and does what its twin of ``ChatClient`` does on the
loop of an engine that runs in a thread of its own.
"""

from __future__ import annotations

from contextlib import ExitStack, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, cast

from tenire.concurrency import ConcurrencyManager
from tenire.errors import RejectedError
from tenire.llm.client import ChatClient

if TYPE_CHECKING:
    from array import array
    from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
    from types import TracebackType
    from typing import Self

    from tenire.llm.replies import Reply, ReplyPart
    from tenire.llm.requests import Prompt
    from tenire.llm.statistics import ChatStatistics, Estimate

__all__ = ["BlockingChatClient"]

T = TypeVar("T")


class BlockingChatClient:
    """A client whose methods block; a context manager. Any number of threads may use it.

    Example::

        with BlockingChatClient("gpt-4o-mini", rpm=500, home=".tenire") as client:
            print(client.complete("Say hello.", max_output_tokens=10).text)

    Args:
        model: As for ``ChatClient``.
        manager: An engine that runs in a thread (``ConcurrencyManager.in_thread``); default:
            one of its own.
        **options: As for ``ChatClient``.

    Raises:
        ConfigError: If an argument is impossible.
    """

    def __init__(self, model: str, *, manager: ConcurrencyManager | None = None, **options: Any) -> None:
        self._model = model
        self._options = options
        self._given = manager
        self._stack = ExitStack()
        self._open: tuple[ConcurrencyManager, ChatClient] | None = None
        self._told: ChatStatistics | None = None  # when it was closed

    def __enter__(self) -> Self:
        if self._open is not None:
            message = "the client is open already: leave its `with` first, or make another client"
            raise RejectedError(message)
        with ExitStack() as stack:
            manager = self._given
            if manager is None:
                engine = ConcurrencyManager.in_thread(cpu=1, memory=64 << 20, adaptive=False)
                manager = stack.enter_context(engine)
            call = manager.loops.call
            manager.loops.main.refuse_on_thread("BlockingChatClient", "async with ChatClient(…)")
            client = ChatClient(self._model, manager=manager, **self._options)
            call(client.__aenter__)
            stack.callback(self._tell, manager, client)
            stack.callback(call, client.__aexit__, None, None, None)
            self._open = manager, client
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._open = None
        self._stack.__exit__(kind, error, traceback)

    def complete(self, prompt: Prompt, **options: Any) -> Reply:
        """Return the reply to a prompt; see ``ChatClient.complete``."""
        return cast("Reply", self._call("complete", prompt, **options))

    def map(self, prompts: Iterable[Prompt], **options: Any) -> Iterator[Reply]:
        """Yield the replies to prompts; see ``ChatClient.map``.

        The prompts are read on the engine's thread, which they must not keep waiting.
        """
        return self._each(self._call("map", prompts, **options))

    def batch(self, prompts: Iterable[Prompt], **options: Any) -> Iterator[Reply]:
        """Yield the replies to prompts that go to the provider in batches; see ``ChatClient.batch``.

        The prompts are read on the engine's thread, which they must not keep waiting.
        """
        return self._each(self._call("batch", prompts, **options))

    def cancel_batches(self, pipeline: str | None = None) -> int:
        """Have the provider cancel the batches of a pipeline; see ``ChatClient.cancel_batches``."""
        return cast("int", self._call("cancel_batches", pipeline))

    def stream(self, prompt: Prompt, **options: Any) -> Iterator[ReplyPart]:
        """Yield the reply to a prompt while it comes; see ``ChatClient.stream``."""
        return self._each(self._call("stream", prompt, **options))

    def embed(self, texts: Sequence[str], **options: Any) -> list[array[float]]:
        """Return one vector for each text; see ``ChatClient.embed``."""
        return cast("list[array[float]]", self._call("embed", texts, **options))

    def estimate(self, prompts: Iterable[Prompt], **options: Any) -> Estimate:
        """Return what prompts will take at the most; see ``ChatClient.estimate``."""
        return cast("Estimate", self._call("estimate", prompts, **options))

    def statistics(self) -> ChatStatistics:
        """Return what it has done so far; see ``ChatClient.statistics``."""
        if self._open is None and self._told is not None:
            return self._told
        return cast("ChatStatistics", self._call("statistics"))

    def _tell(self, manager: ConcurrencyManager, client: ChatClient) -> None:
        self._told = manager.loops.call(client.statistics)

    def _call(self, name: str, *args: Any, **options: Any) -> Any:
        if self._open is None:
            message = "the client is not open: use `with BlockingChatClient(…) as client` first"
            raise RejectedError(message)
        manager, client = self._open
        manager.loops.main.refuse_on_thread(f"BlockingChatClient.{name}", f"ChatClient.{name}")
        return manager.loops.call(partial(getattr(client, name), *args, **options))

    def _each(self, source: AsyncIterator[T]) -> Iterator[T]:
        assert self._open is not None
        call = self._open[0].loops.call
        try:
            while True:
                try:
                    yield call(_next, source)
                except StopAsyncIteration:
                    return
        finally:
            with suppress(RejectedError):  # whoever keeps it for longer than its engine: that has ended it
                call(source.aclose)  # type: ignore[attr-defined]  # it is a generator


async def _next(source: AsyncIterator[T]) -> T:
    return await anext(source)
