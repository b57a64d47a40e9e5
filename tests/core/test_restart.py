"""A supervisor's decisions, at random steps against what is seen from outside, and one by one."""

from __future__ import annotations

import random

import pytest

from tenire.core.restart import CALM_S, Member, Restarts, Start, State, Stop
from tenire.errors import ConfigError

INTENSITY, PERIOD = 2, 60.0
NAMES = "abcdef"
MEMBERS = [
    Member(NAMES[0]),
    Member(NAMES[1], "transient", optional=True),
    Member(NAMES[2], optional=True),
    Member(NAMES[3], "temporary"),
    Member(NAMES[4], "transient"),
]
EXTRA = Member(NAMES[5], "permanent", optional=True)
WALKS, STEPS = 150, 100


class Longest(random.Random):
    """Always draws the upper bound."""

    def random(self) -> float:
        return 1.0


class World:
    """Plays the components: they live and die as they are told, or otherwise."""

    def __init__(self, strategy: str, seed: int) -> None:
        self.strategy = strategy
        self.rng = random.Random(seed)
        self.members = {member.name: member for member in MEMBERS}
        self.live: dict[str, str] = {}  # up, starting or stopping
        self.must_leave: set[str] = set()
        self.gone: set[str] = set()
        self.failures: dict[str, list[float]] = {name: [] for name in NAMES}
        self.now = 0.0
        self.closed = False
        rng = random.Random(seed)
        self.core = Restarts(MEMBERS, strategy=strategy, intensity=INTENSITY, period=PERIOD, rng=rng)  # type: ignore[arg-type]
        self.obey(self.core.due(self.now))

    # -- what the components do -------------------------------------------

    def step(self) -> None:
        steps = [self.come_up, self.leave, self.wait, self.end, self.hang, self.add, self.remove, self.close]
        self.rng.choices(steps, [40, 30, 20, 8, 4, 1, 1, 0.3])[0]()

    def pick(self, *states: str) -> str | None:
        fitting = sorted(name for name, state in self.live.items() if state in states)
        return self.rng.choice(fitting) if fitting else None

    def come_up(self) -> None:
        name = self.pick("starting")
        if name is not None:
            self.live[name] = "up"
            self.obey(self.core.ready(name, self.now))

    def end(self) -> None:
        name, failed = self.pick("starting", "up"), self.rng.random() < 0.7
        if name is not None:
            del self.live[name]
            self.fall(name, failed=failed)
            self.obey(self.core.ended(name, self.now, failed=failed))

    def hang(self) -> None:
        name = self.pick("starting", "up")
        if name is not None:
            self.fall(name, failed=True)
            self.obey(self.core.hung(name, self.now))

    def leave(self) -> None:
        name = self.pick("stopping")
        if name is not None:
            del self.live[name]
            self.must_leave.discard(name)
            self.obey(self.core.ended(name, self.now, failed=self.rng.random() < 0.5))

    def wait(self) -> None:
        due = self.core.next_due()
        seconds = self.rng.choice([0.0, 0.0, 0.3, 5.0, 61.0])
        self.now = self.now + seconds if due is None or seconds else due
        self.obey(self.core.due(self.now))

    def add(self) -> None:
        if EXTRA.name not in self.members:
            self.members[EXTRA.name] = EXTRA
            if self.closed:
                self.gone.add(EXTRA.name)
            self.obey(self.core.add(EXTRA, self.now))

    def remove(self) -> None:
        name = self.rng.choice(sorted(self.members))
        self.gone.add(name)
        self.must_leave |= {name} & self.live.keys()
        self.obey(self.core.remove(name, self.now))

    def close(self) -> None:
        self.end_all()
        self.obey(self.core.close(self.now))

    # -- what is expected -------------------------------------------------

    def end_all(self) -> None:
        self.closed = True
        self.gone |= self.members.keys()
        self.must_leave |= self.live.keys()

    def fall(self, name: str, *, failed: bool) -> None:
        """One has ended, or has to: note who must leave, and who is gone for good."""
        if name in self.must_leave:
            self.must_leave.discard(name) if name not in self.live else None
            return
        self.must_leave |= {name} & self.live.keys()
        restart = self.members[name].restart
        if restart == "temporary" or (restart == "transient" and not failed):
            self.gone.add(name)
            return
        self.failures[name].append(self.now)
        if sum(at > self.now - PERIOD for at in self.failures[name]) > INTENSITY:
            self.gone.add(name)
            if not self.members[name].optional:
                self.end_all()
            return
        first = {"one_for_one": "~", "one_for_all": "", "rest_for_one": name}[self.strategy]
        along = {other for other in self.live if other > first}
        self.must_leave |= along
        self.gone |= {other for other in along if self.members[other].restart == "temporary"}

    def obey(self, commands: list[Start | Stop]) -> None:
        ordered = self.closed or self.strategy != "one_for_one"
        for command in commands:
            name = command.name
            if isinstance(command, Stop):
                assert name in self.must_leave
                assert self.live[name] != "stopping"
                if ordered:
                    assert not any(other > name for other in self.must_leave)
                self.live[name] = "stopping"
            else:
                assert name not in self.live
                assert name not in self.gone
                if ordered:
                    assert not self.must_leave
                    before = {other for other in self.members if other < name} - self.gone
                    assert all(self.live.get(other) == "up" for other in before)
                self.live[name] = "starting"

    def agrees(self) -> None:
        self.core.check()
        for name in self.members:
            state = self.core.state(name)
            assert (name in self.live) == (state in (State.STARTING, State.UP, State.STOPPING))
            assert (state in (State.ENDED, State.FAILED)) == (name in self.gone and name not in self.live)
        self.nobody_is_forgotten()

    def nobody_is_forgotten(self) -> None:
        staying = self.must_leave - {name for name, state in self.live.items() if state == "stopping"}
        if staying:
            assert any(self.live[name] == "stopping" for name in self.must_leave)
            assert self.closed or self.strategy != "one_for_one"
        missing = sorted(self.members.keys() - self.live.keys() - self.gone)
        ordered = self.strategy != "one_for_one"
        held_up = ordered and (self.must_leave or any(self.live.get(other) == "starting" for other in self.members))
        if missing and not held_up:
            due = self.core.next_due()
            assert due is not None
            assert due > self.now


