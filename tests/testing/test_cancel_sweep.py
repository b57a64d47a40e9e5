from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Any

import pytest

from tenire.testing import FakeModelServer, Faults, SweepError, cancel_sweep


class Permits:
    """A semaphore that hands a permit over; ``sound`` gives it back if the taker was cancelled meanwhile."""

    def __init__(self, free: int, *, sound: bool) -> None:
        self.free = free
        self.sound = sound
        self.waiters: list[asyncio.Future[None]] = []

    async def take(self) -> None:
        if self.free:
            self.free -= 1
            return
        waiter = asyncio.get_running_loop().create_future()
        self.waiters.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if self.sound and waiter.done() and not waiter.cancelled():
                self.give()
            raise

    def give(self) -> None:
        while self.waiters:
            waiter = self.waiters.pop(0)
            if not waiter.done():
                waiter.set_result(None)
                return
        self.free += 1


def scenario_of(*, sound: bool) -> tuple[Any, Any]:
    state: dict[str, Permits] = {}

    async def scenario() -> None:
        permits = state["permits"] = Permits(1, sound=sound)
        await permits.take()
        asyncio.get_running_loop().call_later(1, permits.give)
        await permits.take()
        try:
            await asyncio.sleep(1)
        finally:
            permits.give()

    async def check() -> None:
        await asyncio.sleep(5)
        assert state["permits"].free == 1, f"{state['permits'].free} permits are free, there is 1"

    return scenario, check


def test_a_sound_scenario_survives_at_every_await() -> None:
    scenario, check = scenario_of(sound=True)
    report = cancel_sweep(scenario, check=check)
    assert (report.awaits, report.runs) == (2, 4)


def test_a_permit_lost_between_grant_and_wakeup_is_found() -> None:
    scenario, check = scenario_of(sound=False)
    with pytest.raises(SweepError, match=r"await 1 \(granted\).*in take, seed 4[\s\S]*only=\(1, 'granted'\)") as caught:
        cancel_sweep(scenario, check=check, seed=4)
    assert (caught.value.index, caught.value.moment, caught.value.seed) == (1, "granted", 4)


def test_a_failure_can_be_replayed_alone() -> None:
    scenario, check = scenario_of(sound=False)
    assert cancel_sweep(scenario, check=check, only=(1, "waiting")).runs == 1
    with pytest.raises(SweepError):
        cancel_sweep(scenario, check=check, only=(1, "granted"))


def test_an_undisturbed_scenario_that_fails_is_told_as_such() -> None:
    async def scenario() -> None:
        raise ValueError("broken anyway")

    with pytest.raises(SweepError, match=r"undisturbed run.*broken anyway"):
        cancel_sweep(scenario, check=lambda: None)


def test_swallowing_a_cancellation_is_found() -> None:
    async def scenario() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(1)

    with pytest.raises(SweepError, match="swallowed"):
        cancel_sweep(scenario, check=lambda: None)
    assert cancel_sweep(scenario, check=lambda: None, may_finish=True).runs == 2


def test_tasks_left_behind_are_found_by_name() -> None:
    kept: list[Any] = []

    async def scenario() -> None:
        kept.append(asyncio.create_task(asyncio.sleep(100), name="orphan"))
        await asyncio.sleep(1)
        kept.pop().cancel()
        await asyncio.sleep(0)

    with pytest.raises(SweepError, match=r"left behind:[\s\S]*orphan"):
        cancel_sweep(scenario, check=lambda: None)


def test_another_exception_than_the_cancellation_is_found() -> None:
    async def scenario() -> None:
        try:
            await asyncio.sleep(0)
        finally:
            await asyncio.sleep(0)
            if asyncio.current_task().cancelling():  # type: ignore[union-attr]
                raise KeyError("cleanup failed")

    with pytest.raises(SweepError, match="cleanup failed"):
        cancel_sweep(scenario, check=lambda: None)


def test_a_scenario_that_hangs_after_its_cancellation_is_found() -> None:
    async def scenario() -> None:
        try:
            await asyncio.sleep(1)
        except asyncio.CancelledError:
            await asyncio.Event().wait()

    with pytest.raises(SweepError, match="deadlock"):
        cancel_sweep(scenario, check=lambda: None)


def test_the_library_of_python_survives_its_own_sweep() -> None:
    async def scenario() -> None:
        async with asyncio.TaskGroup() as group:
            for delay in (1, 2):
                group.create_task(asyncio.sleep(delay))
            async with asyncio.timeout(10):
                await asyncio.sleep(1)

    assert cancel_sweep(scenario, check=lambda: None).awaits == 2


@pytest.mark.parametrize("sound", [True, False])
def test_on_a_real_loop_it_sees_what_needs_threads_or_sockets(sound: bool) -> None:
    held: list[str] = []

    async def scenario() -> None:
        held.clear()
        near, far = socket.socketpair()
        with near, far:
            near.setblocking(False)
            held.append("place")
            try:
                await asyncio.to_thread(far.send, b"x")
                await asyncio.get_running_loop().sock_recv(near, 1)
            except asyncio.CancelledError:
                if sound:
                    held.clear()
                raise
            held.clear()

    def check() -> None:
        assert not held

    with contextlib.nullcontext() if sound else pytest.raises(SweepError, match="cancelled at await 1"):
        report = cancel_sweep(scenario, check=check, loop_factory=asyncio.new_event_loop)
        assert report.runs >= 2


def test_on_a_real_loop_the_awaits_may_be_others_in_each_run() -> None:
    runs, cancelled = 0, 0

    async def scenario() -> None:
        nonlocal runs, cancelled
        runs += 1
        if runs > 1:
            await asyncio.sleep(0)
        try:
            await asyncio.sleep(0.001)
        except asyncio.CancelledError:
            cancelled += 1
            raise

    report = cancel_sweep(scenario, check=lambda: None, loop_factory=asyncio.new_event_loop)
    assert (report.awaits, report.runs) == (1, 2)
    assert cancelled == 1, "what waits for nothing is granted nothing: the next await is cancelled"


def test_a_real_loop_is_waited_for_only_so_long() -> None:
    async def scenario() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(SweepError, match="undisturbed"):
        cancel_sweep(scenario, check=lambda: None, loop_factory=asyncio.new_event_loop, patience=0.05)


def test_of_a_long_scenario_it_tries_a_part() -> None:
    async def scenario() -> None:
        for _ in range(10):
            await asyncio.sleep(1)

    assert cancel_sweep(scenario, check=lambda: None).runs == 20
    assert cancel_sweep(scenario, check=lambda: None, every=7).runs == 3


def test_a_server_for_tests() -> None:
    async def scenario() -> None:
        async with FakeModelServer() as server:
            assert server.base_url

    # The guard of leaks looks for its thread.
    assert cancel_sweep(scenario, check=lambda: None, loop_factory=asyncio.new_event_loop).runs >= 4


def test_a_fault_that_takes_its_time() -> None:
    async def scenario() -> None:
        with Faults(strict=False) as faults:
            faults.at("commit", delay=1.0)
            await faults.reach("commit")

    assert cancel_sweep(scenario, check=lambda: None).runs >= 1
