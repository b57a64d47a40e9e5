"""What runs functions somewhere else than in worker processes of the engine's own: the protocol, and a job.

The scheduler decides what starts, and when; whoever implements this only carries it out. A
job is the same message that a worker process of this machine gets (see ``jobs``), and so is
its outcome: a function cannot tell where it runs, nor whoever waits for it where it ran.

Rules:
    1. All methods but ``capacity``, which the loop calls too, and ``processes`` are called on
       one thread, which is not the loop's. What comes from elsewhere goes there by ``post``.
    2. ``ended`` is called there, once for each job, whatever becomes of it.
    3. Nobody here tries a job again: whether it is, the task's ``Retry`` says.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tenire.concurrency.pools.frames import Message

__all__ = ["Capacity", "Engine", "Job", "Lost", "Outcome", "Run"]


@dataclass(frozen=True, slots=True)
class Capacity:
    """What there is for tasks.

    Attributes:
        cpu: CPU slots.
        workers: Workers that may share one name, each with the same thing warm.
    """

    cpu: float
    workers: int = 1


@dataclass(frozen=True, slots=True)
class Job:
    """One call, ready to be sent.

    Attributes:
        task: The task's name.
        worker: Name of the worker that it is for, which keeps something warm; ``None``: any.
        cpu: CPU slots that it holds.
        memory: Bytes that it holds.
        parts: Reference, call and buffers, as in ``jobs``.
    """

    task: str
    worker: str | None
    cpu: float
    memory: int
    parts: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class Lost:
    """A job that has no outcome.

    Attributes:
        why: What happened, for people.
        started: Whether a worker had it; otherwise there is none for such jobs.
    """

    why: str
    started: bool = True


Outcome: TypeAlias = "Message | Lost"
"""What became of a job."""


class Run(Protocol):
    """A job on its way.

    Attributes:
        since: When a worker got it, seconds of the system's clock, or ``None`` if none has it (yet).
    """

    since: float | None

    def stop(self) -> None:
        """Stop it, whatever it does, or never begin it. It ends as ``Lost``."""
        ...


class Engine(Protocol):
    """Runs jobs somewhere."""

    def capacity(self) -> Capacity:
        """Return what there is, without waiting for anything; from any thread."""
        ...

    def begin(self, post: Callable[..., None]) -> None:
        """Take in how to have something called on the thread of rule 1: ``post(fn, *args)``.

        The first call, and again, with the same ``post``, when that thread had to be started anew.
        """
        ...

    def run(self, job: Job, ended: Callable[[Outcome], object]) -> Run:
        """Have a job run."""
        ...

    def processes(self) -> Mapping[str, int]:
        """Return the process ids, by name, of workers that run on this machine; from any thread."""
        ...

    def close(self) -> None:
        """Run nothing any more, and let go of all workers; what still runs is killed."""
        ...
