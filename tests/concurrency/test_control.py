from __future__ import annotations

import asyncio
import logging
import random
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenire.concurrency.control import Control
from tenire.concurrency.control_events import LevelChanged, OverloadChanged, SlotsChanged
from tenire.concurrency.pools import PoolStatistics
from tenire.concurrency.signals import Signals
from tenire.concurrency.timer import UniversalTimer
from tenire.core.admission import CPU, MEMORY, Admission
from tenire.core.degradation import Causes
from tenire.core.overload import CALM, PATIENCE, OverloadControl
from tenire.core.tasks import CPU_UNIT, Priority
from tenire.errors import ConfigError
from tenire.observe.load_probe import LoadSample
from tenire.testing import SimLoop

if TYPE_CHECKING:
    from collections.abc import Callable

    from tenire.concurrency.sampler import Deliver

QUIET = LoadSample({"foreign_cpu": 0.0}, foreign=0.0, cores=4.0)
HOG = LoadSample({"foreign_cpu": 0.5}, foreign=2.0, cores=4.0)


class FakeOverload(OverloadControl):
    """Tells an interactive wait once its window is over, which is each time that it is asked."""

    waited: float | None = None
    batch: float | None = None

    def advance(self, now: float) -> None:
        if self.batch is not None:
            self.started(Priority.NORMAL, self.batch, 0.0)
        super().advance(now)
        self.interactive_wait = self.waited


class FakeShare:
    ended = 0


class FakeScheduler:
    def __init__(self) -> None:
        self.admission = Admission(cpu=4, memory=1000, threads=8, processes=8)
        self.running = 1
        self.queued = 0
        self.burst_allowed = True
        self.lowest_class = 4
        self.overload = FakeOverload()
        self.limits: dict[int, int] = {}
        self.causes = Causes()
        self.selection = self.shares = self  # its other parts
        self.share = FakeShare()
        self.pipelines = {"default": self.share}

    @property
    def slots(self) -> float:
        return self.limits.get(CPU, self.admission.capacity[CPU]) / CPU_UNIT


class Bench:
    """A control loop over fakes: it is an orchestrator, a pool and a sampler at once."""

    def __init__(self, loop: SimLoop, *, full: float = 4.0) -> None:
        self.loop = loop
        self.scheduler = FakeScheduler()
        self.signals = Signals()
        self.sample: Callable[[float], LoadSample | None] = lambda now: QUIET
        self.delay = 0.001
        self.held_up = 0.0  # by how much what was sent comes late
        self.looks: list[float] = []
        self.workers: tuple[int, ...] = ()
        self.woken = 0
        self.sizes: list[int] = []
        self.closed = False
        self.events: list[Any] = []
        for event in (LevelChanged, OverloadChanged, SlotsChanged):
            self.signals.subscribe(event, self.events.append)
        self.timer = UniversalTimer(loop=loop, clock=loop.clock, on_thread=lambda: True)
        fake: Any = self
        self.control = Control(
            fake,
            pools=fake,
            timer=self.timer,
            clock=loop.clock,
            signals=self.signals,
            sampler=fake,
            rng=random.Random(1),
            cpu=full,
        )

    def wake(self) -> None:
        self.woken += 1

    def register_resource(self, name: str, capacity: float) -> None:
        self.scheduler.admission.register(name, round(capacity * CPU_UNIT))

    def resize(self, workers: int) -> None:
        self.sizes.append(workers)

    def statistics(self) -> PoolStatistics:
        return PoolStatistics(threads=0, threads_busy=0, processes={"worker-1": 7}, replaced=0)

    def request(self, workers: tuple[int, ...], deliver: Deliver) -> None:
        self.workers = workers
        self.looks.append(self.loop.time())
        sample = self.sample(self.loop.time())

        def send() -> None:
            sent_at = self.loop.time()
            if self.held_up:
                self.loop.call_later(self.held_up, lambda: deliver(sample, sent_at))
            else:
                deliver(sample, sent_at)

        self.loop.call_later(self.delay, send)

    async def aclose(self) -> None:
        self.closed = True

    def run(self, seconds: float) -> None:
        self.loop.run_until_complete(asyncio.sleep(seconds))

    def levels(self) -> list[tuple[str, str]]:
        return [(event.before, event.level) for event in self.events if isinstance(event, LevelChanged)]


@pytest.fixture
def bench(sim_loop: SimLoop) -> Bench:
    made = Bench(sim_loop)
    made.control.start()
    return made