@pytest.mark.parametrize("strategy", ["one_for_one", "one_for_all", "rest_for_one"])
def test_at_random_steps_the_rules_hold(strategy: str) -> None:
    for seed in range(WALKS):
        world = World(strategy, seed)
        for _ in range(STEPS):
            world.step()
            world.agrees()


def up(core: Restarts, now: float, *names: str) -> None:
    for name in names:
        core.ready(name, now)


def fails(core: Restarts, name: str, now: float) -> float:
    """Let one fail and come back; return the wait."""
    core.ended(name, now, failed=True)
    assert core.fate(name) is State.DOWN
    at = now + core.delay(name)
    assert core.due(at) == [Start(name)]
    core.ready(name, at)
    return core.delay(name)


def test_the_wait_doubles_up_to_half_a_minute_and_begins_anew_after_a_calm_time() -> None:
    core = Restarts([Member("a")], intensity=100, rng=Longest())
    core.due(0.0)
    up(core, 0.0, "a")
    now, waits = 0.0, []
    for _ in range(11):
        waits.append(fails(core, "a", now))
        now += waits[-1] + CALM_S - 1.0
    assert waits == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0, 30.0])
    now += 1.0
    assert fails(core, "a", now) == pytest.approx(30.0), "a minute is not calm for one that waited half a minute"
    assert fails(core, "a", now + 30.0 + 10 * 30.1) == pytest.approx(0.1)


