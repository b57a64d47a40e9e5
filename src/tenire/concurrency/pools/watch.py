"""Looks at the worker processes now and then, and ends what ``core.worker_watch`` says.

While any of them is at work that is twice a second, otherwise every five seconds, and
never while there are none. The look itself reads files, so it happens on a thread.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from tenire.concurrency.blocking import haste_s, run_blocking, wait_or_give_up
from tenire.core.worker_watch import WorkerWatch
from tenire.observe.machine import read_machine
from tenire.observe.workers import look_at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from tenire.concurrency.pools.link import WorkerLink
    from tenire.concurrency.timer import Timeout, UniversalTimer
    from tenire.observe.workers import ProcessLook

__all__ = ["BUSY_S", "IDLE_S", "PoolWatch"]

BUSY_S = 0.5
IDLE_S = 5.0

_log = logging.getLogger("tenire.pools")


class PoolWatch:
    """Watches the workers of one pool.

    Args:
        timer: The engine's timer.
        loop: Its loop.
        links: Returns every worker that there is.
        limit: Bytes that a worker may keep after a task; ``None``: learnt.
        most: Bytes that all workers may take together; ``None``: found out by the first look.
        found: Called on the loop with that, once it has been found out.

    Attributes:
        fell: Called on the loop if a look was broken off; until ``begun`` there is no other one.
    """

    def __init__(
        self,
        *,
        timer: UniversalTimer | None,
        loop: asyncio.AbstractEventLoop,
        links: Callable[[], list[WorkerLink]],
        limit: int | None,
        most: int | None,
        found: Callable[[int], object],
    ) -> None:
        self._timer = timer
        self._loop = loop
        self._links = links
        self._decisions = WorkerWatch(limit=limit, most=most)
        self._found = found
        self._waiting: Timeout | None = None
        self._soon = False
        self._looking: asyncio.Task[tuple[dict[int, ProcessLook], int | None]] | None = None
        self._closed = False
        self._blind = False
        self.fell: Callable[[BaseException], object] = lambda error: _log.error("no look at workers", exc_info=error)

    def begun(self) -> None:
        """Take in that a worker has got something to do."""
        if not self._soon and self._looking is None:
            self._arm(BUSY_S)

    def keeps_too_much(self, link: WorkerLink) -> bool:
        """Return whether a worker that has ended a task is to be replaced."""
        # By what it keeps: a look may have found it while the task still had its memory.
        if not self._decisions.keeps_too_much(link.kept, link.served):
            return False
        _log.info(
            "%s keeps %s after %d task(s); a new process takes its place", link.name, _mib(link.kept), link.served
        )
        return True

    async def aclose(self) -> None:
        """Look no more."""
        self._closed = True
        if self._waiting is not None:
            self._waiting.cancel()
        if self._looking is not None:
            await wait_or_give_up([self._looking], haste_s())

    def _arm(self, seconds: float) -> None:
        if self._timer is None or self._closed:
            return
        if self._waiting is not None:
            self._waiting.cancel()
        self._soon = seconds == BUSY_S
        self._waiting = self._timer.after(seconds, self._tick)

    def _tick(self) -> None:
        self._waiting = None
        self._soon = False
        links = {pid: link for link in self._links() if (pid := link.pid) is not None}
        # One whose process is just being started has none yet, nor a job.
        if links or not all(link.idle for link in self._links()):
            look = run_blocking(_look, tuple(links), memory=self._decisions.most is None)
            self._looking = self._loop.create_task(look, name="tenire look at workers")
            self._looking.add_done_callback(lambda looking: self._seen(links, looking))

    def _seen(
        self, links: Mapping[int, WorkerLink], looking: asyncio.Task[tuple[dict[int, ProcessLook], int | None]]
    ) -> None:
        self._looking = None
        if self._closed:
            if not looking.cancelled():
                looking.exception()  # of a look that nobody needs any more, asyncio would complain
            return
        try:
            looks, most = looking.result()
            if most is not None:
                self._decisions.found(most)
                self._found(most)
            self._judge(links, looks)
            self._blind = False
        except (OSError, ImportError) as error:
            # No more files can be opened, for example, not even psutil's own. Starting anew would help nobody, and in
            # the end take the engine with it, whose workers go on.
            _log.log(logging.DEBUG if self._blind else logging.WARNING, "workers cannot be looked at now: %s", error)
            self._blind = True
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - the supervisor decides
            self.fell(error)
            return
        busy = not all(link.idle for link in self._links())
        self._arm(BUSY_S if busy or self._decisions.suspects else IDLE_S)

    def _judge(self, links: Mapping[int, WorkerLink], looks: Mapping[int, ProcessLook]) -> None:
        there = {}
        for pid, link in links.items():
            if link.pid != pid:
                continue  # it has ended while the thread was looking
            if pid in looks:
                there[link.name] = link, looks[pid]
            elif link.job is None:  # it died while it had nothing to do
                link.renew()
        for link, look in there.values():
            link.resident = look.resident
        for name in self._decisions.stopped_for_good({name for name, (_, look) in there.items() if look.stopped}):
            self._end(there[name][0], "it had been stopped (SIGSTOP) for a while")
        largest = self._decisions.largest_of_too_much({name: look.resident for name, (_, look) in there.items()})
        if largest is not None:
            link, look = there[largest]
            self._end(link, f"it took {_mib(look.resident)}, and all workers together more than the machine can spare")

    @staticmethod
    def _end(link: WorkerLink, reason: str) -> None:
        _log.warning("%s is ended: %s", link.name, reason)
        link.kill(reason)
        if link.job is None:
            link.renew()


def _look(pids: Iterable[int], *, memory: bool) -> tuple[dict[int, ProcessLook], int | None]:
    return look_at(pids), read_machine().memory_for_workers if memory else None


def _mib(size: int) -> str:
    return f"{size >> 20} MiB"
