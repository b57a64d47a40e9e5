"""The adapter, against objects shaped as those of the ``openai`` package are."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from tenire.errors import BadRequestError, BrokenReplyError, ConfigError, ModelError, RateLimitedError, ServerError
from tenire.llm.client import ChatClient
from tenire.llm.records import ChatRequest, StreamPart
from tenire.llm.sdk import SdkTransport

from .servers import CHAT
from .test_streaming import GOOD, delta

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine

KEY = "sk-test-0123456789abcdef"
PROMPT = "the quick brown fox must not be seen"
REQUEST = ChatRequest("m", ({"role": "user", "content": PROMPT},), 80, parameters={"top_k": 3})
HEADERS = {"x-ratelimit-limit-tokens": "9", "set-cookie": "c"}


class OpenAIError(Exception):
    pass


class APIStatusError(OpenAIError):
    def __init__(self, status: int, body: Any) -> None:
        super().__init__(f"{status} {body} {KEY}")
        self.status_code = status
        self.response = SimpleNamespace(headers=HEADERS, content=json.dumps(body).encode())


class APIConnectionError(OpenAIError):
    pass


class APITimeoutError(APIConnectionError):
    pass


class ReadError(Exception):
    pass


class PoolTimeout(Exception):  # noqa: N818 - httpx's name
    pass


class Client:
    """Answers with bytes, or fails."""

    api_key = KEY
    base_url = "http://h/v1/"

    def __init__(self, body: Any = None, error: Exception | None = None, pieces: tuple[bytes, ...] = ()) -> None:
        self.asked: dict[str, Any] = {}
        self.options: dict[str, Any] = {}
        self.closed = False
        self.refuses: dict[str, str] = {}
        self.all_asked: list[dict[str, Any]] = []
        raw = SimpleNamespace(create=self._create)
        streaming = SimpleNamespace(create=self._stream)
        self.embeddings = SimpleNamespace(with_raw_response=raw)
        completions = SimpleNamespace(with_raw_response=raw, with_streaming_response=streaming)
        self.chat = SimpleNamespace(completions=completions)
        self._body, self._error, self._pieces = body, error, pieces

    def with_options(self, **options: Any) -> Client:
        self.options = options
        return self

    async def close(self) -> None:
        self.closed = True

    def _refuse(self, asked: dict[str, Any]) -> None:
        self.all_asked.append(asked)
        refused = next((name for name in self.refuses if name in {**asked, **asked.get("extra_body", {})}), None)
        if refused is not None:
            said = self.refuses[refused]
            raise APIStatusError(400, {"error": {"message": f"Unsupported {refused}. {said}"}})

    async def _create(self, **asked: Any) -> Any:
        self.asked = asked
        self._refuse(asked)
        if self._error is not None:
            raise self._error
        return SimpleNamespace(headers=HEADERS, content=json.dumps(self._body).encode())

    @asynccontextmanager
    async def _stream(self, **asked: Any) -> AsyncIterator[Any]:
        self.asked = asked
        self._refuse(asked)

        async def pieces() -> AsyncIterator[bytes]:
            for piece in self._pieces:
                yield piece
            if self._error is not None:
                raise self._error

        yield SimpleNamespace(headers=HEADERS, iter_bytes=pieces)


async def parts_of(transport: SdkTransport) -> list[StreamPart]:
    return [part async for part in transport.stream(REQUEST)]


def failure(job: Coroutine[Any, Any, Any]) -> ModelError:
    with pytest.raises(ModelError) as caught:
        asyncio.run(job)
    assert KEY not in f"{caught.value!r} {caught.value.__dict__}"
    assert PROMPT not in f"{caught.value!r} {caught.value.__dict__}"
    assert caught.value.__context__ is None
    return caught.value


def test_a_call_goes_through_the_users_client_without_its_retries() -> None:
    client = Client(CHAT)
    transport = SdkTransport(client)
    reply = asyncio.run(transport.complete(REQUEST))
    assert reply.text == "hello"
    assert reply.rates is not None
    assert reply.rates.metrics["tokens"].limit == 9
    assert client.options == {"max_retries": 0}
    assert client.asked == {
        "model": "m", "messages": REQUEST.messages, "extra_body": {"top_k": 3, "max_tokens": 80},
    }  # fmt: skip
    asyncio.run(transport.close())
    assert not client.closed
    assert KEY not in repr(transport)


def test_vectors_come_through_it_too() -> None:
    client = Client({"data": [{"embedding": [1, 2]}]})
    reply = asyncio.run(SdkTransport(client).embed("e", ("a",), dimensions=2))
    assert [list(vector) for vector in reply.vectors] == [[1.0, 2.0]]
    assert client.asked == {"model": "e", "input": ["a"], "encoding_format": "base64", "dimensions": 2}


def test_a_stream_comes_through_it_too() -> None:
    parts = asyncio.run(parts_of(SdkTransport(Client(pieces=GOOD))))
    assert [part.text for part in parts] == ["hel", "lo", ""]


def limits(client: Client) -> list[str]:
    return [name for asked in client.all_asked for name in asked["extra_body"] if name.startswith("max")]


@pytest.mark.parametrize("streamed", [False, True])
def test_a_request_that_is_refused_for_its_form_is_written_in_another_once(streamed: bool) -> None:
    client = Client(CHAT, pieces=GOOD)
    client.refuses = {"max_tokens": "Use 'max_completion_tokens'."}
    transport = SdkTransport(client)

    async def twice() -> None:
        for _ in range(2):
            if streamed:
                assert [part.text for part in await parts_of(transport)] == ["hel", "lo", ""]
            else:
                assert (await transport.complete(REQUEST)).text == "hello"

    asyncio.run(twice())
    assert limits(client) == ["max_tokens", "max_completion_tokens", "max_completion_tokens"]
    client.refuses = {"max_completion_tokens": "No, 'max_completion_tokens' is not known."}
    job = parts_of(transport) if streamed else transport.complete(REQUEST)
    assert type(failure(job)) is BadRequestError
    assert len(client.all_asked) == 4  # it was learned once: two servers behind one address end here


def test_a_stream_is_not_asked_to_count_where_the_server_does_not_know_how() -> None:
    client = Client(pieces=GOOD)
    client.refuses = {"stream_options": "What is that?"}
    assert len(asyncio.run(parts_of(SdkTransport(client)))) == 3
    assert ["stream_options" in asked["extra_body"] for asked in client.all_asked] == [True, False]


def test_vectors_are_asked_for_as_numbers_where_they_do_not_come_packed() -> None:
    client = Client({"data": [{"embedding": [1, 2]}]})
    transport = SdkTransport(client)
    asked = client._create

    async def create(**given: Any) -> Any:
        client.refuses = {} if given["encoding_format"] == "float" else {"encoding_format": "Only numbers."}
        return await asked(**given)

    client.embeddings.with_raw_response.create = create
    assert len(asyncio.run(transport.embed("e", ("a",))).vectors) == 1
    assert [asked["encoding_format"] for asked in client.all_asked] == ["base64", "float"]


def test_its_key_is_taken_out_of_what_a_server_says() -> None:
    client = Client(error=APIStatusError(400, {"error": {"message": "bad hunter-two"}}))
    client.api_key = "hunter-two"
    error = failure(SdkTransport(client).complete(REQUEST))
    assert "bad [key]" in str(error)
    assert "http://h/v1/chat/completions" in str(error)


def test_its_failures_are_ours() -> None:
    said = {"error": {"message": f"busy with {PROMPT}", "code": "rate_limit_exceeded"}}
    error = failure(SdkTransport(Client(error=APIStatusError(429, said))).complete(REQUEST))
    assert isinstance(error, RateLimitedError)
    assert (error.code, error.headers) == ("rate_limit_exceeded", {"x-ratelimit-limit-tokens": "9"})
    error = failure(SdkTransport(Client(error=APITimeoutError("slow"))).complete(REQUEST))
    assert (type(error), error.code, error.charged) == (ServerError, "timeout", True)
    error = failure(SdkTransport(Client(error=APIConnectionError("off"))).embed("e", ["a"]))
    assert (type(error), error.code) == (ServerError, "connect")
    cut = APIConnectionError("off")
    cut.__cause__ = ReadError()
    error = failure(SdkTransport(Client(error=cut)).complete(REQUEST))
    assert (error.code, error.charged) == ("disconnected", True)
    unsent = APITimeoutError("no place in the pool")
    unsent.__cause__ = PoolTimeout()
    error = failure(SdkTransport(Client(error=unsent)).complete(REQUEST))
    assert (error.code, error.charged) == ("timeout", False)
    assert type(failure(SdkTransport(Client(error=OpenAIError("?"))).complete(REQUEST))) is BrokenReplyError
    assert type(failure(SdkTransport(Client({"id": "1"})).complete(REQUEST))) is BrokenReplyError


def test_a_stream_that_breaks_off_is_charged() -> None:
    error = failure(parts_of(SdkTransport(Client(error=APITimeoutError("slow"), pieces=(delta("half"),)))))
    assert error.charged
    assert not failure(parts_of(SdkTransport(Client(error=APIConnectionError("off"))))).charged
    assert failure(parts_of(SdkTransport(Client(error=APIConnectionError("off"), pieces=(delta("half"),))))).charged
    assert type(failure(parts_of(SdkTransport(Client(pieces=(delta("half"),)))))) is BrokenReplyError


def test_what_is_no_failure_of_the_call_is_raised_as_it_is() -> None:
    with pytest.raises(ZeroDivisionError):
        asyncio.run(SdkTransport(Client(error=ZeroDivisionError())).complete(REQUEST))
    with pytest.raises(ZeroDivisionError):
        asyncio.run(parts_of(SdkTransport(Client(error=ZeroDivisionError()))))


def test_a_client_for_models_takes_the_users_as_it_is() -> None:
    theirs = Client(CHAT)

    async def scenario() -> str:
        async with ChatClient("m", transport=theirs) as client:
            return (await client.complete("Hello")).text

    assert asyncio.run(scenario()) == CHAT["choices"][0]["message"]["content"]
    assert theirs.options == {"max_retries": 0}
    assert not theirs.closed


@pytest.mark.parametrize("client", [object(), SimpleNamespace(with_options=lambda **_: None, close=lambda: None)])
def test_what_is_no_such_client_is_refused(client: Any) -> None:
    with pytest.raises(ConfigError, match=r"must be an openai\.AsyncOpenAI, got"):
        SdkTransport(client)
