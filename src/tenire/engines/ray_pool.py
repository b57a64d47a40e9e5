"""Workers of one kind: actors of Ray that are equals, or that share a name.

::

    put ─▶ waiting ─▶ an idle worker takes the oldest ─▶ Ray runs it ─▶ ended
              │                                            │
              └─▶ more workers are asked for               └─▶ lost with its worker ─▶ ended

Rules:
    1. A job goes to a worker only once that is there and has nothing else to do, so a job
       never waits behind another one, nor for a worker that Ray finds no room for.
    2. A worker that runs a job is gone after that job was lost or stopped.
    3. There are no more workers than jobs that came at the same time, nor than ``most``.
    4. A worker lost before it was ready takes no job along, unless that happens to ``_TRIES``
       of them, each asked for after the one before was lost: then there is none to be had.
    5. When a worker is lost, others of its node that have nothing to do are let go: if the
       node is gone they are too, and would take along a job each.
"""

from __future__ import annotations

import contextlib
import textwrap
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any

from tenire.clock import SYSTEM_CLOCK
from tenire.concurrency.pools.engine import Lost
from tenire.concurrency.pools.frames import Message

if TYPE_CHECKING:
    from collections.abc import Callable

    from tenire.concurrency.pools.engine import Job, Outcome
    from tenire.engines.ray_worker import Found

__all__ = ["Errand", "RayPool"]

_TRIES = 3
_SHOWN = 200


class Errand:
    """One job here; see ``engine.Run``."""

    __slots__ = ("ended", "job", "pool", "since", "worker")

    def __init__(self, job: Job, ended: Callable[[Outcome], object], pool: RayPool) -> None:
        self.job = job
        self.ended = ended
        self.pool = pool
        self.since: float | None = None
        self.worker: Worker | None = None

    def stop(self) -> None:
        """See ``engine.Run``."""
        self.pool.stop(self)


class Worker:
    """One actor.

    Attributes:
        actor: Ray's handle of it.
        found: What it said of itself, once it is ready.
        errand: What it runs.
        lost_before: How many were lost in a row before it was asked for; see rule 4.
    """

    __slots__ = ("actor", "errand", "found", "lost_before")

    def __init__(self, actor: Any, lost_before: int) -> None:
        self.actor = actor
        self.lost_before = lost_before
        self.found: Found | None = None
        self.errand: Errand | None = None


