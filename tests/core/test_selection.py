"""Who goes next when resources are short: precedence, reservation, liveness."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

from tenire.core.admission import MEMORY
from tenire.core.burst import BURST_S
from tenire.core.ready_queue import AGEING_S, URGENT_RUN
from tenire.core.reservations import FULL_SLACK, SLACK
from tenire.core.tasks import Priority, State

if TYPE_CHECKING:
    from collections.abc import Callable

SLOTS = [1, 4]


def endless(engine: Any, *streams: dict[str, Any], ahead: int = 3) -> None:
    """Keep ``ahead`` tasks of each stream waiting for as long as the machine runs."""
    mine: dict[Any, dict[str, Any]] = {}

    def ended(task: Any) -> None:
        stream = mine.pop(task, None)
        if stream is not None:
            mine[engine.submit(**stream)] = stream

    for stream in streams:
        for _ in range(ahead):
            mine[engine.submit(**stream)] = stream
    engine.on_end = ended


# -- herds, critical work -----------------------------------------------------------


@pytest.mark.parametrize("slots", SLOTS)
@pytest.mark.parametrize("seconds", [0.001, 1.0, 60.0])
def test_a_thundering_herd_delays_another_pipeline_by_one_running_task_a_slot(
    machine: Callable[..., Any], slots: int, seconds: float
) -> None:
    engine = machine(cpu=slots)
    for _ in range(10_000):
        engine.submit("herd", cpu=1, seconds=seconds)
    for number in range(20):
        engine.run(until=engine.now + seconds * (1.5 + number % 3))
        task = engine.submit(f"other {number}", cpu=1, seconds=seconds)
        assert engine.run_until_started(task) <= slots - 1, "it takes the first slot that comes free"


@pytest.mark.parametrize("slots", SLOTS)
def test_critical_work_under_ten_thousand_aged_tasks_waits_for_one_running_task_at_most(
    machine: Callable[..., Any], slots: int
) -> None:
    engine = machine(cpu=slots, memory=100_000)
    for number in range(10_000):
        engine.submit("bulk", cpu=1, memory=number % 2)
    engine.run(until=30 * AGEING_S)
    for pipeline in ("bulk", "other", "bulk"):
        for needs in ({"cpu": 1}, {"cpu": 1, "memory": 1}):
            engine.run(until=engine.now + 3.5)
            task = engine.submit(pipeline, priority=Priority.CRITICAL, **needs)
            assert engine.run_until_started(task) == 0


@pytest.mark.parametrize("pipeline", ["bulk", "other"])
@pytest.mark.parametrize("memory", [0, 1])
def test_critical_work_that_needs_several_slots_is_never_passed_over(
    machine: Callable[..., Any], pipeline: str, memory: int
) -> None:
    engine = machine(cpu=4)
    for number in range(1000):
        engine.submit("bulk", cpu=1, seconds=1 + number / 1000)
    engine.run(until=20.5)
    assert engine.run_until_started(engine.submit(pipeline, cpu=4, memory=memory, priority=Priority.CRITICAL)) == 0


def test_only_the_critical_work_of_a_pipeline_has_precedence(machine: Callable[..., Any]) -> None:
    # A critical task that waits for memory must not carry its pipeline's other work ahead.
    engine = machine(cpu=1, memory=10)
    engine.submit("a", memory=10, seconds=1000)
    engine.decide()
    engine.submit("a", memory=10, priority=Priority.CRITICAL)
    for _ in range(100):
        engine.submit("a", cpu=1)
        engine.submit("b", cpu=1)
    before = len(engine.started)
    engine.run(until=40)
    names = [task.pipeline.name for task in engine.started[before:]]
    assert 0.4 < names.count("b") / len(names) < 0.6


def test_an_aged_head_does_not_hold_up_the_critical_work_behind_it(machine: Callable[..., Any]) -> None:
    # After eight critical ones its turn has come; then it goes at once, whoever is due.
    engine = machine(cpu=1)
    engine.scheduler.shares.pipeline("a").configure(weight=0.01)
    for pipeline in "ab":
        for _ in range(500):
            engine.submit(pipeline, cpu=1)
    engine.run(until=200.5)
    for _ in range(3 * URGENT_RUN):
        task = engine.submit("a", cpu=1, priority=Priority.CRITICAL)
        assert engine.run_until_started(task) <= 2


def test_critical_work_left_over_when_others_are_gone_keeps_its_precedence(machine: Callable[..., Any]) -> None:
    engine = machine(cpu=1)
    for _ in range(3 * URGENT_RUN):
        engine.submit("a", cpu=1, priority=Priority.CRITICAL)
    engine.run(until=2 * URGENT_RUN + 0.5)
    engine.submit("b", cpu=1)
    late = engine.submit("a", cpu=1, priority=Priority.CRITICAL)
    engine.scheduler.cancel(late, engine.now)
    engine.run(until=engine.now + 1)
    assert not engine.started[-1].priority


# -- nothing waits for ever ------------------------------------------------------------


@pytest.mark.parametrize("slots", SLOTS)
@pytest.mark.parametrize("stream", [Priority.CRITICAL, Priority.HIGH])
@pytest.mark.parametrize("same_pipeline", [True, False])
@pytest.mark.parametrize("low_needs", [{"cpu": 1}, {"cpu": 1, "memory": 5}])
def test_low_work_is_not_starved_by_an_endless_stream(
    machine: Callable[..., Any], slots: int, stream: Priority, same_pipeline: bool, low_needs: dict[str, Any]
) -> None:
    engine = machine(cpu=slots)
    endless(engine, {"pipeline": "a", "cpu": 1, "seconds": 1.0, "priority": stream}, ahead=3 * slots)
    engine.run(until=5)
    task = engine.submit("a" if same_pipeline else "b", priority=Priority.LOW, **low_needs)
    submitted = engine.now
    engine.run_until_started(task, limit=5000)
    # It has aged into the stream's class, then what became ready before it goes, then
    # the exceptions for critical work in its lane and among the lanes.
    bound = 3 * AGEING_S + (3 * slots + 2 * URGENT_RUN + 2) / slots + 2
    assert engine.now - submitted <= bound


def test_a_task_of_another_lane_ages_too(machine: Callable[..., Any]) -> None:
    engine = machine(cpu=1)
    endless(engine, {"pipeline": "a", "cpu": 1, "priority": Priority.HIGH})
    low = engine.submit("a", cpu=1, memory=1, priority=Priority.LOW)
    engine.run(until=2 * AGEING_S - 2)
    assert low.state == State.READY
    engine.run(until=2 * AGEING_S + 5)
    assert low.state >= State.RUNNING


@pytest.mark.parametrize("pipelines", ["aaa", "abc"])
def test_two_streams_cannot_take_turns_in_keeping_a_third_task_out(machine: Callable[..., Any], pipelines: str) -> None:
    engine = machine(cpu=2, memory=2)
    one, other, third = tuple(pipelines)
    endless(
        engine,
        {"pipeline": one, "cpu": 1, "seconds": 1.0},
        {"pipeline": other, "memory": 1, "seconds": 1.37},
        ahead=10,
    )
    engine.run(until=10.2)
    task = engine.submit(third, cpu=2, memory=2)
    # It competes with streams of its own pipeline; each of their tasks takes half of what it does.
    assert engine.run_until_started(task, limit=5000) <= 2 * FULL_SLACK + 4


@pytest.mark.parametrize(("pipelines", "least"), [("aa", 4), ("ab", 0)])
def test_a_big_task_is_passed_over_for_a_while_and_then_kept_for(
    machine: Callable[..., Any], pipelines: str, least: int
) -> None:
    engine = machine(cpu=4)
    small, big = tuple(pipelines)
    engine.submit(big, memory=1, seconds=0.001)
    for number in range(400):
        engine.submit(small, cpu=1, seconds=1 + number / 1000)
    engine.run(until=10.7)
    task = engine.submit(big, cpu=4, memory=1, priority=Priority.HIGH)
    # A lead of as much as it will take itself, SLACK times; each of the others takes a quarter.
    assert least <= engine.run_until_started(task) <= 4 * SLACK + 4


def test_what_a_kept_for_task_does_not_need_is_free_for_others(machine: Callable[..., Any]) -> None:
    engine = machine(cpu=2, memory=10, pages=1)
    engine.submit("a", cpu=1, memory=10, seconds=100)
    engine.decide()
    engine.submit("a", cpu=1, memory=10, priority=Priority.CRITICAL)
    page = engine.submit("b", other={"pages": 1})
    cpu = engine.submit("b", cpu=1)
    assert engine.decide() == [page]
    assert cpu.state == State.READY, "the last slot is kept"
    engine.admission.register("cpu", 3000)
    assert engine.decide() == [cpu], "one is kept, the other is not needed"


def test_nothing_is_kept_for_what_the_lowered_capacity_cannot_serve(machine: Callable[..., Any]) -> None:
    engine = machine(cpu=4)
    engine.submit("a", cpu=1, memory=1)
    engine.decide()
    big = engine.submit("a", cpu=4, priority=Priority.CRITICAL)
    small = [engine.submit("b", cpu=1) for _ in range(10)]
    engine.admission.register("cpu", 2000)
    engine.run()
    assert all(task.state == State.DONE for task in small)
    assert big.state == State.READY
    engine.admission.register("cpu", 4000)
    engine.run()
    assert big.state == State.DONE


def test_a_task_too_big_for_what_is_free_does_not_stop_a_smaller_one(machine: Callable[..., Any]) -> None:
    engine = machine(cpu=2)
    engine.submit("a", cpu=1, seconds=10)
    engine.decide()
    big = engine.submit("a", cpu=2, memory=1)
    small = engine.submit("a", cpu=1)
    assert engine.decide() == [small]
    assert big.lane.tag is not None, "from here on it counts how far others run ahead"


def test_a_task_that_ended_behind_the_schedulers_back_does_not_start(machine: Callable[..., Any]) -> None:
    engine = machine(cpu=1)
    engine.submit("a", cpu=1).state = State.CANCELLED
    assert engine.decide() == []


# -- burst credit --------------------------------------------------------------------------


def hold(engine: Any, name: str, number: int, seconds: float) -> None:
    for _ in range(number):
        engine.submit(name, cpu=1, seconds=seconds)


def test_a_pipeline_alone_on_the_machine_spends_no_burst_credit(machine: Callable[..., Any]) -> None:
    engine = machine(cpu=4)
    hold(engine, "a", 4000, 1.0)
    engine.run(until=300.5)
    hold(engine, "b", 10, 1.0)
    engine.run(until=301.5)
    burst = engine.scheduler.shares.pipeline("a").burst
    assert burst.credit > BURST_S - 2
    assert not burst.cooling


@pytest.mark.parametrize("slots", [1, 2, 8])
def test_a_pipeline_that_holds_all_while_others_wait_is_asked_last_in_the_end(
    machine: Callable[..., Any], slots: int
) -> None:
    # The other one cannot use what is held: only the credit shows who takes too much.
    engine = machine(cpu=slots, memory=10)
    engine.submit("c", memory=10, seconds=10_000)
    engine.decide()
    engine.submit("b", memory=1)
    hold(engine, "a", 40_000 // 4, 0.25)
    engine.run(until=BURST_S / 4)
    assert not engine.scheduler.shares.pipeline("a").burst.cooling
    engine.run(until=4 * BURST_S)
    assert engine.scheduler.shares.pipeline("a").burst.cooling


def test_a_pipeline_left_alone_has_its_credit_again_at_once(machine: Callable[..., Any]) -> None:
    engine = machine(cpu=1)
    hold(engine, "a", 3, 1.0)
    burst = engine.scheduler.shares.pipeline("a").burst
    burst.cooling, burst.credit = True, -5.0
    engine.decide()
    assert not burst.cooling
    assert burst.credit == BURST_S


def in_cooldown(engine: Any) -> Any:
    """Return the shares of a machine with a pipeline that cools down though its virtual time is smaller."""
    shares = engine.scheduler.shares
    engine.submit("c", memory=10, seconds=10_000)
    engine.decide()
    engine.submit("c", memory=1)  # due, and can do nothing
    hold(engine, "a", 1, 1.0)
    hold(engine, "b", 1, 1.0)
    shares.v = shares.pipeline("c").v
    shares.pipeline("a").v = shares.v + 4.0
    shares.observe_bursts(allowed=True)
    assert shares.pipeline("a").burst.cooling
    shares.pipeline("a").v = shares.v + 2.0
    shares.pipeline("b").v = shares.v + 3.0
    return shares


def test_a_pipeline_without_credit_goes_behind_one_with_a_larger_virtual_time(machine: Callable[..., Any]) -> None:
    engine = machine(cpu=1, memory=10)
    in_cooldown(engine)
    assert [task.pipeline.name for task in engine.decide()] == ["b"]


def test_if_none_has_credit_virtual_time_decides(machine: Callable[..., Any]) -> None:
    engine = machine(cpu=1, memory=10)
    shares = in_cooldown(engine)
    shares.pipeline("b").burst.cooling = True
    shares.pipeline("b").v = shares.v + 3.2
    assert [task.pipeline.name for task in engine.decide()] == ["a"]


def test_under_load_there_is_no_credit(machine: Callable[..., Any]) -> None:
    engine = machine(cpu=1, memory=10)
    shares = in_cooldown(engine)
    shares.pipeline("a").burst.cooling = False
    engine.scheduler.selection.burst_allowed = False
    shares.pipeline("b").v = shares.v
    shares.pipeline("a").v = shares.v + 0.001
    engine.now += 0.05
    engine.decide()
    assert shares.pipeline("a").burst.cooling


def crowded(engine: Any, seed: int, *, burst: bool) -> tuple[float, float]:
    """Have three pipelines of very different tasks always ask for more.

    Returns:
        How long one of them at most went without a start, and which part of the memory was used.
    """
    rng, warm, until = random.Random(seed), 20.0, 120.0
    kinds = {"small": (0.1, 1, 1.0), "computes": (1.0, 2, 1.0), "large": (0.5, 12, 2.0)}
    engine.scheduler.selection.burst_allowed = burst
    engine.scheduler.shares.configure("large", weight=2.0)

    def submit(name: str) -> None:
        cpu, memory, seconds = kinds[name]
        engine.submit(name, cpu=cpu, memory=memory, seconds=seconds * rng.uniform(0.5, 1.5), name=name)

    for name in kinds:
        for _ in range(70):
            submit(name)
    last, longest, used, seen = dict.fromkeys(kinds, warm), 0.0, 0.0, 0
    while engine.now < until:
        engine.step()
        for task in engine.started[seen:]:
            submit(task.name)
            if engine.now > warm:
                longest = max(longest, task.started_at - last[task.name])
                last[task.name] = task.started_at
                used += engine.durations[task] * dict(task.needs)[MEMORY]
        seen = len(engine.started)
    return longest, used / 64 / (until - warm)


def test_under_load_none_runs_ahead_so_none_waits_for_long_and_the_machine_is_nearly_as_full(
    machine: Callable[..., Any],
) -> None:
    ahead = [crowded(machine(cpu=8, memory=64), seed, burst=True) for seed in range(3)]
    loaded = [crowded(machine(cpu=8, memory=64), seed, burst=False) for seed in range(3)]
    # Most tasks take a second, the large ones two.
    assert max(longest for longest, _ in loaded) < 3.0 < 4.0 < max(longest for longest, _ in ahead)
    assert min(used for _, used in loaded) > 0.95
    assert min(used for _, used in ahead) > 0.98


@pytest.mark.parametrize("capacity", [0, 1000])
def test_a_capacity_that_changes_while_tasks_run_leaves_nothing_behind(
    machine: Callable[..., Any], capacity: int
) -> None:
    engine = machine(cpu=4)
    hold(engine, "a", 4, 1.0)
    engine.decide()
    engine.submit("b", memory=1)
    engine.admission.register("cpu", capacity)
    engine.run()
    assert engine.scheduler.overload.batch_held == pytest.approx(0, abs=1e-9)
    engine.scheduler.check(engine.running)


# -- permits ---------------------------------------------------------------------------------


def test_permits_of_what_runs_go_before_starts_but_not_for_ever(machine: Callable[..., Any]) -> None:
    engine = machine(cpu=1)
    engine.submit("a", cpu=1, priority=Priority.CRITICAL, seconds=1.0)
    endless(engine, {"pipeline": "b", "cpu": 1, "claim": 1}, ahead=3)
    engine.run(until=5)
    task = engine.submit("a", cpu=1, priority=Priority.CRITICAL)
    passed = engine.run_until_started(task, limit=1000)
    assert 0 < passed <= URGENT_RUN + 3, "eight, and what was on its way"


# -- stepping aside, waking, virtual time --------------------------------------------------


def test_a_task_that_has_aged_to_a_class_that_may_start_does_not_step_aside(machine: Callable[..., Any]) -> None:
    engine = machine(cpu=1)
    engine.scheduler.overload.lowest = Priority.LOW
    idle = engine.submit("p", cpu=1, priority=Priority.IDLE)
    engine.now = AGEING_S
    engine.scheduler.shares.pipeline("q").v = 1.0
    other = engine.submit("q", cpu=1)
    engine.scheduler.shares.pipeline("q").v = 1.0
    assert engine.decide() == [idle]
    assert other.state == State.READY


def test_what_holds_memory_for_long_is_no_work_that_others_wait_for_under_overload(machine: Callable[..., Any]) -> None:
    engine = machine(cpu=2, memory=100)
    model = engine.submit("model", memory=60)
    assert engine.decide() == [model]
    engine.scheduler.overload.batch_share = 0.5
    task, more = engine.submit("p", cpu=1), engine.submit("model", memory=30)
    assert sorted(engine.decide(), key=id) == sorted([task, more], key=id)
    assert engine.scheduler.overload.batch_held == pytest.approx(0.5), "that of the task"
    late = engine.submit("p", cpu=1)
    assert engine.decide() == []
    assert late.lane.gate == "overload"
    engine.run()
    assert late.state == State.DONE
    assert engine.scheduler.overload.batch_held == pytest.approx(0.0, abs=1e-9)


def test_the_next_wake_is_that_of_the_rate_that_is_back_first(machine: Callable[..., Any]) -> None:
    engine = machine(cpu=1)
    for name, per_second in (("slow", 0.5), ("quick", 4.0), ("middle", 1.0)):
        engine.admission.register_rate(name, per_second, 4)
        engine.submit(name, other={name: 4})
        engine.submit(name, other={name: 4})
    engine.decide()
    assert engine.scheduler.next_wake() == pytest.approx(1.0, abs=1e-5)


def test_the_virtual_time_is_that_of_the_first_pipeline_that_is_held_up(machine: Callable[..., Any]) -> None:
    engine = machine(cpu=2, memory=10)
    engine.submit("m", memory=10, seconds=99)
    engine.decide()
    shares = engine.scheduler.shares
    engine.submit("held", memory=5)
    hold(engine, "a", 3, 1.0)
    shares.pipeline("held").v, shares.pipeline("a").v = 1.0, 2.0
    engine.submit("u", memory=10, priority=Priority.CRITICAL)
    shares.pipeline("u").v = 1.5
    engine.decide()
    assert shares.v == 1.0, "a newcomer starts beside what is due and waits, not behind what could run"


def test_a_pipeline_falls_back_to_its_place_when_its_critical_work_has_started(machine: Callable[..., Any]) -> None:
    engine = machine(cpu=2)
    urgent = engine.submit("a", cpu=1, priority=Priority.CRITICAL)
    engine.submit("a", cpu=1)
    due = engine.submit("b", cpu=1)
    engine.scheduler.shares.pipeline("a").v = 5.0
    assert engine.decide() == [urgent, due]


def test_what_is_kept_for_critical_work_is_looked_at_for_nobody_else(machine: Callable[..., Any]) -> None:
    engine = machine(cpu=2, memory=10)
    engine.submit("a", cpu=1, seconds=9)
    engine.decide()
    engine.submit("a", cpu=2, priority=Priority.CRITICAL)
    others = [engine.submit(f"p{number}", cpu=1) for number in range(9)]
    memory = engine.submit("z", memory=1)
    assert engine.decide() == [memory]
    assert all(task.lane.round < engine.scheduler.selection.round for task in others)


@pytest.mark.parametrize("slots", [1, URGENT_RUN + 4])
def test_after_eight_critical_tasks_in_a_row_one_that_waits_has_its_turn(
    machine: Callable[..., Any], slots: int
) -> None:
    engine = machine(cpu=slots)
    for _ in range(3 * URGENT_RUN):
        engine.submit("urgent", cpu=1, priority=Priority.CRITICAL)
    others = [engine.submit("other", cpu=1) for _ in range(3)]
    engine.run()
    assert [engine.started.index(task) for task in others[:2]] == [URGENT_RUN, 2 * URGENT_RUN + 1]


def test_once_a_rate_is_back_there_is_nothing_to_wake_for(machine: Callable[..., Any]) -> None:
    engine = machine(cpu=1)
    engine.admission.register_rate("rpm", 1.0, 4)
    engine.submit("a", other={"rpm": 4})
    engine.submit("a", other={"rpm": 4})
    engine.decide()
    selection = engine.scheduler.selection
    assert selection.retry_at == pytest.approx(4.0, abs=1e-5)
    engine.now = selection.retry_at
    assert len(engine.decide()) == 1
    engine.submit("a", cpu=1)
    engine.decide()
    assert selection.retry_at is None


def test_before_the_first_decision_nothing_is_used_up_and_nothing_to_wake_for(machine: Callable[..., Any]) -> None:
    selection = machine(cpu=1).scheduler.selection
    assert (selection.round, selection.used_up, selection.retry_at) == (0, 0, None)
    assert selection.kept_for(1) is None


def test_burst_credit_is_brought_up_to_date_at_the_first_decision_whatever_the_clock_says(
    machine: Callable[..., Any],
) -> None:
    engine = machine(cpu=1)
    engine.now = -1e9  # a clock may begin anywhere
    for name in "ab":
        engine.submit(name, cpu=1)
        engine.submit(name, cpu=1)
    pipeline = engine.scheduler.shares.pipeline("a")
    pipeline.v = 2 * BURST_S
    engine.decide()
    assert pipeline.burst.cooling


def test_as_many_start_as_fit_of_tasks_that_need_the_least_there_is_of_a_resource(machine: Callable[..., Any]) -> None:
    engine = machine(memory=3)
    for _ in range(5):
        engine.submit("a", memory=1)
    assert len(engine.decide()) == 3


def test_burst_credit_is_not_brought_up_to_date_more_often_than_matters(machine: Callable[..., Any]) -> None:
    engine = machine(cpu=1)
    for name in "ab":
        engine.submit(name, cpu=1, seconds=9)
        engine.submit(name, cpu=1, seconds=9)
    engine.decide()
    pipeline = engine.scheduler.shares.pipeline("b")
    pipeline.v = 2 * BURST_S
    cooling = {}
    for engine.now in (0.04, 0.06):
        engine.decide()
        cooling[engine.now] = pipeline.burst.cooling
    assert cooling == {0.04: False, 0.06: True}
