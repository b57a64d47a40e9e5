"""The life of loops: adopted or own, one or several, in programs of every kind."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import gc
import os
import sys
import threading
import weakref
from typing import TYPE_CHECKING, Any

import pytest

from tenire import ConcurrencyManager, RejectedError
from tenire.clock import SYSTEM_CLOCK
from tenire.concurrency.loops import EventLoopManager, LoopOwner, LoopState, LoopThread, loop_factory
from tenire.errors import ComponentError, ConfigError, InternalError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine


async def double(number: int) -> int:
    await asyncio.sleep(0)
    return 2 * number


def test_a_loop_has_one_owner_and_an_owner_one_loop_and_states_never_go_back() -> None:
    owner = LoopOwner("main", SYSTEM_CLOCK)
    states = [owner.state]

    async def main() -> None:
        owner.adopt()
        states.append(owner.state)
        with pytest.raises(InternalError, match="is running and cannot take another loop"):
            owner.adopt()
        owner.drain()
        states.append(owner.state)
        await owner.aclose()
        states.append(owner.state)
        owner.drain()
        await owner.aclose()
        states.append(owner.state)

    asyncio.run(main())
    assert states == [LoopState.NEW, LoopState.RUNNING, LoopState.DRAINING, LoopState.CLOSED, LoopState.CLOSED]


def test_a_loop_that_closes_while_another_thread_has_it_drain_stays_closed() -> None:
    owner = LoopOwner("main", SYSTEM_CLOCK)
    closing = threading.Thread(target=owner.closed)

    def meanwhile(_: object, event: str, called: object) -> None:
        if event == "c_return" and called is max and closing.ident is None:  # it knows what to write
            closing.start()
            closing.join(0.05)  # it has to wait, or would have been faster

    before = sys.getprofile()
    sys.setprofile(meanwhile)
    try:
        owner.drain()
    finally:
        sys.setprofile(before)
    closing.join(10)
    assert closing.ident is not None
    assert owner.state is LoopState.CLOSED


def test_a_loop_that_has_not_started_says_so() -> None:
    with pytest.raises(RejectedError, match="has not started") as caught:
        EventLoopManager().call(int)
    assert "async with" in (caught.value.hint or "")


def test_a_manager_whose_main_loop_never_ran_closes_its_other_loops() -> None:
    async def scenario() -> None:
        loops = EventLoopManager()
        side = loops.start("side")
        assert await side.acall(int) == 0
        await loops.aclose()
        await loops.aclose()
        assert {loops.state, side.state} == {LoopState.CLOSED}

    asyncio.run(scenario())


def test_several_loops_run_side_by_side_and_end_with_the_engine() -> None:
    async def main() -> tuple[set[int], list[LoopThread]]:
        async with ConcurrencyManager(cpu=1, memory=1) as manager:
            threads = [manager.loops.start(f"side {number}") for number in range(3)]
            idents = {await thread.acall(threading.get_ident) for thread in threads}
            threads[0].spawn(asyncio.sleep, 1000)
            async with manager.loops.start("short") as short:
                assert await short.acall(double, 4) == 8
            assert short.state is LoopState.CLOSED
            return idents, threads

    idents, threads = asyncio.run(main())
    assert len(idents | {threading.get_ident()}) == 4
    assert {thread.state for thread in threads} == {LoopState.CLOSED}


def test_names_of_loops_are_taken_once_at_a_time() -> None:
    with EventLoopManager() as loops:
        with loops.start("side"), pytest.raises(ConfigError, match="there is a loop 'side' already"):
            loops.start("side")
        with pytest.raises(ConfigError, match="'main' already"):
            loops.start("main")
        with loops.start("side") as again:
            assert again.call(int) == 0
    with pytest.raises(RejectedError, match="closed"):
        loops.start("late")


def test_a_loop_that_has_ended_is_forgotten_when_another_one_starts() -> None:
    with EventLoopManager(stall_after=None) as loops:
        with loops.start("first") as first:
            thread, forgotten = first._running, weakref.ref(first)
        assert thread is not None
        thread.join(10)
        del first
        with loops.start("second"):
            gc.collect()
            assert forgotten() is None


def test_what_ended_another_loop_is_raised_once_all_is_closed() -> None:
    known: list[EventLoopManager | LoopThread] = []

    async def main() -> None:
        async with EventLoopManager(stall_after=None) as loops:
            ended, side = loops.start("ended"), loops.start("side")
            known.extend([loops, side])
            with pytest.raises(SystemExit):
                await ended.spawn(sys.exit, 3)
            assert await asyncio.to_thread(ended._gone.wait, 10)
            known.append(loops.start("another"))  # which forgets none that has still something to tell

    with pytest.raises(SystemExit) as caught:
        asyncio.run(main())
    assert caught.value.code == 3
    assert [each.state for each in known] == [LoopState.CLOSED] * 3


def beside_the_start(monkeypatch: pytest.MonkeyPatch, what: Callable[[], object]) -> None:
    """Have another thread do something, once, when a loop is about to start."""
    start = LoopThread.start

    def start_later(loop: LoopThread) -> None:
        monkeypatch.undo()
        thread = threading.Thread(target=what)
        thread.start()
        thread.join()
        start(loop)

    monkeypatch.setattr(LoopThread, "start", start_later)


def test_of_two_threads_that_start_loops_of_one_name_one_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    second: list[object] = []

    def start_too() -> None:
        try:
            second.append(loops.start("side"))
        except ConfigError as error:
            second.append(str(error))

    with EventLoopManager(stall_after=None) as loops:
        beside_the_start(monkeypatch, start_too)
        side = loops.start("side")
        assert side.call(int) == 0
        for other in second:  # left open, it would outlive the test
            if isinstance(other, LoopThread):
                other.close()
        [refused] = second
        assert "there is a loop 'side' already" in str(refused)
    assert not side.is_alive()


def test_a_loop_that_starts_while_the_manager_is_left_does_not_outlive_it(monkeypatch: pytest.MonkeyPatch) -> None:
    loops = EventLoopManager(stall_after=None)
    loops.__enter__()
    beside_the_start(monkeypatch, lambda: loops.__exit__(None, None, None))
    try:
        with pytest.raises(RejectedError, match="'main' is closed"):
            loops.start("side")
    finally:
        for owner in loops.owners().values():  # those that live
            assert isinstance(owner, LoopThread)
            owner.close()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
def test_a_loop_for_which_there_is_no_room_says_what_to_do() -> None:
    import resource

    with EventLoopManager() as loops:
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))
        try:
            with pytest.raises(ComponentError, match=r"loop 'side' needs a few files .*Too many open files") as caught:
                loops.start("side")
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        assert "ulimit -n" in str(caught.value.hint)
        with loops.start("side") as side:
            assert side.call(int) == 0


def test_a_thread_for_which_there_is_no_room_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object) -> None:
        raise RuntimeError("can't start new thread")

    loop = LoopThread("side", SYSTEM_CLOCK)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(ComponentError, match="can't start new thread"):
            loop.start()
    assert loop.state is LoopState.CLOSED


@pytest.mark.parametrize("runs", [True, False])
def test_a_ctrl_c_while_its_thread_starts_leaves_no_loop(monkeypatch: pytest.MonkeyPatch, *, runs: bool) -> None:
    def interrupted(thread: threading.Thread) -> None:
        threads.append(thread)
        if runs:
            start(thread)
            assert loop.call(int, timeout=10) == 0
        raise KeyboardInterrupt

    start, threads = threading.Thread.start, list[threading.Thread]()
    loop = LoopThread("side", SYSTEM_CLOCK)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", interrupted)
        with pytest.raises(KeyboardInterrupt):
            loop.start()
    [thread] = threads
    if not runs:
        thread.start()  # it had begun, and comes only now to run the loop
    thread.join(10)
    assert not thread.is_alive()
    assert loop.join(10)
    assert loop.state is LoopState.CLOSED
    assert loop.loop.is_closed()


def test_a_loop_of_its_own_is_adopted_by_nobody_else() -> None:
    with LoopThread("side", SYSTEM_CLOCK) as loop:

        async def take() -> None:
            loop.adopt()

        with pytest.raises(RuntimeError, match="thread of its own"):
            asyncio.run(take())


def test_closing_from_the_loop_itself_ends_its_thread() -> None:
    loop = LoopThread("side", SYSTEM_CLOCK)
    assert loop.join()
    with loop:
        loop.spawn(loop.aclose).exception(5)
        assert loop.join(5)
    loop.close()
    assert loop.state is LoopState.CLOSED


def test_a_thread_with_the_number_of_the_one_that_has_ended_is_another_one(monkeypatch: pytest.MonkeyPatch) -> None:
    with LoopThread("side", SYSTEM_CLOCK) as loop:
        number = loop.thread
    with monkeypatch.context() as patched:
        patched.setattr(threading, "get_ident", lambda: number)
        with pytest.raises(RejectedError, match="'side' is closed"):
            loop.call(int)
        loop.close()


def test_what_ends_the_main_coroutine_is_raised_to_whoever_joins() -> None:
    async def main() -> None:
        raise ValueError("no use")

    loop = LoopThread("side", SYSTEM_CLOCK)
    loop.start(main)
    with pytest.raises(ValueError, match="no use"):
        loop.join(5)
    assert loop.join()


# -- in programs of every kind ------------------------------------------------


def test_an_engine_that_is_left_open_is_closed_with_its_loop(caplog: pytest.LogCaptureFixture) -> None:
    cleaned: list[str] = []

    async def work() -> None:
        try:
            await asyncio.sleep(1000)
        finally:
            cleaned.append("task")

    async def main() -> ConcurrencyManager:
        manager = await ConcurrencyManager(cpu=1, memory=1).__aenter__()
        manager.submit(work)
        await asyncio.to_thread(manager.loops.call, int)
        assert await manager.submit(os.getpid, on="thread") == os.getpid()
        return manager

    manager = asyncio.run(main())
    assert cleaned == ["task"]
    assert manager.loops.state is LoopState.CLOSED
    assert manager.orchestrator.closed
    assert "the loop 'main' ends while the engine on it is still open" in caplog.text
    with pytest.raises(RejectedError, match="closing"):
        manager.submit(double, 1)


def test_a_thread_that_waits_when_the_loop_ends_gets_an_answer() -> None:
    outcome: concurrent.futures.Future[BaseException] = concurrent.futures.Future()
    begun = threading.Event()

    async def wait() -> None:
        begun.set()
        await asyncio.sleep(1000)

    def ask(loops: EventLoopManager) -> None:
        try:
            loops.call(wait)
        except BaseException as error:  # noqa: BLE001 - it is what is looked at
            outcome.set_result(error)

    async def main() -> threading.Thread:
        loops = EventLoopManager(stall_after=None)
        loops.adopt()
        thread = threading.Thread(target=ask, args=(loops,))
        thread.start()
        while not begun.is_set():  # noqa: ASYNC110 - it is set by what the thread calls here
            await asyncio.sleep(0.001)
        return thread

    asyncio.run(main()).join()
    assert isinstance(outcome.result(5), concurrent.futures.CancelledError | RejectedError)


async def go_on() -> None:
    """Swallow every cancellation."""
    while True:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(1000)


def test_who_waits_elsewhere_for_a_task_that_was_given_up_gets_an_answer_when_its_loop_has_ended() -> None:
    outcomes: list[str] = []

    def ask(how: Callable[[], object]) -> None:
        try:
            how()
        except RejectedError as error:
            outcomes.append(str(error))

    def leave() -> None:
        with ConcurrencyManager.in_thread(cpu=1, memory=1) as manager:
            handle = manager.submit(go_on)

            async def wait() -> None:
                await handle

            for how in (handle.result, lambda: asyncio.run(wait())):
                threads.append(threading.Thread(target=ask, args=(how,), daemon=True))
                threads[-1].start()
            while len(manager.orchestrator.waiting_elsewhere) < len(threads):
                manager.loops.call(int)
            manager.loops.call(int)
            raise ZeroDivisionError

    threads: list[threading.Thread] = []
    with pytest.raises(ZeroDivisionError):
        leave()
    for thread in threads:
        thread.join(5)
    assert outcomes == ["task 'go_on' cannot end any more: it was given up when its loop ended"] * 2


def test_under_a_runner_as_test_plugins_use_it() -> None:
    """Set up, test and tear down are runs of their own, with the loop standing still in between."""

    async def set_up() -> ConcurrencyManager:
        return await ConcurrencyManager(cpu=1, memory=1).__aenter__()

    async def test(manager: ConcurrencyManager) -> int:
        return await manager.submit(double, 21)

    with asyncio.Runner() as runner:
        manager = runner.run(set_up())
        handle = manager.submit(double, 4)
        assert runner.run(test(manager)) == 42
        assert handle.done()
        runner.run(manager.shutdown())
    assert manager.loops.state is LoopState.CLOSED


class Notebook:
    """A loop that runs all the time, as in Jupyter: each cell is a task of its own."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()

    def run(self, cell: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        return asyncio.run_coroutine_threadsafe(cell(), self.loop).result(10)

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


def test_in_a_notebook_cell_by_cell() -> None:
    notebook = Notebook()
    manager = ConcurrencyManager(cpu=1, memory=1)

    async def submit() -> int:
        return await manager.submit(double, 21)

    try:
        notebook.run(manager.__aenter__)
        assert notebook.run(submit) == 42
        assert manager.submit(double, 3).result(10) == 6
        notebook.run(manager.shutdown)
    finally:
        notebook.close()
    assert manager.loops.state is LoopState.CLOSED


@pytest.mark.blocking_allowed("a cell of a notebook blocks the notebook's own loop, which is its user's affair")
def test_in_a_notebook_with_an_engine_in_a_thread() -> None:
    notebook = Notebook()

    async def cell() -> int:
        with ConcurrencyManager.in_thread(cpu=1, memory=1) as manager:
            return manager.submit(double, 21).result(10) + manager.loops.call(double, 1)

    try:
        assert notebook.run(cell) == 44
    finally:
        notebook.close()


def test_two_engines_on_one_loop_and_one_in_a_thread_know_of_each_other_and_stay_apart() -> None:
    async def main() -> int:
        async with ConcurrencyManager(cpu=1, memory=1) as one, ConcurrencyManager(cpu=1, memory=1) as two:
            thread = ConcurrencyManager.in_thread(cpu=1, memory=1)
            three = await asyncio.to_thread(thread.__enter__)
            values = [await manager.submit(double, 7) for manager in (one, two, three)]
            asked = await three.loops.acall(double, 7)
            await asyncio.to_thread(thread.__exit__, None, None, None)
            await one.shutdown()
            assert one.loops.state is LoopState.CLOSED
            assert two.loops.state is LoopState.RUNNING
            return sum(values) + asked + await asyncio.to_thread(two.loops.call, double, 7)

    assert asyncio.run(main()) == 70


@pytest.mark.parametrize("kind", ["asyncio", "uvloop"])
def test_inside_a_program_that_brings_its_own_loop(kind: Any) -> None:
    if kind == "uvloop":
        pytest.importorskip("uvloop")

    async def main() -> int:
        async with ConcurrencyManager(cpu=1, memory=1) as manager:
            on_loop, on_thread = manager.submit(double, 1), manager.submit(abs, -3)
            asked = await asyncio.to_thread(manager.loops.call, double, 10)
            return await on_loop + await on_thread + asked

    with asyncio.Runner(loop_factory=loop_factory(kind)) as runner:
        assert runner.run(main()) == 25
