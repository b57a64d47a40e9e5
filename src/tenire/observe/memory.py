"""How much memory the engine and its workers take together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenire.observe.machine import peak_rss_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["PeakMemory"]


class PeakMemory:
    """The largest resident memory of this process plus its workers that was seen.

    Pages that processes share are counted in each of them, so this errs high.

    Args:
        workers: Returns the process ids of the workers alive now.

    Attributes:
        peak: Bytes.
        last: Bytes when it was looked last.
    """

    def __init__(self, workers: Callable[[], Iterable[int]]) -> None:
        # Imported here: a process that never measures does not need it.
        import psutil

        self._psutil = psutil
        self._workers = workers
        self._own = psutil.Process()
        self._known: dict[int, psutil.Process] = {}
        self.peak = self.last = 0

    def sample(self) -> None:
        """Look once; reads small files of the system, for some hundred microseconds."""
        total = self._own.memory_info().rss
        for pid in self._workers():
            try:
                process = self._known.get(pid)
                if process is None:
                    process = self._known[pid] = self._psutil.Process(pid)
                total += process.memory_info().rss
            except self._psutil.Error:
                self._known.pop(pid, None)  # it ended in between
        self.last = total
        self.peak = max(self.peak, total, peak_rss_bytes())

    @property
    def mib(self) -> float:
        """The peak in MiB."""
        return self.peak / 2**20
