"""What wakes a real loop for the timer."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import gc
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tenire.clock import SYSTEM_CLOCK
from tenire.concurrency import UniversalTimer
from tenire.concurrency.timer.wakeup import KernelWakeUp, LoopWakeUp, WakeUp, make_wake_up

if TYPE_CHECKING:
    from collections.abc import Callable

    from tenire.testing import ManualClock, SimLoop

ONLY_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="the kernel's timers are Linux's")
KINDS = [LoopWakeUp, pytest.param(KernelWakeUp, marks=ONLY_LINUX)]
HOUR_NS = 3600 * 10**9


def new_timer(*, on_thread: bool = True) -> UniversalTimer:
    return UniversalTimer(loop=asyncio.get_running_loop(), clock=SYSTEM_CLOCK, on_thread=lambda: on_thread)


def make(kind: Callable[..., Any], ring: Callable[[], object]) -> Any:
    return kind(asyncio.get_running_loop(), ring, contextvars.copy_context())


def remaining_ns(fd: int) -> int:
    """Return after how long a timer of the kernel will ring; 0 for never."""
    lines = dict(
        line.split(": ", 1) for line in Path(f"/proc/self/fdinfo/{fd}").read_text().splitlines() if ": " in line
    )
    seconds, nanoseconds = lines["it_value"].strip("()").split(", ")
    return int(seconds) * 10**9 + int(nanoseconds)


def on_a_loop(test: Callable[..., Any]) -> Callable[..., None]:
    @functools.wraps(test)
    def run(**arguments: Any) -> None:
        asyncio.run(test(**arguments))

    return run


async def rounds(number: int) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


@pytest.mark.parametrize("kind", KINDS)
@on_a_loop
async def test_it_rings_once_after_the_delay_that_was_set_last(kind: Callable[..., Any]) -> None:
    rung: list[int] = []
    over = asyncio.Event()

    def ring() -> None:
        rung.append(SYSTEM_CLOCK.now_ns())
        wake_up.unset()
        over.set()

    wake_up = make(kind, ring)
    wake_up.set(0)
    wake_up.set(HOUR_NS)
    await rounds(10)
    assert rung == []
    wake_up.set(0)
    await over.wait()
    await rounds(10)
    assert len(rung) == 1
    wake_up.set(0)
    wake_up.unset()
    await rounds(10)
    assert len(rung) == 1
    wake_up.close()
    wake_up.close()


@ONLY_LINUX
@on_a_loop
async def test_the_kernel_never_rings_early() -> None:
    rng, due, late = random.Random(0), 0, []
    over = asyncio.Event()

    def again() -> None:
        nonlocal due
        delay = rng.randrange(2_000_000)
        due = SYSTEM_CLOCK.now_ns() + delay
        wake_up.set(delay)

    def ring() -> None:
        late.append(SYSTEM_CLOCK.now_ns() - due)
        if len(late) < 50:
            again()
        else:
            wake_up.unset()
            over.set()

    wake_up = make(KernelWakeUp, ring)
    again()
    await over.wait()
    wake_up.close()
    assert min(late) >= 0


@ONLY_LINUX
@on_a_loop
async def test_the_kernel_is_told_the_time_to_the_nanosecond() -> None:
    wake_up = make(KernelWakeUp, lambda: None)
    assert remaining_ns(wake_up._fd) == 0
    wake_up.set(HOUR_NS)
    assert 0 < HOUR_NS - remaining_ns(wake_up._fd) < 60 * 10**9
    wake_up.set(1 << 100)  # more than the kernel takes: it will ring after a day, and be set again
    assert 0 < 24 * HOUR_NS - remaining_ns(wake_up._fd) < 60 * 10**9
    wake_up.unset()
    assert remaining_ns(wake_up._fd) == 0
    wake_up.close()


@ONLY_LINUX
@on_a_loop
async def test_a_timer_of_a_real_engine_is_woken_by_the_kernel() -> None:
    timer = new_timer()
    timer.after(3600, lambda: None)
    assert type(timer._wake_up) is KernelWakeUp
    timer.after(1, lambda: None)
    assert 0 < remaining_ns(timer._wake_up._fd) <= 10**9
    timer.close()


@ONLY_LINUX
@on_a_loop
async def test_a_timer_that_a_forked_child_closes_is_still_watched_by_the_loop_of_the_parent() -> None:
    timer = new_timer()
    timer.after(3600, lambda: None)
    wake_up = timer._wake_up
    assert type(wake_up) is KernelWakeUp
    timer.forked()
    timer.close()
    assert wake_up._give_back.alive, "the parent's loop shares with its copy what it watches"
    wake_up.close()


@on_a_loop
async def test_a_timer_that_has_rung_is_silent_until_something_is_due() -> None:
    timer, over = new_timer(), asyncio.Event()
    timer.after(0, over.set)
    await over.wait()
    await rounds(20)
    assert timer.statistics().wake_ups == 1
    kept = timer.after(3600, lambda: None)
    await rounds(20)
    assert timer.statistics().wake_ups == 1
    assert kept.active
    timer.close()


@pytest.mark.parametrize("on_thread", [True, False])
@on_a_loop
async def test_calls_are_made_in_the_context_in_which_the_timer_was_made(on_thread: bool) -> None:
    whose: contextvars.ContextVar[str] = contextvars.ContextVar("whose", default="nobody's")
    timer, over = new_timer(on_thread=on_thread), asyncio.Event()
    seen: list[str] = []

    def call() -> None:
        seen.append(whose.get())
        if len(seen) == 2:
            over.set()

    whose.set("somebody's")
    timer.after(0, call)
    timer.after(0.001, call)
    await over.wait()
    assert seen == ["nobody's", "nobody's"]
    timer.close()


class _Blind(asyncio.SelectorEventLoop):
    def add_reader(self, *_: object) -> None:  # type: ignore[override]
        raise NotImplementedError


def test_a_loop_that_can_watch_nothing_is_woken_by_its_own_timers() -> None:
    async def scenario() -> WakeUp:
        over = asyncio.Event()
        wake_up = make_wake_up(asyncio.get_running_loop(), SYSTEM_CLOCK, over.set, contextvars.copy_context())
        wake_up.set(0)
        await over.wait()
        return wake_up

    with asyncio.Runner(loop_factory=_Blind) as runner:
        assert type(runner.run(scenario())) is LoopWakeUp


@ONLY_LINUX
@on_a_loop
async def test_without_a_free_descriptor_the_loop_does_it_itself() -> None:
    import resource

    loop, context = asyncio.get_running_loop(), contextvars.copy_context()
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))
    try:
        with pytest.raises(OSError, match="timerfd_create"):
            KernelWakeUp(loop, lambda: None, context)
        wake_up = make_wake_up(loop, SYSTEM_CLOCK, lambda: None, context)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert type(wake_up) is LoopWakeUp


def test_in_virtual_time_the_kernel_is_not_asked(sim_loop: SimLoop, manual_clock: ManualClock) -> None:
    context = contextvars.copy_context()
    assert type(make_wake_up(sim_loop, SYSTEM_CLOCK, lambda: None, context)) is LoopWakeUp
    with asyncio.Runner() as runner:
        assert type(make_wake_up(runner.get_loop(), manual_clock, lambda: None, context)) is LoopWakeUp


@ONLY_LINUX
def test_a_timer_that_nobody_closed_loses_no_descriptor() -> None:
    async def scenario() -> tuple[WakeUp, int]:
        wake_up = make(KernelWakeUp, lambda: None)
        return wake_up, wake_up._fd

    wake_up, fd = asyncio.run(scenario())
    os.fstat(fd)
    del wake_up
    gc.collect()
    with pytest.raises(OSError, match="descriptor"):
        os.fstat(fd)


_AT_EXIT = """
import asyncio, atexit, contextvars

wake_ups = []
# Before the first finalizer there is: so it runs after all of them, as the end of an engine may.
atexit.register(lambda: (wake_ups[0].set(1_000_000), print("set")))

from tenire.concurrency.timer.wakeup import KernelWakeUp

loop = asyncio.new_event_loop()
wake_ups.append(KernelWakeUp(loop, print, contextvars.copy_context()))
"""


@ONLY_LINUX
def test_a_program_that_ends_can_set_it_to_the_last() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", _AT_EXIT], capture_output=True, text=True, timeout=60, check=False, env=os.environ
    )
    assert (ended.stdout.strip(), ended.stderr) == ("set", "")


@ONLY_LINUX
def test_it_can_be_closed_after_its_loop() -> None:
    async def scenario() -> Any:
        return make(KernelWakeUp, lambda: None)

    wake_up = asyncio.run(scenario())
    wake_up.close()
    with pytest.raises(OSError, match="descriptor"):
        os.fstat(wake_up._fd)
