"""One quota for several engines, as processes of one user share it."""

from __future__ import annotations

import asyncio
import itertools
import random
from typing import TYPE_CHECKING, Any

import pytest

from tenire import ConcurrencyManager, ConfigError
from tenire.concurrency.quotas import Quota, QuotaSharing
from tenire.core.shared_window import SharedWindow
from tenire.errors import StoreError
from tenire.storage.quota_file import Ask, QuotaFile
from tenire.testing import cancel_sweep

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from tenire.testing import SimLoop

WINDOW = 60.0
SPAN = 60.5
"""The window and the margin."""


def share(manager: ConcurrencyManager, loop: SimLoop, folder: Path, **options: Any) -> QuotaSharing:
    return QuotaSharing("key", timer=manager.timer, now=loop.clock.now, open_file=lambda: QuotaFile(folder), **options)


def simulate(loop: SimLoop, scenario: Callable[..., Awaitable[Any]], engines: int = 2) -> Any:
    async def main() -> Any:
        managers = [ConcurrencyManager(cpu=2, memory=100, seed=number, clock=loop.clock) for number in range(engines)]
        for manager in managers:
            await manager.__aenter__()
        try:
            return await scenario(*managers)
        finally:
            for manager in managers:
                await manager.__aexit__(None, None, None)

    return loop.run_until_complete(main())


def borrow(folder: Path, tokens: int, now: float) -> int:
    """Borrow all there is in the name of another engine, and never come back."""
    file = QuotaFile(folder)
    try:
        return file.renew("key", "other", {"tokens": Ask(tokens, SPAN, lacking=tokens)}, now=now)["tokens"].more
    finally:
        file.close()


class Caller:
    """Makes calls through one quota, as many at once as it likes, and notes when."""

    def __init__(self, quota: Quota, *, tokens: int, seconds: float = 1.0) -> None:
        self.quota = quota
        self.tokens = tokens
        self.seconds = seconds
        self.sent: list[tuple[float, int]] = []

    async def work(self, until: float) -> None:
        now = asyncio.get_running_loop().time
        while now() < until:
            async with self.quota.permit(tokens=self.tokens) as grant:
                if now() >= until:
                    return
                self.quota.sent(grant)
                self.sent.append((now(), self.tokens))
                await asyncio.sleep(self.seconds)
                self.quota.ended(grant, ok=True)

    async def keep_busy(self, until: float, workers: int = 32) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(self.work(until))


def most_in_a_window(sent: list[tuple[float, int]]) -> int:
    most = total = first = 0
    for at, amount in (sent := sorted(sent)):
        total += amount
        while sent[first][0] <= at - WINDOW:
            total -= sent[first][1]
            first += 1
        most = max(most, total)
    return most


def test_who_makes_few_calls_at_once_does_not_wait_for_those_who_make_many(sim_loop: SimLoop, tmp_path: Path) -> None:
    async def scenario(*managers: ConcurrencyManager) -> list[int]:
        quotas = [
            Quota(m.orchestrator, "main", tokens=6_000_000, max_concurrency=most, sharing=share(m, sim_loop, tmp_path))
            for m, most in zip(managers, (30, 2), strict=True)
        ]
        callers = [Caller(quota, tokens=1) for quota in quotas]
        async with asyncio.TaskGroup() as group:
            for caller in callers:
                group.create_task(caller.keep_busy(60.0))
        for quota in quotas:
            await quota.aclose()
        return [sum(at > 10.0 for at, _ in caller.sent) for caller in callers]

    many, few = simulate(sim_loop, scenario)
    assert many > 45 * 30
    assert few > 45 * 2


def test_two_engines_use_one_quota_in_equal_parts_and_never_pass_it(sim_loop: SimLoop, tmp_path: Path) -> None:
    async def scenario(*managers: ConcurrencyManager) -> list[Caller]:
        quotas = [
            Quota(m.orchestrator, "main", tokens=60_000, max_concurrency=None, sharing=share(m, sim_loop, tmp_path))
            for m in managers
        ]
        callers = [Caller(quota, tokens=1000) for quota in quotas]
        async with asyncio.TaskGroup() as group:
            for caller in callers:
                group.create_task(caller.keep_busy(300.0))
        for quota in quotas:
            assert quota.statistics().others == 1
            await quota.aclose()
        return callers

    callers = simulate(sim_loop, scenario)
    used = [sum(amount for at, amount in caller.sent if at > 60.0) for caller in callers]
    assert most_in_a_window(callers[0].sent + callers[1].sent) <= 60_000
    assert sum(used) >= 0.97 * 60_000 * 240 / SPAN
    assert abs(used[0] - used[1]) <= 0.05 * sum(used)


