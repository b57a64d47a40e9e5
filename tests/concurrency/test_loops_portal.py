"""The way into a loop from other threads: order, context, cancelling, refusing."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import contextvars
import gc
import threading
from typing import TYPE_CHECKING, Any

import pytest

from tenire import RejectedError
from tenire.clock import SYSTEM_CLOCK
from tenire.concurrency.loops import EventLoopManager, LoopKind, LoopState, LoopThread, loop_factory, portal
from tenire.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

WHO: contextvars.ContextVar[str] = contextvars.ContextVar("who")


@pytest.fixture(params=["asyncio", "uvloop"])
def loop(request: pytest.FixtureRequest) -> Iterator[LoopThread]:
    if request.param == "uvloop":
        pytest.importorskip("uvloop")
    with LoopThread("side", SYSTEM_CLOCK, kind=request.param) as thread:
        yield thread


class Gate:
    """A coroutine that waits, and what other threads see of it."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.ended: concurrent.futures.Future[str] = concurrent.futures.Future()

    async def wait(self) -> None:
        self.begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.ended.set_result("cancelled")
            raise


async def who() -> str:
    await asyncio.sleep(0)
    return WHO.get()


async def fail() -> None:
    await asyncio.sleep(0)
    raise ValueError("broken")


def _outcome(future: concurrent.futures.Future[Any]) -> BaseException | None:
    try:
        return future.exception(0)
    except concurrent.futures.CancelledError as error:
        return error


def hold_up(loop: LoopThread) -> threading.Event:
    """Keep a loop busy until the event is set; return once it is busy."""
    busy, free = threading.Event(), threading.Event()
    loop.post(lambda: (busy.set(), free.wait(10)))
    assert busy.wait(10)
    return free


def test_every_way_gives_the_value_or_the_error(loop: LoopThread) -> None:
    assert loop.call(threading.get_ident) == loop.thread
    assert loop.wait(asyncio.sleep(0, "waited"), timeout=5) == "waited"
    assert loop.call(asyncio.sleep, 0, "called", timeout=5) == "called"
    assert loop.spawn(asyncio.sleep, 0, "spawned").result(5) == "spawned"
    assert loop.spawn(lambda: "plain").result(5) == "plain"
    for failing in (lambda: loop.wait(fail()), lambda: loop.call(fail), lambda: loop.spawn(fail()).result(5)):
        with pytest.raises(ValueError, match="broken"):
            failing()
    assert isinstance(loop.spawn(fail()).exception(5), ValueError)


def test_what_can_be_awaited_is_waited_for_like_a_coroutine(loop: LoopThread) -> None:
    class Value:
        def __await__(self) -> Generator[Any, None, str]:
            yield from asyncio.sleep(0).__await__()
            return "value"

    ways: list[Callable[[Any], object]] = [
        lambda value: loop.wait(value, timeout=5),
        lambda value: loop.spawn(value).result(5),
    ]
    assert [way(Value()) for way in ways] == ["value"] * 2

    async def ask() -> None:
        with pytest.raises(RuntimeError, match="`await`"):
            ways[0](Value())

    loop.wait(ask(), timeout=5)


def test_context_variables_go_along_and_do_not_come_back(loop: LoopThread) -> None:
    def change() -> str:
        before = WHO.get()
        WHO.set("loop")
        return before

    contextvars.copy_context().run(WHO.set, "nobody")
    token = WHO.set("ann")
    try:
        assert loop.wait(who()) == loop.spawn(who).result(5) == loop.call(change) == "ann"
        assert WHO.get() == "ann"
    finally:
        WHO.reset(token)
    with pytest.raises(LookupError):
        loop.wait(who())


@pytest.mark.blocking_allowed("the loop is held up on purpose")
def test_what_one_thread_sends_starts_in_its_order_whatever_the_way(loop: LoopThread) -> None:
    seen: list[int] = []
    free = hold_up(loop)
    for number in range(0, 300, 3):
        loop.post(seen.append, number)
        loop.spawn(seen.append, number + 1)
        loop.post(seen.append, number + 2)
    free.set()
    loop.call(lambda: None)
    assert seen == list(range(300))


