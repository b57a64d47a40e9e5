"""Whatever a server sends, a dialect reads it or says that it is no reply."""

from __future__ import annotations

import copy
import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenire.llm.dialects import AnthropicDialect, Dialect, NoReplyError, OpenAIDialect
from tenire.llm.records import ModelReply, Usage

if TYPE_CHECKING:
    from collections.abc import Iterator

OPENAI, ANTHROPIC = OpenAIDialect(), AnthropicDialect()
ODD: list[Any] = [None, True, 0, -1, 3, 1e308, 2.5, 10**30, "", "x", "\ud800", [], [1], [[]], {}, {"a": 1}, [{}]]

CALL = {"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
OPENAI_USAGE = {
    "prompt_tokens": 9,
    "completion_tokens": 3,
    "prompt_tokens_details": {"cached_tokens": 4},
    "completion_tokens_details": {"reasoning_tokens": 1},
}
OPENAI_REPLY = {
    "id": "1", "model": "m", "object": "chat.completion", "usage": OPENAI_USAGE, "error": None,
    "choices": [
        {"finish_reason": "stop", "message": {"content": [{"text": "a"}], "refusal": None, "tool_calls": [CALL]}}
    ],
}  # fmt: skip
OPENAI_STREAM = [
    {"id": "1", "model": "m", "choices": [{"delta": {"content": "a", "refusal": "no", "tool_calls": [CALL]}}]},
    {"choices": [{"delta": {}, "finish_reason": "stop"}], "usage": OPENAI_USAGE},
]
VECTORS = {"model": "m", "data": [{"index": 0, "embedding": "AACAPw=="}, {"index": 1, "embedding": [1.0]}]}
TOOL = {"type": "tool_use", "id": "t", "name": "reply", "input": {"a": 1}}
ANTHROPIC_USAGE = {"input_tokens": 9, "output_tokens": 3, "cache_read_input_tokens": 1}
ANTHROPIC_REPLY = {
    "id": "1", "type": "message", "model": "m", "stop_reason": "end_turn", "usage": ANTHROPIC_USAGE, "error": None,
    "content": [{"type": "text", "text": "a"}, TOOL, {**TOOL, "name": "reply_value"}, {**TOOL, "name": "other"}],
}  # fmt: skip
ANTHROPIC_STREAM = [
    {"type": "message_start", "message": {"id": "1", "model": "m", "usage": ANTHROPIC_USAGE}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": "a"}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "b"}},
    {"type": "content_block_start", "index": 1, "content_block": TOOL},
    {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": "{}"}},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": ANTHROPIC_USAGE},
    {"type": "message_stop"},
]


def paths(value: Any, so_far: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the way to each value within a value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in inner:
        yield (*so_far, key)
        yield from paths(part, (*so_far, key))


def spoilt(value: Any) -> Iterator[Any]:
    """Yield a value with each of its parts replaced by each odd one, or left out."""
    for path in paths(value):
        for odd in ODD:
            yield from replaced(value, path, odd)
        yield from replaced(value, path)


def replaced(value: Any, path: tuple[Any, ...], *odd: Any) -> Iterator[Any]:
    other = copy.deepcopy(value)
    place = other
    for key in path[:-1]:
        place = place[key]
    if odd:
        place[path[-1]] = odd[0]
    else:
        del place[path[-1]]
    yield other


def check(reply: ModelReply) -> None:
    for words in (reply.text, reply.finish_reason, reply.model, reply.id):
        assert isinstance(words, str)
    assert isinstance(reply.tool_calls, tuple)
    if reply.usage is not None:
        assert isinstance(reply.usage, Usage)
        counts = (reply.usage.input_tokens, reply.usage.output_tokens, reply.usage.cached_tokens)
        assert all(isinstance(number, int) and number >= 0 for number in counts)


def read(dialect: Dialect, body: bytes) -> None:
    with suppress(NoReplyError):
        check(dialect.reply(body, None))
    with suppress(NoReplyError):
        found = dialect.vectors(body, 2, None).vectors
        assert len(found) == 2
        assert all(isinstance(number, float) for vector in found for number in vector)


def read_stream(dialect: Dialect, bodies: Any) -> None:
    reader = dialect.reader()
    with suppress(NoReplyError):
        for body in bodies if isinstance(bodies, list) else [bodies]:
            assert isinstance(reader.feed(json.dumps(body).encode()), str)
        check(reader.reply(None))


WHOLE = [(OPENAI, OPENAI_REPLY), (OPENAI, VECTORS), (ANTHROPIC, ANTHROPIC_REPLY)]
STREAMS = [(OPENAI, OPENAI_STREAM), (ANTHROPIC, ANTHROPIC_STREAM)]


@pytest.mark.parametrize(("dialect", "good"), WHOLE, ids=["reply", "vectors", "message"])
def test_one_wrong_part_of_a_body_is_survived(dialect: Dialect, good: Any) -> None:
    for body in spoilt(good):
        read(dialect, json.dumps(body).encode())


@pytest.mark.parametrize(("dialect", "good"), STREAMS, ids=["openai", "anthropic"])
def test_one_wrong_part_of_a_stream_is_survived(dialect: Dialect, good: Any) -> None:
    for bodies in spoilt(good):
        read_stream(dialect, bodies)


@pytest.mark.parametrize("dialect", [OPENAI, ANTHROPIC], ids=["openai", "anthropic"])
@given(st.binary(max_size=60))
def test_no_bytes_are_too_strange(dialect: Dialect, body: bytes) -> None:
    read(dialect, body)
    with suppress(NoReplyError):
        dialect.reader().feed(body)


@pytest.mark.parametrize("dialect", [OPENAI, ANTHROPIC], ids=["openai", "anthropic"])
def test_deep_nesting_is_no_reply(dialect: Dialect) -> None:
    with pytest.raises(NoReplyError):
        dialect.reply(b'{"a":' + b"[" * 100_000, None)


@pytest.mark.parametrize(("dialect", "good"), WHOLE[::2], ids=["openai", "anthropic"])
def test_the_good_bodies_are_good(dialect: Dialect, good: Any) -> None:
    assert dialect.reply(json.dumps(good).encode(), None).text.startswith("a")


@pytest.mark.parametrize("said", [0, -1, "9", None, 1e12])
def test_a_count_that_cannot_be_one_of_a_prompt_is_no_count(said: Any) -> None:
    openai = {**OPENAI_REPLY, "usage": {"prompt_tokens": said, "completion_tokens": 0, "total_tokens": 0}}
    assert OPENAI.reply(json.dumps(openai).encode(), None).usage is None
    vectors = {**VECTORS, "usage": {"prompt_tokens": said, "total_tokens": said}}
    assert OPENAI.vectors(json.dumps(vectors).encode(), 2, None).usage is None
    anthropic = {**ANTHROPIC_REPLY, "usage": {"input_tokens": said, "output_tokens": 0}}
    assert ANTHROPIC.reply(json.dumps(anthropic).encode(), None).usage is None


def test_a_prompt_that_is_cached_as_a_whole_is_counted() -> None:
    body = {**ANTHROPIC_REPLY, "usage": {"input_tokens": 0, "output_tokens": 2, "cache_read_input_tokens": 90}}
    assert ANTHROPIC.reply(json.dumps(body).encode(), None).usage == Usage(90, 2, 90)


def test_a_stream_that_counts_nothing_in_its_end_is_counted_as_before() -> None:
    reader = OPENAI.reader()
    for body in (*OPENAI_STREAM, {"choices": [], "usage": {"prompt_tokens": 0, "completion_tokens": 0}}):
        reader.feed(json.dumps(body).encode())
    usage = reader.reply(None).usage
    assert usage is not None
    assert usage.input_tokens > 0
