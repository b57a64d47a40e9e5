from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from typing import TYPE_CHECKING, Any

import pytest

from tenire import (
    ConcurrencyManager,
    ConfigError,
    DependencyError,
    Priority,
    RejectedError,
    Resources,
    Retry,
    TaskError,
)
from tenire.concurrency import orchestrator
from tenire.core.admission import Admission
from tenire.errors import TaskTimeoutError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tenire.testing import SimLoop


async def double(number: int) -> int:
    await asyncio.sleep(0)
    return 2 * number


async def fail(message: str) -> None:
    raise ValueError(message)


def simulate(sim_loop: SimLoop, scenario: Callable[[ConcurrencyManager], Awaitable[Any]], **options: Any) -> Any:
    async def main() -> Any:
        async with ConcurrencyManager(clock=sim_loop.clock, seed=1, **{"cpu": 2, "memory": 100, **options}) as manager:
            return await scenario(manager)

    return sim_loop.run_until_complete(main())


def test_a_coroutine_function_runs_on_the_loop_and_its_handle_gives_the_value(sim_loop: SimLoop) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        handle = manager.submit(double, 21)
        assert not handle.done()
        assert await handle == 42
        assert await handle == 42
        assert handle.done()
        assert not handle.cancelled()
        assert handle.exception() is None

    simulate(sim_loop, scenario)


def test_awaiting_raises_the_functions_own_exception_every_time(sim_loop: SimLoop) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        handle = manager.submit(fail, "broken")
        for _ in range(2):
            with pytest.raises(ValueError, match="broken"):
                await handle
        assert isinstance(handle.exception(), ValueError)

    simulate(sim_loop, scenario)


def test_coroutines_without_needs_all_run_at_once(sim_loop: SimLoop) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        everybody = asyncio.Event()
        inside = 0

        async def wait_for_all() -> None:
            nonlocal inside
            inside += 1
            if inside == 1000:
                everybody.set()
            await everybody.wait()

        for handle in [manager.submit(wait_for_all) for _ in range(1000)]:
            await handle

    simulate(sim_loop, scenario)


def test_cpu_needs_limit_how_many_run_at_once_wherever_they_run(sim_loop: SimLoop) -> None:
    async def scenario(manager: ConcurrencyManager) -> int:
        running = most = 0

        async def work() -> None:
            nonlocal running, most
            running += 1
            most = max(most, running)
            await asyncio.sleep(1)
            running -= 1

        handles = [manager.submit(work, needs=Resources(cpu=1)) for _ in range(10)]
        for handle in handles:
            await handle
        return most

    assert simulate(sim_loop, scenario, cpu=3) == 3
    assert sim_loop.time() == pytest.approx(4.0)


def test_priorities_decide_the_order_and_equal_ones_keep_theirs(sim_loop: SimLoop) -> None:
    order: list[str] = []

    async def scenario(manager: ConcurrencyManager) -> None:
        async def note(name: str) -> None:
            order.append(name)
            await asyncio.sleep(1)

        needs = Resources(cpu=2)
        for name, priority in (
            ("low", "low"),
            ("normal", Priority.NORMAL),
            ("critical", "critical"),
            ("normal 2", "normal"),
            ("high", "HIGH"),
        ):
            manager.submit(note, name, priority=priority, needs=needs)

    simulate(sim_loop, scenario)
    assert order == ["critical", "high", "normal", "normal 2", "low"]


def test_a_waiting_task_rises_one_class_every_thirty_seconds(sim_loop: SimLoop) -> None:
    started: dict[str, float] = {}

    async def scenario(manager: ConcurrencyManager) -> None:
        async def note(name: str) -> None:
            started[name] = sim_loop.time()
            await asyncio.sleep(1)

        async def stream() -> None:
            for number in range(100):
                manager.submit(note, f"high {number}", priority="high", needs=Resources(cpu=2))
                await asyncio.sleep(1)

        manager.submit(note, "normal", priority="normal", needs=Resources(cpu=2))
        for number in range(3):
            manager.submit(note, f"first {number}", priority="high", needs=Resources(cpu=2))
        await stream()

    simulate(sim_loop, scenario)
    assert 30 <= started["normal"] <= 35


