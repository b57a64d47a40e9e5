from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from tenire.clock import SYSTEM_CLOCK
from tenire.testing import Allowance, LeakError, LeakGuard

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextlib.contextmanager
def leaks(kind: str, *words: str) -> Iterator[None]:
    """Expect a leak of one kind whose description holds some words."""
    with pytest.raises(LeakError) as caught, LeakGuard(allowances=(), grace_s=0.0):
        yield
    assert [leak.kind for leak in caught.value.leaks] == [kind], caught.value
    for word in words:
        assert word in str(caught.value)


def test_clean_code_passes_at_once() -> None:
    started = SYSTEM_CLOCK.now()
    with LeakGuard():
        thread = threading.Thread(target=int)
        thread.start()
        thread.join()
        asyncio.run(asyncio.sleep(0))
    assert SYSTEM_CLOCK.now() - started < 1.0


def test_a_thread_is_found_by_name() -> None:
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait, name="forgotten-thread", daemon=True)
    with leaks("thread", "forgotten-thread"):
        thread.start()
    stop.set()
    thread.join()


def test_an_open_file_is_found_by_path(tmp_path: Path) -> None:
    with leaks("file", "forgotten.txt"):
        file = (tmp_path / "forgotten.txt").open("w")
    file.close()


def test_a_socket_is_found() -> None:
    with leaks("file", "socket"):
        forgotten = socket.socket()
    forgotten.close()


def test_a_child_process_and_its_child_are_found() -> None:
    # Who has said something has a command line: just after its start a process may have none yet.
    grandchild = "print(flush=True); input()"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {grandchild!r}, 'grandchild'])"
    with pytest.raises(LeakError) as caught, LeakGuard(grace_s=0.0):  # noqa: PT012 - the block is what is tested
        child = subprocess.Popen([sys.executable, "-c", code, "child"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert child.stdout is not None
        child.stdout.readline()
    # By name: a server that other tests share may have started a process of its own meanwhile.
    found = [leak.description for leak in caught.value.leaks if leak.description.endswith("child")]
    child.communicate(b"\n", timeout=30)
    assert len(found) == 2
    assert any(description.endswith(" grandchild") for description in found)


@pytest.mark.skipif(sys.platform == "win32", reason="only a POSIX program may call itself anything")
@pytest.mark.parametrize(("name", "allowed"), [("autovacuum worker test", True), ("someone test idle", False)])
def test_only_what_a_shared_server_starts_on_its_own_is_no_leak(name: str, allowed: bool) -> None:
    guard = LeakGuard(grace_s=0.0)
    before = guard.snapshot()
    worker = subprocess.Popen(
        [f"postgres: {name}", "-c", "echo; read line"],
        executable="/bin/sh",
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert worker.stdout is not None
    worker.stdout.readline()
    found = [leak.description for leak in guard.compare(before) if leak.description.startswith(f"postgres: {name}")]
    worker.communicate(b"\n", timeout=30)
    assert bool(found) is not allowed


def test_a_pending_task_is_found_by_name() -> None:
    async def main() -> asyncio.Task[Any]:
        return asyncio.create_task(asyncio.sleep(1000), name="forgotten-task")

    loop = asyncio.new_event_loop()
    # Closed inside: its selector and its waker would be leaks of their own.
    with leaks("task", "forgotten-task", "sleep"), contextlib.closing(loop):
        task = loop.run_until_complete(main())
    # The loop is closed: only the coroutine itself can still be ended.
    task.get_coro().close()
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    del task


def test_something_on_its_way_out_gets_its_time() -> None:
    with LeakGuard():
        idle = threading.Event()
        threading.Thread(target=idle.wait, args=(0.2,)).start()


def test_what_a_cycle_keeps_alive_is_collected_first(tmp_path: Path) -> None:
    with LeakGuard():
        cycle: dict[str, Any] = {"file": os.open(tmp_path / "x", os.O_CREAT | os.O_WRONLY)}

        class Closer:
            def __init__(self) -> None:
                self.me = self
                self.descriptor = cycle["file"]

            def __del__(self) -> None:
                os.close(self.descriptor)

        Closer()


def test_an_allowance_ends_after_its_number_of_times(tmp_path: Path) -> None:
    guard = LeakGuard(allowances=(Allowance("file", r".*\.keep", "kept by a cache", times=2),), grace_s=0.0)
    with contextlib.ExitStack() as stack:
        with pytest.raises(LeakError, match=r"3\.keep") as caught, guard:  # noqa: PT012 - the block is what is tested
            for name in ("1.keep", "2.keep", "3.keep"):
                stack.enter_context((tmp_path / name).open("w"))
                # In the order of opening, not of the kernel's listing.
                with contextlib.suppress(LeakError):
                    guard.compare(guard._before[-1])
        assert len(caught.value.leaks) == 1


def test_an_allowance_of_a_module_needs_the_module() -> None:
    allowance = Allowance("file", r"socket:.*", "kept by it", module="a_module_that_is_not_there")
    with pytest.raises(LeakError, match="socket"), LeakGuard(allowances=(allowance,), grace_s=0.0):
        forgotten = socket.socket()
    forgotten.close()


def test_an_error_on_its_way_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError), LeakGuard(grace_s=0.0):  # noqa: PT012 - the block is what is tested
        forgotten = socket.socket()
        _ = 1 / 0
    forgotten.close()


def test_the_tracker_of_multiprocessing_may_stay() -> None:
    code = (
        "import multiprocessing.resource_tracker as t\n"
        "from tenire.testing import LeakGuard\n"
        "with LeakGuard():\n"
        "    t.ensure_running()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
