"""The way to a provider over HTTP: one try of one call.

1. Nothing is retried and nothing waits here, but for the answer. A request that a server
   refused for the way it is written is written in another way, once.
2. Whatever happens ends in a ``ModelError`` that says what was expected, what came and
   where, and that holds neither the prompt nor the key.
3. Connections are kept and used again. How many calls are made at once is decided
   elsewhere, so the pool has no limit of its own.
4. An address that moved is not followed: the key would go with the request.
5. The cancellation of a call of which not all was sent is marked.
"""

from __future__ import annotations

import asyncio
import io
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import IO, TYPE_CHECKING, Any, TypeVar

import msgspec

from tenire.errors import BadRequestError, ConfigError, RejectedError
from tenire.llm.addresses import OPENAI, find_proxy, read_address
from tenire.llm.answers import LARGEST, LARGEST_REFUSAL, beginning, stream_answer, whole
from tenire.llm.connecting import Connector, Sending
from tenire.llm.connection_errors import FAILURES
from tenire.llm.dialects import Dialect, NoReplyError, choose_dialect
from tenire.llm.excerpts import texts_in
from tenire.llm.failures import Call, no_reply, refusal
from tenire.llm.headers import SentHeaders, check_headers
from tenire.llm.http_library import aiohttp
from tenire.llm.keys import ApiKey, SecretHeaders, find_key
from tenire.llm.rate_headers import rate_report
from tenire.llm.rewriting import rewritten, streamed

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from tenire.llm.batches import BatchProvider
    from tenire.llm.records import ChatRequest, EmbeddingReply, ModelReply, StreamPart

__all__ = ["HttpTransport", "Timeouts"]

Part = TypeVar("Part")
Reply = TypeVar("Reply")

