"""A thread that does not die unnoticed."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ReportingThread"]


class ReportingThread(threading.Thread):
    """A daemon that serves until it is told to end; if it ends by an error, it says so.

    Args:
        serve: What it does.
        name: For people.
        fell: Called on the thread, as its last act, with what ``serve`` raised.
    """

    def __init__(self, serve: Callable[[], object], *, name: str, fell: Callable[[BaseException], object]) -> None:
        super().__init__(name=name, daemon=True)
        self._serve = serve
        self._fell = fell

    def run(self) -> None:
        """Serve."""
        try:
            self._serve()
        except BaseException as error:  # noqa: BLE001 - told, whatever it is
            self._fell(error)
