"""What happens to an engine when something is killed, stopped, full or used up."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import sys
import threading
from typing import TYPE_CHECKING

import psutil
import pytest

from .conftest import command_line, left_of, wait_until
from .scripts import AT_ONCE_S, ATTEMPTS, STUCK_S, Script, at_once, no_complaint

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals and limits")


def test_ctrl_z_stops_the_workers_too_and_they_go_on_with_it(tmp_path: Path) -> None:
    script = Script(
        tmp_path,
        """
        def ticks(seconds):
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                time.sleep(0.01)
            return seconds

        if __name__ == "__main__":
            with tenire.ConcurrencyManager.in_thread(cpu=2, memory=1, adaptive=False) as manager:
                manager.submit(answer, on="process").result(30)  # one that is up, beside one that still starts
                handles = [manager.submit(ticks, 1.5, on="process") for _ in range(2)]
                while not all(manager.thread_pool.running_since(handle) for handle in handles):
                    time.sleep(0.01)
                say(*manager.thread_pool.statistics().processes.values())
                say([handle.result(30) for handle in handles])
                say(manager.submit(answer, on="process").result(30))
            say(signal.getsignal(signal.SIGTSTP) == signal.SIG_DFL)
        """,
        new_session=False,  # a group stops only if its parent is in the same session
    )
    engine = psutil.Process(script.process.pid)
    family = [engine, *(psutil.Process(int(pid)) for pid in script.line().split())]
    assert len(family) == 3
    engine.send_signal(signal.SIGTSTP)
    wait_until(lambda: all(process.status() == psutil.STATUS_STOPPED for process in family))
    engine.send_signal(signal.SIGCONT)
    wait_until(lambda: not any(process.status() == psutil.STATUS_STOPPED for process in family))
    code, out, err = script.end()
    assert (code, out.splitlines()) == (0, ["[1.5, 1.5]", "42", "True"]), err
    assert no_complaint(err), err


STUCK = """
    begun = threading.Barrier(51)

    def stick():
        begun.wait(60)
        threading.Event().wait()

    def load(manager):
        stuck = [manager.submit(stick, name=f"stuck {number}") for number in range(50)]
        for _ in range(10_000):
            manager.submit(asyncio.sleep, 0, after=stuck[:1])
        begun.wait(60)

    async def on_a_loop():
        async with tenire.ConcurrencyManager(cpu=50, memory=1, adaptive=False) as manager:
            await asyncio.to_thread(load, manager)
            say("ready")  # not on the thread: what Ctrl-C cancels must not be just about to end
            await asyncio.Event().wait()

    def in_a_thread():
        with tenire.ConcurrencyManager.in_thread(cpu=50, memory=1, adaptive=False) as manager:
            load(manager)
            say("ready")
            while True:
                time.sleep(0.05)  # a signal just before a sleep does not end it

    if __name__ == "__main__":
        try:
            {"loop": lambda: asyncio.run(on_a_loop()), "thread": in_a_thread}[sys.argv[1]]()
        except KeyboardInterrupt:
            say("interrupted")
