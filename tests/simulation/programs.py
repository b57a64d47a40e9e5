"""What a simulated task does: a plan with its steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from tenire.core.tasks import Needs, Priority

__all__ = ["Ask", "Fail", "Give", "Join", "Par", "Plan", "Spawn", "Step", "Work", "as_needs"]


class Work(NamedTuple):
    """Take time."""

    seconds: float


class Ask(NamedTuple):
    """Open a permit; if it is refused the program goes on without it."""

    needs: Needs


class Give(NamedTuple):
    """Close the permit that was opened last."""


class Spawn(NamedTuple):
    """Submit a task, after those of earlier spawned ones whose numbers are given."""

    plan: Plan
    after: tuple[int, ...] = ()


class Join(NamedTuple):
    """Wait for a task: one spawned by this program, or any of the world's, by number."""

    number: int
    own: bool = True


class Par(NamedTuple):
    """Run branches on behalf of the same task, and wait for all of them."""

    branches: tuple[tuple[Step, ...], ...]


class Fail(NamedTuple):
    """Fail; the first ``tries`` times the task is tried again."""

    tries: int = 0


Step = Work | Ask | Give | Spawn | Join | Par | Fail


@dataclass(frozen=True)
class Plan:
    """A task to submit."""

    needs: Needs = ()
    steps: tuple[Step, ...] = ()
    pipeline: str = "a"
    priority: Priority = Priority.NORMAL
    name: str = ""
    deadline: float | None = None
    always: bool = False


def as_needs(**amounts: Any) -> Needs:
    """Return needs by the names of the resources that every engine has, and ``pages``, ``rpm``."""
    order = ("cpu", "memory", "threads", "processes", "pages", "rpm")
    return tuple((order.index(name), amount) for name, amount in amounts.items() if amount)
