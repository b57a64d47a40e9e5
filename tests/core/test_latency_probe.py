"""The phases that measure, and what is aimed at from them."""

from __future__ import annotations

import itertools
from math import exp, log

import pytest

from tenire.core.concurrency_limit import Token
from tenire.core.latency_probe import LatencyProbe, Phase


def warmed(initial: int = 20, took: float = 1.0) -> LatencyProbe:
    """Return a probe that knows how long calls take and is about to begin its first phase."""
    probe = LatencyProbe(initial, 1, 200)
    for number in range(8):
        probe.end(Token(0.0, number, 1), took, ok=True)
    return probe


def begin(probe: LatencyProbe, inflight: int = 20, *, limit: int = 20, now: float = 10.0) -> Token:
    token = Token(now, 100, inflight)
    probe.start(token, limit, 200)
    return token


def phase_of(token: Token) -> Phase:
    assert token.phase is not None
    return token.phase


def test_nothing_is_counted_before_it_is_known_how_long_calls_take() -> None:
    probe = LatencyProbe(4, 1, 200)
    assert begin(probe, 4, limit=4).phase is None
    assert not probe.end(Token(0.0, 1, 1), 99.0, ok=True), "nothing is late before that"
    assert begin(warmed(4), 4, limit=4).phase is not None


@pytest.mark.parametrize(("inflight", "counted"), [(14, False), (15, True), (20, True), (21, False)])
def test_only_calls_near_the_limit_are_counted(inflight: int, counted: bool) -> None:
    assert (begin(warmed(), inflight).phase is not None) == counted


def test_a_phase_waits_for_its_long_calls() -> None:
    probe = warmed()
    tokens = [begin(probe) for _ in range(40)]
    first = phase_of(tokens[0])
    assert first.started == first.size == len([token for token in tokens if token.phase is first])
    ours = [token for token in tokens if token.phase is first]
    for token in ours[:-1]:
        probe.end(token, 11.0, ok=True)
    assert not probe.belief.known
    probe.end(ours[-1], 11.5, ok=True)
    assert probe.belief.known


def test_a_call_that_never_ends_counts_as_one_long_call() -> None:
    probe = warmed()
    tokens = [begin(probe) for _ in range(30)]
    first = phase_of(tokens[0])
    lost, *others = [token for token in tokens if token.phase is first]
    for token in others:
        probe.end(token, 11.0, ok=True)
    assert (first.open, lost.phase) == (1, first)
    probe.end(Token(11.0, 1, 1), 12.2, ok=True)
    assert (first.open, lost.phase) == (0, None)
    assert first.inside == first.ended - 1
    probe.end(lost, 99.0, ok=True)
    assert first.ended == first.size, "it counts once"


def test_calls_that_are_never_heard_of_do_not_pile_up() -> None:
    probe = warmed()
    for _ in range(5000):
        begin(probe)  # time stands still, so none is overdue
        probe.check()
    assert len(probe.waiting) == probe.most_waiting


def test_times_count_within_bounds_and_a_late_failure_beyond() -> None:
    probe = warmed()
    tokens = [begin(probe, now=10.0 * place) for place in range(5)]
    phase = phase_of(tokens[0])
    low, high = log(1.0) - 1.0, log(1.0) + 0.75
    cases = ((0.001, True, low), (1.2, True, log(1.2)), (9.0, True, high), (9.0, False, 2.0), (0.1, False, 0.0))
    for token, (took, ok, adds) in zip(tokens, cases, strict=True):
        before = phase.total
        assert probe.end(token, token.start + took, ok=ok) == (took == 9.0)
        assert phase.total - before == pytest.approx(adds)
    assert (phase.ended, phase.inside, phase.open) == (4, 1, 0), "a refusal at once takes no time to count"


def feed(probe: LatencyProbe, took: float, phases: int, *, limit: int = 20, step: int = 0) -> None:
    """Run phases whose calls all take the same time."""
    for now in itertools.islice(itertools.count(100.0, 100.0), phases):
        phase = Phase(20, step)
        probe._phase = Phase(20, 0)
        for _ in range(20):
            token = Token(now, 1, limit)
            token.phase, phase.open = phase, 1
            probe.end(token, now + took, ok=True)
            phase.open = 0
        probe._measure(phase)


def test_a_phase_judged_by_outdated_bounds_is_not_used_twice_in_a_row_at_the_most() -> None:
    probe = warmed()
    feed(probe, 1.0, 3)
    smooth = probe._smooth
    phase = Phase(20, 0)
    phase.ended, phase.load, phase.total, phase.squares = 20, 400, 20 * 0.75, 20 * 0.75**2
    probe._measure(phase)
    probe._measure(phase)
    assert probe._smooth == smooth
    probe._measure(phase)
    assert probe._smooth != smooth


def test_the_aim_leans_down_when_calls_take_longer_than_usual() -> None:
    usual, slower = warmed(), warmed()
    for probe in (usual, slower):
        feed(probe, 1.0, 20)
    feed(usual, 1.0, 10)
    feed(slower, 2.0, 10)
    assert usual._excess == 0.0
    assert slower._excess > 0.2
    for probe in (usual, slower):
        probe.belief.mean, probe.belief.spread, probe._noise = log(20), 0.3, 0.3
        probe._set_aim(20)
    assert slower.aim < 0.8 * usual.aim


