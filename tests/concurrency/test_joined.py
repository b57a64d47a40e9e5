"""A task that waits for a thread of its own that waits for another task."""

from __future__ import annotations

import concurrent.futures
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from tenire import ConcurrencyManager, Resources
from tenire.concurrency import elsewhere
from tenire.errors import DeadlockError

if TYPE_CHECKING:
    from collections.abc import Callable

CPU = Resources(cpu=1)


@pytest.fixture(autouse=True)
def looks_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elsewhere, "_LOOK_S", 0.001)


def thread(call: Callable[[], Any]) -> list[Any]:
    """Call something in a thread, as code that knows nothing of an engine does."""
    found: list[Any] = []

    def run() -> None:
        try:
            found.append(call())
        except DeadlockError as error:
            found.append(error)

    started = threading.Thread(target=run)
    started.start()
    started.join()
    return found


def executor(call: Callable[[], Any]) -> list[Any]:
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        future = pool.submit(call)
        try:
            return [future.result()]
        except DeadlockError as error:
            return [error]


def leaves_executor(call: Callable[[], Any]) -> list[Any]:
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        future = pool.submit(call)
    return [future.exception() or future.result()]


def nested(call: Callable[[], Any]) -> list[Any]:
    return thread(lambda: executor(call)[0])


WAYS = [thread, executor, leaves_executor, nested]


@pytest.mark.parametrize("wait_in", WAYS)
def test_a_task_that_waits_for_a_thread_that_waits_for_what_needs_its_slot_is_told_so(wait_in: Any) -> None:
    with ConcurrencyManager.in_thread(cpu=1) as manager:

        def outer() -> Any:
            inner = manager.submit(str, 1, needs=CPU, name="inner")
            (outcome,) = wait_in(inner.result)
            inner.cancel()
            return outcome

        outcome = manager.submit(outer, needs=CPU, name="outer").result(timeout=60)
        assert isinstance(outcome, DeadlockError)
        assert "'outer' would wait for ever for 'inner'" in str(outcome)
        assert "1 CPU slot" in str(outcome)


@pytest.mark.parametrize("wait_in", WAYS)
def test_it_is_told_nothing_while_another_task_can_give_back_what_is_needed(wait_in: Any) -> None:
    with ConcurrencyManager.in_thread(cpu=2) as manager:
        gate = threading.Event()
        other = manager.submit(gate.wait, 60, needs=CPU, name="other")
        seen = []

        def outer() -> Any:
            inner = manager.submit(str, 1, needs=CPU, name="inner")
            waits = manager.orchestrator.scheduler.waits
            own = next(task for task in manager.orchestrator.unfinished() if task.name == "outer")

            def open_gate() -> None:
                for _ in range(30_000):
                    if waits.targets(own):
                        seen.append(waits.targets(own)[0].name)
                        break
                    gate.wait(0.001)
                gate.set()

            opener = threading.Thread(target=open_gate)
            opener.start()
            outcome = wait_in(inner.result)
            opener.join()
            return outcome

        handle = manager.submit(outer, needs=CPU, name="outer")
        assert handle.result(timeout=60) == ["1"]
        assert seen == ["inner"]
        assert other.result(timeout=60)
        assert not manager.orchestrator.scheduler.waits.targets(handle)


def test_a_thread_for_which_no_task_waits_waits_on_its_own_account() -> None:
    with ConcurrencyManager.in_thread(cpu=1) as manager:
        gate, found = threading.Event(), []
        holds = manager.submit(gate.wait, 60, needs=CPU, name="holds")
        waiting = manager.submit(str, 1, needs=CPU, name="waiting")
        looks = threading.Semaphore(0)
        look = manager.orchestrator.holder_of_thread

        def looked() -> Any:
            found.append(look())
            looks.release()
            return found[-1]

        manager.orchestrator.holder_of_thread = looked  # type: ignore[method-assign]
        asking = threading.Thread(target=lambda: found.append(waiting.result()))
        asking.start()
        for _ in range(3):
            assert looks.acquire(timeout=60)
        gate.set()
        asking.join(60)
        assert found[-1] == "1"
        assert set(found[:-1]) == {None}
        assert holds.result(timeout=60)


@pytest.mark.parametrize(("limit", "expected"), [(None, "outer"), (600.0, None)])
def test_only_who_waits_without_a_time_limit_cannot_go_on(limit: float | None, expected: str | None) -> None:
    with ConcurrencyManager.in_thread(cpu=1) as manager:

        def outer() -> list[Any]:
            mine, found = threading.get_ident(), []

            def ask() -> None:
                while threading.Thread.join.__code__ not in codes(mine):
                    gate.wait(0.001)
                found.append(manager.orchestrator.holder_of_thread())

            gate = threading.Event()
            asking = threading.Thread(target=ask)
            asking.start()
            asking.join(limit)
            return found

        (holder,) = manager.submit(outer, name="outer").result(timeout=60)
        assert getattr(holder, "name", None) == expected


def codes(ident: int) -> set[Any]:
    """Return the functions in which a thread stands."""
    frame, found = sys._current_frames().get(ident), set()
    while frame is not None:
        found.add(frame.f_code)
        frame = frame.f_back
    return found
