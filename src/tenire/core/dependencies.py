"""Which tasks wait for which: counters, and cycles reported as the cycle.

A task that was submitted with ``after=[…]`` keeps one number: how many of those
are unfinished. Each of them keeps the list of tasks to tell. So a graph costs
time linear in its edges, and no search is needed while it runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from tenire.core.tasks import FINAL, State, Task

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["find_cycle", "link", "resolve"]

Key = TypeVar("Key")


def link(task: Task, after: Iterable[Task]) -> Task | None:
    """Make ``task`` wait for every unfinished task of ``after``.

    Returns:
        The first task of ``after`` that has already failed or was cancelled, if
        there is one; the caller then ends ``task`` for that reason.
    """
    broken: Task | None = None
    for other in after:
        if other.state < FINAL:
            task.blockers += 1
            if other.dependents is None:
                other.dependents = [task]
            else:
                other.dependents.append(task)
        elif other.state != State.DONE and broken is None:
            broken = other
    return broken


def resolve(task: Task) -> tuple[list[Task], list[Task]]:
    """Tell a finished task's dependents.

    Returns:
        Those that wait for nothing any more, and those that can never run
        because ``task`` failed or was cancelled.
    """
    dependents, task.dependents = task.dependents, None
    if not dependents:
        return [], []
    waiting = [dependent for dependent in dependents if dependent.state == State.WAITING]
    if task.state != State.DONE:
        return [], waiting
    freed = []
    for dependent in waiting:
        dependent.blockers -= 1
        if not dependent.blockers:
            freed.append(dependent)
    return freed, []


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
