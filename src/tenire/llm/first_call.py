"""Holds calls of one model back until the first of them shows whether any can work.

What decides is ``core.first_call``; here calls wait for it.
"""

from __future__ import annotations

import asyncio
import copy
from typing import TYPE_CHECKING

from tenire.core.first_call import Entry, FirstCall
from tenire.errors import AuthenticationError, UnknownModelError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tenire.concurrency.timer import Timeout, UniversalTimer
    from tenire.errors import ModelError

__all__ = ["FirstCallGate"]

_REFUSALS = (AuthenticationError, UnknownModelError)


class FirstCallGate:
    """The gate in front of one model.

    Args:
        timer: The engine's.
        now: Tells its time, seconds.
    """

    __slots__ = ("__weakref__", "_alarm", "_decides", "_error", "_news", "_now", "_timer")

    def __init__(self, timer: UniversalTimer, now: Callable[[], float]) -> None:
        self._timer = timer
        self._now = now
        self._decides = FirstCall()
        self._error: ModelError | None = None
        self._news = asyncio.Event()
        self._alarm: Timeout | None = None

    async def enter(self) -> bool:
        """Wait until a call may go.

        Returns:
            Whether it goes first: then ``leave`` must follow if it is never told how it ended.

        Raises:
            AuthenticationError: If a call was just refused for its key.
            UnknownModelError: If one was just refused for its model.
        """
        if self._decides.proven:
            return False
        while (entry := self._decides.enter(self._now())) is Entry.WAIT:
            await self._news.wait()
        if entry is Entry.REFUSED:
            assert self._error is not None
            raise _of_another(self._error)
        if entry is Entry.GO_ALONE and self._decides.until is not None:
            # One timer for all that wait, so that they go in the order in which they came.
            self._alarm = self._timer.at(self._decides.until, self._tell)
        return entry is Entry.GO_ALONE

    def ended(self, error: ModelError | None) -> None:
        """Take in how a call has ended: with a reply, or with an error of the model's server."""
        if self._decides.proven:
            return
        if isinstance(error, _REFUSALS):
            self._error = copy.copy(error)
            self._decides.refused(self._now())
        else:
            self._decides.answered()
            self._error = None
        self._tell()

    def leave(self) -> None:
        """Take in that the call that went first has ended without a word."""
        if not self._decides.proven:
            self._decides.left()
            self._tell()

    @property
    def refuses(self) -> bool:
        """Whether a call was just refused for what is the same for every call."""
        return self._error is not None and self._decides.is_refused(self._now())

    def _tell(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        self._news.set()
        self._news = asyncio.Event()


def _of_another(error: ModelError) -> ModelError:
    """Return the error of a call that was not sent: it may have asked for something else, and counts its own tries."""
    own = copy.copy(error)
    own.args = (f"not sent, since a call of the same model has just been refused: {error}",)
    return own