"""


@pytest.mark.parametrize("where", ["loop", "thread"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ten_thousand_queued_and_fifty_stuck_end_at_once_and_the_stuck_are_named(
    tmp_path: Path, where: str, number: signal.Signals
) -> None:
    def begin() -> Script:
        script = Script(tmp_path, STUCK, where)
        script.read("ready")
        return script

    code, out, err = at_once(begin, lambda script: script.end(number), most_s=STUCK_S)
    assert (code, out.strip()) == ((0, "interrupted") if number == signal.SIGINT else (143, ""))
    assert all(f"stuck {stuck}" in err for stuck in range(50)), err
    assert no_complaint(err), err


HUNG = """
    import atexit, gc
    from tenire.concurrency import event_keeper, history_keeper
    from tenire.observe.event_log import EventLog

    home = f"{sys.argv[0]}.{os.getpid()}"  # each attempt has its own
    os.mkdir(home)
    begun = threading.Event()

    def hang(*_):
        begun.set()
        threading.Event().wait()

    async def on_a_loop():
        async with tenire.ConcurrencyManager(home=home, cpu=1, memory=1) as manager:
            await manager.submit(answer)
            while not begun.is_set():
                await asyncio.sleep(0.01)
            say("ready")
            if not sys.argv[2]:
                await asyncio.Event().wait()

    def in_a_thread():
        with tenire.ConcurrencyManager.in_thread(home=home, cpu=1, memory=1) as manager:
            manager.submit(answer).result()
            begun.wait(60)
            say("ready")
            while not sys.argv[2]:
                time.sleep(0.05)

    def command():
        atexit.register(lambda: say("frozen" if gc.get_freeze_count() else "looked through"))
        threading.Thread(target=lambda: (begun.wait(60), say("ready")), daemon=True).start()
        sys.exit(tenire.cli.main(["ingest", sys.argv[0], "--home", home, "--embedder", "static", "--watch"]))

    if __name__ == "__main__":
        import tenire.cli
        event_keeper._LAST_WAIT_S = 60.0  # who leaves in peace waits so long
        history_keeper._write = EventLog._write = hang
        try:
            {"loop": lambda: asyncio.run(on_a_loop()), "thread": in_a_thread, "command": command}[sys.argv[1]]()
        except KeyboardInterrupt:
            say("interrupted")
"""


@pytest.mark.parametrize(
    ("where", "leaving"), [("loop", ""), ("loop", "leaving"), ("thread", ""), ("thread", "leaving"), ("command", "")]
)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_disk_that_hangs_holds_up_no_end_and_what_was_stuck_is_named(
    tmp_path: Path, where: str, leaving: str, number: signal.Signals
) -> None:
    def begin() -> Script:
        script = Script(tmp_path, HUNG, where, leaving)
        script.read("ready")
        return script

    code, out, err = at_once(begin, lambda script: script.end(number), most_s=STUCK_S)
    expected = 130 if where == "command" else 0 if number == signal.SIGINT else 143
    assert code == expected, err
    assert where != "command" or out.endswith("frozen\n"), out  # the collector takes no third of the second
    assert "given up" in err, err
    assert "EventKeeper._write" in err, err
    assert no_complaint(err), err


def test_a_second_sigterm_ends_at_once(tmp_path: Path) -> None:
    def begin() -> Script:
        script = Script(
            tmp_path,
            """
            with tenire.ConcurrencyManager.in_thread(cpu=1, memory=1) as manager:
                manager.submit(stubborn)
                while True:
                    time.sleep(0.05)
            """,
        )
        script.read("begun")
        script.process.send_signal(signal.SIGTERM)
        script.read("refused")
        return script

    code, _, _ = at_once(begin, lambda script: script.end(signal.SIGTERM))
    assert code == -signal.SIGTERM


# Four tasks hold a slot each until the fifth has run: on a machine that others use, an engine that
# adapts would take the slot away that the killed one leaves.
KILLED_WORKER = """
    from multiprocessing import get_context
    from tenire.concurrency.pools.background import step_back

    def until(go, number):
        open(f"{go}{number}", "w").close()
        while not os.path.exists(go):
            time.sleep(0.01)
        return number

    if __name__ == "__main__":
        go = sys.argv[0] + ".go"
        with tenire.ConcurrencyManager.in_thread(cpu=4, memory=1, adaptive=False) as manager:
            handles = [manager.submit(until, go, number, on="process") for number in range(4)]
            while not all(os.path.exists(f"{go}{number}") for number in range(4)):
                time.sleep(0.01)  # until nobody starts any more
            os.kill(manager.thread_pool.statistics().processes["worker-2"], signal.SIGKILL)
            killed = time.monotonic()
            say(isinstance(manager.submit(os.getpid, on="process").result(60), int))
            usable = time.monotonic()
            bare = get_context("spawn").Process(target=step_back)
            bare.start()
            bare.join()
            say(usable - killed, time.monotonic() - usable)
            open(go, "w").close()
            for handle in handles:
                try:
                    say(handle.result(30))
                except tenire.TaskError as error:
                    say(error.exit_code)
