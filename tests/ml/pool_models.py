"""Models for tests of the pool; they run in worker processes."""

from __future__ import annotations

import os
from typing import Any


class Doubler:
    """Doubles numbers; tells in which process, and how many came together."""

    def predict(self, items: list[Any]) -> list[Any]:
        if "crash" in items:
            os._exit(3)
        if "memory" in items:
            raise MemoryError
        if "bad" in items:
            message = "cannot double 'bad'"
            raise ValueError(message)
        return [float("nan") if item == "nan" else (item * 2, os.getpid(), len(items)) for item in items]


class Echo:
    """Gives back what it is asked."""

    def predict(self, items: list[Any]) -> list[Any]:
        return items


class Short:
    def predict(self, items: list[Any]) -> list[Any]:
        return items[1:]


def broken() -> Any:
    message = "no such weights"
    raise OSError(message)


def nothing() -> Any:
    return 3
