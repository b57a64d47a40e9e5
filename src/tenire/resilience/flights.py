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
from typing import TYPE_CHECKING, Any, TypeAlias

from tenire.resilience.tasks import end

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Hashable

    from tenire.resilience.attempts import Call

__all__ = ["Flights"]

_Place: TypeAlias = "tuple[asyncio.AbstractEventLoop, Hashable]"


class _Flight:
    """One call under way.

    Attributes:
        place: Where it stands in the table.
        call: The call.
        waiting: Done when it has landed; one for each who waits, in their order.
        task: Makes the call.
    """

    __slots__ = ("_table", "call", "place", "task", "waiting")

    def __init__(self, table: dict[_Place, _Flight], place: _Place, call: Call, task: asyncio.Task[Any]) -> None:
        self._table = table
        self.place = place
        self.call = call
        self.waiting: dict[asyncio.Future[None], None] = {}
        self.task = task
        table[place] = self
        task.add_done_callback(self._landed)

    def forget(self) -> None:
        """Leave the table: who comes now starts another one."""
        if self._table.get(self.place) is self:
            del self._table[self.place]

    def _landed(self, task: asyncio.Task[Any]) -> None:
        self.forget()
        if not task.cancelled():
            task.exception()  # all who waited may be gone
        for landed in self.waiting:
            if not landed.done():
                landed.set_result(None)


class Flights:
    """The calls that are under way, by key."""

    __slots__ = ("_flights",)

    def __init__(self) -> None:
        self._flights: dict[_Place, _Flight] = {}

    def __len__(self) -> int:
        return len(self._flights)

    def under_way(self, key: Hashable) -> bool:
        """Return whether a call with this key would join another one."""
        return (asyncio.get_running_loop(), key) in self._flights

    async def join(self, key: Hashable, call: Call, run: Callable[[Hashable, Call], Coroutine[Any, Any, Any]]) -> Any:
        """Return the result of the flight with this key; start it if there is none.

        Args:
            key: What equal calls have in common.
            call: What to call; of those that join only the deadline and the urgency count.
            run: Runs a call with its key.
        """
        place = (asyncio.get_running_loop(), key)
        flight = self._flights.get(place)
        if flight is None:
            task = asyncio.create_task(run(key, call), name=f"flight of {call.name}")
            flight = _Flight(self._flights, place, call, task)
        else:
            flight.call.deadline = max(flight.call.deadline, call.deadline)
            if flight.call.urgency is not None and call.urgency is not None:
                flight.call.urgency.rise(call.urgency.priority)
        landed = place[0].create_future()  # asyncio.wait does the same, for many, and takes longer
        flight.waiting[landed] = None
        try:
            await landed
        finally:
            del flight.waiting[landed]
            if not flight.waiting and not flight.task.done():
                flight.forget()
                await end((flight.task,))
        return flight.task.result()
