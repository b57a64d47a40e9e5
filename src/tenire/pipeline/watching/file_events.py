"""Hearing of changes below directories, on a thread of its own."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["FileEvents", "UnwatchableError"]

_STEP_MS = 100
"""How often the system's queue is emptied, and how long stopping takes."""
_GATHERED_MS = 1000
_NO_LIMIT = 0


class UnwatchableError(Exception):
    """The system does not tell of changes here; the message says why."""


class FileEvents:
    """Watches directories until it is closed.

    Args:
        directories: What to watch.
        recursive: Whether with all that is below.
        heard: Called on the thread with the paths that have changed: files and
            directories that came, changed or left.
        broke: Called on the thread, once, if no more will be heard.

    Raises:
        UnwatchableError: If watchfiles is not installed, or the system has no more room.
    """

    def __init__(
        self,
        directories: Sequence[str],
        *,
        recursive: bool,
        heard: Callable[[list[str]], object],
        broke: Callable[[], object],
    ) -> None:
        try:
            from watchfiles._rust_notify import RustNotify
        except ImportError as error:
            message = "watchfiles is not installed"
            raise UnwatchableError(message) from error
        try:
            # Without its filter and its loop: both work on asyncio's threads and on sets
            # of every change.
            self._watcher: Any = RustNotify(list(directories), False, False, 300, recursive, True)
        except Exception as error:
            raise UnwatchableError(str(error)) from error
        self._heard = heard
        self._broke = broke
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="tenire-watch", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Have the thread end in a moment, without waiting for it."""
        self._stop.set()

    def close(self) -> None:
        """Stop, and wait for the thread: a tenth of a second at the most."""
        self.stop()
        self._thread.join()
        self._watcher.close()

    def _listen(self) -> None:
        try:
            while not self._stop.is_set():
                changes = self._watcher.watch(_GATHERED_MS, _STEP_MS, _NO_LIMIT, self._stop)
                if isinstance(changes, str):  # "stop", or "signal": the main thread's business
                    continue
                self._heard([path for _, path in changes])
        except BaseException:  # noqa: BLE001 - whatever it was, somebody has to look for changes in another way
            self._broke()
