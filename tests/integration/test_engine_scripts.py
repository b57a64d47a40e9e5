"""Whole scripts with an engine in them: forgotten, interrupted, forked, stuck."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

import pytest

from .scripts import AT_ONCE_S, Script, no_complaint

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


def test_a_stuck_function_does_not_keep_the_interpreter_from_ending(tmp_path: Path) -> None:
    script = Script(
        tmp_path,
        """
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
        """,
    )
    script.read("end")
    code, _, err = script.end(AT_ONCE_S)
    assert code == 0
    assert "stuck one" in err
    assert no_complaint(err), err


@pytest.mark.skipif(sys.platform == "win32", reason="there is no way to press Ctrl-C in one process only")
@pytest.mark.parametrize("blocked", BLOCKED)
def test_ctrl_c_while_blocked_ends_at_once_and_cancels(tmp_path: Path, blocked: str) -> None:
    script = Script(
        tmp_path,
        f"""
        try:
            with tenire.ConcurrencyManager.in_thread(cpu=1, memory=1) as manager:
                {blocked}
        except KeyboardInterrupt:
            say("interrupted")
        """,
    )
    script.read("task begun")
    script.process.send_signal(signal.SIGINT)
    code, out, err = script.end(AT_ONCE_S)
    assert (code, out.splitlines()) == (0, ["task cleaned up", "interrupted"])
    assert no_complaint(err), err


@pytest.mark.skipif(sys.platform == "win32", reason="there is no way to press Ctrl-C in one process only")
@pytest.mark.parametrize("blocked", BLOCKED)
def test_ctrl_c_that_another_thread_gets_ends_the_wait_too(tmp_path: Path, blocked: str) -> None:
    # As one that comes just before the main thread waits: nothing wakes that.
    script = Script(
        tmp_path,
        f"""
        async def signals_its_own_thread():
            asyncio.get_running_loop().call_later(0.2, signal.pthread_kill, threading.get_ident(), signal.SIGINT)
            await forever()

        try:
            with tenire.ConcurrencyManager.in_thread(cpu=1, memory=1) as manager:
                {blocked.replace("forever", "signals_its_own_thread")}
        except KeyboardInterrupt:
            say("interrupted")
        """,
    )
    code, out, err = script.end(AT_ONCE_S)
    assert (code, out.splitlines()) == (0, ["task begun", "task cleaned up", "interrupted"])
    assert no_complaint(err), err


@pytest.mark.skipif(sys.platform == "win32", reason="there is no way to press Ctrl-C in one process only")
def test_a_second_ctrl_c_ends_at_once_whatever_is_stuck(tmp_path: Path) -> None:
    script = Script(
        tmp_path,
        """
        with tenire.ConcurrencyManager.in_thread(cpu=1, memory=1) as manager:
            manager.submit(stubborn).result()
        """,
    )
    script.read("begun")
    script.process.send_signal(signal.SIGINT)
    script.read("refused")
    script.process.send_signal(signal.SIGINT)
    code, _, _ = script.end(AT_ONCE_S)
    assert code == -signal.SIGINT


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
