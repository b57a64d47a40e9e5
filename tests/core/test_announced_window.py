"""In which time a server counts a limit, as far as its replies show."""

from __future__ import annotations

import math
import random
from typing import Literal

import pytest

from tenire.core.announced_window import ENOUGH, LOOKED_AT, AnnouncedWindow
from tenire.core.quota_meter import QuotaMeter
from tenire.core.rate_report import MetricReport

Counting = Literal["clock", "first call", "sliding", "bucket"]
COUNTINGS: tuple[Counting, ...] = ("clock", "first call", "sliding", "bucket")
WAYS = {"exact": lambda seconds: seconds, "up": math.ceil, "ms": lambda seconds: math.ceil(seconds * 1000) / 1000}


class Server:
    """Counts calls in one of the ways that servers have, and says what is gone and when it is back."""

    def __init__(self, counting: Counting, limit: int, window: float) -> None:
        self.counting, self.limit, self.window = counting, limit, window
        self.calls: list[float] = []
        self.start = 0.0

    def call(self, now: float) -> tuple[int, float]:
        """Take one call; return what is gone, and when all is back."""
        window = self.window
        self.calls = [at for at in self.calls if at > now - window]
        if self.counting == "bucket":
            self.start = max(self.start, now) + window / self.limit  # when it is full
            return max(1, min(self.limit, math.ceil((self.start - now) * self.limit / window - 1e-9))), self.start - now
        self.calls.append(now)
        if self.counting == "sliding":
            return min(self.limit, len(self.calls)), window
        if self.counting == "clock":
            self.start = now // window * window
        elif now >= self.start + window:
            self.start = now
        gone = sum(1 for at in self.calls if at >= self.start)
        return min(self.limit, gone), self.start + window - now


def replies_until_known(server: Server, way: str, seed: int, *, paced: bool) -> int | None:
    """Return how many replies it takes to find a second, or ``None``."""
    rng, meant, now = random.Random(seed), AnnouncedWindow(60.0), rng_start(seed)
    sent: list[float] = []
    for number in range(2 * LOOKED_AT):
        # As the limit of a minute lets one, or to find what may look like less.
        now += rng.uniform(1.0, 1.3) * (60.0 / server.limit if paced else rng.choice((0.05, 0.5, 1.2, 20.0, 61.0)))
        sent.append(now)
        arrives, told = now + rng.uniform(0.0, 0.1), now + 0.2
        gone, back = server.call(arrives)
        lately = sum(1 for at in sent if at > told - 2.0)
        meant.observe(server.limit, gone, WAYS[way](back), lately, told)
        if meant.is_second:
            return number
    return None


def rng_start(seed: int) -> float:
    return 1000.0 + 7.3 * seed


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("counting", COUNTINGS)
@pytest.mark.parametrize("window", [60.0, 10.0, 3600.0])
def test_a_longer_time_is_never_taken_for_a_second(counting: Counting, way: str, window: float) -> None:
    if counting == "bucket" and window < 60.0:
        pytest.skip("nothing tells it from a second's; a refusal will")
    for seed in range(12):
        for limit in (1, 5, 60, 600, 5000):
            for paced in (False, True):
                server = Server(counting, limit, window)
                assert replies_until_known(server, way, seed, paced=paced) is None, (seed, limit)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("counting", COUNTINGS)
def test_a_second_is_found(counting: Counting, way: str) -> None:
    for seed in range(8):
        for limit in (2, 5, 20):
            found = replies_until_known(Server(counting, limit, 1.0), way, seed, paced=True)
            assert found is not None, (seed, limit)
            assert found >= ENOUGH


def odd(meant: AnnouncedWindow, replies: int, *, start: float = 0.0, limit: int = 5) -> None:
    for number in range(replies):
        meant.observe(limit, 1, 0.4, 1, start + 7.0 * number)


def test_the_first_odd_reply_only_tells_when_the_next_one_would_fit() -> None:
    meant = AnnouncedWindow(60.0)
    odd(meant, ENOUGH)
    assert not meant.is_second
    odd(meant, 1, start=42.0)
    assert (meant.is_second, meant.settled) == (True, True)
    meant.deny()
    odd(meant, 20, start=100.0)
    assert (meant.is_second, meant.settled) == (False, True)
    odd(meant, 20, start=300.0, limit=6)
    assert meant.is_second, "another limit may mean another time"


@pytest.mark.parametrize(
    ("used", "reset_s", "lately"),
    [(1, None, 1), (0, 0.4, 1), (3, 0.4, 2), (1, 0.0, 1), (5, 1.0, 5)],
    ids=["no time", "nothing gone", "others use it", "already back", "as a bucket"],
)
def test_what_may_be_otherwise_shows_nothing(used: int, reset_s: float | None, lately: int) -> None:
    meant = AnnouncedWindow(60.0)
    for number in range(LOOKED_AT):
        assert not meant.settled
        meant.observe(300, used, reset_s, lately, 7.0 * number)
    assert (meant.is_second, meant.settled) == (False, True)


def told(meter: QuotaMeter, replies: int = 40, start: float = 0.0) -> float:
    """Have a meter make calls, and a server say that five a second are allowed."""
    now = start
    for _ in range(replies):
        while not (free := meter.refill(0, now)):
            now = meter.ready_at(1, free, now)
        meter.take(1, 0, now)
        meter.observe(MetricReport(5, 4, 0, 0.4), 1, now + 0.1)
        meter.check()
    return now


def test_a_meter_spends_the_limit_of_a_second_by_the_second() -> None:
    meter = QuotaMeter(None, 60.0, 0.5)
    found = told(meter)
    assert (meter.limit, meter.quantum, meter.source) == (300, 1.0, "announced")
    assert not meter.knows(MetricReport(5, 4), 1), "what it says is no limit of a minute"
    end = told(meter, 300, found + 60.0)
    assert 300 / (end - found - 60.0) == pytest.approx(5 / 1.5, rel=0.05), "five in a second and the margin"


def test_a_refusal_shows_that_it_was_no_second() -> None:
    meter = QuotaMeter(None, 60.0, 0.5)
    now = told(meter)
    meter.refused(1, now, now + 0.1)
    meter.check()
    assert (meter.limit, meter.quantum) == (5, None)
    told(meter, 20, now + 100.0)
    assert meter.limit == 5


def test_a_declared_limit_of_a_minute_holds_beside_one_of_a_second() -> None:
    meter = QuotaMeter(120, 60.0, 0.5)
    told(meter)
    assert (meter.limit, meter.source) == (120, "declared")


def test_what_was_sent_is_added_up_only_while_a_reply_can_show_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[float] = []
    since = QuotaMeter.since
    monkeypatch.setattr(QuotaMeter, "since", lambda meter, start: looks.append(start) or since(meter, start))
    meter = QuotaMeter(None, 60.0, 0.5)
    for number in range(3 * LOOKED_AT):
        meter.observe(MetricReport(limit=600, remaining=400), 0, number / 10)
    assert len(looks) == LOOKED_AT
    meter.observe(MetricReport(limit=500, remaining=400), 0, 99.0)
    assert len(looks) == LOOKED_AT + 1, "another limit may be another time's"
