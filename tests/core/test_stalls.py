"""Whether something that must answer has stopped answering, against a plain list of what happened."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tenire.core.stalls import Finding, StallDetector

LIMIT, LATE = 1.0, 1.5
STEPS = st.sampled_from([0.0, 0.25, 0.5, 1.0, 1.25])


class StallMachine(RuleBasedStateMachine):
    """The looker looks after each step; the other answers when the rule says so."""

    def __init__(self) -> None:
        super().__init__()
        self.detector = StallDetector(LIMIT, late=LATE)
        self.now = self.looked_at = 0.0
        self.asked_at: float | None = None
        self.answered_at: float | None = None
        self.told = False

    @rule(seconds=STEPS)
    def time_passes_and_it_looks(self, seconds: float) -> None:
        self.now += seconds
        self.look(paused=False)

    @rule(seconds=st.sampled_from([1.5, 2.0, 100.0]))
    def the_machine_sleeps_and_then_it_looks(self, seconds: float) -> None:
        self.now += seconds
        self.look(paused=True)

    @precondition(lambda self: self.asked_at is not None and self.answered_at is None)
    @rule(seconds=st.sampled_from([0.0, 0.25]))
    def it_answers(self, seconds: float) -> None:
        self.now += seconds
        self.answered_at = self.now

    def look(self, *, paused: bool) -> None:
        paused = self.now - self.looked_at >= LATE
        self.looked_at = self.now
        finding = self.detector.look(self.now, self.answered_at)
        if self.asked_at is None or self.answered_at is not None:
            over = None
            if self.told:
                assert self.asked_at is not None
                assert self.answered_at is not None
                over = self.answered_at - self.asked_at
            assert finding == Finding(ask=True, over=over)
            self.asked_at, self.answered_at, self.told = self.now, None, False
        elif self.told:
            assert finding == Finding()
        elif paused:
            assert finding == Finding()
            self.asked_at = self.now
        elif self.now - self.asked_at >= LIMIT:
            assert finding == Finding(stalled=self.now - self.asked_at)
            self.told = True
        else:
            assert finding == Finding()

    @invariant()
    def holds_its_rules(self) -> None:
        self.detector.check()
        assert self.detector.stalled == self.told


TestStalls = StallMachine.TestCase
TestStalls.settings = settings(max_examples=100, stateful_step_count=30)


def test_a_stall_is_told_once_and_its_end_with_how_long_it_lasted() -> None:
    detector = StallDetector(LIMIT, late=LATE)
    assert detector.look(0.0, None) == Finding(ask=True)
    assert detector.look(0.9, None) == Finding()
    assert detector.look(1.8, None) == Finding(stalled=1.8)
    assert detector.look(2.7, None) == Finding()
    assert detector.look(3.6, answered_at=3.0) == Finding(ask=True, over=3.0)
    assert detector.look(4.0, answered_at=3.7) == Finding(ask=True)


def test_a_machine_that_slept_proves_nothing() -> None:
    detector = StallDetector(LIMIT, late=LATE)
    detector.look(0.0, None)
    assert detector.look(3600.0, None) == Finding()
    assert detector.look(3600.9, None) == Finding()
    assert detector.look(3601.0, None).stalled == pytest.approx(1.0)