_AT_ONCE = 1 << 20  # a body above it is sent in pieces, so that the loop goes on meanwhile
_SILENCE_S = 300.0
_BROKEN_TEXT = "a prompt with half a character in it (a lone surrogate)"


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long one try may take, in seconds.

    Attributes:
        connect: To reach the server: the way through a proxy, and TLS, included.
        read: Between two pieces of an answer, and until the first; ``None`` for no limit, where
            whoever calls has one (files of a batch still have the default).
        total: For all of it, or ``None`` for no limit.
    """

    connect: float = 10.0
    read: float | None = _SILENCE_S
    total: float | None = 600.0

    def __post_init__(self) -> None:
        for name in ("connect", "read", "total"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ConfigError(f"the {name} timeout must be above 0 seconds, got {value!r}", key=f"timeouts.{name}")


class HttpTransport:
    """Calls models of one provider over HTTP.

    Used within one event loop. Connections are made with the first call.

    Args:
        base_url: Of the API, for example ``http://localhost:11434/v1``.
        api_key: The key; or
        api_key_env: the environment variable that holds it. Without either, the usual
            variable of a known provider is used (``OPENAI_API_KEY`` for OpenAI and for
            servers on this machine, ``ANTHROPIC_API_KEY``, …), and none for others.
        api_version: Of Azure's API; makes any host Azure's.
        max_tokens_name: How the provider calls the limit of output tokens, if its models'
            names do not tell: ``max_tokens`` or ``max_completion_tokens``.
        headers: Sent with every call, for example ``OpenAI-Organization``.
        timeouts: Of one try.
        dialect: How the provider wants to be spoken to: ``openai``, ``anthropic``, or ``auto``
            to go by its address.

    Raises:
        ConfigError: If an argument is impossible, or the variable of the key is not set.
        MissingExtraError: If aiohttp is not installed.
    """

    def __init__(
        self,
        base_url: str = OPENAI,
        *,
        api_key: str | ApiKey | None = None,
        api_key_env: str | None = None,
        api_version: str | None = None,
        max_tokens_name: str | None = None,
        headers: Mapping[str, str] | None = None,
        timeouts: Timeouts | None = None,
        dialect: str | Dialect = "auto",
    ) -> None:
        self.address = read_address(base_url, api_version)
        self._dialect = choose_dialect(dialect, self.address, max_tokens_name)
        self._key = find_key(self.address.host, api_key, api_key_env)
        self._timeouts = timeouts or Timeouts()
        own = check_headers(headers)
        self._sent = SentHeaders(own)
        self._headers = SecretHeaders({
            "Content-Type": "application/json",
            "Accept-Encoding": "gzip, deflate",
            "User-Agent": "tenire",
            **self._dialect.headers(self._key),
            **own,
        })  # fmt: skip
        self._proxy = find_proxy(self.address)
        self._proxy_headers = None if self._proxy is None else self._proxy.headers
        if self._proxy_headers is not None and self.address.base.startswith("http:"):
            self._headers.update(self._proxy_headers)  # without a tunnel the proxy reads the request itself
        self._addresses: dict[tuple[str, str], str] = {}
        self._session: aiohttp.ClientSession | None = None
        self._closed = False

    @property
    def identity(self) -> tuple[str, str]:
        """The address, and what is the same for the same address and key and does not tell the key."""
        return self.address.base, f"{self.address.base} {None if self._key is None else self._key.fingerprint}"

    def __repr__(self) -> str:
        return f"HttpTransport({self.address.base!r})"

    async def complete(self, request: ChatRequest) -> ModelReply:
        """Send one request and return the whole reply.

        Raises:
            ModelError: If there is none; its class says who is at fault.
            ConfigError: If the parameters contradict the rest of the request.
        """
        path = self._dialect.chat_path
        call = self._call("a chat completion", path, request.model, request.messages)
        raw, answer = await self._post(call, path, lambda: self._dialect.chat(request))
        return _read(call, answer, lambda: self._dialect.reply(raw, rate_report(answer.headers)))

    def stream(self, request: ChatRequest) -> AsyncGenerator[StreamPart]:
        """Send one request and yield the reply as it comes; the last part holds the whole reply.

        Close the iterator (``contextlib.aclosing``) to end a call before that.

        Raises:
            ModelError: As ``complete``, also after some parts have come.
            ConfigError: If the parameters contradict the rest of the request.
        """
        path = self._dialect.chat_path
        call = self._call("a chat completion", path, request.model, request.messages)
        write = partial(self._dialect.chat, request, stream=True)
        return streamed(self._dialect, call, write, partial(self._parts, call, path))

    async def embed(self, model: str, texts: Sequence[str], *, dimensions: int | None = None) -> EmbeddingReply:
        """Return one vector for each text.

        Args:
            model: Of embeddings.
            texts: At least one.
            dimensions: Numbers in each vector, if the model lets one choose.

        Raises:
            ModelError: If there are none; its class says who is at fault.
        """
        path = self._dialect.embeddings_path
        call = self._call("embeddings", path, model, texts)
        raw, answer = await self._post(call, path, lambda: self._dialect.embedding(model, texts, dimensions))
        return _read(call, answer, lambda: self._dialect.vectors(raw, len(texts), rate_report(answer.headers)))

    async def close(self) -> None:
        """Close all connections. Calls that are made later are refused."""
        self._closed = True
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def batches(self) -> BatchProvider:
        """Return the way to the provider's batch API.

        Raises:
            ConfigError: If it has none that is known.
        """
        from tenire.llm.batches.choosing import batches_of  # rarely needed

        return batches_of(self)

    @property
    def dialect(self) -> Dialect:
        """How the provider is spoken to."""
        return self._dialect

    def exchange(
        self,
        expected: str,
        method: str,
        path: str,
        data: Any = None,
        *,
        file: tuple[str, IO[bytes]] | None = None,
        sized: tuple[int, AsyncIterator[bytes]] | None = None,
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        """Ask for something that is no call of a model; the block reads the answer, which is a good one.

        Args:
            expected: What is asked for, for messages.
            method: Of HTTP.
            path: Such as ``/files``.
            data: What is sent: as JSON, or with a ``file`` the other fields of a form.
            file: The name and the content of a file that is sent.
            sized: In place of both, a body of JSON: its bytes, and their number.

        Raises:
            ModelError: If there is none, or it breaks off in the block.
        """
        call, headers = self.call_of(expected, path), self._headers
        if file is not None:
            headers = SecretHeaders({name: value for name, value in headers.items() if name.lower() != "content-type"})
            data = aiohttp.FormData(data)
            data.add_field("file", file[1], filename=file[0], content_type="application/jsonl")
        elif sized is not None:
            headers, data = SecretHeaders({**headers, "Content-Length": str(sized[0])}), sized[1]
        elif data is not None:
            data = _encoded(call, data)
        sending = (self._session or self._open()).request(
            method,
            self.address.of(path, ""),
            data=data,
            headers=headers,
            allow_redirects=False,
            proxy_headers=self._proxy_headers,
            timeout=_limits(replace(self._timeouts, read=self._timeouts.read or _SILENCE_S, total=None)),
        )
        return asynccontextmanager(_answers)(call, sending, _itself)

    def call_of(self, expected: str, path: str, model: str = "", prompt: Any = None) -> Call:
        """Return how errors name something that is asked for."""
        address = self.address.of(path, "").partition("?")[0]
        return Call(expected, address, model, lambda: texts_in(prompt), self._key, self._sent)

    def _call(self, expected: str, path: str, model: str, prompt: Any) -> Call:
        address = self._address(path, model).partition("?")[0]
        return Call(expected, address, model, lambda: texts_in(prompt), self._key, self._sent)

    def _address(self, path: str, model: str) -> str:
        known = self._addresses.get((path, model))
        if known is None:
            known = self._addresses[path, model] = self.address.of(path, model)
        return known

    async def _post(
        self, call: Call, path: str, write: Callable[[], Mapping[str, Any]]
    ) -> tuple[bytes, aiohttp.ClientResponse]:
        """Send what ``write`` returns, once more if a refused one is written differently now; return the answer."""
        body = write()
        try:
            return await self._exchange(call, path, body)
        except BadRequestError as error:
            other = rewritten(self._dialect, call, error, body, write)
            if other is None:
                raise
        return await self._exchange(call, path, other)

    async def _exchange(self, call: Call, path: str, body: Mapping[str, Any]) -> tuple[bytes, aiohttp.ClientResponse]:
        """Send a body and return that of an answer of status 200."""
        encoded = _encoded(call, body)
        sending = Sending(encoded)
        # What _answers does, for one answer: two generators fewer for each call.
        try:
            async with self._send(call, path, encoded) as answer:
                if answer.status < 300:
                    return await whole(answer, LARGEST), answer
                failure = refusal(call, answer.status, answer.headers, await beginning(answer, LARGEST_REFUSAL))
        except asyncio.CancelledError as error:
            sending.given_up(error)
            raise
        except FAILURES as error:
            failure = sending.broken(call, error)
        except NoReplyError as error:
            failure = no_reply(call, error, answer.headers)
        raise failure  # as in _answers

    def _parts(self, call: Call, path: str, body: Mapping[str, Any]) -> AsyncGenerator[StreamPart]:
        """Send a body and yield the parts of the reply."""
        dialect, encoded = self._dialect, _encoded(call, body)
        return _answers(
            call,
            self._send(call, path, encoded),
            lambda answer: stream_answer(answer, dialect),
            body=encoded,
            charged_once_begun=True,
        )

    def _send(
        self, call: Call, path: str, body: bytes | io.BytesIO
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        session = self._session or self._open()
        return session.post(
            self._address(path, call.model),
            data=body,
            headers=self._headers,  # with each call: those of a session also go to the proxy, and the key with them
            allow_redirects=False,
            proxy_headers=self._proxy_headers,
        )

    def _open(self) -> aiohttp.ClientSession:
        if self._closed:
            raise RejectedError("the connections to the model are closed", hint="make a new client")
        self._session = aiohttp.ClientSession(
            connector=Connector(limit=0, keepalive_timeout=30.0, ttl_dns_cache=60),
            timeout=_limits(self._timeouts),
            cookie_jar=aiohttp.DummyCookieJar(),
            proxy=None if self._proxy is None else self._proxy.url,
        )
        return self._session


def _limits(timeouts: Timeouts) -> aiohttp.ClientTimeout:
    # Not aiohttp's sock_connect, which leaves out what a proxy takes to open the way.
    return aiohttp.ClientTimeout(total=timeouts.total, connect=timeouts.connect, sock_read=timeouts.read)


async def _answers(
    call: Call,
    sending: AbstractAsyncContextManager[aiohttp.ClientResponse],
    read: Callable[[aiohttp.ClientResponse], AsyncGenerator[Part]],
    *,
    body: bytes | io.BytesIO = b"",
    charged_once_begun: bool = False,
) -> AsyncGenerator[Part]:
    """Yield what is read of a good answer; whatever goes wrong becomes a ``ModelError``.

    Args:
        call: What was asked for.
        sending: The request on its way.
        read: Reads a good answer.
        body: Of the request: what has not been sent to its end is not charged for.
        charged_once_begun: Whether an answer of which a part has come is charged for.
    """
    begun, request = False, Sending(body)
    try:
        async with sending as answer:
            if answer.status < 300:
                async with aclosing(read(answer)) as parts:
                    async for part in parts:
                        begun = charged_once_begun
                        yield part
                return
            failure = refusal(call, answer.status, answer.headers, await beginning(answer, LARGEST_REFUSAL))
    except asyncio.CancelledError as error:
        request.given_up(error)
        raise
    except FAILURES as error:
        failure = request.broken(call, error)
    except NoReplyError as error:
        failure = no_reply(call, error, answer.headers)
    failure.charged = failure.charged or begun
    raise failure  # out here, since aiohttp's errors hold the key and would come along as its context


async def _itself(answer: aiohttp.ClientResponse) -> AsyncGenerator[aiohttp.ClientResponse]:
    yield answer


def _encoded(call: Call, body: Mapping[str, Any]) -> bytes | io.BytesIO:
    try:
        encoded = msgspec.json.encode(body)
    except UnicodeEncodeError:
        encoded = None
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigError(f"a request must be writable as JSON: {error}", key="messages") from error
    if encoded is None:  # out here: the exception holds the text
        raise BadRequestError(call.message(_BROKEN_TEXT), hint="clean the text first")
    return encoded if len(encoded) <= _AT_ONCE else io.BytesIO(encoded)


def _read(call: Call, answer: aiohttp.ClientResponse, read: Callable[[], Reply]) -> Reply:
    try:
        return read()
    except NoReplyError as error:
        failure = no_reply(call, error, answer.headers)
    raise failure  # without what the server wrote as its context
