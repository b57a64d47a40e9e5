"""Whole scripts with an engine in them: forgotten, interrupted, forked, stuck."""

from __future__ import annotations

import os
import signal
import sys
import textwrap
from typing import TYPE_CHECKING

import pytest

from .scripts import STUCK_S, Script, at_once, no_complaint

if TYPE_CHECKING:
    from pathlib import Path

BLOCKED = [
    "manager.submit(forever).result()",
    "manager.loops.wait(forever())",
    "manager.loops.call(forever)",
    "manager.loops.spawn(forever).result()",
    "manager.submit(forever)",
]


def test_a_script_that_forgets_to_close_ends_and_cleans_up(tmp_path: Path) -> None:
    script = Script(
        tmp_path,
        """
        manager = tenire.ConcurrencyManager.in_thread(cpu=1, memory=1, home=sys.argv[0] + ".home").__enter__()
        manager.submit(forever)
        say(manager.submit(answer).result(10))
        """,
    )
    code, out, err = script.end()
    assert (code, out.split()) == (0, ["task", "begun", "42", "task", "cleaned", "up"])
    assert no_complaint(err), err


STUCK = """
    begun = [threading.Event() for _ in range(3)]

    def stick(event):
        event.set()
        threading.Event().wait()

    async def on_default_executor(event):
        await asyncio.to_thread(stick, event)

    manager = tenire.ConcurrencyManager.in_thread(cpu=1, memory=1).__enter__()
    manager.submit(stick, begun[0], name="stuck one")
    manager.loops.spawn(on_default_executor, begun[1])
    with EventLoopManager() as loops:
        loops.spawn(on_default_executor, begun[2])
        for event in begun:
            event.wait(10)
    say("end")
"""


def test_a_stuck_function_does_not_keep_the_interpreter_from_ending(tmp_path: Path) -> None:
    def begin() -> Script:
        script = Script(tmp_path, STUCK)
        script.read("end")
        return script

    code, _, err = at_once(begin, Script.end, most_s=STUCK_S)
    assert code == 0
    assert "stuck one" in err
    assert no_complaint(err), err


@pytest.mark.skipif(sys.platform == "win32", reason="there is no way to press Ctrl-C in one process only")
@pytest.mark.parametrize("blocked", BLOCKED)
def test_ctrl_c_while_blocked_ends_at_once_and_cancels(tmp_path: Path, blocked: str) -> None:
    body = f"""
        try:
            with tenire.ConcurrencyManager.in_thread(cpu=1, memory=1) as manager:
                {blocked}
        except KeyboardInterrupt:
            say("interrupted")
    """

    def begin() -> Script:
        script = Script(tmp_path, body)
        script.read("task begun")
        return script

    code, out, err = at_once(begin, lambda script: script.end(signal.SIGINT))
    assert (code, out.splitlines()) == (0, ["task cleaned up", "interrupted"])
    assert no_complaint(err), err


@pytest.mark.skipif(sys.platform == "win32", reason="there is no way to press Ctrl-C in one process only")
@pytest.mark.parametrize("blocked", BLOCKED)
def test_ctrl_c_that_another_thread_gets_ends_the_wait_too(tmp_path: Path, blocked: str) -> None:
    # As one that comes just before the main thread waits: nothing wakes that.
    body = f"""
        def press():
            say("pressed")
            signal.pthread_kill(threading.get_ident(), signal.SIGINT)

        async def signals_its_own_thread():
            asyncio.get_running_loop().call_later(0.2, press)
            await forever()

        try:
            with tenire.ConcurrencyManager.in_thread(cpu=1, memory=1) as manager:
                {blocked.replace("forever", "signals_its_own_thread")}
        except KeyboardInterrupt:
            say("interrupted")
    """

    def begin() -> Script:
        script = Script(tmp_path, body)
        script.read("pressed")
        return script

    code, out, err = at_once(begin, Script.end)
    assert (code, out.splitlines()) == (0, ["task cleaned up", "interrupted"])
    assert no_complaint(err), err