def test_a_machine_at_rest_changes_nothing(bench: Bench) -> None:
    bench.run(100)
    assert bench.events == []
    assert bench.woken == 0
    assert (bench.control.level, bench.control.load, bench.control.reason) == ("normal", 0.0, None)
    assert bench.control.slots == bench.scheduler.slots == 4


def test_nothing_is_known_before_the_first_look(bench: Bench) -> None:
    assert (bench.control.level, bench.control.load, bench.control.reason) == ("normal", None, None)


def test_another_program_is_made_room_for_within_three_seconds_and_all_is_back_within_thirty(bench: Bench) -> None:
    began, ended = 10.3, 60.7
    bench.sample = lambda now: HOG if began + 0.4 <= now < ended else QUIET
    bench.run(began + 3)
    assert bench.scheduler.slots == 2
    assert bench.control.reason == "other programs use 50% of the processor"
    assert bench.woken
    bench.run(ended - bench.loop.time())
    assert bench.scheduler.slots == 2
    bench.run(30)
    assert bench.scheduler.slots == 4
    changes = [(event.before, event.slots) for event in bench.events if isinstance(event, SlotsChanged)]
    assert changes == [(4, 2), (2, 3), (3, 4)]
    assert "other programs" in next(event.reason for event in bench.events if isinstance(event, SlotsChanged))


def test_more_slots_are_shared_out_at_once_and_fewer_refuse_nothing(bench: Bench) -> None:
    capacity = bench.scheduler.admission.capacity
    bench.control.resize(2)
    assert (bench.scheduler.slots, capacity[CPU]) == (2, 4 * CPU_UNIT)
    assert bench.control.reason == "2 of 4 CPU slots are left"
    assert bench.scheduler.causes == Causes(gone="2 of 4 CPU slots are left")
    bench.run(30)
    assert bench.scheduler.slots == 2
    bench.control.resize(8)
    assert (bench.scheduler.slots, capacity[CPU]) == (8, 8 * CPU_UNIT)
    assert (bench.control.reason, bench.scheduler.causes) == (None, Causes())
    bench.control.resize(8)
    bench.run(30)
    changes = [(event.before, event.slots, event.full) for event in bench.events if isinstance(event, SlotsChanged)]
    assert changes == [(4, 2, 2), (2, 8, 8)]
    assert bench.sizes == [2, 8]


def test_a_loaded_machine_takes_its_part_of_what_is_left(bench: Bench) -> None:
    bench.sample = lambda now: HOG
    bench.run(10)
    assert bench.scheduler.slots == 2
    bench.control.resize(1)
    bench.run(10)
    assert bench.scheduler.slots == 1
    bench.sample = lambda now: QUIET
    bench.control.resize(4)
    bench.run(40)
    assert (bench.scheduler.slots, bench.control.reason) == (4, None)


def test_while_it_works_it_looks_about_every_second_with_its_workers(bench: Bench) -> None:
    bench.run(100)
    gaps = [later - sooner for sooner, later in zip(bench.looks, bench.looks[1:], strict=False)]
    assert 0.72 <= min(gaps) < max(gaps) <= 0.9
    assert bench.workers == (7,)


def test_an_idle_engine_looks_seldom_and_at_once_again_when_there_is_work(bench: Bench) -> None:
    bench.scheduler.running = 0
    bench.run(101)
    assert len(bench.looks) <= 11
    bench.scheduler.queued = 1
    before = bench.loop.time()
    bench.run(1)
    assert bench.looks[-1] > before


def test_short_tasks_with_pauses_between_them_count_as_work(bench: Bench) -> None:
    bench.scheduler.running = 0
    bench.run(100)
    looks = len(bench.looks)
    for _ in range(10):
        bench.scheduler.share.ended += 3
        bench.run(1)
    assert len(bench.looks) >= looks + 9


def test_an_idle_engine_comes_back_to_all_slots_too(bench: Bench) -> None:
    bench.sample = lambda now: HOG if now < 50 else QUIET
    bench.run(10)
    bench.scheduler.running = 0
    bench.run(40)
    looks = [at for at in bench.looks if at > 11]
    assert 5 <= len(looks) <= 10  # nothing changes: every five seconds will do
    bench.run(30)
    assert bench.scheduler.slots == 4


