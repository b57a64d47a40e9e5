"""Which tasks wait for which: counters, inherited priority, and cycles reported as the cycle.

A task that was submitted with ``after=[…]`` keeps one number: how many of those
are unfinished. Each of them keeps the list of tasks to tell. So a graph costs
time linear in its edges, and no search is needed while it runs.

1. A task is ready when its last blocker has ended: DONE, or in any way if it
   runs ``always``.
2. A failed or cancelled task breaks those that wait for it, unless they run always.
3. What an urgent task waits for is as urgent: priorities rise along the edges
   (L. Sha, R. Rajkumar, J. Lehoczky, "Priority Inheritance Protocols", 1990). They
   never fall again, so a task is raised four times at the most.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from tenire.core.tasks import DONE, FINAL, READY, WAITING, Task

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["find_cycle", "inherit", "link", "resolve"]

Key = TypeVar("Key")


def link(task: Task, after: Sequence[Task]) -> Task | None:
    """Make ``task`` wait for every unfinished task of ``after``.

    Returns:
        The first task of ``after`` that has already failed or was cancelled, if
        there is one and ``task`` does not run always; the caller then ends ``task``
        for that reason.
    """
    broken: Task | None = None
    for other in after:
        if other.state < FINAL:
            task.blockers += 1
            if other.dependents is None:
                other.dependents = [task]
            else:
                other.dependents.append(task)
        elif other.state != DONE and broken is None and not task.always:
            broken = other
    if task.blockers:
        task.after = tuple(after)
    return broken


def resolve(task: Task) -> tuple[list[Task], list[Task]]:
    """Tell a finished task's dependents.

    Returns:
        Those that wait for nothing any more, and those that can never run
        because ``task`` failed or was cancelled.
    """
    dependents, task.dependents = task.dependents, None
    freed: list[Task] = []
    broken: list[Task] = []
    if dependents:
        done = task.state == DONE
        for dependent in dependents:
            if dependent.state != WAITING:
                continue
            if done or dependent.always:
                dependent.blockers -= 1
                if not dependent.blockers:
                    freed.append(dependent)
            else:
                broken.append(dependent)
    return freed, broken


def inherit(task: Task, priority: int) -> None:
    """Raise a task, and whatever it waits for, to a class if that is more urgent (rule 3)."""
    pending = [task]
    while pending:
        raised = pending.pop()
        if raised.priority <= priority or raised.state > READY:
            continue
        if raised.state == READY:
            raised.pipeline.queue.promote(raised, priority=priority)
        else:
            raised.priority = priority
            pending.extend(raised.after)


def find_cycle(graph: Mapping[Key, Iterable[Key]]) -> list[Key] | None:
    """Return one cycle of a graph, or ``None``.

    Depth-first search without recursion, so that a chain of a million nodes is
    no deeper than a short one.

    Args:
        graph: For each node, the nodes that it waits for.

    Returns:
        The nodes of one cycle, each waiting for the next, the first one again
        at the end.
    """
    done: set[Key] = set()
    for root in graph:
        if root in done:
            continue
        path: list[Key] = [root]
        on_path = {root}
        pending = [iter(graph.get(root, ()))]
        while pending:
            for node in pending[-1]:
                if node in on_path:
                    return [*path[path.index(node) :], node]
                if node not in done and node in graph:
                    path.append(node)
                    on_path.add(node)
                    pending.append(iter(graph[node]))
                    break
            else:
                pending.pop()
                node = path.pop()
                on_path.discard(node)
                done.add(node)
    return None
