"""What every engine tidies up in idle periods."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenire.concurrency.blocking import run_blocking
from tenire.concurrency.compactor import STOP_S, CompactionStep
from tenire.concurrency.garbage import set_aside_more
from tenire.observe.heap import resident_bytes, return_memory

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tenire.clock import Clock
    from tenire.concurrency.data import DataManager
    from tenire.concurrency.pools import ThreadPoolManager
    from tenire.protocols import StopSign

__all__ = ["KEPT_THREADS", "KEPT_WORKERS", "engine_steps"]

KEPT_WORKERS = 1  # one answers at once when work arrives; the others are back in a tenth of a second
KEPT_THREADS = 2
_WORKERS_QUIET_S = 60.0
_CACHES_QUIET_S = 60.0
_GARBAGE_S = STOP_S / 2


def engine_steps(pools: ThreadPoolManager, data: DataManager, clock: Clock) -> list[CompactionStep]:
    """Return the steps, in the order in which they make sense: what frees comes before what gives back."""

    async def retire(stop: StopSign) -> int:
        gained = await run_blocking(_resident, pools.idle_workers()[:-KEPT_WORKERS])
        # What had nothing to do when it was measured may have work by now.
        if stop.requested:
            return 0
        return gained if pools.retire_idle(workers=KEPT_WORKERS, threads=KEPT_THREADS) else 0

    def trim(stop: StopSign) -> int:
        # What was used lately is in the half that stays.
        return sum(cache.shrink(cache.capacity // 2) for cache in data.caches() if not stop.requested)

    def collect(stop: StopSign) -> int:
        before = resident_bytes()
        if not stop.requested:
            set_aside_more(clock, limit=_GARBAGE_S)
        return max(0, before - resident_bytes())

    def give_back(stop: StopSign) -> int:
        before = resident_bytes()
        if not stop.requested:
            return_memory()
        return max(0, before - resident_bytes())

    return [
        CompactionStep("idle workers", retire, quiet=_WORKERS_QUIET_S),
        CompactionStep("caches", trim, quiet=_CACHES_QUIET_S),
        CompactionStep("garbage", collect),
        CompactionStep("freed memory", give_back),
    ]


def _resident(pids: Iterable[int]) -> int:
    return sum(resident_bytes(pid) for pid in pids)
