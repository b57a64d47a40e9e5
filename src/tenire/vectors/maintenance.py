"""When tidying up a store pays: a pure decision.

Joining fragments costs as much as writing them again; the vector index costs
seconds to minutes to build and nearly as much to refresh (``lance_table`` has the
figures), and joining fragments refreshes it too. While work is going on both wait
until searches would feel it; when the machine is idle, or somebody asks, they are
done as soon as they bring something.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Plan", "plan"]

# A scan of 200,000 vectors takes half of the 300 ms that a search may take; from
# 50,000 (27 ms) on the index is noticeable, and built where time costs nothing.
_INDEX_ROWS = 200_000
_INDEX_ROWS_IDLE = 50_000
_FRAGMENTS = 64
_FRAGMENTS_IDLE = 2
_UNINDEXED_SHARE = 0.3
_UNINDEXED_SHARE_IDLE = 0.1


class Plan(NamedTuple):
    """What to do now.

    Attributes:
        compact: Join fragments, drop deleted rows, refresh the index.
        build: Build the vector index.
    """

    compact: bool
    build: bool


def plan(*, rows: int, fragments: int, indexed: int, stale: int, idle: bool) -> Plan:
    """Decide what to do.

    Args:
        rows: Passages in the store.
        fragments: Small pieces that commits left.
        indexed: Passages in the vector index; 0 without one.
        stale: Passages that left since the last time.
        idle: Whether nobody waits for the machine.
    """
    share = _UNINDEXED_SHARE_IDLE if idle else _UNINDEXED_SHARE
    changed = max(rows - indexed, 0) + stale
    if indexed:
        return Plan(compact=changed > share * indexed, build=False)
    compact = fragments >= (_FRAGMENTS_IDLE if idle else _FRAGMENTS) or stale > share * rows
    return Plan(compact=compact, build=rows >= (_INDEX_ROWS_IDLE if idle else _INDEX_ROWS))
