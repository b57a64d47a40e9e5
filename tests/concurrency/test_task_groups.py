"""Groups of tasks, on virtual time."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import TYPE_CHECKING, Any

import pytest

from tenire import ConcurrencyManager, ConfigError, DeadlockError, DependencyError, RejectedError, Resources
from tenire.testing import SimLoop, cancel_sweep

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Scenario = Callable[[ConcurrencyManager], Awaitable[Any]]


@pytest.fixture
def engine(sim_loop: SimLoop) -> Callable[[Scenario], Any]:
    def run(scenario: Scenario) -> Any:
        async def main() -> Any:
            async with ConcurrencyManager(clock=sim_loop.clock, cpu=2, memory=1) as manager:
                return await scenario(manager)

        return sim_loop.run_until_complete(main())

    return run


async def nap(seconds: float = 1.0) -> float:
    await asyncio.sleep(seconds)
    return seconds


async def fail(seconds: float = 0.0, word: str = "broken") -> None:
    await asyncio.sleep(seconds)
    raise ValueError(word)


class Family:
    """Tasks that submit tasks, take a while to clean up, and say in which order they ended."""

    def __init__(self, manager: ConcurrencyManager, *, cleanup: float = 1.0) -> None:
        self._manager = manager
        self._cleanup = cleanup
        self.ended: list[str] = []

    async def member(self, name: str, children: int = 0, depth: int = 1) -> None:
        for number in range(children):
            fewer = children if depth > 1 else 0
            self._manager.submit(self.member, f"{name}.{number}", fewer, depth - 1, name=f"{name}.{number}")
        try:
            await asyncio.sleep(1000)
        finally:
            await asyncio.sleep(self._cleanup)
            self.ended.append(name)


def words(group: BaseExceptionGroup[Any]) -> list[str]:
    return sorted(str(error) for error in group.exceptions)


def test_the_block_is_left_when_all_have_ended_those_that_tasks_submitted_too(engine: Any, sim_loop: SimLoop) -> None:
    async def grow(manager: ConcurrencyManager, depth: int) -> None:
        await asyncio.sleep(1)
        if depth:
            manager.submit(grow, manager, depth - 1)

    async def scenario(manager: ConcurrencyManager) -> None:
        async with manager.async_tasks.group("growing") as group:
            first = group.submit(nap, 0.5)
            group.submit(grow, manager, 4)
            assert await first == 0.5
            assert len(group.unfinished()) == 1
        assert sim_loop.time() == pytest.approx(5.0)
        assert (group.submitted, group.unfinished()) == (6, [])

    engine(scenario)


def test_a_task_of_another_group_or_of_none_is_not_waited_for(engine: Any, sim_loop: SimLoop) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        outside = manager.submit(nap, 50)
        async with manager.async_tasks.group("outer") as outer, manager.async_tasks.group("inner") as inner:
            inner.submit(nap, 1)
            outer.submit(nap, 2)
        assert sim_loop.time() == pytest.approx(2.0)
        assert (outer.submitted, inner.submitted, outside.done()) == (1, 1, False)

    engine(scenario)


def test_a_failure_cancels_the_others_interrupts_the_block_and_is_raised(engine: Any, sim_loop: SimLoop) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        interrupted = False
        with pytest.raises(ExceptionGroup, match=r"1 failure in the group 'work'") as caught:  # noqa: PT012 - the block is what is tested
            async with manager.async_tasks.group("work") as group:
                others = [group.submit(nap, 100) for _ in range(3)]
                failing = group.submit(fail, 1)
                others.append(group.submit(nap, after=[failing]))
                try:
                    await asyncio.sleep(1000)
                except asyncio.CancelledError:
                    interrupted = True
                    raise
        assert words(caught.value) == ["broken"]
        assert interrupted
        assert [each.cancelled() for each in others[:3]] == [True] * 3
        assert others[3].done()
        assert sim_loop.time() == pytest.approx(1.0)
        assert (task := asyncio.current_task()) is not None
        assert task.cancelling() == 0
        await asyncio.sleep(1)  # nothing of it is left to interrupt this

    engine(scenario)


def test_a_failure_that_was_raised_is_not_logged_again(engine: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        with pytest.raises(ExceptionGroup):
            async with manager.async_tasks.group() as group:
                group.submit(fail)

    engine(scenario)
    assert not caplog.records


def test_keeping_going_lets_the_others_end_and_tells_of_each_root_once(engine: Any) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        with pytest.raises(ExceptionGroup, match="2 failures") as caught:  # noqa: PT012 - the block is what is tested
            async with manager.async_tasks.group(keep_going=True) as group:
                good = group.submit(nap, 10)
                first = group.submit(fail, 1, "first")
                second = group.submit(nap, after=[first])
                third = group.submit(nap, after=[second])
                group.submit(fail, 5, "second")
        assert words(caught.value) == ["first", "second"]
        assert await good == 10
        assert isinstance(third.exception(), DependencyError)

    engine(scenario)


def test_a_failure_outside_of_the_group_is_told_by_who_waited_for_it(engine: Any) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        outside = manager.submit(fail)
        with pytest.raises(ExceptionGroup) as caught:
            async with manager.async_tasks.group() as group:
                group.submit(nap, after=[outside])
        assert isinstance(caught.value.exceptions[0], DependencyError)
        assert isinstance(outside.exception(), ValueError)

    engine(scenario)


def test_a_task_that_is_cancelled_by_itself_is_no_failure(engine: Any) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        async with manager.async_tasks.group() as group:
            cancelled, other = group.submit(nap, 100), group.submit(nap)
            await asyncio.sleep(0.5)
            cancelled.cancel()
        assert cancelled.cancelled()
        assert await other == 1.0

    engine(scenario)


def test_an_error_of_the_block_cancels_all_and_comes_with_what_else_went_wrong(engine: Any) -> None:
    async def stubborn() -> None:
        try:
            await asyncio.sleep(1000)
        finally:
            raise ValueError("while it cleaned up")

    async def scenario(manager: ConcurrencyManager) -> None:
        with pytest.raises(ExceptionGroup, match="2 failures") as caught:  # noqa: PT012 - the block is what is tested
            async with manager.async_tasks.group() as group:
                handle = group.submit(nap, 1000)
                group.submit(stubborn)
                await asyncio.sleep(1)
                raise KeyError("mine")
        assert words(caught.value) == ["'mine'", "while it cleaned up"]
        assert handle.cancelled()

    engine(scenario)


def test_cancelling_ends_leaves_first_and_each_has_cleaned_up_before_its_parent(engine: Any, sim_loop: SimLoop) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        family = Family(manager)
        async with manager.async_tasks.group() as group:
            group.submit(family.member, "a", 2, 2, name="a")
            waiting = group.submit(nap, after=[group.submit(family.member, "b", name="b")])
            await asyncio.sleep(1)
            assert len(group.unfinished()) == 9
            group.cancel()
            await asyncio.sleep(1000)
            pytest.fail("the block went on")
        assert family.ended[-1] == "a"
        assert sorted(family.ended[-3:-1]) == ["a.0", "a.1"]
        assert len(family.ended) == 8
        assert waiting.cancelled(), "not failed because of the one before it"
        assert sim_loop.time() == pytest.approx(4.0), "a second for each generation"

    engine(scenario)


def test_a_whole_engine_ends_in_the_same_order(sim_loop: SimLoop) -> None:
    ended: list[str] = []

    async def member(manager: ConcurrencyManager, name: str) -> None:
        if len(name) < 3:
            manager.submit(member, manager, name + "x")
        try:
            await asyncio.sleep(1000)
        finally:
            await asyncio.sleep(0.01)  # and nobody cancels it once more meanwhile
            ended.append(name)

    async def main() -> None:
        async with ConcurrencyManager(clock=sim_loop.clock, cpu=1, memory=1) as manager:
            manager.submit(member, manager, "x")
            waiting = manager.submit(nap, after=[manager.submit(nap, 500)])
            await asyncio.sleep(1)
            await manager.shutdown(cancel=True)
            assert waiting.cancelled()

    sim_loop.run_until_complete(main())
    assert ended == ["xxx", "xx", "x"]


def test_a_leaf_that_will_not_end_holds_the_others_up_for_a_bounded_time(sim_loop: SimLoop) -> None:
    parent_cancelled: list[float] = []

    async def stubborn(until: float) -> None:
        while sim_loop.time() < until:
            try:
                await asyncio.sleep(until - sim_loop.time())
            except asyncio.CancelledError:
                continue

    async def parent(manager: ConcurrencyManager) -> None:
        manager.submit(stubborn, 200.0)
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            parent_cancelled.append(sim_loop.time())
            raise

    async def main() -> None:
        async with ConcurrencyManager(clock=sim_loop.clock, cpu=1, memory=1) as manager:
            async with manager.async_tasks.group() as group:
                group.submit(parent, manager)
                await asyncio.sleep(1)
                group.cancel()
            assert sim_loop.time() == pytest.approx(200.0), "none outlives the block"
            manager.submit(parent, manager)
            await asyncio.sleep(1)
            began = sim_loop.time()
            await manager.shutdown(cancel=True)
            assert sim_loop.time() - began < 2.0

    sim_loop.run_until_complete(main())
    assert 1.0 < parent_cancelled[0] < 10.0


def test_a_cancelled_block_ends_all_and_stays_cancelled(engine: Any) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        handles: list[Any] = []

        async def block() -> None:
            async with manager.async_tasks.group() as group:
                handles.append(group.submit(nap, 1000))

        running = asyncio.get_running_loop().create_task(block())
        await asyncio.sleep(1)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert handles[0].cancelled()

    engine(scenario)


def test_who_takes_no_task_says_why(engine: Any, sim_loop: SimLoop) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        group = manager.async_tasks.group("g")
        with pytest.raises(RejectedError, match="'g' has not been entered"):
            group.submit(nap)
        async with group:
            pass
        with pytest.raises(RejectedError, match="'g' has ended"):
            manager.submit(nap, group=group)
        with pytest.raises(ConfigError, match="make a new one"):
            async with group:
                pass
        with pytest.raises(ConfigError, match="group must be one that"):
            manager.submit(nap, group="g")  # type: ignore[call-overload]
        async with ConcurrencyManager(clock=sim_loop.clock, cpu=1, memory=1) as other:
            with pytest.raises(ConfigError, match="of this engine"):
                other.submit(nap, group=group)
        async with manager.async_tasks.group("h") as ending:
            ending.cancel()
            with pytest.raises(RejectedError, match="'h' is ending"):
                ending.submit(nap)
        assert manager.snapshot().queued == 0

    engine(scenario)


@pytest.mark.parametrize("late", [False, True])
def test_a_block_that_would_wait_for_ever_is_told_so(engine: Any, late: bool) -> None:
    both = Resources(cpu=2)

    async def scenario(manager: ConcurrencyManager) -> None:
        async def submits() -> None:
            await asyncio.sleep(1)
            manager.submit(nap, needs=both)

        async def holder() -> None:
            async with manager.async_tasks.group() as group:
                if late:
                    group.submit(submits)
                else:
                    group.submit(nap, needs=both)

        with pytest.raises(ExceptionGroup) as caught:
            await manager.submit(holder, needs=Resources(cpu=1))
        assert isinstance(caught.value.exceptions[0], DeadlockError)
        assert await manager.submit(nap, needs=both) == 1.0, "nothing of it is left held or waited for"

    engine(scenario)


def test_a_holder_waits_for_nothing_once_it_has_left_the_block(engine: Any) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        waits = manager.orchestrator.scheduler.waits
        seen: list[int] = []

        async def holder() -> None:
            async with manager.async_tasks.group() as group:
                group.submit(look, needs=Resources(cpu=1))
            seen.append(len(waits.targets(handle)))

        async def look() -> None:
            await asyncio.sleep(1)
            seen.append(len(waits.targets(handle)))

        handle = manager.submit(holder, needs=Resources(cpu=1))
        await handle
        assert seen == [1, 0]

    engine(scenario)


@pytest.mark.parametrize("whole", [False, True])
def test_one_that_was_cancelled_before_is_not_disturbed_while_it_cleans_up(sim_loop: SimLoop, whole: bool) -> None:
    async def main() -> None:
        async with ConcurrencyManager(clock=sim_loop.clock, cpu=1, memory=1) as manager:
            family = Family(manager, cleanup=0.2)
            async with manager.async_tasks.group() as group:
                handle = group.submit(family.member, "a")
                await asyncio.sleep(1)
                handle.cancel()
                await asyncio.sleep(0.1)
                if whole:
                    await manager.shutdown(cancel=True)
                group.cancel()
            assert family.ended == ["a"]

    sim_loop.run_until_complete(main())


def test_cancelled_at_any_moment_it_leaves_nothing(sim_loop: SimLoop) -> None:
    state: dict[str, Any] = {}

    async def scenario() -> None:
        loop: Any = asyncio.get_running_loop()
        async with ConcurrencyManager(clock=loop.clock, cpu=1, memory=1) as manager:
            async with manager.async_tasks.group() as group:
                state.update(group=group, manager=manager)
                first = group.submit(nap, needs=Resources(cpu=1))
                group.submit(nap, after=[first])
                await first
            assert group.unfinished() == []

    def check() -> None:
        assert state["group"].unfinished() == []
        assert state["manager"].orchestrator.everything() == []

    assert cancel_sweep(scenario, check=check).runs >= 5


def test_an_ended_group_keeps_no_value_alive(engine: Any) -> None:
    class Value:
        pass

    async def make() -> Value:
        return Value()

    async def scenario(manager: ConcurrencyManager) -> None:
        async with manager.async_tasks.group() as group:
            handle = group.submit(make)
            value = weakref.ref(await handle)
        del handle
        await asyncio.sleep(1)
        gc.collect()
        assert value() is None
        assert group.submitted == 1

    engine(scenario)
