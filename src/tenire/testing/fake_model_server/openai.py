"""OpenAI's dialect: chat completions and embeddings. Azure's differs in addresses and headers only."""

from __future__ import annotations

import base64
import struct
from typing import TYPE_CHECKING, Any

import msgspec

from tenire.testing.fake_model_server.call_errors import CallError, context_too_long
from tenire.testing.fake_model_server.calls import Call, split_evenly, text_of
from tenire.testing.fake_model_server.words import count_tokens, unit_vector

if TYPE_CHECKING:
    from tenire.testing.fake_model_server.calls import Made
    from tenire.testing.fake_model_server.settings import ServerSettings

__all__ = ["CHAT", "EMBEDDINGS", "ChatDialect", "EmbeddingDialect"]

_PER_MESSAGE = 4  # tokens for who speaks
_encode = msgspec.json.encode


class _ChatBody(msgspec.Struct):
    messages: list[dict[str, Any]]
    model: str = ""
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    n: int | None = None
    stream: bool | None = None
    stream_options: dict[str, Any] | None = None
    response_format: dict[str, Any] | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: Any = None
    user: str | None = None


class _EmbeddingBody(msgspec.Struct):
    input: str | list[str]
    model: str = ""
    dimensions: int | None = None
    encoding_format: str | None = None
    user: str | None = None


_chat_body = msgspec.json.Decoder(_ChatBody).decode
_embedding_body = msgspec.json.Decoder(_EmbeddingBody).decode


class _Errors:
    def error(self, error: CallError) -> bytes:
        """Return the body of an error."""
        told = {"message": error.message, "type": error.kind, "param": None, "code": error.code}
        return _encode({"error": told})

    def pieces(self, call: Call, made: Made) -> list[bytes]:
        """Refuse: only chats are streamed."""
        raise NotImplementedError