def test_one_failure_too_many_within_the_period_takes_the_supervisor_down() -> None:
    core = Restarts([Member("a"), Member("b")], rng=Longest())
    core.due(0.0)
    up(core, 0.0, "a", "b")
    for number in range(5):
        fails(core, "a", 10.0 * number)
        fails(core, "b", 10.0 * number)
    fails(core, "a", 60.0)  # the first is no longer within the period
    assert core.escalated is None
    assert core.ended("a", 69.0, failed=True) == [Stop("b")]
    assert core.escalated == "a"
    core.ended("b", 70.0, failed=False)
    assert (core.state("a"), core.state("b")) == (State.FAILED, State.ENDED)


def test_an_optional_one_is_given_up_and_the_others_stay() -> None:
    core = Restarts([Member("a", optional=True), Member("b")], intensity=0, strategy="one_for_all", rng=Longest())
    core.due(0.0)
    up(core, 0.0, "a", "b")
    assert core.ended("a", 1.0, failed=True) == []
    assert (core.state("a"), core.state("b"), core.escalated) == (State.FAILED, State.UP, None)


@pytest.mark.parametrize(
    ("strategy", "along"), [("one_for_one", []), ("rest_for_one", ["d", "c"]), ("one_for_all", ["d", "c", "a"])]
)
def test_those_taken_along_leave_in_reverse_and_start_in_order(strategy: str, along: list[str]) -> None:
    core = Restarts([Member(name) for name in "abcd"], strategy=strategy, rng=Longest())  # type: ignore[arg-type]
    core.due(0.0)
    up(core, 0.0, *"abcd")
    stops, commands = [], core.ended("b", 1.0, failed=True)
    while commands:
        assert commands == [Stop(commands[0].name)]
        stops.append(commands[0].name)
        commands = core.ended(stops[-1], 1.0, failed=False)
    assert stops == along
    starts, commands = [], core.due(1.1)
    while commands:
        assert commands == [Start(commands[0].name)]
        starts.append(commands[0].name)
        commands = core.ready(starts[-1], 1.1)
    assert starts == sorted(["b", *along])


def test_health_tells_a_component_that_failed_lately_from_one_that_did_not() -> None:
    core = Restarts([Member("a")], rng=Longest())
    seen = [core.health("a", 0.0)]
    core.due(0.0)
    seen.append(core.health("a", 0.0))
    up(core, 0.0, "a")
    seen.append(core.health("a", 0.0))
    core.ended("a", 1.0, failed=True)
    seen.append(core.health("a", 1.0))
    core.due(2.0)
    up(core, 2.0, "a")
    seen += [core.health("a", 2.0), core.health("a", 61.0)]
    core.close(61.0)
    seen.append(core.health("a", 61.0))
    core.ended("a", 61.0, failed=False)
    assert [*seen, core.health("a", 61.0)] == [
        "down", "starting", "healthy", "down", "unsteady", "healthy", "stopping", "ended",
    ]  # fmt: skip
    assert core.restarts("a") == 1


def test_a_name_is_free_again_once_its_component_is_gone_and_forgotten() -> None:
    core = Restarts([Member("a")], rng=Longest())
    core.due(0.0)
    assert core.remove("a", 0.0) == [Stop("a")]
    assert core.ended("a", 0.0, failed=False) == []
    core.forget("a")
    assert core.add(Member("a", "temporary"), 1.0) == [Start("a")]


def test_what_is_impossible_is_refused() -> None:
    rng = Longest()
    with pytest.raises(ConfigError, match="'all_for_one'"):
        Restarts(strategy="all_for_one", rng=rng)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"got -1 and 60\.0"):
        Restarts(intensity=-1, rng=rng)
    with pytest.raises(ConfigError, match="got 5 and 0"):
        Restarts(period=0, rng=rng)
    with pytest.raises(ConfigError, match="got 'always'"):
        Restarts([Member("a", "always")], rng=rng)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="called 'a'"):
        Restarts([Member("a"), Member("a")], rng=rng)
