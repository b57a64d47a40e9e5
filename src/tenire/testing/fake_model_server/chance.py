"""What happens to a call by chance, drawn from the seed and the call alone.

Neither the time nor the order in which calls arrive plays a part: the n-th try of a
prompt has the same fate in every run with the same seed.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["FAULTS", "Chance", "Fates", "ServerFaults", "draw"]

_UNIT = 1 / (1 << 64)


class Chance(NamedTuple):
    """Numbers between 0 and 1, both excluded, that belong to one try of one call.

    Attributes:
        fault: Whether and what goes wrong.
        latency: How long it takes.
        place: Where a reply is cut off.
    """

    fault: float
    latency: float
    place: float


def draw(seed: int, content: bytes, attempt: int) -> Chance:
    """Return the chance of a try.

    Args:
        seed: Of the server.
        content: What was asked.
        attempt: How often the same was asked before.
    """
    digest = blake2b(content, digest_size=24, key=b"%d/%d" % (seed, attempt)).digest()
    return Chance(
        (int.from_bytes(digest[:8], "big") + 0.5) * _UNIT,
        (int.from_bytes(digest[8:16], "big") + 0.5) * _UNIT,
        (int.from_bytes(digest[16:], "big") + 0.5) * _UNIT,
    )


class ServerFaults(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How often what goes wrong: each a part of the calls that were let in, 0 … 1.

    Attributes:
        error_500: Answers 500.
        error_503: Answers 503.
        refuse: Answers 429 though the quota has room.
        hang: Never answers, and keeps the connection open.
        disconnect: Sends the first part of the reply, then closes the connection.
        drop: Closes the connection and sends nothing.
        malformed: Answers 200 with a body that is no JSON.
        wrong_length: Answers 200 and announces fewer bytes than it sends.
        empty: Answers 200 with a reply that has no choices (of a model without words).
        off_schema: Answers text that does not follow the schema that was asked for.
        slow: Answers, after ten times its latency and at least a second.
    """

    error_500: float = 0.0
    error_503: float = 0.0
    refuse: float = 0.0
    hang: float = 0.0
    disconnect: float = 0.0
    drop: float = 0.0
    malformed: float = 0.0
    wrong_length: float = 0.0
    empty: float = 0.0
    off_schema: float = 0.0
    slow: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what is no probability.

        Raises:
            ValueError: If a part is not within 0 … 1, or all together are more than 1.
        """
        for name, part in self.parts():
            if not 0 <= part <= 1:
                msg = f"faults.{name} must be a part within 0 … 1, got {part!r}"
                raise ValueError(msg)
        total = sum(part for _, part in self.parts())
        if total > 1 + 1e-9:
            msg = f"the faults together must be at most 1, got {total:g}: only one strikes a call"
            raise ValueError(msg)

    def parts(self) -> list[tuple[str, float]]:
        """Return each fault's name and part."""
        return [(name, getattr(self, name)) for name in self.__struct_fields__]


FAULTS: Sequence[str] = ServerFaults.__struct_fields__


class Fates:
    """Turns a number between 0 and 1 into a fault or nothing.

    Args:
        faults: How often what goes wrong.
    """

    def __init__(self, faults: ServerFaults) -> None:
        self._steps: list[tuple[float, str]] = []
        upto = 0.0
        for name, part in faults.parts():
            if part:
                upto += part
                self._steps.append((upto, name))

    def of(self, chance: float) -> str | None:
        """Return the fault that strikes, or ``None``."""
        for upto, name in self._steps:
            if chance < upto:
                return name
        return None
