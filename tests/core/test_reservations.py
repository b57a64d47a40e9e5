"""What is kept for heads that do not fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tenire.core.admission import CPU, MEMORY, THREADS, Admission
from tenire.core.fair_share import PipelineShare
from tenire.core.reservations import FULL_SLACK, SLACK, Reservations
from tenire.core.tasks import READY, Claim, Needs, Priority, Task

if TYPE_CHECKING:
    from tenire.core.ready_queue import Lane

BOTH: Needs = ((CPU, 1000), (MEMORY, 10))


class Kept:
    """A machine with one slot of two and all of the memory taken, and heads that are held up."""

    def __init__(self) -> None:
        self.admission = Admission(cpu=2, memory=10, threads=2, processes=1)
        self.rate = self.admission.register_rate("rpm", 2.0, 4)
        self.admission.take(((CPU, 1000), (MEMORY, 10)), 0.0)
        self.reservations = Reservations(self.admission)

    def queued(self, name: str, needs: Needs, *, priority: int = Priority.NORMAL, claim: int = 0) -> Task:
        pipeline = PipelineShare(name)
        pipeline.duration = 1.0
        task = Task(pipeline, name, priority, needs)
        task.state, task.ready_at, task.claim = READY, 0.0, claim
        pipeline.queue.push(task)
        task.lane.head(0.0)
        return task

    def hold(self, task: Task, lacking: int | None = None) -> Lane:
        lacking = self.admission.lacking(task.needs) if lacking is None else lacking
        self.reservations.hold(task, task.lane, lacking)
        return task.lane

    def ahead(self, lead: float, needs: Needs, *, claim: int = 0) -> Lane | None:
        """Return what is in the way of a task whose pipeline is so far ahead."""
        task = self.queued("ahead", needs, claim=claim)
        task.pipeline.v = lead
        return self.reservations.in_the_way(task)


def test_up_to_a_lead_nothing_is_kept_and_beyond_it_what_is_lacked() -> None:
    kept = Kept()
    lane = kept.hold(kept.queued("held up", BOTH))  # its charge is one second of the machine
    kept.admission.give(((MEMORY, 5),))
    assert kept.ahead(SLACK, ((MEMORY, 1),)) is None
    assert kept.ahead(SLACK + 0.1, ((MEMORY, 1),)) is lane, "it lacks memory"
    assert kept.ahead(SLACK + 0.1, ((CPU, 500),)) is None, "it does not lack a slot"
    assert kept.ahead(1e9, ((CPU, 500),)) is None, "who is far ahead may be so for good reason"
    assert kept.ahead(1e9, ((THREADS, 1),)) is None, "it does not need that"


def test_everything_is_kept_from_who_has_come_far_since_it_was_asked_to_step_back() -> None:
    kept = Kept()
    head = kept.queued("held up", BOTH)
    lane = kept.hold(head)
    other = kept.queued("ahead", ((CPU, 500),))
    pipeline, in_the_way = other.pipeline, kept.reservations.in_the_way
    for start in (SLACK + 0.1, 1e6):
        lane.tag = None
        kept.hold(head)
        pipeline.v = start
        assert in_the_way(other) is None
        pipeline.v = start + FULL_SLACK - SLACK
        assert in_the_way(other) is None
        pipeline.v += 0.1
        assert in_the_way(other) is lane
        assert kept.ahead(pipeline.v, ((CPU, 500),)) is None, "others have not passed it"
    pipeline.v = start + FULL_SLACK - SLACK + 1
    assert in_the_way(other) is lane
    pipeline.v = start - 100
    assert in_the_way(other) is None
    pipeline.v = start - 99 + FULL_SLACK - SLACK
    assert in_the_way(other) is lane, "what sets it back is no new allowance"


def test_what_is_kept_for_several_that_are_passed_over_is_what_the_largest_lacks() -> None:
    kept = Kept()
    kept.admission.register("cpu", 5000)  # four slots are free
    lanes = [kept.hold(kept.queued(f"{slots} slots", ((CPU, slots * 1000), (MEMORY, 1))), 1 << CPU) for slots in (2, 3)]
    assert kept.ahead(SLACK * 5, ((CPU, 1000),)) is None
    assert kept.ahead(SLACK * 5, ((CPU, 1001),)) is lanes[1]
    assert kept.ahead(SLACK * 5, ((CPU, 2001),)) is lanes[0]


def test_of_several_things_that_are_lacked_no_larger_part_is_kept_at_first_than_is_there_of_the_others() -> None:
    kept = Kept()
    kept.admission.register("cpu", 9000)
    kept.admission.register("memory", 100)
    kept.admission.take(((CPU, 6000), (MEMORY, 70)), 0.0)
    lane = kept.hold(kept.queued("held up", ((CPU, 8000), (MEMORY, 40))))
    assert kept.ahead(1e9, ((MEMORY, 10),)) is None, "a quarter of its slots is free, so ten of its bytes are kept"
    assert kept.ahead(1e9, ((MEMORY, 11),)) is lane
    assert kept.ahead(1e9, ((CPU, 1),)) is lane, "half of its bytes are free, and less than half of its slots"
    kept.admission.give(((CPU, 3000),))
    assert kept.ahead(1e9, ((CPU, 1000),)) is None, "half of its slots"
    assert kept.ahead(1e9, ((CPU, 1001),)) is lane
    assert kept.ahead(1e9, ((MEMORY, 1),)) is lane


def test_it_is_kept_whole_from_who_has_come_further_since_it_was_asked_to_step_back() -> None:
    kept = Kept()
    kept.admission.register("cpu", 9000)
    kept.admission.register("memory", 100)
    kept.admission.take(((CPU, 6000), (MEMORY, 70)), 0.0)
    head = kept.queued("held up", ((CPU, 8000), (MEMORY, 40)))
    lane = kept.hold(head)
    charge = kept.admission.share(head.needs)
    other = kept.queued("ahead", ((MEMORY, 1),))
    other.pipeline.v = 1000.0
    assert kept.reservations.in_the_way(other) is None
    other.pipeline.v += SLACK * charge
    assert kept.reservations.in_the_way(other) is None
    other.pipeline.v += 0.1
    assert kept.reservations.in_the_way(other) is lane


def test_everything_is_kept_for_the_first_only_and_for_the_others_what_they_lack() -> None:
    kept = Kept()
    kept.hold(kept.queued("first", ((MEMORY, 10), (THREADS, 1))))
    kept.hold(kept.queued("second", ((MEMORY, 10), (CPU, 500))))

    def far(needs: Needs) -> Lane | None:
        task = kept.queued("far", needs)
        task.pipeline.v = 1000.0
        assert kept.reservations.in_the_way(task) is None
        task.pipeline.v += FULL_SLACK
        return kept.reservations.in_the_way(task)

    assert far(((CPU, 1000), (THREADS, 1))) is None
    assert far(((THREADS, 2),)) is not None
    assert far(((CPU, 1000),)) is not None, "with the first it does not compete"


def test_a_head_that_only_a_limit_holds_back_has_no_more_kept_than_it_needs() -> None:
    kept = Kept()
    kept.admission.register("cpu", 9000)
    kept.admission.register("memory", 100)
    kept.hold(kept.queued("held up", ((CPU, 1000), (MEMORY, 10))), lacking=1 << CPU | 1 << MEMORY)
    assert kept.ahead(1e9, ((CPU, 7000), (MEMORY, 80))) is None


def test_the_head_of_a_heavier_pipeline_is_passed_over_for_less() -> None:
    kept = Kept()
    task = kept.queued("held up", BOTH)
    task.pipeline.configure(weight=4)
    lane = kept.hold(task)
    kept.admission.give(((MEMORY, 5),))
    assert kept.ahead(SLACK / 4, ((MEMORY, 1),)) is None
    assert kept.ahead(SLACK / 4 + 0.1, ((MEMORY, 1),)) is lane


def test_a_pipeline_without_credit_has_no_slack() -> None:
    kept = Kept()
    lane = kept.hold(kept.queued("held up", BOTH))
    kept.admission.give(((MEMORY, 5),))
    task = kept.queued("ahead", ((MEMORY, 1),))
    task.pipeline.v = 0.1
    assert kept.reservations.in_the_way(task) is None
    task.pipeline.burst.cooling = True
    assert kept.reservations.in_the_way(task) is lane
    task.pipeline.v = 0.0
    assert kept.reservations.in_the_way(task) is None


def test_the_lead_counts_from_when_the_head_was_first_held_up() -> None:
    kept = Kept()
    task = kept.queued("held up", BOTH)
    task.pipeline.v = 5.0
    lane = kept.hold(task)
    assert lane.tag == 5.0
    task.pipeline.v = 50.0
    kept.hold(task)
    assert lane.tag == 5.0


def test_for_critical_work_everything_is_kept_at_once_and_what_is_more_is_free() -> None:
    kept = Kept()
    kept.admission.register("cpu", 4000)
    lane = kept.hold(kept.queued("critical", BOTH, priority=Priority.CRITICAL))
    assert kept.ahead(0.0, ((CPU, 2000),)) is None
    assert kept.ahead(0.0, ((CPU, 2001),)) is lane


def test_what_is_kept_for_several_that_are_critical_adds_up() -> None:
    kept = Kept()
    kept.admission.register("cpu", 4000)
    kept.hold(kept.queued("one", BOTH, priority=Priority.CRITICAL))
    last = kept.hold(kept.queued("two", BOTH, priority=Priority.CRITICAL))
    assert kept.ahead(0.0, ((CPU, 1000),)) is None
    assert kept.ahead(0.0, ((CPU, 1001),)) is last


def test_for_what_lacks_only_a_rate_only_that_is_kept() -> None:
    kept = Kept()
    kept.admission.take(((kept.rate, 4),), 0.0)
    lane = kept.hold(kept.queued("waits", ((CPU, 1000), (kept.rate, 1)), priority=Priority.CRITICAL))
    kept.admission.refill(0.0)
    kept.admission.refill(1.0)
    assert kept.ahead(0.0, ((CPU, 1000),)) is None
    assert kept.ahead(0.0, ((kept.rate, 2),)) is lane
    assert kept.ahead(0.0, ((kept.rate, 1),)) is None


@pytest.mark.parametrize("priority", [Priority.CRITICAL, Priority.NORMAL])
def test_nothing_is_kept_for_what_the_whole_capacity_cannot_serve(priority: Priority) -> None:
    kept = Kept()
    kept.admission.register("memory", 9)
    kept.hold(kept.queued("too big", BOTH, priority=priority))
    assert kept.ahead(1e9, ((CPU, 1000),)) is None


def test_what_lacks_nothing_but_stands_behind_another_has_all_kept() -> None:
    kept = Kept()
    lane = kept.hold(kept.queued("behind", ((CPU, 1000),)), lacking=0)
    assert kept.ahead(SLACK * 0.5 + 0.1, ((CPU, 1),)) is lane
    lane = kept.hold(kept.queued("second", ((CPU, 1000), (THREADS, 1))), lacking=0)
    assert kept.ahead(SLACK * 0.5 + 0.1, ((THREADS, 2),)) is lane


def test_a_rate_counts_in_the_charge_by_the_time_that_it_takes() -> None:
    kept = Kept()
    lane = kept.hold(kept.queued("held up", ((CPU, 2000), (kept.rate, 4))))  # two seconds of the rate
    assert kept.ahead(2 * SLACK, ((CPU, 1),)) is None
    assert kept.ahead(2 * SLACK + 0.1, ((CPU, 1),)) is lane


def test_for_what_a_holder_waits_for_all_is_kept_at_once_but_not_from_what_others_wait_for() -> None:
    kept = Kept()
    kept.reservations.claim = Claim.AWAITED
    lane = kept.hold(kept.queued("awaited", ((CPU, 2000), (THREADS, 1)), claim=Claim.AWAITED))
    assert kept.ahead(0.0, ((CPU, 500),), claim=Claim.AWAITED) is None
    for claim in (Claim.PERMIT, Claim.START):
        kept.reservations.claim = claim
        assert kept.ahead(0.0, ((THREADS, 8),), claim=claim) is lane


def test_a_new_decision_begins_with_nothing_kept() -> None:
    kept = Kept()
    assert not kept.reservations.passed
    kept.hold(kept.queued("critical", BOTH, priority=Priority.CRITICAL))
    assert kept.reservations.passed
    assert kept.ahead(0.0, ((CPU, 1),)) is not None
    kept.reservations.clear()
    assert not kept.reservations.passed
    assert kept.ahead(1e9, ((CPU, 1),)) is None
    kept.reservations.clear()


def test_a_resource_is_used_up_when_all_that_is_free_of_it_is_kept_whatever_the_lead() -> None:
    kept = Kept()
    kept.admission.register("cpu", 4000)
    kept.hold(kept.queued("passed over", BOTH))
    assert not kept.reservations.used_up(), "that depends on the lead"
    first = kept.hold(kept.queued("critical", BOTH, priority=Priority.CRITICAL))
    assert kept.reservations.used_up() == 1 << MEMORY
    kept.hold(kept.queued("second", ((CPU, 2000),), priority=Priority.CRITICAL))
    assert kept.reservations.used_up() == 1 << MEMORY | 1 << CPU
    assert kept.reservations.keeper(1 << CPU) is first
    assert kept.reservations.keeper(1 << MEMORY) is first
    assert kept.reservations.keeper(1 << THREADS) is None
    kept.reservations.clear()
    assert not kept.reservations.used_up()
