"""Equal calls at the same time are one call: its *flight*, which all of them wait for.

1. While a flight is under way, whoever asks for the same key joins it.
2. It belongs to nobody: when the first caller is cancelled, the others still get the
   result. When the last one is cancelled it is cancelled too, and who comes then starts
   a new one.
3. A flight has left the table before anybody sees its result.
4. It may take as long as the most patient of its callers, and is as urgent as the most urgent.

A loop has flights of its own.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from tenire.resilience.tasks import end

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Hashable

    from tenire.resilience.attempts import Call

__all__ = ["Flights"]


class _Flight:
    __slots__ = ("call", "task", "waiting")

    def __init__(self, call: Call, task: asyncio.Task[Any]) -> None:
        self.call = call
        self.task = task
        self.waiting = 0


class Flights:
    """The calls that are under way, by key."""

    __slots__ = ("_flights",)

    def __init__(self) -> None:
        self._flights: dict[tuple[asyncio.AbstractEventLoop, Hashable], _Flight] = {}

    def __len__(self) -> int:
        return len(self._flights)

    def under_way(self, key: Hashable) -> bool:
        """Return whether a call with this key would join another one."""
        return (asyncio.get_running_loop(), key) in self._flights

    async def join(self, key: Hashable, call: Call, run: Callable[[Call], Coroutine[Any, Any, Any]]) -> Any:
        """Return the result of the flight with this key; start it if there is none.

        Args:
            key: What equal calls have in common.
            call: What to call; of those that join only the deadline and the urgency count.
            run: Runs a call.
        """
        place = (asyncio.get_running_loop(), key)
        flight = self._flights.get(place)
        if flight is None:
            task = asyncio.create_task(run(call), name=f"flight of {call.name}")
            flight = self._flights[place] = _Flight(call, task)
            task.add_done_callback(lambda _: self._landed(place, flight))
        else:
            flight.call.deadline = max(flight.call.deadline, call.deadline)
            if flight.call.urgency is not None and call.urgency is not None:
                flight.call.urgency.rise(call.urgency.priority)
        flight.waiting += 1
        landed = place[0].create_future()  # asyncio.wait does the same, for many, and takes longer

        def land(_: object) -> None:
            if not landed.done():
                landed.set_result(None)

        flight.task.add_done_callback(land)
        try:
            await landed
        finally:
            flight.task.remove_done_callback(land)
            flight.waiting -= 1
            if not flight.waiting and not flight.task.done():
                self._forget(place, flight)
                await end((flight.task,))
        return flight.task.result()

    def _landed(self, place: tuple[asyncio.AbstractEventLoop, Hashable], flight: _Flight) -> None:
        self._forget(place, flight)
        if not flight.task.cancelled():
            flight.task.exception()  # all who waited may be gone

    def _forget(self, place: tuple[asyncio.AbstractEventLoop, Hashable], flight: _Flight) -> None:
        if self._flights.get(place) is flight:
            del self._flights[place]