class RayPool:
    """Workers of one kind, and the jobs that wait for them; all of it on the engine's thread.

    Args:
        start: Asks Ray for an actor and returns its handle and the reference to what it finds.
        kill: Ends an actor.
        watch: ``watch(reference, call)`` has ``call(value, error)`` called once that is known.
        most: How many workers there may be; ``None``: as many as jobs come at the same time; see ``resize``.
        changed: Called with ``(worker, there)`` when one is ready, and when that one is gone.
        make_room: Called before a worker is asked for.
        lost: Called with a node's name when a worker there was lost; to call ``leave`` of all pools.
        spare: Called when workers have nothing to do; to call ``retire`` if another pool lacks one.
    """

    def __init__(
        self,
        *,
        start: Callable[[], tuple[Any, Any]],
        kill: Callable[[Any], object],
        watch: Callable[[Any, Callable[[Any, BaseException | None], object]], object],
        most: int | None,
        changed: Callable[[Worker, bool], object],
        make_room: Callable[[RayPool], object],
        lost: Callable[[str], object],
        spare: Callable[[RayPool], object],
    ) -> None:
        self._start = start
        self._kill = kill
        self._watch = watch
        self._most = most
        self._changed = changed
        self._make_room = make_room
        self._lost_at = lost
        self._spare = spare
        self._waiting: deque[Errand] = deque()
        self._idle: list[Worker] = []
        self._workers: set[Worker] = set()
        self._lost = 0

    @property
    def lacks_workers(self) -> bool:
        """Whether a job waits for a worker that was asked for and is not there yet."""
        return bool(self._waiting) and any(worker.found is None for worker in self._workers)

    def resize(self, most: int) -> None:
        """Have more workers from now on, or no more than so many; those that there are stay."""
        self._most = most
        self._move()

    def hand_over(self) -> list[Errand]:
        """Return the jobs that wait for a worker, and ask for none for them any more."""
        for worker in [each for each in self._workers if each.found is None]:
            self._bury(worker)
        waiting, self._waiting = self._waiting, deque()
        return list(waiting)

    def put(self, errand: Errand) -> None:
        """Have a job run as soon as there is a worker for it."""
        errand.pool = self
        self._waiting.append(errand)
        self._move()

    def stop(self, errand: Errand) -> None:
        """Stop a job; see ``engine.Run``."""
        if errand.worker is not None:
            # Then Ray says that it is lost; or the job's outcome was on its way, and the worker is gone all the same.
            self._bury(errand.worker)
        elif errand in self._waiting:
            self._waiting.remove(errand)
            errand.ended(Lost("it was stopped before it began"))

    def retire(self) -> None:
        """End workers that have nothing to do."""
        idle, self._idle = self._idle, []
        for worker in idle:
            self._bury(worker)

    def leave(self, node: str) -> None:
        """End workers of a node that have nothing to do."""
        there = [worker for worker in self._idle if worker.found is not None and worker.found.node == node]
        self._idle = [worker for worker in self._idle if worker not in there]
        for worker in there:
            self._bury(worker)

    def close(self) -> None:
        """End all workers."""
        self._idle.clear()
        for worker in tuple(self._workers):
            self._bury(worker)
        self._refuse("the engine closed")

    def _refuse(self, why: str) -> None:
        waiting, self._waiting = self._waiting, deque()
        for errand in waiting:
            errand.ended(Lost(why, started=False))

    def _move(self) -> None:
        try:
            self._give_out()
        except Exception as error:  # noqa: BLE001 - whatever Ray raises: the connection is gone, for example
            self._refuse(_in_words(error))
        if self._idle and not self._waiting:
            self._spare(self)

    def _give_out(self) -> None:
        while self._waiting and self._idle:
            self._give(self._idle.pop(), self._waiting[0])
            self._waiting.popleft()
        coming = sum(worker.found is None for worker in self._workers)
        while len(self._waiting) > coming and (self._most is None or len(self._workers) < self._most):
            self._make_room(self)
            actor, ready = self._start()
            worker = Worker(actor, self._lost)
            self._watch(ready, partial(self._ready, worker))
            self._workers.add(worker)
            coming += 1

    def _give(self, worker: Worker, errand: Errand) -> None:
        try:
            reference = worker.actor.run.remote(*errand.job.parts)
        except Exception:
            self._bury(worker)  # it would count as one at work for ever
            raise
        worker.errand, errand.worker = errand, worker
        errand.since = SYSTEM_CLOCK.now()
        self._watch(reference, partial(self._over, worker, errand))

    def _ready(self, worker: Worker, found: Found | None, error: BaseException | None) -> None:
        if worker not in self._workers:  # let go meanwhile
            return
        refusal = _in_words(error) if found is None else found.refusal
        if refusal is None:
            self._lost = 0
            worker.found = found
            self._changed(worker, True)
            self._idle.append(worker)
        else:
            self._bury(worker)
            self._lost = max(self._lost, worker.lost_before + 1)
            if found is not None or self._lost >= _TRIES:
                self._lost = 0
                self._refuse(refusal)
        self._move()

    def _over(self, worker: Worker, errand: Errand, made: Any, error: BaseException | None) -> None:
        worker.errand = errand.worker = None
        if error is not None:
            if worker in self._workers:  # not because we have ended it
                self._bury(worker)
                if worker.found is not None:
                    self._lost_at(worker.found.node)
            outcome: Outcome = Lost(_in_words(error))
        else:
            tag, parts = made
            outcome = Message(tag, 0, [bytearray(part) for part in parts])
            if worker in self._workers:
                self._idle.append(worker)
        errand.ended(outcome)
        self._move()

    def _bury(self, worker: Worker) -> None:
        if worker in self._workers:
            self._workers.discard(worker)
            if worker.found is not None:
                self._changed(worker, False)
            with contextlib.suppress(Exception):  # it is gone already, in whatever words of Ray's
                self._kill(worker.actor)


def _in_words(error: BaseException | None) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    what = type(error).__name__
    # The first line says what happened, the last one why; between them stand numbers of Ray's own.
    told = f"{what}: {lines[0]}" + (f" {lines[-1]}" if len(lines) > 1 else "") if lines else what
    return textwrap.shorten(told, _SHOWN, placeholder=" …")
