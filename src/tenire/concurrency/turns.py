"""One turn of the loop at a time: whatever happens before the next one is looked at together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenire.clock import SYSTEM_CLOCK
from tenire.concurrency.reaching import Reaching

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from tenire.clock import Clock
    from tenire.concurrency.loops.portal import Portal
    from tenire.concurrency.supervisor import Life

__all__ = ["Turns"]


class Turns(Reaching):
    """Has ``_turn`` called once for all that called ``wake`` since the last time.

    A turn that fails is the last one until ``recover``, which the supervisor brings about:
    what failed would otherwise fail again at once, and for ever.

    Attributes:
        now: Returns seconds on the engine's clock.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, portal: Portal, clock: Clock) -> None:
        super().__init__(loop, portal)
        self._clock = clock
        self.now = clock.now
        self._now = clock.now()
        self._armed = False
        self._closed = False
        self._answer: Callable[[], object] | None = None
        self._fell: Callable[[Exception], object] = self._recover_alone

    def wake(self) -> None:
        """Have the core asked again, once, in the next turn of the loop."""
        if not self._armed and not self._closed:
            self._armed = True
            self._now = self._clock.now()
            self.loop.call_soon(self._step)

    @property
    def in_real_time(self) -> bool:
        """Whether its clock is the machine's, as that of other processes is."""
        return self._clock is SYSTEM_CLOCK

    def wall(self) -> float:
        """Return seconds since the epoch; may jump."""
        return self._clock.wall()

    def recover(self) -> None:
        """Go on after a turn that failed."""
        self._armed = False
        self.wake()

    async def run(self, life: Life) -> None:
        """Be a component: take one turn after the other for as long as it lives."""
        self._fell = life.fail
        self.recover()
        life.ready()
        await life.wait_told_to_end()

    def ask(self, beat: Callable[[], None]) -> None:
        """Have ``beat`` called at the end of the next turn."""
        self._answer = beat
        self.wake()

    def _turn(self) -> None:
        """Look at all that has happened."""
        raise NotImplementedError

    def _step(self) -> None:
        if self._closed:
            return
        self._armed = False
        try:
            self._turn()
        except Exception as error:  # noqa: BLE001 - ours, not a task's
            self._armed = True  # so that nobody has it called before it has recovered
            self._fell(error)
            return
        if self._answer is not None:
            answer, self._answer = self._answer, None
            answer()

    def _recover_alone(self, error: Exception) -> None:
        self.loop.call_exception_handler({"message": "a turn of the dispatcher failed", "exception": error})
        self.recover()
