"""All that the engine does again and again hangs on its one timer; what waits for a time elsewhere is named here.

Found are the forms that a timer or a polling loop can take:

1. what sleeps or sets a timer, called or handed on: ``sleep``, ``call_later``, ``Timer``…; ``sleep(0)``, one turn
   of the loop, in a loop only;
2. a limit of time around a wait for an event: what is left then goes on at the event or after the time;
3. a wait with a limit of time in a loop: the loop comes round after the time;
4. a wait with a limit of time for whose outcome nobody looks: a pause.
"""

from __future__ import annotations

import ast
import textwrap
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .conftest import House

WITHOUT = "it needs no engine, and waits for a time of its caller's: nothing is done again and again"
THREAD = "the command's own thread beside the engine: what it shows goes on while the engine's loop stands still"
WINDOW = "in the window's process, which has no engine"
END = "the last patience at an end; then nobody waits any more"
DEADLINE = "the limit is the caller's deadline; what it waits for wakes it"
ALLOWED = {
    "browser/engine.py: _Driver.stop": END,
    "browser/gate.py: Gate._connect": "how long one address may take to answer, one after the other",
    "browser/manners.py: Manners.turn": WITHOUT,
    "cli/progress.py: ProgressDisplay._show": THREAD,
    "cli/progress.py: ProgressDisplay.close": END,
    "cli/report/recorder.py: Recorder._watch": THREAD,
    "cli/report/recorder.py: Recorder.close": END,
    "cli/top/application.py: Top.on_mount": "in the process of tenire top, which has no engine",
    "concurrency/batch_thread.py: BatchThread._take": "for more to come with what has come; not while idle",
    "concurrency/blocking.py: stuck_functions": END,
    "concurrency/blocking.py: wait_or_give_up": END,
    "concurrency/channel/lookout.py: Lookout._look": "where no engine is, and until there is one; a look may block",
    "concurrency/channel/server.py: LoopChannel._close": END,
    "concurrency/daemon_executor.py: _name_what_is_left": END,
    "concurrency/elsewhere.py: wait_on_thread": (
        "a thread that blocks, woken by what it waits for; it can only look itself whether a task waits for it"
    ),
    "concurrency/loops/ending.py: end_tasks": END,
    "concurrency/loops/spawned.py: Spawned._wait": DEADLINE,
    "concurrency/loops/thread.py: LoopThread._ends": END,
    "concurrency/loops/thread.py: LoopThread._finish": END,
    "concurrency/loops/thread.py: _join_all": END,
    "concurrency/loops/watchdog.py: Watchdog.start.serve": (
        "a thread must not depend on the loop that it watches: one that stands still rings no timer"
    ),
    "concurrency/pools/child.py: Child.end": END,
    "concurrency/pools/elsewhere.py: Elsewhere.aclose": END,
    "concurrency/pools/processes.py: Processes.aclose": END,
    "concurrency/pools/threads.py: Threads.aclose": END,
    "concurrency/signals/stream.py: Stream._next": DEADLINE,
    "concurrency/startup.py: BatchInitializationGroup._break_off": END,
    "concurrency/startup.py: BatchInitializationGroup._try": "it needs no engine: it is what starts one",
    "concurrency/timer/wakeup.py: KernelWakeUp.__init__": "the timer",
    "concurrency/timer/wakeup.py: LoopWakeUp.set": "the timer",
    "concurrency/waiting.py: in_slices": "a thread that blocks, woken by what it waits for; in slices for Ctrl-C alone",
    "concurrency/waiting.py: until_gone": "at the end only, for threads that have said their last word",
    "engines/ray_watch.py: end": END,
    "gui/process.py: _close": END,
    "gui/qt/frames.py: Frames.__init__": "Qt's, on the GUI thread: one shot for a frame in which something is new",
    "gui/qt/loop.py: GuiLoop.__init__": "a loop, not who runs on it: what its own call_later is made of",
    "gui/qt/loop.py: GuiLoop._drain": "a loop, not who runs on it: at its end, until its next callback is due",
    "gui/window/__main__.py: main": WINDOW,
    "gui/window/kept.py: Keeper.__init__": WINDOW,
    "gui/window/started.py: StartedRun.__init__": WINDOW,
    "llm/session.py: Session._await_background": END,
    "llm/text_flights.py: TextFlights.join": DEADLINE,
    "pipeline/waits.py: ended": END,
    "resilience/attempts.py: Attempts.run": WITHOUT,
    "resilience/batcher.py: Batcher._start": WITHOUT,
    "resilience/batcher.py: Batcher.aclose": "one turn of the loop, in which the last batch starts",
    "resilience/gate.py: Gate.enter": WITHOUT,
    "resilience/gate.py: Gate.enter_blocking": WITHOUT,
    "resilience/hedge.py: Hedge.run": WITHOUT,
    "resilience/timing.py: sleep_until": WITHOUT,
    "resilience/turns.py: LoopTurn.wait": WITHOUT,
    "resilience/turns.py: ThreadTurn.wait": WITHOUT,
    "storage/home.py: HomeLock._lock": "a few times before an engine is there: it needs the home's lock to start",
}
"""Where, and why it may."""

