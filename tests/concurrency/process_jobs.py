"""Functions and objects that tests of worker processes send there; they must be importable."""

from __future__ import annotations

import os
import socket
import threading
from dataclasses import dataclass
from typing import Any

from tenire.clock import SYSTEM_CLOCK
from tenire.concurrency.pools.background import limit_threads

calls: list[int] = []


@dataclass
class Point:
    x: int
    y: int

    def moved(self, by: int) -> Point:
        return Point(self.x + by, self.y + by)


class Locked:
    """Cannot be pickled."""

    def __init__(self) -> None:
        self.lock = threading.Lock()

    def work(self) -> int:
        return 1


class Opens:
    """Pickles, but does not unpickle."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _refuse, ()


def _refuse() -> None:
    message = "nobody can load this"
    raise ValueError(message)


class OpensThere:
    """Unpickles in the process that made it only."""

    def __init__(self) -> None:
        self.home = os.getpid()

    def __reduce__(self) -> tuple[Any, ...]:
        return _only_at, (self.home,)


def _only_at(home: int) -> OpensThere:
    if os.getpid() != home:
        message = "not at home here"
        raise ValueError(message)
    return OpensThere()


class Watched:
    """Says on which thread it is pickled, and on which it is made."""

    threads: list[int] = []  # noqa: RUF012 - one list for all, on purpose
    made: list[int] = []  # noqa: RUF012 - as above

    def __init__(self, size: int = 0) -> None:
        self.size = size
        self.made.append(threading.get_ident())

    def __reduce__(self) -> tuple[Any, ...]:
        self.threads.append(threading.get_ident())
        return Watched, (self.size,), {"filling": b"x" * self.size}


class MuteError(Exception):
    """Cannot be pickled, nor said."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()

    def __str__(self) -> str:
        message = "no words"
        raise RuntimeError(message)


def own_pid() -> int:
    return os.getpid()


def same(value: Any, *_: Any) -> Any:
    return value


def length(value: Any) -> int:
    return len(value)


def remember(number: int, *_: Any) -> None:
    calls.append(number)


def remembered() -> list[int]:
    return calls


def fail_mutely() -> None:
    raise MuteError


def lock() -> Any:
    return threading.Lock()


def opens() -> Any:
    return Opens()


def opens_there() -> Any:
    return OpensThere()


def hold(size: int, seconds: float) -> int:
    """Keep some memory in use for a while."""
    end = SYSTEM_CLOCK.now() + seconds
    held = bytearray(size)
    while SYSTEM_CLOCK.now() < end:
        held[0] = 1
    return len(held)


def environment(*names: str) -> list[str | None]:
    return [os.environ.get(name) for name in names]


def environment_limited_to(threads: int, *names: str) -> list[str | None]:
    limit_threads(threads)
    return environment(*names)


def process_and_threads() -> tuple[int, str | None]:
    return os.getpid(), os.environ.get("OMP_NUM_THREADS")


def threads_at_once(port: int) -> str | None:
    """Come to a port, and go on when the other side leaves."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.recv(1)
    return os.environ.get("OMP_NUM_THREADS")
