"""What servers can say that was used: whichever way they count, the truth lies within the bounds."""

from __future__ import annotations

import heapq
import random

import pytest

from tenire.core.usage_bounds import PHASES, WAYS, UsageBounds
from tenire.testing.fake_model_server.meters import make_meter

WINDOW, LIMIT, MARGIN = 60.0, 110_000, 0.3


def play(seed: int, *, real: bool, minutes: float = 4.0) -> tuple[int, list[float]]:
    """Send calls to servers of all ways; return how many looks there were, and how wide they were for each way."""
    chance = random.Random(seed)
    phase = chance.random() * WINDOW
    servers = {
        0: make_meter("bucket", LIMIT, WINDOW),
        1: make_meter("sliding", LIMIT, WINDOW),
        2 + int(phase / WINDOW * PHASES): make_meter("fixed", LIMIT, WINDOW, origin=phase - 10 * WINDOW),
    }
    bounds = UsageBounds(WINDOW)
    events: list[tuple[float, int, object]] = []
    number = 0

    def at(when: float, what: object) -> None:
        nonlocal number
        number += 1
        heapq.heappush(events, (when, number, what))

    def charge(units: float, now: float) -> None:
        for server in servers.values():
            server.take(units, now)

    def send(now: float) -> None:
        size, most = chance.randint(50, 400), chance.randint(50, 600)
        output = chance.randint(1, most)
        bounds.sent(size + most)
        at(now + 0.02 + chance.random() * MARGIN, lambda when: arrive(now, size, most, output, when))
        pace = 0.4 if chance.random() < 0.99 else chance.random() * 90  # now and then it is idle
        at(now + chance.random() * 2 * pace, send)

    def arrive(sent_at: float, size: int, most: int, output: int, now: float) -> None:
        charge(size if real else size + most, now)
        said = {way: LIMIT - server.remaining(now) for way, server in servers.items()}
        at(now + chance.expovariate(1.0), lambda when: answer(sent_at, size, most, output, said, when))

    def answer(sent_at: float, size: int, most: int, output: int, said: dict[int, float], now: float) -> None:
        nonlocal looks
        fails = chance.random() < 0.05
        if real and not fails:
            charge(output, now)
        found = bounds.look(sent_at, now, LIMIT, MARGIN)
        if found is not None:
            looks += 1
            low, high = (found.real_low, found.real_high) if real else (found.reserved_low, found.reserved_high)
            assert len(low) == len(high) == WAYS
            for way, used in said.items():
                assert low[way] - 1e-6 <= used <= high[way] + 1e-6, f"way {way} at {now}"
                widths.append(high[way] - low[way])
        if fails:
            bounds.lost(now, size + most)
        else:
            bounds.answered(
                sent_at, now, size + most, input_tokens=size, output_tokens=output, reserved=None if real else most
            )

    looks = 0
    widths: list[float] = []
    at(0.0, send)
    while events[0][0] < minutes * 60:
        now, _, what = heapq.heappop(events)
        what(now)  # type: ignore[operator]
    return looks, widths


@pytest.mark.parametrize("real", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_what_a_server_says_is_within_the_bounds_of_its_way(seed: int, real: bool) -> None:
    looks, widths = play(seed, real=real)
    assert looks > 200
    assert sorted(widths)[len(widths) // 2] < 0.4 * LIMIT, "bounds that hold everything say nothing"


def test_a_reply_that_took_too_long_says_nothing() -> None:
    bounds = UsageBounds(WINDOW)
    bounds.sent(100)
    assert bounds.look(0.0, WINDOW / 2, LIMIT, MARGIN) is None


def test_what_is_under_way_may_have_been_counted_or_not() -> None:
    bounds = UsageBounds(WINDOW)
    bounds.sent(100)
    found = bounds.look(10.0, 10.1, LIMIT, MARGIN)
    assert found is not None
    assert found.reserved_low[1] == found.real_low[1] == 0.0
    assert found.reserved_high[1] == found.real_high[1] == 100.0


def test_where_a_call_does_not_say_how_long_its_reply_may_be_anything_may_be_reserved() -> None:
    bounds = UsageBounds(WINDOW)
    bounds.sent(1000)
    bounds.answered(10.0, 11.0, 1000, input_tokens=100, output_tokens=50, reserved=None)
    found = bounds.look(20.0, 20.1, LIMIT, MARGIN)
    assert found is not None
    assert found.reserved_low[1] == 75.0
    assert found.reserved_high[1] > LIMIT
    assert found.real_low[1] == found.real_high[1] == 150.0


def test_it_remembers_no_more_than_it_needs() -> None:
    bounds = UsageBounds(WINDOW)
    for second in range(20_000):
        bounds.sent(10)
        bounds.answered(float(second), second + 0.5, 10, input_tokens=5, output_tokens=1, reserved=5)
    assert len(bounds._slots) < 1000
    assert bounds.open == 0