SETS_A_TIMER = {
    "Timer", "QTimer", "call_at", "call_later", "set_interval", "set_timer", "setitimer", "singleShot", "sleep",
    "sleep_until", "startTimer", "timerfd_create",
}  # fmt: skip
LIMITS = {"timeout", "timeout_at"}
WITH_TIMEOUT = LIMITS | {
    "acquire", "get", "in_slices", "join", "poll", "put", "result", "select", "wait", "wait_for", "wait_set",
}  # fmt: skip


def name_of(called: ast.expr) -> str:
    return called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")


def owner_of(called: ast.expr) -> str:
    return ast.unparse(called.value).rpartition(".")[2] if isinstance(called, ast.Attribute) else ""


def is_seconds(given: ast.expr) -> bool:
    if isinstance(given, ast.Constant):
        return isinstance(given.value, int | float) and not isinstance(given.value, bool)
    return name_of(given).endswith("_S")  # as constants of seconds are called in this house


def is_timed(node: ast.expr) -> bool:
    """Return whether it is a wait that may end after a time."""
    if not isinstance(node, ast.Call) or (name := name_of(node.func)) not in WITH_TIMEOUT:
        return False
    if any(word.arg == "timeout" for word in node.keywords):
        return True
    owner, given = owner_of(node.func), node.args
    if name == "wait":  # a function of a module takes first what it waits for
        return len(given) == 1 + (owner == "connection") and owner not in ("asyncio", "futures")
    if name in ("join", "result"):
        return any(map(is_seconds, given))
    if name == "acquire" and not owner:  # the house's own, of a lock and a time; None is no limit
        return len(given) > 1 and not (isinstance(given[1], ast.Constant) and given[1].value is None)
    if name in ("acquire", "get", "put"):  # get(True, 1.0)
        return len(given) > 1 and isinstance(given[-2], ast.Constant) and isinstance(given[-2].value, bool)
    return len(given) > {"wait_for": 1, "wait_set": 1, "in_slices": 1, "select": 3}.get(name, 0)


def waits_for_an_event(body: list[ast.stmt]) -> bool:
    awaited = body[0].value if len(body) == 1 and isinstance(body[0], ast.Expr) else None
    call = awaited.value if isinstance(awaited, ast.Await) else None
    return isinstance(call, ast.Call) and name_of(call.func) == "wait" and not call.args


