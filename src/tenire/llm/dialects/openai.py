"""The dialect of OpenAI: chat completions and embeddings.

Also spoken by Azure, OpenRouter, Ollama, vLLM, LM Studio, llama.cpp and many others, each
with small liberties: fields that are missing or null, a content made of parts, an
``error`` in an answer of status 200 or in the middle of a stream, beside a choice or in it.
"""

from __future__ import annotations

import binascii
import re
from array import array
from functools import lru_cache
from math import isfinite
from sys import byteorder
from typing import TYPE_CHECKING, Any

import msgspec

from tenire.llm.dialects.dialect import NoReplyError, check_parameters, count, decode, listed, mapping, text
from tenire.llm.records import LIMITS_OF_OUTPUT, ChatRequest, EmbeddingReply, ModelReply, Usage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tenire.core.rate_report import RateReport
    from tenire.llm.keys import ApiKey

__all__ = ["OpenAIDialect", "OpenAIReader"]

_TAKEN = frozenset({"model", "messages", "stream", "stream_options", "n"})
_NEW_LIMIT = re.compile(r"(?:^|/)(?:o\d|gpt-(?:[5-9]|\d\d))")  # models that refuse max_tokens
_MAY_BE_EMPTY = ("length", "content_filter", "tool_calls", "function_call")
_FAILED = ("error", "abort")
_DONE = b"[DONE]"


class OpenAIDialect:
    """Speaks to OpenAI and to those that speak like it.

    Args:
        limit_name: How the limit of output tokens is called: ``max_tokens`` or
            ``max_completion_tokens``. ``None`` chooses by the model's name.
        azure: Whether the key goes into Azure's header.
    """

    chat_path = "/chat/completions"
    embeddings_path = "/embeddings"
    counts_real_output = False

    def __init__(self, limit_name: str | None = None, *, azure: bool = False) -> None:
        self._limit_name = limit_name
        self._azure = azure
        self._limit_names: dict[str, str] = {}  # by model, as its server wants them
        self._asks_usage = True
        self._asks_packed = True

    def headers(self, key: ApiKey | None) -> dict[str, str]:
        """Return the headers of every call."""
        if key is None:
            return {}
        return {"api-key": key.reveal()} if self._azure else {"Authorization": f"Bearer {key.reveal()}"}

    def chat(self, request: ChatRequest, *, stream: bool = False) -> dict[str, Any]:
        """Return the body of a request."""
        if request.parameters:
            check_parameters(request, _TAKEN if request.max_output_tokens is None else _TAKEN.union(LIMITS_OF_OUTPUT))
        body = {"model": request.model, "messages": request.messages, **request.parameters}
        if request.max_output_tokens is not None:
            body[self._name_of_limit(request.model)] = request.max_output_tokens
        if request.schema is not None:
            body["response_format"] = _response_format(request.schema)
        if stream:
            body["stream"] = True
            if self._asks_usage:
                body["stream_options"] = {"include_usage": True}
        return body

    def _name_of_limit(self, model: str) -> str:
        return self._limit_name or self._limit_names.get(model) or _limit_name(model)

    def adapt(self, model: str, said: str) -> None:
        """Learn from a refusal how this server wants to be spoken to.

        Each thing is learned once, so that two servers behind one address cannot make
        requests go on for ever.

        Args:
            model: Of the request that was refused.
            said: Why.
        """
        if "stream_options" in said:
            self._asks_usage = False
        elif "encoding_format" in said:
            self._asks_packed = False
        elif "max_completion_tokens" in said and model not in self._limit_names:
            wrong = _limit_name(model)
            self._limit_names[model] = next(name for name in LIMITS_OF_OUTPUT if name != wrong)

    def reply(self, body: bytes, rates: RateReport | None) -> ModelReply:
        """Read the body of an answer."""
        data, choice = _without_error(body)
        if not listed(data.get("choices")):
            raise NoReplyError("JSON without choices")
        message = choice.get("message")
        if not isinstance(message, dict):
            raise NoReplyError("a choice without a message")
        calls = tuple([call for call in listed(message.get("tool_calls")) if isinstance(call, dict)])
        finish = text(choice.get("finish_reason"))
        content, refused = _content(message.get("content")), text(message.get("refusal"))
        usage = _usage(data.get("usage"))
        if content is None:
            # A model that thought, and then said nothing, has answered: another try costs as much again.
            thought = finish == "stop" and usage is not None and usage.output_tokens
            if not (refused or calls or finish in _MAY_BE_EMPTY or thought):
                raise NoReplyError("a message without content")
            content, finish = refused, "refusal" if refused else finish
        return ModelReply(content, finish, usage, text(data.get("model")), text(data.get("id")), rates, calls)

    def reader(self) -> OpenAIReader:
        """Return what reads one streamed reply."""
        return OpenAIReader()

    def embedding(self, model: str, texts: Sequence[str], dimensions: int | None) -> dict[str, Any]:
        """Return the body of a request for vectors."""
        body: dict[str, Any] = {"model": model, "input": texts}
        if self._asks_packed:
            body["encoding_format"] = "base64"  # a quarter of the bytes, and no numbers to parse
        if dimensions is not None:
            body["dimensions"] = dimensions
        return body

    def vectors(self, body: bytes, texts: int, rates: RateReport | None) -> EmbeddingReply:
        """Read the body of an answer to so many texts."""
        data, _ = _without_error(body)
        entries = data.get("data")
        if not isinstance(entries, list):
            raise NoReplyError("JSON without data")
        if len(entries) != texts:
            raise NoReplyError(f"{len(entries)} vectors for {texts} texts")
        found: list[Sequence[float] | None] = [None] * texts
        for place, entry in enumerate(entries):
            index = mapping(entry).get("index", place)
            if not isinstance(index, int) or not 0 <= index < texts or found[index] is not None:
                raise NoReplyError(f"vectors with the wrong numbers for {texts} texts")
            found[index] = _vector(mapping(entry).get("embedding"))
        vectors = tuple(vector for vector in found if vector is not None)
        if len({len(vector) for vector in vectors}) > 1:
            raise NoReplyError("vectors of different lengths")
        return EmbeddingReply(vectors, _usage(data.get("usage")), text(data.get("model")), rates)


