"""The way to a provider through a client of the ``openai`` package that the user made.

For those who have one already: with their own HTTP client, proxies, certificates or ways
to sign in. It costs several times the processor time of ``HttpTransport``. Its own retries
are turned off, since a guard retries, within a budget and when the quota allows it. A request
that the server refuses for the way it is written is written in another way, once.
"""

from __future__ import annotations

from contextlib import aclosing
from functools import partial
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from tenire.errors import BadRequestError, ConfigError
from tenire.llm.answers import stream_parts
from tenire.llm.dialects import NoReplyError, OpenAIDialect
from tenire.llm.excerpts import texts_in
from tenire.llm.failures import DISCONNECTED, Call, broken, no_reply, refusal, unanswered
from tenire.llm.keys import ApiKey
from tenire.llm.rate_headers import rate_report
from tenire.llm.rewriting import rewritten, streamed

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence

    from tenire.core.rate_report import RateReport
    from tenire.errors import ModelError
    from tenire.llm.records import ChatRequest, EmbeddingReply, ModelReply, StreamPart

__all__ = ["SdkClient", "SdkTransport"]

Reply = TypeVar("Reply")

_NEVER_SENT = ("ConnectTimeout", "PoolTimeout")  # of httpx, below the client's own
_NAMED = ("model", "messages", "input", "encoding_format", "dimensions", "stream")


class SdkClient(Protocol):
    """An ``openai.AsyncOpenAI``, or its kind for Azure."""

    @property
    def with_options(self) -> Any:
        """Return the same client with other options."""
        ...

    async def close(self) -> None:
        """Close its connections."""
        ...


class SdkTransport:
    """Calls models through an ``openai.AsyncOpenAI``, or its kind for Azure.

    The client remains the user's: ``close`` does not close it.

    Args:
        client: The user's.
        max_tokens_name: As ``HttpTransport``'s.

    Raises:
        ConfigError: If it is not such a client.
    """

    def __init__(self, client: Any, *, max_tokens_name: str | None = None) -> None:
        if not callable(getattr(client, "with_options", None)) or not iscoroutinefunction(
            getattr(client, "close", None)
        ):
            raise ConfigError(
                f"client must be an openai.AsyncOpenAI, got {type(client).__name__}",
                key="client",
                hint="make one with openai.AsyncOpenAI(), or leave it out",
            )
        self._client = client.with_options(max_retries=0)
        self._dialect = OpenAIDialect(max_tokens_name)
        key = getattr(client, "api_key", None)
        self._key = ApiKey(key) if isinstance(key, str) and key.strip() else None
        self._base = str(getattr(client, "base_url", "")).split("?")[0].rstrip("/") or "the client's server"

    @property
    def identity(self) -> tuple[str, str]:
        """The address, and what is the same for the same address and key and does not tell the key."""
        return self._base, f"{self._base} {None if self._key is None else self._key.fingerprint}"

    def __repr__(self) -> str:
        return f"SdkTransport({self._base!r})"

    async def complete(self, request: ChatRequest) -> ModelReply:
        """Send one request and return the whole reply; raises as ``HttpTransport.complete``."""
        call = self._call("a chat completion", self._dialect.chat_path, request.model, request.messages)
        create = self._client.chat.completions.with_raw_response.create
        return await self._made(call, create, lambda: self._dialect.chat(request), self._dialect.reply)

    def stream(self, request: ChatRequest) -> AsyncGenerator[StreamPart]:
        """Send one request and yield the reply as it comes; raises as ``HttpTransport.stream``."""
        call = self._call("a chat completion", self._dialect.chat_path, request.model, request.messages)
        write = partial(self._dialect.chat, request, stream=True)
        return streamed(self._dialect, call, write, partial(self._parts, call))

    async def _parts(self, call: Call, body: Mapping[str, Any]) -> AsyncGenerator[StreamPart]:
        begun = False
        headers: Mapping[str, str] = {}
        try:
            async with self._client.chat.completions.with_streaming_response.create(**_arguments(body)) as answer:
                headers = answer.headers
                rates = rate_report(headers)
                async with aclosing(stream_parts(answer.iter_bytes(), self._dialect, rates)) as parts:
                    async for part in parts:
                        begun = True
                        yield part
                return
        except Exception as error:
            failure = _failure(call, error, headers)
            if failure is None:
                raise
        failure.charged = failure.charged or begun
        raise failure

    async def embed(self, model: str, texts: Sequence[str], *, dimensions: int | None = None) -> EmbeddingReply:
        """Return one vector for each text; raises as ``HttpTransport.embed``."""
        call = self._call("embeddings", self._dialect.embeddings_path, model, texts)
        create = self._client.embeddings.with_raw_response.create

        def write() -> dict[str, Any]:
            # Where nothing is said, the client asks for packed numbers itself.
            return {"encoding_format": "float", **self._dialect.embedding(model, list(texts), dimensions)}

        return await self._made(
            call, create, write, lambda content, rates: self._dialect.vectors(content, len(texts), rates)
        )

    async def close(self) -> None:
        """Do nothing: the client is the user's."""

    @property
    def dialect(self) -> OpenAIDialect:
        """How the provider is spoken to."""
        return self._dialect

    async def _made(
        self,
        call: Call,
        create: Callable[..., Awaitable[Any]],
        write: Callable[[], Mapping[str, Any]],
        read: Callable[[bytes, RateReport | None], Reply],
    ) -> Reply:
        """Send what ``write`` returns, once more if a refused one is written differently now; return the reply."""
        body = write()
        try:
            return await _made(call, create, body, read)
        except BadRequestError as error:
            other = rewritten(self._dialect, call, error, body, write)
            if other is None:
                raise
        return await _made(call, create, other, read)

    def _call(self, expected: str, path: str, model: str, prompt: Any) -> Call:
        return Call(expected, self._base + path, model, lambda: texts_in(prompt), self._key)


