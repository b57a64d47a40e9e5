from __future__ import annotations

import asyncio
import base64
import struct
from typing import TYPE_CHECKING, Any

import pytest

from tenire.core.rate_report import MetricReport
from tenire.errors import (
    AuthenticationError,
    BadRequestError,
    BrokenReplyError,
    ConfigError,
    ModelError,
    RateLimitedError,
    RejectedError,
    ServerError,
)
from tenire.llm.records import ChatRequest, ModelReply, Usage
from tenire.llm.transport import HttpTransport, Timeouts

from .servers import CHAT, HANG, Server, answer, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

KEY = "sk-test-0123456789abcdef"
PROMPT = "the quick brown fox must not be seen"
REQUEST = ChatRequest("small", ({"role": "user", "content": PROMPT},), 80, parameters={"temperature": 0})


def talk(
    *answers: bytes, job: Callable[[HttpTransport], Coroutine[Any, Any, Any]], pieces: int | None = None, **options: Any
) -> tuple[Any, Server]:
    """Do one job against a server with these answers."""

    async def main() -> tuple[Any, Server]:
        async with serving(*answers, pieces=pieces) as server:
            transport = HttpTransport(server.url, **{"api_key": KEY, **options})
            try:
                return await job(transport), server
            finally:
                await transport.close()

    return asyncio.run(main())


def complete(*answers: bytes, **options: Any) -> tuple[ModelReply, Server]:
    return talk(*answers, job=lambda transport: transport.complete(REQUEST), **options)


def failure(*answers: bytes, **options: Any) -> ModelError:
    with pytest.raises(ModelError) as caught:
        complete(*answers, **options)
    shown = repr(caught.value) + str(caught.value) + repr(caught.value.__dict__) + repr(caught.value.__cause__)
    assert KEY not in shown
    assert PROMPT not in shown
    assert caught.value.__context__ is None  # which could hold both
    return caught.value


def test_a_chat_completion_goes_out_and_comes_back() -> None:
    headers = {"x-ratelimit-limit-requests": "500", "x-ratelimit-remaining-requests": "499"}
    reply, server = complete(answer(CHAT, headers=headers))
    assert (reply.text, reply.finish_reason, reply.model, reply.id) == ("hello", "stop", "small-2026", "chat-1")
    assert reply.usage == Usage(9, 3, cached_tokens=4, reasoning_tokens=1)
    assert reply.rates is not None
    assert reply.rates.metrics == {"requests": MetricReport(500, 499)}
    (asked,) = server.asked
    assert asked.line == "POST /v1/chat/completions HTTP/1.1"
    assert asked.headers["authorization"] == f"Bearer {KEY}"
    assert asked.headers["content-type"] == "application/json"
    assert asked.json == {
        "model": "small",
        "messages": [{"role": "user", "content": PROMPT}],
        "temperature": 0,
        "max_tokens": 80,
    }


def test_a_connection_is_used_again() -> None:
    async def twice(transport: HttpTransport) -> None:
        await transport.complete(REQUEST)
        await transport.complete(REQUEST)

    _, server = talk(answer(CHAT), job=twice)
    assert (len(server.asked), server.connections) == (2, 1)


def test_closing_closes_the_connections() -> None:
    async def close(transport: HttpTransport) -> bool:
        await transport.complete(REQUEST)
        session = transport._session
        assert session is not None
        await transport.close()
        return session.closed

    closed, _ = talk(answer(CHAT), job=close)
    assert closed


def test_an_answer_in_small_pieces_is_the_same_answer() -> None:
    reply, _ = complete(answer(CHAT), pieces=7)
    assert reply.text == "hello"


def test_a_refusal_says_what_came_and_hides_prompt_and_key() -> None:
    said = {"error": {"message": f"Rate limit reached for {PROMPT!r} by {KEY}", "code": "rate_limit_exceeded"}}
    headers = {"Retry-After-Ms": "1500", "Set-Cookie": "session=1", "X-Echo": KEY, "x-request-id": f"r-{KEY}"}
    error = failure(answer(said, "429 Too Many Requests", headers))
    assert isinstance(error, RateLimitedError)
    assert (error.status, error.retry_after, error.code) == (429, 1.5, "rate_limit_exceeded")
    assert "429 Too Many Requests" in str(error)
    assert "Rate limit reached for" in str(error)
    assert "/v1/chat/completions" in str(error)
    assert set(error.headers) == {"content-length", "retry-after-ms", "x-request-id"}


