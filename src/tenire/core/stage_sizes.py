"""How large the pieces are in which documents go through a run, from what its stages cost.

::

    files ─► read ─► passages ─► embed ─► store
             batch   (readers)   slice     group

1. A *batch* and a *slice* are so large that what a call costs however small it is takes at most
   ``SHARE`` of it, and no longer than ``LONGEST_S``: pipelines take turns between calls, and a
   worker that dies takes a call with it.
2. A *group* is so large that a call of the model can be full, and that the fixed part of its
   commit takes at most ``SHARE`` of the time in which the slowest of the later stages gets its
   passages through; but no longer than ``LONGEST_GROUP_S`` of work: a kill costs so much.
3. There are *readers* enough to bring passages ``HEADROOM`` times as fast as the slowest of the
   later stages takes them, and no more: the cores are the model's.
4. There is *room* for what the slowest stage needs at hand: the groups on their way, one that is
   being filled, and what is being read. That bounds what a run holds in memory, in passages,
   however many bytes of files they come from; so a batch is small against a group.
5. A stage of which too little is known leaves its sizes as they are, and a size moves only when
   it is off by more than ``SLACK``: what is measured wavers, and sizes should come to rest.

Each size stays between the smallest and the largest of ``LEAST`` and ``MOST``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tenire.core.stage_cost import StageCost

__all__ = [
    "FIRST", "HEADROOM", "LEAST", "LONGEST_GROUP_S", "LONGEST_S", "MOST", "SHARE", "SLACK", "StageSizes", "sizes_for",
    "slowest",
]  # fmt: skip

SHARE = 0.02
LONGEST_S = 1.0
LONGEST_GROUP_S = 10.0
HEADROOM = 1.5
SLACK = 0.25


@dataclass(frozen=True, slots=True)
class StageSizes:
    """In which pieces documents go through a run.

    Attributes:
        batch: Bytes of files in one message to a worker process that reads.
        slice: Texts in one call of the model.
        group: Passages that are committed together.
        readers: Batches that are read at the same time.
        room: Batches between the source and their commit.
    """

    batch: int
    slice: int
    group: int
    readers: int
    room: int


FIRST = StageSizes(batch=256 << 10, slice=128, group=512, readers=64, room=24)
"""For as long as nothing is known."""

LEAST = StageSizes(batch=64 << 10, slice=32, group=128, readers=1, room=6)
MOST = StageSizes(batch=256 << 10, slice=1024, group=2048, readers=64, room=128)

_NOTHING = 1e-12
"""Seconds that an item costs at the least; a stage may seem to cost nothing but its calls."""

_SENT = 2
"""Groups on their way to their commit."""


def sizes_for(
    before: StageSizes,
    *,
    read: StageCost,
    embed: StageCost,
    store: StageCost,
    usual: tuple[float, float],
    workers: int,
) -> StageSizes:
    """Return the sizes that suit what the stages cost.

    Args:
        before: The sizes now.
        read: Calls that read files; an item is a byte of a file.
        embed: Calls of the model; an item is a passage.
        store: Commits; an item is a passage.
        usual: Bytes of a usual batch, and the passages that come of it; zeros if nobody knows.
        workers: Worker processes that can read at the same time, at least 1.

    Raises:
        ValueError: If ``workers`` is not positive.
    """
    if workers < 1:
        message = f"workers must be a positive whole number, got {workers}"
        raise ValueError(message)
    batch, slice_, group = before.batch, before.slice, before.group
    readers, room = min(before.readers, workers), before.room
    if read.known:
        batch = _settled(before.batch, _call(read), LEAST.batch, MOST.batch)
    if embed.known:
        slice_ = _settled(before.slice, _call(embed), LEAST.slice, MOST.slice)
    if embed.known and store.known:
        per_passage = _per_passage(slice_, embed=embed, store=store)
        enough = max(store.fixed / (SHARE * per_passage), slice_, FIRST.group)
        wanted = min(enough, LONGEST_GROUP_S / per_passage)
        group = _settled(before.group, wanted, LEAST.group, MOST.group)
        size, passages = usual
        if read.known and passages > 0:
            needed = HEADROOM * read.seconds(size) / passages / per_passage
            readers = max(LEAST.readers, min(ceil(min(needed, workers)), workers))
            # One more for each group: what fills it is seldom full of it.
            batches = (_SENT + 1) * (group / passages + 1)
            room = _settled(before.room, batches + 2 * readers, LEAST.room, MOST.room)
    return replace(before, batch=batch, slice=slice_, group=group, readers=readers, room=room)


def slowest(busy: dict[str, float], workers: dict[str, int]) -> str | None:
    """Return the stage that limits a run: the one whose workers were busy longest, each.

    Args:
        busy: Seconds of work in each stage, all its workers together.
        workers: How many can work in a stage at the same time; 1 where it is not named.

    Returns:
        Its name, or ``None`` while nothing was done.
    """
    times = {name: seconds / max(1, workers.get(name, 1)) for name, seconds in busy.items()}
    name = max(times, key=times.__getitem__, default=None)
    return name if name is not None and times[name] > 0 else None


def _call(cost: StageCost) -> float:
    """Return how many items suit a call (rule 1)."""
    each = max(cost.each, _NOTHING)
    return min(cost.fixed * (1 - SHARE) / (SHARE * each), LONGEST_S / each)


def _per_passage(slice_: int, *, embed: StageCost, store: StageCost) -> float:
    """Return the seconds in which the slower one of the later stages gets a passage through."""
    return max(embed.seconds(slice_) / slice_, store.each, _NOTHING)


def _settled(before: int, wanted: float, least: int, most: int) -> int:
    size = round(max(least, min(wanted, most)))
    return before if least <= before <= most and abs(size - before) <= SLACK * before else size
