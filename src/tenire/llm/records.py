"""What goes to a model's server and what comes back, in one form for all dialects."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence

    from tenire.core.rate_report import RateReport

__all__ = ["LIMITS_OF_OUTPUT", "ChatRequest", "EmbeddingReply", "ModelReply", "StreamPart", "Transport", "Usage"]

LIMITS_OF_OUTPUT = ("max_completion_tokens", "max_tokens")
"""What providers call the most tokens of a reply."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens that a provider counted.

    Attributes:
        input_tokens: Of the prompt, cached ones included.
        output_tokens: Of the reply, reasoning included.
        cached_tokens: Of the prompt, those that the provider had cached.
        reasoning_tokens: Of the reply, those that nobody sees.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0

    @property
    def tokens(self) -> int:
        """All of them."""
        return self.input_tokens + self.output_tokens


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One call of a model; what makes two calls equal is all of it.

    Attributes:
        model: The model's name at the provider.
        messages: ``{"role", "content"}`` and whatever else the provider knows, in order.
        max_output_tokens: Most tokens of the reply, or ``None`` for the provider's limit.
        schema: JSON schema that the reply must follow, or ``None``.
        parameters: Everything else that is sent, for example ``temperature``.
    """

    model: str
    messages: tuple[Mapping[str, Any], ...]
    max_output_tokens: int | None = None
    schema: Mapping[str, Any] | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def most_output(self) -> int | None:
        """Most tokens of the reply, whichever way that is said; ``None`` if it is not."""
        if self.max_output_tokens is not None:
            return self.max_output_tokens
        for name in LIMITS_OF_OUTPUT:
            number = self.parameters.get(name)
            if isinstance(number, int) and not isinstance(number, bool) and number > 0:
                return number
        return None


@dataclass(frozen=True, slots=True)
class ModelReply:
    """What a provider answered.

    Attributes:
        text: The reply's text.
        finish_reason: Why it ended: ``stop``, ``length``, ``content_filter``, ``tool_calls``, …
        usage: What it counted, or ``None`` if it did not say.
        model: The model that answered, as it calls itself.
        id: The provider's name for this reply, or an empty string.
        rates: What it says of its limits, or ``None``.
        tool_calls: Calls that the model asks for, as the provider wrote them.
    """

    text: str
    finish_reason: str
    usage: Usage | None
    model: str = ""
    id: str = ""
    rates: RateReport | None = None
    tool_calls: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class StreamPart:
    """A piece of a reply that is streamed.

    Attributes:
        text: What was added; may be empty.
        reply: The whole reply, in the last part only.
    """

    text: str
    reply: ModelReply | None = None


@dataclass(frozen=True, slots=True)
class EmbeddingReply:
    """What a provider answered to texts.

    Attributes:
        vectors: One vector a text, in the order of the texts.
        usage: What it counted, or ``None`` if it did not say.
        model: The model that answered, as it calls itself.
        rates: What it says of its limits, or ``None``.
    """

    vectors: tuple[Sequence[float], ...]
    usage: Usage | None
    model: str = ""
    rates: RateReport | None = None


class Transport(Protocol):
    """The way to a provider: one try of one call, no more.

    All methods raise a ``ModelError`` that says what went wrong, and never retry.
    """

    async def complete(self, request: ChatRequest) -> ModelReply:
        """Send one request and return the whole reply."""
        ...

    def stream(self, request: ChatRequest) -> AsyncGenerator[StreamPart]:
        """Send one request and yield the reply as it comes; the last part holds the whole reply."""
        ...

    async def embed(self, model: str, texts: Sequence[str], *, dimensions: int | None = None) -> EmbeddingReply:
        """Return one vector for each text."""
        ...

    async def close(self) -> None:
        """Close all connections."""
        ...
