"""The dialect of Anthropic: messages.

What is different from OpenAI's: the system's words stand apart, a limit of output must be
given, content is a list of blocks, cached tokens are counted beside the others and not
among them, and a schema is enforced by making the model call a tool that takes it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import msgspec

from tenire.errors import ConfigError
from tenire.llm.dialects.dialect import NoReplyError, check_parameters, count, decode, mapping, text
from tenire.llm.records import ChatRequest, EmbeddingReply, ModelReply, Usage

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tenire.core.rate_report import RateReport
    from tenire.llm.keys import ApiKey

__all__ = ["DEFAULT_MAX_TOKENS", "AnthropicDialect", "AnthropicReader"]

DEFAULT_MAX_TOKENS = 4096
"""Output tokens at the most, where a request does not say."""

_VERSION = "2023-06-01"
_TAKEN = frozenset({"model", "messages", "stream", "system", "max_tokens", "max_completion_tokens"})
_SYSTEM = ("system", "developer")
_TOOL = "reply"
_TOOL_OF_VALUE = "reply_value"  # tools take objects; anything else travels as the property "value" of one
_FINISHES = {"end_turn": "stop", "stop_sequence": "stop", "max_tokens": "length", "tool_use": "tool_calls"}


class AnthropicDialect:
    """Speaks to Anthropic, and to those that speak like it."""

    chat_path = "/messages"
    embeddings_path = "/embeddings"
    counts_real_output = True

    def headers(self, key: ApiKey | None) -> dict[str, str]:
        """Return the headers of every call."""
        version = {"anthropic-version": _VERSION}
        return version if key is None else {**version, "x-api-key": key.reveal()}

    def chat(self, request: ChatRequest, *, stream: bool = False) -> dict[str, Any]:
        """Return the body of a request."""
        parameters = dict(request.parameters)
        check_parameters(request, _TAKEN)
        if "stop" in parameters:
            stop = parameters.pop("stop")
            parameters["stop_sequences"] = [stop] if isinstance(stop, str) else stop
        body: dict[str, Any] = {
            "model": request.model,
            "max_tokens": DEFAULT_MAX_TOKENS if request.max_output_tokens is None else request.max_output_tokens,
            "messages": [_message(message) for message in request.messages if message.get("role") not in _SYSTEM],
            **parameters,
        }
        system = [block for message in request.messages if message.get("role") in _SYSTEM for block in _blocks(message)]
        if system:
            body["system"] = system
        if request.schema is not None:
            tool = _tool(request.schema)
            body["tools"] = [tool]
            body["tool_choice"] = {"type": "tool", "name": tool["name"]}
        if stream:
            body["stream"] = True
        return body

    def adapt(self, model: str, said: str) -> None:
        """Do nothing: there is nothing to learn."""

    def reply(self, body: bytes, rates: RateReport | None) -> ModelReply:
        """Read the body of an answer."""
        data = _without_error(body)
        content = data.get("content")
        if not isinstance(content, list):
            raise NoReplyError("JSON without content")
        return _reply(data, [mapping(block) for block in content], rates)

    def reader(self) -> AnthropicReader:
        """Return what reads one streamed reply."""
        return AnthropicReader()

    def embedding(self, model: str, texts: Sequence[str], dimensions: int | None) -> NoReturn:
        """Refuse: there are none."""
        raise ConfigError(
            f"Anthropic offers no embeddings ({model!r})", key="embedder", hint="use another provider for them"
        )

    def vectors(self, body: bytes, texts: int, rates: RateReport | None) -> EmbeddingReply:
        """Refuse: there are none."""
        raise NoReplyError("an answer of a provider without embeddings")


class AnthropicReader:
    """Puts a streamed message together."""

    def __init__(self) -> None:
        self.ended = False
        self._message: dict[str, Any] = {}
        self._usage: dict[str, Any] = {}
        self._blocks: dict[int, dict[str, Any]] = {}
        self._pieces: dict[int, list[str]] = {}

    def feed(self, data: bytes) -> str:
        """Take the data of one event and return the text that it adds."""
        event = _without_error(data)
        kind = event.get("type")
        if kind == "content_block_delta":
            return self._add(_index(event), mapping(event.get("delta")))
        if kind == "content_block_start":
            self._blocks[_index(event)] = block = dict(mapping(event.get("content_block")))
            self._pieces[_index(event)] = [text(block.get("text"))]
            return text(block.get("text"))
        if kind == "message_start":
            self._message.update(mapping(event.get("message")))
            self._usage.update(mapping(self._message.get("usage")))
        elif kind == "message_delta":
            self._message.update(mapping(event.get("delta")))
            self._usage.update(mapping(event.get("usage")))  # of the whole message, not of what was added
        elif kind == "message_stop":
            self.ended = True
        return ""

    def _add(self, index: int, delta: Mapping[str, Any]) -> str:
        piece = text(delta.get("text")) or text(delta.get("partial_json"))
        self._pieces.setdefault(index, []).append(piece)
        block = self._blocks.setdefault(index, {"type": "text"})
        return piece if block.get("type") == "text" or block.get("name") == _TOOL else ""

    def reply(self, rates: RateReport | None) -> ModelReply:
        """Return the whole reply, after the last event."""
        if not self._message.get("stop_reason"):
            raise NoReplyError("a stream that broke off before its end")
        blocks = [self._whole(block, "".join(self._pieces[index])) for index, block in sorted(self._blocks.items())]
        return _reply({**self._message, "usage": self._usage}, blocks, rates)

    @staticmethod
    def _whole(block: dict[str, Any], pieces: str) -> dict[str, Any]:
        if block.get("type") == "tool_use":
            return {**block, "input": decode(pieces.encode("utf-8", "replace")) if pieces else block.get("input")}
        return {**block, "text": pieces}


def _reply(data: Mapping[str, Any], blocks: Iterable[Mapping[str, Any]], rates: RateReport | None) -> ModelReply:
    texts, calls = [], []
    finish = text(data.get("stop_reason"))
    finish = _FINISHES.get(finish, finish)
    for block in blocks:
        if block.get("type") == "text":
            texts.append(text(block.get("text")))
        elif block.get("type") == "tool_use" and block.get("name") in (_TOOL, _TOOL_OF_VALUE):
            value = mapping(block.get("input"))
            texts.append(_json(value if block["name"] == _TOOL else value.get("value")))
            finish = "stop" if finish == "tool_calls" else finish
        elif block.get("type") == "tool_use":
            calls.append(block)
    usage = _usage(data.get("usage"))
    return ModelReply("".join(texts), finish, usage, text(data.get("model")), text(data.get("id")), rates, tuple(calls))


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _tool(schema: Mapping[str, Any]) -> dict[str, Any]:
    if schema.get("type") == "object":
        return {"name": _TOOL, "description": "Gives the reply.", "input_schema": schema}
    # References within a schema are counted from its root.
    inner = {name: value for name, value in schema.items() if name not in ("$defs", "definitions", "$schema")}
    defined = {name: schema[name] for name in ("$defs", "definitions") if name in schema}
    outer = {"type": "object", "properties": {"value": inner}, "required": ["value"], **defined}
    return {"name": _TOOL_OF_VALUE, "description": "Gives the reply.", "input_schema": outer}


def _message(message: Mapping[str, Any]) -> dict[str, Any]:
    content = message.get("content")
    return {**message, "content": _blocks(message) if isinstance(content, (list, tuple)) else content}


def _blocks(message: Mapping[str, Any]) -> list[Any]:
    content = message.get("content")
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return [_block(part) for part in content or ()]


def _block(part: Any) -> Any:
    """Return a part of content as a block; a picture of OpenAI's form becomes one of Anthropic's."""
    if not isinstance(part, dict) or part.get("type") != "image_url":
        return part
    url = text(mapping(part.get("image_url")).get("url"))
    head, comma, encoded = url.partition(";base64,")
    if comma and head.startswith("data:"):
        source = {"type": "base64", "media_type": head.removeprefix("data:"), "data": encoded}
    else:
        source = {"type": "url", "url": url}
    return {"type": "image", "source": source}


def _without_error(body: bytes) -> dict[str, Any]:
    data = decode(body)
    if data.get("type") == "error" or (data.get("error") and "content" not in data):
        raise NoReplyError("an error instead of a reply", body)
    return data


def _usage(value: Any) -> Usage | None:
    if not isinstance(value, dict):
        return None
    cached = count(value.get("cache_read_input_tokens"))
    of_all = count(value.get("input_tokens")) + cached + count(value.get("cache_creation_input_tokens"))
    # No prompt has no tokens: where they are not counted, some servers say 0.
    return Usage(of_all, count(value.get("output_tokens")), cached) if of_all else None


def _index(event: Mapping[str, Any]) -> int:
    index = event.get("index")
    return index if isinstance(index, int) else 0
