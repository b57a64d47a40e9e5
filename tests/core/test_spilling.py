"""Where blobs lie, against a model that remembers every use."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tenire.core.admission import MEMORY
from tenire.core.spilling import PAUSE_S, Place, Spilling, shortage
from tenire.core.tasks import Resources
from tenire.errors import ConfigError, RejectedError

if TYPE_CHECKING:
    from collections.abc import Callable

MOST = 20
BLOBS = st.integers(0, 5)


@dataclass
class Known:
    size: int
    place: Place
    used: int
    open: int = 0
    released: bool = False
    asked: bool = False


class Moves(RuleBasedStateMachine):
    """Blobs come, are opened, move and go."""

    def __init__(self) -> None:
        super().__init__()
        self.core = Spilling(MOST)
        self.model: dict[int, Known] = {}
        self.now = 0.0
        self.uses = 0
        self.not_before = 0.0

    def used(self) -> int:
        self.uses += 1
        return self.uses

    def on_disk(self) -> int:
        return sum(known.size for known in self.model.values() if known.place != Place.MEMORY)

    def one_of(self, which: int, may: Callable[[Known], bool]) -> tuple[int, Known] | None:
        """One of the blobs that may, or none: most random choices of a blob would be none."""
        blobs = [item for item in self.model.items() if may(item[1])]
        return blobs[which % len(blobs)] if blobs else None

    def gone(self, blob: int) -> bool:
        """Whether a blob is forgotten now; forgets it in the model."""
        known = self.model[blob]
        over = known.released and not known.open and known.place in (Place.MEMORY, Place.DISK)
        if over:
            del self.model[blob]
        return over

    @rule(seconds=st.sampled_from([PAUSE_S / 2, PAUSE_S]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(blob=BLOBS, size=st.integers(0, 9), room=st.integers(-1, 9))
    def place(self, blob: int, size: int, room: int) -> None:
        if blob in self.model:
            return
        if size <= room:
            assert self.core.place(blob, size, room=room) == Place.MEMORY
            self.model[blob] = Known(size, Place.MEMORY, self.used())
        elif self.on_disk() + size <= MOST:
            assert self.core.place(blob, size, room=room) == Place.WRITING
            self.model[blob] = Known(size, Place.WRITING, self.used())
        else:
            with pytest.raises(RejectedError, match="neither memory"):
                self.core.place(blob, size, room=room)

    @rule(which=BLOBS)
    def opened(self, which: int) -> None:
        found = self.one_of(which, lambda known: not known.released and known.place != Place.WRITING)
        if found is None:
            return
        blob, known = found
        self.core.opened(blob)
        known.open += 1

    @rule(which=BLOBS)
    def closed(self, which: int) -> None:
        found = self.one_of(which, lambda known: known.open > 0)
        if found is None:
            return
        blob, known = found
        known.open -= 1
        known.used = self.used()
        assert self.core.closed(blob) == self.gone(blob)

    @rule(which=BLOBS)
    def release(self, which: int) -> None:
        found = self.one_of(which, lambda known: not known.released)
        if found is None:
            return
        blob, known = found
        known.released = True
        assert self.core.release(blob) == self.gone(blob)

    @rule(size=st.integers(1, 30))
    def make_room(self, size: int) -> None:
        expected = []
        coming = sum(known.size for known in self.model.values() if known.place == Place.MOVING)
        for blob, known in sorted(self.model.items(), key=lambda item: item[1].used):
            may = known.place == Place.MEMORY and not known.open and not known.released and known.size
            if self.now >= self.not_before and may and coming < size and self.on_disk() + known.size <= MOST:
                known.place = Place.MOVING
                coming += known.size
                expected.append(blob)
        assert self.core.make_room(size, self.now) == expected

    @rule(which=BLOBS)
    def move(self, which: int) -> None:
        found = self.one_of(which, lambda known: not known.released)
        if found is None:
            return
        blob, known = found
        known.asked |= known.place in (Place.MEMORY, Place.MOVING)
        if known.place == Place.MEMORY and self.on_disk() + known.size > MOST:
            with pytest.raises(RejectedError, match="does not fit"):
                self.core.move(blob)
            return
        assert self.core.move(blob) == (known.place == Place.MEMORY)
        if known.place == Place.MEMORY:
            known.place = Place.MOVING

    @rule(which=BLOBS, well=st.sampled_from([True, True, True, False]))
    def written(self, which: int, well: bool) -> None:
        found = self.one_of(which, lambda known: known.place in (Place.MOVING, Place.WRITING))
        if found is None:
            return
        blob, known = found
        if not well:
            self.not_before = self.now + PAUSE_S
        if known.place == Place.WRITING:
            holds = well
            known.released |= not well
            known.place = Place.DISK
        else:
            holds = well and (known.asked or not known.open)
            known.place = Place.DISK if holds else Place.MEMORY
            known.used = known.used if holds or known.open else self.used()
        assert self.core.written(blob, self.now, well=well) == (holds, self.gone(blob))

    @invariant()
    def it_knows_what_the_model_knows(self) -> None:
        self.core.check()
        assert len(self.core) == len(self.model)
        assert all(self.core.place_of(blob) == known.place for blob, known in self.model.items())
        assert all(self.core.is_released(blob) == known.released for blob, known in self.model.items())
        in_memory = (Place.MEMORY, Place.MOVING)
        assert self.core.memory == sum(known.size for known in self.model.values() if known.place in in_memory)
        assert self.core.disk == self.on_disk() <= MOST


TestMoves = Moves.TestCase
TestMoves.settings = settings(max_examples=200, stateful_step_count=60)


def test_after_a_failure_nothing_moves_for_a_while() -> None:
    core = Spilling(MOST)
    core.place(1, 5, room=9)
    assert core.make_room(1, 0.0) == [1]
    core.written(1, 1.0, well=False)
    assert core.make_room(1, 1.0) == core.make_room(1, 1.0 + PAUSE_S / 2) == []
    assert core.make_room(1, 1.0 + PAUSE_S) == [1]


def test_what_left_memory_is_counted() -> None:
    core = Spilling(MOST)
    core.place(1, 5, room=9)
    core.place(2, 5, room=4)
    core.place(3, 5, room=9)
    assert core.make_room(1, 0.0) == [1]
    assert core.make_room(5, 0.0) == [], "what is under way counts"
    assert core.make_room(6, 0.0) == [3]
    core.written(3, 0.0, well=False)
    core.written(1, 0.0, well=True)
    core.written(2, 0.0, well=True)
    assert (core.spilled, core.spilled_bytes) == (1, 5), "what was never in memory did not leave it"


def test_what_is_opened_while_it_is_written_stays_in_memory_unless_it_was_asked_to_move() -> None:
    core = Spilling(MOST)
    for asked in (False, True):
        core.place(1, 5, room=9)
        assert core.make_room(1, 0.0) == [1]
        core.opened(1)
        if asked:
            assert not core.move(1), "it is under way already"
        assert core.written(1, 0.0, well=True) == (asked, False)
        assert core.place_of(1) == (Place.DISK if asked else Place.MEMORY)
        assert not core.closed(1)
        assert core.release(1)


@pytest.mark.parametrize("most", [-1, math.inf, math.nan])
def test_an_impossible_limit_is_refused(most: int) -> None:
    with pytest.raises(ConfigError, match="disk"):
        Spilling(most)


def test_the_shortage_is_that_of_the_largest_task_that_is_next(machine: Callable[..., Any]) -> None:
    it = machine(memory=100)

    def lacking() -> int:
        admission = it.admission
        return shortage(it.scheduler.shares.backlogged, MEMORY, admission.free[MEMORY], it.now)

    it.admission.set_aside(MEMORY, 60)
    assert lacking() == 0
    it.submit("a", memory=50)
    it.submit("a", memory=90)
    it.submit("b", cpu=1, memory=70)
    it.submit("c", cpu=1)
    it.submit("suspended", memory=100)
    it.scheduler.shares.pipeline("suspended").suspended = "a test"
    it.decide()
    assert lacking() == 30, "of those that stand behind others nobody knows yet"


def test_what_is_set_aside_takes_the_place_of_what_was(machine: Callable[..., Any]) -> None:
    admission = machine(memory=100).admission
    for amount, free in ((60, 40), (10, 90), (30, 70), (0, 100)):
        admission.set_aside(MEMORY, amount)
        assert admission.free[MEMORY] == free


def test_what_is_set_aside_is_held_and_makes_nothing_impossible(machine: Callable[..., Any]) -> None:
    it = machine(memory=100)
    it.admission.set_aside(MEMORY, 60)
    assert it.admission.held()["memory"] == (60, 100)
    whole = it.scheduler.needs(Resources(memory=100), task="whole")
    assert it.admission.lacking(whole)
    it.admission.set_aside(MEMORY, 20)
    assert it.admission.free[MEMORY] == 80
    it.admission.check([])
    it.admission.set_aside(MEMORY, 0)
    assert not it.admission.lacking(whole)
    assert it.admission.aside == {}
    it.admission.check([])


def test_under_a_limit_what_is_set_aside_keeps_no_task_out(machine: Callable[..., Any]) -> None:
    it = machine(memory=100)
    it.scheduler.selection.limits[MEMORY] = 0
    it.admission.set_aside(MEMORY, 40)
    task = it.submit(memory=50)
    assert it.decide() == [task], "no task holds any: the first may start"
