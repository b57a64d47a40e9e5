"""Permits inside running tasks: order of asking, precedence, and no way to a deadlock."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from tenire import ConcurrencyManager, ConfigError, Priority, Resources
from tenire.errors import DeadlockError, RejectedError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tenire.testing import SimLoop


def simulate(
    loop: SimLoop, scenario: Callable[[ConcurrencyManager], Awaitable[Any]], *, cpu: float = 2, memory: int = 100
) -> Any:
    async def main() -> Any:
        async with ConcurrencyManager(cpu=cpu, memory=memory, seed=0, clock=loop.clock) as manager:
            outcome = await scenario(manager)
        admission = manager.orchestrator.scheduler.admission
        left = {name for index, name in enumerate(admission.names) if index not in admission.rates}
        held = admission.held()
        assert all(not held[name][0] for name in left), "something was not given back"
        assert not manager.orchestrator.permits
        return outcome

    return loop.run_until_complete(main())


def held(manager: ConcurrencyManager, name: str) -> float:
    return manager.snapshot().resources[name].held


def test_a_running_task_gets_its_permit_before_tasks_that_have_not_started(sim_loop: SimLoop) -> None:
    async def scenario(manager: ConcurrencyManager) -> list[str]:
        order: list[str] = []

        async def small(name: str) -> None:
            order.append(name)
            await asyncio.sleep(1)

        async def asks() -> None:
            async with manager.orchestrator.permit(Resources(memory=60), name="asks"):
                order.append("permit")

        first = manager.submit(small, "first", needs=Resources(memory=100))
        await asyncio.sleep(0)
        later = [manager.submit(small, f"later {n}", needs=Resources(memory=60)) for n in range(3)]
        asking = manager.submit(asks)
        for handle in (first, asking, *later):
            await handle
        return order

    assert simulate(sim_loop, scenario) == ["first", "permit", "later 0", "later 1", "later 2"]


def test_a_holder_gets_more_of_the_same_although_it_is_kept_for_a_task_that_has_not_started(sim_loop: SimLoop) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        async def holds() -> float:
            await asyncio.sleep(1)
            async with manager.orchestrator.permit(Resources(memory=30)):
                return held(manager, "memory")

        holder = manager.submit(holds, needs=Resources(memory=50))
        big = manager.submit(asyncio.sleep, 0, needs=Resources(memory=60), priority=Priority.CRITICAL)
        assert await holder == 80
        await big

    simulate(sim_loop, scenario)


def test_a_holder_that_would_have_to_wait_for_more_of_the_same_is_refused_at_once(sim_loop: SimLoop) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        async def holds() -> None:
            await asyncio.sleep(1)
            with pytest.raises(RejectedError, match=r"60 bytes of memory.*free: 50 bytes") as refused:
                async with manager.orchestrator.permit(Resources(memory=60)):
                    pass
            assert "for ever" in str(refused.value)
            assert sim_loop.time() == pytest.approx(1.0)

        await manager.submit(holds, needs=Resources(memory=50))

    simulate(sim_loop, scenario)


def test_two_holders_of_bytes_that_ask_for_cpu_in_order_both_get_it(sim_loop: SimLoop) -> None:
    async def scenario(manager: ConcurrencyManager) -> float:
        async def step() -> None:
            async with (
                manager.orchestrator.permit(Resources(memory=50)),
                manager.orchestrator.permit(Resources(cpu=2)),
            ):
                await asyncio.sleep(1)

        handles = [manager.submit(step) for _ in range(5)]
        for handle in handles:
            await handle
        return sim_loop.time()

    assert simulate(sim_loop, scenario) == pytest.approx(5.0)


def test_asking_for_bytes_while_holding_cpu_is_against_the_order(sim_loop: SimLoop) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        async def step() -> str:
            await asyncio.sleep(0.5)
            async with manager.orchestrator.permit(Resources(cpu=1)):
                try:
                    async with manager.orchestrator.permit(Resources(memory=50)):
                        return "granted"
                except RejectedError:
                    return "refused"

        assert await manager.submit(step) == "granted"  # it was free: that is no waiting
        hog = manager.submit(asyncio.sleep, 2, needs=Resources(memory=100))
        assert await manager.submit(step) == "refused"
        await hog

    simulate(sim_loop, scenario)


def test_children_of_a_task_ask_on_its_behalf(sim_loop: SimLoop) -> None:
    # Two tasks that each hold half, and wait for children that want more: without this
    # both would wait for ever.
    async def scenario(manager: ConcurrencyManager) -> list[str]:
        async def child() -> str:
            try:
                async with manager.orchestrator.permit(Resources(memory=30)):
                    await asyncio.sleep(1)
                    return "granted"
            except RejectedError:
                return "refused"

        async def parent() -> list[str]:
            async with asyncio.TaskGroup() as group:
                children = [group.create_task(child()) for _ in range(2)]
            return [each.result() for each in children]

        parents = [manager.submit(parent, needs=Resources(memory=50)) for _ in range(2)]
        return [outcome for handle in parents for outcome in await handle]

    assert simulate(sim_loop, scenario) == ["refused"] * 4


def test_permits_of_coroutines_outside_the_engine_keep_the_order_too(sim_loop: SimLoop) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        async with manager.orchestrator.permit(Resources(memory=60)):
            with pytest.raises(RejectedError):
                async with manager.orchestrator.permit(Resources(memory=60)):
                    pass
            async with manager.orchestrator.permit(Resources(cpu=1)):
                assert (held(manager, "memory"), held(manager, "cpu")) == (60, 1)
        async with manager.orchestrator.permit(Resources(memory=60)):
            pass  # the first one is forgotten

    simulate(sim_loop, scenario)


def test_endless_permits_of_tasks_that_hold_nothing_do_not_starve_starts(sim_loop: SimLoop) -> None:
    async def scenario(manager: ConcurrencyManager) -> float:
        stop = False

        async def asks() -> None:
            async with manager.orchestrator.permit(Resources(cpu=1)):
                await asyncio.sleep(1)

        async def keep_asking() -> None:
            while not stop:
                await manager.submit(asks)

        streams = [asyncio.create_task(keep_asking()) for _ in range(10)]
        await asyncio.sleep(5)
        task = manager.submit(asyncio.sleep, 0, needs=Resources(cpu=1), pipeline="other")
        began = sim_loop.time()
        await task
        waited = sim_loop.time() - began
        stop = True
        for stream in streams:
            await stream
        return waited

    assert simulate(sim_loop, scenario) <= 8


# -- waiting for tasks ---------------------------------------------------------


async def _waits(handle: Any) -> Any:
    return await handle


async def _gathers(*handles: Any) -> None:
    await asyncio.gather(*handles)  # noqa: TID251 - users do so


async def _gathers_shields(*handles: Any) -> None:
    await asyncio.gather(*map(asyncio.shield, handles))  # noqa: TID251 - users do so


async def _nests(*handles: Any) -> None:
    await asyncio.gather(_gathers(*handles))  # noqa: TID251 - users do so


async def _waits_for_all(*handles: Any) -> None:
    done, _ = await asyncio.wait([asyncio.create_task(_waits(handle)) for handle in handles])
    for one in done:
        one.result()


async def _takes_as_completed(*handles: Any) -> None:
    for one in asyncio.as_completed(handles):
        await one


async def _groups(*handles: Any) -> None:
    async with asyncio.TaskGroup() as group:
        for handle in handles:
            group.create_task(_waits(handle))


WAYS = [_waits, _gathers, _gathers_shields, asyncio.shield, _nests, _waits_for_all, _takes_as_completed, _groups]


@pytest.mark.parametrize("wait_for", WAYS)
def test_a_task_that_waits_for_one_that_needs_what_it_holds_is_told_so(sim_loop: SimLoop, wait_for: Any) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        async def outer() -> None:
            await wait_for(manager.submit(asyncio.sleep, 1, needs=Resources(cpu=1), name="inner"))

        outers = [manager.submit(outer, needs=Resources(cpu=1), name="outer") for _ in range(2)]
        errors = []
        for handle in outers:
            try:
                await handle
            except (DeadlockError, ExceptionGroup) as error:
                errors.append(error.exceptions[0] if isinstance(error, ExceptionGroup) else error)
        assert len(errors) == 1, "the other one can go on then"
        assert isinstance(errors[0], DeadlockError)
        assert "'outer' would wait for ever for 'inner'" in str(errors[0])
        assert "1 CPU slot" in str(errors[0])

    simulate(sim_loop, scenario)


def test_a_task_that_waits_in_a_thread_of_its_own_is_told_so_too() -> None:
    with ConcurrencyManager.in_thread(cpu=1) as manager:

        async def outer() -> None:
            inner = manager.submit(asyncio.sleep, 0, needs=Resources(cpu=1), name="inner")
            await asyncio.to_thread(inner.result)

        with pytest.raises(DeadlockError, match="'outer' would wait for ever for 'inner'"):
            manager.submit(outer, needs=Resources(cpu=1), name="outer").result(timeout=30)


def test_a_full_thread_pool_that_waits_for_itself_is_told_so() -> None:
    async def main() -> None:
        async with ConcurrencyManager(cpu=2, memory=1 << 20) as manager:
            started = asyncio.Semaphore(0)
            loop = asyncio.get_running_loop()
            gate = asyncio.Event()

            def outer() -> str:
                loop.call_soon_threadsafe(started.release)
                asyncio.run_coroutine_threadsafe(gate.wait(), loop).result(10)
                try:
                    manager.submit(str, 1).result(10)
                except DeadlockError:
                    return "refused"
                return "done"

            slots = int(manager.snapshot().resources["threads"].capacity)
            handles = [manager.submit(outer) for _ in range(slots)]
            for _ in range(slots):
                await started.acquire()
            gate.set()
            outcomes = [await handle for handle in handles]
            assert "refused" in outcomes
            assert set(outcomes) <= {"refused", "done"}

    asyncio.run(main())


def test_a_task_waits_for_itself_or_two_for_each_other_only_until_they_are_told(sim_loop: SimLoop) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        handles: list[Any] = []

        async def waits_for(number: int) -> None:
            await asyncio.sleep(1)
            await handles[number]

        handles.append(manager.submit(waits_for, 0, name="alone"))
        with pytest.raises(DeadlockError, match="waits for itself"):
            await handles[0]
        handles.append(manager.submit(waits_for, 2, name="one"))
        handles.append(manager.submit(waits_for, 1, name="other"))
        for handle in handles[1:]:
            with pytest.raises(DeadlockError, match="would wait for ever"):
                await handle

    simulate(sim_loop, scenario)


def test_what_a_holder_waits_for_goes_before_what_is_kept_for_others(sim_loop: SimLoop) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        async def outer() -> float:
            await asyncio.sleep(1)
            await manager.submit(asyncio.sleep, 1, needs=Resources(memory=40), priority=Priority.IDLE)
            return sim_loop.time()

        holder = manager.submit(outer, needs=Resources(memory=50))
        await asyncio.sleep(0)
        everything = manager.submit(asyncio.sleep, 0, needs=Resources(memory=100), priority=Priority.CRITICAL)
        small = [manager.submit(asyncio.sleep, 3, needs=Resources(memory=10)) for _ in range(20)]
        assert await holder == pytest.approx(2.0)
        await everything
        for handle in small:
            await handle

    simulate(sim_loop, scenario)


def test_an_urgent_task_makes_what_it_waits_for_urgent(sim_loop: SimLoop) -> None:
    async def scenario(manager: ConcurrencyManager) -> list[str]:
        order: list[str] = []

        async def note(name: str) -> None:
            order.append(name)
            await asyncio.sleep(1)

        one = Resources(cpu=2)
        blocker = manager.submit(note, "blocker", needs=one)
        await asyncio.sleep(0)
        base = manager.submit(note, "base", needs=one, priority=Priority.IDLE)
        middle = manager.submit(note, "middle", needs=one, priority=Priority.LOW, after=[base])
        normal = [manager.submit(note, "normal", needs=one) for _ in range(3)]
        urgent = manager.submit(note, "urgent", needs=one, priority=Priority.CRITICAL, after=[middle])
        for handle in (blocker, base, middle, urgent, *normal):
            await handle
        return order

    assert simulate(sim_loop, scenario) == ["blocker", "base", "middle", "urgent", *["normal"] * 3]


def test_a_task_with_the_trigger_done_runs_however_those_before_it_end(sim_loop: SimLoop) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        async def fail() -> None:
            raise ValueError

        async def value() -> int:
            return 1

        failing = manager.submit(fail)
        skipped = manager.submit(value, after=[failing])
        cleanup = manager.submit(value, after=[failing, skipped], trigger="done")
        late = manager.submit(value, after=[cleanup, failing], trigger="done")
        assert await late == await cleanup == 1
        assert failing.exception() is not None
        assert skipped.exception() is not None

    simulate(sim_loop, scenario)


def test_a_rate_is_used_up_at_the_start_and_comes_back_with_time(sim_loop: SimLoop) -> None:
    async def scenario(manager: ConcurrencyManager) -> list[float]:
        manager.orchestrator.register_rate("calls", per_second=2.0, burst=4)
        times: list[float] = []

        async def call() -> None:
            times.append(round(sim_loop.time(), 3))

        handles = [manager.submit(call, needs=Resources(other={"calls": 1})) for _ in range(8)]
        await asyncio.sleep(0.1)
        told = handles[-1].explain()
        assert told.gate == "position"
        assert handles[4].explain().gate == "quota"
        assert "waits for calls for another 0.4 s" in handles[4].explain().reason
        for handle in handles:
            await handle
        return times

    assert simulate(sim_loop, scenario) == [0, 0, 0, 0, 0.5, 1.0, 1.5, 2.0]


def test_children_that_ask_side_by_side_wait_for_each_other(sim_loop: SimLoop) -> None:
    # What a sibling holds is no reason to refuse: it gives it back without them.
    async def scenario(manager: ConcurrencyManager) -> float:
        async def call() -> None:
            async with manager.orchestrator.permit(Resources(memory=40)):
                await asyncio.sleep(1)

        async def parent() -> None:
            async with asyncio.TaskGroup() as group:
                for _ in range(10):
                    group.create_task(call())

        await manager.submit(parent)
        return sim_loop.time()

    assert simulate(sim_loop, scenario) == pytest.approx(5.0)


def test_a_permit_cancelled_in_the_turn_in_which_it_is_granted_was_never_there(sim_loop: SimLoop) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        entered = False

        async def victim() -> None:
            nonlocal entered
            async with manager.orchestrator.permit(Resources(cpu=1)):
                entered = True

        task = asyncio.create_task(victim())

        async def murderer() -> None:
            task.cancel()

        hog = manager.submit(asyncio.sleep, 1, needs=Resources(cpu=2))
        await asyncio.sleep(0.5)
        killing = manager.submit(murderer, needs=Resources(cpu=1), priority=Priority.CRITICAL)
        await hog
        await killing
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not entered

    simulate(sim_loop, scenario)


def test_a_permit_is_not_judged_by_how_long_others_of_its_name_were_held(sim_loop: SimLoop) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        for _ in range(20):
            async with manager.orchestrator.permit(Resources(cpu=1)):
                await asyncio.sleep(5)
        async with manager.orchestrator.permit(Resources(cpu=1), deadline=1.0):
            pass

    simulate(sim_loop, scenario)


def test_permits_of_two_engines_keep_their_orders_apart_and_hide_no_circle(sim_loop: SimLoop) -> None:
    async def scenario(one: ConcurrencyManager) -> None:
        async with ConcurrencyManager(cpu=1, memory=100, seed=0, clock=sim_loop.clock) as other:

            async def asks_the_other() -> str:
                async with other.orchestrator.permit(Resources(memory=10)):
                    return "granted"

            async def hog() -> None:
                async with other.orchestrator.permit(Resources(memory=100)):
                    await asyncio.sleep(1)

            async def waits_for_itself() -> None:
                async with other.orchestrator.permit(Resources(memory=10)):
                    await one.submit(asyncio.sleep, 0, needs=Resources(cpu=2))

            hogging = asyncio.create_task(hog())
            await asyncio.sleep(0.1)
            assert await one.submit(asks_the_other, needs=Resources(cpu=1)) == "granted"
            with pytest.raises(DeadlockError):
                await one.submit(waits_for_itself, needs=Resources(cpu=2))
            await hogging

    simulate(sim_loop, scenario)


def test_a_permit_on_another_loop_is_refused_and_holds_nothing() -> None:
    async def ask(manager: ConcurrencyManager) -> None:
        async with manager.orchestrator.permit(Resources(cpu=1)):
            pass

    with ConcurrencyManager.in_thread(cpu=1, memory=1 << 20) as manager:
        with pytest.raises(ConfigError, match="another loop"):
            asyncio.run(ask(manager))
        assert manager.snapshot().resources["cpu"].held == 0


@pytest.mark.parametrize("asks_first", [True, False])
def test_a_task_that_holds_nothing_cannot_close_a_circle_with_one_that_waits_for_it(
    sim_loop: SimLoop, asks_first: bool
) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        async def asks() -> None:
            await asyncio.sleep(1)
            async with manager.orchestrator.permit(Resources(cpu=2)):
                pass

        asking = manager.submit(asks)

        async def awaits() -> None:
            await asyncio.sleep(2 if asks_first else 0)
            await asking

        outcomes = []
        for handle in (manager.submit(awaits, needs=Resources(cpu=1)), asking):
            try:
                outcomes.append(await handle)
            except DeadlockError:
                outcomes.append("told")
        assert "told" in outcomes

    simulate(sim_loop, scenario)


def test_coroutines_may_nest_in_permits_thousands_deep(sim_loop: SimLoop) -> None:
    async def scenario(manager: ConcurrencyManager) -> float:
        async def nest(depth: int) -> float:
            async with manager.orchestrator.permit(Resources(other={"calls": 1})):
                if depth:
                    return await asyncio.create_task(nest(depth - 1))
                return held(manager, "calls")

        manager.orchestrator.register_rate("calls", 1e-9, 5000)
        return await manager.submit(nest, 2000)

    assert simulate(sim_loop, scenario) == 2001


def test_a_permit_of_more_than_is_left_of_a_capacity_is_refused_when_it_is_opened(sim_loop: SimLoop) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        permit = manager.orchestrator.permit(Resources(memory=100), name="much")
        manager.orchestrator.register_resource("memory", 50)
        with pytest.raises(RejectedError, match="'much' needs 100 bytes of memory but the whole engine has 50"):
            async with permit:
                pass
        manager.orchestrator.register_resource("memory", 100)
        async with permit:
            assert held(manager, "memory") == 100

    simulate(sim_loop, scenario)


def test_a_running_task_says_what_it_waits_for(sim_loop: SimLoop) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        async def holds() -> None:
            async with manager.orchestrator.permit(Resources(memory=100)):
                await asyncio.sleep(1)

        async def asks() -> None:
            async with manager.orchestrator.permit(Resources(memory=60), name="bytes"):
                await inner

        holding, asking = manager.submit(holds), manager.submit(asks)
        inner = manager.submit(asyncio.sleep, 1, name="inner", after=[holding])
        await asyncio.sleep(0.5)
        told = asking.explain()
        assert (told.state, told.gate) == ("running", "resource")
        assert told.reason.endswith(
            "waits for the permit 'bytes': it is next in its pipeline and waits for memory "
            "(needs 60 bytes of memory, free 0 bytes of memory)"
        )
        await asyncio.sleep(0.7)
        told = asking.explain()
        assert (told.state, told.gate) == ("running", "none")
        assert told.reason.endswith("and waits for the task 'inner': it is running")
        await asking
        assert "waits" not in asking.explain().reason

    simulate(sim_loop, scenario)


def in_a_circle(loop: SimLoop, number: int, *, link: bool = False) -> str:
    """Have each of so many tasks wait for the next, and return what the last one is told, and its hint."""

    async def scenario(manager: ConcurrencyManager) -> str:
        handles: list[Any] = []

        async def waits(own: int) -> str:
            await asyncio.sleep(1 + own)
            aside = manager.submit(asyncio.sleep, 1, name="aside")
            try:
                await _gathers(aside, handles[(own + 1) % number])
            except DeadlockError as error:
                return f"{error} | {error.hint}"
            return ""

        tasks = [manager.submit(waits, own, name=f"t{own}") for own in range(number)]
        handles.extend(tasks)
        if link:
            handles[1] = manager.submit(asyncio.sleep, 0, name="link", after=[tasks[1]])
        return "".join([await handle for handle in tasks])

    return str(simulate(loop, scenario))


def test_a_circle_of_waiting_is_told_as_the_circle(sim_loop: SimLoop) -> None:
    hint = "have one of them end without waiting for the next"
    assert in_a_circle(sim_loop, 2) == f"task 't1' would wait for ever for 't0': t1 → t0 → t1 | {hint}"
    assert in_a_circle(sim_loop, 3) == f"task 't2' would wait for ever for 't0': t2 → t0 → t1 → t2 | {hint}"
    told = in_a_circle(sim_loop, 3, link=True)  # also where some wait by `after`
    assert told == f"task 't2' would wait for ever for 't0': t2 → t0 → link → t1 → t2 | {hint}"


def test_the_middle_of_a_long_circle_is_left_out(sim_loop: SimLoop) -> None:
    told = in_a_circle(sim_loop, 1_000)
    assert " t999 → t0 → t1 → " in told
    assert " → t7 → t8 → … (981 more) … → t990 → " in told
    assert " → t998 → t999 |" in told


@pytest.mark.parametrize("kind", ["after", "circle"])
def test_a_wait_that_could_never_end_is_told_by_what_stands_in_its_way(sim_loop: SimLoop, kind: str) -> None:
    async def scenario(manager: ConcurrencyManager) -> str:
        handles: list[Any] = []

        async def nothing() -> None:
            pass

        async def waits(number: int) -> str:
            if kind == "after":
                first = manager.submit(nothing, name="first", needs=Resources(cpu=2))
                target = manager.submit(nothing, name="last", after=[first])
            else:
                await asyncio.sleep(1)
                target = handles[1 - number]
            try:
                await target
            except DeadlockError as error:
                return str(error)
            return ""

        one_slot = Resources(cpu=1)
        handles += [manager.submit(waits, number, name=f"number {number}", needs=one_slot) for number in range(2)]
        return "".join([await handle for handle in handles])

    told = simulate(sim_loop, scenario)
    assert {
        "after": "waits for 'first': 'number 0' holds cpu until it ends",
        "circle": "for 'number 1': number 0 → number 1 → number 0",
    }[kind] in told


@pytest.mark.parametrize("permits", [True, False])
def test_a_suspended_pipeline_gets_no_permits_if_those_wait_too_and_it_holds_nothing(
    sim_loop: SimLoop, permits: bool
) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        orchestrator = manager.orchestrator
        granted: list[str] = []

        async def asks(name: str, pipeline: str = "p") -> None:
            async with orchestrator.permit(Resources(memory=60), name=name, pipeline=pipeline):
                granted.append(name)
                await asyncio.sleep(1)

        async def holds() -> None:
            async with orchestrator.permit(Resources(memory=10), name="first", pipeline="p"):
                await asyncio.sleep(0.5)
                async with orchestrator.permit(Resources(cpu=1), name="second", pipeline="p"):
                    granted.append("held")

        handles = [manager.submit(holds, pipeline="p")]
        handles += [manager.submit(asks, f"p{number}", pipeline="p") for number in range(3)]
        handles += [manager.submit(asks, "other", "other", pipeline="other")]
        await asyncio.sleep(0.1)
        orchestrator.suspend("p", "paused by hand", permits=permits)
        await asyncio.sleep(30)
        assert "held" in granted, "who holds something must be able to end"
        assert "other" in granted
        waiting = [name for name in ("p0", "p1", "p2") if name not in granted]
        assert len(waiting) >= 2 if permits else not waiting
        orchestrator.suspend("p", None)
        for handle in handles:
            await handle
        assert len(granted) == 5

    simulate(sim_loop, scenario, cpu=1)
