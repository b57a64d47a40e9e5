"""The timer by itself, without an engine around it."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import random
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenire import ConfigError
from tenire.clock import SYSTEM_CLOCK, _sleep_reader
from tenire.concurrency import UniversalTimer
from tenire.concurrency.timer import Suspended
from tenire.concurrency.timer.timer import MOST_AT_ONCE
from tenire.testing import SimLoop

if TYPE_CHECKING:
    from collections.abc import Callable


def nothing() -> None:
    pass


def new_timer(loop: SimLoop, **more: Any) -> UniversalTimer:
    return UniversalTimer(loop=loop, clock=loop.clock, on_thread=lambda: True, **more)


def armed(loop: SimLoop) -> int:
    return sum(not handle._cancelled for *_, handle in loop._heap)


def test_calls_with_slack_share_a_wake_up_and_come_in_time(sim_loop: SimLoop) -> None:
    timer = new_timer(sim_loop)
    calls: list[tuple[float, float]] = []
    for number in range(100):
        due = 1.0 + number / 1000
        timer.at(due, lambda due=due: calls.append((due, sim_loop.time())), slack=0.1)
    sim_loop.run_until_complete(asyncio.sleep(5))
    assert timer.statistics().wake_ups == 1
    assert [due for due, _ in calls] == sorted(due for due, _ in calls)
    assert all(due <= came <= due + 0.1 for due, came in calls)


def test_slack_moves_no_later_tick(sim_loop: SimLoop) -> None:
    timer = new_timer(sim_loop)
    calls: list[float] = []
    ticking = timer.every(1.0, lambda: calls.append(sim_loop.time()), slack=0.5)
    sim_loop.run_until_complete(asyncio.sleep(10.6))
    assert calls == [pytest.approx(number + 0.5) for number in range(1, 11)]
    assert timer.statistics().missed == 0
    ticking.cancel()


def test_the_loop_holds_one_handle_whatever_is_added(sim_loop: SimLoop) -> None:
    timer = new_timer(sim_loop)
    delays = list(range(1, 200))
    random.Random(0).shuffle(delays)
    added = [timer.after(delay, nothing) for delay in delays]
    assert armed(sim_loop) == 1
    for timeout in added:
        timeout.cancel()
    assert armed(sim_loop) == 1
    timer.close()
    assert armed(sim_loop) == 0


@pytest.mark.parametrize(("missed", "extra"), [("skip", 0), ("once", 1), ("burst", 9)])
@pytest.mark.parametrize("unseen", [False, True])
def test_ticks_missed_while_the_machine_was_asleep_follow_the_policy(
    sim_loop: SimLoop, missed: Any, extra: int, unseen: bool
) -> None:
    events: list[Suspended] = []
    timer = new_timer(sim_loop, on_suspended=events.append)
    calls: list[float] = []
    ticking = timer.every(1.0, lambda: calls.append(sim_loop.time()), missed=missed)
    timer.every(0.1, nothing)  # so that it is noticed soon
    wall = sim_loop.clock.wall()

    async def scenario() -> None:
        await asyncio.sleep(2.5)
        assert len(calls) == 2
        sim_loop.suspend(10.0, unseen=unseen)
        await asyncio.sleep(0.2)
        assert events == [Suspended(10.0, certain=True)]
        assert len(calls) == 3 + extra
        assert timer.statistics().latest_s < 1.1  # being asleep is not being late
        await asyncio.sleep(1.0)
        assert len(calls) == 4 + extra
        # The beat is that of the world outside: whole seconds since the beginning.
        ticking_at = sim_loop.clock.wall() - wall
        assert ticking_at == pytest.approx(13.7)
        assert (ticking.due / 1e9 - sim_loop.time() + ticking_at) % 1.0 == pytest.approx(0.0, abs=1e-6)

    sim_loop.run_until_complete(scenario())
    assert timer.statistics().suspensions == 1
    timer.close()


def test_a_single_call_waits_for_its_time_on_the_engines_clock(sim_loop: SimLoop) -> None:
    timer = new_timer(sim_loop)
    calls: list[float] = []
    timer.after(5.0, lambda: calls.append(sim_loop.time()))
    sim_loop.suspend(60.0, unseen=True)
    timer.after(0.1, nothing)
    sim_loop.run_until_complete(asyncio.sleep(6.0))
    assert calls == [pytest.approx(5.0)]


class PlainClock:
    """A clock that cannot tell whether the machine was asleep."""

    def __init__(self, loop: SimLoop) -> None:
        self.now, self.now_ns, self.wall = loop.clock.now, loop.clock.now_ns, loop.clock.wall


def test_a_clock_that_cannot_tell_has_its_wall_clock_looked_at(sim_loop: SimLoop) -> None:
    events: list[Suspended] = []
    timer = UniversalTimer(
        loop=sim_loop, clock=PlainClock(sim_loop), on_thread=lambda: True, on_suspended=events.append
    )
    calls: list[float] = []
    timer.every(1.0, lambda: calls.append(sim_loop.time()), missed="burst")

    async def scenario() -> None:
        await asyncio.sleep(1.5)
        sim_loop.clock.step_wall(-3600.0)  # set back: that is no suspension
        await asyncio.sleep(1.0)
        assert events == []
        sim_loop.clock.step_wall(1.5)  # a time server puts it right
        await asyncio.sleep(1.0)
        assert events == []
        sim_loop.clock.step_wall(3600.0)
        await asyncio.sleep(1.0)
        assert events == [Suspended(3600.0, certain=False)]
        assert len(calls) == 4  # nothing is made up for: it may be that somebody set the clock

    sim_loop.run_until_complete(scenario())
    timer.close()


def test_the_systems_clock_tells_or_says_that_it_cannot() -> None:
    asleep = SYSTEM_CLOCK.asleep()
    assert asleep is None or 0 <= asleep.unseen_ns <= asleep.total_ns


@pytest.mark.parametrize("platform", ["linux", "darwin", "win32", "plan9"])
def test_a_system_without_these_clocks_says_that_it_cannot_tell(platform: str) -> None:
    reader = _sleep_reader(platform)
    assert (reader is not None) == (platform == sys.platform)


def test_statistics_tell_how_late_calls_were(sim_loop: SimLoop) -> None:
    timer = new_timer(sim_loop)
    for number in range(100):
        timer.at(1.0 + number, nothing)
    timer.at(200.0, lambda: 1 / 0)
    sim_loop.set_exception_handler(lambda *_: None)
    sim_loop.call_at(150.0, sim_loop.suspend, 1.5)
    timer.at(150.5, nothing)
    live = timer.statistics()
    assert (live.live, live.fired, live.p50_s) == (102, 0, None)
    sim_loop.run_until_complete(asyncio.sleep(300))
    after = timer.statistics()
    assert (after.live, after.fired, after.failed, after.wake_ups) == (0, 102, 1, 102)
    assert after.p50_s == pytest.approx(0.0, abs=1e-6)
    assert after.latest_s == pytest.approx(1.0) == timer.latest_s


def test_many_calls_at_one_time_let_the_loop_come_round(sim_loop: SimLoop) -> None:
    timer = new_timer(sim_loop)
    order: list[int] = []
    most = 3 * MOST_AT_ONCE
    for number in range(most):
        timer.at(1.0, lambda number=number: order.append(number))
    turns: list[int] = []

    async def scenario() -> None:
        await asyncio.sleep(1.0)
        while len(order) < most:
            turns.append(len(order))
            await asyncio.sleep(0)

    sim_loop.run_until_complete(scenario())
    assert order == list(range(most))
    assert {MOST_AT_ONCE, 2 * MOST_AT_ONCE} <= set(turns)


def test_what_ends_the_program_keeps_no_other_call_from_being_made(sim_loop: SimLoop) -> None:
    timer = new_timer(sim_loop)
    calls: list[str] = []

    def interrupted() -> None:
        raise KeyboardInterrupt

    timer.at(1.0, interrupted)
    timer.at(1.0, lambda: calls.append("due with it"))
    waiting = sim_loop.create_task(asyncio.sleep(2.0))
    with pytest.raises(KeyboardInterrupt):
        sim_loop.run_until_complete(waiting)
    assert len(timer) == 1
    sim_loop.run_until_complete(waiting)
    assert calls == ["due with it"]


def test_a_burst_goes_on_after_a_call_that_fails_and_ends_with_a_cancel(sim_loop: SimLoop) -> None:
    timer = new_timer(sim_loop)
    calls: list[float] = []
    sim_loop.set_exception_handler(lambda *_: None)

    def tick() -> None:
        calls.append(sim_loop.time())
        if len(calls) == 4:
            ticking.cancel()
        raise ValueError

    ticking = timer.every(1.0, tick, missed="burst")
    sim_loop.suspend(10.5)
    sim_loop.run_until_complete(asyncio.sleep(5.0))
    assert len(calls) == 4
    assert timer.statistics().failed == 4


def test_callbacks_run_in_the_context_in_which_the_timer_was_made(sim_loop: SimLoop) -> None:
    who = contextvars.ContextVar("who", default="nobody")
    who.set("engine")
    timer = new_timer(sim_loop)
    seen: list[str] = []

    async def scenario() -> None:
        who.set("somebody's task")
        timer.after(1.0, lambda: seen.append(who.get()))
        await asyncio.sleep(2.0)

    sim_loop.run_until_complete(scenario())
    assert seen == ["engine"]


def test_a_timer_that_is_closed_calls_nothing_and_takes_nothing(sim_loop: SimLoop) -> None:
    timer = new_timer(sim_loop)
    calls: list[str] = []
    timer.at(1.0, timer.close)
    with_it = timer.at(1.0, lambda: calls.append("due with the end"))
    later = timer.at(2.0, lambda: calls.append("later"))
    sim_loop.run_until_complete(asyncio.sleep(3.0))
    afterwards = timer.after(1.0, lambda: calls.append("afterwards"))
    sim_loop.run_until_complete(asyncio.sleep(3.0))
    assert calls == []
    assert not any(timeout.active or timeout.cancel() for timeout in (with_it, later, afterwards))
    assert len(timer) == 0


class Owner:
    """Has a method to be called, and uses the timer when it is collected."""

    def __init__(self, timer: UniversalTimer) -> None:
        self.timer = timer
        self.itself = self
        self.other = timer.after(50.0, nothing)

    def tick(self) -> None:
        pytest.fail("its owner is gone")

    def __del__(self) -> None:
        self.other.cancel()
        self.timer.after(60.0, nothing)


def test_owners_that_are_collected_leave_nothing_behind(sim_loop: SimLoop) -> None:
    timer = new_timer(sim_loop)
    for _ in range(3000):
        timer.after(40.0, Owner(timer).tick)
    gc.collect()
    assert len(timer) == 3000  # those that their ends have added
    assert len(timer._heap._heap) <= 2 * 3000 + 1001
    timer._heap.check()
    sim_loop.run_until_complete(asyncio.sleep(100.0))
    assert timer.fired == 3000


def test_owners_that_come_and_go_do_not_pile_up(sim_loop: SimLoop) -> None:
    class Brief:
        def tick(self) -> None:
            pass

    timer = new_timer(sim_loop)
    for _ in range(5000):
        timer.after(1000.0, Brief().tick)
    assert len(timer._heap._heap) <= 1002
    timer.close()


def test_what_callbacks_add_arms_the_loop_once(sim_loop: SimLoop) -> None:
    timer = new_timer(sim_loop)
    pushed: list[int] = []

    def add_many() -> None:
        before = sim_loop._pushed
        for delay in range(100, 0, -1):
            timer.after(delay, nothing)
        pushed.append(sim_loop._pushed - before)

    timer.after(1.0, add_many)
    sim_loop.run_until_complete(asyncio.sleep(1.5))
    assert pushed == [0]
    assert armed(sim_loop) == 1
    timer.close()


@given(when=st.floats(0.0, 1e8))
def test_a_time_is_never_rounded_to_one_before_it(when: float) -> None:
    with SimLoop() as loop:
        timer = new_timer(loop)
        assert timer.at(when, nothing).due / 1e9 >= when
        timer.close()


@pytest.mark.parametrize(
    ("key", "add"),
    [
        ("delay", lambda timer: timer.after(float("nan"), nothing)),
        ("delay", lambda timer: timer.after(float("inf"), nothing, slack=1.0)),
        ("callback", lambda timer: timer.after(1.0, None)),
        ("callback", lambda timer: timer.every(1.0, 3)),
        ("delay", lambda timer: timer.after("1", nothing)),
        ("delay", lambda timer: timer.after(None, nothing, slack=1.0)),
        ("when", lambda timer: timer.at(float("inf"), nothing)),
        ("period", lambda timer: timer.every(0.0, nothing)),
        ("period", lambda timer: timer.every(float("nan"), nothing)),
        ("missed", lambda timer: timer.every(1.0, nothing, missed="never")),
        ("slack", lambda timer: timer.after(1.0, nothing, slack=-1.0)),
        ("slack", lambda timer: timer.every(1.0, nothing, slack=float("nan"))),
    ],
)
def test_impossible_numbers_are_refused(sim_loop: SimLoop, key: str, add: Callable[[UniversalTimer], object]) -> None:
    timer = new_timer(sim_loop)
    with pytest.raises(ConfigError) as caught:
        add(timer)
    assert caught.value.key == key
    assert len(timer) == 0


@pytest.mark.parametrize("add", [lambda timer, it: timer.after(1.0, it), lambda timer, it: timer.every(1.0, it)])
def test_a_method_of_what_cannot_be_held_weakly_is_refused_with_the_way_out(
    sim_loop: SimLoop, add: Callable[[UniversalTimer, Callable[[], object]], object]
) -> None:
    class Slotted:
        __slots__ = ()

        def tick(self) -> None: ...

    timer = new_timer(sim_loop)
    with pytest.raises(ConfigError, match=r"referred to weakly, got .*Slotted") as caught:
        add(timer, Slotted().tick)
    assert "__weakref__" in str(caught.value.hint)
    assert len(timer) == 0


def test_a_coroutine_function_is_told_of_instead_of_never_run(sim_loop: SimLoop) -> None:
    timer = new_timer(sim_loop)
    told: list[dict[str, Any]] = []
    sim_loop.set_exception_handler(lambda _, context: told.append(context))

    async def tick() -> None: ...

    async def main() -> None:
        timer.after(1.0, tick)
        await asyncio.sleep(2)

    sim_loop.run_until_complete(main())
    (context,) = told
    assert isinstance(context["exception"], ConfigError)
    assert "tick' returned a coroutine" in str(context["exception"])


def test_threads_that_add_and_cancel_get_each_call_once_or_not_at_all() -> None:
    each, rng = 400, random.Random(3)
    fired: list[int] = []
    cancelled: list[int] = []
    delays = [rng.choice([0.0, 0.001, 0.01]) for _ in range(4 * each)]

    async def scenario() -> UniversalTimer:
        owner = threading.get_ident()
        timer = UniversalTimer(
            loop=asyncio.get_running_loop(), clock=SYSTEM_CLOCK, on_thread=lambda: threading.get_ident() == owner
        )

        def use(first: int) -> None:
            for number in range(first, first + each):
                timeout = timer.after(delays[number], lambda number=number: fired.append(number))
                if number % 2 and timeout.cancel():
                    cancelled.append(number)

        await asyncio.wait([asyncio.create_task(asyncio.to_thread(use, part * each)) for part in range(4)])
        over = asyncio.Event()
        timer.after(0.02, lambda: over.set())
        await over.wait()
        timer._heap.check()
        timer.close()
        return timer

    timer = asyncio.run(scenario())
    assert sorted(fired + cancelled) == list(range(4 * each))
    assert len(timer) == 0


def test_other_threads_wake_the_loop_only_for_what_is_due_first() -> None:
    wake_ups: list[object] = []

    class Loop(asyncio.SelectorEventLoop):
        def call_soon_threadsafe(self, callback: Any, *args: Any, context: Any = None) -> asyncio.Handle:
            wake_ups.append(callback)
            return super().call_soon_threadsafe(callback, *args, context=context)

    with asyncio.Runner(loop_factory=Loop) as runner:
        timer = UniversalTimer(loop=runner.get_loop(), clock=SYSTEM_CLOCK, on_thread=lambda: False)
        for delay in (60.0, 70.0, 80.0, 50.0, 50.0, 90.0):
            timer.after(delay, nothing)
        assert len(wake_ups) == 2
        timer.close()