class OpenAIReader:
    """Puts a streamed chat completion together."""

    def __init__(self) -> None:
        self.ended = False
        self._pieces: list[str] = []
        self._refused: list[str] = []
        self._calls: dict[int, dict[str, Any]] = {}
        self._finish = ""
        self._usage: Usage | None = None
        self._model = ""
        self._id = ""

    def feed(self, data: bytes) -> str:
        """Take the data of one event and return the text that it adds."""
        if data.strip() == _DONE:
            self.ended = True
            return ""
        # The chunk with the usage has no choice, and Azure begins with one about its filter.
        chunk, choice = _without_error(data)
        self._usage = _usage(chunk.get("usage")) or self._usage
        self._model = text(chunk.get("model")) or self._model
        self._id = text(chunk.get("id")) or self._id
        delta = mapping(choice.get("delta"))
        self._finish = text(choice.get("finish_reason")) or self._finish
        self._refused.append(text(delta.get("refusal")))
        for call in listed(delta.get("tool_calls")):
            self._add_call(mapping(call))
        piece = _content(delta.get("content")) or ""
        self._pieces.append(piece)
        return piece

    def _add_call(self, part: Mapping[str, Any]) -> None:
        index = part.get("index", 0)
        call = self._calls.setdefault(index if isinstance(index, int) else 0, {"type": "function", "function": {}})
        call.update({name: value for name, value in part.items() if name in ("id", "type") and value})
        function = mapping(part.get("function"))
        for name in ("name", "arguments"):
            call["function"][name] = text(call["function"].get(name)) + text(function.get(name))

    def reply(self, rates: RateReport | None) -> ModelReply:
        """Return the whole reply, after the last event."""
        if not self._finish:
            raise NoReplyError("a stream that broke off before its end")
        calls = tuple(call for _, call in sorted(self._calls.items()))
        content, refused = "".join(self._pieces), "".join(self._refused)
        if refused and not content:
            return ModelReply(refused, "refusal", self._usage, self._model, self._id, rates, calls)
        return ModelReply(content, self._finish, self._usage, self._model, self._id, rates, calls)


@lru_cache(maxsize=256)
def _limit_name(model: str) -> str:
    return "max_completion_tokens" if _NEW_LIMIT.search(model) else "max_tokens"


def _response_format(schema: Mapping[str, Any]) -> dict[str, Any]:
    named = {"name": _schema_name(schema), "schema": schema, "strict": is_strict(schema)}
    return {"type": "json_schema", "json_schema": named}


def _schema_name(schema: Mapping[str, Any]) -> str:
    return re.sub(r"[^\w-]", "_", text(schema.get("title")), flags=re.ASCII)[:64] or "reply"


def is_strict(schema: Any) -> bool:
    """Return whether a schema is of the kind that OpenAI can enforce: each object closed, each property required."""
    if isinstance(schema, list):
        return all(is_strict(part) for part in schema)
    if not isinstance(schema, dict):
        return True
    properties = schema.get("properties")
    if schema.get("type") == "object" or isinstance(properties, dict):
        closed = schema.get("additionalProperties") is False
        if not closed or set(mapping(properties)) != set(schema.get("required") or ()):
            return False
    return all(is_strict(part) for name, part in schema.items() if name not in ("enum", "const", "default", "examples"))


def _without_error(body: bytes) -> tuple[dict[str, Any], Mapping[str, Any]]:
    """Return what a body says, and its first choice."""
    data = decode(body)
    choices = listed(data.get("choices"))
    choice = mapping(choices[0]) if choices else {}
    # A provider that fails in the middle says so in the choice that it had begun.
    failed = data.get("error") or choice.get("error") or text(choice.get("finish_reason")) in _FAILED
    if failed or data.get("object") == "error":
        raise NoReplyError("an error instead of a reply", body)
    return data, choice


def _content(value: Any) -> str | None:
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "".join(text(mapping(part).get("text")) for part in value)
    return None


def _usage(value: Any) -> Usage | None:
    # No prompt has no tokens: where they are not counted, some servers say 0.
    if not isinstance(value, dict) or not (of_all := count(value.get("prompt_tokens"))):
        return None
    of_prompt = mapping(value.get("prompt_tokens_details"))
    of_reply = mapping(value.get("completion_tokens_details"))
    return Usage(
        of_all,
        count(value.get("completion_tokens")),
        count(of_prompt.get("cached_tokens") or value.get("prompt_cache_hit_tokens")),
        count(of_reply.get("reasoning_tokens")),
    )


def _vector(value: Any) -> Sequence[float]:
    """Read a vector: base64 of little-endian floats of four bytes, or numbers."""
    if isinstance(value, str):
        try:
            floats = array("f", binascii.a2b_base64(value, strict_mode=True))
        except (binascii.Error, ValueError):
            raise NoReplyError("a vector that is not the base64 of floats") from None
        if byteorder == "big":
            floats.byteswap()
        vector: Sequence[float] = floats
    else:
        try:
            vector = array("f", msgspec.convert(value, list[float]))
        except (msgspec.ValidationError, OverflowError):
            raise NoReplyError("a vector that is no list of numbers") from None
    if not len(vector):
        raise NoReplyError("an empty vector")
    if not isfinite(sum(vector)):
        raise NoReplyError("a vector with numbers that are not finite")
    return vector
