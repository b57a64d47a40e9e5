"""What tasks of a name usually take, against a model that keeps everything."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tenire.core.history import ENOUGH, FADING, KEPT, NAMES, DurationHistory, History, TaskHistory
from tenire.core.recent import Recent

SECONDS = st.floats(0, 1e6)
BYTES = st.integers(0, 1 << 50)
NAME = st.sampled_from("abc")


def plain(rows: Any) -> Any:
    """Return rows as they come back from a file."""
    return json.loads(json.dumps(rows, default=list))


def recent_of(values: list[float]) -> Recent:
    recent = Recent()
    for value in values:
        recent.add(value)
    return recent


def failed_part(outcomes: list[bool]) -> float:
    weights = [FADING**age for age in range(len(outcomes))]
    return sum(w for w, ok in zip(weights, reversed(outcomes), strict=True) if not ok) / sum(weights)


class HistoryStates(RuleBasedStateMachine):
    """Anything may be recorded, saved and read again at any time; the same few names come back."""

    def __init__(self) -> None:
        super().__init__()
        self.history = History()
        self.seconds: dict[str, list[float]] = {name: [] for name in "abc"}
        self.sizes: dict[str, list[float]] = {name: [] for name in "abc"}
        self.outcomes: dict[str, list[bool]] = {name: [] for name in "abc"}
        self.saved: dict[str, Any] = {}

    @rule(name=NAME, seconds=SECONDS, times=st.integers(1, 40))
    def record(self, name: str, seconds: float, times: int) -> None:
        for number in range(times):
            self.history.record(name, seconds + number)
            self.seconds[name].append(seconds + number)
            self.outcomes[name].append(True)

    @rule(name=NAME)
    def fail(self, name: str) -> None:
        self.history.record_failure(name)
        self.outcomes[name].append(False)

    @rule(name=NAME, size=BYTES, times=st.integers(1, 40))
    def take_memory(self, name: str, size: int, times: int) -> None:
        for number in range(times):
            self.history.record_memory(name, size + number)
            self.sizes[name].append(size + number)

    @rule(name=NAME)
    def ask(self, name: str) -> None:
        self.history.usual(name)
        self.history.expected_memory(name)

    @rule(fails=st.booleans())
    def save(self, fails: bool) -> None:
        rows = self.history.changes()
        if fails:
            self.history.keep_trying(rows)
        else:
            self.saved |= {row[1]: row for row in plain(rows)}
            assert self.history.changes() == []
            assert sorted(self.saved.values()) == sorted(plain(self.history.rows()))

    @rule(split=st.booleans())
    def restart(self, split: bool) -> None:
        rows = plain(self.history.rows())
        self.history = History()
        self.saved = {}
        if split:  # the first tasks ended before the file was read
            for name in "ab":
                self.record(name, 1.0, 3)
                self.fail(name)
                if name == "a":
                    self.take_memory(name, 5, 3)
            assert len(self.history.changes()) == 2
        self.history.absorb(History.from_rows(rows))
        changed = {row[1] for row in self.history.changes()}
        assert changed == ({"a", "b"} & {row[1] for row in rows} if split else set())
        self.history.keep_trying(self.history.rows())

    @invariant()
    def what_is_told_is_true(self) -> None:
        self.history.check()
        for name in "abc":
            summary = self.history.summary(name)
            if summary is None:
                assert not self.outcomes[name]
                assert not self.sizes[name]
                assert (self.history.usual(name), self.history.quantile(name, 0.5)) == (None, None)
                assert self.history.expected_memory(name) is None
                continue
            outcomes = self.outcomes[name]
            assert (summary.count, summary.failures) == (sum(outcomes), len(outcomes) - sum(outcomes))
            if len(outcomes) < ENOUGH:
                assert summary.failure_ratio is None
            else:
                assert summary.failure_ratio == pytest.approx(failed_part(outcomes), abs=1e-6)
            entry = self.history._entries[name]
            kept = list(entry.values())
            assert kept == self.seconds[name][len(self.seconds[name]) - len(kept) :]
            assert (summary.p50, summary.p95) == (entry.quantile(0.5), entry.quantile(0.95))
            sizes = list(entry.memory.values()) if entry.memory is not None else []
            assert sizes == self.sizes[name][len(self.sizes[name]) - len(sizes) :]
            assert (summary.memory is None) == (len(sizes) < ENOUGH)


TestHistoryStates = HistoryStates.TestCase


@given(st.lists(st.tuples(NAME, SECONDS), max_size=3 * KEPT))
def test_the_usual_duration_is_the_median_of_the_last_ones_of_that_name(records: list[tuple[str, float]]) -> None:
    history = DurationHistory()
    for name, seconds in records:
        history.record(name, seconds)
        history.check()
    for name in "abcd":
        seconds = [value for other, value in records if other == name]
        kept = recent_of(seconds)
        # Asked for the first time: nothing is remembered yet.
        assert history.usual(name) == kept.quantile(0.5)
        assert history.quantile(name, 0.95) == kept.quantile(0.95)


def test_a_usual_duration_that_is_remembered_follows_in_time() -> None:
    history = History()
    for _ in range(2 * KEPT):
        history.record("a", 1.0)
    assert history.usual("a") == 1.0
    for _ in range(KEPT + KEPT // 4):
        history.record("a", 9.0)
        usual = history.usual("a")
    assert usual == 9.0


def test_expected_memory_is_most_of_what_the_last_ones_took() -> None:
    history = History()
    assert history.expected_memory("a") is None
    for size in range(100):
        history.record_memory("a", size << 20)
        if size < ENOUGH - 1:
            assert history.expected_memory("a") is None
    assert history.expected_memory("a") == pytest.approx(94 << 20, rel=0.01)
    for _ in range(2 * KEPT):
        history.record_memory("a", 7)
    assert history.expected_memory("a") == 7
    assert history.usual("a") is None


def test_a_thousand_names_are_known_and_a_failure_is_half_forgotten_after_two_dozen_outcomes() -> None:
    assert (NAMES, FADING) == (1024, 31 / 32)


def test_failures_that_are_long_ago_weigh_less() -> None:
    history = History()
    for _ in range(50):
        history.record_failure("a")
    assert history.failure_ratio("a") == pytest.approx(1.0)
    for _ in range(50):
        history.record("a", 1.0)
    assert history.failure_ratio("a") == pytest.approx(failed_part([False] * 50 + [True] * 50))
    assert history.failure_ratio("a") < 0.25
    assert history.failure_ratio("b") is None
    assert history.summary("a") == TaskHistory(50, 50, history.failure_ratio("a"), 1.0, 1.0, None)


def test_the_names_recorded_longest_ago_are_forgotten() -> None:
    history = History()
    names = [f"task {number}" for number in range(NAMES)]
    for name in names:
        for _ in range(ENOUGH):
            history.record(name, 1.0)
    history.record(names[0], 1.0)  # fresh again
    history.record_failure(names[1])
    history.record_memory(names[2], 1)
    history.check()
    assert len(history.rows()) == NAMES
    for name in ("one more", "another"):
        for _ in range(ENOUGH):
            history.record(name, 1.0)
        history.check()
    known = {row[1] for row in history.rows()}
    forgotten = NAMES // 8
    assert known == {*names[:3], *names[3 + forgotten :], "one more", "another"}


def test_the_oldest_names_of_an_earlier_time_make_way_for_those_of_now() -> None:
    earlier = History.from_rows([(1, f"old {number}", 0, 1, 1.0, [], []) for number in range(NAMES + 5)])
    earlier.check()
    assert [row[1] for row in earlier.rows()] == [f"old {number}" for number in range(5, NAMES + 5)]
    history = History()
    history.record("old 7", 1.0)
    history.record("new", 1.0)
    history.absorb(earlier)
    history.check()
    names = [row[1] for row in history.rows()]
    assert len(names) == NAMES
    assert names[0] == "old 6", "one had to go: of those not seen since, the oldest"
    assert names[-2:] == ["old 7", "new"]
    assert [row[1] for row in history.changes()] == ["old 7", "new"], "what came from the file is in the file"


def test_a_name_as_long_as_a_document_is_not_kept_in_a_file() -> None:
    history = History()
    history.record("x" * 201, 1.0)
    history.record("x" * 200, 1.0)
    changes = history.changes()
    assert [row[1] for row in history.rows()] == [row[1] for row in changes] == ["x" * 200]
    history.keep_trying([(1, "forgotten meanwhile", 0, 0, 0.0, [], []), *changes])
    assert history.changes() == changes


GOOD = [1, "a", 2, 1, 1.0, [0.5, 0.25], []]


def test_a_row_says_what_it_should() -> None:
    history = History.from_rows([GOOD, [1, "a", 0, 1, 1.0, [], []]])
    history.check()
    assert plain(history.rows()) == [GOOD], "the second row of a name is left out"


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (0, 2), (0, None), (1, 7), (1, "x" * 201), (2, -1), (2, True), (2, 1.0), (2, 1 << 54), (2, 1), (2, 3), (3, "1"),
        (4, float("nan")), (4, -0.5), (4, 1.5), (4, "1"), (5, None), (5, "ab"), (5, {"0": 1, "1": 2}), (5, [-1.0, 1.0]),
        (5, [float("nan"), 1.0]), (5, [float("inf"), 1.0]), (5, [10**400, 1.0]), (5, ["1", 1.0]), (5, [True, 1.0]),
        (6, [1.0] * (2 * KEPT)), (6, 5),
    ],
)  # fmt: skip
def test_a_row_that_is_not_one_is_left_out(place: int, value: Any) -> None:
    row = [*GOOD]
    row[place] = value
    history = History.from_rows([row, [1, "b", 0, 5, 4.5, [], [1, 2, 3, 4, 5]]])
    history.check()
    assert [row[1] for row in history.rows()] == ["b"]
    assert history.expected_memory("b") == 5


def test_the_largest_row_is_read_as_it_was_written() -> None:
    history = History()
    for _ in range(2 * KEPT - 1):
        history.record("x" * 200, 2.0**53)
        history.record_memory("x" * 200, 2**53)
    for _ in range(1000):
        history.record_failure("x" * 200)
    rows = plain(history.rows())
    assert len(rows) == 1
    assert plain(History.from_rows(rows).rows()) == rows


@pytest.mark.parametrize(("more", "read"), [(0, 1), (1, 0)])
def test_numbers_are_believed_as_long_as_they_can_be_counted_on(more: int, read: int) -> None:
    row = [1, "a", 2**53 + more, 2**53, 1.0, [0.5] * KEPT, []]
    assert len(History.from_rows([row]).rows()) == read


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=8) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=10,
)


@given(st.lists(JSON | st.lists(JSON, min_size=7, max_size=7), max_size=4))
@example([None, [], "1234567", GOOD[:6], [*GOOD, 0]])
def test_rubbish_is_never_believed_and_breaks_nothing(rows: list[Any]) -> None:
    history = History.from_rows(rows)
    history.check()
    history.absorb(History.from_rows([GOOD]))
    history.record("a", 1.0)
    history.check()
