"""A call of a model as the server sees it, whatever dialect it came in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from tenire.testing.fake_model_server.call_errors import CallError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tenire.testing.fake_model_server.settings import ServerSettings

__all__ = ["Call", "Dialect", "Made", "split_evenly", "text_of"]


@dataclass(slots=True)
class Call:
    """What is asked of a model.

    Attributes:
        dialect: In which the reply is written.
        model: Its name.
        prompt: All text of the call.
        last: The last thing the user said; a reply is made of it.
        input_tokens: Of the prompt.
        most: Most tokens of the reply, or ``None``.
        choices: How many replies are wanted.
        stream: Whether the reply is streamed.
        stream_usage: Whether the stream ends with what it cost.
        schema: That a reply must follow, or ``None``.
        tool: That the model must call, as ``(name, schema of its arguments)``, or ``None``.
        group: Who calls, in the caller's words; may be empty.
        texts: To embed; empty for a chat.
        dimensions: Of each vector.
        base64: Whether vectors are sent as bytes.
    """

    dialect: Dialect
    model: str
    prompt: str
    last: str
    input_tokens: int
    most: int | None = None
    choices: int = 1
    stream: bool = False
    stream_usage: bool = False
    schema: dict[str, Any] | None = None
    tool: tuple[str, dict[str, Any]] | None = None
    group: str = ""
    texts: list[str] = field(default_factory=list)
    dimensions: int = 0
    base64: bool = False


@dataclass(slots=True)
class Made:
    """A reply before it is written in a dialect.

    Attributes:
        key: 64 bits that stand for the prompt.
        text: The reply's words, or the arguments of the tool's call.
        cut: Whether it ends because no more tokens were allowed.
        output_tokens: Of all choices, reasoning included.
        reasoning_tokens: Of them, those that nobody sees.
        cached_tokens: Of the prompt, those that are said to be cached.
        created: Seconds since the epoch.
        empty: Whether the reply is sent without any choice.
    """

    key: int
    text: str
    cut: bool
    output_tokens: int
    reasoning_tokens: int
    cached_tokens: int
    created: int
    empty: bool = False


class Dialect(Protocol):
    """How a provider writes."""

    def read(self, body: bytes, settings: ServerSettings, model: str | None) -> Call:
        """Return what is asked.

        Args:
            body: The request's.
            settings: Of the server.
            model: The model that the address names, if it does.

        Raises:
            CallError: If it makes no sense.
        """
        ...

    def reply(self, call: Call, made: Made) -> bytes:
        """Return the body of a whole reply."""
        ...

    def pieces(self, call: Call, made: Made) -> list[bytes]:
        """Return the events of a streamed reply, each as bytes."""
        ...

    def error(self, error: CallError) -> bytes:
        """Return the body of an error."""
        ...


def text_of(content: Any) -> str:
    """Return the text of a message's content: a string, or parts of which some are text."""
    if isinstance(content, str):
        return content
    if content is None:
        return ""
    if isinstance(content, list):
        return "\n".join(_part(part) for part in content)
    raise CallError(400, "invalid_request_error", f"expected text or a list of parts as content, got {type(content)}")


def _part(part: Any) -> str:
    if isinstance(part, str):
        return part
    if not isinstance(part, dict):
        raise CallError(400, "invalid_request_error", "expected an object for each part of a content")
    text = part.get("text")
    return text if isinstance(text, str) else f"[{part.get('type', 'part')}]"


def split_evenly(text: str, most: int = 32) -> Iterable[str]:
    """Cut a text into pieces, at most so many."""
    size = max(4, -(-len(text) // most))
    return (text[place : place + size] for place in range(0, len(text), size))