def test_a_wrong_key_is_the_users_fault() -> None:
    error = failure(answer({"error": {"message": "Incorrect API key"}}, "401 Unauthorized"))
    assert isinstance(error, AuthenticationError)
    assert error.hint is not None
    assert "key" in error.hint


@pytest.mark.parametrize(
    ("raw", "got"),
    [
        (answer(b""), "an empty body"),
        (answer(b"<html><body>busy</body></html>"), "a page of HTML"),
        (answer(b'{"choices": [{"mess'), "broken JSON"),
        (answer({"id": "x"}), "JSON without choices"),
        (answer({"choices": []}), "JSON without choices"),
        (answer({"choices": [None]}), "a choice without a message"),
        (answer({"choices": [{"finish_reason": "stop", "message": {"content": None}}]}), "a message without content"),
        (answer(CHAT, length=9999), "cut off in the middle"),
        (b"NONSENSE\r\n\r\n", "no HTTP"),
    ],
)
def test_an_answer_that_is_no_reply_says_what_it_is(raw: bytes, got: str) -> None:
    error = failure(raw)
    assert isinstance(error, BrokenReplyError)
    assert got in str(error)
    assert error.charged


def test_a_reply_cut_short_by_its_limit_may_be_empty() -> None:
    cut = {"choices": [{"finish_reason": "length", "message": {"content": None}}]}
    reply, _ = complete(answer(cut))
    assert (reply.text, reply.finish_reason, reply.usage) == ("", "length", None)


def test_a_model_that_has_thought_and_says_nothing_has_answered() -> None:
    silent = {"choices": [{"finish_reason": "stop", "message": {"content": None}}]}
    reply, _ = complete(answer({**silent, "usage": {"prompt_tokens": 9, "completion_tokens": 300}}))
    assert (reply.text, reply.finish_reason, reply.usage) == ("", "stop", Usage(9, 300))
    error = failure(answer({**silent, "usage": {"prompt_tokens": 9, "completion_tokens": 0}}))
    assert isinstance(error, BrokenReplyError)


def test_an_error_in_an_answer_of_status_200_is_that_error() -> None:
    error = failure(answer({"error": {"code": 429, "message": "upstream is busy"}}))
    assert isinstance(error, RateLimitedError)
    error = failure(answer({"error": {"message": "upstream failed"}}))
    assert isinstance(error, ServerError)


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"code": 429}, "choices": [{"finish_reason": "error", "message": {"content": "Half an ans"}}]},
        {"choices": [{"finish_reason": "length", "error": {"code": 429}, "message": {"content": ""}}]},
    ],
)
def test_an_error_beside_or_in_a_choice_is_that_error(body: Any) -> None:
    assert isinstance(failure(answer(body)), RateLimitedError)


@pytest.mark.parametrize("finish", ["error", "abort"])
def test_a_choice_that_ended_in_an_error_is_no_reply(finish: str) -> None:
    body = {"choices": [{"finish_reason": finish, "message": {"content": "Half an ans"}}]}
    assert isinstance(failure(answer(body)), ServerError)


def test_a_connection_closed_without_an_answer_is_a_failure_of_the_server() -> None:
    error = failure(b"HTTP/1.1 200 OK")
    assert isinstance(error, (ServerError, BrokenReplyError))
    assert error.status in (None, 200)


def test_nobody_at_home() -> None:
    async def main() -> None:
        async with serving(HANG) as server:
            url = server.url
        transport = HttpTransport(url)
        try:
            await transport.complete(REQUEST)
        finally:
            await transport.close()

    with pytest.raises(ServerError, match="no connection") as caught:
        asyncio.run(main())
    assert caught.value.code == "connect"
    assert "is the server running" in (caught.value.hint or "")


