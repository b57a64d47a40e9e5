from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import inspect
import pickle
import threading
from typing import TYPE_CHECKING, Any

import pytest

import tenire
from tenire.core.breaker import CircuitBreaker
from tenire.core.tasks import Retry
from tenire.errors import CallTimeoutError, CircuitOpenError, ConfigError
from tenire.resilience import Guard, MemoryCache
from tenire.testing import run

from .servers import Server, down

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


def test_a_result_is_kept_and_equal_calls_at_the_same_time_are_one() -> None:
    server = Server(seconds=1.0)
    guard = Guard(cache=MemoryCache())

    async def main() -> None:
        assert [await one for one in [asyncio.create_task(guard.call(server, 5)) for _ in range(10)]] == [5] * 10
        assert await guard.call(server, 5) == 5
        assert await guard.call(server, 6) == 6

    run(main)
    assert len(server.times) == 2
    statistics = guard.statistics()
    assert (statistics.calls, statistics.shared, statistics.cached) == (12, 9, 1)


def test_what_failed_is_not_kept() -> None:
    server = Server(*down())
    guard = Guard(cache=MemoryCache())

    async def main() -> None:
        with pytest.raises(ConnectionError):
            await guard.call(server)
        assert await guard.call(server) == "answer"

    run(main)


class SlowCache(MemoryCache):
    async def get(self, key: Any) -> Any:
        await asyncio.sleep(1)
        return await super().get(key)

    async def put(self, key: Any, value: Any) -> None:
        await asyncio.sleep(1)
        await super().put(key, value)


def test_a_result_that_came_while_the_cache_was_asked_is_not_paid_again() -> None:
    server = Server(seconds=0.5)
    guard = Guard(cache=SlowCache())

    async def main() -> None:
        first = asyncio.create_task(guard.call(server))
        # The first one lands at 3.5; this one has asked the cache before, and is told so at 3.6.
        await asyncio.sleep(2.6)
        assert await guard.call(server) == "answer"
        await first

    run(main)
    assert len(server.times) == 1


def test_a_result_that_was_paid_for_is_kept_although_its_caller_was_cancelled() -> None:
    server = Server()
    guard = Guard(cache=SlowCache())

    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2.5):  # while it is put into the cache
                await guard.call(server)
        assert await guard.call(server) == "answer"

    run(main)
    assert len(server.times) == 1


def test_the_decorator_keeps_the_function_s_face() -> None:
    @tenire.guarded(retry=2)
    async def fetch(number: int, *, times: int = 1) -> int:
        """Fetch it."""
        return number * times

    assert inspect.iscoroutinefunction(fetch)
    assert (fetch.__name__, fetch.__doc__) == ("fetch", "Fetch it.")
    assert list(inspect.signature(fetch).parameters) == ["number", "times"]
    assert run(lambda: fetch(2, times=3)) == 6


def test_methods_and_callable_objects_can_be_guarded() -> None:
    class Client:
        def __init__(self) -> None:
            self.calls = 0

        @tenire.guarded(cache=MemoryCache())
        async def get(self, name: str) -> str:
            self.calls += 1
            return name

    async def main() -> None:
        one, other = Client(), Client()
        assert await one.get("a") == await other.get("a") == await one.get("a") == "a"
        assert (one.calls, other.calls) == (1, 1)
        assert await Guard()(Server())("b") == "b"
        assert await Guard()(functools.partial(Server(), "c"))() == "c"

    run(main)


def test_equal_arguments_of_other_types_are_other_calls() -> None:
    server = Server()
    guarded = Guard(cache=MemoryCache())(server)

    async def main() -> None:
        assert [repr(await guarded(value)) for value in (1, True, 1.0)] == ["1", "True", "1.0"]
        assert [repr(await guarded(value=value)) for value in (1, True, 1.0)] == ["1", "True", "1.0"]

    run(main)


def test_arguments_that_make_no_key_are_refused_with_the_remedy() -> None:
    async def main() -> None:
        with pytest.raises(ConfigError, match="unhashable") as caught:
            await Guard(share=True)(Server())([1])
        assert "key=" in str(caught.value.hint)
        server = Server(seconds=1)
        fetch = Guard(share=True, key=lambda value: tuple(value))(server)
        async with asyncio.TaskGroup() as group:
            for _ in range(3):
                group.create_task(fetch([1]))
        assert len(server.times) == 1

    run(main)


def test_one_guard_works_on_one_loop_after_the_other_and_its_breaker_remembers() -> None:
    guard = Guard(breaker=CircuitBreaker(minimum_calls=1, open_for=60.0), limit=1, share=True)
    server = Server(*down())
    with pytest.raises(ConnectionError):
        run(lambda: guard.call(server))
    assert run(lambda: guard.call(server)) == "answer"
    assert server.times == [0.0, 60.0]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"retry": True}, "retry must be a tenire.Retry"),
        ({"retry": 0}, "whole number from 1"),
        ({"retry": 2.5}, "retry must be"),
        ({"budget": 3}, "budget must be"),
        ({"breaker": 3}, "breaker must be"),
        ({"timeout": 0}, "timeout must be a positive number"),
        ({"timeout": True}, "timeout must be"),
        ({"deadline": float("inf")}, "deadline must be"),
        ({"hedge": True}, "was not told that it may"),
        ({"hedge": 3, "idempotent": True}, "hedge must be"),
        ({"limit": 0}, "limit must be"),
        ({"limit": True}, "limit must be"),
        ({"limit": 1, "admission": contextlib.nullcontext}, "both say when"),
    ],
)
def test_impossible_options_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Guard(**options)


