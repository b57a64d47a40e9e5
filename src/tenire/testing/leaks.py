"""Finds what a piece of code left behind: tasks, threads, processes, open files.

::

    with LeakGuard():
        ...                     # raises LeakError if anything is left

What a library starts once and keeps for the life of the process is allowed by
name, with a reason (``ALLOWANCES``): never by looking away from a whole kind.
"""

from __future__ import annotations

import asyncio
import gc
import os
import re
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping
    from types import TracebackType
    from typing import Self

__all__ = ["ALLOWANCES", "Allowance", "Leak", "LeakError", "LeakGuard", "Snapshot"]

Kind = Literal["task", "thread", "process", "file"]

_POLL_S = 0.02  # between two looks at something on its way out


@dataclass(frozen=True, slots=True)
class Allowance:
    """Something that may stay.

    Attributes:
        kind: ``task``, ``thread``, ``process`` or ``file``.
        pattern: Regular expression that matches the whole description.
        reason: Why it may stay.
        module: Only once this module is imported.
        times: How many a process may keep, all together; ``None`` for any number.
    """

    kind: Kind
    pattern: str
    reason: str
    module: str | None = None
    times: int | None = None


ALLOWANCES: tuple[Allowance, ...] = (
    Allowance(
        "process",
        r".*multiprocessing[./]resource_tracker.*",
        "multiprocessing starts one tracker for the life of the process",
    ),
    Allowance(
        "process",
        r"postgres: autovacuum worker.*",
        "a PostgreSQL server that tests share starts and ends them when it sees fit, whatever runs meanwhile",
    ),
    Allowance(
        "file",
        r"pipe:.*",
        "the pipe to multiprocessing's resource tracker",
        module="multiprocessing.resource_tracker",
        times=1,
    ),
    Allowance(
        "thread",
        r"LanceDBBackgroundEventLoop",
        "lancedb's import starts one loop thread for the life of the process",
        module="lancedb",
        times=1,
    ),
    Allowance(
        "file",
        r"anon_inode:\[event(poll|fd)\]|socket:.*",
        "lancedb: its loop thread (3) and, at the first connect, its tokio runtime (6), for the life of the process",
        module="lancedb",
        times=9,
    ),
    Allowance(
        "file",
        r"anon_inode:\[io_uring\]|pipe:.*",
        "lancedb's loop once more, where the loops are uvloop's",
        module="lancedb",
        times=3,
    ),
    Allowance(
        "file",
        r"pipe:.*",
        "uvloop: the pipe by which libuv passes on signals, made with the first loop for the life of the process",
        module="uvloop",
        times=2,
    ),
    Allowance(
        "file",
        r"anon_inode:\[eventfd\]",
        "Qt: the wake-ups of its own threads, which start with the first window for the life of the process",
        module="PySide6.QtGui",
        times=4,
    ),
    Allowance(
        "file",
        r"/dev/u?random|.*/\.hypothesis/.*|.*/\.coverage.*",
        "opened once by the test tools and by random generators",
    ),
    Allowance(
        "file",
        r".*languages-[\d.a-z+-]+\.bin",
        "the model that tells languages stays mapped for the life of the process",
        module="tenire.documents.language_model",
        times=1,
    ),
    Allowance(
        "file",
        r".*all-MiniLM-L6-v2-[\da-f]+\.bin",
        "a prepared model stays mapped for the life of the process, one for each of its settings",
        module="tenire.vectors.minilm_cache",
    ),
)


@dataclass(frozen=True, slots=True)
class Leak:
    """One thing that was left behind.

    Attributes:
        kind: ``task``, ``thread``, ``process`` or ``file``.
        description: What it is, in words.
    """

    kind: Kind
    description: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.description}"


