"""The engine's end of one worker process, with two ways for a job.

::

                 small call, worker idle                  small value
    put(handle) ─────────────────────────▶ on the loop ────────────────▶ ended
         │                                     │ anything else             ▲
         └─────────▶ on the link's thread ◀────┘                           │
                      starts the process, sends, receives ─────────────────┘

A few bytes are written and read on the loop's own thread: the worker waits for
them, so its buffer is empty, and no thread has to be woken twice. All that takes
time (starting a process, large arguments and values) is done by the link's thread,
and so is what runs foreign code (pickling and unpickling objects of other classes
than the built-in ones), until that is known to be quick; see ``plain``, ``quickness``.

Rules:
    1. A job is in one place: on the loop, with the thread, or in ``_later``.
    2. While the loop watches the connection the thread does not touch it, and it does
       not block; ``_hand_over`` is the only way from the one to the other.
"""

from __future__ import annotations

import math
import os
import pickle
import queue
import sys
import weakref
from collections import deque
from typing import TYPE_CHECKING, Any

from tenire.clock import SYSTEM_CLOCK
from tenire.concurrency.pools.child import hold_interrupts
from tenire.concurrency.pools.conversation import Conversation, key_of
from tenire.concurrency.pools.frames import AT_ONCE, dump_small, pack, unpack
from tenire.concurrency.pools.jobs import JOB, PLAIN, VALUE
from tenire.concurrency.pools.plain import is_plain
from tenire.concurrency.pools.verdicts import thread_died
from tenire.concurrency.reporting_thread import ReportingThread

if TYPE_CHECKING:
    from collections.abc import Callable

    from tenire.concurrency.handle import Handle
    from tenire.concurrency.pools.conversation import Outcome
    from tenire.concurrency.pools.mailbox import Mailbox
    from tenire.concurrency.pools.quickness import Known

__all__ = ["WorkerLink", "links"]

links: weakref.WeakSet[WorkerLink] = weakref.WeakSet()
"""Every link that there is."""


