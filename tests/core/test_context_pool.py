"""Contexts are lent, worn out and thrown away: against a plain list of what happened."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tenire.core.context_pool import ContextPool, Lease

SIZE, USES, LIFETIME, WEAR = 3, 2, 10.0, 5
SESSIONS = st.sampled_from(["", "a", "b"])


class PoolMachine(RuleBasedStateMachine):
    """Keeps for each context when it was made, for whom, how often it was lent, and whether it was closed."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = ContextPool(size=SIZE, uses=USES, lifetime=LIFETIME, wear=WEAR)
        self.now = 0.0
        self.out: list[Lease] = []
        self.made: dict[int, tuple[int, str, float]] = {}
        self.uses: dict[int, int] = {}
        self.closed: set[int] = set()
        self.served: dict[int, int] = {}

    @rule(session=SESSIONS)
    def lend(self, session: str) -> None:
        before = self.pool.generation
        lease = self.pool.lease(session, self.now)
        if len(self.out) == SIZE:
            assert lease is None
            return
        assert lease is not None
        self.close(lease.close)
        assert lease.session == session
        assert lease.generation == self.pool.generation
        assert (lease.generation > before) == (self.served.get(before, 0) == WEAR)
        self.served[lease.generation] = self.served.get(lease.generation, 0) + 1
        if lease.fresh:
            assert lease.context not in self.made
            self.made[lease.context] = (lease.generation, session, self.now)
        generation, owner, born_at = self.made[lease.context]
        assert (generation, owner) == (lease.generation, session)
        assert self.now < born_at + LIFETIME
        assert lease.context not in self.closed
        assert lease.context not in {other.context for other in self.out}
        self.uses[lease.context] = self.uses.get(lease.context, 0) + 1
        assert self.uses[lease.context] <= USES
        self.out.append(lease)

    @precondition(lambda self: self.out)
    @rule(place=st.integers(0, SIZE), reusable=st.sampled_from([True, True, True, False]))
    def give_back(self, place: int, *, reusable: bool) -> None:
        lease = self.out.pop(place % len(self.out))
        kept = self.pool.give_back(lease, self.now, reusable=reusable)
        worn = self.uses[lease.context] == USES or self.now >= self.made[lease.context][2] + LIFETIME
        assert kept == (reusable and not worn and lease.generation == self.pool.generation)
        if not kept:
            self.close((lease.context,))

    @rule(seconds=st.sampled_from([0.5, 4.0, 10.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(back=st.integers(0, 2))
    def a_browser_is_lost(self, back: int) -> None:
        generation = self.pool.generation
        gone = self.pool.lost(generation - back)
        assert self.pool.generation == generation + (1 if back == 0 else 0)
        self.close(gone)

    @rule()
    def tidy(self) -> None:
        self.close(self.pool.worn(self.now))

    def close(self, numbers: tuple[int, ...]) -> None:
        for number in numbers:
            assert number not in self.closed
            assert number not in {lease.context for lease in self.out}
            self.closed.add(number)

    @invariant()
    def nothing_is_lost_track_of(self) -> None:
        self.pool.check()
        assert self.pool.leased == len(self.out)
        assert self.pool.leased + self.pool.idle == len(self.made) - len(self.closed)
        for generation in range(1, self.pool.generation + 1):
            used = any(lease.generation == generation for lease in self.out)
            assert self.pool.is_over(generation) == (generation < self.pool.generation and not used)


TestPool = PoolMachine.TestCase


def test_the_context_that_was_used_last_is_used_first() -> None:
    pool = ContextPool(size=2, uses=9, lifetime=100.0, wear=99)
    first, second = pool.lease("", 0.0), pool.lease("", 0.0)
    assert first is not None
    assert second is not None
    pool.give_back(second, 1.0)
    pool.give_back(first, 2.0)
    again = pool.lease("", 3.0)
    assert again is not None
    assert again.context == first.context