def test_an_idle_engine_makes_the_way_back_from_a_small_program_too(bench: Bench) -> None:
    bench.sample = lambda now: LoadSample({"foreign_cpu": 0.25}, foreign=1.0, cores=4.0) if now < 50 else QUIET
    bench.run(20)
    assert (bench.control.level, bench.control.slots) == ("normal", 3)
    assert bench.control.reason == "other programs use 1 of the cores"
    bench.scheduler.running = 0
    bench.run(60)
    assert bench.scheduler.slots == 4


def test_levels_are_entered_at_once_and_left_a_step_each_half_minute(bench: Bench) -> None:
    bench.sample = lambda now: LoadSample({"memory_used": 0.99}) if now < 20 else QUIET
    bench.run(20)
    assert bench.levels() == [("normal", "elevated"), ("elevated", "high"), ("high", "critical")]
    assert (bench.scheduler.burst_allowed, bench.scheduler.lowest_class) == (False, 2)
    assert bench.scheduler.limits == {CPU: CPU_UNIT, MEMORY: 0}  # a quarter, and nothing new
    assert bench.control.reason == "99% of the memory is in use"
    told = "level critical: 99% of the memory is in use"
    assert bench.scheduler.causes == Causes(level=told, classes=told, limits=told)
    bench.run(12)
    passed = "the load is gone; it goes back to normal step by step"
    assert bench.scheduler.slots < 4
    assert bench.scheduler.lowest_class == Priority.IDLE  # as long as the load itself says so, and not longer
    assert bench.scheduler.causes == Causes(level=f"level critical: {passed}", limits=passed)
    bench.run(8)
    assert bench.levels()[3:] == [("critical", "high")]
    assert not bench.scheduler.burst_allowed
    assert bench.control.reason == passed
    assert bench.scheduler.causes == Causes(level=f"level high: {passed}")  # the slots are back
    bench.run(31)
    assert bench.levels()[4:] == [("high", "elevated")]
    assert not bench.scheduler.burst_allowed
    bench.run(31)
    assert bench.levels()[5:] == [("elevated", "normal")]
    assert bench.scheduler.burst_allowed
    assert (bench.control.level, bench.control.reason, bench.scheduler.limits) == ("normal", None, {})
    assert bench.scheduler.causes == Causes()


def test_one_bad_sample_changes_nothing(bench: Bench) -> None:
    bench.sample = lambda now: LoadSample({"memory_used": 1.0}) if 10 <= now < 10.7 else QUIET
    bench.run(30)
    assert bench.events == []


def test_work_that_waits_for_its_turn_takes_no_slots_away_and_leaves_nothing_out(bench: Bench) -> None:
    bench.scheduler.overload.waited = 5.0
    bench.run(10)
    assert bench.control.level == "critical"
    assert bench.control.reason == "interactive work waits for its turn for 5 s"
    assert bench.scheduler.slots == 4
    assert bench.scheduler.causes == Causes(level=f"level critical: {bench.control.reason}")
    assert (bench.scheduler.burst_allowed, bench.scheduler.lowest_class) == (False, Priority.IDLE)


def test_what_was_held_back_for_urgent_work_is_looked_at_as_soon_as_there_is_room(bench: Bench) -> None:
    bench.scheduler.overload.batch_share = 0.5
    bench.run(3)
    woken, share = bench.woken, bench.scheduler.overload.batch_share
    assert 0.5 < share < 0.6
    assert woken > 0
    bench.scheduler.overload.batch_share = 1.0
    bench.run(3)
    assert bench.woken == woken


def test_a_loop_that_is_late_leaves_classes_out_and_what_was_worse_is_told_so(bench: Bench) -> None:
    bench.held_up = 0.6
    bench.run(10)
    assert (bench.control.level, bench.scheduler.lowest_class) == ("critical", Priority.NORMAL)
    assert bench.scheduler.causes.classes == "level critical: the event loop is late by 0.6 s"
    bench.held_up = 0.05
    bench.run(7)
    assert bench.scheduler.lowest_class == Priority.NORMAL
    woken = bench.woken
    bench.run(5)
    assert bench.scheduler.lowest_class == Priority.IDLE
    assert bench.woken > woken  # what was left out is looked at
    assert bench.control.level == "critical"
    assert bench.control.reason == "the event loop is late by 0.05 s; it was worse, and goes back step by step"
    assert bench.scheduler.causes.classes == "level elevated: the event loop is late by 0.05 s"


