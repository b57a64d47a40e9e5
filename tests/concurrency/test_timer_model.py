"""The timer against what anybody could work out by hand, in virtual time."""

from __future__ import annotations

import asyncio
import gc
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tenire.concurrency import UniversalTimer
from tenire.testing import SimLoop

MS = 1_000_000


@dataclass
class Plan:
    """One timeout, as the model has it; milliseconds."""

    due: int
    slack: int
    period: int
    missed: str
    timeout: Any = None
    calls: list[int] = field(default_factory=list)
    expected: int = 0
    ended: bool = False

    def tick(self) -> None:
        self.calls.append(asyncio.get_running_loop().now_ns())  # type: ignore[attr-defined]

    def come(self, now: int) -> None:
        """Take in that it is called at ``now``, or that it is too late for that."""
        if self.period == 0:
            self.expected += 1
            self.ended = True
            return
        late = (now - self.due) // self.period
        self.expected += {"skip": 1, "once": 1 + min(1, late), "burst": 1 + min(late, 100)}[self.missed]
        self.due += (late + 1) * self.period


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("after"), st.integers(0, 20), st.sampled_from([0, 0, 5])),
        st.tuples(st.just("every"), st.integers(1, 6), st.sampled_from(["skip", "once", "burst"])),
        st.tuples(st.just("cancel"), st.integers(0, 9), st.none()),
        st.tuples(st.just("drop"), st.integers(0, 9), st.none()),
        st.tuples(st.just("run"), st.integers(1, 10), st.none()),
        st.tuples(st.just("stall"), st.integers(1, 40), st.none()),
    ),
    max_size=30,
)


@given(steps=STEPS)
def test_each_call_is_made_in_its_time_as_often_as_it_should(steps: list[tuple[str, int, Any]]) -> None:
    plans: list[Plan] = []

    async def scenario(loop: SimLoop) -> None:
        timer = UniversalTimer(loop=loop, clock=loop.clock, on_thread=lambda: True)
        for what, number, detail in steps:
            now = loop.now_ns() // MS
            if what == "after":
                plan = Plan(now + number, detail, 0, "skip")
                plan.timeout = timer.after(number / 1000, plan.tick, slack=detail / 1000)
                plans.append(plan)
            elif what == "every":
                plan = Plan(now + number, 0, number, detail)
                plan.timeout = timer.every(number / 1000, plan.tick, missed=detail)
                plans.append(plan)
            elif what == "cancel" and plans:
                plan = plans[number % len(plans)]
                assert plan.timeout.cancel() == (not plan.ended)
                plan.ended = True
            elif what == "drop" and plans:
                # Its owner goes, and with it all that could be looked at.
                plan = plans.pop(number % len(plans))
                del plan
                gc.collect(0)
            else:
                await pass_time(loop, number, stall=what == "stall")
            timer._heap.check()
            assert len(timer) == sum(not plan.ended for plan in plans)
            assert sum(not item[-1]._cancelled for item in loop._heap) <= 1
        timer.close()

    async def pass_time(loop: SimLoop, ms: int, *, stall: bool) -> None:
        start = loop.now_ns() // MS
        end = start + ms
        if stall:
            loop.suspend(ms / 1000)
            await turns()
            for plan in plans:
                if not plan.ended and plan.due <= end:
                    came_with_it(plan, end)
        else:
            for _ in range(ms):
                await asyncio.sleep(0.001)
                await turns()
                now = loop.now_ns() // MS
                for plan in plans:
                    if not plan.ended and plan.due <= now:
                        came_with_it(plan, now)
        for plan in plans:
            assert len(plan.calls) == plan.expected

    def came_with_it(plan: Plan, now: int) -> None:
        if plan.slack and len(plan.calls) == plan.expected:
            assert now < plan.due + plan.slack  # it may still come, with others
            return
        plan.come(now)
        assert plan.calls[-1] >= (plan.due - plan.period) * MS  # never early

    async def turns() -> None:
        for _ in range(3):
            await asyncio.sleep(0)

    with SimLoop() as loop:
        loop.run_until_complete(scenario(loop))
