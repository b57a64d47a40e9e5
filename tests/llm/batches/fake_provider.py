"""A provider's batch API without a network: the desk of the test server, on a time that each question moves on."""

from __future__ import annotations

import asyncio
import re
from contextlib import asynccontextmanager
from typing import IO, TYPE_CHECKING, Any

import msgspec

from tenire.clock import SYSTEM_CLOCK
from tenire.errors import ServerError
from tenire.llm.failures import refusal
from tenire.llm.transport import HttpTransport
from tenire.testing.fake_model_server.anthropic import MESSAGES
from tenire.testing.fake_model_server.batches import BatchDesk
from tenire.testing.fake_model_server.http import Request
from tenire.testing.fake_model_server.message_batches import MessageBatchDesk
from tenire.testing.fake_model_server.openai import CHAT
from tenire.testing.fake_model_server.provider import Provider
from tenire.testing.fake_model_server.settings import ServerSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tenire.llm.records import ChatRequest, ModelReply

__all__ = ["FakeTransport", "ServerOfBatches"]


class ServerOfBatches:
    """What outlives the programs that use it: files, batches, and the time.

    Attributes:
        asked: Each question, method and path.
        failing: Questions (a beginning of "METHOD path") that fail, with what, before they
            are answered; with ``lost``, after.
        now: Seconds; each look at a batch takes ``step``.
        expires: When batches expire, one after the other; the last one holds for all others.
        realtime: What was asked at once.
        anthropic: Whether it speaks Anthropic's language in place of OpenAI's.
        deleted: Batches that were deleted.
        on_question: Is told the number of each question before it is answered.
        unlisted: Lists of batches that are still empty, whatever was made.
    """

    def __init__(self, *, step: float = 1.0, anthropic: bool = False, **settings: Any) -> None:
        # What bears no mark is known again by when it was made.
        wall = SYSTEM_CLOCK.wall if anthropic else lambda: 1_700_000_000.0
        self.provider = Provider(ServerSettings.of(batch_seconds=5.0, **settings), wall)
        self.anthropic = anthropic
        self.desk: Any = (MessageBatchDesk if anthropic else BatchDesk)(self.provider)
        self.asked: list[str] = []
        self.deleted: list[Any] = []
        self.failing: list[tuple[str, Exception, bool]] = []
        self.now = 0.0
        self.step = step
        self.realtime: list[ChatRequest] = []
        self.expires: list[float | None] = []
        self.on_question: Callable[[int], object] = lambda number: None
        self.unlisted = 0

    def times(self, beginning: str) -> int:
        """Return how often something was asked."""
        return sum(one.startswith(beginning) for one in self.asked)

    @property
    def sent_lines(self) -> int:
        """Lines of all batches that were made and not refused."""
        every = [*self.desk._batches.values(), *self.deleted]
        return sum(len(batch.lines) for batch in every if getattr(batch, "status", "") != "failed")

    def fail(self, beginning: str, error: Exception | None = None, *, lost: bool = False, times: int = 1) -> None:
        """Have the next such questions fail."""
        error = error or ServerError("the way to the server failed", status=503)
        self.failing += [(beginning, error, lost)] * times

    def answer(self, question: str, request: Request) -> bytes:
        """Answer one question.

        Raises:
            Exception: What it was told to fail with, or what the server refuses with.
        """
        self.asked.append(question)
        self.on_question(len(self.asked))
        if re.match("GET (/messages)?/batches/[^/]*$", question):
            self.now += self.step
        if question.startswith("DELETE /messages/"):
            self.deleted += [one for name, one in self.desk._batches.items() if question.endswith(name)]
        if re.match("POST (/messages)?/batches$", question) and self.expires:
            settings = msgspec.structs.replace(self.provider.settings, batch_expires=self.expires.pop(0))
            self.provider.settings = settings
        if self.unlisted and re.match("GET (/messages)?/batches$", question):
            self.unlisted -= 1
            return b'{"data": [], "has_more": false}'
        found = next((one for one in self.failing if question.startswith(one[0])), None)
        if found is not None:
            self.failing.remove(found)
            if not found[2]:
                raise found[1]
        told = self.desk.handle(request, None, self.now)
        assert told is not None
        if found is not None:
            raise found[1]
        status, body = told
        if status >= 300:
            raise refusal(HttpTransport("http://127.0.0.1:1/v1").call_of("an answer", "/"), status, {}, body)
        return body


class _Answer:
    """What a question is answered with, as far as it is read."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self.content = self

    async def read(self) -> bytes:
        return self._body

    async def iter_any(self) -> AsyncIterator[bytes]:
        half = len(self._body) // 2
        yield self._body[:half]
        yield self._body[half:]


class FakeTransport(HttpTransport):
    """The way of one program to the server."""

    def __init__(self, server: ServerOfBatches) -> None:
        dialect = "anthropic" if server.anthropic else "openai"
        super().__init__("http://127.0.0.1:1/v1", api_key="sk-test-0123456789", dialect=dialect)
        self._server = server

    @asynccontextmanager
    async def exchange(  # type: ignore[override]
        self,
        expected: str,
        method: str,
        path: str,
        data: Any = None,
        *,
        file: tuple[str, IO[bytes]] | None = None,
        sized: tuple[int, AsyncIterator[bytes]] | None = None,
    ) -> AsyncIterator[_Answer]:
        headers, body = {}, b"" if data is None else msgspec.json.encode(data)
        if file is not None:
            headers = {b"content-type": b"multipart/form-data; boundary=mark"}
            body = (
                b'--mark\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
                b'--mark\r\nContent-Disposition: form-data; name="file"; filename="%b"\r\n\r\n%b\r\n--mark--\r\n'
            ) % (file[0].encode(), await asyncio.to_thread(file[1].read))
        if sized is not None:
            body = b"".join([piece async for piece in sized[1]])
            assert len(body) == sized[0]
        plain, _, query = path.partition("?")
        yield _Answer(self._server.answer(f"{method} {plain}", Request(method, f"/v1{plain}", query, headers, body)))

    async def complete(self, request: ChatRequest) -> ModelReply:
        self._server.realtime.append(request)
        _, body = self._server.provider.answer_line(
            MESSAGES if self._server.anthropic else CHAT,
            msgspec.json.encode(self.dialect.chat(request)),
            self._server.now,
        )
        return self.dialect.reply(body, None)