def test_a_task_waits_for_those_it_comes_after(sim_loop: SimLoop) -> None:
    order: list[str] = []

    async def scenario(manager: ConcurrencyManager) -> None:
        async def note(name: str, seconds: float) -> None:
            await asyncio.sleep(seconds)
            order.append(name)

        slow = manager.submit(note, "slow", 5)
        quick = manager.submit(note, "quick", 1)
        last = manager.submit(note, "last", 0, after=[slow, quick])
        await last
        await manager.submit(note, "after the end", 0, after=[slow])

    simulate(sim_loop, scenario)
    assert order == ["quick", "slow", "last", "after the end"]


@pytest.mark.parametrize("ended_before", [False, True])
def test_a_failed_dependency_ends_its_dependents_and_is_named(sim_loop: SimLoop, ended_before: bool) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        broken = manager.submit(fail, "no", name="broken")
        if ended_before:
            with pytest.raises(ValueError, match="no"):
                await broken
        middle = manager.submit(double, 1, after=[broken], name="middle")
        last = manager.submit(double, 1, after=[middle], name="last")
        with pytest.raises(DependencyError, match="broken") as caught:
            await middle
        assert caught.value.dependency == "broken"
        assert caught.value.task == "middle"
        assert isinstance(caught.value.__cause__, ValueError)
        with pytest.raises(TaskError, match="middle"):
            await last
        assert broken.exception() is not None

    simulate(sim_loop, scenario)


def test_a_cancelled_task_never_runs_and_its_dependents_end_with_its_name(sim_loop: SimLoop) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        blocker = manager.submit(asyncio.sleep, 10, needs=Resources(cpu=2))
        waiting = manager.submit(double, 1, needs=Resources(cpu=2), name="waiting")
        dependent = manager.submit(double, 1, after=[waiting])
        await asyncio.sleep(1)
        assert waiting.cancel()
        assert not waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        with pytest.raises(DependencyError, match="waiting"):
            await dependent
        assert waiting.cancelled()
        await blocker

    simulate(sim_loop, scenario)


def test_a_running_coroutine_may_clean_up_when_it_is_cancelled(sim_loop: SimLoop) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        cleaned = False

        async def work() -> None:
            nonlocal cleaned
            try:
                await asyncio.sleep(100)
            finally:
                await asyncio.sleep(1)
                cleaned = True

        handle = manager.submit(work)
        await asyncio.sleep(1)
        handle.cancel()
        with pytest.raises(asyncio.CancelledError):
            await handle
        assert cleaned

    simulate(sim_loop, scenario)
    assert sim_loop.time() == pytest.approx(2.0)


def test_cancelling_who_awaits_a_handle_cancels_the_work(sim_loop: SimLoop) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        handle = manager.submit(asyncio.sleep, 100)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await handle
        assert handle.cancelled()
        shielded = manager.submit(double, 4)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(manager.submit(asyncio.sleep, 100), 1)
        assert await shielded == 8

    simulate(sim_loop, scenario)
    assert sim_loop.time() == pytest.approx(2.0)


def test_a_task_cancelled_before_its_first_step_gives_its_slot_back(sim_loop: SimLoop) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        handle = manager.submit(asyncio.sleep, 100, needs=Resources(cpu=2))
        await asyncio.sleep(0)  # started now, but its coroutine has not had a step
        handle.cancel()
        assert await manager.submit(double, 3, needs=Resources(cpu=2)) == 6
        assert manager.snapshot().resources["cpu"].held == 0

    simulate(sim_loop, scenario)


def test_a_task_that_misses_its_deadline_ends_with_a_timeout(sim_loop: SimLoop) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        ran = False

        async def note() -> None:
            nonlocal ran
            ran = True

        running = manager.submit(asyncio.sleep, 100, needs=Resources(cpu=2), deadline=3.0, name="running")
        await asyncio.sleep(0)  # of two that wait, the one with the earlier deadline would go first
        waiting = manager.submit(note, needs=Resources(cpu=2), deadline=2.0, name="waiting")
        with pytest.raises(TimeoutError) as caught:
            await waiting
        assert isinstance(caught.value, TaskTimeoutError)
        assert caught.value.task == "waiting"
        assert sim_loop.time() == pytest.approx(2.0)
        with pytest.raises(TaskError, match="running") as late:
            await running
        assert isinstance(late.value, TimeoutError)
        assert sim_loop.time() == pytest.approx(3.0)
        assert not ran

    simulate(sim_loop, scenario)