PATIENT = """
    import tenire.concurrency.parts
    tenire.concurrency.parts._GRACE_S = 60  # so that whoever waits for what is stuck does not end at once
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no way to press Ctrl-C in one process only")
@pytest.mark.parametrize("press", ["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("blocked", ["manager.submit(stubborn).result()", "manager.submit(stubborn)"])
def test_a_second_ctrl_c_ends_at_once_whatever_is_stuck(tmp_path: Path, blocked: str, press: str) -> None:
    body = f"""
        with tenire.ConcurrencyManager.in_thread(cpu=1, memory=1) as manager:
            {blocked}
    """

    def begin() -> Script:
        script = Script(tmp_path, textwrap.dedent(PATIENT) + textwrap.dedent(body))
        script.read("begun")
        script.process.send_signal(signal.Signals[press])
        script.read("refused")
        return script

    code, _, _ = at_once(begin, lambda script: script.end(signal.SIGINT))
    assert code == -signal.SIGINT


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGTERM to be minded")
def test_a_second_sigterm_ends_a_program_that_asyncio_would_keep(tmp_path: Path) -> None:
    def begin() -> Script:
        script = Script(
            tmp_path,
            """
            async def main():
                async with tenire.ConcurrencyManager(cpu=1, memory=1) as manager:
                    await manager.submit(stubborn)

            asyncio.run(main())
            """,
        )
        script.read("begun")
        script.process.send_signal(signal.SIGTERM)
        script.read("refused")
        return script

    code, _, _ = at_once(begin, lambda script: script.end(signal.SIGTERM))
    assert code == -signal.SIGTERM


@pytest.mark.skipif(sys.platform == "win32", reason="there is no way to press Ctrl-C in one process only")
def test_ctrl_c_while_leaving_ends_at_once_whatever_refuses_to_end(tmp_path: Path) -> None:
    def begin() -> Script:
        script = Script(
            tmp_path,
            """
            with tenire.ConcurrencyManager.in_thread(cpu=1, memory=1) as manager:
                manager.submit(stubborn)
            """,
        )
        script.read("begun")
        return script

    code, _, err = at_once(begin, lambda script: script.end(signal.SIGINT), most_s=STUCK_S)
    assert code == -signal.SIGINT
    assert "given up, did not end when cancelled: stubborn" in err


STUCK_EVERYWHERE = """
    from tenire.concurrency.waiting import wait_set

    everywhere = threading.Barrier(8)

    def stick():
        everywhere.wait(30)
        threading.Event().wait()

    async def refuse():
        asyncio.get_running_loop().run_in_executor(None, everywhere.wait, 30)
        await stubborn()

    async def on_default_executor():
        await asyncio.to_thread(stick)

    async def leave_behind():
        kept.append(asyncio.create_task(refuse()))

    kept = []
    try:
        with tenire.ConcurrencyManager.in_thread(cpu=2, memory=1) as manager:
            side = manager.loops.start("side")
            manager.submit(stick, name="stuck one")
            manager.submit(refuse)
            manager.submit(leave_behind).result(30)
            for loop in (manager.loops, side):
                loop.spawn(refuse)
                loop.spawn(on_default_executor)
            everywhere.wait(30)
            say("ready")
            wait_set(threading.Event())  # a bare wait can miss a Ctrl-C that comes just before it begins
    except KeyboardInterrupt:
        say("interrupted")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no way to press Ctrl-C in one process only")
def test_whatever_is_stuck_on_whatever_loop_shares_one_moment_at_the_end(tmp_path: Path) -> None:
    def begin() -> Script:
        script = Script(tmp_path, STUCK_EVERYWHERE)
        script.read("ready")
        return script

    code, out, err = at_once(begin, lambda script: script.end(signal.SIGINT), most_s=STUCK_S)
    assert (code, out.splitlines()[-1]) == (0, "interrupted")
    assert "given up, did not end when cancelled: refuse, stuck one" in err
    assert "task 'refuse' goes on though it was cancelled" in err
    assert no_complaint(err), err


