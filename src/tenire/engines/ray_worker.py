"""What runs inside an actor of Ray: take a job, run it, return its outcome."""

from __future__ import annotations

import contextlib
import multiprocessing.spawn
import os
import signal
import socket
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tenire.concurrency.pools.background import limited, step_back, thread_limits
from tenire.concurrency.pools.frames import Message
from tenire.concurrency.pools.jobs import JOB, run_job

__all__ = ["Found", "RayWorker", "Setup", "machine", "refusal", "setup_here"]

_MAIN = ("init_main_from_name", "init_main_from_path")


@dataclass(frozen=True, slots=True)
class Setup:
    """How a worker gets ready.

    Attributes:
        folder: The engine's working directory.
        path: Where the engine looks for modules.
        main: How the main script is imported, as multiprocessing says it; empty if it cannot be.
        witness: A file that must be seen there, and what it holds; ``None``: nothing is looked for.
        threads: Threads that numerical libraries may use.
        own_threads: Whether ``OMP_NUM_THREADS`` is the user's own word.
        background: Whether to run at lowest priority.
    """

    folder: str
    path: tuple[str, ...]
    main: dict[str, str] = field(default_factory=dict)
    witness: tuple[str, str] | None = None
    threads: int = 1
    own_threads: bool = False
    background: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """What a worker found where it is.

    Attributes:
        machine: See ``machine``.
        host: Name of the host.
        node: What Ray calls the node; hosts may hold several.
        pid: The worker's process id.
        refusal: Why nothing can run there, or ``None``.
    """

    machine: str
    host: str
    node: str
    pid: int
    refusal: str | None = None


def machine() -> str:
    """Return what tells apart the places in which process ids mean something."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:  # not Linux
        return socket.gethostname()


def setup_here(*, background: bool) -> Setup:
    """Return how workers get ready to do what this process could."""
    data = multiprocessing.spawn.get_preparation_data("tenire")
    return Setup(
        folder=os.getcwd(),
        path=tuple(map(os.path.abspath, sys.path)),
        main={key: str(data[key]) for key in _MAIN if key in data},
        own_threads="OMP_NUM_THREADS" in os.environ,
        background=background,
    )


class RayWorker:
    """One worker process of Ray's."""

    def __init__(self) -> None:
        self._main: dict[str, str] = {}

    def begin(self, setup: Setup) -> Found:
        """Get ready; the first call, and before anything that computes is imported."""
        host = socket.gethostname()
        # Ctrl-C reaches the whole terminal group; the engine decides what it means.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if hasattr(signal, "pthread_sigmask"):
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        if setup.background:
            step_back()
        if not setup.own_threads:
            os.environ.pop("OMP_NUM_THREADS", None)  # Ray's word, by the CPU slots that it knows of
        limits = thread_limits(setup.threads)
        os.environ.update(limits)
        limited(tuple(limits))
        sys.path.extend(entry for entry in setup.path if entry not in sys.path)
        with contextlib.suppress(OSError):
            os.chdir(setup.folder)
        self._main = setup.main
        return Found(machine(), host, self._node(), os.getpid(), refusal(setup.witness, host))

    def _node(self) -> str:
        ray: Any = sys.modules.get("ray")  # it is what has made us
        return "" if ray is None else str(ray.get_runtime_context().get_node_id())

    def run(self, *parts: bytes) -> tuple[int, list[bytes]]:
        """Run a job; return its outcome's tag and parts."""
        if self._main and any(b"__main__" in part for part in parts[:2]):
            main, self._main = self._main, {}
            multiprocessing.spawn.prepare(main)
        # As they come to worker processes: in memory that can be written to.
        tag, made = run_job(Message(JOB, 0, [bytearray(part) for part in parts]))
        return tag, [bytes(part) for part in made]


def refusal(witness: tuple[str, str] | None, host: str) -> str | None:
    """Return why nothing can run on a host that does not see a file, and in it certain words; ``None`` if it does."""
    if witness is None:
        return None
    path, text = witness
    reason: Any = "it is another one there"
    try:
        if Path(path).read_text(encoding="ascii") == text:
            return None
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
    folder = os.path.dirname(path)
    return (
        f"the node {host} does not see the home {folder} ({reason}); every node must see the home and all "
        "sources under the same paths, for example on a shared file system"
    )