def test_a_task_that_cannot_make_its_deadline_is_never_started(sim_loop: SimLoop) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        runs = 0

        async def takes_ten() -> None:
            nonlocal runs
            runs += 1
            await asyncio.sleep(10)

        for _ in range(5):
            await manager.submit(takes_ten, deadline=60.0)
        with pytest.raises(TimeoutError, match="usually takes 10 s"):
            await manager.submit(takes_ten, deadline=5.0)
        assert runs == 5

    simulate(sim_loop, scenario)


def test_a_function_that_outlives_its_deadline_by_ignoring_cancellation_still_fails(sim_loop: SimLoop) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        async def stubborn() -> str:
            try:
                await asyncio.sleep(100)
            except asyncio.CancelledError:
                await asyncio.sleep(1)
            return "too late"

        with pytest.raises(TaskTimeoutError):
            await manager.submit(stubborn, deadline=1.0)

    simulate(sim_loop, scenario)


def test_a_retry_counts_the_first_try_and_waits_in_between(sim_loop: SimLoop) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        tries: list[float] = []

        async def flaky() -> str:
            tries.append(sim_loop.time())
            if len(tries) < 3:
                message = "not yet"
                raise ConnectionError(message)
            return "done"

        assert await manager.submit(flaky, retry=Retry(attempts=3, backoff=1.0)) == "done"
        assert len(tries) == 3
        assert tries[0] < tries[1] < tries[2]
        tries.clear()
        with pytest.raises(ConnectionError):
            await manager.submit(flaky, retry=Retry(attempts=2))
        assert len(tries) == 2
        tries.clear()
        with pytest.raises(ConnectionError):
            await manager.submit(flaky, retry=Retry(attempts=9, on=(ValueError,)))
        assert len(tries) == 1

    simulate(sim_loop, scenario)


def test_a_task_between_two_tries_can_be_cancelled(sim_loop: SimLoop) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        handle = manager.submit(fail, "again", retry=Retry(attempts=5, backoff=1000.0))
        await asyncio.sleep(0.01)
        assert "next try" in handle.explain().reason
        handle.cancel()
        with pytest.raises(asyncio.CancelledError):
            await handle

    simulate(sim_loop, scenario)
    assert sim_loop.time() < 1


def test_pipelines_share_by_weight(sim_loop: SimLoop) -> None:
    async def scenario(manager: ConcurrencyManager) -> dict[str, int]:
        manager.orchestrator.configure_pipeline("heavy", weight=3.0)
        done = {"heavy": 0, "light": 0}

        async def work(name: str) -> None:
            await asyncio.sleep(1)
            done[name] += 1

        handles = [
            manager.submit(work, name, pipeline=name, needs=Resources(cpu=1)) for _ in range(400) for name in done
        ]
        await asyncio.sleep(100.5)
        counts = dict(done)
        for handle in handles:
            handle.cancel()
        return counts

    done = simulate(sim_loop, scenario, cpu=4)
    assert done["heavy"] / done["light"] == pytest.approx(3.0, rel=0.1)


def test_a_permit_holds_bytes_while_it_is_open_and_waits_its_turn(sim_loop: SimLoop) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        order: list[str] = []

        async def hold(name: str, size: int) -> None:
            async with manager.orchestrator.permit(Resources(memory=size), name=name):
                order.append(name)
                assert manager.snapshot().resources["memory"].held <= 100
                await asyncio.sleep(1)

        async with asyncio.TaskGroup() as tasks:
            for name, size in (("a", 60), ("b", 60), ("c", 30)):
                tasks.create_task(hold(name, size))
        assert set(order) == {"a", "b", "c"}
        assert manager.snapshot().resources["memory"].held == 0
        with pytest.raises(RejectedError, match="101"):
            manager.orchestrator.permit(Resources(memory=101))

    simulate(sim_loop, scenario)