class ChatDialect(_Errors):
    """``POST …/chat/completions``."""

    def read(self, body: bytes, settings: ServerSettings, model: str | None) -> Call:
        """Return what is asked.

        Raises:
            CallError: If it is no chat.
        """
        asked: _ChatBody = _decoded(_chat_body, body)
        if not asked.messages:
            raise _invalid("[] is too short - 'messages'")
        texts = [text_of(message.get("content")) for message in asked.messages]
        most = asked.max_completion_tokens if asked.max_completion_tokens is not None else asked.max_tokens
        if (most is not None and most < 1) or (asked.n is not None and not 1 <= asked.n <= 128):
            raise _invalid("'max_tokens' and 'n' must be at least 1")
        prompt = "\n".join(texts)
        users = [text for text, said in zip(texts, asked.messages, strict=True) if said.get("role") == "user"]
        return Call(
            dialect=self,
            model=model or asked.model or _no_model(),
            prompt=prompt,
            last=users[-1] if users else texts[-1],
            input_tokens=sum(map(count_tokens, texts)) + _PER_MESSAGE * len(texts),
            most=most,
            choices=asked.n or 1,
            stream=bool(asked.stream),
            stream_usage=bool(asked.stream_options and asked.stream_options.get("include_usage")),
            schema=_schema(asked.response_format),
            tool=_tool(asked),
            group=asked.user or "",
        )

    def reply(self, call: Call, made: Made) -> bytes:
        """Return a ``chat.completion``."""
        message: dict[str, Any] = {"role": "assistant", "content": made.text, "refusal": None}
        if call.tool:
            message |= {"content": None, "tool_calls": [_tool_call(call, made)]}
        finish = _finish(call, made)
        choices = [
            {"index": index, "message": message, "logprobs": None, "finish_reason": finish}
            for index in range(0 if made.empty else call.choices)
        ]
        return _encode(_frame(call, made, "chat.completion") | {"choices": choices, "usage": _usage(call, made)})

    def pieces(self, call: Call, made: Made) -> list[bytes]:
        """Return ``chat.completion.chunk`` events and the last, ``[DONE]``."""
        frame = _frame(call, made, "chat.completion.chunk")

        def event(delta: dict[str, Any], finish: str | None = None) -> bytes:
            choices = [
                {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
                for index in range(0 if made.empty else call.choices)
            ]
            return _event(frame | {"choices": choices})

        events = [event({"role": "assistant", "content": ""})]
        if call.tool:
            events.append(event({"tool_calls": [{"index": 0} | _tool_call(call, made)]}))
        else:
            events += [event({"content": part}) for part in split_evenly(made.text)]
        events.append(event({}, _finish(call, made)))
        if call.stream_usage:
            events.append(_event(frame | {"choices": [], "usage": _usage(call, made)}))
        return [*events, b"data: [DONE]\n\n"]


class EmbeddingDialect(_Errors):
    """``POST …/embeddings``."""

    def read(self, body: bytes, settings: ServerSettings, model: str | None) -> Call:
        """Return what is asked.

        Raises:
            CallError: If it is nothing to embed, too many texts, or a text that is too long.
        """
        asked: _EmbeddingBody = _decoded(_embedding_body, body)
        texts = [asked.input] if isinstance(asked.input, str) else asked.input
        if not texts or not all(texts):
            raise _invalid("'input' cannot be an empty string or an empty list")
        if len(texts) > settings.most_inputs:
            raise _invalid(f"'input' may have at most {settings.most_inputs} texts, got {len(texts)}")
        tokens = [count_tokens(text) for text in texts]
        if max(tokens) > settings.context:
            raise context_too_long(settings.context, max(tokens), 0)
        return Call(
            dialect=self,
            model=model or asked.model or _no_model(),
            prompt="\n".join(texts),
            last=texts[-1],
            input_tokens=sum(tokens),
            most=0,
            group=asked.user or "",
            texts=texts,
            dimensions=asked.dimensions or settings.dimensions,
            base64=asked.encoding_format == "base64",
        )

    def reply(self, call: Call, made: Made) -> bytes:
        """Return a list of embeddings, in order."""
        data = []
        for index, text in enumerate([] if made.empty else call.texts):
            vector: Any = unit_vector(text, call.dimensions)
            if call.base64:
                vector = base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
            data.append({"object": "embedding", "index": index, "embedding": vector})
        usage = {"prompt_tokens": call.input_tokens, "total_tokens": call.input_tokens}
        return _encode({"object": "list", "data": data, "model": call.model, "usage": usage})


def _decoded(decode: Any, body: bytes) -> Any:
    try:
        return decode(body)
    except msgspec.DecodeError as error:
        raise _invalid(f"We could not parse the JSON body of your request: {error}") from error


def _invalid(message: str, code: str | None = None) -> CallError:
    return CallError(400, "invalid_request_error", message, code)


def _no_model() -> str:
    raise _invalid("you must provide a model parameter")


def _schema(wanted: dict[str, Any] | None) -> dict[str, Any] | None:
    kind = wanted.get("type") if wanted else None
    if wanted is None or kind == "text":
        return None
    if kind == "json_object":
        return {"type": "object", "properties": {"answer": {"type": "string"}}}
    schema = wanted.get("json_schema")
    if kind != "json_schema" or not isinstance(schema, dict) or not isinstance(schema.get("schema"), dict):
        raise _invalid("'response_format' must be of type text, json_object, or json_schema with a schema")
    return dict(schema["schema"])


def _tool(asked: _ChatBody) -> tuple[str, dict[str, Any]] | None:
    if not asked.tools or asked.tool_choice in (None, "auto", "none"):
        return None
    wanted = asked.tool_choice.get("function", {}).get("name") if isinstance(asked.tool_choice, dict) else None
    for tool in asked.tools:
        function = tool.get("function", {})
        if wanted in (None, function.get("name")):
            return str(function.get("name")), function.get("parameters") or {"type": "object"}
    raise _invalid(f"'tool_choice' names a tool that is not in 'tools': {wanted!r}")


def _tool_call(call: Call, made: Made) -> dict[str, Any]:
    name = call.tool[0] if call.tool else ""
    return {"id": f"call_{made.key:016x}", "type": "function", "function": {"name": name, "arguments": made.text}}


def _finish(call: Call, made: Made) -> str:
    return "length" if made.cut else ("tool_calls" if call.tool else "stop")


def _frame(call: Call, made: Made, kind: str) -> dict[str, Any]:
    return {"id": f"chatcmpl-{made.key:016x}", "object": kind, "created": made.created, "model": call.model}


def _usage(call: Call, made: Made) -> dict[str, Any]:
    return {
        "prompt_tokens": call.input_tokens,
        "completion_tokens": made.output_tokens,
        "total_tokens": call.input_tokens + made.output_tokens,
        "prompt_tokens_details": {"cached_tokens": made.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": made.reasoning_tokens},
    }


def _event(data: dict[str, Any]) -> bytes:
    return b"data: " + _encode(data) + b"\n\n"


CHAT = ChatDialect()
EMBEDDINGS = EmbeddingDialect()
