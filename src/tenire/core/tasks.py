"""What the scheduler knows of a task: its record, its class, its needs.

::

    WAITING ──► READY ──► RUNNING ──► DONE
       │          │          │  └────► FAILED
       │          │          ├───────► CANCELLED
       │          │          └──► WAITING        (retry, after its delay)
       └──────────┴──────────────────► FAILED or CANCELLED

1. A task is in exactly one state; DONE, FAILED and CANCELLED are final.
2. It holds its resources in RUNNING and in no other state.
3. It is in its pipeline's ready queue in READY and in no other state.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from numbers import Real
from typing import TYPE_CHECKING, Any, TypeGuard

from tenire.errors import ConfigError

if TYPE_CHECKING:
    from tenire.core.deadlines import Entry
    from tenire.core.fair_share import PipelineShare
    from tenire.core.ready_queue import Lane

__all__ = [
    "CPU_UNIT",
    "DONE",
    "FINAL",
    "READY",
    "RUNNING",
    "WAITING",
    "Claim",
    "Needs",
    "Priority",
    "Resources",
    "Retry",
    "State",
    "Task",
    "is_number",
    "mask_of",
]

CPU_UNIT = 1000
"""Parts of one CPU slot. Amounts inside the core are whole numbers, so that
taking and giving back any mix of fractions ends at exactly the same figure."""

Needs = tuple[tuple[int, int], ...]
"""Resources as (index of the resource, amount) pairs; empty means nothing."""


def is_number(value: Any) -> TypeGuard[float]:
    """Return whether a value is a real number; ``True`` and ``False`` are none here."""
    return isinstance(value, (int, float, Real)) and not isinstance(value, bool)


class Priority(IntEnum):
    """How urgent a task is; smaller is more urgent."""

    CRITICAL = 0
    HIGH = 1
    NORMAL = 2
    LOW = 3
    IDLE = 4

    @classmethod
    def parse(cls, name: str) -> Priority:
        """Return the priority called ``name`` (any case).

        Raises:
            ConfigError: If there is no such priority.
        """
        try:
            return cls[name.upper()]
        except KeyError:
            known = ", ".join(priority.name.lower() for priority in cls)
            message = f"priority must be one of {known}, got {name!r}"
            raise ConfigError(message, key="priority") from None


class State(IntEnum):
    """Where a task is; see the diagram above."""

    WAITING = 0
    READY = 1
    RUNNING = 2
    DONE = 3
    FAILED = 4
    CANCELLED = 5


WAITING, READY, RUNNING, DONE = State.WAITING, State.READY, State.RUNNING, State.DONE
# As globals of their own: looking up a member of an enum costs three times as much,
# and the scheduler does it for every task.

FINAL = State.DONE
"""States at or above this one are final."""


class Claim(IntEnum):
    """On what ground a record asks for resources; a higher ground is served first.

    Only the highest can be part of a hold-and-wait, so it is held up by nothing that is
    kept for others.
    """

    START = 0
    """A task that has not started, or a permit of somebody who holds nothing."""
    PERMIT = 1
    """A permit of a running task that holds nothing yet."""
    AWAITED = 2
    """What somebody who holds something waits for, a permit or a task: nothing of it
    comes back before."""


@dataclass(frozen=True, slots=True)
class Resources:
    """What a task holds while it runs, taken all in one step.

    Attributes:
        cpu: CPU slots; fractions are allowed.
        memory: Bytes.
        other: Amounts of resources that were registered by name, whole numbers.
    """

    cpu: float = 0.0
    memory: int = 0
    other: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, value in (("cpu", self.cpu), ("memory", self.memory)):
            if not is_number(value):
                message = f"Resources.{name} must be a number, got {value!r}"
                raise ConfigError(message, key=name)
        if not self.cpu >= 0 or self.cpu == float("inf"):
            message = f"Resources.cpu must be a number of slots, zero or more, got {self.cpu!r}"
            raise ConfigError(message, key="cpu")
        if not self.memory >= 0 or self.memory == float("inf"):
            message = f"Resources.memory must be a number of bytes, zero or more, got {self.memory!r}"
            raise ConfigError(message, key="memory")
        if not isinstance(self.other, Mapping):
            message = f"Resources.other must be a mapping of names to amounts, got {self.other!r}"
            raise ConfigError(message, key="other")
        for name, amount in self.other.items():
            # A fraction of a named resource would become nothing, and hold nothing.
            if not is_number(amount) or not 0 <= amount < float("inf") or (name != "cpu" and amount != int(amount)):
                message = f"Resources.other[{name!r}] must be a whole number, zero or more, got {amount!r}"
                raise ConfigError(message, key=name)


@dataclass(frozen=True, slots=True)
class Retry:
    """When and how often a failed task is tried again.

    The delay before try ``n + 1`` is drawn evenly from zero to
    ``min(max_delay, backoff * 2 ** (n - 1))`` ("full jitter": M. Brooker,
    "Exponential Backoff And Jitter", AWS Architecture Blog, 2015).

    Attributes:
        attempts: Tries in all, the first one included.
        backoff: Upper bound of the first delay, seconds.
        max_delay: Upper bound of every delay, seconds.
        on: Exceptions that are worth another try.
    """

    attempts: int = 3
    backoff: float = 0.1
    max_delay: float = 30.0
    on: tuple[type[BaseException], ...] | type[BaseException] = (Exception,)

    def __post_init__(self) -> None:
        if not isinstance(self.attempts, int) or isinstance(self.attempts, bool) or self.attempts < 1:
            message = f"Retry.attempts counts the first try, so it must be a whole number from 1, got {self.attempts!r}"
            raise ConfigError(message, key="attempts")
        on = self.on if isinstance(self.on, tuple) else (self.on,)
        for kind in on:
            if not isinstance(kind, type) or not issubclass(kind, BaseException):
                message = f"Retry.on must be an exception class, or a tuple of them, got {self.on!r}"
                raise ConfigError(message, key="on")
        object.__setattr__(self, "on", on)
        for name, delay in (("backoff", self.backoff), ("max_delay", self.max_delay)):
            if not is_number(delay) or not delay >= 0:
                message = f"Retry.{name} must be a number of seconds, zero or more, got {delay!r}"
                raise ConfigError(message, key=name)


_MASKS: dict[Needs, int] = {(): 0}
_MOST_MASKS = 4096


def mask_of(needs: Needs) -> int:
    """Return the set of resources that these needs take, one bit each."""
    mask = _MASKS.get(needs)
    if mask is None:
        mask = 0
        for index, amount in needs:
            if amount:
                mask |= 1 << index
        if len(_MASKS) < _MOST_MASKS:
            _MASKS[needs] = mask
    return mask


class Task:
    """The scheduler's record of one task, or of one permit.

    Attributes:
        seq: Order of submission; 0 until then.
        name: For people; need not be unique.
        pipeline: The pipeline it belongs to.
        priority: Its class; it rises if something more urgent waits for it.
        needs: What it takes while it runs.
        mask: Bit ``i`` is set if it needs resource ``i``.
        claim: On what ground it asks for them.
        state: See ``State``.
        blockers: Unfinished tasks that it waits for.
        dependents: Tasks that wait for it, or ``None``.
        after: The tasks that it waits for, until it is ready.
        always: Whether it runs however those that it waits for end.
        lane: The lane that it stands in; set once it is ready.
        ready_at: When it became ready, seconds.
        started_at: When it last started, seconds.
        deadline: When it must be finished, seconds, or ``None``.
        charge: Cost charged at start, corrected at the end; virtual time of weight 1.
        share: Largest share of one resource that it took at start; set by then.
        timer: Its entry among the deadlines; set if it has one.
        permits: Open permits that it holds beside its needs, or ``None``.
        is_permit: Whether it is a permit: how long it is held says nothing of a task.
        parent: ``seq`` of the task that submitted it; 0 if none did.
    """

    __slots__ = (
        "after",
        "always",
        "blockers",
        "charge",
        "claim",
        "deadline",
        "dependents",
        "is_permit",
        "lane",
        "mask",
        "name",
        "needs",
        "parent",
        "permits",
        "pipeline",
        "priority",
        "ready_at",
        "seq",
        "share",
        "started_at",
        "state",
        "timer",
    )

    seq: int
    name: str
    pipeline: PipelineShare
    priority: int
    needs: Needs
    mask: int
    claim: int
    state: State
    blockers: int
    dependents: list[Task] | None
    after: tuple[Task, ...]
    always: bool
    lane: Lane
    ready_at: float
    started_at: float
    deadline: float | None
    charge: float
    share: float
    timer: Entry[Task]
    permits: list[Task] | None
    is_permit: bool
    parent: int

    def __init__(
        self,
        pipeline: PipelineShare,
        name: str = "",
        priority: int = 2,  # Priority.NORMAL; the attribute look-up would be a tenth of this call
        needs: Needs = (),
        deadline: float | None = None,
        *,
        always: bool = False,
    ) -> None:
        self.seq = 0
        self.name = name
        self.pipeline = pipeline
        self.priority = priority
        self.needs = needs
        self.mask = mask_of(needs) if needs else 0
        self.claim = 0  # Claim.START
        self.state = WAITING
        self.blockers = 0
        self.dependents = None
        self.after = ()
        self.always = always
        self.deadline = deadline
        self.permits = None
        self.is_permit = False
        self.parent = 0

    def records(self) -> list[Task]:
        """Return the records of all that is held on its behalf: its own, and its open permits."""
        own = [self] if self.state >= RUNNING and self.mask else []  # once it has really ended there is no mask
        return own + self.permits if self.permits else own

    def holds(self) -> int:
        """Return the set of resources that it holds, its open permits' included, one bit each."""
        held = 0
        for record in self.records():
            held |= record.mask
        return held

    def root(self) -> Task:
        """Return the task on whose behalf it waits and holds."""
        return self

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.seq} {self.name!r} {State(self.state).name.lower()}>"
