"""Anthropic's dialect: messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from tenire.testing.fake_model_server.call_errors import CallError
from tenire.testing.fake_model_server.calls import Call, split_evenly, text_of
from tenire.testing.fake_model_server.words import count_tokens

if TYPE_CHECKING:
    from tenire.testing.fake_model_server.calls import Made
    from tenire.testing.fake_model_server.settings import ServerSettings

__all__ = ["MESSAGES", "MessagesDialect"]

_PER_MESSAGE = 4
_KINDS = {
    401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error", 500: "api_error",
    503: "api_error", 529: "overloaded_error",
}  # fmt: skip
_encode = msgspec.json.encode


class _Body(msgspec.Struct):
    model: str
    max_tokens: int
    messages: list[dict[str, Any]]
    system: Any = None
    stream: bool | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None


_decode = msgspec.json.Decoder(_Body).decode


class MessagesDialect:
    """``POST /v1/messages``."""

    def read(self, body: bytes, settings: ServerSettings, model: str | None) -> Call:
        """Return what is asked.

        Raises:
            CallError: If it is no message.
        """
        try:
            asked = _decode(body)
        except msgspec.DecodeError as error:
            raise CallError(400, "invalid_request_error", f"The request body is not valid: {error}") from error
        if not asked.messages or asked.max_tokens < 1:
            raise CallError(400, "invalid_request_error", "messages: at least one; max_tokens: at least 1")
        texts = [text_of(message.get("content")) for message in asked.messages]
        every = [text_of(asked.system), *texts] if asked.system else texts
        users = [text for text, said in zip(texts, asked.messages, strict=True) if said.get("role") == "user"]
        return Call(
            dialect=self,
            model=asked.model,
            prompt="\n".join(every),
            last=users[-1] if users else texts[-1],
            input_tokens=sum(map(count_tokens, every)) + _PER_MESSAGE * len(every),
            most=asked.max_tokens,
            stream=bool(asked.stream),
            stream_usage=True,
            tool=_tool(asked),
            group=str((asked.metadata or {}).get("user_id") or ""),
        )

    def reply(self, call: Call, made: Made) -> bytes:
        """Return a ``message``."""
        whole = _message(call, made) | {"stop_reason": _reason(call, made), "usage": _usage(call, made)}
        if not made.empty:
            whole["content"] = [_block(call, made, made.text)]
        return _encode(whole)

    def pieces(self, call: Call, made: Made) -> list[bytes]:
        """Return the events from ``message_start`` to ``message_stop``."""
        begun = _message(call, made) | {"usage": _usage(call, made) | {"output_tokens": 1}}
        events = [_event("message_start", {"message": begun}), _event("ping", {})]
        if not made.empty:
            kind, field = ("input_json_delta", "partial_json") if call.tool else ("text_delta", "text")
            events.append(_event("content_block_start", {"index": 0, "content_block": _block(call, made, "")}))
            events += [
                _event("content_block_delta", {"index": 0, "delta": {"type": kind, field: part}})
                for part in split_evenly(made.text)
            ]
            events.append(_event("content_block_stop", {"index": 0}))
        ended = {"stop_reason": _reason(call, made), "stop_sequence": None}
        events.append(_event("message_delta", {"delta": ended, "usage": {"output_tokens": made.output_tokens}}))
        return [*events, _event("message_stop", {})]

    def error(self, error: CallError) -> bytes:
        """Return the body of an error."""
        kind = _KINDS.get(error.status, "invalid_request_error")
        return _encode({"type": "error", "error": {"type": kind, "message": error.message}})


def _tool(asked: _Body) -> tuple[str, dict[str, Any]] | None:
    choice = asked.tool_choice or {}
    if not asked.tools or choice.get("type") not in ("any", "tool"):
        return None
    for tool in asked.tools:
        if choice.get("name") in (None, tool.get("name")):
            return str(tool.get("name")), tool.get("input_schema") or {"type": "object"}
    raise CallError(400, "invalid_request_error", f"tool_choice names no tool of this request: {choice.get('name')!r}")


def _message(call: Call, made: Made) -> dict[str, Any]:
    return {
        "id": f"msg_{made.key:016x}", "type": "message", "role": "assistant", "model": call.model, "content": [],
        "stop_reason": None, "stop_sequence": None,
    }  # fmt: skip


def _block(call: Call, made: Made, text: str) -> dict[str, Any]:
    if call.tool is None:
        return {"type": "text", "text": text}
    given = msgspec.json.decode(text) if text and not made.cut else {}
    return {"type": "tool_use", "id": f"toolu_{made.key:016x}", "name": call.tool[0], "input": given}


def _reason(call: Call, made: Made) -> str:
    return "max_tokens" if made.cut else ("tool_use" if call.tool else "end_turn")


def _usage(call: Call, made: Made) -> dict[str, Any]:
    return {
        "input_tokens": call.input_tokens - made.cached_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": made.cached_tokens,
        "output_tokens": made.output_tokens,
    }


def _event(kind: str, data: dict[str, Any]) -> bytes:
    return f"event: {kind}\ndata: ".encode() + _encode({"type": kind} | data) + b"\n\n"


MESSAGES = MessagesDialect()