def test_what_is_kept_back_is_put_down_to_the_machine_and_what_is_left_out_to_the_worst(bench: Bench) -> None:
    # Two of four cores are others'; that alone is no level.
    bench.sample = lambda now: LoadSample({"foreign_cpu": 0.2}, foreign=2.0, cores=4.0)
    bench.scheduler.overload.waited = 0.5
    bench.run(5)
    assert bench.scheduler.slots == 2
    assert bench.control.reason == "interactive work waits for its turn for 0.5 s"
    assert bench.scheduler.causes == Causes(
        level="level high: interactive work waits for its turn for 0.5 s", limits="other programs use 2 of the cores"
    )


def test_batch_work_that_waits_too_long_is_told_as_overload_and_so_is_its_end(bench: Bench) -> None:
    overload = bench.scheduler.overload
    overload.batch = 3.0
    bench.run(4 * PATIENCE)  # every second look ends a window
    idle, low = bench.events
    reason = "normal and low work waited 3 s on average, so idle work goes last"
    assert idle == OverloadChanged(("idle",), (), 3.0, reason)
    assert (low.last, low.before) == (("idle", "low"), ("idle",))
    assert bench.control.overload == "normal and low work waited 3 s on average, so idle and low work goes last"
    assert bench.control.level == "normal"  # a long queue of batch work is no load of the machine
    bench.scheduler.running, overload.batch = 0, None
    bench.run(2)
    assert bench.control.overload == "other work waited too long a moment ago, so idle and low work goes last"
    # An idle engine looks as often as before until that is over.
    bench.run(4 * CALM)
    assert [event.last for event in bench.events[2:]] == [("idle",), ()]
    assert bench.events[-1].reason == "work waits no longer than it should"
    assert bench.control.overload is None


def test_a_look_that_is_slow_is_not_a_loop_that_is_late(bench: Bench) -> None:
    bench.delay = 0.3
    bench.run(20)
    assert bench.control.level == "normal"


def test_a_loop_that_lets_timers_wait_is_late(bench: Bench) -> None:
    def block() -> None:
        bench.loop.suspend(0.3)
        bench.loop.call_later(0.01, block)

    block()
    bench.run(20)
    assert bench.control.level == "high"
    assert "the event loop is late" in str(bench.control.reason)


def test_a_loop_that_lets_other_threads_wait_is_late(bench: Bench) -> None:
    bench.held_up = 0.06
    bench.run(20)
    assert bench.control.level == "elevated"
    assert bench.control.reason == "the event loop is late by 0.06 s"


def test_a_full_disk_queue_only_warns(bench: Bench) -> None:
    bench.sample = lambda now: LoadSample({"io_full": 1.0}, foreign=0.0, cores=4.0)
    bench.run(10)
    assert (bench.control.level, bench.scheduler.slots) == ("elevated", 4)


def test_a_look_that_takes_long_is_not_asked_for_twice(bench: Bench) -> None:
    bench.delay = 5.0
    bench.run(100)
    assert 15 <= len(bench.looks) <= 20


def test_a_look_that_fails_changes_nothing_and_is_repeated(bench: Bench) -> None:
    bench.sample = lambda now: None
    bench.run(10)
    assert len(bench.looks) > 10
    assert (bench.control.level, bench.control.load) == ("normal", None)


def test_hooks_are_told_each_level_in_order(bench: Bench) -> None:
    told: list[str] = []
    bench.control.on_level(enter=lambda level: told.append(f"+{level}"), leave=lambda level: told.append(f"-{level}"))
    bench.control.on_level()
    bench.sample = lambda now: LoadSample({"heat": 1.0}) if now < 10 else QUIET
    bench.run(100)
    assert told == ["+elevated", "+high", "-high", "-elevated"]


def test_a_hook_that_comes_late_is_told_what_holds_and_one_that_is_taken_back_nothing(bench: Bench) -> None:
    told: list[str] = []
    bench.sample = lambda now: LoadSample({"heat": 1.0}) if now < 10 else QUIET
    bench.run(10)
    take_back = bench.control.on_level(enter=told.append, leave=told.append)
    assert told == ["elevated", "high"]
    take_back()
    take_back()
    bench.run(100)
    assert told == ["elevated", "high"]