def test_who_leaves_out_the_parentheses_is_told_to_write_them() -> None:
    async def answer() -> int:
        return 1

    bare: Any = tenire.guarded
    with pytest.raises(ConfigError, match=r"takes its options by name, got <function .*answer") as caught:
        bare(answer)
    assert caught.value.hint == "write @tenire.guarded(retry=3) above a function"


def test_a_generator_function_is_refused() -> None:
    async def stream() -> AsyncIterator[int]:
        yield 1

    with pytest.raises(ConfigError, match="stream is a generator function"):
        Guard()(stream)


@pytest.mark.parametrize(
    "error",
    [
        CallTimeoutError("too long", call="fetch", tries=2, hint="wait"),
        CircuitOpenError("open", retry_at=60.0, hint="later"),
    ],
)
def test_an_error_keeps_its_facts_on_the_way_from_another_process(error: Exception) -> None:
    came = pickle.loads(pickle.dumps(error))
    assert (type(came), str(came), vars(came)) == (type(error), str(error), vars(error))


def test_loops_on_several_threads_share_a_guard_its_slots_and_its_breaker() -> None:
    guard = Guard(
        retry=Retry(attempts=5, backoff=0.0),
        budget=False,
        breaker=CircuitBreaker(minimum_calls=4, open_for=0.001, half_open_permits=2),
        limit=3,
        cache=MemoryCache(50),
    )
    lock = threading.Lock()
    inside = most = calls = 0
    results: list[int] = []

    async def work(number: int) -> int:
        nonlocal inside, most, calls
        with lock:
            inside += 1
            calls += 1
            most = max(most, inside)
            fails = calls % 3 == 0
        await asyncio.sleep(0)
        with lock:
            inside -= 1
        if fails:
            raise ConnectionError
        return number

    async def main() -> None:
        tasks = [asyncio.create_task(guard.call(work, number % 70)) for number in range(150)]
        await asyncio.wait(tasks)
        results.extend(task.result() for task in tasks if task.exception() is None)

    threads = [threading.Thread(target=lambda: asyncio.run(main())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most <= 3
    assert len(results) > 500
    assert guard.statistics().waiting == 0
    assert guard.breaker is not None
    guard.breaker.check()


@pytest.mark.parametrize("options", [{"timeout": 5.0, "limit": 3}, {"share": True}])
def test_a_call_that_failed_and_then_succeeded_leaves_nothing_for_the_garbage_collector(
    options: dict[str, Any],
) -> None:
    async def main() -> int:
        breaker = CircuitBreaker(minimum_calls=1000)
        guard = Guard(retry=Retry(attempts=2, backoff=0.0), budget=False, breaker=breaker, **options)
        await guard.call(Server(*down()))
        gc.collect()
        gc.disable()
        try:
            for _ in range(20):
                await guard.call(Server(*down()))
            await asyncio.sleep(0)
            return gc.collect()
        finally:
            gc.enable()

    assert asyncio.run(main()) == 0


@pytest.mark.parametrize("above", [staticmethod, classmethod])
def test_a_method_that_needs_no_object_is_guarded_below_what_makes_it_one(above: Any) -> None:
    async def answer() -> int:
        return 1

    with pytest.raises(ConfigError, match="takes an async or a plain function, got <") as caught:
        Guard(retry=2)(above(answer))
    assert caught.value.hint == "put @staticmethod or @classmethod above it"


def test_what_is_no_function_is_refused_when_it_is_guarded() -> None:
    no_function: Any = 3
    with pytest.raises(ConfigError, match="takes an async or a plain function, got 3"):
        Guard(retry=2)(no_function)


@pytest.mark.parametrize("name", ["admission", "key", "fallback", "watch", "classify", "cache"])
def test_what_would_be_called_when_all_is_lost_is_checked_at_once(name: str) -> None:
    options: Any = {name: 3}
    with pytest.raises(ConfigError, match=f"{name} must (be a function|have the coroutine methods).*, got 3") as caught:
        Guard(**options)
    assert caught.value.key == name


def test_who_watches_and_fails_changes_nothing_for_the_call(caplog: pytest.LogCaptureFixture) -> None:
    def watch(_: object) -> None:
        raise ZeroDivisionError

    server = Server(ConnectionError("reset"))
    guard = Guard(retry=Retry(attempts=2, backoff=0.0), watch=watch)

    async def main() -> None:
        assert await guard.call(server) == "answer"

    run(main)
    assert "the watch of Server failed" in caplog.text