@pytest.mark.parametrize("tokens", [100, 1500])
def test_each_metric_is_kept_within_its_limit_whoever_of_those_that_share_it_knows_that(
    sim_loop: SimLoop, tmp_path: Path, tokens: int
) -> None:
    """At 100 tokens a call the requests are what is scarce, at 1,500 the tokens are."""
    limits = {"requests": 120, "tokens": 60_000}

    async def scenario(*managers: ConcurrencyManager) -> list[Caller]:
        quotas = [
            Quota(m.orchestrator, "main", **{metric: limit}, sharing=share(m, sim_loop, tmp_path, every=True))
            for m, (metric, limit) in zip(managers, limits.items(), strict=True)
        ]
        callers = [Caller(quota, tokens=tokens) for quota in quotas]
        async with asyncio.TaskGroup() as group:
            for caller in callers:
                group.create_task(caller.keep_busy(240.0))
        for quota in quotas:
            assert quota.statistics().others == 1
            await quota.aclose()
        return callers

    callers = simulate(sim_loop, scenario)
    sent = callers[0].sent + callers[1].sent
    most = min(limits["requests"], limits["tokens"] // tokens)
    assert most_in_a_window([(at, 1) for at, _ in sent]) <= most
    used = [sum(at > 60.0 for at, _ in caller.sent) for caller in callers]
    assert sum(used) >= 0.9 * most * 180 / SPAN
    assert min(used) >= 0.3 * sum(used)


class Mixed(Caller):
    """Makes calls of up to 27 % of 30,000 tokens."""

    def __init__(self, quota: Quota, *, seed: int) -> None:
        super().__init__(quota, tokens=0, seconds=0.5)
        self._random = random.Random(seed)

    async def work(self, until: float) -> None:
        now = asyncio.get_running_loop().time
        while now() < until:
            tokens = self._random.randint(300, 8100)
            async with self.quota.permit(tokens=tokens) as grant:
                if now() >= until:
                    return
                self.quota.sent(grant)
                self.sent.append((now(), tokens))
                await asyncio.sleep(self.seconds)
                self.quota.ended(grant, ok=True)


@pytest.mark.parametrize(("engines", "at_least"), [(1, 0.975), (2, 0.92), (3, 0.94), (4, 0.93)])
def test_engines_with_calls_of_a_quarter_of_the_quota_do_not_sit_on_what_others_need(
    sim_loop: SimLoop, tmp_path: Path, engines: int, at_least: float
) -> None:
    async def scenario(*managers: ConcurrencyManager) -> list[Mixed]:
        quotas = [Quota(m.orchestrator, "main", tokens=30_000, sharing=share(m, sim_loop, tmp_path)) for m in managers]
        callers = [Mixed(quota, seed=seed) for seed, quota in enumerate(quotas)]
        async with asyncio.TaskGroup() as group:
            for caller in callers:
                group.create_task(caller.keep_busy(1260.0))
        for quota in quotas:
            await quota.aclose()
        return callers

    callers = simulate(sim_loop, scenario, engines)
    used = [sum(amount for at, amount in caller.sent if at > 60.0) for caller in callers]
    assert most_in_a_window([sent for caller in callers for sent in caller.sent]) <= 30_000
    assert sum(used) >= at_least * 30_000 * 1200 / WINDOW
    assert min(used) >= 0.85 * sum(used) / engines


def test_a_call_larger_than_its_share_is_not_kept_from_going_by_small_ones(sim_loop: SimLoop, tmp_path: Path) -> None:
    async def scenario(*managers: ConcurrencyManager) -> list[Caller]:
        quotas = [Quota(m.orchestrator, "main", tokens=30_000, sharing=share(m, sim_loop, tmp_path)) for m in managers]
        callers = [Caller(quota, tokens=tokens) for quota, tokens in zip(quotas, (18_000, 500, 700), strict=True)]
        async with asyncio.TaskGroup() as group:
            for caller in callers:
                group.create_task(caller.keep_busy(900.0))
        for quota in quotas:
            await quota.aclose()
        return callers

    large, *small = simulate(sim_loop, scenario, engines=3)
    assert most_in_a_window([sent for caller in (large, *small) for sent in caller.sent]) <= 30_000
    assert len(large.sent) >= 5
    assert min(len(caller.sent) for caller in small) >= 50


def test_engines_together_spread_their_calls_as_one_would(sim_loop: SimLoop, tmp_path: Path) -> None:
    async def scenario(*managers: ConcurrencyManager) -> list[float]:
        quotas = [Quota(m.orchestrator, "main", tokens=60_000, sharing=share(m, sim_loop, tmp_path)) for m in managers]
        callers = [Caller(quota, tokens=200) for quota in quotas]
        async with asyncio.TaskGroup() as group:
            for caller in callers:
                group.create_task(caller.keep_busy(240.0))
        for quota in quotas:
            await quota.aclose()
        return sorted(at for caller in callers for at, _ in caller.sent if at > 120.0)

    times = simulate(sim_loop, scenario, engines=3)
    # If each spread them by the whole limit, it would be gone in 20 s, and urgent calls would wait for the other 40 s.
    assert max(later - earlier for earlier, later in itertools.pairwise(times)) <= 15.0
    assert len(times) * 200 >= 0.97 * 60_000 * 120 / SPAN


def test_what_one_engine_leaves_the_other_soon_uses(sim_loop: SimLoop, tmp_path: Path) -> None:
    async def scenario(*managers: ConcurrencyManager) -> Caller:
        quotas = [Quota(m.orchestrator, "main", tokens=60_000, sharing=share(m, sim_loop, tmp_path)) for m in managers]
        stays, leaves = (Caller(quota, tokens=1000) for quota in quotas)
        async with asyncio.TaskGroup() as group:
            group.create_task(stays.keep_busy(300.0))
            group.create_task(leaves.keep_busy(150.0))
        for quota in quotas:
            await quota.aclose()
        return stays

    stays = simulate(sim_loop, scenario)
    assert sum(amount for at, amount in stays.sent if at > 150.0) >= 0.87 * 60_000 * 150 / SPAN


def test_one_engine_alone_uses_all_of_it(sim_loop: SimLoop, tmp_path: Path) -> None:
    async def scenario(manager: ConcurrencyManager) -> Caller:
        quota = Quota(manager.orchestrator, "main", tokens=60_000, sharing=share(manager, sim_loop, tmp_path))
        caller = Caller(quota, tokens=1000)
        await caller.keep_busy(300.0)
        await quota.aclose()
        return caller

    caller = simulate(sim_loop, scenario, engines=1)
    assert most_in_a_window(caller.sent) <= 60_000
    assert sum(amount for at, amount in caller.sent if at > 60.0) >= 0.98 * 60_000 * 240 / SPAN


def test_a_killed_engine_is_survived(sim_loop: SimLoop, tmp_path: Path) -> None:
    async def scenario(first: ConcurrencyManager, second: ConcurrencyManager) -> list[tuple[float, int]]:
        # It was lent all there is a moment ago, and nobody has heard of it since.
        assert await asyncio.to_thread(borrow, tmp_path, 60_000, sim_loop.clock.now()) == 60_000
        quotas = [
            Quota(m.orchestrator, "main", tokens=60_000, sharing=share(m, sim_loop, tmp_path)) for m in (first, second)
        ]
        callers = [Caller(quota, tokens=1000) for quota in quotas]
        async with asyncio.TaskGroup() as group:
            for caller in callers:
                group.create_task(caller.keep_busy(130.0))
        for quota in quotas:
            await quota.aclose()
        return callers[0].sent + callers[1].sent

    sent = simulate(sim_loop, scenario)
    assert min(at for at, _ in sent) >= WINDOW, "what it was lent may have been spent"
    assert sum(amount for _, amount in sent) >= 55_000


def test_what_was_not_used_is_there_for_others_at_once(sim_loop: SimLoop, tmp_path: Path) -> None:
    async def scenario(first: ConcurrencyManager, second: ConcurrencyManager) -> int:
        one = Quota(first.orchestrator, "main", tokens=10_000, sharing=share(first, sim_loop, tmp_path))
        async with one.permit(tokens=1000):
            pass  # granted, and never sent
        await one.aclose()
        await one.aclose()
        return await asyncio.to_thread(borrow, tmp_path, 10_000, sim_loop.clock.now())

    assert simulate(sim_loop, scenario) == 10_000


def test_an_idle_engine_asks_no_more(sim_loop: SimLoop, tmp_path: Path) -> None:
    async def scenario(manager: ConcurrencyManager) -> tuple[int, int]:
        asked = 0

        class Counting(QuotaFile):
            def renew(self, *args: Any, **options: Any) -> Any:
                nonlocal asked
                asked += 1
                return super().renew(*args, **options)

        sharing = QuotaSharing("key", timer=manager.timer, now=sim_loop.clock.now, open_file=lambda: Counting(tmp_path))
        quota = Quota(manager.orchestrator, "main", tokens=60_000, max_concurrency=4, sharing=sharing)
        caller = Caller(quota, tokens=100)
        await caller.keep_busy(10.0, workers=4)
        await asyncio.sleep(5.0)
        busy = asked
        await asyncio.sleep(3600.0)
        idle = asked - busy
        await quota.aclose()
        return busy, idle

    busy, idle = simulate(sim_loop, scenario, engines=1)
    assert idle == 0
    assert busy <= 15.0 * 20


@pytest.mark.parametrize("slots", [None, 64])
def test_a_storm_of_refusals_asks_no_more_often_than_anything_else(
    sim_loop: SimLoop, tmp_path: Path, slots: int | None
) -> None:
    async def scenario(manager: ConcurrencyManager) -> list[float]:
        asked: list[float] = []

        class Timing(QuotaFile):
            def renew(self, *args: Any, **options: Any) -> Any:
                asked.append(options["now"])
                return super().renew(*args, **options)

        sharing = QuotaSharing("key", timer=manager.timer, now=sim_loop.clock.now, open_file=lambda: Timing(tmp_path))
        quota = Quota(
            manager.orchestrator, "main", requests=60_000, tokens=600_000, max_concurrency=slots, sharing=sharing
        )

        async def refused(number: int) -> None:
            for _ in range(5):
                async with quota.permit(tokens=100) as grant:
                    quota.sent(grant)
                    await asyncio.sleep(0.1 + number / 997)  # they come one after the other, milliseconds apart
                    quota.refused(grant, retry_after=0.05)
                    quota.ended(grant, ok=False)

        async with asyncio.TaskGroup() as group:
            for number in range(40):
                group.create_task(refused(number))
        await quota.aclose()
        return asked[:-1]  # the last one gives back what is left

    asked = simulate(sim_loop, scenario, engines=1)
    assert len(asked) > 20
    assert min(after - before for before, after in itertools.pairwise(asked)) >= 0.05 - 1e-9


def test_a_refusal_is_told_also_by_who_ends_right_after_it(sim_loop: SimLoop, tmp_path: Path) -> None:
    async def scenario(manager: ConcurrencyManager) -> float:
        one = Quota(manager.orchestrator, "main", tokens=60_000, sharing=share(manager, sim_loop, tmp_path))
        async with one.permit(tokens=10) as grant:
            one.sent(grant)
            one.refused(grant, retry_after=1.0)
            await asyncio.sleep(0)  # that is being told
            one.refused(grant, retry_after=20.0)
            one.ended(grant, ok=False)
        await one.aclose()
        return await asyncio.to_thread(frozen_for, sim_loop.clock.now())

    def frozen_for(now: float) -> float:
        file = QuotaFile(tmp_path)
        try:
            return file.renew("key", "other", {"tokens": Ask(60_000, SPAN)}, now=now)["tokens"].frozen_until - now
        finally:
            file.close()

    assert simulate(sim_loop, scenario, engines=1) > 19.0


def test_calls_at_once_are_shared_too(sim_loop: SimLoop, tmp_path: Path) -> None:
    running = most = 0

    class Watched(Caller):
        async def work(self, until: float) -> None:
            nonlocal running, most
            while asyncio.get_running_loop().time() < until:
                async with self.quota.permit(tokens=1) as grant:
                    running += 1
                    most = max(most, running)
                    self.quota.sent(grant)
                    self.sent.append((0.0, 1))
                    await asyncio.sleep(self.seconds)
                    running -= 1

    async def scenario(*managers: ConcurrencyManager) -> list[int]:
        quotas = [
            Quota(m.orchestrator, "main", tokens=10**9, max_concurrency=6, sharing=share(m, sim_loop, tmp_path))
            for m in managers
        ]
        callers = [Watched(quota, tokens=1) for quota in quotas]
        async with asyncio.TaskGroup() as group:
            group.create_task(callers[0].keep_busy(60.0, workers=10))
            await asyncio.sleep(5.0)
            group.create_task(callers[1].keep_busy(60.0, workers=10))
        for quota in quotas:
            await quota.aclose()
        return [len(caller.sent) for caller in callers]

    made = simulate(sim_loop, scenario)
    assert most == 6
    assert sum(made) >= 0.9 * 6 * 60
    assert min(made) >= 0.35 * sum(made)


def test_a_server_that_wants_no_calls_is_left_alone_by_all(sim_loop: SimLoop, tmp_path: Path) -> None:
    async def scenario(first: ConcurrencyManager, second: ConcurrencyManager) -> float:
        one, other = (
            Quota(m.orchestrator, "main", tokens=60_000, sharing=share(m, sim_loop, tmp_path)) for m in (first, second)
        )
        async with one.permit(tokens=10) as grant:
            one.sent(grant)
            one.refused(grant, retry_after=20.0)
            one.ended(grant, ok=False)
        await asyncio.sleep(0.5)
        caller = Caller(other, tokens=10)
        await caller.keep_busy(30.0, workers=1)
        for quota in (one, other):
            await quota.aclose()
        return caller.sent[0][0]

    assert 20.0 <= simulate(sim_loop, scenario) <= 21.0


def test_without_the_file_it_goes_on_alone_and_says_so_once(
    sim_loop: SimLoop, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> QuotaFile:
        raise StoreError("no space left to write quotas-1.db")

    async def scenario(manager: ConcurrencyManager) -> Caller:
        sharing = QuotaSharing("key", timer=manager.timer, now=sim_loop.clock.now, open_file=fail)
        quota = Quota(manager.orchestrator, "main", tokens=60_000, max_concurrency=8, sharing=sharing)
        caller = Caller(quota, tokens=1000)
        await caller.keep_busy(120.0)
        await quota.aclose()
        return caller

    caller = simulate(sim_loop, scenario, engines=1)
    assert most_in_a_window(caller.sent) <= 60_000
    assert len(caller.sent) >= 110
    assert [record.message for record in caplog.records if "not shared" in record.message] == [
        "a quota is not shared with other processes for now: no space left to write quotas-1.db"
    ]


def test_a_limit_that_is_not_known_is_not_shared(sim_loop: SimLoop, tmp_path: Path) -> None:
    async def scenario(manager: ConcurrencyManager) -> int:
        quota = Quota(manager.orchestrator, "main", sharing=share(manager, sim_loop, tmp_path))
        caller = Caller(quota, tokens=1000, seconds=0.1)
        await caller.keep_busy(30.0)
        await quota.aclose()
        return len(caller.sent)

    assert simulate(sim_loop, scenario, engines=1) > 100
    assert not list(tmp_path.iterdir())


def test_one_sharing_is_for_one_quota(sim_loop: SimLoop, tmp_path: Path) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        sharing = share(manager, sim_loop, tmp_path)
        Quota(manager.orchestrator, "one", tokens=10, sharing=sharing)
        with pytest.raises(ConfigError, match="one quota of one engine"):
            Quota(manager.orchestrator, "two", tokens=10, sharing=sharing)
        await sharing.aclose()

    simulate(sim_loop, scenario, engines=1)


@pytest.mark.blocking_allowed("the check looks into the file")
def test_wherever_its_end_is_cancelled_all_is_given_back(tmp_path: Path) -> None:
    async def scenario() -> None:
        clock = asyncio.get_running_loop().clock  # type: ignore[attr-defined]
        async with ConcurrencyManager(cpu=2, memory=100, seed=0, clock=clock) as manager:
            sharing = QuotaSharing("key", timer=manager.timer, now=clock.now, open_file=lambda: QuotaFile(tmp_path))
            quota = Quota(manager.orchestrator, "main", tokens=10_000, sharing=sharing)
            try:
                async with quota.permit(tokens=1000):
                    pass  # granted, and never sent
            finally:
                await quota.aclose()
                await sharing.aclose()

    def check() -> None:
        if list(tmp_path.iterdir()):
            file = QuotaFile(tmp_path)
            assert file.used("key", "tokens", now=0.5, window=SPAN) == 0
            file.close()

    assert cancel_sweep(scenario, check=check).runs >= 4


@pytest.mark.parametrize("seed", range(5))
def test_the_smallest_and_the_largest_of_those_who_wait_are_known_when_it_is_asked(
    sim_loop: SimLoop, tmp_path: Path, seed: int
) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        rng, sharing, meter = random.Random(seed), share(manager, sim_loop, tmp_path), SharedWindow(10**9)
        sharing.attach({"tokens": meter}, max_concurrency=None, changed=lambda: None)
        waiting: list[int] = []
        for _ in range(300):
            if waiting and rng.random() < 0.5:
                sharing.waits({"tokens": waiting.pop(rng.randrange(len(waiting)))}, -1)
            else:
                waiting.append(rng.randint(1, 12))
                sharing.waits({"tokens": waiting[-1]}, 1)
            sharing.want()
            known = meter.borrower.waiting, meter.borrower.least, meter.borrower.largest
            assert known == (sum(waiting), min(waiting, default=1), max(waiting, default=1))
        await sharing.aclose()

    simulate(sim_loop, scenario, engines=1)
