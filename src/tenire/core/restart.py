"""Which components of a supervisor start, stop and start again, and when it gives up.

The rules are those of Erlang's supervisors (OTP Design Principles, "Supervisor
Behaviour"), but a restart waits for a moment: what failed because of something
outside would fail again at once.

::

              its turn                ready
    DOWN ───────────────► STARTING ──────────► UP
     ▲ ▲                     │ │               │ │
     │ └──── it ended ───────┘ │               │ │
     │ └──── it ended ─────────┼───────────────┘ │
     │                         └──► STOPPING ◄───┘  it has to leave
     └────── it has left ────────────┘ │
                                       └─► ENDED or FAILED, for good

1. ``one_for_one``: components know nothing of one another. They start at once, and
   one that fails starts again alone. ``rest_for_one``: each starts once all before
   it are up, or gone for good, and one that fails takes those after it along.
   ``one_for_all``: the same, but it takes all others along.
2. Those taken along leave in reverse order, and start again in order.
3. A permanent component starts again however it ended, a transient one if it failed,
   a temporary one never, not even when it was only taken along. What is gone for good
   stays gone.
4. The wait before a restart has full jitter, and its bound doubles with each failure
   until the component was up for ``CALM_S``, and for ten times its last wait.
5. More than ``intensity`` failures of one component within ``period`` seconds are too
   many: an optional one is given up, any other one takes the whole supervisor down.
   Failures are counted for each by itself: many that fail once because of one event
   are no component that cannot live.
6. An end that was asked for is no failure.
7. At the end all leave in reverse order, one after the other, and none starts again.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Literal

from tenire.core.backoff import full_jitter
from tenire.errors import ConfigError

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable

__all__ = ["CALM_S", "Member", "Restart", "Restarts", "Start", "State", "Stop", "Strategy"]

Restart = Literal["permanent", "transient", "temporary"]
Strategy = Literal["one_for_one", "one_for_all", "rest_for_one"]

CALM_S = 60.0
_BASE_S = 0.1
_CAP_S = 30.0


class State(Enum):
    """Where a component is in its life."""

    DOWN = "down"
    STARTING = "starting"
    UP = "up"
    STOPPING = "stopping"
    ENDED = "ended"
    FAILED = "failed"


_LIVE = (State.STARTING, State.UP, State.STOPPING)
_GONE = (State.ENDED, State.FAILED)


@dataclass(frozen=True, slots=True)
class Member:
    """A component, as far as this decision goes.

    Attributes:
        name: Unique in its supervisor.
        restart: When it starts again after its end.
        optional: Whether the others go on without it when it fails too often.
    """

    name: str
    restart: Restart = "permanent"
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Start:
    """Start a component now."""

    name: str


@dataclass(frozen=True, slots=True)
class Stop:
    """Have a component end now."""

    name: str


class _Child:
    __slots__ = ("delay", "failures", "member", "not_before", "starts", "state", "streak", "then", "up_at")

    def __init__(self, member: Member) -> None:
        self.member = member
        self.state = State.DOWN
        self.then: State | None = None  # what it is once it has left; None if it may stay
        self.failures: deque[float] = deque()
        self.starts = 0
        self.streak = 0  # failures since it was last calm
        self.delay = 0.0
        self.not_before = float("-inf")
        self.up_at = float("inf")


class Restarts:
    """The state of one supervisor's components.

    Every method takes ``now``, in seconds, and returns what to do, in order.

    Args:
        members: The components, in the order in which they start.
        strategy: Whom one that fails takes along.
        intensity: Failures of one component within the period that are still borne.
        period: Seconds.
        rng: For the jitter.

    Attributes:
        escalated: The component that took the supervisor down, or ``None``.

    Raises:
        ConfigError: If two components have one name, or a number or a word is impossible.
    """

    def __init__(
        self,
        members: Iterable[Member] = (),
        *,
        strategy: Strategy = "one_for_one",
        intensity: int = 5,
        period: float = 60.0,
        rng: random.Random,
    ) -> None:
        if strategy not in ("one_for_one", "one_for_all", "rest_for_one"):
            message = f"strategy must be one_for_one, one_for_all or rest_for_one, got {strategy!r}"
            raise ConfigError(message, key="strategy")
        if intensity < 0 or not period > 0:
            message = f"intensity must be 0 or more and period positive, got {intensity!r} and {period!r}"
            raise ConfigError(message, key="intensity")
        self._strategy = strategy
        self._intensity = intensity
        self._period = period
        self._rng = rng
        self._children: dict[str, _Child] = {}
        self._closing = False
        self._decided_at = float("-inf")
        self.escalated: str | None = None
        for member in members:
            self._take_in(member)

    # -- what there is ----------------------------------------------------

    def state(self, name: str) -> State:
        """Return where a component is in its life."""
        return self._children[name].state

    def restarts(self, name: str) -> int:
        """Return how often a component was started again."""
        return max(0, self._children[name].starts - 1)

    def fate(self, name: str) -> State:
        """Return what a component is now, or what it will be once it has left."""
        child = self._children[name]
        return child.then or child.state

    def delay(self, name: str) -> float:
        """Return the wait, in seconds, that followed a component's last failure."""
        return self._children[name].delay

    def health(self, name: str, now: float) -> str:
        """Return a component's health in a word.

        Returns:
            ``healthy``; ``unsteady`` if it is up, but failed within the period; otherwise
            its state: ``down``, ``starting``, ``stopping``, ``ended`` or ``failed``.
        """
        child = self._children[name]
        if child.state is not State.UP:
            return str(child.state.value)
        return "unsteady" if child.failures and child.failures[-1] > now - self._period else "healthy"

    def next_due(self) -> float | None:
        """Return when ``due`` may have something to do that the last decision left, or ``None``.

        It may have passed by now: the time between a decision and this question counts.
        """
        waiting = [child.not_before for child in self._children.values() if child.state is State.DOWN]
        return min((at for at in waiting if at > self._decided_at), default=None)

    @property
    def closed(self) -> bool:
        """Whether all have to leave for good."""
        return self._closing

    # -- what happens -----------------------------------------------------

    def due(self, now: float) -> list[Start | Stop]:
        """Begin, or go on after a wait."""
        return self._settle(now)

    def add(self, member: Member, now: float) -> list[Start | Stop]:
        """Take in one more component, after all others."""
        self._take_in(member)
        return self._settle(now)

    def remove(self, name: str, now: float) -> list[Start | Stop]:
        """Have a component end for good; the others stay."""
        self._leave(self._children[name], State.ENDED)
        return self._settle(now)

    def forget(self, name: str) -> None:
        """Drop a component that does not live; its name is free again."""
        assert self._children[name].state not in _LIVE
        del self._children[name]

    def ready(self, name: str, now: float) -> list[Start | Stop]:
        """Take in that a component is up."""
        child = self._children[name]
        if child.state is State.STARTING:
            child.state = State.UP
            child.up_at = now
        return self._settle(now)

    def ended(self, name: str, now: float, *, failed: bool) -> list[Start | Stop]:
        """Take in that a component has ended, by itself or because it had to."""
        child = self._children[name]
        assert child.state in _LIVE
        asked, child.then = child.then, None
        child.state = asked or State.DOWN
        if asked is None:
            self._fell(child, now, failed=failed)
        return self._settle(now)

    def hung(self, name: str, now: float) -> list[Start | Stop]:
        """Take in that a component does not work any more, though it has not ended."""
        child = self._children[name]
        if child.state in _LIVE and child.then is None:
            self._fell(child, now, failed=True)
        return self._settle(now)

    def close(self, now: float) -> list[Start | Stop]:
        """Have all components end for good."""
        self._end_all()
        return self._settle(now)

    # -- decisions --------------------------------------------------------

    def _take_in(self, member: Member) -> None:
        if member.restart not in ("permanent", "transient", "temporary"):
            message = f"restart must be permanent, transient or temporary, got {member.restart!r} ({member.name!r})"
            raise ConfigError(message, key="restart")
        if member.name in self._children:
            message = f"two components of one supervisor are called {member.name!r}"
            raise ConfigError(message, key=member.name)
        self._children[member.name] = _Child(member)
        if self._closing:
            self._children[member.name].state = State.ENDED

    def _end_all(self) -> None:
        self._closing = True
        for child in self._children.values():
            self._leave(child, State.ENDED)

    def _fell(self, child: _Child, now: float, *, failed: bool) -> None:
        """Decide what a component's end, or its hanging, means."""
        restart = child.member.restart
        if restart == "temporary" or (restart == "transient" and not failed):
            self._leave(child, State.ENDED)
            return
        failures = child.failures
        failures.append(now)
        while failures[0] <= now - self._period:
            failures.popleft()
        if len(failures) > self._intensity:
            self._leave(child, State.FAILED)
            if not child.member.optional:
                self.escalated = child.member.name
                self._end_all()
            return
        if now - child.up_at >= max(CALM_S, 10.0 * child.delay):
            child.streak = 0
        child.streak += 1
        child.delay = full_jitter(child.streak, base=_BASE_S, cap=_CAP_S, rng=self._rng)
        for other in self._taken_along(child):
            gone = other.member.restart == "temporary" and other.state is not State.DOWN
            self._leave(other, State.ENDED if gone else State.DOWN)
            other.not_before = max(other.not_before, now + child.delay)

    def _taken_along(self, child: _Child) -> list[_Child]:
        children = list(self._children.values())
        if self._strategy == "one_for_one":
            return [child]
        return children if self._strategy == "one_for_all" else children[children.index(child) :]

    @staticmethod
    def _leave(child: _Child, then: State) -> None:
        """Have a component leave if it is there; ``then`` is what it is afterwards."""
        if child.state is State.DOWN:
            child.state = then
        elif child.state in _LIVE and child.then in (None, State.DOWN):
            child.then = then

    def _settle(self, now: float) -> list[Start | Stop]:
        """Return what follows from the states, and take it as done."""
        self._decided_at = now
        commands: list[Start | Stop] = []
        ordered = self._closing or self._strategy != "one_for_one"
        children = list(self._children.values())
        for child in reversed(children):
            if child.then is not None and child.state is not State.STOPPING:
                child.state = State.STOPPING
                commands.append(Stop(child.member.name))
            if ordered and child.state is State.STOPPING:
                return commands  # those before it leave after it, and nobody starts meanwhile
        for child in children:
            if child.state is State.DOWN and now >= child.not_before:
                child.state = State.STARTING
                child.starts += 1
                child.up_at = float("inf")
                commands.append(Start(child.member.name))
            if ordered and child.state in (State.DOWN, State.STARTING):
                break
        return commands

    def check(self) -> None:
        """Verify the rules."""
        children = list(self._children.values())
        ordered = self._closing or self._strategy != "one_for_one"
        for place, child in enumerate(children):
            assert child.then is None or child.state in _LIVE, child.member
            assert child.then is not None or child.state is not State.STOPPING, child.member
            given_up = State.FAILED in (child.state, child.then)
            assert given_up or len(child.failures) <= self._intensity, child.member
            assert not self._closing or child.state in _GONE or child.then is not None, child.member
            assert child.member.restart != "temporary" or child.starts <= 1, child.member
            behind = [other for other in children[place + 1 :] if other.state in _LIVE]
            if ordered and child.state in (State.DOWN, State.STARTING):
                assert all(other.then is not None for other in behind), child.member
        assert self.escalated is None or self._closing
