"""Whether a server counts the output that replies had, or what was reserved for them."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from tenire.core.output_count import LOOKS, OutputCount
from tenire.core.rate_report import MetricReport
from tenire.testing.fake_model_server.meters import make_meter

if TYPE_CHECKING:
    from collections.abc import Callable

WINDOW, LIMIT, MARGIN = 60.0, 60_000, 0.3
INPUT, MOST, OUTPUT = 300, 500, 100
SERVERS = ("sliding", "fixed", "bucket")


class World:
    """Calls one after the other, and what a server says to them."""

    def __init__(self, kind: str, *, real: bool, seed: int = 0) -> None:
        self.server = make_meter(kind, LIMIT, WINDOW, origin=-17.0)  # type: ignore[arg-type]
        self.real = real
        self.count = OutputCount(WINDOW)
        self.now = 0.0
        self.chance = random.Random(seed)
        self.says: Callable[[float], MetricReport] = lambda left: MetricReport(LIMIT, max(0, int(left)))

    def call(self, every: float = 0.8, latency: float = 0.3, *, fails: bool = False) -> None:
        """Make a call; the first ones come faster, as after a pause."""
        sent_at, size = self.now, self.chance.randrange(INPUT - 50, INPUT + 51)
        self.count.sent(INPUT + MOST)
        self.server.take(size if self.real else size + MOST, sent_at + 0.02)
        said = self.says(self.server.remaining(sent_at + 0.02))
        now = sent_at + latency
        if self.real and not fails:
            self.server.take(OUTPUT, now)
        self.count.observe(said, sent_at, now, MARGIN, INPUT)
        self.count.check()
        if fails:
            self.count.lost(now, INPUT + MOST)
        else:
            self.count.answered(sent_at, now, INPUT + MOST, input_tokens=size, output_tokens=OUTPUT, reserved=MOST)
        self.now += every

    def run(self, seconds: float) -> float | None:
        """Call for so long; return when it was found that real output counts."""
        end = self.now + seconds
        while self.now < end:
            self.call(0.4 if self.now < 8.0 else 0.8)
            if self.count.real:
                return self.now
        return None


@pytest.mark.parametrize("kind", SERVERS)
def test_that_real_output_counts_is_found_out_in_little_more_than_a_window(kind: str) -> None:
    at = World(kind, real=True).run(300.0)
    assert at is not None
    assert WINDOW <= at <= 1.5 * WINDOW


@pytest.mark.parametrize("kind", SERVERS)
def test_what_was_reserved_counts_for_ever_where_it_does(kind: str) -> None:
    assert World(kind, real=False).run(1800.0) is None


@pytest.mark.parametrize("kind", SERVERS)
@pytest.mark.parametrize("every", [0.7, 3.1])
def test_others_who_use_the_key_do_not_make_reserved_output_look_real(kind: str, every: float) -> None:
    world = World(kind, real=False)
    at = 0.0
    while world.now < 1200.0:
        while at < world.now:
            world.server.take(world.chance.randrange(50, 900), at)
            at += every
        world.run(0.5)
        assert not world.count.real


@pytest.mark.parametrize("kind", SERVERS)
def test_a_server_that_forgets_now_and_then_does_not_make_it_look_real(kind: str) -> None:
    world = World(kind, real=False)
    for _ in range(20):
        world.run(world.chance.randrange(20, 120))
        world.server = make_meter(kind, LIMIT, WINDOW, origin=world.now)  # type: ignore[arg-type]
        assert not world.count.real


@pytest.mark.parametrize("left", [LIMIT, LIMIT - 1, LIMIT // 2, 0])
def test_a_server_that_always_says_the_same_says_nothing(left: int) -> None:
    world = World("sliding", real=False)
    world.says = lambda _: MetricReport(LIMIT, left)
    assert world.run(600.0) is None


@pytest.mark.parametrize(
    "report", [MetricReport(), MetricReport(LIMIT), MetricReport(None, 5), MetricReport(-1, 5), MetricReport(LIMIT, -1)]
)
def test_who_does_not_say_how_much_is_left_is_taken_to_count_what_is_reserved(report: MetricReport) -> None:
    world = World("sliding", real=True)
    world.says = lambda _: report
    assert world.run(200.0) is None


@pytest.mark.parametrize("kind", SERVERS)
def test_figures_in_thousands_are_enough(kind: str) -> None:
    world = World(kind, real=True)
    world.says = lambda left: MetricReport(LIMIT, round(left / 1000) * 1000, 500)
    found = world.run(300.0)
    assert found is not None or kind == "bucket", "a bucket that is nearly full shows too little"


def test_failed_calls_that_may_have_been_counted_do_not_keep_it_from_being_found() -> None:
    world = World("sliding", real=True)
    while world.now < 200.0 and not world.count.real:
        world.call(0.4 if world.now < 8.0 else 0.8, fails=world.chance.random() < 0.05)
    assert world.count.real


def test_a_refusal_ends_it_and_doubles_the_time_that_it_takes() -> None:
    world = World("sliding", real=True)
    first = world.run(300.0)
    assert first is not None
    world.count.refused(world.now)
    assert not world.count.real
    assert world.count.windows == 2
    again = world.run(300.0)
    assert again is not None
    assert again - first >= 2 * WINDOW


def test_a_refusal_before_it_is_known_begins_anew() -> None:
    world = World("sliding", real=True)
    assert world.run(50.0) is None
    world.count.refused(world.now)
    found = world.run(300.0)
    assert found is not None
    assert found >= 50.0 + WINDOW


@pytest.mark.parametrize("kind", ["sliding", "fixed"])
def test_a_server_that_says_more_than_can_be_real_ends_it(kind: str) -> None:
    world = World(kind, real=True)
    assert world.run(300.0) is not None
    world.real = False
    calls = 0
    while world.count.real and calls < 100:
        world.call()
        calls += 1
    assert LOOKS <= calls < 60
    assert world.count.windows == 2


def test_one_figure_that_is_out_of_place_ends_nothing() -> None:
    world = World("sliding", real=True)
    assert world.run(300.0) is not None
    says = world.says
    for number in range(40):
        world.says = (lambda _: MetricReport(LIMIT, 0)) if number % LOOKS == 0 else says
        world.call()
    assert world.count.real


def test_another_limit_begins_anew() -> None:
    world = World("sliding", real=True)
    assert world.run(50.0) is None
    world.says = lambda left: MetricReport(LIMIT - 1000, max(0, int(left) - 1000))
    found = world.run(300.0)
    assert found is not None
    assert found >= 50.0 + WINDOW


def test_the_time_that_it_takes_grows_to_an_end() -> None:
    count = OutputCount(WINDOW)
    for _ in range(20):
        count.real = True
        count.refused(0.0)
    count.check()
    assert count.windows == 64
