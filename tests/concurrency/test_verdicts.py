from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest
from tests.concurrency import jobs, process_jobs
from tests.concurrency.engines import engine

from tenire import TaskError
from tenire.concurrency.pools.verdicts import RemoteTraceback

if TYPE_CHECKING:
    from tenire import ConcurrencyManager


async def refused(manager: ConcurrencyManager, fn: Any, *args: Any, name: str = "the task") -> TaskError:
    """Return how a task ends, and verify that its worker is still the same and of use."""
    before = await manager.submit(process_jobs.own_pid, on="process")
    with pytest.raises(TaskError) as caught:
        await manager.submit(fn, *args, on="process", name=name)
    assert type(caught.value) is TaskError
    assert caught.value.task == name
    assert repr(name) in str(caught.value)
    assert caught.value.hint is not None
    assert await manager.submit(process_jobs.own_pid, on="process") == before
    assert manager.thread_pool.statistics().replaced == 0
    return caught.value


def test_an_argument_that_cannot_be_pickled_is_named_with_its_type() -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        error = await refused(manager, process_jobs.same, 1, process_jobs.Locked(), lambda: None)
        assert "argument 2 of task 'the task', of type tests.concurrency.process_jobs.Locked," in str(error)
        assert isinstance(error.__cause__, TypeError)

    engine(scenario)


def test_arguments_that_cannot_be_loaded_in_the_worker_are_named() -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        for _ in range(5):  # first from the thread, then from the loop
            error = await refused(manager, process_jobs.same, 1, process_jobs.Opens())
            assert "arguments of task 'the task' (int, Opens) cannot be loaded" in str(error)
            assert "ValueError: nobody can load this" in str(error)
            assert isinstance(error.__cause__, RemoteTraceback)
            assert "_refuse" in str(error.__cause__)

    engine(scenario)


def test_a_function_whose_module_the_worker_cannot_find_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("module_of_this_process")
    exec("def work(): return 1", module.__dict__)
    monkeypatch.setitem(sys.modules, module.__name__, module)

    async def scenario(manager: ConcurrencyManager) -> None:
        error = await refused(manager, module.work)
        assert "function of task 'the task' cannot be loaded" in str(error)
        assert "No module named 'module_of_this_process'" in str(error)

    engine(scenario)


def test_a_result_that_cannot_be_pickled_is_named_with_its_type() -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        error = await refused(manager, process_jobs.lock)
        assert "the result of task 'the task' cannot be sent back" in str(error)
        assert "_thread.lock" in str(error)
        assert "function" in str(await refused(manager, jobs.unpicklable))

    engine(scenario)


def test_a_result_that_cannot_be_loaded_here_is_an_error_of_its_task() -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        for fn, words in ((process_jobs.opens, "nobody can load this"), (process_jobs.opens_there, "not at home here")):
            for _ in range(5):
                error = await refused(manager, fn)
                assert "cannot be read back" in str(error)
                assert words in str(error)

    engine(scenario)


@pytest.mark.parametrize(
    ("fn", "words"), [(jobs.fail_awkwardly, "AwkwardError: 1 and 2"), (process_jobs.fail_mutely, "MuteError")]
)
def test_an_exception_that_cannot_be_pickled_is_told_in_words(fn: Any, words: str) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        error = await refused(manager, fn)
        assert "raised an exception that cannot be sent back" in str(error)
        assert words in str(error)
        assert "jobs.py" in str(error.__cause__)

    engine(scenario)
