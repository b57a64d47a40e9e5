"""Worker processes: spawned, at lowest priority, warm and reused, replaced when they die."""

from __future__ import annotations

import asyncio
import atexit
import logging
import multiprocessing.util  # noqa: F401 - it registers its own exit handler, see below
import os
from functools import partial
from typing import TYPE_CHECKING, Any

from tenire.concurrency.pools.link import WorkerLink, links
from tenire.concurrency.pools.quickness import Known
from tenire.concurrency.waiting import until_gone

if TYPE_CHECKING:
    from collections.abc import Callable

    from tenire.concurrency.handle import Handle
    from tenire.concurrency.pools.mailbox import Mailbox
    from tenire.concurrency.pools.thread_share import ThreadShare
    from tenire.concurrency.pools.watch import PoolWatch
    from tenire.core.tasks import Needs

__all__ = ["Processes"]

_END_S = 2.0
"""Seconds that workers get to end once they have nothing more to do."""

_log = logging.getLogger("tenire.pools")


def _set(future: asyncio.Future[BaseException | None], error: BaseException | None) -> None:
    if not future.done():  # nobody waits any more
        future.set_result(error)


def _kill_leftovers() -> None:
    for link in list(links):
        link.kill()


def _let_go() -> None:
    for link in list(links):
        link.forked()
    links.clear()


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=_let_go)

# After multiprocessing.util registered its own exit handler, so this runs before that
# one, which would wait for the workers of an engine that was never closed.
atexit.register(_kill_leftovers)


