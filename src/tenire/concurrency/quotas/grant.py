"""What one call was granted, and what has become of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tenire.core.concurrency_limit import Token

__all__ = ["Grant"]


class Grant:
    """The permit of one call, while it is open.

    Attributes:
        amounts: What was granted, by metric.
        granted_at: When, seconds on the engine's clock.
        sent_at: When the call was sent, or ``None``.
        held: What of each metric is still held: granted, and not counted from a moment on.
        settled: Whether it is known what it used.
        spent: What counted of each metric when it was sent, itself included as it turned out.
        refused: Whether the server refused it.
        token: Of its slot, if the number of slots is found out.
        output_tokens: Of the granted ``tokens``, those of the reply, or ``None`` if nobody said.
    """

    __slots__ = ("amounts", "granted_at", "held", "output_tokens", "refused", "sent_at", "settled", "spent", "token")

    def __init__(
        self, amounts: Mapping[str, int], granted_at: float, token: Token | None, output_tokens: int | None = None
    ) -> None:
        self.amounts = amounts
        self.granted_at = granted_at
        self.sent_at: float | None = None
        self.held = dict(amounts)
        self.settled = False
        self.spent: dict[str, int] = {}
        self.refused = False
        self.token = token
        self.output_tokens = output_tokens

    def __repr__(self) -> str:
        amounts = ", ".join(f"{amount} {metric}" for metric, amount in self.amounts.items())
        return f"<{type(self).__name__} of {amounts}>"
