"""What callers get, and its form in the ledger."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
import zstandard

from tenire.errors import StoreError
from tenire.llm.money import to_usd
from tenire.llm.records import ModelReply, Usage

__all__ = ["Answer", "Reply", "ReplyPart", "Vector", "pack", "size_of", "unpack"]

_PLAIN, _ZSTD, _VECTOR = b"\x01", b"\x02", b"\x03"
_WORTH_IT = 200  # bytes; shorter ones do not shrink
_OBJECT_BYTES = 700  # of an answer in memory, beside its text


@dataclass(slots=True)
class Reply:
    """A reply to one prompt.

    Attributes:
        text: The reply's text; empty if there is none.
        usage: What the provider counted, or ``None`` if it did not say.
        cost_usd: What this call cost, US dollars: nothing for one that was ``cached``; ``None``
            if the model's price is not known.
        cached: Whether it was answered without a call of its own: by an earlier reply, or
            together with an equal prompt that was under way.
        model: The model that answered, as it calls itself.
        finish_reason: Why it ended: ``stop``, ``length``, ``content_filter``, ``tool_calls``, …
        data: What ``text`` says as JSON, if a schema was asked for.
        tool_calls: Calls that the model asks for, as the provider wrote them.
        id: The provider's name for this reply, or an empty string.
        index: Its place among the prompts given to ``map``, from 0.
        error: Why there is no reply; only ``map`` returns such.
    """

    text: str = ""
    usage: Usage | None = None
    cost_usd: float | None = None
    cached: bool = False
    model: str = ""
    finish_reason: str = ""
    data: Any = None
    tool_calls: tuple[Any, ...] = ()
    id: str = ""
    index: int = 0
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class ReplyPart:
    """A piece of a reply that is streamed.

    Attributes:
        text: What was added; may be empty.
        reply: The whole reply, in the last part only.
    """

    text: str
    reply: Reply | None = None


class Answer(msgspec.Struct, array_like=True, frozen=True):
    """A reply as it is kept.

    Attributes:
        text: As in ``Reply``.
        finish_reason: As in ``Reply``.
        model: As in ``Reply``.
        id: As in ``Reply``.
        tool_calls: As in ``Reply``.
        tokens: Input, output, cached, reasoning; ``None`` if the provider did not say.
        cost: Picodollars, or ``None`` if the price is not known.
        made_at: Seconds since the epoch; not kept in it.
    """

    text: str
    finish_reason: str
    model: str
    id: str
    tool_calls: tuple[Any, ...]
    tokens: tuple[int, int, int, int] | None
    cost: int | None
    made_at: float = 0.0

    @classmethod
    def of(cls, reply: ModelReply, cost: int | None, made_at: float) -> Answer:
        """Make one of what a provider answered."""
        usage = reply.usage
        tokens = None
        if usage is not None:
            tokens = (usage.input_tokens, usage.output_tokens, usage.cached_tokens, usage.reasoning_tokens)
        return cls(reply.text, reply.finish_reason, reply.model, reply.id, reply.tool_calls, tokens, cost, made_at)

    def reply(self, *, cached: bool, data: Any = None) -> Reply:
        """Return it as callers get it."""
        usage = None if self.tokens is None else Usage(*self.tokens)
        cost = 0.0 if cached else None if self.cost is None else to_usd(self.cost)
        return Reply(
            self.text, usage, cost, cached, self.model, self.finish_reason, data, tuple(self.tool_calls), self.id
        )


class Vector(msgspec.Struct, frozen=True):
    """An embedding as it is kept.

    Attributes:
        numbers: Its bytes: floats of 32 bits, in the order of this machine.
        made_at: Seconds since the epoch; not kept in it.
    """

    numbers: bytes
    made_at: float = 0.0


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Answer).decode
_compressor = zstandard.ZstdCompressor(level=3)
_decompressor = zstandard.ZstdDecompressor()


def pack(kept: Answer | Vector) -> bytes:
    """Return an answer or a vector as the bytes that are kept; one thread at a time."""
    if isinstance(kept, Vector):
        return _VECTOR + kept.numbers
    raw = _encode(kept)
    return _PLAIN + raw if len(raw) < _WORTH_IT else _ZSTD + _compressor.compress(raw)


def unpack(packed: bytes, made_at: float) -> Answer | Vector:
    """Return the answer or the vector of bytes that were kept; one thread at a time.

    Raises:
        StoreError: If they are damaged.
    """
    kind, rest = packed[:1], packed[1:]
    if kind == _VECTOR:
        return Vector(rest, made_at)
    try:
        raw = rest if kind == _PLAIN else _decompressor.decompress(rest)
        return msgspec.structs.replace(_decode(raw), made_at=made_at)
    except (zstandard.ZstdError, msgspec.DecodeError) as error:
        message = f"a reply of {len(packed)} bytes in the ledger is damaged ({error})"
        raise StoreError(message, hint="restore the ledger from a backup, or let it be asked for again") from error


def size_of(kept: Answer | Vector) -> int:
    """Return about how many bytes it takes in memory."""
    return _OBJECT_BYTES + (len(kept.numbers) if isinstance(kept, Vector) else 2 * len(kept.text))
