"""When tidying up a store pays: a pure decision.

Joining fragments costs as much as writing them again, and takes what is new into the vector
index, as one more part of it; building that index costs a second of processor time for each
100,000 passages. Both take more memory than all else. In the middle of a run, where commits wait
for it and workers hold memory too, only what is quick is done, and seldom: 200 fragments make a
search a fifth slower than 64 do. A run that has ended builds the index if searches feel the lack of it,
and when the machine is idle, or somebody asks, all is done that brings something.

Every commit leaves a version, whose list of fragments is kept: many of them are a reason too.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Plan", "plan"]

# A search that compares with 20,000 vectors takes three times as long as one that has the index, with 10,000 not
# quite twice. To build it takes half a second for 20,000.
_INDEX_ROWS = 20_000
_INDEX_ROWS_IDLE = 10_000
_FRAGMENTS = 400
_FRAGMENTS_ENDED = 64
_FRAGMENTS_IDLE = 2
_VERSIONS = 400
_VERSIONS_IDLE = 20
_UNINDEXED_SHARE = 0.3
_UNINDEXED_SHARE_IDLE = 0.1
# So many are taken into the index in a third of a second.
_QUICK = 20_000
# Every part is searched by itself: with 60 of them a search takes three times as long.
_PARTS = 8


class Plan(NamedTuple):
    """What to do now.

    Attributes:
        compact: Join fragments, drop deleted rows, refresh the index.
        build: Build the vector index.
        long: It takes long or much memory: fragments are joined, the index is built, or many passages are
            taken into it.
    """

    compact: bool
    build: bool
    long: bool = False


def plan(
    *,
    rows: int,
    fragments: int,
    versions: int,
    indexed: int,
    stale: int,
    idle: bool,
    ended: bool = False,
    parts: int = 1,
) -> Plan:
    """Decide what to do.

    Args:
        rows: Passages in the store.
        fragments: Small pieces that commits left.
        versions: Versions that are kept.
        indexed: Passages in the vector index; 0 without one.
        stale: Passages that left since the last time.
        idle: Whether nobody waits for the machine.
        ended: Whether no commit is about to follow.
        parts: Of how many indexes the vector index consists.
    """
    share = _UNINDEXED_SHARE_IDLE if idle else _UNINDEXED_SHARE
    many = versions >= (_VERSIONS_IDLE if idle else _VERSIONS)
    changed = max(rows - indexed, 0) + stale
    if indexed:
        quick = rows - indexed <= _QUICK
        much = changed > share * indexed and (idle or ended)
        build = parts > _PARTS and (idle or ended)
        return Plan(compact=(many and quick) or much, build=build, long=much or build)
    most = _FRAGMENTS_IDLE if idle else _FRAGMENTS_ENDED if ended else _FRAGMENTS
    compact = many or fragments >= most or stale > share * rows
    build = (idle and rows >= _INDEX_ROWS_IDLE) or (ended and rows >= _INDEX_ROWS)
    return Plan(compact=compact, build=build, long=build or (compact and (idle or ended)))
