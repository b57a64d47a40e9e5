from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tenire.errors import BrokenReplyError, ConfigError, ServerError
from tenire.llm.addresses import read_address
from tenire.llm.dialects import AnthropicDialect, OpenAIDialect, choose_dialect
from tenire.llm.records import ChatRequest, ModelReply, StreamPart, Usage
from tenire.llm.transport import HttpTransport

from .servers import Server, answer, serving

MESSAGE = {
    "id": "msg-1", "type": "message", "model": "claude", "stop_reason": "end_turn",
    "content": [
        {"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "hel"}, {"type": "text", "text": "lo"},
    ],
    "usage": {"input_tokens": 9, "output_tokens": 3, "cache_read_input_tokens": 100, "cache_creation_input_tokens": 5},
}  # fmt: skip
REQUEST = ChatRequest(
    "claude",
    (
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "hi"},
    ),
    parameters={"stop": "END", "temperature": 0},
)


def complete(body: Any, request: ChatRequest = REQUEST) -> tuple[ModelReply, Server]:
    async def main() -> tuple[ModelReply, Server]:
        async with serving(body if isinstance(body, bytes) else answer(body)) as server:
            transport = HttpTransport(server.url, api_key="sk-ant-0123456789", dialect="anthropic")
            try:
                return await transport.complete(request), server
            finally:
                await transport.close()

    return asyncio.run(main())


def stream(events: list[dict[str, Any]]) -> list[StreamPart]:
    raw = b"".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events)

    async def main() -> list[StreamPart]:
        async with serving(answer(raw, headers={"Content-Type": "text/event-stream"})) as server:
            transport = HttpTransport(server.url, dialect="anthropic")
            try:
                return [part async for part in transport.stream(REQUEST)]
            finally:
                await transport.close()

    return asyncio.run(main())


def sent(request: ChatRequest) -> dict[str, Any]:
    return AnthropicDialect().chat(request)


def test_a_message_goes_out_and_comes_back() -> None:
    reply, server = complete(MESSAGE)
    assert (reply.text, reply.finish_reason, reply.model, reply.id) == ("hello", "stop", "claude", "msg-1")
    assert reply.usage == Usage(114, 3, cached_tokens=100)
    (asked,) = server.asked
    assert asked.line == "POST /v1/messages HTTP/1.1"
    assert asked.headers["x-api-key"] == "sk-ant-0123456789"
    assert asked.headers["anthropic-version"] == "2023-06-01"
    assert "authorization" not in asked.headers
    assert asked.json == {
        "model": "claude",
        "max_tokens": 4096,
        "messages": [{"role": "user", "content": "hi"}],
        "system": [{"type": "text", "text": "Be brief."}],
        "stop_sequences": ["END"],
        "temperature": 0,
    }


@pytest.mark.parametrize(
    ("reason", "finish"), [("max_tokens", "length"), ("stop_sequence", "stop"), ("refusal", "refusal"), (None, "")]
)
def test_the_end_of_a_reply_has_the_same_names_as_elsewhere(reason: str | None, finish: str) -> None:
    reply, _ = complete({**MESSAGE, "stop_reason": reason})
    assert reply.finish_reason == finish


def test_pictures_are_translated() -> None:
    parts = [
        {"type": "text", "text": "what is it?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
        {"type": "image_url", "image_url": {"url": "https://x/y.png"}},
    ]
    body = sent(ChatRequest("c", ({"role": "user", "content": parts},), 5))
    assert body["max_tokens"] == 5
    assert "system" not in body
    assert body["messages"][0]["content"] == [
        parts[0],
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
        {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}},
    ]


def test_a_schema_becomes_a_tool_that_must_be_called() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    body = sent(ChatRequest("c", (), schema=schema))
    assert body["tools"][0]["input_schema"] == schema
    assert body["tool_choice"] == {"type": "tool", "name": "reply"}
    called = {"type": "tool_use", "id": "t", "name": "reply", "input": {"a": 1}}
    reply, _ = complete({**MESSAGE, "content": [called], "stop_reason": "tool_use"})
    assert (json.loads(reply.text), reply.finish_reason, reply.tool_calls) == ({"a": 1}, "stop", ())


