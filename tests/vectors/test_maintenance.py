from __future__ import annotations

from functools import partial

from tenire.vectors import maintenance
from tenire.vectors.maintenance import Plan

plan = partial(maintenance.plan, fragments=1, versions=1, indexed=0, stale=0)


def test_a_small_tidy_store_is_left_alone() -> None:
    assert plan(rows=1000, idle=True) == Plan(compact=False, build=False)
    assert plan(rows=1000, fragments=30, stale=10, idle=False) == Plan(compact=False, build=False)


def test_many_fragments_are_joined() -> None:
    assert not plan(rows=40_000, fragments=399, idle=False).compact, "that takes memory that workers hold"
    assert plan(rows=40_000, fragments=400, idle=False).compact
    assert plan(rows=40_000, fragments=64, idle=False, ended=True).compact
    assert plan(rows=40_000, fragments=2, idle=True).compact


def test_deleted_rows_are_dropped_when_they_are_many() -> None:
    assert plan(rows=1000, stale=400, idle=False).compact
    assert plan(rows=1000, stale=150, idle=True).compact


def test_the_index_waits_longer_while_work_is_going_on() -> None:
    assert not plan(rows=9_000, idle=True).build
    assert plan(rows=12_000, idle=True).build
    assert not plan(rows=900_000, idle=False).build, "commits would wait for ten seconds"
    assert not plan(rows=12_000, idle=False, ended=True).build
    assert plan(rows=25_000, idle=False, ended=True).build, "a search would take three times as long without"


def test_what_takes_long_is_told() -> None:
    assert plan(rows=90_000, idle=False, ended=True).long
    assert plan(rows=140_000, indexed=100_000, idle=False, ended=True).long
    assert plan(rows=15_000, fragments=64, idle=False, ended=True).long, "to join fragments takes memory"
    assert not plan(rows=40_000, fragments=400, idle=False).long
    assert not plan(rows=100_200, versions=400, indexed=100_000, idle=False, ended=True).long


def test_an_index_is_not_refreshed_for_a_few_passages() -> None:
    assert plan(rows=100_020, fragments=90, indexed=100_000, idle=True) == Plan(compact=False, build=False)
    assert plan(rows=112_000, fragments=9, indexed=100_000, idle=True).compact
    assert not plan(rows=112_000, fragments=9, indexed=100_000, idle=False).compact
    assert not plan(rows=140_000, fragments=9, indexed=100_000, idle=False).compact, "commits would wait for it"
    assert plan(rows=140_000, fragments=9, indexed=100_000, idle=False, ended=True).compact


def test_many_versions_are_forgotten_where_that_is_quick() -> None:
    assert plan(rows=1000, versions=400, idle=False).compact
    assert plan(rows=1000, versions=20, idle=True).compact
    assert not plan(rows=1000, versions=20, idle=False).compact
    assert plan(rows=100_200, versions=400, indexed=100_000, idle=False).compact
    assert not plan(rows=121_000, versions=400, indexed=100_000, idle=False).compact


def test_an_index_of_many_parts_is_built_anew_where_nobody_waits() -> None:
    whole = partial(plan, rows=100_000, indexed=100_000)
    assert not whole(parts=8, idle=True).build
    assert not whole(parts=9, idle=False).build
    assert whole(parts=9, idle=True) == whole(parts=9, idle=False, ended=True)
    assert whole(parts=9, idle=True) == Plan(compact=False, build=True, long=True)