"""


def test_a_killed_worker_costs_its_own_task_only_and_the_next_one_runs_at_once(tmp_path: Path) -> None:
    taken = []
    for number in range(ATTEMPTS):
        folder = tmp_path / str(number)
        folder.mkdir()
        code, out, err = Script(folder, KILLED_WORKER).end(seconds=120)  # to start six, on a machine that others use
        assert code == 0, err
        usable, seconds, *outcomes = out.splitlines()
        assert usable == "True"
        assert sorted(outcomes) == sorted(["-9", *({"0", "1", "2", "3"} & set(outcomes))])
        assert len(set(outcomes)) == 4
        assert no_complaint(err), err
        taken.append(tuple(map(float, seconds.split())))
        # Beyond a bare process at the same time: both start at a priority that leaves them what others do not want.
        if taken[-1][0] - taken[-1][1] <= AT_ONCE_S:
            return
    pytest.fail(f"expected a worker within {AT_ONCE_S} s of a bare process, they took {taken}")


@contextlib.contextmanager
def heir_of_orphans() -> Iterator[None]:
    """Take in what a killed child leaves behind, so that the system does not wake what is stopped of it."""
    set_child_subreaper = 36  # prctl(2)
    libc = ctypes.CDLL(None)
    before = set(psutil.Process().children())
    assert libc.prctl(set_child_subreaper, 1, 0, 0, 0) == 0
    try:
        yield
    finally:
        libc.prctl(set_child_subreaper, 0, 0, 0, 0)
        for child in set(psutil.Process().children()) - before:
            child.kill()
            with contextlib.suppress(ChildProcessError):
                os.waitpid(child.pid, 0)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a process take in orphans")
def test_a_stopped_worker_that_the_system_does_not_wake_ends_with_its_engine(tmp_path: Path) -> None:
    script = Script(
        tmp_path,
        """
        if __name__ == "__main__":
            with tenire.ConcurrencyManager.in_thread(cpu=1, memory=1) as manager:
                say(manager.submit(os.getpid, on="process").result(30))
                threading.Event().wait()
        """,
        new_session=False,  # or the worker would be woken, being an orphan in a session of its own
    )
    with heir_of_orphans():
        worker = psutil.Process(int(script.line()))
        worker.suspend()
        wait_until(lambda: worker.status() == psutil.STATUS_STOPPED)
        script.process.kill()
        script.process.wait()
        assert left_of([worker]) == []
        script.end()


@pytest.mark.parametrize("stop_first", [False, True], ids=["busy", "stopped"])
def test_nothing_outlives_an_engine_that_was_killed(tmp_path: Path, stop_first: bool) -> None:
    script = Script(
        tmp_path,
        """
        import subprocess

        def starts_a_program():
            subprocess.run([sys.executable, "-c", "import threading; threading.Event().wait()"])

        def never_lets_go():
            sum(range(10**13))  # does not give another thread a turn

        if __name__ == "__main__":
            with tenire.ConcurrencyManager.in_thread(cpu=3, memory=1, adaptive=False) as manager:
                for _ in range(2):
                    manager.submit(starts_a_program, on="process")
                manager.submit(never_lets_go, on="process", worker="own")
                manager.submit(os.getpid, on="process").result(30)
                say("ready")
                while True:
                    time.sleep(0.05)
        """,
    )
    script.read("ready")
    engine = psutil.Process(script.process.pid)
    family: list[psutil.Process] = []
    workers: list[psutil.Process] = []
    pause = threading.Event()
    for _ in range(500):
        family = engine.children(recursive=True)
        workers = [process for process in family if "spawn_main" in command_line(process)]
        programs = [process for process in family if "threading.Event" in command_line(process)]
        # One that is still starting, and has no group of its own yet, can only end once it has started.
        if len(programs) == 2 and all(os.getpgid(worker.pid) == worker.pid for worker in workers):
            break
        pause.wait(0.02)
    assert len(family) >= 6  # four workers, two programs
    if stop_first:
        for worker in workers:
            worker.suspend()
    script.process.kill()
    script.process.wait()
    assert left_of(family) == []
    script.end()


def test_an_engine_without_free_file_descriptors_says_so_and_goes_on(tmp_path: Path) -> None:
    script = Script(
        tmp_path,
        """
        import resource

        async def on_loop():
            return "loop"

        if __name__ == "__main__":
            resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
            with tenire.ConcurrencyManager.in_thread(cpu=2, memory=1, adaptive=False) as manager:
                manager.submit(os.getpid, on="process").result(30)
                manager.submit(answer).result(30)
                before = len(os.listdir("/dev/fd"))
                taken = []
                try:
                    while True:
                        taken.append(os.open(os.devnull, os.O_RDONLY))
                except OSError:
                    pass
                errors = set()
                for number in range(5):
                    try:
                        manager.submit(os.getpid, on="process", worker=f"new {number}").result(30)
                    except tenire.TaskError as error:
                        errors.add((type(error).__name__, str(error)[:44], error.hint))
                say(errors)
                # What runs already goes on.
                say(manager.submit(on_loop).result(30), manager.submit(answer).result(30),
                    isinstance(manager.submit(os.getpid, on="process").result(30), int))
                for fd in taken:
                    os.close(fd)
                say(isinstance(manager.submit(os.getpid, on="process", worker="new 0").result(30), int))
                for _ in range(4):
                    manager.submit(os.getpid, on="process", worker="new 0").result(30)
                say(len(os.listdir("/dev/fd")) - before)
        """,
    )
    code, out, err = script.end()
    assert code == 0, err
    errors, others, again, more = out.splitlines()
    assert "no worker process can be started for task" in errors
    assert "raise the limit for open files" in errors
    assert others == "loop 42 True"
    assert again == "True"
    assert int(more) <= 6  # two pipes and a sentinel of one more worker, and what its task took along
    assert no_complaint(err), err


def test_a_full_or_read_only_home_is_told_once_and_stops_nothing(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    body = """
        import resource

        if __name__ == "__main__":
            if sys.argv[2] == "full":
                signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
                resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
            with tenire.ConcurrencyManager.in_thread(cpu=1, memory=1, home=sys.argv[1]) as manager:
                say(sum(manager.submit(answer).result(30) for _ in range(100)))
    """
    through: tuple[str, ...] = ()
    if os.geteuid() == 0 and shutil.which("setpriv"):
        through = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search")
    for how in ("full", "read-only", "fine"):
        if how == "read-only":
            if os.geteuid() == 0 and not through:
                continue
            shutil.rmtree(home)
            home.mkdir(mode=0o500)
        script = Script(tmp_path, body, str(home), how, through=through if how == "read-only" else ())
        code, out, err = script.end()
        home.chmod(0o700)
        assert (code, out.strip()) == (0, "4200"), err
        assert no_complaint(err), err
        assert err.count("what tasks usually take could not be saved") == (how != "fine"), err
    assert (home / "ledger.db").exists()


FORKS = """
    import warnings
    warnings.simplefilter("ignore", DeprecationWarning)

    def nap(seconds):
        time.sleep(seconds)
        return seconds

    if __name__ == "__main__":
        with tenire.ConcurrencyManager.in_thread(cpu=1, memory=1) as manager:
            manager.submit(os.getpid, on="process").result(30)
            napping = manager.submit(nap, 1.0, on="process")
            while not manager.thread_pool.running_since(napping):
                time.sleep(0.01)
            child = os.fork()
            if not child:
                if sys.argv[1] == "leaves":
                    sys.exit(0)  # out of the block, and through what Python does at the end
                time.sleep(20)
                os._exit(0)
            if sys.argv[1] == "leaves":
                os.waitpid(child, 0)
                say(napping.result(30))
            else:
                say(child)
                say(*manager.thread_pool.statistics().processes.values())
                napping.result(30)
"""


def test_a_fork_that_leaves_the_block_ends_and_harms_no_worker(tmp_path: Path) -> None:
    script = Script(tmp_path, FORKS, "leaves")
    code, out, err = script.end()
    assert (code, out.strip()) == (0, "1.0"), err


def test_a_fork_that_lives_on_keeps_no_worker_alive(tmp_path: Path) -> None:
    script = Script(tmp_path, FORKS, "stays")
    fork = psutil.Process(int(script.line()))
    workers = [psutil.Process(int(pid)) for pid in script.line().split()]
    script.process.kill()
    script.process.wait()
    assert workers
    try:
        assert left_of(workers) == []
        assert fork.is_running()
    finally:
        fork.kill()
    script.end()
