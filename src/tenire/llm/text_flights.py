"""Equal texts that several callers want embedded at the same time: one of them asks for all.

1. Who comes first for a text asks for it; who comes while that is under way waits for the
   same vector, or the same error.
2. When the first one leaves, cancelled or at its own deadline, the next one asks.
3. Other programs with the same home are waited for in the same way, by a claim in it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Generic, TypeVar

from tenire.errors import CallTimeoutError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["TextFlights"]

T = TypeVar("T")


class TextFlights(Generic[T]):
    """What is under way, by key; used from one event loop."""

    __slots__ = ("_flights",)

    def __init__(self) -> None:
        self._flights: dict[bytes, asyncio.Future[T]] = {}

    def __len__(self) -> int:
        return len(self._flights)

    async def join(self, key: bytes, ask: Callable[[float | None], Awaitable[T]], *, deadline: float | None) -> T:
        """Return what a key stands for, whoever asks for it.

        Args:
            key: What equal texts have in common.
            ask: Asks for it, within so many seconds.
            deadline: Seconds to wait at the most; ``None`` for no limit.

        Raises:
            CallTimeoutError: If there was nothing by then.
            Exception: What ``ask`` raised, for whoever it was.
        """
        loop = asyncio.get_running_loop()
        until = None if deadline is None else loop.time() + deadline
        while (flight := self._flights.get(key)) is not None:
            left = None if until is None else max(0.0, until - loop.time())
            done, _ = await asyncio.wait((flight,), timeout=left)
            if not done:
                message = f"the vector of a text that another caller had asked for was not there within {deadline:g} s"
                raise CallTimeoutError(message, call="embed")
            if not flight.cancelled():
                return flight.result()
        flight = self._flights[key] = loop.create_future()
        try:
            found = await ask(None if until is None else max(0.0, until - loop.time()))
        except BaseException as error:
            left_early = isinstance(error, CallTimeoutError) and until is not None
            if left_early or not isinstance(error, Exception):
                flight.cancel()
            else:
                flight.set_exception(error)
                flight.exception()  # there may be nobody who waits for it
            raise
        else:
            flight.set_result(found)
            return found
        finally:
            del self._flights[key]
