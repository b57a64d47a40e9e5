"""Who waits for whom, and circles."""

from __future__ import annotations

import gc
import time
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tenire.core.dependencies import find_cycle, inherit, link, resolve
from tenire.core.fair_share import PipelineShare
from tenire.core.tasks import READY, RUNNING, WAITING, Priority, State, Task

NODES = st.integers(0, 7)
GRAPHS = st.dictionaries(NODES, st.lists(NODES, max_size=4), max_size=8)


def new(name: str = "", *, always: bool = False, priority: int = Priority.NORMAL) -> Task:
    return Task(PipelineShare("p"), name, priority, always=always)


def reaches_itself(graph: dict[int, list[int]]) -> bool:
    """Naive: a node that can come back to itself."""
    for start in graph:
        seen: set[int] = set()
        pending = list(graph[start])
        while pending:
            node = pending.pop()
            if node == start:
                return True
            if node not in seen:
                seen.add(node)
                pending += graph.get(node, [])
    return False


@given(GRAPHS)
def test_a_cycle_is_found_exactly_if_there_is_one_and_is_a_true_one(graph: dict[int, list[int]]) -> None:
    cycle = find_cycle(graph)
    assert (cycle is not None) == reaches_itself(graph)
    if cycle is not None:
        assert cycle[0] == cycle[-1]
        assert len(set(cycle)) == len(cycle) - 1
        assert all(after in graph[node] for node, after in pairwise(cycle))


@given(st.lists(st.tuples(NODES, NODES)))
def test_a_graph_whose_edges_all_point_down_has_no_cycle(edges: list[tuple[int, int]]) -> None:
    graph: dict[int, list[int]] = {}
    for one, other in edges:
        if one != other:
            graph.setdefault(max(one, other), []).append(min(one, other))
    assert find_cycle(graph) is None


def test_a_long_chain_is_searched_without_recursion() -> None:
    length = 200_000
    chain = {number: (number + 1,) for number in range(length)}
    assert find_cycle(chain) is None
    chain[length] = (0,)
    cycle = find_cycle(chain)
    assert cycle is not None
    assert len(cycle) == length + 2


def test_a_graph_where_all_wait_for_all_below_is_searched_in_linear_time() -> None:
    # 2 ** 300 paths, 45,000 edges: only a search that remembers comes back.
    assert find_cycle({number: range(number) for number in range(300)}) is None


def test_a_task_is_freed_by_the_last_that_it_waits_for() -> None:
    first, second, task = new(), new(), new()
    assert link(task, [first, second]) is None
    assert task.blockers == 2
    first.state = State.DONE
    assert resolve(first) == ([], [])
    second.state = State.DONE
    assert resolve(second) == ([task], [])
    assert resolve(second) == ([], []), "it tells only once"


def test_a_task_named_twice_counts_twice_and_frees_once() -> None:
    first, task = new(), new()
    link(task, [first, first])
    first.state = State.DONE
    assert resolve(first) == ([task], [])
    assert task.blockers == 0


def test_a_failed_task_breaks_those_that_still_wait() -> None:
    first, waiting, gone = new(), new(), new()
    link(waiting, [first])
    link(gone, [first])
    gone.state = State.CANCELLED
    first.state = State.FAILED
    assert resolve(first) == ([], [waiting])


def test_linking_to_ended_tasks_tells_the_first_that_failed() -> None:
    done, failed, cancelled, task = new(), new("f"), new("c"), new()
    done.state, failed.state, cancelled.state = State.DONE, State.FAILED, State.CANCELLED
    assert link(task, [done]) is None
    assert task.blockers == 0
    assert link(task, [done, failed, cancelled]) is failed


def test_a_task_that_does_not_wait_any_more_is_not_told() -> None:
    first, task = new(), new()
    link(task, [first])
    task.state = READY
    first.state = State.DONE
    assert resolve(first) == ([], [])


# -- tasks that run however those before them end --------------------------------


def test_a_task_that_runs_always_is_freed_by_the_last_of_those_before_it() -> None:
    first, second, task = new(), new(), new(always=True)
    assert link(task, [first, second]) is None
    first.state = State.FAILED
    assert resolve(first) == ([], [])
    second.state = State.CANCELLED
    assert resolve(second) == ([task], [])


def test_a_task_that_runs_always_does_not_mind_what_has_failed_already() -> None:
    failed, waits = new(), new()
    failed.state = State.FAILED
    task = new(always=True)
    assert link(task, [failed]) is None
    assert (task.blockers, task.after) == (0, ())
    both = new(always=True)
    assert link(both, [failed, waits]) is None
    assert (both.blockers, both.after) == (1, (failed, waits))


# -- priority inheritance ------------------------------------------------------------


@given(st.lists(st.tuples(NODES, NODES), max_size=12), st.lists(st.sampled_from(Priority), min_size=8), NODES)
def test_all_that_a_task_waits_for_becomes_as_urgent_and_nothing_else_does(
    edges: list[tuple[int, int]], priorities: list[Priority], start: int
) -> None:
    tasks = [new(priority=priority) for priority in priorities[:8]]
    for node, task in enumerate(tasks):
        before = [tasks[other] for one, other in edges if one == node and other < node]
        link(task, before)
        if not before:
            task.state = READY
            task.pipeline.queue.push(task)
    reached, pending = set(), [start]
    while pending:
        node = pending.pop()
        if node not in reached and priorities[node] > Priority.HIGH:
            reached.add(node)
            pending += [other for one, other in edges if one == node and other < node]
    inherit(tasks[start], Priority.HIGH)
    for node, task in enumerate(tasks):
        assert task.priority == (Priority.HIGH if node in reached else priorities[node])
        task.pipeline.queue.check()


def test_a_running_task_keeps_the_class_that_it_is_counted_in() -> None:
    running, waiting = new(), new()
    running.state = RUNNING
    link(waiting, [running])
    inherit(waiting, Priority.CRITICAL)
    assert (waiting.priority, running.priority) == (Priority.CRITICAL, Priority.NORMAL)


# -- size -------------------------------------------------------------------------------


def edge_cost(tasks: int, edges_each: int) -> float:
    """Return processor seconds an edge of a graph in which each task waits for ``edges_each`` others."""
    start = time.thread_time()  # not what others on a busy machine take
    pipeline = PipelineShare("p")
    layers: list[list[Task]] = [[Task(pipeline) for _ in range(edges_each)]]
    for _ in range(tasks // edges_each):
        layer = [Task(pipeline) for _ in range(edges_each)]
        for task in layer:
            link(task, layers[-1])
        layers.append(layer)
    for layer in layers:
        for task in layer:
            assert task.blockers == 0
            task.state = State.DONE
            resolve(task)
    return (time.thread_time() - start) / (tasks * edges_each)


def test_a_graph_of_a_million_edges_takes_time_linear_in_its_edges() -> None:
    gc.collect()
    gc.freeze()  # what other tests have left in memory is looked through for a large graph only
    try:
        small = min(edge_cost(500, 50) for _ in range(3))
        large = edge_cost(20_000, 50)
    finally:
        gc.unfreeze()
    assert large < 5 * small, "an edge costs as much in a million as in 25,000"


def test_a_long_chain_inherits_without_recursion() -> None:
    first = before = new(priority=Priority.IDLE)
    for _ in range(50_000):
        task = new(priority=Priority.IDLE)
        link(task, [before])
        before = task
    inherit(before, Priority.HIGH)
    assert (first.state, first.priority) == (WAITING, Priority.HIGH)