def test_a_permit_that_is_cancelled_in_any_moment_gives_everything_back(sim_loop: SimLoop) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        async def hold() -> None:
            async with manager.orchestrator.permit(Resources(memory=60)):
                await asyncio.sleep(1)

        for turns in range(12):
            tasks = [asyncio.create_task(hold()) for _ in range(3)]
            for _ in range(turns):
                await asyncio.sleep(0)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            await asyncio.sleep(0)
            assert manager.snapshot().resources["memory"].held == 0, turns
            assert manager.snapshot().queued == 0

    simulate(sim_loop, scenario)


def test_leaving_normally_waits_for_everything_that_was_submitted(sim_loop: SimLoop) -> None:
    done: list[int] = []

    async def scenario(manager: ConcurrencyManager) -> None:
        async def work(number: int) -> None:
            await asyncio.sleep(number)
            done.append(number)
            if number == 2:
                manager.submit(work, 3)  # a task may submit more while the engine waits for it

        manager.submit(work, 1)
        manager.submit(work, 2)

    simulate(sim_loop, scenario)
    assert done == [1, 2, 3]


def test_leaving_by_an_exception_cancels_everything(sim_loop: SimLoop) -> None:
    handles = []

    async def scenario(manager: ConcurrencyManager) -> None:
        handles.append(manager.submit(asyncio.sleep, 1000))
        handles.append(manager.submit(double, 1, after=handles[:1]))
        await asyncio.sleep(1)
        message = "stop"
        raise RuntimeError(message)

    with pytest.raises(RuntimeError, match="stop"):
        simulate(sim_loop, scenario)
    assert handles[0].cancelled()
    assert handles[1].done()
    assert sim_loop.time() < 3


