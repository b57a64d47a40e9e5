"""Whether a request failed for what is in it, or because its server is down.

1. What the server refuses as a bad request is the fault of what is in it.
2. What is in a request can also make a server fail (500), drop the connection, give no answer
   at all, or one that is no reply. So does every request while the server is down. What tells
   these apart is whether it answers others: since the last try of the request began, or now
   that it is asked for something harmless.
3. Those who want to know at the same time share one such question.
4. If that fails too, and again, it is an outage, of a server that has answered somebody before: the
   harmless question is asked again and again, in place of the requests, which may cost money
   each time. Once it is answered, those that failed before have their tries anew.
5. Who had to wait for an open circuit before it could ask has seen an outage too.
"""

from __future__ import annotations

import asyncio
from enum import Enum
from typing import TYPE_CHECKING

from tenire.core.breaker import CLOSED
from tenire.core.outages import Sign
from tenire.core.retrying import Kind
from tenire.errors import BadRequestError, BrokenReplyError, ServerError
from tenire.llm.failures import is_unanswered, kind_of, sign_of_outage

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tenire.resilience.gate import Gate

__all__ = ["LONGEST_WAIT_S", "Fault", "InputFaults", "may_be_the_input"]

LONGEST_WAIT_S = 24 * 3600.0
"""How long a harmless question is asked of a server that fails for it too, and does not say that it is down."""

_ENOUGH = 2
"""Failures of it that are an outage: one call in five may fail though its server is well."""

_NEVER = float("-inf")
_OF_SERVER = 500


class Fault(Enum):
    """Why a request has failed in all its tries."""

    INPUT = "input"
    """For what is in it."""
    OUTAGE = "outage"
    """Its server was down, and is back."""
    OTHER = "other"
    """For another reason, or for an outage that goes on."""


class InputFaults:
    """Tells the faults of what is sent from those of their server.

    Args:
        gate: Of the circuit of the server.
        now: Tells the time, seconds.
        waits: Whether outages are waited for.

    Attributes:
        waits: Whether outages are waited for.
    """

    __slots__ = ("_answered_at", "_asked_at", "_asking", "_back_at", "_began", "_failures", "_gate", "_now", "waits")

    def __init__(self, gate: Gate, now: Callable[[], float], *, waits: bool = True) -> None:
        self.waits = waits
        self._gate = gate
        self._now = now
        self._answered_at = self._asked_at = self._back_at = self._began = _NEVER
        self._failures = 0  # of the harmless question that was asked last
        self._asking = asyncio.Lock()

    def answered(self) -> None:
        """Take in that the server has answered a request."""
        self._answered_at = self._now()

    def sign(self, error: BaseException) -> Sign | None:
        """Say what a failure of the harmless question tells of an outage; for ``outage=`` of the guard that asks it."""
        sign = sign_of_outage(error)
        if may_be_the_input(error):  # but not that of this question
            waits = self._gate.answered and self._now() - self._began < LONGEST_WAIT_S
            sign = Sign.UNWELL if waits else None
        self._failures += sign is not None
        return sign

    async def of(self, error: BaseException, since: float, ask: Callable[[], Awaitable[bool]]) -> Fault:
        """Return why a request failed; in an outage only when that is over.

        Args:
            error: How its last try failed.
            since: When that began, seconds.
            ask: Asks for something harmless, through a guard with ``sign``, and returns whether
                that was answered.
        """
        if isinstance(error, BadRequestError):
            return Fault.INPUT
        may_be = may_be_the_input(error)
        if not may_be and not (self.waits and sign_of_outage(error)):
            return Fault.OTHER
        async with self._asking:
            if max(self._answered_at, self._asked_at, self._back_at) < since:
                self._began = began = self._now()
                self._failures = 0 if self._gate.breaker.state == CLOSED else _ENOUGH
                if await ask():
                    self.answered()
                    if self._failures >= _ENOUGH:
                        self._back_at = self._answered_at
                self._asked_at = began  # here: one who leaves while he asks knows nothing
            if self._back_at >= since:
                return Fault.OUTAGE
            return Fault.INPUT if may_be and self._answered_at >= since else Fault.OTHER


def may_be_the_input(error: BaseException) -> bool:
    """Return whether what was sent may be why a server has failed, though it is well."""
    if is_unanswered(error):
        return True
    if isinstance(error, ServerError):
        return (error.status or 0) >= _OF_SERVER and kind_of(error) is not Kind.OVERLOAD
    return isinstance(error, BrokenReplyError)
