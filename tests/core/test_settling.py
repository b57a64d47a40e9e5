"""What has come to rest, against a model that keeps everything."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tenire.core.settling import Settled, Settling

REST, LONGEST, MOST = 1.0, 5.0, 3


def settling() -> Settling:
    return Settling(rest=REST, longest=LONGEST, most=MOST)


def test_a_file_is_ready_once_two_looks_saw_the_same() -> None:
    files = settling()
    files.changed(["a"], 10.0)
    assert files.next_at() == 10.0
    assert files.due(10.0) == ["a"]
    files.looked("a", 1, 10.0)
    assert files.due(10.9) == []
    assert files.take(10.9) == Settled()
    files.looked("a", 2, 11.0)  # it has grown
    files.looked("a", 2, 12.0)
    assert files.next_at() == 0.0
    assert files.take(12.0) == Settled(("a",))
    assert files.next_at() is None


def test_what_is_gone_twice_is_ready_too() -> None:
    files = settling()
    files.changed(["gone"], 0.0)
    files.looked("gone", None, 0.0)
    files.looked("gone", None, 1.0)
    assert files.take(1.0).paths == ("gone",)


def test_a_file_that_never_rests_is_read_after_a_while() -> None:
    files = settling()
    files.changed(["log"], 0.0)
    now, size, taken = 0.0, 0, Settled()
    while not taken and size < 100:
        now = files.next_at() or now
        for path in files.due(now):
            size += 1
            files.looked(path, size, now)
        taken = files.take(now)
    assert taken.paths == ("log",)
    assert now == LONGEST


def test_too_many_are_everything_and_everything_rests_as_well() -> None:
    files = settling()
    files.changed("abcd", 0.0)
    assert files.due(0.0) == []
    files.changed("e", 0.5)
    assert files.next_at() == 1.5
    assert not files.take(1.4)
    for now in range(1, 8):
        files.changed("f", float(now))
        files.check()
    assert files.next_at() == LONGEST
    assert files.take(5.0) == Settled(everything=True)
    assert not files.take(5.0)


def test_a_change_after_the_look_begins_anew() -> None:
    files = settling()
    for now in (0.0, 1.0):
        files.changed(["a"], now)
        files.looked("a", 1, now)
    files.changed(["a"], 1.1)
    assert not files.take(1.1)
    files.looked("a", 2, 1.1)
    files.looked("a", 2, 2.1)
    files.looked("unknown", 2, 2.1)
    assert files.take(2.1).paths == ("a",)


class Files(RuleBasedStateMachine):
    """Files change at any time; looks come when they are due, or late. Nothing that changed is ever forgotten."""

    def __init__(self) -> None:
        super().__init__()
        self.files = settling()
        self.now = 0.0
        self.content: dict[str, int] = {}
        self.read: dict[str, int] = {}
        self.first: dict[str, float] = {}

    @rule(paths=st.lists(st.sampled_from("abcde"), max_size=5))
    def change(self, paths: list[str]) -> None:
        for path in paths:
            self.content[path] = self.content.get(path, 0) + 1
            self.first.setdefault(path, self.now)
        self.files.changed(paths, self.now)

    @rule()
    def lose(self) -> None:
        self.files.lost_track(self.now)

    @rule(seconds=st.sampled_from([0.0, 0.3, 1.0, 7.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def work(self) -> None:
        for path in self.files.due(self.now):
            self.files.looked(path, self.content.get(path), self.now)
        taken = self.files.take(self.now)
        for path in self.content if taken.everything else taken.paths:
            self.read[path] = self.content[path]
            self.first.pop(path, None)

    def teardown(self) -> None:
        for _ in range(50):
            due = self.files.next_at()
            if due is None:
                break
            self.now = max(self.now, due)
            self.work()
        assert self.read == self.content

    @invariant()
    def rules_hold(self) -> None:
        self.files.check()
        if self.first:
            assert self.files.next_at() is not None


TestFiles = Files.TestCase


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=3, unique=True))
def test_what_is_taken_is_sorted_and_taken_once(paths: list[str]) -> None:
    files = settling()
    files.changed(paths, 0.0)
    for now in (0.0, 1.0):
        for path in files.due(now):
            files.looked(path, 0, now)
    assert files.take(1.0).paths == tuple(sorted(paths))
    assert files.take(1.0) == Settled()
