"""Which models stay loaded where not all of them fit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenire.core.model_room import ModelRoom


def test_the_one_that_was_used_longest_ago_goes_first() -> None:
    room = ModelRoom(100)
    for name in "abc":
        assert room.admit(name, 30, pinned=False) == []
    room.use("a")
    room.done("a")
    assert room.admit("d", 40, pinned=False) == ["b"]
    assert room.admit("e", 60, pinned=False) == ["c", "a"]
    assert (room.used, room.evicted) == (100, 3)


def test_what_is_pinned_or_at_work_stays_and_nothing_goes_in_vain() -> None:
    room = ModelRoom(100)
    room.admit("pinned", 50, pinned=True)
    room.admit("busy", 30, pinned=False)
    room.admit("idle", 20, pinned=False)
    room.use("busy")
    assert room.admit("new", 40, pinned=False) is None
    assert "idle" in room
    room.done("busy")
    assert room.admit("new", 40, pinned=False) == ["idle", "busy"]


def test_a_model_larger_than_all_room_is_alone() -> None:
    room = ModelRoom(100)
    room.admit("small", 10, pinned=False)
    assert room.admit("large", 500, pinned=False) == ["small"]
    assert room.admit("small", 10, pinned=False) == ["large"]
    room.use("small")
    assert room.admit("large", 500, pinned=False) is None


def test_what_was_measured_counts() -> None:
    room = ModelRoom(100)
    room.admit("a", 10, pinned=False)
    room.measured("a", 90)
    assert room.admit("b", 20, pinned=False) == ["a"]
    room.forget("b")
    room.forget("b")
    assert room.used == 0


def test_what_others_lack_is_given_by_those_that_do_nothing_and_by_no_more_than_it_takes() -> None:
    room = ModelRoom(100)
    for name, pinned in (("busy", False), ("pinned", True), ("a", False), ("fresh", False), ("b", False), ("c", False)):
        room.admit(name, 10, pinned=pinned)
    room.use("busy")
    assert room.give_way(0, spared=()) == []
    assert room.give_way(11, spared={"fresh"}) == ["a", "b"]
    assert (room.used, room.evicted) == (40, 2)
    assert room.give_way(1000, spared=()) == ["fresh", "c"]
    assert "pinned" in room
    assert "busy" in room


def test_there_must_be_room() -> None:
    with pytest.raises(ValueError, match="positive"):
        ModelRoom(0)


@given(st.lists(st.tuples(st.sampled_from("abcde"), st.integers(0, 60), st.booleans(), st.booleans())))
def test_it_never_holds_more_than_there_is_room(steps: list[tuple[str, int, bool, bool]]) -> None:
    room = ModelRoom(100)
    using: list[str] = []
    for name, size, pinned, use in steps:
        if name not in room:
            going = room.admit(name, size, pinned=pinned)
            if going is None:
                while using:
                    room.done(using.pop())
                continue
            assert not set(going) & set(using)
        if use:
            room.use(name)
            using.append(name)
        room.check()
        assert room.used <= 100