def test_a_server_that_does_not_speak_https() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(answer(b"", "400 Bad Request"))
        writer.close()

    async def main() -> None:
        server = await asyncio.start_server(refuse, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        transport = HttpTransport(f"https://127.0.0.1:{port}/v1")
        try:
            await transport.complete(REQUEST)
        finally:
            await transport.close()
            server.close()

    with pytest.raises(ServerError, match="no secure connection") as caught:
        asyncio.run(main())
    assert caught.value.code == "tls"
    assert "whether the server speaks https" in (caught.value.hint or "")


@pytest.mark.parametrize("timeouts", [Timeouts(read=0.05), Timeouts(total=0.05)])
def test_a_server_that_hangs_is_given_up(timeouts: Timeouts) -> None:
    error = failure(HANG, timeouts=timeouts)
    assert isinstance(error, ServerError)
    assert (error.code, error.charged) == ("timeout", True)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("size", [10, 3 << 20])
@pytest.mark.parametrize("whole", [True, False])
def test_what_was_sent_whole_and_never_answered_may_be_charged(stream: bool, size: int, whole: bool) -> None:
    async def close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        if whole:
            await reader.readexactly(length)
        writer.transport.abort()

    async def collected(transport: HttpTransport, request: ChatRequest) -> Any:
        return [part async for part in transport.stream(request)]

    async def main() -> ModelError:
        server = await asyncio.start_server(close, "127.0.0.1", 0, limit=4096)
        transport = HttpTransport(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1")
        request = ChatRequest("m", ({"role": "user", "content": "x" * size},))
        try:
            job = collected(transport, request) if stream else transport.complete(request)
            with pytest.raises(ServerError, match="closed without an answer") as caught:
                await job
            return caught.value
        finally:
            await transport.close()
            server.close()

    error = asyncio.run(main())
    # A small request goes in one piece: nobody can tell whether the server has read it.
    assert (error.code, error.charged) == ("disconnected", whole or size < 1000)


def test_an_address_that_moved_is_not_followed() -> None:
    error = failure(answer(b"", "307 Temporary Redirect", {"Location": "http://elsewhere.invalid/"}))
    assert type(error) is ModelError
    assert "base_url" in (error.hint or "")


def test_an_answer_without_end_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenire.llm.transport.LARGEST", 1000)
    error = failure(answer(b" " * 5000))
    assert isinstance(error, BrokenReplyError)
    assert "more than" in str(error)


def test_a_refusal_that_echoes_a_large_request_is_a_refusal() -> None:
    said = {"detail": [{"loc": ["body"], "msg": "Field required", "input": PROMPT * 40_000}]}
    error = failure(answer(said, "422 Unprocessable Entity"))
    assert (type(error), error.status, error.charged) == (BadRequestError, 422, False)


def test_a_refusal_that_is_cut_off_or_cannot_be_unpacked_is_a_refusal() -> None:
    error = failure(answer(b'{"detail"', "422 Unprocessable Entity", length=9999))
    assert (type(error), error.status, error.charged) == (BadRequestError, 422, False)
    packed = {"Content-Encoding": "gzip", "retry-after": "7"}
    error = failure(answer(b"no gzip", "429 Too Many Requests", packed))
    assert (type(error), error.retry_after) == (RateLimitedError, 7)


def test_a_prompt_that_cannot_be_written_is_refused_unsent() -> None:
    half = ChatRequest("small", ({"role": "user", "content": "half \ud800"},))
    with pytest.raises(BadRequestError, match="half a character") as caught:
        talk(answer(CHAT), job=lambda transport: transport.complete(half))
    assert caught.value.__context__ is None
    odd = ChatRequest("small", ({"role": "user", "content": object()},))
    with pytest.raises(ConfigError, match="JSON"):
        talk(answer(CHAT), job=lambda transport: transport.complete(odd))


@pytest.mark.parametrize("name", ["stream", "n", "model", "max_tokens", "max_completion_tokens"])
def test_parameters_must_not_contradict_the_request(name: str) -> None:
    request = ChatRequest("small", (), 80, parameters={name: 2})
    with pytest.raises(ConfigError, match=name):
        talk(answer(CHAT), job=lambda transport: transport.complete(request))


def test_a_large_request_is_sent_whole() -> None:
    text = "x" * (3 << 20)
    request = ChatRequest("small", ({"role": "user", "content": text},))
    _, server = talk(answer(CHAT), job=lambda transport: transport.complete(request))
    assert server.asked[0].json["messages"][0]["content"] == text


def test_embeddings_come_in_the_order_of_the_texts() -> None:
    packed = base64.b64encode(struct.pack("<2f", 0.5, -1.0)).decode()
    data = [{"index": 1, "embedding": [1, 2.5]}, {"index": 0, "embedding": packed}]
    body = {"model": "embed", "data": data, "usage": {"prompt_tokens": 5, "total_tokens": 5}}
    reply, server = talk(answer(body), job=lambda transport: transport.embed("embed", ["a", "b"], dimensions=2))
    assert [list(vector) for vector in reply.vectors] == [[0.5, -1.0], [1.0, 2.5]]
    assert reply.usage == Usage(5)
    assert server.asked[0].line.startswith("POST /v1/embeddings ")
    assert server.asked[0].json == {
        "model": "embed", "input": ["a", "b"], "encoding_format": "base64", "dimensions": 2,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("data", "got"),
    [
        ([], "0 vectors for 2 texts"),
        ([{"index": 0, "embedding": [1]}, {"index": 0, "embedding": [1]}], "wrong numbers"),
        ([{"embedding": [1]}, {"embedding": [1, 2]}], "different lengths"),
        ([{"embedding": [1]}, {"embedding": ["x"]}], "no list of numbers"),
        ([{"embedding": [1]}, {"embedding": "?"}], "not the base64"),
        ([{"embedding": []}, {"embedding": []}], "empty vector"),
        ([{"embedding": [1]}, {"embedding": [1e300]}], "not finite"),
        ([{"embedding": [1]}, {"embedding": "AADAfw=="}], "not finite"),
        (None, "without data"),
    ],
)
def test_vectors_that_cannot_be_right_are_broken(data: Any, got: str) -> None:
    with pytest.raises(BrokenReplyError, match=got):
        talk(answer({"data": data}), job=lambda transport: transport.embed("embed", ["a", "b"]))


def test_a_call_goes_through_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> tuple[ModelReply, Server]:
        async with serving(answer(CHAT)) as proxy:
            place = proxy.url.removeprefix("http://").removesuffix("/v1")
            monkeypatch.setenv("http_proxy", f"http://me:hush@{place}")
            transport = HttpTransport("http://far.invalid/v1", api_key=KEY)
            reply = await transport.complete(REQUEST)
            await transport.close()
            return reply, proxy

    reply, proxy = asyncio.run(main())
    assert reply.text == "hello"
    assert proxy.asked[0].line == "POST http://far.invalid/v1/chat/completions HTTP/1.1"
    assert proxy.asked[0].headers["proxy-authorization"] == "Basic bWU6aHVzaA=="


def test_a_proxy_never_sees_the_key_of_a_call_by_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> Server:
        async with serving(answer(b"", "407 Proxy Authentication Required")) as proxy:
            place = proxy.url.removeprefix("http://").removesuffix("/v1")
            monkeypatch.setenv("https_proxy", f"http://me:hush@{place}")
            transport = HttpTransport("https://far.invalid/v1", api_key=KEY)
            with pytest.raises(ServerError, match="proxy") as caught:
                await transport.complete(REQUEST)
            assert caught.value.code == "proxy"
            await transport.close()
            return proxy

    (asked,) = asyncio.run(main()).asked
    assert asked.line == "CONNECT far.invalid:443 HTTP/1.1"
    assert asked.headers["proxy-authorization"] == "Basic bWU6aHVzaA=="
    assert KEY not in repr(asked)


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200 Connection established\r\n\r\n"], ids=["CONNECT", "TLS"])
@pytest.mark.parametrize("way", ["call", "batches"])
def test_a_proxy_that_falls_silent_is_given_up_as_no_connection(
    monkeypatch: pytest.MonkeyPatch, way: str, said: bytes
) -> None:
    """Batches have no limit but that of the connection, and of silence once there is one."""
    asked: list[bytes] = []

    async def main() -> ServerError:
        hung_up = asyncio.Event()

        async def fall_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            asked.append(await reader.readline())
            writer.write(said)
            await reader.read()
            writer.close()
            hung_up.set()

        proxy = await asyncio.start_server(fall_silent, "127.0.0.1", 0)
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{proxy.sockets[0].getsockname()[1]}")
        timeouts = Timeouts(connect=0.2, read=None, total=None)
        transport = HttpTransport("https://far.invalid/v1", api_key=KEY, timeouts=timeouts)
        try:
            with pytest.raises(ServerError, match="no connection in time") as caught:
                async with asyncio.timeout(20):
                    await (transport.complete(REQUEST) if way == "call" else transport.batches().look("batch_1"))
        finally:
            await transport.close()
            proxy.close()
        await hung_up.wait()
        return caught.value

    error = asyncio.run(main())
    assert asked == [b"CONNECT far.invalid:443 HTTP/1.1\r\n"]
    assert (error.code, error.charged) == ("timeout", False)
    assert "HTTPS_PROXY" in (error.hint or "")


def test_azure_has_its_own_header_and_version() -> None:
    _, server = complete(answer(CHAT), api_version="2025-01-01")
    (asked,) = server.asked
    assert asked.line == "POST /v1/chat/completions?api-version=2025-01-01 HTTP/1.1"
    assert asked.headers["api-key"] == KEY
    assert "authorization" not in asked.headers


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("gpt-4o-mini", "max_tokens"),
        ("llama3:8b", "max_tokens"),
        ("o3-mini", "max_completion_tokens"),
        ("openai/gpt-5", "max_completion_tokens"),
        ("gpt-5.2-mini", "max_completion_tokens"),
    ],
)
def test_the_limit_of_output_goes_by_the_name_that_the_model_knows(model: str, name: str) -> None:
    request = ChatRequest(model, (), 80)
    _, server = talk(answer(CHAT), job=lambda transport: transport.complete(request))
    assert server.asked[0].json == {"model": model, "messages": [], name: 80}
    _, server = talk(answer(CHAT), job=lambda transport: transport.complete(request), max_tokens_name="limit")
    assert server.asked[0].json["limit"] == 80


