"""The control loop: looks at the machine, and has the engine do less while it is loaded.

::

    sampler thread ──sample──► load index ──level──► pool size ──slots──► scheduler
                                    └──────level──► degradation ──level──► scheduler, hooks

1. One timer. While there is work, or something is about to change, it has the
   machine looked at about every second; otherwise every five seconds while anything
   is held back, and every ten if not.
2. The cores decide (``core.load``, ``core.pool_size``, ``core.degradation``); here
   is only carried out what they say, on the loop's thread.
3. A look that takes long is not asked for twice; one that fails changes nothing.
4. It runs under a supervisor. A look that never comes back is one more reason to start
   again, and what was learned of the load stays.
"""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING

from tenire.concurrency.control_events import LevelChanged, OverloadChanged, SlotsChanged
from tenire.concurrency.periodic import Periodic
from tenire.core.admission import CPU, MEMORY
from tenire.core.degradation import MEASURES, Causes, Degradation
from tenire.core.intervals import AdaptiveInterval
from tenire.core.load import MACHINE, OWN, QUEUE, Level, LoadIndex
from tenire.core.pool_size import PoolSize
from tenire.core.tasks import CPU_UNIT
from tenire.errors import ConfigError

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterable

    from tenire.clock import Clock
    from tenire.concurrency.orchestrator import Orchestrator
    from tenire.concurrency.pools import ThreadPoolManager
    from tenire.concurrency.sampler import Sampler
    from tenire.concurrency.signals import Signals
    from tenire.concurrency.supervisor import Life
    from tenire.concurrency.timer import Timeout, UniversalTimer
    from tenire.core.degradation import Move
    from tenire.observe.load_probe import LoadSample

    Hook = Callable[[str], object]

__all__ = ["Control"]

# Two samples must agree: with a tenth of jitter another program is noticed after
# 0.44 + 2 x 0.88 s at the latest, ten calm ones are over after 9 s.
_LOOK_S = 0.8
_IDLE_S = 10.0
_IDLE_HELD_S = 5.0  # so that all is back within 30 s though nobody waits for it

_PASSED = "the load is gone; it goes back to normal step by step"
_WORSE = "; it was worse, and goes back step by step"

_log = logging.getLogger("tenire.control")