def test_what_is_usual_falls_at_once_and_creeps_up_only_while_nothing_is_overloaded() -> None:
    probe = warmed()
    probe._base, probe._measured = 0.0, 100
    probe._rise(-1.0, 0.01)
    assert probe._base == pytest.approx(-0.3 * 0.3)
    probe._base, probe._smooth = 0.0, 1.0
    probe.belief.overloaded = 0.5
    probe._rise(1.0, 0.01)
    assert 0.0 < probe._base < 0.002
    probe.belief.overloaded = 0.0
    probe._rise(1.0, 0.01)
    assert 0.01 < probe._base < 0.02
    probe._base, probe._smooth = 0.0, -1.0
    probe._rise(-1.0, 0.3)
    assert probe._base == pytest.approx(-0.03), "what falls may be the noise"


def test_the_first_measurements_of_what_is_usual_are_averaged() -> None:
    probe = warmed()
    for time in (-3.0, *[0.0] * 15):
        probe._rise(time, 1.0)
    assert probe._base is not None
    assert probe._base > -1.5


def test_the_aim_leans_up_with_the_noise() -> None:
    probe = warmed()
    probe.belief.mean, probe.belief.spread, probe._most = log(20), 0.2, log(20)
    aims = []
    for noise in (1e-4, 0.1, 1.0):
        probe._noise = noise
        probe._set_aim(20)
        aims.append(probe.aim)
    assert aims[0] < 20 < aims[2]
    assert aims == sorted(aims)


def test_half_a_call_too_many_is_rounded_down_where_calls_hardly_vary() -> None:
    probe = warmed()
    probe.belief.mean, probe.belief.spread, probe._most = log(6.6), 0.0, log(6)
    probe._noise = 1e-4
    probe._set_aim(6)
    assert probe.aim == pytest.approx(6.31)
    probe._noise = 0.1
    probe._set_aim(6)
    assert probe.aim == pytest.approx(6.6)


def test_the_aim_at_most_doubles_or_halves_what_was_tried() -> None:
    probe = warmed()
    probe._most, probe._noise = log(20), 0.3
    probe.belief.mean = log(190)
    probe._set_aim(20)
    assert probe.aim == pytest.approx(40)
    probe.belief.mean = log(2)
    probe._set_aim(20)
    assert probe.aim == pytest.approx(10)


def test_steps_alternate_and_come_seldom_when_much_is_known() -> None:
    def gaps(spread: float, noise: float, bound: float = 200) -> list[int]:
        probe = warmed()
        feed(probe, 1.0, 2)
        probe.belief.spread, probe._noise = spread, noise
        steps = []
        for _ in range(400):
            probe._phases += 1
            steps.append(probe._choose_step(bound))
        taken = [step for step in steps if step]
        assert taken[:4] == [1, -1, 1, -1]
        places = [place for place, step in enumerate(steps) if step]
        return [after - before for before, after in itertools.pairwise(places)]

    assert max(gaps(0.5, 0.3)) <= 3
    assert min(gaps(0.05, 0.3)) >= 4
    assert min(gaps(0.2, 1e-4)) >= 20
    assert max(gaps(0.5, 0.3, bound=10)) == 6


def test_a_step_goes_one_call_at_the_least_and_a_quarter_at_the_most() -> None:
    for spread, low, high in ((0.001, 16, 17 * exp(0.06)), (9.0, 17 / exp(0.25), 17 * exp(0.25))):
        probe = warmed(17)
        feed(probe, 1.0, 2, limit=17)
        probe.belief.spread, probe._noise = spread, 0.3
        probe._fresh = False
        wanted = set()
        for _ in range(200):
            probe._next(17, 200)
            wanted.add(round(probe.wanted, 3))
        assert wanted == {round(low, 3), 17.0, round(high, 3)}
    probe.retreat()
    assert probe.wanted == probe.aim


def test_a_phase_has_a_round_trip_of_calls_and_no_more_than_a_step_needs() -> None:
    probe = warmed(2)
    feed(probe, 1.0, 2, limit=2)
    probe._fresh, probe._noise = False, 0.1
    assert {probe._next(2, 200).size for _ in range(30)} == {12, 4}
    probe = warmed(60)
    feed(probe, 1.0, 2, limit=60)
    probe._fresh, probe._noise = False, 0.3
    assert all(probe._next(60, 200).size >= int(probe.wanted) for _ in range(30))


def test_a_step_up_does_not_count_as_noise() -> None:
    probe = warmed()
    feed(probe, 1.0, 3)
    before = probe._noise
    phase = Phase(20, 1)
    phase.ended = phase.inside = 20
    phase.load, phase.total, phase.squares = 500, 0.0, 20 * 0.2
    probe._measure(phase)
    assert probe._noise == before
    phase.step = 0
    probe._measure(phase)
    assert probe._noise > before


def test_the_check_sees_an_aim_of_nothing() -> None:
    probe = warmed()
    probe.check()
    probe.aim = 0.0
    with pytest.raises(AssertionError):
        probe.check()


def test_a_failure_where_answers_end_looks_like_a_timeout() -> None:
    probe = LatencyProbe(4, 1, 200)
    for took in (1.0, 3.0, 2.0):
        probe.end(Token(0.0, 1, 1), took, ok=True)
    probe.end(Token(0.0, 1, 1), 9.0, ok=False)
    assert not probe.cut_off(3.0)
    assert probe.cut_off(3.1), "a failure is no answer"
    assert not probe.cut_off(4.5), "no answer took nearly as long"