async def _made(
    call: Call,
    create: Callable[..., Awaitable[Any]],
    body: Mapping[str, Any],
    read: Callable[[bytes, RateReport | None], Reply],
) -> Reply:
    headers: Mapping[str, str] = {}
    try:
        answer = await create(**_arguments(body))
        headers = answer.headers
        return read(answer.content, rate_report(headers))
    except Exception as error:
        failure = _failure(call, error, headers)
        if failure is None:
            raise
    raise failure  # out here: the client's errors hold the request


def _arguments(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments for a body: what the client may not know by name goes along as it is."""
    named = {name: value for name, value in body.items() if name in _NAMED}
    others = {name: value for name, value in body.items() if name not in _NAMED}
    return {**named, "extra_body": others} if others else named


def _failure(call: Call, error: Exception, headers: Mapping[str, str]) -> ModelError | None:
    """Return the error for what the client raised, or ``None`` if that has nothing to do with the call."""
    if isinstance(error, NoReplyError):
        return no_reply(call, error, headers)
    kinds = {kind.__name__ for kind in type(error).__mro__}
    response = getattr(error, "response", None)
    status = getattr(error, "status_code", None)
    if isinstance(status, int) and response is not None:
        return refusal(call, status, response.headers, _content(response))
    cause = type(error.__cause__).__name__
    if cause in _NEVER_SENT:
        return unanswered(call, "no connection in time", code="timeout", hint="is the server running, and reachable?")
    if kinds & {"APITimeoutError", "TimeoutException", "TimeoutError"}:
        return unanswered(
            call, "no answer in time", code="timeout", charged=True, hint="raise the timeout of the client"
        )
    if "APIConnectionError" in kinds and cause in ("RemoteProtocolError", "ReadError"):
        return unanswered(call, "a connection that was closed without a whole answer", code=DISCONNECTED, charged=True)
    if "APIConnectionError" in kinds:
        return unanswered(call, "no connection", code="connect", hint="is the server running, and is base_url right?")
    if kinds & {"OpenAIError", "HTTPError", "StreamError"}:
        return broken(call, f"an answer that was cut off or is no reply ({type(error).__name__})")
    return None


def _content(response: Any) -> bytes:
    try:
        content = response.content
    except RuntimeError:  # httpx's ResponseNotRead: it was not read, and cannot be any more
        return b""
    return content if isinstance(content, bytes) else b""