class Processes:
    """Worker processes: a pool of equals, and named ones that keep something warm.

    Libraries ask once how many threads they may use, so a task without a worker's name
    runs in a process that was started for tasks that may use as many, and one with a name
    is started for its first task.

    Args:
        mailbox: The way to the loop.
        report: Called on the loop with ``(handle, value, error, memory)``.
        threads: Tells how many threads numerical libraries may use; ``None``: no limit.

    Attributes:
        watch: Looks at the workers; set before the first task comes.
        recycled: Processes ended because of the memory that they kept.
        fell: Called on the loop with the error that a thread of ours died of.
    """

    watch: PoolWatch

    def __init__(
        self,
        mailbox: Mailbox,
        report: Callable[[Handle[Any], Any, BaseException | None, int], None],
        *,
        threads: ThreadShare | None,
    ) -> None:
        self._mailbox = mailbox
        self._report = report
        self._threads = threads
        self._known = Known()
        self._idle: list[WorkerLink] = []
        self._pool: list[WorkerLink] = []
        self._named: dict[str, WorkerLink] = {}
        self._ending: list[WorkerLink] = []
        self._made = 0
        self._surplus = 0
        self.recycled = 0
        self._empty: asyncio.Future[None] | None = None
        self.fell: Callable[[BaseException], object] = lambda error: _log.error("a thread died", exc_info=error)

    @property
    def links(self) -> list[WorkerLink]:
        """Every worker."""
        return [*self._pool, *self._ending, *self._named.values()]

    @property
    def replaced(self) -> int:
        """Processes started in place of one that died, or was ended because of its memory."""
        return sum(max(0, link.started - 1) for link in self.links)

    def start(self, handle: Handle[Any]) -> None:
        """Run a task; on the loop's thread."""
        if handle.worker is not None:
            link = self._named.get(handle.worker)
            if link is None:
                link = self._named[handle.worker] = self._new(handle.worker, self._held(handle.needs))
        else:
            held = self._held(handle.needs)
            link = self._taken_idle(held) or self._new_equal(held)
        handle.run = link
        link.put(handle)
        self.watch.begun()

    async def warm_up(self, workers: int, modules: tuple[str, ...]) -> None:
        """Have so many equals ready for tasks of one CPU slot, and modules imported in all that are idle.

        Raises:
            Exception: The first that went wrong: a module cannot be imported, or a process not started.
        """
        loop = asyncio.get_running_loop()
        held = self._held(None)
        for _ in range(workers - sum(link.held == held for link in self._pool)):
            # In front: those that are ready are taken first, from the end.
            self._idle.insert(0, self._new_equal(held))
        waiting = []
        for link in self._idle:
            ready: asyncio.Future[BaseException | None] = loop.create_future()
            link.warm_up(modules, partial(_set, ready))
            waiting.append(ready)
        self.watch.begun()
        for error in [await ready for ready in waiting]:
            if error is not None:
                raise error

    def _held(self, needs: Needs | None) -> int:
        return 0 if self._threads is None else self._threads.held(needs)

    def _taken_idle(self, held: int) -> WorkerLink | None:
        """Take the last of the idle equals that was started for tasks that hold this much."""
        idle = self._idle
        for place in range(len(idle) - 1, -1, -1):
            if idle[place].held == held:
                return idle.pop(place)
        return None

    def _new_equal(self, held: int) -> WorkerLink:
        self._made += 1
        link = self._new(f"worker-{self._made}", held)
        self._pool.append(link)
        return link

    def _new(self, name: str, held: int) -> WorkerLink:
        threads = None if self._threads is None else partial(self._threads.threads, held)
        return WorkerLink(
            name, self._mailbox, ended=self._finished, left=self._left, fell=lambda error: self.fell(error),
            held=held, threads=threads, known=self._known,
        )  # fmt: skip

    def _finished(
        self, link: WorkerLink, handle: Handle[Any], value: Any, error: BaseException | None, memory: int
    ) -> None:
        link.resident = link.kept
        if link in self._pool:  # those with a name keep something on purpose
            self._now_idle(link)
        self._report(handle, value, error, memory)

    def _now_idle(self, link: WorkerLink) -> None:
        if self._surplus:
            self._surplus -= 1
            link.put(None)
            return
        self._idle.append(link)
        if self.watch.keeps_too_much(link):
            self.recycled += 1
            link.renew()

    def resize(self, most: int) -> None:
        """End equals beyond ``most``: idle ones now, the others after the task that they run."""
        self._surplus = max(0, len(self._pool) - most)
        self._surplus -= self.retire(keep=max(0, len(self._idle) - self._surplus))

    def _left(self, link: WorkerLink) -> None:
        if link in self._pool:
            self._pool.remove(link)
        elif link in self._ending:
            self._ending.remove(link)
        else:
            self._named.pop(link.name, None)
        if self._empty is not None and not self.links and not self._empty.done():
            self._empty.set_result(None)

    def idle(self) -> list[int]:
        """Return the process ids of equals that have nothing to do, idle for the longest first."""
        return [pid for link in self._idle if (pid := link.pid) is not None]

    def retire(self, *, keep: int) -> int:
        """End equals that have nothing to do; on the loop's thread. Named ones stay: they keep something warm.

        Args:
            keep: How many of them stay.

        Returns:
            How many end.
        """
        retired = self._idle[: max(0, len(self._idle) - keep)]
        del self._idle[: len(retired)]
        for link in retired:
            link.put(None)
        return len(retired)

    def end_named(self, name: str, *, if_idle: bool) -> bool:
        """End a worker with a name, after what it has to do; return whether one ends.

        Whoever asks for that name from now on gets a new one.
        """
        link = self._named.get(name)
        if link is None or (if_idle and not link.idle):
            return False
        self._ending.append(self._named.pop(name))
        link.put(None)
        return True

    async def aclose(self, *, kill: bool) -> None:
        """End every worker.

        Args:
            kill: Kill those that are busy instead of waiting for their task.
        """
        self._idle.clear()
        links = self.links
        for link in links:
            job = link.job
            if job is not None and (kill or job.done()):  # it runs on though its task has ended
                link.kill()
            link.put(None)
        if links:
            self._empty = asyncio.get_running_loop().create_future()
            await asyncio.wait([self._empty], timeout=_END_S)
        for link in self.links:
            link.kill()
        await until_gone(link.thread for link in links if link not in self.links)
