from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import pytest

from tenire.errors import BadRequestError, BrokenReplyError, ModelError, RateLimitedError, ServerError
from tenire.llm.records import ChatRequest, StreamPart, Usage
from tenire.llm.streams import Feed
from tenire.llm.transport import HttpTransport

from .servers import CHAT, Server, answer, serving

if TYPE_CHECKING:
    from collections.abc import Iterable

REQUEST = ChatRequest("small", ({"role": "user", "content": "hi"},), 80)
DONE = b"data: [DONE]\n\n"


def event(body: Any) -> bytes:
    return f"data: {json.dumps(body)}\n\n".encode()


def delta(text: str | None, finish: str | None = None, **more: Any) -> bytes:
    return event({"id": "1", "model": "m", "choices": [{"delta": {"content": text, **more}, "finish_reason": finish}]})


USAGE = event({"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 2}})
GOOD = (event({"choices": []}), delta(""), delta("hel"), delta("lo"), delta(None, "stop"), USAGE, DONE)


def chunked(events: Iterable[bytes], *, ended: bool = True) -> bytes:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n"
    body = b"".join(b"%x\r\n%s\r\n" % (len(data), data) for data in events)
    return head + b"x-ratelimit-limit-tokens: 9\r\n\r\n" + body + (b"0\r\n\r\n" if ended else b"")


def streamed(raw: bytes, times: int = 1, pieces: int | None = None) -> tuple[list[StreamPart], Server]:
    async def main() -> tuple[list[StreamPart], Server]:
        async with serving(raw, pieces=pieces) as server:
            transport = HttpTransport(server.url)
            parts: list[StreamPart] = []
            try:
                for _ in range(times):
                    parts = []
                    async for part in transport.stream(REQUEST):
                        parts.append(part)
            except ModelError as error:
                error.parts = parts  # type: ignore[attr-defined]
                raise
            finally:
                await transport.close()
            return parts, server

    return asyncio.run(main())


def texts(parts: list[StreamPart]) -> list[str]:
    return [part.text for part in parts]


@pytest.mark.parametrize("pieces", [None, 1, 11])
def test_a_reply_comes_in_parts_and_whole_at_the_end(pieces: int | None) -> None:
    parts, server = streamed(chunked(GOOD), pieces=pieces)
    assert texts(parts) == ["hel", "lo", ""]
    reply = parts[-1].reply
    assert reply is not None
    assert (reply.text, reply.finish_reason, reply.usage, reply.model) == ("hello", "stop", Usage(5, 2), "m")
    assert reply.rates is not None
    assert reply.rates.metrics["tokens"].limit == 9
    assert all(part.reply is None for part in parts[:-1])
    assert server.asked[0].json["stream_options"] == {"include_usage": True}


def test_the_connection_is_used_again() -> None:
    _, server = streamed(chunked(GOOD), times=3)
    assert (len(server.asked), server.connections) == (3, 1)


def test_a_client_uses_the_connection_of_a_stream_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenire.llm.answers._LINGER_S", 60.0)  # the end comes, and be the machine ever so busy

    async def main() -> tuple[list[str], Server]:
        async with serving(chunked(GOOD), pieces=4) as server:
            transport = HttpTransport(server.url)
            try:
                return [(await Feed().take(transport, REQUEST)).text for _ in range(3)], server
            finally:
                await transport.close()

    replies, server = asyncio.run(main())
    assert replies == ["hello"] * 3
    assert server.connections == 1


def test_nothing_after_the_end_counts() -> None:
    parts, _ = streamed(chunked([*GOOD, b"data: {oops\n\n", delta("more")]), pieces=40)
    assert texts(parts) == ["hel", "lo", ""]


def test_a_last_event_without_its_end_counts() -> None:
    parts, _ = streamed(chunked([delta("all"), delta(" of it", "stop")[:-2]]))
    assert texts(parts) == ["all", " of it", ""]


@pytest.mark.parametrize(
    ("raw", "got"),
    [
        (chunked([delta("half")]), "broke off before its end"),
        (chunked([delta("half")], ended=False), "cut off in the middle"),
        (chunked([delta("half"), DONE]), "broke off before its end"),
        (chunked([delta("half"), b"data: {oops\n\n"]), "broken JSON"),
        (chunked([delta("half"), b"data: <html>\n\n"]), "a page of HTML"),
    ],
)
def test_a_stream_that_ends_too_early_is_broken_and_charged(raw: bytes, got: str) -> None:
    with pytest.raises(BrokenReplyError, match=got) as caught:
        streamed(raw)
    assert caught.value.charged
    assert texts(caught.value.parts) == ["half"]  # type: ignore[attr-defined]
    assert caught.value.__context__ is None


def test_an_error_in_the_middle_is_that_error() -> None:
    with pytest.raises(ServerError, match="overheated") as caught:
        streamed(chunked([delta("half"), event({"error": {"code": 502, "message": "overheated"}})]))
    assert caught.value.charged
    with pytest.raises(RateLimitedError) as refused:
        streamed(answer({"error": {}}, "429 Too Many Requests"))
    assert not refused.value.charged


SAID = {"code": 429, "message": "upstream is busy"}
FAILED = {"delta": {}, "finish_reason": "error"}


@pytest.mark.parametrize(
    ("chunk", "expected", "said"),
    [
        ({"error": SAID, "choices": [FAILED]}, RateLimitedError, "upstream is busy"),
        ({"error": SAID, "choices": [{"delta": {"content": "more"}}]}, RateLimitedError, "upstream is busy"),
        ({"choices": [{"delta": {}, "finish_reason": None, "error": SAID}]}, RateLimitedError, "upstream is busy"),
        ({"choices": [FAILED]}, ServerError, "502"),
        ({"choices": [{"delta": {}, "finish_reason": "abort"}]}, ServerError, "502"),
    ],
)
def test_a_choice_that_failed_in_the_middle_is_that_error(chunk: Any, expected: type[ModelError], said: str) -> None:
    with pytest.raises(expected, match=said) as caught:
        streamed(chunked([delta("half"), event(chunk), DONE]))
    assert caught.value.charged
    assert texts(caught.value.parts) == ["half"]  # type: ignore[attr-defined]


def test_a_server_that_does_not_know_how_to_count_is_not_asked_to() -> None:
    async def main() -> tuple[list[StreamPart], Server]:
        refused = answer({"error": {"message": "Unknown field: stream_options"}}, "400 Bad Request")
        async with serving(refused, chunked([delta("all"), delta(None, "stop"), DONE])) as server:
            transport = HttpTransport(server.url)
            parts = [part async for part in transport.stream(REQUEST)]
            await transport.close()
            return parts, server

    parts, server = asyncio.run(main())
    assert texts(parts) == ["all", ""]
    assert ["stream_options" in asked.json for asked in server.asked] == [True, False]


def test_a_reply_that_has_begun_is_not_asked_for_again() -> None:
    late = event({"error": {"code": 400, "message": "stream_options"}})
    with pytest.raises(BadRequestError) as caught:
        streamed(chunked([delta("half"), late]))
    assert caught.value.charged
    assert texts(caught.value.parts) == ["half"]  # type: ignore[attr-defined]


def test_a_server_that_cannot_stream_is_understood() -> None:
    parts, _ = streamed(answer(CHAT, headers={"Content-Type": "application/json"}))
    assert texts(parts) == ["hello"]
    assert parts[0].reply is not None
    assert parts[0].reply.text == "hello"
    with pytest.raises(RateLimitedError):
        streamed(answer({"error": {"code": 429}}, headers={"Content-Type": "application/json"}))


def test_calls_of_tools_are_put_together() -> None:
    first = {"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a"'}}
    events = [delta(None, tool_calls=[first]), delta(None, tool_calls=[{"index": 0, "function": {"arguments": ":1}"}}])]
    parts, _ = streamed(chunked([*events, delta(None, "tool_calls"), DONE]))
    assert parts[-1].reply is not None
    (call,) = parts[-1].reply.tool_calls
    assert call == {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}


def test_a_stream_can_be_left_in_the_middle() -> None:
    async def main() -> str:
        async with serving(chunked([delta("half")], ended=True)) as server:
            transport = HttpTransport(server.url)
            async with aclosing(transport.stream(REQUEST)) as parts:
                first = await anext(parts)
            await transport.close()
            return first.text

    assert asyncio.run(main()) == "half"
