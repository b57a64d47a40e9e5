"""What will become of a call, and what is sent when its time has come."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from tenire.testing.fake_model_server.chance import Chance

if TYPE_CHECKING:
    from tenire.testing.fake_model_server.call_errors import CallError
    from tenire.testing.fake_model_server.calls import Call, Dialect

__all__ = ["Delivery", "Plan", "Response"]

Delivery = Literal["whole", "hang", "drop", "cut", "wrong_length"]

_NO_CHANCE = Chance(0.0, 0.0, 0.0)


@dataclass(slots=True)
class Plan:
    """What will become of a call.

    Attributes:
        call: What is asked, or ``None`` if nobody could tell.
        dialect: In which it is answered.
        at: When it arrived.
        seconds: Until the response (the first byte of a streamed one).
        outcome: As in a ``CallRecord``.
        error: The error to answer, or ``None``.
        headers: Header lines of the response.
        occupies: Whether it takes one of the server's slots.
        admitted: Whether the quota was charged.
        tokens: Charged so far, input and output.
        key: Stands for the prompt.
        chance: Of this try.
        output_tokens: Of the reply, if there is one.
        status: Of the response, as far as is known.
    """

    call: Call | None
    dialect: Dialect
    at: float
    outcome: str
    seconds: float = 0.0
    error: CallError | None = None
    headers: bytes = b""
    occupies: bool = False
    admitted: bool = False
    tokens: tuple[int, int] = (0, 0)
    key: int = 0
    chance: Chance = _NO_CHANCE
    output_tokens: int = 0
    cut: bool = False
    status: int = 0


@dataclass(slots=True)
class Response:
    """What is sent.

    Attributes:
        status: The status code.
        headers: Further header lines.
        body: All of it, or nothing if it is streamed.
        pieces: Of a streamed body.
        pause: Seconds between two pieces.
        delivery: How it arrives.
        place: Between 0 and 1: how much arrives if it is cut.
    """

    status: int
    headers: bytes
    body: bytes = b""
    pieces: list[bytes] | None = None
    pause: float = 0.0
    delivery: Delivery = "whole"
    place: float = 1.0
