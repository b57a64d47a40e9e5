from __future__ import annotations

from tenire.vectors.maintenance import Plan, plan


def test_a_small_tidy_store_is_left_alone() -> None:
    assert plan(rows=1000, fragments=1, indexed=0, stale=0, idle=True) == Plan(compact=False, build=False)
    assert plan(rows=1000, fragments=30, indexed=0, stale=10, idle=False) == Plan(compact=False, build=False)


def test_many_fragments_are_joined() -> None:
    assert plan(rows=40_000, fragments=64, indexed=0, stale=0, idle=False).compact
    assert plan(rows=40_000, fragments=2, indexed=0, stale=0, idle=True).compact


def test_deleted_rows_are_dropped_when_they_are_many() -> None:
    assert plan(rows=1000, fragments=1, indexed=0, stale=400, idle=False).compact
    assert plan(rows=1000, fragments=1, indexed=0, stale=150, idle=True).compact


def test_the_index_waits_longer_while_work_is_going_on() -> None:
    assert not plan(rows=60_000, fragments=1, indexed=0, stale=0, idle=False).build
    assert plan(rows=60_000, fragments=1, indexed=0, stale=0, idle=True).build
    assert plan(rows=200_000, fragments=1, indexed=0, stale=0, idle=False).build


def test_an_index_is_not_refreshed_for_a_few_passages() -> None:
    assert plan(rows=100_020, fragments=90, indexed=100_000, stale=0, idle=True) == Plan(compact=False, build=False)
    assert plan(rows=112_000, fragments=9, indexed=100_000, stale=0, idle=True).compact
    assert not plan(rows=112_000, fragments=9, indexed=100_000, stale=0, idle=False).compact
    assert plan(rows=140_000, fragments=9, indexed=100_000, stale=0, idle=False).compact