class WorkerLink:
    """The engine's end of one worker process.

    Args:
        name: The worker's name.
        mailbox: The thread's way to the loop.
        ended: Called on the loop with ``(link, handle, value, error, memory)``.
        left: Called on the loop with the link when its process and its thread are gone.
        fell: Called on the loop with the error that the thread died of; there is a new one then.
        held: CPU that the tasks hold for which it is started, as far as it counts there.
        threads: Asked, when its process starts, for the threads that numerical libraries may use there;
            ``None``: no limit.
        known: What pickling is quick.

    Attributes:
        name: The worker's name.
        thread: The thread that talks to the process.
        held: As given.
        resident: Bytes that the process occupied when somebody last looked; the watch's affair.
    """

    def __init__(
        self,
        name: str,
        mailbox: Mailbox,
        *,
        ended: Callable[..., None],
        left: Callable[..., None],
        fell: Callable[[BaseException], object],
        held: int,
        threads: Callable[[], int] | None,
        known: Known,
    ) -> None:
        self.name = name
        self.held = held
        self._mailbox = mailbox
        self._ended = ended
        self._left = left
        self._known = known
        self._talk = Conversation(name, threads=threads, known=known)
        # On the loop's thread only:
        self._on_loop = False
        self._with_thread = 0
        self._later: deque[Handle[Any] | None] = deque()
        self._watched: int | None = None
        self.resident = 0
        self._can_watch = sys.platform != "win32"
        self._work: queue.SimpleQueue[tuple[Callable[..., Outcome], Handle[Any] | None, tuple[Any, ...]] | None]
        self._work = queue.SimpleQueue()
        self._doing: tuple[Handle[Any] | None] | None = None  # the thread's, for whoever finds it dead
        self._fell = fell
        self._start_thread()
        links.add(self)

    @property
    def pid(self) -> int | None:
        """The process's id, or ``None`` while there is none."""
        child = self._talk.child
        return child.pid if child is not None else None

    @property
    def job(self) -> Handle[Any] | None:
        """The task that it runs now."""
        return self._talk.job

    @property
    def idle(self) -> bool:
        """Whether nothing runs or waits here."""
        return not self._on_loop and not self._with_thread and not self._later

    def running_since(self, handle: Handle[Any]) -> float | None:
        """Return when the process got this task, or ``None`` if it does not run it now."""
        return self._talk.since if self._talk.job is handle else None

    @property
    def served(self) -> int:
        """Tasks that this process has run."""
        return self._talk.served

    @property
    def kept(self) -> int:
        """Bytes that the process occupied after its last task."""
        return self._talk.kept

    @property
    def started(self) -> int:
        """Processes started so far, replacements included."""
        return self._talk.started

    # -- on the loop's thread ---------------------------------------------

    def put(self, handle: Handle[Any] | None) -> None:
        """Run a task after those before it; ``None`` ends the worker after them."""
        if self._on_loop:
            self._later.append(handle)
        elif handle is None:
            self._unwatch()
            self._work.put(None)
        # One that was cancelled while it waited only has to be reported, by the thread.
        elif self._with_thread or handle.done() or not self._send_from_loop(handle):
            self._hand_over(self._talk.run, handle)

    def warm_up(self, modules: tuple[str, ...], ready: Callable[[BaseException | None], None]) -> None:
        """Have a process that has imported modules, and call ``ready`` on the loop."""
        self._hand_over(self._warm_up, None, modules, ready)

    def stop(self, handle: Handle[Any]) -> None:
        """Kill the process if it runs this task; the next task gets a new one."""
        self._talk.stop(handle)

    def forked(self) -> None:
        """Let go of the process; in a fork of the engine's process."""
        self._talk.let_go()

    def renew(self) -> None:
        """End the process, which has nothing to do; the next task gets a new one."""
        self._hand_over(self._talk.bury, None)

    def kill(self, why: str | None = None) -> None:
        """Kill the process, whatever it does; from any thread.

        Args:
            why: What is wrong with it; then the next task gets a new one. ``None``: it is
                not needed any more.
        """
        self._talk.kill(why)

    def _send_from_loop(self, handle: Handle[Any]) -> bool:
        child = self._talk.child
        if child is None or not self._can_watch:
            return False
        parts = self._dump_on_loop(handle)
        if parts is None or len(pieces := pack(JOB, 0, parts)) > 1 or not self._watch(child.connection.fileno()):
            return False
        assert self._watched is not None
        try:
            sent = os.write(self._watched, pieces[0])
        except BlockingIOError:
            sent = 0
        except OSError:  # the process is gone, which the thread will see as well
            return False
        if sent < len(pieces[0]):
            # Only if somebody made the buffers smaller than they were.
            self._hand_over(self._talk.send_rest, handle, pieces[0][sent:])
            return True
        self._on_loop = True
        self._talk.sent(handle)
        return True

    def _dump_on_loop(self, handle: Handle[Any]) -> list[bytes | memoryview] | None:
        reference = key_of(handle)
        if not reference:
            return None
        try:
            if is_plain(handle.args):
                return [reference, pickle.dumps(handle.args, 5)]
            if not self._known.calls.trusts(reference):
                return None
            started = SYSTEM_CLOCK.now()
            call = dump_small(handle.args)
            self._known.calls.note(reference, SYSTEM_CLOCK.now() - started if call is not None else math.inf)
        except Exception:  # noqa: BLE001 - pickling runs foreign code; the thread will find out and tell
            return None
        return [reference, *call] if call is not None else None

    def _watch(self, fd: int) -> bool:
        if self._watched is None:
            try:
                self._mailbox.loop.add_reader(fd, self._readable)
            except NotImplementedError:  # a loop that can watch no files: Windows, some GUI toolkits
                self._can_watch = False
                return False
            os.set_blocking(fd, False)
            self._watched = fd
        return True

    def _unwatch(self) -> None:
        if self._watched is not None:
            self._mailbox.loop.remove_reader(self._watched)
            os.set_blocking(self._watched, True)
            self._watched = None

    def _hand_over(self, work: Callable[..., Outcome], handle: Handle[Any] | None, *args: Any) -> None:
        self._unwatch()
        self._with_thread += 1
        self._work.put((work, handle, args))

    def _readable(self) -> None:
        assert self._watched is not None
        try:
            data = os.read(self._watched, AT_ONCE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        handle = self._talk.job
        self._on_loop = False
        if handle is None:  # nobody asked for anything, so this is its end
            self._hand_over(self._talk.bury, None)
        elif (outcome := unpack(data)) is not None and (
            outcome.tag == PLAIN or (outcome.tag == VALUE and self._known.values.trusts(key_of(handle)))
        ):
            self._ended(self, handle, *self._talk.received(handle, outcome))
        else:
            self._hand_over(self._talk.receive, handle, data)
        while self._later and not self._on_loop:
            self.put(self._later.popleft())

    def _start_thread(self) -> None:
        self.thread = ReportingThread(self._serve, name=f"tenire-link-{self.name}", fell=self._dying)
        self.thread.start()

    def _dying(self, error: BaseException) -> None:
        if self._doing is not None:
            self._talk.bury(None)  # what it was saying to the process nobody can take up again
        self._mailbox.post(self._died, error)

    def _died(self, error: BaseException) -> None:
        doing, self._doing = self._doing, None
        self._start_thread()
        if doing is not None:
            handle = doing[0]
            self._over(handle, (None, None if handle is None else thread_died(handle, error), 0))
        self._fell(error)

    def _over(self, handle: Handle[Any] | None, outcome: Outcome) -> None:
        self._with_thread -= 1
        if handle is not None:
            self._ended(self, handle, *outcome)

    # -- on the link's own thread -----------------------------------------

    def _warm_up(
        self, _: None, modules: tuple[str, ...], ready: Callable[[BaseException | None], None]
    ) -> tuple[None, None, int]:
        self._mailbox.post(ready, self._talk.warm_up(modules))
        return None, None, 0

    def _serve(self) -> None:
        hold_interrupts()
        while (item := self._work.get()) is not None:
            work, handle, args = item
            self._doing = (handle,)
            outcome = work(handle, *args)
            self._mailbox.post(self._over, handle, outcome)
            self._doing = None
            # An idle thread must not keep the last job's value alive.
            del item, handle, args, outcome
        self._talk.bury(None)
        self._mailbox.post(self._left, self)
