"""Where calls wait while a breaker refuses them.

1. Calls are let in in the order in which they came; nobody overtakes those that wait.
2. The first in the queue watches the clock for all. When it leaves, the next one does.
3. What is let in gets its permit from whoever had the news: there is no moment in which a
   place is free and nobody knows.
4. Waiting is no try. Who would have to wait for longer than it may is refused at once.

One breaker has one gate, also if several guards, loops and threads use it: the breaker
itself is not thread-safe, and is only touched with the gate's lock held.
"""

from __future__ import annotations

import threading
from collections import deque
from functools import partial
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from tenire.concurrency.outside import waits_outside
from tenire.core.breaker import HALF_OPEN, OPEN, CallPermit
from tenire.core.explain import Gate as Held
from tenire.errors import CircuitOpenError
from tenire.resilience.failures import PassedOverError
from tenire.resilience.turns import LoopTurn, ThreadTurn

if TYPE_CHECKING:
    from collections.abc import Callable

    from tenire.core.breaker import CircuitBreaker, Outcome
    from tenire.resilience.turns import Turn

__all__ = ["Gate", "gate_of"]

_NEVER = float("inf")


class Gate:
    """Lets calls in when the breaker admits them.

    Attributes:
        breaker: The breaker.
        answered: Calls that ended well.
        answered_at: When one of them did last, seconds; minus infinity for never.
        well_at: When the last one of them began, seconds; minus infinity for never.
    """

    __slots__ = ("__weakref__", "_lock", "_queue", "answered", "answered_at", "breaker", "well_at")

    def __init__(self, breaker: CircuitBreaker) -> None:
        self.breaker = breaker
        self._lock = threading.Lock()
        self._queue: deque[Turn[CallPermit]] = deque()
        self.answered = 0
        self.answered_at = self.well_at = -_NEVER

    def __len__(self) -> int:
        return len(self._queue)

    def enter_nowait(self, now: float) -> CallPermit | None:
        """Return a permit if there is one, and nobody waits for it."""
        with self._lock:
            return None if self._queue else self.breaker.acquire(now)

    async def enter(self, clock: Callable[[], float], *, deadline: float, name: str) -> CallPermit:
        """Wait for a permit.

        Args:
            clock: Tells the time in seconds.
            deadline: By when it must be there.
            name: Of the function, for the error.

        Raises:
            CircuitOpenError: If no call will be admitted before the deadline.
        """
        turn: LoopTurn[CallPermit] = LoopTurn()
        self._queue.append(turn)
        with waits_outside(partial(self._told, clock, name)):
            try:
                while True:
                    seconds = self._look(turn, clock(), deadline, name)
                    if turn.granted is not None:
                        return turn.granted
                    await turn.wait(seconds)
            except BaseException:
                self._leave(turn, clock())
                raise

    def enter_blocking(self, clock: Callable[[], float], *, deadline: float, name: str) -> CallPermit:
        """Wait for a permit, and block the thread meanwhile; otherwise as ``enter``."""
        turn: ThreadTurn[CallPermit] = ThreadTurn()
        self._queue.append(turn)
        with waits_outside(partial(self._told, clock, name)):
            try:
                while True:
                    seconds = self._look(turn, clock(), deadline, name)
                    if turn.granted is not None:
                        return turn.granted
                    turn.wait(min(seconds, self._time_left(clock(), deadline, name)))
            except BaseException:
                self._leave(turn, clock())
                raise

    def still_open(self, permit: CallPermit) -> bool:
        """Return whether a permit that was granted some time ago is still worth a call."""
        return self.breaker.current(permit)

    def passed_over(self, name: str, now: float) -> PassedOverError:
        """Return the error for a call that did not wait until it was let in."""
        left = self.breaker.retry_at - now
        open_yet = self.breaker.state == OPEN and left > 0
        why = f"is open for another {left:.3g} s" if open_yet else "lets in a few calls first"
        message = f"{name} was not made: most such calls have failed of late, and its circuit {why}"
        hint = "call again later: only a call with more than one try, for which nobody stands in, waits for that"
        return PassedOverError(message, retry_at=self.breaker.retry_at if open_yet else None, hint=hint)

    def leave(self, permit: CallPermit, now: float, outcome: Outcome, began: float = -_NEVER) -> None:
        """Give a permit back, and say how its call ended, and when it began."""
        with self._lock:
            if outcome == "ok":
                self.answered += 1
                self.answered_at = now
                self.well_at = max(self.well_at, began)
            self.breaker.release(permit, now, outcome)
            self._pass_on(now)

    def _told(self, clock: Callable[[], float], name: str) -> Held:
        """Return why a call waits here, for people; from any thread."""
        left = self.breaker.retry_at - clock()
        if self.breaker.state == OPEN and left > 0:
            return Held("breaker", f"behind the circuit of {name}, which is open for another {left:.1f} s")
        return Held("breaker", f"behind the circuit of {name}, which lets in a few calls first")

    def _look(self, turn: Turn[CallPermit], now: float, deadline: float, name: str) -> float:
        """Let in whom the breaker admits; return after how many seconds this one has to look again."""
        breaker = self.breaker
        with self._lock:
            if turn.granted is not None:
                return 0.0
            self._let_in(now)
            if turn.granted is not None:
                self._pass_on(now)
                return 0.0
            if breaker.state != OPEN:
                return _NEVER
            if breaker.retry_at >= deadline:
                raise self._refusal(name, now)
            return breaker.retry_at - now if self._queue[0] is turn else _NEVER

    def _let_in(self, now: float) -> None:
        queue = self._queue
        while queue:
            permit = self.breaker.acquire(now)
            if permit is None:
                return
            turn = queue.popleft()
            turn.granted = permit
            if not turn.poke():
                self.breaker.release(permit, now, "cancelled")

    def _leave(self, turn: Turn[CallPermit], now: float) -> None:
        """Let one go that waits no longer; what it was granted meanwhile comes back."""
        with self._lock:
            if turn.granted is None:
                self._queue.remove(turn)
            else:
                self.breaker.release(turn.granted, now, "cancelled")
            self._pass_on(now)

    def _pass_on(self, now: float) -> None:
        """Tell those that wait what has changed."""
        if self._queue:
            self._let_in(now)
        if self._queue:
            self._queue[0].poke()

    def _time_left(self, now: float, deadline: float, name: str) -> float:
        if now >= deadline:
            raise self._refusal(name, now)
        return deadline - now

    def _refusal(self, name: str, now: float) -> CircuitOpenError:
        breaker = self.breaker
        hint = "call again later, or with a longer deadline"
        if breaker.state == HALF_OPEN:
            message = f"{name} was not called: its circuit is half open, and others were trying it until the deadline"
            return CircuitOpenError(message, hint=hint)
        message = (
            f"{name} was not called: its circuit is open for another {breaker.retry_at - now:.3g} s, "
            "which is longer than its deadline"
        )
        return CircuitOpenError(message, retry_at=breaker.retry_at, hint=hint)


_GATES: WeakValueDictionary[int, Gate] = WeakValueDictionary()
_GATES_LOCK = threading.Lock()


def gate_of(breaker: CircuitBreaker) -> Gate:
    """Return the gate of a breaker; the same one for as long as anybody holds it."""
    # By identity: the gate holds the breaker, so that no other one can have its id meanwhile.
    with _GATES_LOCK:
        gate = _GATES.get(id(breaker))
        if gate is None:
            gate = _GATES[id(breaker)] = Gate(breaker)
        return gate
