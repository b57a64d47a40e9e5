"""What Ctrl-C leaves behind in a timer, at whatever point of adding or cancelling it comes."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.concurrency.interrupts import Interrupt

from tenire.clock import SYSTEM_CLOCK
from tenire.concurrency import UniversalTimer
from tenire.concurrency import timer as package
from tenire.concurrency.loops import LoopThread

if TYPE_CHECKING:
    from collections.abc import Callable

    from tenire.concurrency.timer import Timeout
    from tenire.testing import SimLoop

pytestmark = pytest.mark.usefixtures("uncollected")

ROOMS = (str(Path(package.__file__).parent), asyncio.base_events.__file__, asyncio.selector_events.__file__)

ACTS: dict[str, Callable[[UniversalTimer, Timeout], object]] = {
    "after": lambda timer, _: timer.after(0, int),
    "slack": lambda timer, _: timer.after(0, int, slack=0.001),
    "cancel": lambda _, timeout: timeout.cancel(),
}


async def _timer() -> UniversalTimer:
    return UniversalTimer.of_running_loop(SYSTEM_CLOCK)


def _struck(loop: LoopThread, number: int, act: Callable[[UniversalTimer, Timeout], object]) -> bool:
    """Interrupt another thread than the loop's at a point, if it comes there, and look what rings then."""
    timer = loop.call(_timer)
    timeout = timer.after(1000, int)
    rung, again = threading.Event(), threading.Event()
    other = threading.Thread(target=lambda: timer.after(0, rung.set))

    def count_on_the_same_wake_up() -> None:
        other.start()
        if not timer._heap.lock._is_owned():
            other.join(10)

    try:
        if not Interrupt(number, ROOMS, count_on_the_same_wake_up).strikes(lambda: act(timer, timeout)):
            return False
        if kept := timer._heap.lock._is_owned():
            timer._heap.lock.release()
        assert not kept, number
        other.join(10)
        assert not other.is_alive(), number
        assert rung.wait(10), number
        timer.after(0, again.set)
        assert again.wait(10), number
    finally:
        loop.call(timer.close)
    return True


@pytest.mark.parametrize("act", ACTS)
def test_an_interrupt_at_any_point_leaves_a_timer_that_rings(act: str) -> None:
    struck = 0
    with LoopThread("side", SYSTEM_CLOCK, kind="asyncio") as loop:
        while _struck(loop, struck + 1, ACTS[act]):
            struck += 1
    assert struck > 1


@pytest.mark.parametrize("act", ACTS)
def test_an_interrupt_on_the_loop_leaves_a_timer_that_rings(sim_loop: SimLoop, act: str) -> None:
    async def struck_at(number: int) -> bool:
        timer, rung = UniversalTimer.of_running_loop(sim_loop.clock), []
        timeout = timer.after(1000, int)
        if not Interrupt(number, ROOMS).strikes(lambda: ACTS[act](timer, timeout)):
            timer.close()
            return False
        timer.after(1, lambda: rung.append(sim_loop.time()))
        started = sim_loop.time()
        await asyncio.sleep(10)
        timer.close()
        assert len(rung) == 1, number
        assert rung[0] == pytest.approx(started + 1, abs=0.01), number
        return True

    struck = 0
    while sim_loop.run_until_complete(struck_at(struck + 1)):
        struck += 1
    assert struck > 1