class Control:
    """Adapts the engine to the load of the machine.

    Attributes:
        level: The level that holds: ``normal``, ``elevated``, ``high`` or ``critical``.
        load: The load from 0 to 1, or ``None`` while nothing is known of it.
        slots: CPU slots now.
    """

    def __init__(
        self,
        orchestrator: Orchestrator,
        *,
        pools: ThreadPoolManager,
        timer: UniversalTimer,
        clock: Clock,
        signals: Signals,
        sampler: Sampler,
        rng: random.Random,
        cpu: float,
    ) -> None:
        self._orchestrator = orchestrator
        self._pools = pools
        self._timer = timer
        self._clock = clock
        self._signals = signals
        self._sampler = sampler
        self._rng = rng
        self._interval = AdaptiveInterval(_LOOK_S, rng=rng, minimum=0.9 * _LOOK_S, maximum=1.1 * _LOOK_S)
        self._machine = LoadIndex(MACHINE)
        self._own = LoadIndex(OWN)
        self._queue = LoadIndex(QUEUE)
        self._pool = PoolSize(cpu)
        self._ladder = Degradation()
        self._gone = ""  # what there is less of than there was
        self._hooks: list[tuple[Hook | None, Hook | None]] = []
        self._ticking: Timeout | None = None
        self._due = 0.0
        self._late = 0.0
        self._looked_at = 0.0
        self._ended = 0  # tasks, when it was asked last whether there is work
        self._steady = False  # it knows nothing yet
        self._last: tuple[str, ...] = ()  # the classes that go last, as told
        self._looking = False
        self._closed = False
        self._beat: Callable[[], object] = lambda: None

    # -- the face ---------------------------------------------------------

    @property
    def level(self) -> str:
        """The level that holds."""
        return _name(self._ladder.level)

    @property
    def load(self) -> float | None:
        """The load from 0 to 1 in the last sample."""
        return max([known for index in self._indices() if (known := index.reading.index) is not None], default=None)

    @property
    def slots(self) -> float:
        """CPU slots now."""
        return self._pool.slots

    @property
    def reason(self) -> str | None:
        """Why the engine does less than it could, or ``None`` if it does not."""
        if any(index.cause is not None for index in self._indices()):
            return _cause(self._ladder.level, self._indices())
        if self._pool.taken:
            return self._taken()
        return (self._gone or None) if self._at_rest() else _PASSED

    @property
    def overload(self) -> str | None:
        """Which classes of work go last because other work waits far too long, or ``None`` if none does."""
        return self._orchestrator.scheduler.overload.in_words()

    def on_level(self, *, enter: Hook | None = None, leave: Hook | None = None) -> Callable[[], None]:
        """Call ``enter(level)`` and ``leave(level)`` as levels begin and end to hold.

        Levels come in their order, each with its name; ``normal`` always holds and is
        never told. For a level that holds already, ``enter`` is called at once. The
        hooks run on the loop's thread and must not block; one that raises is logged.

        Returns:
            A function that takes the hooks back.
        """
        hooks = (enter, leave)
        self._hooks.append(hooks)
        for level in range(1, self._ladder.level + 1):
            _call(enter, _name(Level(level)))

        def take_back() -> None:
            if hooks in self._hooks:
                self._hooks.remove(hooks)

        return take_back

    def every(self, period: float, call: Callable[[], object], *, longest: float | None = None) -> Periodic:
        """Call ``call`` about every ``period`` seconds, and half as often with each level.

        Args:
            period: Seconds between two calls at the level ``normal``.
            call: A plain function; it runs on the loop's thread and must not block.
            longest: Seconds between two calls at the most; default: eight periods.

        Raises:
            ConfigError: If the period is not positive, or ``call`` is no function.
        """
        if not callable(call):
            message = f"call must be a plain function, got {call!r}"
            raise ConfigError(message, key="call")
        interval = AdaptiveInterval(period, rng=self._rng, maximum=longest)
        return Periodic(self._timer, interval, lambda: self._ladder.level, call)

    def resize(self, cpu: float) -> None:
        """Take in that there are so many CPU slots now, more or fewer than before; on the loop's thread.

        A task that needs more than are left is not refused for that: it runs when nothing else does.

        Args:
            cpu: CPU slots, more than 0.
        """
        before, full = self._pool.slots, self._pool.full
        if cpu == full:
            return
        self._pool.resize(cpu)
        admission = self._orchestrator.scheduler.admission
        if cpu * CPU_UNIT > admission.capacity[CPU]:
            self._orchestrator.register_resource("cpu", cpu)
        most = admission.capacity[CPU] / CPU_UNIT
        self._gone = f"{cpu:g} of {most:g} CPU slots are left" if cpu < most else ""
        _log.info("%g CPU slots, were %g", cpu, full)
        self._limit_cpu(before)

    # -- life -------------------------------------------------------------

    def start(self) -> None:
        """Look at the machine from now on."""
        self._arm()

    async def run(self, life: Life) -> None:
        """Be a component: look at the machine for as long as it lives."""
        self._beat = life.beat
        self._sampler.fell = life.fail
        self._looking = False
        self.start()
        life.ready()
        try:
            await life.wait_told_to_end()
        finally:
            self._stop_ticking()

    def ask(self, beat: Callable[[], None]) -> None:
        """Have ``beat`` called if looking at the machine works."""
        self._sampler.request((), lambda *_: beat())

    async def aclose(self) -> None:
        """Look no more."""
        self._closed = True
        self._stop_ticking()
        await self._sampler.aclose()

    def _stop_ticking(self) -> None:
        if self._ticking is not None:
            self._ticking.cancel()

    def _arm(self) -> None:
        wait = self._interval.next(Level.NORMAL)
        self._due = self._clock.now() + wait
        self._ticking = self._timer.after(wait, self._tick)

    def _tick(self) -> None:
        now = self._clock.now()
        self._late = now - self._due
        self._arm()
        if self._looking or now < self._look_at():
            return
        self._looking = True
        self._looked_at = now
        self._sampler.request(tuple(self._pools.statistics().processes.values()), self._take)

    def _look_at(self) -> float:
        """Return when to look again."""
        if self._at_work() or not self._steady:
            return 0.0
        return self._looked_at + (_IDLE_S if self._at_rest() else _IDLE_HELD_S)

    def _at_work(self) -> bool:
        """Return whether there is work now, or was some since this was asked last.

        Short tasks with pauses between them are seldom there when one looks.
        """
        scheduler = self._orchestrator.scheduler
        before, self._ended = self._ended, sum(share.ended for share in scheduler.shares.pipelines.values())
        return bool(scheduler.running or scheduler.queued or self._ended != before)

    def _at_rest(self) -> bool:
        """Return whether nothing is held back."""
        return self._ladder.level == Level.NORMAL and self._pool.slots == self._pool.full

    def _indices(self) -> tuple[LoadIndex, ...]:
        return self._machine, self._own, self._queue

    def _taken(self) -> str:
        return f"other programs use {self._pool.taken} of the cores"

    def _causes(self) -> Causes:
        """Return why classes are left out, and why slots or memory are kept back: only the machine's load does that."""
        limits = ""
        level = _held(self._ladder.level, self._indices())
        short = self._machine, self._own
        classes = _held(max(index.level for index in short), short)
        if self._machine.cause is not None:
            limits = f"level {_name(self._machine.level)}: {self._machine.cause}"
        elif self._pool.slots < self._pool.full:
            limits = self._taken() if self._pool.taken else _PASSED
        return Causes(level, classes, limits, "" if limits else self._gone)

    # -- a sample ---------------------------------------------------------

    def _take(self, sample: LoadSample | None, sent_at: float) -> None:
        self._looking = False
        self._beat()
        if self._closed or sample is None:
            return
        now = self._clock.now()
        own = {
            "loop_lag": max(self._late, now - sent_at),
            "io_full": sample.signals.get("io_full"),
        }
        machine = self._machine.observe(sample.signals)
        crowding = self._own.observe(own)
        before = self._pool.slots
        self._pool.observe(now, foreign=sample.foreign, cores=sample.cores, level=machine)
        waiting = self._queue.observe({"queue_wait": self._queue_wait(now)})
        moves = self._ladder.observe(max(machine, crowding, waiting), now)
        at_rest = self._pool.steady and not self._last
        self._steady = at_rest and all(index.reading.level == index.level for index in self._indices())
        self._leave_out(MEASURES[max(machine, crowding)].lowest_class)
        self._limit(MEMORY, 0 if machine == Level.CRITICAL else None)
        self._limit_cpu(before)
        for move in moves:
            self._move(move)
        if moves:
            self._orchestrator.wake()

    def _leave_out(self, lowest: int) -> None:
        """Start no work below a class: only as long as the load says so, as a level stands for longer."""
        selection = self._orchestrator.scheduler.selection
        if selection.lowest_class != lowest:
            selection.lowest_class = lowest
            self._orchestrator.wake()

    def _limit_cpu(self, before: float) -> None:
        slots = self._pool.slots
        most = round(slots * CPU_UNIT)
        self._limit(CPU, None if most >= self._orchestrator.scheduler.admission.capacity[CPU] else most)
        self._orchestrator.scheduler.selection.causes = self._causes()
        if slots != before:
            self._pools.resize(math.ceil(slots))
            self._signals.post(SlotsChanged(slots, before, self._pool.full, self._why()))

    def _limit(self, index: int, most: int | None) -> None:
        """Let no more of a resource be held by tasks; ``None`` for all that there is.

        Not its capacity: what fits the engine must not be refused for the moment.
        """
        limits = self._orchestrator.scheduler.selection.limits
        if limits.get(index) != most:
            if most is None:
                del limits[index]
            else:
                limits[index] = most
            self._orchestrator.wake()

    def _queue_wait(self, now: float) -> float | None:
        overload = self._orchestrator.scheduler.overload
        # Between decisions nobody else ends its window, and an old wait would stand.
        share = overload.batch_share
        overload.advance(now)
        if overload.batch_share > share:
            self._orchestrator.wake()  # there is room for more, though nothing has ended
        last = overload.last
        if last != self._last:
            before, self._last = self._last, last
            reason = overload.in_words() or "work waits no longer than it should"
            _log.info("%s", reason)
            self._signals.post(OverloadChanged(last, before, overload.batch_wait, reason))
        return overload.interactive_wait

    def _move(self, move: Move) -> None:
        self._orchestrator.scheduler.selection.burst_allowed = self._ladder.measures.burst
        below = Level(move.level - 1)
        level, before = (move.level, below) if move.entered else (below, move.level)
        _log.info("load %s, was %s: %s", _name(level), _name(before), self._why())
        self._signals.post(LevelChanged(_name(level), _name(before), self.load, self._why()))
        for enter, leave in tuple(self._hooks):
            _call(enter if move.entered else leave, _name(move.level))

    def _why(self) -> str:
        return self.reason or "the load is gone"


def _cause(level: Level, indices: Iterable[LoadIndex]) -> str:
    """Return what a level stands for."""
    worst = max(indices, key=lambda index: index.level)
    if worst.cause is None:
        return _PASSED
    return f"{worst.cause}{_WORSE if worst.level < level else ''}"


def _held(level: Level, indices: Iterable[LoadIndex]) -> str:
    """Return a level and what it stands for, or nothing if it is normal."""
    return f"level {_name(level)}: {_cause(level, indices)}" if level else ""


def _name(level: Level) -> str:
    return level.name.lower()


def _call(hook: Hook | None, level: str) -> None:
    if hook is None:
        return
    try:
        hook(level)
    except Exception:  # noqa: BLE001 - foreign code; logged, and the others are called
        _log.exception("a hook for level %s failed", level)
