"""By how many seconds a server enforces its limit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenire.core.quantum_search import CANDIDATES, ENOUGH, TRUSTED, QuantumSearch

WINDOW, LIMIT = 60.0, 60


def even(until: float, every: float = 1.0) -> list[tuple[float, int]]:
    """One unit every so many seconds, up to and with the last."""
    return [(until - number * every, 1) for number in range(60)][::-1]


def refuse(search: QuantumSearch, at: float, every: float = 1.0) -> bool:
    return search.refused(at, 1, even(at, every), LIMIT, 0.5)


def test_two_refusals_show_nothing_yet() -> None:
    search = QuantumSearch(WINDOW)
    assert [refuse(search, 100.0 * (number + 1)) for number in range(ENOUGH)] == [False] * (ENOUGH - 1) + [True]
    assert search.quantum == 30.0
    search.check()


def test_the_largest_that_explains_a_burst_is_taken() -> None:
    search = QuantumSearch(WINDOW)
    for number in range(ENOUGH):
        # Six within three seconds, and nothing before: too much for five seconds, not for ten.
        at = 100.0 + 60 * number
        search.refused(at, 1, [(at - 0.6 * n, 1) for n in range(6)][::-1], LIMIT, 0.5)
    assert search.quantum == 5.0


def test_a_refusal_that_it_does_not_explain_rules_a_candidate_out() -> None:
    search = QuantumSearch(WINDOW)
    for number in range(ENOUGH):
        refuse(search, 100.0 * (number + 1))
    found = []
    at = 100.0 * ENOUGH
    while search.quantum is not None:
        found.append(search.quantum)
        at += 100.0
        quantum = search.quantum
        kept = [(at - 0.1 * n, 1) for n in range(int(LIMIT * quantum / WINDOW))][::-1]
        search.refused(at, 1, kept, LIMIT, 0.5)
        search.check()
    assert found == [part * WINDOW for part in CANDIDATES]
    assert refuse(search, at + 9000.0) is False, "all is forgotten"


def test_calls_that_were_refused_did_not_count() -> None:
    search = QuantumSearch(WINDOW)
    sent = [(100.0, 1), (100.1, 1), (100.2, 1)]
    search.refused(100.0, 1, sent[:1], 60, 0.5)
    search.refused(100.1, 1, sent[:2], 60, 0.5)
    search.refused(100.2, 1, sent, 60, 0.5)
    assert search.quantum is None, "no call but those refused, and a second has room for one"


def test_refusals_of_long_ago_are_forgotten() -> None:
    search = QuantumSearch(WINDOW)
    refuse(search, 100.0)
    refuse(search, 101.0)
    assert not refuse(search, 2000.0)
    assert search.quantum is None


def test_one_that_holds_is_ruled_out_also_when_those_that_led_to_it_are_forgotten() -> None:
    search = QuantumSearch(WINDOW)
    for number in range(ENOUGH):
        refuse(search, 100.0 * (number + 1))
    assert search.quantum == 30.0
    at = 3000.0
    fast = [(at - 0.5 * n, 1) for n in range(25)][::-1]  # too much for ten seconds and for twenty, not for thirty
    assert search.refused(at, 1, fast, LIMIT, 0.5)
    assert search.quantum == 20.0
    search.check()


def test_after_a_long_time_the_whole_window_is_tried_again() -> None:
    search = QuantumSearch(WINDOW)
    for number in range(ENOUGH):
        refuse(search, 100.0 * (number + 1))
    trusted = TRUSTED * WINDOW
    assert not search.relax(100.0 * ENOUGH + trusted - 1.0)
    assert search.relax(100.0 * ENOUGH + trusted)
    assert search.quantum is None
    again = 500.0 + trusted
    assert refuse(search, again), "one refusal is enough"
    assert search.quantum == 30.0
    assert not search.relax(again + 1.9 * trusted)
    assert search.relax(again + 2.0 * trusted)


@given(st.sampled_from(CANDIDATES), st.lists(st.floats(0.01, 3.0), min_size=1, max_size=80))
def test_the_true_quantum_is_never_ruled_out(part: float, gaps: list[float]) -> None:
    """A server that counts by it, and calls that arrive at most a margin late."""
    quantum, margin = part * WINDOW, 0.0
    most = LIMIT * part
    search = QuantumSearch(WINDOW)
    now = 0.0
    sent: list[tuple[float, int]] = []
    accepted: list[float] = []
    for gap in gaps:
        now += gap
        sent.append((now, 1))
        if sum(at > now - quantum for at in accepted) + 1 <= most:
            accepted.append(now)
            continue
        search.refused(now, 1, [entry for entry in sent if entry[0] > now - WINDOW], LIMIT, margin)
        assert quantum in [pytest.approx(left) for left in search._left]
        search.check()
