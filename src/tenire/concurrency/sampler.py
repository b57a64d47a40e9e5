"""Looks at the machine on a thread of its own: the loop never reads a file."""

from __future__ import annotations

import logging
import queue
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from tenire.concurrency.pools.mailbox import Mailbox
from tenire.concurrency.reporting_thread import ReportingThread
from tenire.concurrency.waiting import until_gone
from tenire.observe.load_probe import LoadProbe, LoadSample

if TYPE_CHECKING:
    import asyncio

    from tenire.clock import Clock

__all__ = ["Deliver", "Sampler", "ThreadSampler"]

Deliver = Callable[[LoadSample | None, float], None]
"""Called on the loop with the sample (``None`` if the look failed) and the time when it was sent."""

_log = logging.getLogger("tenire.control")


class Sampler(Protocol):
    """Where samples come from; tests put their own here.

    Attributes:
        fell: Called from any thread when no answer will come any more to what was asked.
    """

    fell: Callable[[BaseException], object]

    def request(self, workers: tuple[int, ...], deliver: Deliver) -> None:
        """Look once, given the process ids of the workers; have ``deliver`` called on the loop."""
        ...

    async def aclose(self) -> None:
        """Look no more."""
        ...


class ThreadSampler:
    """Samples of this machine. The thread starts with the first look, and anew with the next one if it died."""

    def __init__(self, loop: asyncio.AbstractEventLoop, clock: Clock) -> None:
        self._mailbox = Mailbox(loop)
        self._clock = clock
        self._requests: queue.SimpleQueue[tuple[tuple[int, ...], Deliver] | None] = queue.SimpleQueue()
        self._thread: ReportingThread | None = None
        self.fell: Callable[[BaseException], object] = _note_fall

    def request(self, workers: tuple[int, ...], deliver: Deliver) -> None:
        """See ``Sampler``."""
        if self._thread is None or not self._thread.is_alive():
            self._thread = ReportingThread(self._serve, name="tenire-control", fell=self._has_died)
            self._thread.start()
        self._requests.put((workers, deliver))

    def _has_died(self, error: BaseException) -> None:
        self._thread = None
        self.fell(error)

    def _serve(self) -> None:
        probe: LoadProbe | None = None
        failed = False
        while (request := self._requests.get()) is not None:
            workers, deliver = request
            sample: LoadSample | None = None
            try:
                probe = probe or LoadProbe()
                sample = probe.sample(self._clock.now(), workers)
            except Exception:  # noqa: BLE001 - a system may show its figures in a form of its own
                # That must not end the engine; it runs on as if nothing could be seen.
                if not failed:
                    _log.exception("the load of this machine cannot be read")
                failed = True
            self._mailbox.post(deliver, sample, self._clock.now())

    async def aclose(self) -> None:
        """See ``Sampler``."""
        self._requests.put(None)
        if self._thread is not None:
            await until_gone([self._thread])


def _note_fall(error: BaseException) -> None:
    _log.error("the thread that looks at this machine ended", exc_info=error)
