"""Tasks that failed and wait for their next try."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from tenire.core.backoff import full_jitter
from tenire.errors import WorkerDiedError

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from tenire.concurrency.handle import Handle
    from tenire.concurrency.timer import Timeout, UniversalTimer

__all__ = ["Retries"]


class Retries:
    """Waits out the delay of each, then calls ``again(handle)``."""

    def __init__(self, timer: UniversalTimer, rng: random.Random, again: Callable[[Handle[Any]], None]) -> None:
        self._timer = timer
        self._rng = rng
        self._again = again
        self._waiting: dict[Handle[Any], Timeout] = {}

    @staticmethod
    def allows(handle: Handle[Any], error: BaseException | None) -> bool:
        """Return whether a task that failed like this may be tried again."""
        retry = handle.retry
        if retry is None or handle.attempts >= retry.attempts:
            return False
        return isinstance(error, (*cast("tuple[type[BaseException], ...]", retry.on), WorkerDiedError))

    def wait(self, handle: Handle[Any], now: float) -> None:
        """Wait for the task's next try."""
        assert handle.retry is not None
        delay = full_jitter(handle.attempts, base=handle.retry.backoff, cap=handle.retry.max_delay, rng=self._rng)
        self._waiting[handle] = self._timer.at(now + delay, lambda: self._due(handle))

    def forget(self, handle: Handle[Any]) -> None:
        """Stop waiting for a task that ended in between."""
        timeout = self._waiting.pop(handle, None)
        if timeout is not None:
            timeout.cancel()

    def handles(self) -> list[Handle[Any]]:
        """Return the tasks that wait."""
        return list(self._waiting)

    def close(self) -> None:
        """Forget all."""
        for handle in self.handles():
            self.forget(handle)

    def _due(self, handle: Handle[Any]) -> None:
        del self._waiting[handle]
        self._again(handle)
