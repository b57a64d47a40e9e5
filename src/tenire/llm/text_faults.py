"""Whether a request for vectors failed for what is in it, and not because its server is unwell.

1. What the server refuses as a bad request is the fault of what is in it.
2. One text can also make a server fail (500), or answer with what is no reply. So does every
   text while the server is unwell. What tells these apart is whether it answers others: since
   the last try of the request began, or now that it is asked for a text that is harmless.
3. Those who want to know at the same time share one such question: in an outage it is asked
   once, not once for each request that fails.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tenire.core.retrying import Kind
from tenire.errors import BadRequestError, BrokenReplyError, ServerError
from tenire.llm.failures import kind_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tenire.errors import ModelError

__all__ = ["TextFaults", "may_be_a_text"]

_NEVER = float("-inf")
_OF_SERVER = 500


class TextFaults:
    """Tells the faults of texts from those of their server.

    Args:
        now: Tells the time, seconds.
    """

    __slots__ = ("_answered_at", "_asked_at", "_asking", "_now")

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._answered_at = self._asked_at = _NEVER
        self._asking = asyncio.Lock()

    def answered(self) -> None:
        """Take in that the server has answered a request."""
        self._answered_at = self._now()

    async def caused(self, error: ModelError, since: float, ask: Callable[[], Awaitable[bool]]) -> bool:
        """Return whether what was in a request is why it failed.

        Args:
            error: How its last try failed.
            since: When that began, seconds.
            ask: Asks for something harmless, and returns whether that was answered.
        """
        if isinstance(error, BadRequestError):
            return True
        if not may_be_a_text(error):
            return False
        async with self._asking:
            if max(self._answered_at, self._asked_at) < since:
                began = self._now()
                if await ask():
                    self.answered()
                self._asked_at = began  # here: one who leaves while he asks knows nothing
            return self._answered_at >= since


def may_be_a_text(error: BaseException) -> bool:
    """Return whether one text may be why a server has failed, though it is well."""
    if isinstance(error, ServerError):
        return (error.status or 0) >= _OF_SERVER and kind_of(error) is not Kind.OVERLOAD
    return isinstance(error, BrokenReplyError)