def test_a_request_that_is_refused_for_its_form_is_written_in_another_once() -> None:
    old = answer({"error": {"message": "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens'."}}, "400 Bad")

    async def thrice(transport: HttpTransport) -> None:
        for _ in range(2):
            await transport.complete(REQUEST)
        await transport.complete(ChatRequest("other", (), 80))

    _, server = talk(old, answer(CHAT), job=thrice)
    names = [next(name for name in asked.json if name.startswith("max")) for asked in server.asked]
    assert names == ["max_tokens", "max_completion_tokens", "max_completion_tokens", "max_tokens"]
    with pytest.raises(BadRequestError):
        _, server = talk(old, job=lambda transport: transport.complete(REQUEST))


@pytest.mark.parametrize("stream", [False, True])
def test_all_that_were_on_their_way_are_written_in_the_other_form(stream: bool) -> None:
    said = {"error": {"message": "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens'."}}
    refused = answer(said, "400 Bad Request")
    good = answer(CHAT, headers={"Content-Type": "application/json"})

    async def ask(transport: HttpTransport) -> str:
        if not stream:
            return (await transport.complete(REQUEST)).text
        return "".join([part.text async for part in transport.stream(REQUEST)])

    async def main() -> tuple[list[str], int]:
        async with serving(judge=lambda asked: refused if "max_tokens" in asked.json else good) as server:
            transport = HttpTransport(server.url)
            try:
                tasks = [asyncio.create_task(ask(transport)) for _ in range(10)]
                return [await task for task in tasks], len(server.asked)
            finally:
                await transport.close()

    assert asyncio.run(main()) == (["hello"] * 10, 20)