def test_an_engine_that_is_closed_refuses_new_tasks(sim_loop: SimLoop) -> None:
    async def main() -> None:
        async with ConcurrencyManager(clock=sim_loop.clock, cpu=1, memory=1) as manager:
            pass
        with pytest.raises(RejectedError, match="closing"):
            manager.submit(double, 1)
        with pytest.raises(ConfigError, match="once"):
            await manager.__aenter__()

    sim_loop.run_until_complete(main())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cpu": 0}, "cpu"),
        ({"cpu": -1}, "cpu"),
        ({"memory": 0}, "memory"),
        ({"cpu": float("nan")}, "cpu"),
    ],
)
def test_an_engine_without_capacity_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ConcurrencyManager(**options)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"on": "moon"}, ConfigError, "on must be one of"),
        ({"on": "process"}, ConfigError, "runs on the loop"),
        ({"priority": "urgent"}, ConfigError, "priority must be one of"),
        ({"priority": 17}, ConfigError, "priority must be one of"),
        ({"needs": Resources(cpu=3)}, RejectedError, "needs 3 CPU slots but the whole engine has 2"),
        ({"needs": Resources(memory=101)}, RejectedError, "needs 101 bytes"),
        ({"needs": Resources(other={"gpu": 1})}, ConfigError, "'gpu'"),
        ({"deadline": float("nan")}, ConfigError, "deadline"),
        ({"after": ["x"]}, ConfigError, "got str"),
        ({"worker": "own"}, ConfigError, 'needs on="process"'),
    ],
)
def test_impossible_arguments_are_refused_at_submit(
    sim_loop: SimLoop, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        with pytest.raises(error, match=message):
            manager.submit(double, 1, **options)
        assert manager.snapshot().queued == 0

    simulate(sim_loop, scenario)


def test_a_handle_of_another_engine_cannot_be_waited_for(sim_loop: SimLoop) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        async with ConcurrencyManager(clock=sim_loop.clock, cpu=1, memory=1) as other:
            foreign = other.submit(double, 1)
            with pytest.raises(ConfigError, match="another engine"):
                manager.submit(double, 1, after=[foreign])
            await foreign

    simulate(sim_loop, scenario)


def test_every_task_sees_the_context_of_who_submitted_it(sim_loop: SimLoop) -> None:
    who: contextvars.ContextVar[str] = contextvars.ContextVar("who")

    async def scenario(manager: ConcurrencyManager) -> list[str]:
        async def read() -> str:
            return who.get()

        handles = []
        for name in ("ann", "bob"):
            who.set(name)
            handles.append(manager.submit(read))
        who.set("nobody")
        return [await handle for handle in handles]

    assert simulate(sim_loop, scenario) == ["ann", "bob"]


def test_a_snapshot_counts_what_runs_and_what_waits(sim_loop: SimLoop) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        for _ in range(5):
            manager.submit(asyncio.sleep, 1, needs=Resources(cpu=1), pipeline="p")
        first = manager.snapshot()
        assert (first.running, first.queued) == (0, 5)
        await asyncio.sleep(0.5)
        second = manager.snapshot()
        assert (second.running, second.queued) == (2, 3)
        assert second.pipelines["p"].running == 2
        assert second.resources["cpu"].held == 2

    simulate(sim_loop, scenario)


def test_who_has_used_a_rate_up_holds_nothing_of_it(sim_loop: SimLoop) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        manager.orchestrator.register_rate("calls", per_second=0.001, burst=1)
        manager.submit(asyncio.sleep, 100, name="caller", needs=Resources(other={"calls": 1}))
        manager.submit(asyncio.sleep, 100, name="computes", needs=Resources(cpu=2))
        await asyncio.sleep(20)
        both = manager.submit(asyncio.sleep, 1, needs=Resources(cpu=1, other={"calls": 1}))
        await asyncio.sleep(0)
        assert both.explain().reason.endswith("; held for long by 'computes' (20 s)")

    simulate(sim_loop, scenario)


def test_explain_names_who_has_held_for_long_what_a_task_lacks(sim_loop: SimLoop) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        async def holds(seconds: float) -> None:
            async with manager.orchestrator.permit(Resources(memory=1)):
                await asyncio.sleep(seconds)

        tasks = [manager.submit(asyncio.sleep, 100, name="first", needs=Resources(cpu=1))]
        tasks.append(manager.submit(holds, 100, name="other"))
        await asyncio.sleep(5)
        tasks.append(manager.submit(asyncio.sleep, 100, name="second", needs=Resources(cpu=1)))
        await asyncio.sleep(4)
        third = manager.submit(asyncio.sleep, 1, name="third", needs=Resources(cpu=2))
        large = manager.submit(asyncio.sleep, 1, name="large", needs=Resources(memory=100))
        await asyncio.sleep(0)
        assert "held" not in third.explain().reason, "that is how it goes"
        await asyncio.sleep(3)
        assert third.explain().reason.endswith("; held for long by 'first' (12 s)")
        assert large.explain().reason.endswith("; held for long by 'other' (12 s)")
        await asyncio.sleep(3)
        assert third.explain().reason.endswith("; held for long by 'first' (15 s), 'second' (10 s)")
        many = [
            manager.submit(asyncio.sleep, 100, name=f"page {n}", needs=Resources(other={"pages": 1})) for n in range(7)
        ]
        await asyncio.sleep(20)
        page = manager.submit(asyncio.sleep, 1, needs=Resources(other={"pages": 1}))
        await asyncio.sleep(0)
        assert page.explain().reason.endswith("'page 3' (20 s), 'page 4' (20 s) and 2 more")
        for handle in (*tasks, *many, third, large, page):
            handle.cancel()

    async def main(manager: ConcurrencyManager) -> None:
        manager.orchestrator.register_resource("pages", 7)
        await scenario(manager)

    simulate(sim_loop, main)


def test_explain_says_what_holds_a_task_back(sim_loop: SimLoop) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        first = manager.submit(asyncio.sleep, 1, needs=Resources(cpu=2), name="first")
        second = manager.submit(double, 1, needs=Resources(cpu=2), name="second")
        third = manager.submit(double, 1, needs=Resources(cpu=2), name="third")
        fourth = manager.submit(double, 1, after=[third])
        await asyncio.sleep(0.1)
        assert first.explain().state == "running"
        assert "waits for cpu" in second.explain().reason
        assert "1 task of pipeline" in third.explain().reason
        assert "1 unfinished" in fourth.explain().reason
        await fourth
        assert fourth.explain().state == "done"
        assert "'fourth'" not in str(fourth.explain())
        assert "'double'" in str(fourth.explain())

    simulate(sim_loop, scenario)


def test_failures_that_nobody_awaited_are_logged_once(sim_loop: SimLoop, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        manager.submit(fail, "unheard", name="lonely")
        seen = manager.submit(fail, "heard")
        with pytest.raises(ValueError, match="heard"):
            await seen

    simulate(sim_loop, scenario)
    assert [record.name for record in caplog.records] == ["tenire.tasks"]
    assert "lonely: ValueError: unheard" in caplog.text
    assert "1 task(s) failed" in caplog.text


def test_of_very_many_failures_those_that_somebody_awaits_are_not_said_to_be_unheard(
    sim_loop: SimLoop, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        handles = [manager.submit(fail, "heard", name=str(number)) for number in range(1200)]
        await asyncio.sleep(1)
        for handle in handles[:-3]:
            for _ in range(2):
                assert isinstance(handle.exception(), ValueError)

    simulate(sim_loop, scenario)
    assert "3 task(s) failed and nobody awaited them" in caplog.text


def test_an_exception_that_cannot_be_turned_into_text_does_not_keep_the_engine_from_closing(
    sim_loop: SimLoop, caplog: pytest.LogCaptureFixture
) -> None:
    class MuteError(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no words")

    async def scenario(manager: ConcurrencyManager) -> str:
        async def mute() -> None:
            raise MuteError

        handle = manager.submit(mute)
        await asyncio.sleep(1)
        return handle.explain().reason

    assert simulate(sim_loop, scenario) == "MuteError, which cannot be turned into text"
    assert "mute: MuteError: MuteError, which cannot be turned into text" in caplog.text


def test_done_callbacks_run_on_the_loop_also_if_the_task_has_ended(sim_loop: SimLoop) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        called = []
        handle = manager.submit(double, 1)
        handle.add_done_callback(called.append)
        await handle
        handle.add_done_callback(called.append)
        await asyncio.sleep(0)
        assert called == [handle, handle]

    simulate(sim_loop, scenario)


def test_equal_seeds_give_equal_runs() -> None:
    from tenire.testing import SimLoop

    def trace(seed: int) -> list[tuple[float, int]]:
        events: list[tuple[float, int]] = []
        with SimLoop(seed) as loop:

            async def scenario(manager: ConcurrencyManager) -> None:
                async def work(number: int) -> None:
                    await asyncio.sleep(number % 3)
                    events.append((loop.time(), number))
                    if number % 5 == 0 and len(events) < 200:
                        message = "again"
                        raise OSError(message)

                handles = [
                    manager.submit(
                        work, n, needs=Resources(cpu=1), priority=n % 5, retry=Retry(attempts=3), pipeline="ab"[n % 2]
                    )
                    for n in range(40)
                ]
                for handle in handles:
                    with contextlib.suppress(OSError):
                        await handle

            simulate(loop, scenario)
        return events

    assert trace(7) == trace(7)


def test_an_engine_in_a_thread_serves_scripts() -> None:
    with ConcurrencyManager.in_thread(cpu=1, memory=1000) as manager:
        assert manager.submit(double, 4).result(timeout=5) == 8
        assert manager.submit(len, "four").result(timeout=5) == 4
        with pytest.raises(ValueError, match="no"):
            manager.submit(fail, "no").result(timeout=5)
        slow = manager.submit(asyncio.sleep, 60)
        with pytest.raises(TimeoutError, match="has not ended"):
            slow.result(timeout=0.01)
        assert manager.loops.call(lambda: slow.callbacks) == [], "who looks again and again leaves nothing behind"
        slow.cancel()
        with pytest.raises(asyncio.CancelledError):
            slow.result(timeout=5)
    assert threading.active_count() >= 1


def test_an_engine_in_a_thread_is_cancelled_by_an_exception() -> None:
    def scenario() -> None:
        with ConcurrencyManager.in_thread(cpu=1, memory=1000) as manager:
            handles.append(manager.submit(asyncio.sleep, 60))
            message = "stop"
            raise RuntimeError(message)

    handles: list[Any] = []
    with pytest.raises(RuntimeError, match="stop"):
        scenario()
    assert handles[0].cancelled()


def test_waiting_for_a_result_on_the_loops_own_thread_is_refused() -> None:
    with ConcurrencyManager.in_thread(cpu=1, memory=1000) as manager:

        async def ask() -> None:
            handle = manager.submit(asyncio.sleep, 0)
            with pytest.raises(RuntimeError, match="await handle"):
                handle.result()
            await handle

        manager.submit(ask).result(timeout=5)


def test_a_handle_can_be_awaited_on_another_loop() -> None:
    async def elsewhere(handle: Any) -> Any:
        return await handle

    with ConcurrencyManager.in_thread(cpu=1, memory=1000) as manager:
        assert asyncio.run(elsewhere(manager.submit(double, 5))) == 10


def test_any_thread_may_submit(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> list[int]:
        async with ConcurrencyManager(cpu=1, memory=1000) as manager:
            handles: list[Any] = []

            def from_thread() -> None:
                handles.extend(manager.submit(double, number) for number in range(100))

            await manager.submit(from_thread)
            return [await handle for handle in handles]

    assert asyncio.run(scenario()) == [2 * number for number in range(100)]
    assert not caplog.records


def test_other_threads_look_and_change_where_the_engine_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def watched(fn: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *args: (seen.append(threading.get_ident()), fn(*args))[1]

    monkeypatch.setattr(orchestrator, "why", watched(orchestrator.why))
    with ConcurrencyManager.in_thread(cpu=1, memory=100, adaptive=False) as manager:
        monkeypatch.setattr(Admission, "register", watched(Admission.register))
        manager.orchestrator.register_rate("calls", 1e-9, 1)
        manager.orchestrator.register_resource("scanner", 0)
        manager.orchestrator.register_resource("scanner", 1)
        one_call = Resources(other={"calls": 1})
        assert manager.submit(double, 1, needs=one_call).result(timeout=60) == 2
        waiting = manager.submit(double, 1, needs=one_call)
        assert waiting.explain().gate == "quota"
        waiting.cancel()
        assert set(seen) == {manager.orchestrator.thread}
        assert len(seen) == 4
    assert waiting.explain().state == "cancelled"  # also of an engine that has ended


def test_a_plain_function_can_run_on_the_loop_itself(sim_loop: SimLoop) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        assert await manager.submit(threading.get_ident, on="loop") == threading.get_ident()
        assert await manager.submit(lambda: double(4), on="loop") == 8

    simulate(sim_loop, scenario)


def test_an_engine_that_has_not_started_says_how_to_start_it() -> None:
    with pytest.raises(RejectedError, match="async with"):
        ConcurrencyManager(cpu=1, memory=1).submit(double, 1)


def test_a_permit_is_opened_once_at_a_time_and_again_after_it_was_closed(sim_loop: SimLoop) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        permit = manager.orchestrator.permit(Resources(memory=60))
        for _ in range(2):
            async with permit:
                snapshot = manager.snapshot()
                assert snapshot.resources["memory"].held == 60
                assert (snapshot.running, snapshot.pipelines["default"].running) == (0, 0)  # a permit is no task
                with pytest.raises(ConfigError, match="open already"):
                    await permit.__aenter__()
            assert manager.snapshot().resources["memory"].held == 0

    simulate(sim_loop, scenario)


def test_a_coroutine_that_goes_on_after_its_deadline_ends_its_handle_all_the_same(sim_loop: SimLoop) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        async def deaf() -> None:
            for _ in range(5):
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.sleep(10)

        with pytest.raises(TaskTimeoutError):
            await manager.submit(deaf, deadline=1.0, needs=Resources(cpu=1))
        assert sim_loop.time() < 3
        assert manager.snapshot().resources["cpu"].held == 1  # it still runs, and still holds
        await asyncio.sleep(60)
        assert manager.snapshot().resources["cpu"].held == 0

    simulate(sim_loop, scenario)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Retry(on="x"), "exception class"),  # type: ignore[arg-type]
        (lambda: Retry(attempts=2.5), "whole number"),  # type: ignore[arg-type]
        (lambda: Resources(cpu="1"), "must be a number"),  # type: ignore[arg-type]
    ],
)
def test_options_of_a_wrong_type_are_refused_where_they_are_made(build: Callable[[], object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build()


def test_a_single_exception_class_is_enough_for_a_retry(sim_loop: SimLoop) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        with pytest.raises(ValueError, match="again"):
            await manager.submit(fail, "again", retry=Retry(attempts=2, backoff=0.0, on=ValueError))

    simulate(sim_loop, scenario)


@pytest.mark.parametrize(
    ("fn", "options", "message"),
    [
        (None, {}, "expected a function"),
        (3, {}, "expected a function"),
        (double, {"needs": {"cpu": 1}}, "needs must be"),
        (double, {"deadline": "5"}, "deadline must be"),
        (double, {"retry": 3}, "retry must be"),
    ],
)
def test_arguments_of_a_wrong_type_are_refused_at_submit(
    sim_loop: SimLoop, fn: Any, options: dict[str, Any], message: str
) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        with pytest.raises(ConfigError, match=message):
            manager.submit(fn, **options)
        handle = manager.submit(double, 1, deadline=1e300)
        with pytest.raises(ConfigError, match="got one handle"):
            manager.submit(double, 1, after=handle)  # type: ignore[arg-type]
        assert await handle == 2

    simulate(sim_loop, scenario)


def test_small_needs_do_not_make_a_thousand_threads() -> None:
    async def scenario() -> None:
        async with ConcurrencyManager(cpu=1, memory=1000) as manager:
            for handle in [manager.submit(threading.get_ident, needs=Resources(memory=1)) for _ in range(100)]:
                await handle
            assert manager.thread_pool.statistics().threads <= 8

    asyncio.run(scenario())


def test_a_task_in_its_first_step_counts_as_running(sim_loop: SimLoop) -> None:
    async def scenario(manager: ConcurrencyManager) -> list[int]:
        async def look() -> int:
            seen = manager.snapshot().running
            await asyncio.sleep(1)
            return seen

        handles = [manager.submit(look) for _ in range(3)]
        return [await handle for handle in handles]

    assert simulate(sim_loop, scenario) == [3, 3, 3]


def test_leaving_by_an_exception_cancels_what_waited_for_a_task_that_has_just_ended(sim_loop: SimLoop) -> None:
    ran = False

    async def scenario(manager: ConcurrencyManager) -> None:
        async def late() -> None:
            nonlocal ran
            ran = True

        first = manager.submit(double, 1)
        manager.submit(late, after=[first])
        await first
        raise RuntimeError

    with pytest.raises(RuntimeError):
        simulate(sim_loop, scenario)
    assert not ran


def test_tasks_with_different_needs_start_in_the_order_in_which_they_came(sim_loop: SimLoop) -> None:
    async def scenario(manager: ConcurrencyManager) -> list[int]:
        order: list[int] = []

        async def note(number: int) -> None:
            order.append(number)

        kinds = [Resources(memory=1), Resources(cpu=0.1), Resources(memory=1)]
        for handle in [manager.submit(note, number, needs=kinds[number % 3]) for number in range(6)]:
            await handle
        return order

    assert simulate(sim_loop, scenario) == list(range(6))


def test_normal_work_makes_lower_work_that_it_waits_for_normal(sim_loop: SimLoop) -> None:
    async def scenario(manager: ConcurrencyManager) -> list[str]:
        order: list[str] = []

        async def note(name: str) -> None:
            order.append(name)

        blocker = manager.submit(asyncio.sleep, 1, needs=Resources(cpu=2))
        await asyncio.sleep(0)
        slots = Resources(cpu=2)
        base = manager.submit(note, "idle", needs=slots, priority=Priority.IDLE)
        low = [manager.submit(note, "low", needs=slots, priority=Priority.LOW) for _ in range(2)]
        normal = manager.submit(note, "normal", needs=slots, after=[base])
        for handle in (blocker, base, normal, *low):
            await handle
        return order

    assert simulate(sim_loop, scenario) == ["idle", "normal", "low", "low"]