LOOP_STANDS_STILL = """
    from tenire.concurrency.waiting import wait_set

    refused = []

    def stand_still(event):
        event.set()
        threading.Event().wait()

    def wait_for_it(manager, event):
        try:
            manager.loops.call(stand_still, event)
        except tenire.RejectedError as error:
            refused.append(error)

    side, main = threading.Event(), threading.Event()
    try:
        with tenire.ConcurrencyManager.in_thread(cpu=1, memory=1) as manager:
            manager.loops.start("side").spawn(stand_still, side)
            waiter = threading.Thread(target=wait_for_it, args=(manager, main))
            waiter.start()
            side.wait(30)
            main.wait(30)
            say("ready")
            wait_set(threading.Event())
    except KeyboardInterrupt:
        waiter.join(30)
        say("interrupted", manager.loops.abandoned, *refused)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no way to press Ctrl-C in one process only")
def test_ctrl_c_gives_up_loops_that_stand_still_and_the_program_ends(tmp_path: Path) -> None:
    script = Script(tmp_path, LOOP_STANDS_STILL)
    script.read("ready")
    code, out, err = script.end(signal.SIGINT)
    told = out.splitlines()[-1]
    assert (code, told.startswith("interrupted ['main']")) == (0, True)
    assert told.endswith("its thread did not end and was given up")
    for loop in ("main", "side"):
        assert f"the thread of the loop '{loop}' does not end; given up. It stands at:" in err
    assert "in stand_still" in err
    assert no_complaint(err), err


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_is_ended_by_the_first_sigterm(tmp_path: Path) -> None:
    script = Script(
        tmp_path,
        """
        import warnings
        warnings.simplefilter("ignore", DeprecationWarning)

        async def main():
            async with tenire.ConcurrencyManager(cpu=1, memory=1):
                ready, tell = os.pipe()
                child = os.fork()
                if not child:
                    os.write(tell, b"x")
                    until = time.monotonic() + 10
                    while time.monotonic() < until:
                        pass
                    os._exit(7)
                os.read(ready, 1)
                os.kill(child, signal.SIGTERM)
                say(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))

        asyncio.run(main())
        """,
    )
    code, out, err = script.end()
    assert (code, out.split()) == (0, [str(-signal.SIGTERM)]), err


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_is_refused_with_the_reason_and_leaves_the_parent_alone(tmp_path: Path) -> None:
    script = Script(
        tmp_path,
        """
        import warnings
        warnings.simplefilter("ignore", DeprecationWarning)

        def attempt(do):
            try:
                say("child:", do())
            except tenire.RejectedError as error:
                say("child:", "forked" in str(error))

        with tenire.ConcurrencyManager.in_thread(cpu=1, memory=1) as manager:
            running = manager.submit(forever)
            manager.submit(answer).result(10)
            child = os.fork()
            if not child:
                for do in (lambda: manager.submit(answer), running.result, lambda: manager.loops.call(answer),
                           lambda: manager.loops.wait(forever()), lambda: manager.loops.post(answer)):
                    attempt(do)
                sys.stdout.flush()
                os._exit(0)
            os.waitpid(child, 0)
            say("parent:", manager.submit(answer).result(10))
            running.cancel()
        """,
    )
    code, out, err = script.end()
    assert code == 0, err
    assert [line for line in out.splitlines() if ":" in line] == ["child: True"] * 5 + ["parent: 42"]
    assert no_complaint(err), err


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_child_forked_by_a_thread_beside_a_loop_in_debug_mode_is_refused_likewise(tmp_path: Path) -> None:
    script = Script(
        tmp_path,
        """
        import warnings
        warnings.simplefilter("ignore", DeprecationWarning)

        def fork():
            child = os.fork()
            if not child:
                for do in (running.result, lambda: manager.loops.call(answer, timeout=5)):
                    try:
                        say("child:", do())
                    except (tenire.RejectedError, TimeoutError) as error:
                        say("child:", "forked" in str(error), running.done())
                os._exit(0)
            os.waitpid(child, 0)

        async def wait():
            await running

        async def main():
            global manager, running
            async with tenire.ConcurrencyManager(cpu=1, memory=1) as manager:
                running = manager.submit(forever)
                waiting = asyncio.create_task(wait())
                await asyncio.sleep(0.1)
                await asyncio.to_thread(fork)
                running.cancel()
                await asyncio.wait([waiting])
                say("parent:", await manager.submit(answer))

        asyncio.run(main(), debug=True)
        """,
    )
    code, out, err = script.end()
    assert code == 0, err
    assert [line for line in out.splitlines() if ":" in line] == ["child: True True"] * 2 + ["parent: 42"]
    assert no_complaint(err), err


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_task_that_the_loop_had_not_taken_in_is_refused_in_a_forked_child(tmp_path: Path) -> None:
    script = Script(
        tmp_path,
        """
        import warnings
        warnings.simplefilter("ignore", DeprecationWarning)

        def stand_still():
            standing.set()
            go_on.wait(10)

        standing, go_on = threading.Event(), threading.Event()
        with tenire.ConcurrencyManager.in_thread(cpu=1, memory=1) as manager:
            manager.loops.post(stand_still)
            standing.wait(10)
            handle = manager.submit(answer)
            child = os.fork()
            if not child:
                try:
                    handle.result(5)
                except tenire.RejectedError as error:
                    say("child:", "forked" in str(error), "forked" in str(handle.explain()), handle.cancel())
                os._exit(0)
            os.waitpid(child, 0)
            go_on.set()
            say("parent:", handle.result(10))
        """,
    )
    code, out, err = script.end()
    assert (code, out.splitlines()) == (0, ["child: True True False", "parent: 42"]), err


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_is_refused_timer_and_signals_even_if_a_thread_used_them_just_then(tmp_path: Path) -> None:
    script = Script(
        tmp_path,
        """
        import warnings
        warnings.simplefilter("ignore", DeprecationWarning)

        def attempt(do):
            try:
                say("child:", do())
            except tenire.RejectedError as error:
                say("child:", "forked" in str(error))

        def hold():
            with manager.timer._heap.lock, manager.signals.lock:
                held.set()
                end.wait(20)

        def emit_from_here():
            asyncio.run(manager.signals.aemit(object()))

        with tenire.ConcurrencyManager.in_thread(cpu=1, memory=1) as manager:
            timer, signals, held, end = manager.timer, manager.signals, threading.Event(), threading.Event()
            heard = []
            signals.subscribe(str, heard.append, on="emitter")
            stream = signals.stream(bytes)
            signals.emit("begun")
            holder = threading.Thread(target=hold)
            holder.start()
            held.wait(20)
            child = os.fork()
            if not child:
                signal.alarm(30)  # should it wait for ever
                for do in (lambda: timer.after(1, answer), lambda: timer.after(1, answer, slack=1),
                           lambda: timer.at(timer.now() + 1, answer), lambda: timer.every(1, answer),
                           lambda: signals.subscribe(str, print), lambda: signals.stream(str),
                           lambda: signals.emit("lost"), lambda: signals.post("lost"), emit_from_here,
                           lambda: next(stream), lambda: stream.get(1)):
                    attempt(do)
                say("child heard:", *heard)
                sys.stdout.flush()
                os._exit(0)
            os.waitpid(child, 0)
            end.set()
            holder.join(20)
            rang = threading.Event()
            timer.after(0.001, rang.set)
            signals.emit("still here")
            say("parent:", rang.wait(10), *heard)
        """,
    )
    code, out, err = script.end()
    assert code == 0, err
    told = ["child: True"] * 11 + ["child heard: begun", "parent: True begun still here"]
    assert [line for line in out.splitlines() if ":" in line] == told
    assert no_complaint(err), err


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_fork_that_goes_on_with_its_copy_of_the_loop_leaves_the_engine_without_complaint(tmp_path: Path) -> None:
    script = Script(
        tmp_path,
        """
        import warnings
        warnings.simplefilter("ignore", DeprecationWarning)

        async def main():
            async with tenire.ConcurrencyManager(cpu=1, memory=1) as manager:
                asleep = asyncio.create_task(manager.timer.wait_until(manager.timer.now() + 3600))
                await manager.submit(answer)
                child = os.fork()
                if not child:
                    return "child"
                say("child ended:", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
                asleep.cancel()
                say("parent:", await manager.submit(answer))
            return "parent"

        say("left by:", asyncio.run(main()))
        """,
    )
    code, out, err = script.end()
    assert code == 0, err
    assert sorted(line for line in out.splitlines() if ":" in line) == [
        "child ended: 0", "left by: child", "left by: parent", "parent: 42"
    ]  # fmt: skip
    assert no_complaint(err), err


def test_leaving_by_an_exception_cancels_what_was_submitted(tmp_path: Path) -> None:
    script = Script(
        tmp_path,
        """
        begun = threading.Event()

        async def waits():
            begun.set()
            await forever()

        try:
            with tenire.ConcurrencyManager.in_thread(cpu=1, memory=1) as manager:
                manager.submit(waits)
                begun.wait(10)
                raise ValueError("enough")
        except ValueError as error:
            say(error)
        say(threading.active_count())
        """,
    )
    code, out, err = script.end()
    assert (code, out.splitlines()) == (0, ["task begun", "task cleaned up", "enough", "1"])
    assert no_complaint(err), err


def test_a_loop_that_is_closed_without_a_word_leaves_nobody_waiting_for_its_tasks(tmp_path: Path) -> None:
    script = Script(
        tmp_path,
        """
        told = []  # not said at once: threads would say it at the same time

        def attempt(do):
            try:
                told.append(do())
            except tenire.RejectedError as error:
                told.append("its loop was closed while the engine was still open" in str(error))

        def beside(do):
            thread = threading.Thread(target=attempt, args=(do,), daemon=True)
            thread.start()
            return thread

        async def enter():
            manager = await tenire.ConcurrencyManager(cpu=2, memory=1).__aenter__()
            await manager.submit(answer)
            handle = manager.submit(forever)
            for _ in range(3):
                await asyncio.sleep(0)
            return manager, handle

        async def elsewhere():
            return await handle

        loop = asyncio.new_event_loop()
        manager, handle = loop.run_until_complete(enter())
        waiting = [beside(handle.result), beside(lambda: handle.result(30)), beside(lambda: asyncio.run(elsewhere()))]
        time.sleep(0.1)
        loop.close()
        attempt(lambda: manager.submit(answer))
        for thread in waiting:
            thread.join(10)
        attempt(handle.result)
        attempt(lambda: asyncio.run(elsewhere()))
        beside(lambda: handle.result(5)).join(10)
        beside(lambda: manager.submit(answer)).join(10)
        say(len(told), set(told), handle.done(), handle.cancel(), "was closed" in str(handle.explain()))
        os._exit(0)
        """,
    )
    code, out, err = script.end()
    assert (code, out.splitlines()[-1]) == (0, "8 {True} True False True"), out + err