def test_what_is_refused_for_good_is_sent_once() -> None:
    async def main() -> int:
        async with serving(
            answer({"error": {"message": "temperature must be at most 2"}}, "400 Bad Request")
        ) as server:
            transport = HttpTransport(server.url)
            with pytest.raises(BadRequestError):
                await transport.complete(REQUEST)
            await transport.close()
            return len(server.asked)

    assert asyncio.run(main()) == 1


def test_vectors_are_asked_for_as_numbers_where_the_server_wants_that() -> None:
    refused = answer({"detail": [{"loc": ["body", "encoding_format"], "msg": "Extra inputs"}]}, "422 Unprocessable")
    reply, server = talk(
        refused, answer({"data": [{"embedding": [1.5]}]}), job=lambda transport: transport.embed("e", ["a"])
    )
    assert list(reply.vectors[0]) == [1.5]
    assert ["encoding_format" in asked.json for asked in server.asked] == [True, False]


def test_a_transport_does_not_show_its_headers() -> None:
    transport = HttpTransport("http://127.0.0.1:9/v1", api_key=KEY, headers={"X-Gate": "hush-hush"})
    assert KEY not in f"{transport} {vars(transport)}"
    assert "hush-hush" not in f"{transport} {vars(transport)}"


def test_a_header_of_the_user_is_sent_and_not_shown_when_the_server_quotes_it() -> None:
    own = {"X-Gate": "hush-hush-1", "Authorization": "Bearer hush-hush-2", "X-Beta": "on"}
    said = {"error": {"message": "X-Gate hush-hush-1 does not go on with hush-hush-2", "code": "hush-hush-1"}}
    with pytest.raises(ModelError) as caught:
        complete(answer(said, "400 Bad Request", {"x-request-id": "r-hush-hush-1"}), headers=own)
    assert "hush" not in f"{caught.value} {vars(caught.value)}"
    assert "X-Gate [header] does not go on with [header]" in str(caught.value)
    _, server = complete(answer(CHAT), headers=own)
    assert server.asked[0].headers["x-gate"] == "hush-hush-1"
    assert server.asked[0].headers["authorization"] == "Bearer hush-hush-2"