def test_a_schema_of_a_list_travels_in_an_object() -> None:
    schema = {"type": "array", "items": {"$ref": "#/$defs/x"}, "$defs": {"x": {"type": "string"}}}
    outer = sent(ChatRequest("c", (), schema=schema))["tools"][0]["input_schema"]
    assert outer["properties"]["value"] == {"type": "array", "items": {"$ref": "#/$defs/x"}}
    assert outer["$defs"] == schema["$defs"]
    called = {"type": "tool_use", "id": "t", "name": "reply_value", "input": {"value": ["ä"]}}
    reply, _ = complete({**MESSAGE, "content": [called], "stop_reason": "tool_use"})
    assert reply.text == '["ä"]'


def test_tools_of_the_users_are_handed_on() -> None:
    called = {"type": "tool_use", "id": "t", "name": "weather", "input": {"at": "here"}}
    reply, _ = complete({**MESSAGE, "content": [called], "stop_reason": "tool_use"})
    assert (reply.text, reply.finish_reason, reply.tool_calls) == ("", "tool_calls", (called,))


STREAM: list[dict[str, Any]] = [
    {"type": "message_start", "message": {"id": "m1", "model": "claude", "usage": {"input_tokens": 7}}},
    {"type": "ping"},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "hel"}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "lo"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 4}},
    {"type": "message_stop"},
]  # fmt: skip


def test_a_message_comes_in_parts_and_whole_at_the_end() -> None:
    parts = stream(STREAM)
    assert [part.text for part in parts] == ["hel", "lo", ""]
    reply = parts[-1].reply
    assert reply is not None
    assert (reply.text, reply.usage, reply.id, reply.finish_reason) == ("hello", Usage(7, 4), "m1", "stop")


def test_an_object_can_be_streamed() -> None:
    block = {"type": "tool_use", "id": "t", "name": "reply", "input": {}}
    pieces = [{"type": "input_json_delta", "partial_json": piece} for piece in ("", '{"a"', ": 1}")]
    deltas = [{"type": "content_block_delta", "index": 0, "delta": piece} for piece in pieces]
    start = {"type": "content_block_start", "index": 0, "content_block": block}
    parts = stream([STREAM[0], start, *deltas, {"type": "message_delta", "delta": {"stop_reason": "tool_use"}}])
    assert [part.text for part in parts] == ['{"a"', ": 1}", ""]
    assert parts[-1].reply is not None
    assert json.loads(parts[-1].reply.text) == {"a": 1}


@pytest.mark.parametrize("length", [0, 3, 5])
def test_a_stream_that_ends_too_early_is_broken(length: int) -> None:
    with pytest.raises(BrokenReplyError, match="broke off"):
        stream(STREAM[:length] or [{"type": "ping"}])


def test_errors_are_known() -> None:
    overloaded = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    with pytest.raises(ServerError, match="529 Overloaded") as caught:
        complete(answer(overloaded, "529 Overloaded"))
    assert caught.value.code == "overloaded_error"
    with pytest.raises(ServerError):
        stream([*STREAM[:4], overloaded])
    with pytest.raises(BrokenReplyError, match="JSON without content"):
        complete({"type": "message"})


def test_there_are_no_embeddings() -> None:
    async def main() -> None:
        transport = HttpTransport("http://127.0.0.1:9/v1", dialect="anthropic")
        await transport.embed("m", ["a"])

    with pytest.raises(ConfigError, match="no embeddings"):
        asyncio.run(main())


def test_the_dialect_goes_by_the_address() -> None:
    of = read_address
    assert isinstance(choose_dialect("auto", of("https://api.anthropic.com"), None), AnthropicDialect)
    assert isinstance(choose_dialect("auto", of("http://localhost/v1"), None), OpenAIDialect)
    mine = AnthropicDialect()
    assert choose_dialect(mine, of("http://localhost/v1"), None) is mine
    with pytest.raises(ConfigError, match="got 'latin'"):
        choose_dialect("latin", of("http://localhost/v1"), None)
    assert of("https://api.anthropic.com").of("/messages", "m") == "https://api.anthropic.com/v1/messages"