def test_many_threads_get_each_their_own_answer(loop: LoopThread) -> None:
    wrong: list[tuple[int, int]] = []

    def ask(start: int) -> None:
        for number in range(start, start + 200):
            answer = loop.call(lambda number=number: number)
            if answer != number:
                wrong.append((number, answer))

    threads = [threading.Thread(target=ask, args=(start,)) for start in range(0, 1600, 200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_cancelling_the_future_cancels_the_coroutine(loop: LoopThread) -> None:
    gate = Gate()
    future = loop.spawn(gate.wait())
    assert gate.begun.wait(5)
    assert future.cancel()
    assert not future.cancel() or future.cancelled()
    assert gate.ended.result(5) == "cancelled"
    with pytest.raises(concurrent.futures.CancelledError):
        future.result(5)


@pytest.mark.blocking_allowed("the loop is held up on purpose")
def test_cancelling_it_before_it_starts_keeps_it_from_starting(loop: LoopThread) -> None:
    started: list[int] = []
    free = hold_up(loop)
    future = loop.spawn(started.append, 1)
    coroutine = fail()
    never = loop.spawn(coroutine)
    assert future.cancel()
    assert never.cancel()
    free.set()
    loop.call(lambda: None)
    assert started == []
    assert coroutine.cr_frame is None  # closed, not lost


@pytest.mark.blocking_allowed("the loop is held up on purpose")
def test_one_that_is_cancelled_in_its_first_step_is_cancelled_once(loop: LoopThread) -> None:
    told: concurrent.futures.Future[int] = concurrent.futures.Future()
    own: list[concurrent.futures.Future[None]] = []

    async def job() -> None:
        own.pop().cancel()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0)  # what it does to clean up is not cancelled again
            task = asyncio.current_task()
            assert task is not None
            told.set_result(task.cancelling())
            raise

    free = hold_up(loop)
    own.append(loop.spawn(job))
    free.set()
    assert told.result(10) == 1


def test_who_waits_is_told_that_it_was_cancelled_though_it_still_cleans_up(
    loop: LoopThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, cleaned, go_on = threading.Event(), threading.Event(), asyncio.Event()

    async def job() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(go_on.wait(), 2)
            cleaned.set()

    future = loop.spawn(job)
    assert begun.wait(5)
    with monkeypatch.context() as patched:
        patched.setattr(loop, "refuse_on_thread", lambda *_: future.cancel())  # as it begins to wait
        with pytest.raises(concurrent.futures.CancelledError):
            future.result()
    assert not cleaned.is_set()
    loop.call(go_on.set)


def test_a_coroutine_that_is_cancelled_cancels_the_future(loop: LoopThread) -> None:
    gate = Gate()
    future = loop.spawn(gate.wait(), name="gate")
    assert gate.begun.wait(5)
    [task] = [tracked.task for tracked in loop.call(loop.tasks) if tracked.name == "gate"]
    loop.call(task.cancel)
    with pytest.raises(concurrent.futures.CancelledError):
        future.result(5)
    assert future.cancelled()
    assert concurrent.futures.wait([future], 5).done == {future}


def test_who_stops_waiting_cancels_what_it_waited_for(loop: LoopThread) -> None:
    gate = Gate()
    with pytest.raises(TimeoutError, match=r"Gate\.wait.*'side'.*0\.01 s"):
        loop.wait(gate.wait(), timeout=0.01)
    assert not gate.begun.is_set() or gate.ended.result(5) == "cancelled"


def test_a_coroutine_of_another_loop_awaits_and_cancels(loop: LoopThread) -> None:
    gate = Gate()

    async def main() -> None:
        assert await loop.acall(threading.get_ident) == loop.thread
        assert await loop.spawn(asyncio.sleep, 0, "value") == "value"
        with pytest.raises(ValueError, match="broken"):
            await loop.acall(fail)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await loop.acall(gate.wait)

    asyncio.run(main())
    assert gate.ended.result(5) == "cancelled"


def test_a_blocking_call_from_the_loops_own_thread_names_its_twin(loop: LoopThread) -> None:
    async def ask() -> int:
        future = loop.spawn(asyncio.sleep, 0, 3)
        for blocking, twin in (
            (lambda: loop.call(int), "acall"),
            (lambda: loop.wait(fail()), "`await` the coroutine"),
            (future.result, "`await` the future"),
            (future.exception, "`await` the future"),
            (loop.join, "aclose"),
            (loop.close, "aclose"),
        ):
            with pytest.raises(RuntimeError, match=twin):
                blocking()  # type: ignore[operator]
        return await future + await loop.acall(int, "4")

    assert loop.wait(ask(), timeout=5) == 7


def test_what_was_posted_and_fails_goes_to_the_loops_handler(loop: LoopThread) -> None:
    told: concurrent.futures.Future[dict[str, Any]] = concurrent.futures.Future()
    loop.call(loop.loop.set_exception_handler, lambda _, context: told.set_result(context))
    loop.post(lambda: 1 // 0)
    context = told.result(5)
    assert "posted to the loop 'side'" in context["message"]
    assert isinstance(context["exception"], ZeroDivisionError)


def end_program(error: BaseException) -> None:
    raise error


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()], ids=repr)
@pytest.mark.parametrize("way", ["call", "spawn"])
def test_what_ends_the_program_ends_it_whoever_waits(way: str, error: BaseException) -> None:
    outcome: list[BaseException | None] = []

    def ask(loops: EventLoopManager) -> None:
        if way == "spawn":
            outcome.append(loops.spawn(end_program, error).exception(10))
            return
        try:
            loops.call(end_program, error, timeout=10)
        except BaseException as raised:  # noqa: BLE001 - it is what is looked at
            outcome.append(raised)

    async def main() -> None:
        async with EventLoopManager(stall_after=None) as loops, asyncio.timeout(10):
            threads.append(threading.Thread(target=ask, args=(loops,)))
            threads[0].start()
            await asyncio.Event().wait()

    threads: list[threading.Thread] = []
    with pytest.raises(type(error)):
        asyncio.run(main())
    threads[0].join(10)
    assert outcome == [error]


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()], ids=repr)
def test_what_ends_the_program_from_a_post_does_so_once_the_others_have_started(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    started: list[int] = []

    async def main() -> None:
        async with EventLoopManager(stall_after=None) as loops:
            loops.post(end_program, error)
            loops.post(started.append, 1)
            for _ in range(3):
                await asyncio.sleep(0)

    with pytest.raises(type(error)):
        asyncio.run(main())
    assert started == [1]
    assert not caplog.records


def test_what_stands_behind_a_callback_that_ends_the_program_starts_when_the_loop_runs_again() -> None:
    started: list[int] = []

    async def enter() -> EventLoopManager:
        loops = EventLoopManager(stall_after=None)
        loops.adopt()
        return loops

    async def take_turns() -> None:
        for _ in range(3):
            await asyncio.sleep(0)

    with contextlib.closing(asyncio.new_event_loop()) as loop:
        loops = loop.run_until_complete(enter())
        loops.spawn(int).add_done_callback(lambda _: end_program(SystemExit(3)))
        loops.post(started.append, 1)
        with pytest.raises(SystemExit):
            loop.run_until_complete(take_turns())
        loop.run_until_complete(take_turns())
        loop.run_until_complete(loops.aclose())
    assert started == [1]


def test_a_failure_that_nobody_looks_at_is_logged_once(loop: LoopThread, caplog: pytest.LogCaptureFixture) -> None:
    loop.spawn(fail, name="forgotten")
    looked_at = loop.spawn(fail, name="looked at")
    assert isinstance(looked_at.exception(5), ValueError)
    loop.wait(asyncio.sleep(0))
    del looked_at
    gc.collect()
    assert [record.message for record in caplog.records] == [
        "'forgotten' failed on its loop and nobody looked: ValueError: broken"
    ]


@pytest.mark.blocking_allowed("the loop is held up on purpose")
def test_no_more_is_posted_than_the_inbox_holds(loop: LoopThread, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(portal, "MOST_WAITING", 10)
    free = hold_up(loop)
    for _ in range(10):
        loop.post(int)
    assert loop.waiting == 10
    with pytest.raises(RejectedError, match="10 calls wait for the loop 'side'"):
        loop.post(int)
    free.set()
    loop.call(int)
    loop.post(int)


def test_nothing_of_a_call_waits_for_the_garbage_collector(loop: LoopThread) -> None:
    class Value:
        def __init__(self, gone: threading.Event) -> None:
            self.gone = gone

        def __del__(self) -> None:
            self.gone.set()

    gc.collect()
    gc.disable()
    try:
        ways: list[Callable[[Value], object]] = [
            lambda value: loop.call(str, value),
            lambda value: loop.wait(asyncio.sleep(0, value)),
            lambda value: loop.spawn(str, value),
        ]
        for way in ways:
            gone = threading.Event()
            way(Value(gone))
            loop.call(int)
            assert gone.wait(5)
    finally:
        gc.enable()


def test_from_draining_on_everything_is_refused_at_once() -> None:
    with LoopThread("side", SYSTEM_CLOCK, kind="asyncio") as loop:
        gate = Gate()
        future = loop.spawn(gate.wait())
        assert gate.begun.wait(5)
        loop.drain()
        coroutine = fail()
        ways = (loop.call, loop.spawn, loop.post, lambda _: loop.wait(fail()), lambda _: loop.spawn(coroutine))
        for way in ways:
            with pytest.raises(RejectedError, match="'side' is draining"):
                way(int)
        assert coroutine.cr_frame is None
        assert not future.done()
    assert loop.state is LoopState.CLOSED
    with pytest.raises(concurrent.futures.CancelledError):
        future.result(5)


@pytest.mark.blocking_allowed("the loop is held up on purpose")
def test_whoever_waits_when_the_loop_closes_gets_an_answer() -> None:
    loop = LoopThread("side", SYSTEM_CLOCK, kind="asyncio")
    loop.start()
    free = hold_up(loop)
    outcomes: list[BaseException] = []

    def ask() -> None:
        try:
            loop.call(asyncio.sleep, 1000)
        except BaseException as error:  # noqa: BLE001 - it is what is looked at
            outcomes.append(error)

    threads = [threading.Thread(target=ask) for _ in range(20)]
    for thread in threads:
        thread.start()
    futures = [loop.spawn(asyncio.sleep, 1000) for _ in range(20)]
    loop.drain()
    loop.stop()
    free.set()
    loop.join()
    for thread in threads:
        thread.join()
    assert len(outcomes) == 20
    assert {type(error) for error in outcomes} <= {RejectedError, concurrent.futures.CancelledError}
    assert {type(_outcome(future)) for future in futures} <= {RejectedError, concurrent.futures.CancelledError}


@pytest.mark.parametrize("kind", ["trio", ""])
def test_a_kind_of_loop_that_does_not_exist_is_refused(kind: LoopKind) -> None:
    with pytest.raises(ConfigError, match="one of auto, asyncio, uvloop"):
        loop_factory(kind)


def test_uvloop_where_it_is_missing_is_refused_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenire.concurrency.loops.kinds._has_uvloop", lambda: False)
    assert loop_factory("auto") is asyncio.new_event_loop
    with pytest.raises(ConfigError, match="uvloop, which is not installed") as caught:
        loop_factory("uvloop")
    assert caught.value.hint == "run: pip install uvloop"