@pytest.mark.parametrize(
    ("headers", "text"),
    [
        (["X-Gate"], "headers must be names and values, as in .*, got a list"),
        ({"X Gate": "hush"}, "the name of a header must be .*, got 'X Gate'"),
        ({"X\nGate": "hush"}, "the name of a header must be"),
        ({5: "hush"}, "the name of a header must be .*, got 5"),
        ({"X-Gate": 5}, "the header X-Gate must be a text, got a int"),
        ({"X-Gate": "hush\nX-Other: 1"}, "the header X-Gate must be one line of text"),
        ({"X-Gate": "hush\ud800"}, "the header X-Gate must be one line of text"),
    ],
)
def test_a_header_that_cannot_be_sent_is_refused_and_not_shown(headers: Any, text: str) -> None:
    with pytest.raises(ConfigError, match=text) as caught:
        HttpTransport("http://127.0.0.1:9/v1", headers=headers)
    assert "hush" not in str(caught.value)


def test_a_schema_is_strict_where_it_can_be() -> None:
    closed = {
        "type": "object",
        "properties": {"a": {}},
        "required": ["a"],
        "additionalProperties": False,
        "title": "Ä b",
    }
    for schema, strict, name in (
        (closed, True, "__b"),
        ({**closed, "required": []}, False, "__b"),
        ({}, True, "reply"),
    ):
        request = ChatRequest("m", (), schema=schema)
        _, server = talk(answer(CHAT), job=lambda transport, request=request: transport.complete(request))
        asked = server.asked[0].json["response_format"]
        assert asked == {"type": "json_schema", "json_schema": {"name": name, "schema": schema, "strict": strict}}


def test_a_model_may_refuse_or_call_a_tool() -> None:
    refused = {"choices": [{"finish_reason": "stop", "message": {"content": None, "refusal": "I cannot"}}]}
    reply, _ = complete(answer(refused))
    assert (reply.text, reply.finish_reason) == ("I cannot", "refusal")
    tool = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    called = {"choices": [{"finish_reason": "tool_calls", "message": {"content": None, "tool_calls": [tool]}}]}
    reply, _ = complete(answer(called))
    assert (reply.text, reply.tool_calls) == ("", (tool,))


def test_what_is_closed_stays_closed() -> None:
    async def late(transport: HttpTransport) -> None:
        await transport.close()
        await transport.complete(REQUEST)

    with pytest.raises(RejectedError, match="closed"):
        talk(answer(CHAT), job=late)


def test_cancelling_a_call_leaves_nothing_behind() -> None:
    async def main() -> None:
        async with serving(HANG) as server:
            transport = HttpTransport(server.url)
            task = asyncio.create_task(transport.complete(REQUEST))
            await server.called.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await transport.close()

    asyncio.run(main())
