"""When to tidy up, against a model that remembers everything that happened."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tenire.core.compaction import MOST_DOUBLINGS, QUIET_S, Compaction
from tenire.errors import ConfigError

EVERY = {"a": 0.0, "b": 10.0, "c": 60.0, "d": 0.0}
QUIET = {"a": QUIET_S, "b": QUIET_S, "c": QUIET_S, "d": 60.0}


def compaction(*names: str) -> Compaction:
    made = Compaction(0.0)
    for name in names:
        made.add(name, every=EVERY.get(name, 0.0), quiet=QUIET[name])
    return made


class Rounds(RuleBasedStateMachine):
    """Work comes and goes, steps begin, are stopped, and end."""

    def __init__(self) -> None:
        super().__init__()
        self.core = compaction(*QUIET)
        self.now = 0.0
        self.busy = False
        self.quiet_since = 0.0
        self.works = 0  # busy periods so far
        self.last: dict[str, tuple[float, int, int]] = {}  # end, periods before it began, times for nothing
        self.stopped: str | None = None
        self.began_in = 0

    @rule(seconds=st.sampled_from([0.0, 0.1, QUIET_S, 30.0, 200.0, 2000.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def work(self) -> None:
        ran = self.core.running is not None and not self.core.stopping
        assert self.core.busy() == ran, "what runs is told to stop, once"
        self.works += not self.busy
        self.busy = True

    @rule()
    def rest(self) -> None:
        self.core.idle(self.now)
        if self.busy:
            self.busy, self.quiet_since = False, self.now

    def may_run(self, name: str, at: float) -> bool:
        end, periods, useless = self.last.get(name, (-float("inf"), -1, 0))
        due = max(end + EVERY[name] * 2 ** min(useless, MOST_DOUBLINGS), self.quiet_since + QUIET[name])
        return periods < self.works and at >= due

    @rule()
    def begin(self) -> None:
        running = self.core.running
        found = self.core.begin(self.now)
        if self.busy or running is not None:
            assert found is None
            return
        may = [name for name in EVERY if self.may_run(name, self.now)]
        assert found == (self.stopped if self.stopped in may else next(iter(may), None))
        self.began_in = self.works

    @precondition(lambda self: self.core.running is not None)
    @rule(gained=st.booleans(), stopped=st.booleans())
    def end(self, gained: bool, stopped: bool) -> None:
        name, finished = self.core.running, not (stopped and self.core.stopping)
        assert name is not None
        self.core.ended(self.now, gained=gained, finished=finished)
        if finished:
            useless = self.last.get(name, (0, 0, 0))[2]
            self.last[name] = (self.now, self.began_in, 0 if gained else useless + 1)
            self.stopped = None if self.stopped == name else self.stopped
        else:
            self.stopped = name

    @invariant()
    def the_time_that_is_told_is_true(self) -> None:
        self.core.check()
        at = self.core.next_at()
        if self.busy or self.core.running is not None:
            assert at is None
            return
        fresh = [name for name in EVERY if self.last.get(name, (0, -1, 0))[1] < self.works]
        assert (at is None) == (not fresh)
        if at is not None:
            assert any(self.may_run(name, at) for name in EVERY), "a wake-up for nothing"
            assert not any(self.may_run(name, at - 1e-6) for name in EVERY), "a wake-up too late"


TestRounds = Rounds.TestCase
TestRounds.settings = settings(max_examples=150, stateful_step_count=60)


def test_steps_run_in_their_order_once_in_an_idle_period() -> None:
    core = compaction("a", "b", "c")
    ran = []
    while (name := core.begin(QUIET_S)) is not None:
        ran.append(name)
        core.ended(QUIET_S, gained=True, finished=True)
    assert ran == ["a", "b", "c"]
    assert core.next_at() is None, "an engine that only idles is left alone"


def test_a_step_that_was_stopped_goes_on_first() -> None:
    core = compaction("a", "b", "c")
    assert core.begin(QUIET_S) == "a"
    core.ended(QUIET_S, gained=True, finished=True)
    assert core.begin(QUIET_S) == "b"
    assert core.busy()
    core.ended(QUIET_S, gained=False, finished=False)
    core.idle(10.0)
    assert core.next_at() == 10.0 + QUIET_S
    assert [core.begin(14.9), core.begin(15.0)] == [None, "b"]


def test_what_brings_nothing_is_done_less_and_less_often() -> None:
    core, now, pauses = compaction("b"), 0.0, []
    for gained in (False, False, False, False, False, False, True):
        core.busy()
        core.idle(now)
        due = core.next_at()
        assert due is not None
        assert core.begin(due) == "b"
        core.ended(due, gained=gained, finished=True)
        pauses.append(due - now)
        now = due
    assert pauses[1:] == [20.0, 40.0, 80.0, 160.0, 160.0, 160.0]
    core.busy()
    core.idle(now)
    assert core.next_at() == now + EVERY["b"]


def test_a_step_that_is_taken_away_while_it_runs_must_stop() -> None:
    core = compaction("a", "b")
    assert core.begin(QUIET_S) == "a"
    assert core.remove("a")
    core.ended(QUIET_S, gained=False, finished=False)
    core.check()
    assert core.begin(QUIET_S) == "b"
    assert not core.remove("a")


def test_impossible_steps_are_refused() -> None:
    core = compaction("a")
    with pytest.raises(ConfigError, match="already"):
        core.add("a", every=1)
    for seconds in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match="seconds from 0"):
            core.add("b", every=seconds)
        with pytest.raises(ConfigError, match="seconds from 0"):
            core.add("b", every=1, quiet=seconds)
