"""Impossible arguments: refused where they are given, in words, and without harm to what runs."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import pytest
from tests.concurrency.engines import engine

from tenire import ConcurrencyManager, ConfigError, Priority, Resources, Retry
from tenire.concurrency import CompactionStep
from tenire.errors import RejectedError, TaskError, TaskTimeoutError

NAN, INFINITY, HUGE = float("nan"), float("inf"), 10**400

Give = Callable[[ConcurrencyManager], object]


async def one() -> int:
    return 1


class Caller:
    """Calling it is a coroutine; making it is not."""

    async def __call__(self) -> int:
        return 1


@pytest.mark.parametrize(
    "options",
    [
        {"name": ["x"]},
        {"name": 5},
        {"pipeline": ["x"]},
        {"pipeline": None},
        {"on": []},
        {"worker": 5, "on": "process"},
        {"after": 5},
        {"deadline": True},
    ],
    ids=str,
)
def test_what_is_no_text_list_or_number_is_refused_by_submit(options: dict[str, Any]) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        with pytest.raises(ConfigError, match=f"{next(iter(options))}.* must be|needs on="):
            manager.submit(len, **options)
        assert await manager.submit(one) == 1

    engine(scenario)


@pytest.mark.parametrize(
    "needs", [Resources(cpu=1e308), Resources(cpu=HUGE), Resources(memory=HUGE), Resources(other={"cpu": 1e308})]
)
def test_more_than_any_machine_has_is_refused_as_more_than_this_one_has(needs: Resources) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        with pytest.raises(RejectedError, match="but the whole engine has"):
            manager.submit(one, needs=needs)

    engine(scenario)


@pytest.mark.parametrize(
    "give",
    [
        lambda manager: manager.orchestrator.permit(None),
        lambda manager: manager.orchestrator.permit(Resources(), name=5),
        lambda manager: manager.orchestrator.configure_pipeline("p", priority=7),
        lambda manager: manager.orchestrator.configure_pipeline("p", weight="2"),
        lambda manager: manager.orchestrator.configure_pipeline("p", weight=True),
        lambda manager: manager.orchestrator.configure_pipeline(["p"], weight=1),
        lambda manager: manager.orchestrator.suspend(5, "why"),
        lambda manager: manager.orchestrator.register_resource("s", 1.5),
        lambda manager: manager.orchestrator.register_resource("s", True),
        lambda manager: manager.orchestrator.register_resource(["s"], 1),
        lambda manager: manager.orchestrator.register_resource("cpu", 1e308),
        lambda manager: manager.orchestrator.register_rate("r", 1, 1.5),
        lambda manager: manager.orchestrator.register_rate("r", "1", 1),
        lambda manager: manager.control.every(1, 3),
        lambda manager: manager.data_manager.cache(3),
        lambda manager: manager.data_manager.cache("c", capacity="1"),
        lambda manager: manager.data_manager.cache("c", ttl="1"),
        lambda manager: manager.data_manager.cache("c").put("key", b"value", size="1"),
        lambda manager: manager.data_manager.credit("1").__aenter__().send(None),
        lambda manager: manager.loops.wait(3),
        lambda manager: ConcurrencyManager(cpu="4"),  # type: ignore[arg-type]
        lambda manager: ConcurrencyManager(cpu=True),
        lambda manager: ConcurrencyManager(cpu=HUGE),
        lambda manager: ConcurrencyManager(cpu=1e-5),
        lambda manager: ConcurrencyManager(memory="1GB"),  # type: ignore[arg-type]
        lambda manager: ConcurrencyManager(memory=0.5),  # type: ignore[arg-type]
        lambda manager: ConcurrencyManager(home=5),  # type: ignore[arg-type]
        lambda manager: Resources(other={"s": True}),
        lambda manager: Resources(other={"s": "1"}),  # type: ignore[dict-item]
        lambda manager: Retry(attempts=True),
        lambda manager: Retry(backoff="1"),  # type: ignore[arg-type]
        lambda manager: Retry(max_delay=None),  # type: ignore[arg-type]
    ],
    ids=lambda give: inspect.getsource(give).strip()[:60],
)
def test_every_door_says_what_it_expected(give: Give) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        with pytest.raises(ConfigError, match=r"must be|takes a|no number|whole number"):
            give(manager)

    engine(scenario)


def test_numbers_of_other_libraries_are_numbers() -> None:
    numpy = pytest.importorskip("numpy")

    async def scenario(manager: ConcurrencyManager) -> int:
        needs = Resources(cpu=numpy.float32(0.5), memory=numpy.int64(5), other={"threads": numpy.int64(1)})
        handle = manager.submit(one, needs=needs, deadline=numpy.int64(60))
        assert all(type(amount) is int for _, amount in handle.needs)
        return await handle  # type: ignore[no-any-return]

    assert engine(scenario) == 1


@pytest.mark.parametrize("deadline", [0, -1, -INFINITY, -1e300])
def test_a_deadline_that_has_passed_is_missed_however_long_ago(deadline: float) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        with pytest.raises(TaskTimeoutError):
            await manager.submit(one, deadline=deadline)
        with pytest.raises(TaskTimeoutError):
            async with manager.orchestrator.permit(Resources(cpu=1), deadline=deadline):
                pass

    engine(scenario)


def test_what_comes_back_at_the_end_cannot_become_a_rate_and_a_rate_no_resource() -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        register, register_rate = manager.orchestrator.register_resource, manager.orchestrator.register_rate
        with pytest.raises(ConfigError, match="'cpu' is a resource"):
            register_rate("cpu", 1, 1)
        register_rate("calls", 1, 1)
        with pytest.raises(ConfigError, match="'calls' is a rate"):
            register("calls", 1)
        register_rate("calls", 2, 3)
        for _ in range(3):  # the slots come back each time
            await manager.submit(one, needs=Resources(cpu=2))

    engine(scenario)


def test_a_class_is_called_in_a_thread_and_an_object_whose_call_is_a_coroutine_on_the_loop() -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        made = await manager.submit(Caller)
        assert type(made) is Caller
        assert await manager.submit(made) == 1
        assert await manager.submit(functools.partial(functools.partial(made))) == 1

    engine(scenario)


@pytest.mark.skipif(not hasattr(inspect, "markcoroutinefunction"), reason="new in Python 3.12")
def test_a_function_that_is_marked_as_a_coroutine_function_is_one() -> None:
    async def scenario(manager: ConcurrencyManager) -> object:
        return await manager.submit(inspect.markcoroutinefunction(lambda: one()))

    assert engine(scenario) == 1


def test_a_coroutine_that_a_plain_function_returns_is_not_dropped_without_a_word() -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        with pytest.raises(TaskError, match="returned a coroutine, one, which never ran") as caught:
            await manager.submit(lambda: one(), name="wrapped")
        assert (caught.value.task, caught.value.hint) == ("wrapped", 'pass on="loop", or the coroutine function itself')
        assert await manager.submit(lambda: one(), on="loop") == 1

    engine(scenario)


@pytest.mark.parametrize("priority", [0, Priority.LOW, "Idle"])
def test_a_priority_may_be_its_name_or_its_number(priority: Any) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        manager.orchestrator.configure_pipeline("p", priority=priority)
        assert await manager.submit(one, priority=priority, pipeline="p") == 1

    engine(scenario)


def test_what_cannot_be_called_is_no_step_of_the_compactor(sim_loop: Any) -> None:
    async def scenario() -> None:
        async with ConcurrencyManager(cpu=1, memory=100, clock=sim_loop.clock) as manager:
            wrong: Any = 3
            with pytest.raises(ConfigError, match="run must be a function that takes a Stop, got 3"):
                manager.compactor.add(CompactionStep("mine", wrong))
            manager.compactor.add(CompactionStep("mine", lambda stop: 0))

    sim_loop.run_until_complete(scenario())
