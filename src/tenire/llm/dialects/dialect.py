"""What a dialect must be able to do, and what all of them need."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from tenire.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tenire.core.rate_report import RateReport
    from tenire.llm.keys import ApiKey
    from tenire.llm.records import ChatRequest, EmbeddingReply, ModelReply

__all__ = ["Dialect", "NoReplyError", "ReplyReader", "check_parameters", "count", "decode", "listed", "mapping", "text"]

_MOST_TOKENS = 1_000_000_000  # a count above it is nonsense


class NoReplyError(Exception):
    """What came is not a reply.

    Args:
        got: What came instead, in words, without anything that the server wrote.
        error: What the server says is wrong, as it wrote it, if it says so.
    """

    def __init__(self, got: str, error: bytes | None = None) -> None:
        super().__init__(got)
        self.got = got
        self.error = error


class ReplyReader(Protocol):
    """Puts a streamed reply together."""

    @property
    def ended(self) -> bool:
        """Whether the last event came: nothing after it counts."""
        ...

    def feed(self, data: bytes) -> str:
        """Take the data of one event and return the text that it adds.

        Raises:
            NoReplyError: If it is not part of a reply.
        """
        ...

    def reply(self, rates: RateReport | None) -> ModelReply:
        """Return the whole reply, after the last event.

        Raises:
            NoReplyError: If its end never came.
        """
        ...


class Dialect(Protocol):
    """A provider's way to write requests and replies.

    Attributes:
        chat_path: Of chat completions, below the base address.
        embeddings_path: The same of embeddings.
        counts_real_output: Whether a limit of output tokens counts what a reply had, and not
            what it could have had.
    """

    chat_path: str
    embeddings_path: str
    counts_real_output: bool

    def headers(self, key: ApiKey | None) -> dict[str, str]:
        """Return the headers of every call."""
        ...

    def chat(self, request: ChatRequest, *, stream: bool = False) -> dict[str, Any]:
        """Return the body of a request.

        Raises:
            ConfigError: If its parameters contradict the rest of it.
        """
        ...

    def adapt(self, model: str, said: str) -> None:
        """Learn from what a server refused; a request that is written differently after that is sent once more."""
        ...

    def reply(self, body: bytes, rates: RateReport | None) -> ModelReply:
        """Read the body of an answer.

        Raises:
            NoReplyError: If it is no reply.
        """
        ...

    def reader(self) -> ReplyReader:
        """Return what reads one streamed reply."""
        ...

    def embedding(self, model: str, texts: Sequence[str], dimensions: int | None) -> dict[str, Any]:
        """Return the body of a request for vectors.

        Raises:
            ConfigError: If the provider has none.
        """
        ...

    def vectors(self, body: bytes, texts: int, rates: RateReport | None) -> EmbeddingReply:
        """Read the body of an answer to so many texts.

        Raises:
            NoReplyError: If it does not hold one vector for each.
        """
        ...


def check_parameters(request: ChatRequest, taken: frozenset[str]) -> None:
    """Refuse parameters that would contradict the request.

    Raises:
        ConfigError: If there is one.
    """
    for name in request.parameters:
        if name in taken:
            raise ConfigError(
                f"the parameter {name!r} of a request is set by Tenire itself and must not be given",
                key=f"parameters.{name}",
                hint="use the argument of the call",
            )


def decode(body: bytes) -> dict[str, Any]:
    """Read a body as a JSON object.

    Raises:
        NoReplyError: If it is none, with the reason in words.
    """
    try:
        data = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise NoReplyError(_in_words(body)) from None
    if not isinstance(data, dict):
        raise NoReplyError("JSON that is no object")
    return data


def _in_words(body: bytes) -> str:
    start = body.lstrip()[:1]
    if not start:
        return "an empty body"
    if start == b"<":
        return "a page of HTML"
    if start in b"{[":
        return f"broken JSON of {len(body)} bytes, perhaps cut off"
    return f"{len(body)} bytes that are no JSON"


def mapping(value: Any) -> Mapping[str, Any]:
    """Return a value if it is a mapping, else an empty one."""
    return value if isinstance(value, dict) else {}


def listed(value: Any) -> list[Any]:
    """Return a value if it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def text(value: Any) -> str:
    """Return a value if it is a text, else an empty one."""
    return value if isinstance(value, str) else ""


def count(value: Any) -> int:
    """Return a number of tokens, or 0 for what cannot be one."""
    if type(value) is float and value.is_integer():
        value = int(value)
    return value if type(value) is int and 0 <= value <= _MOST_TOKENS else 0
