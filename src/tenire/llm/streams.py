"""A reply that is given on while it comes.

1. It goes the same way as any other: kept replies, quota, budget, tries. Until its first
   words have come a try that fails is made again.
2. What was given on cannot be taken back: a stream that breaks off after that is an error,
   and what it has cost is charged.
3. The whole reply comes last, once it is durable.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING

from tenire.errors import BrokenReplyError, ModelError
from tenire.llm.replies import ReplyPart
from tenire.resilience.tasks import end

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine
    from typing import Any

    from tenire.llm.records import ChatRequest, ModelReply, Transport
    from tenire.llm.replies import Reply

__all__ = ["BROKE_OFF", "Feed", "stream_reply"]

BROKE_OFF = "broke off"
"""The code of the error of a stream that broke off after some of it was given on."""


class Feed:
    """Gives the words of one reply on.

    Attributes:
        characters: Given on so far.
    """

    def __init__(self) -> None:
        self._parts: asyncio.Queue[str | None] = asyncio.Queue()
        self.characters = 0

    def check(self, model: str) -> None:
        """See that nothing was given on by an earlier try.

        Raises:
            BrokenReplyError: If something was.
        """
        if self.characters:
            raise self._broke_off(model)

    async def take(self, transport: Transport, request: ChatRequest) -> ModelReply:
        """Make one try, and give on what comes.

        Raises:
            BrokenReplyError: If it breaks off after something was given on.
            ModelError: If it fails before.
        """
        reply = None
        try:
            async with aclosing(transport.stream(request)) as parts:
                async for part in parts:  # to its end, after which a connection can be used again
                    if part.text:
                        self.characters += len(part.text)
                        self._parts.put_nowait(part.text)
                    reply = part.reply or reply
        except ModelError as error:
            if self.characters:
                raise self._broke_off(request.model) from error
            raise
        if reply is None:
            raise BrokenReplyError(f"the stream of {request.model} ended without a whole reply", charged=True)
        return reply

    def _broke_off(self, model: str) -> BrokenReplyError:
        message = f"the reply of {model} broke off after {self.characters} characters were given on"
        hint = "ask again, or use complete(), which tries again by itself"
        return BrokenReplyError(message, code=BROKE_OFF, charged=True, hint=hint)

    def close(self) -> None:
        """Let the reader come to an end."""
        self._parts.put_nowait(None)

    async def parts(self) -> AsyncIterator[str]:
        """Yield what is given on, until it is closed."""
        while (part := await self._parts.get()) is not None:
            yield part


async def stream_reply(ask: Callable[[Feed], Coroutine[Any, Any, Reply]]) -> AsyncIterator[ReplyPart]:
    """Yield a reply while it comes, the whole of it in the last part.

    Args:
        ask: Returns the reply, and feeds it meanwhile.
    """
    feed = Feed()
    task = asyncio.create_task(ask(feed), name="stream")
    task.add_done_callback(lambda _: feed.close())
    try:
        async for text in feed.parts():
            yield ReplyPart(text)
        reply = await task
        yield ReplyPart("" if feed.characters else reply.text, reply)
    finally:
        await end((task,))