def test_a_hook_that_fails_keeps_nothing_from_the_others(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    told: list[str] = []
    bench.control.on_level(enter=lambda level: 1 / 0)
    bench.control.on_level(enter=told.append)
    bench.sample = lambda now: LoadSample({"battery": 1.0})
    with caplog.at_level(logging.INFO, "tenire.control"):
        bench.run(10)
    assert told == ["elevated"]
    assert "a hook for level elevated failed" in caplog.text
    assert "load elevated, was normal: the machine runs on its battery" in caplog.text


def test_a_closed_control_loop_looks_no_more_and_ignores_what_comes_late(bench: Bench) -> None:
    bench.delay = 0.5
    bench.sample = lambda now: HOG
    while len(bench.looks) < 2:  # the second one, which would count, is under way
        bench.run(0.01)
    bench.loop.run_until_complete(bench.control.aclose())
    looks = len(bench.looks)
    bench.run(10)
    assert bench.closed
    assert len(bench.looks) == looks
    assert bench.events == []
    assert len(bench.timer) == 0


def test_one_that_was_never_started_can_be_closed(sim_loop: SimLoop) -> None:
    bench = Bench(sim_loop)
    sim_loop.run_until_complete(bench.control.aclose())
    assert bench.looks == []


def test_periodic_jobs_run_less_often_under_load(bench: Bench) -> None:
    runs: list[float] = []
    job = bench.control.every(1.0, lambda: runs.append(bench.loop.time()))
    bench.run(50)
    quiet = len(runs)
    assert 44 <= quiet <= 51
    bench.sample = lambda now: LoadSample({"heat": 1.0})
    bench.run(10)
    runs.clear()
    bench.run(100)
    assert 22 <= len(runs) <= 28  # high: a quarter as often
    job.cancel()
    job.cancel()
    assert not job.active
    runs.clear()
    bench.run(20)
    assert runs == []


def test_a_periodic_job_that_fails_runs_again_and_one_that_cancels_itself_does_not(bench: Bench) -> None:
    failures: list[Any] = []
    bench.loop.set_exception_handler(lambda _, context: failures.append(context["exception"]))
    failing = bench.control.every(1.0, lambda: 1 / 0, longest=2.0)
    once = bench.control.every(1.0, lambda: once.cancel())
    bench.run(10)
    assert failing.active
    assert failing.runs == len(failures) >= 8
    assert once.runs == 1


def test_an_impossible_period_is_refused(bench: Bench) -> None:
    with pytest.raises(ConfigError, match="bounds"):
        bench.control.every(0, lambda: None)


WEATHER = st.lists(
    st.tuples(
        st.sampled_from([0.5, 2.0, 7.0, 40.0]),
        st.sampled_from(
            [
                QUIET, HOG, None, LoadSample({}), LoadSample({"memory_used": 0.96}), LoadSample({"memory_used": 0.99}),
                LoadSample({"battery": 1.0}, foreign=4.0, cores=4.0), LoadSample({"io_full": 0.9}),
            ]
        ),
        st.booleans(),
    ),
    max_size=12,
)  # fmt: skip


@given(st.integers(0, 9), st.sampled_from([0.5, 1, 2.5, 4, 16]), WEATHER, st.booleans())
def test_whatever_the_weather_each_step_is_to_a_neighbour_and_all_is_back_in_the_end(
    seed: int, full: float, weather: list[tuple[float, LoadSample | None, bool]], busy: bool
) -> None:
    with SimLoop(seed) as loop:
        bench = Bench(loop, full=full)
        stack = ["normal"]

        def enter(level: str) -> None:
            stack.append(level)

        def leave(level: str) -> None:
            assert stack.pop() == level

        bench.control.on_level(enter=enter, leave=leave)
        bench.control.start()
        for seconds, sample, works in weather:
            bench.sample = lambda now, sample=sample: sample
            bench.scheduler.running = int(works)
            bench.run(seconds)
            assert stack[-1] == bench.control.level == ["normal", "elevated", "high", "critical"][len(stack) - 1]
            assert min(1.0, full) <= bench.control.slots <= full
            assert (bench.control.reason is None) == (stack == ["normal"] and bench.control.slots == full) or full <= 1
        bench.sample = lambda now: QUIET
        bench.scheduler.running = int(busy)
        bench.run(40)
        assert bench.control.slots == full
        bench.run(3 * 30 + 15)
        assert stack == ["normal"]
        assert bench.control.reason is None
        changes = [event for event in bench.events if isinstance(event, SlotsChanged)]
        assert all(event.slots != event.before for event in changes)
        slots = changes[-1].slots if changes else full
        assert slots == full == bench.control.slots