@dataclass
class Finder(ast.NodeVisitor):
    """Collects the names of the functions in which a time is waited for."""

    found: set[str] = field(default_factory=set)
    inside: tuple[str, ...] = ()
    looping: bool = False

    def note(self) -> None:
        self.found.add(".".join(self.inside) or "(the module)")

    def enter(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> None:
        before = self.inside, self.looping
        self.inside, self.looping = (*self.inside, node.name), False
        self.generic_visit(node)
        self.inside, self.looping = before

    visit_FunctionDef = visit_AsyncFunctionDef = visit_ClassDef = enter  # noqa: N815 - ast's names

    def loop(self, node: ast.stmt) -> None:
        before, self.looping = self.looping, True
        self.generic_visit(node)
        self.looping = before

    visit_While = visit_For = visit_AsyncFor = loop  # noqa: N815

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        if any(alias.name in SETS_A_TIMER and alias.asname is not None for alias in node.names):
            self.note()  # under another name it would not be known again

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if node.attr in SETS_A_TIMER:
            self.note()
        self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> None:
        if node.id in SETS_A_TIMER:
            self.note()

    def visit_AsyncWith(self, node: ast.AsyncWith) -> None:
        limited = any(
            isinstance(item.context_expr, ast.Call) and name_of(item.context_expr.func) in LIMITS for item in node.items
        )
        if limited and waits_for_an_event(node.body):
            self.note()
        self.generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> None:
        if is_timed(node.value.value if isinstance(node.value, ast.Await) else node.value):
            self.note()
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        nothing = len(node.args) == 1 and isinstance(node.args[0], ast.Constant) and node.args[0].value == 0
        if name_of(node.func) == "sleep" and nothing:
            if self.looping:
                self.note()
            return  # one turn of the loop, no time
        if self.looping and is_timed(node):
            self.note()
        self.generic_visit(node)


def waits(package: Path) -> Iterator[str]:
    for file in package.rglob("*.py"):
        where = file.relative_to(package).as_posix()
        if not where.startswith("testing/"):
            finder = Finder()
            finder.visit(ast.parse(file.read_text(encoding="utf-8")))
            yield from (f"{where}: {function}" for function in finder.found)


def test_there_is_no_other_timer(house: House) -> None:
    assert set(waits(house.package)) == set(ALLOWED)


POLLS = {
    "sleeps": "async def poll(asyncio):\n    await asyncio.sleep(0.1)",
    "sleeps on a thread": "def poll(time):\n    time.sleep(1)",
    "sleeps under another name": "from time import sleep as nap",
    "hands on what sleeps": "def poll(asyncio, wait=asyncio.sleep):\n    return wait",
    "sleeps until a time": "async def poll(now):\n    await sleep_until(now() + 1, now)",
    "goes round with the loop": "async def poll(asyncio, done):\n    while not done():\n        await asyncio.sleep(0)",
    "has itself called later": "def poll(loop):\n    loop.call_later(1.0, poll, loop)",
    "has itself called at a time": "def poll(loop):\n    loop.call_at(1.0, poll, loop)",
    "sets a timer of a thread": "def poll(threading):\n    threading.Timer(1.0, poll).start()",
    "asks the kernel for signals": "def poll(signal):\n    signal.setitimer(signal.ITIMER_REAL, 1.0)",
    "waits for an event on a thread": "def poll(stop, look):\n    while not stop.wait(0.5):\n        look()",
    "waits for a queue": "def poll(queue, look):\n    while True:\n        look(queue.get(timeout=0.5))",
    "waits for a queue by position": "def poll(queue, look):\n    while True:\n        look(queue.get(True, 0.5))",
    "waits for a lock": "def poll(lock):\n    while not lock.acquire(timeout=0.5):\n        pass",
    "waits for a lock in slices": "def poll(lock):\n    while not acquire(lock, 0.5):\n        pass",
    "waits for a thread": "def poll(thread):\n    while thread.is_alive():\n        thread.join(0.5)",
    "waits for the main thread's event": "def poll(done):\n    while not wait_set(done, _LOOK_S):\n        pass",
    "waits for sockets": "def poll(select, ours):\n    while True:\n        select.select(ours, [], [], 0.5)",
    "waits for an end": "async def poll(asyncio, jobs):\n    while True:\n        await asyncio.wait(jobs, timeout=1)",
    "gives an event some time": "async def poll(asyncio, event):\n    await asyncio.wait_for(event.wait(), 1.0)",
    "limits a wait for an event": (
        "async def poll(asyncio, event):\n    async with asyncio.timeout(1):\n        await event.wait()"
    ),
    "pauses": "def poll(event):\n    event.wait(0.5)",
}
HARMLESS = {
    "one turn": "async def turn(asyncio):\n    await asyncio.sleep(0)",
    "waits without a limit": "async def wait(event):\n    while True:\n        await event.wait()",
    "waits for a lock without a limit": "def wait(lock):\n    while True:\n        acquire(lock, None)",
    "limits a call": "async def call(asyncio, ask):\n    async with asyncio.timeout(1):\n        await ask()",
    "looks at what came": "def wait(event):\n    return event.wait(1.0)",
    "texts and tables": "def tell(table, words):\n    for word in words:\n        ', '.join(words), table.get(word, 0)",
}


@pytest.mark.parametrize("code", POLLS.values(), ids=POLLS)
def test_another_timer_or_a_polling_loop_would_be_seen(tmp_path: Path, code: str) -> None:
    (tmp_path / "room.py").write_text(f"class Room:\n{textwrap.indent(code, '    ')}\n", encoding="utf-8")
    (found,) = waits(tmp_path)
    assert found in {"room.py: Room.poll", "room.py: Room"}


@pytest.mark.parametrize("code", HARMLESS.values(), ids=HARMLESS)
def test_what_waits_for_no_time_is_left_alone(tmp_path: Path, code: str) -> None:
    (tmp_path / "room.py").write_text(code, encoding="utf-8")
    assert list(waits(tmp_path)) == []