class LeakError(AssertionError):
    """Something was left behind.

    Attributes:
        leaks: What.
    """

    def __init__(self, leaks: Iterable[Leak]) -> None:
        self.leaks = tuple(leaks)
        super().__init__("left behind:\n" + "\n".join(f"  {leak}" for leak in self.leaks))


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What was there at one moment: for each kind, a description by identity."""

    things: Mapping[Kind, Mapping[Hashable, str]]


@dataclass(slots=True)
class LeakGuard:
    """Compares what is there before and after.

    Attributes:
        allowances: What may stay.
        grace_s: How long something on its way out may take, in seconds. Waited
            for only if there is something.
    """

    allowances: tuple[Allowance, ...] = ALLOWANCES
    grace_s: float = 2.0
    _spent: dict[Allowance, set[Hashable]] = field(default_factory=dict)
    _before: list[Snapshot] = field(default_factory=list)

    def snapshot(self) -> Snapshot:
        """Return what is there now."""
        return Snapshot({"task": _tasks(), "thread": _threads(), "process": _processes(), "file": _files()})

    def compare(self, before: Snapshot) -> list[Leak]:
        """Return what is there now and was not before, after the time of grace."""
        leaks = self._new(before)
        if not leaks:
            return []
        # What only a cycle keeps alive is not a leak; a thread or a child process
        # that was told to end may still be on its way out.
        gc.collect()
        idle = threading.Event()
        for _ in range(round(self.grace_s / _POLL_S)):
            leaks = self._new(before)
            if not leaks:
                return []
            idle.wait(_POLL_S)
        return leaks

    def _new(self, before: Snapshot) -> list[Leak]:
        found = []
        for kind, things in self.snapshot().things.items():
            known = before.things[kind]
            for identity, description in things.items():
                # A reused number with another content is a new thing.
                if known.get(identity) != description and not self._allowed(kind, identity, description):
                    found.append(Leak(kind, description))
        return found

    def _allowed(self, kind: Kind, identity: Hashable, description: str) -> bool:
        for allowance in self.allowances:
            if allowance.kind != kind or not re.fullmatch(allowance.pattern, description):
                continue
            if allowance.module is not None and allowance.module not in sys.modules:
                continue
            if allowance.times is None:
                return True
            spent = self._spent.setdefault(allowance, set())
            if (identity, description) in spent or len(spent) < allowance.times:
                spent.add((identity, description))
                return True
        return False

    def __enter__(self) -> Self:
        """Remember what is there."""
        self._before.append(self.snapshot())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Compare.

        Raises:
            LeakError: If something is left and no other error is on its way.
        """
        leaks = self.compare(self._before.pop())
        if leaks and error is None:
            raise LeakError(leaks)


def _tasks() -> dict[Hashable, str]:
    found: dict[Hashable, str] = {}
    for task in _all_tasks():
        if not task.done():
            coroutine: Any = task.get_coro()
            name = getattr(coroutine, "__qualname__", type(coroutine).__qualname__)
            found[id(task)] = f"{task.get_name()} running {name}"
    return found


def _all_tasks() -> list[asyncio.Task[Any]]:
    # asyncio.all_tasks() asks for a loop, and a leaked task's loop is not at hand.
    # Up to 3.13 one weak set knows the tasks of all loops; since 3.14 they are in
    # lists that only the interpreter can walk, so the collector's list is searched.
    if sys.version_info >= (3, 14):
        return [thing for thing in gc.get_objects() if isinstance(thing, asyncio.Task)]
    name = "_scheduled_tasks" if sys.version_info >= (3, 12) else "_all_tasks"
    for _ in range(10):
        try:
            return list(getattr(asyncio.tasks, name))
        except RuntimeError:
            # Another thread changed the set meanwhile; asyncio.all_tasks retries too.
            continue
    return []


def _threads() -> dict[Hashable, str]:
    # By object: a new thread often gets the identifier of one that is gone.
    return {id(thread): thread.name for thread in threading.enumerate()}


def _processes() -> dict[Hashable, str]:
    pids = _children(os.getpid())
    if pids is None:
        import psutil

        return {child.pid: _command(child) for child in psutil.Process().children(recursive=True)}
    found: dict[Hashable, str] = {}
    while pids:
        pid = pids.pop()
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        except OSError:
            continue  # it ended between the two looks
        # No command line: it ended and nobody waited for it, or it is being born.
        found[pid] = command or f"process {pid}, without a command line (ended and never waited for?)"
        pids += _children(pid) or []
    return found


def _children(pid: int) -> list[int] | None:
    """Return the children of a process, or ``None`` where Linux does not tell.

    psutil reads every process of the machine for this: a hundred times slower.
    """
    children: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            children += map(int, Path(f"/proc/{pid}/task/{thread}/children").read_text("ascii").split())
    except FileNotFoundError:
        return None if pid == os.getpid() and not children else children
    except OSError:
        return children
    return children


def _command(process: Any) -> str:
    import psutil

    try:
        return " ".join(process.cmdline()) or str(process.name())
    except psutil.Error:
        return f"process {process.pid}"


def _files() -> dict[Hashable, str]:
    for folder in ("/proc/self/fd", "/dev/fd"):
        try:
            numbers = [int(name) for name in os.listdir(folder)]
        except OSError:
            continue
        found: dict[Hashable, str] = {}
        for number in numbers:
            try:
                found[number] = _describe_file(folder, number)
            except OSError:
                continue  # the descriptor that listed the folder is closed again
        return found
    import psutil

    return {entry.fd if entry.fd >= 0 else entry.path: entry.path for entry in psutil.Process().open_files()}


def _describe_file(folder: str, number: int) -> str:
    if folder == "/proc/self/fd":
        return os.readlink(f"{folder}/{number}")
    status = os.fstat(number)
    return f"descriptor {number} (mode {status.st_mode:o}, inode {status.st_ino})"
