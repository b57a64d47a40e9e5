"""Somebody else uses the key that several engines of this machine share, and the server says what is left."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import pytest

from tenire import ConcurrencyManager
from tenire.concurrency.quotas import Quota, QuotaSharing
from tenire.core.rate_report import MetricReport, RateReport
from tenire.storage.quota_file import QuotaFile
from tenire.testing.fake_model_server.meters import make_meter

if TYPE_CHECKING:
    from pathlib import Path

    from tenire.testing import SimLoop
    from tenire.testing.fake_model_server.meters import Enforcement

LIMIT = 60_000


class World:
    """A strict server, two engines that always have more to ask, and others who use the same key.

    Args:
        loop: In which all of it happens.
        folder: What the engines share.
        server: How it counts.
        sizes: Tokens of a call, from and to.
        seconds: For which it thinks about one, from and to.
        used: The part of what a call was granted that it really takes, at least.
    """

    def __init__(
        self, loop: SimLoop, folder: Path, server: Enforcement, *, sizes: tuple[int, int] = (200, 600),
        seconds: tuple[float, float] = (0.3, 3.0), used: float = 1.0, engines: int = 2,
    ) -> None:  # fmt: skip
        self.loop, self.folder, self.sizes, self.seconds, self.used = loop, folder, sizes, seconds, used
        self.meter = make_meter(server, LIMIT, 60.0)
        self.chance = random.Random(7)
        self.accepted: list[tuple[float, int, int]] = []
        self.refused: list[float] = []
        self.foreign_refused = 0
        self.engines = engines
        self.limits: list[int | None] = []

    def run(self, seconds: float, *, foreign: tuple[float, float, int] | None = None) -> None:
        """Ask for so long; others take so many tokens ten times a second from a time to another."""
        self.loop.run_until_complete(self._run(seconds, foreign))

    async def _run(self, seconds: float, foreign: tuple[float, float, int] | None) -> None:
        managers = [ConcurrencyManager(cpu=1, memory=100, seed=n, clock=self.loop.clock) for n in range(self.engines)]
        for manager in managers:
            await manager.__aenter__()
        try:
            quotas = [self._quota(manager) for manager in managers]
            began = self.loop.time()
            async with asyncio.TaskGroup() as group:
                if foreign is not None:
                    group.create_task(self._others(began, *foreign))
                for number, quota in enumerate(quotas):
                    for _ in range(40):
                        group.create_task(self._work(number, quota, began, began + seconds))
            self.limits = [quota.statistics().metrics["tokens"].limit for quota in quotas]
            for quota in quotas:
                await quota.aclose()
        finally:
            for manager in managers:
                await manager.__aexit__(None, None, None)

    def _quota(self, manager: ConcurrencyManager) -> Quota:
        clock, folder = self.loop.clock, self.folder
        sharing = QuotaSharing("key", timer=manager.timer, now=clock.now, open_file=lambda: QuotaFile(folder))
        return Quota(manager.orchestrator, "main", tokens=LIMIT, max_concurrency=64, sharing=sharing)

    async def _others(self, began: float, start: float, end: float, tokens: int) -> None:
        await asyncio.sleep(start)
        while (now := self.loop.time()) < began + end:
            if self.meter.ready_at(tokens, now) <= now:
                self.meter.take(tokens, now)
            else:
                self.foreign_refused += 1
            await asyncio.sleep(0.1)

    async def _work(self, number: int, quota: Quota, began: float, until: float) -> None:
        now, chance = self.loop.time, self.chance
        while now() < until:
            granted = chance.randint(*self.sizes)
            tokens = round(granted * chance.uniform(self.used, 1.0))
            async with quota.permit(tokens=granted) as grant:
                if now() >= until:
                    return
                quota.sent(grant)
                await asyncio.sleep(chance.uniform(0.02, 0.3))
                at = now()
                ok = self.meter.ready_at(tokens, at) <= at
                if ok:
                    self.meter.take(tokens, at)
                    self.accepted.append((at - began, number, tokens))
                else:
                    self.refused.append(at - began)
                left = RateReport({"tokens": MetricReport(LIMIT, int(self.meter.remaining(at)))})
                await asyncio.sleep(chance.uniform(*self.seconds) if ok else 0.0)
                if ok:
                    quota.settle(grant, tokens=tokens, report=left)
                else:
                    quota.refused(grant, None, left)
                quota.ended(grant, ok=ok)

    def used_between(self, start: float, end: float) -> float:
        """Return the part of the limit that the engines used."""
        return sum(tokens for at, _, tokens in self.accepted if start <= at < end) / (LIMIT * (end - start) / 60.0)

    def refused_between(self, start: float, end: float) -> float:
        """Return the part of calls that were refused."""
        refused = sum(start <= at < end for at in self.refused)
        return refused / max(1, refused + sum(start <= at < end for at, _, _ in self.accepted))


@pytest.mark.parametrize("server", ["sliding", "fixed", "bucket"])
@pytest.mark.parametrize("engines", [2, 4])
def test_engines_of_one_user_do_not_take_each_other_for_somebody_else(
    sim_loop: SimLoop, tmp_path: Path, server: Enforcement, engines: int
) -> None:
    world = World(sim_loop, tmp_path, server, engines=engines)
    world.run(240.0)
    assert not world.refused
    assert world.used_between(60.0, 240.0) >= 0.98
    assert world.limits == [LIMIT] * engines


@pytest.mark.parametrize("server", ["sliding", "fixed", "bucket"])
def test_what_others_use_of_a_shared_key_is_left_to_them_and_taken_again_when_they_are_gone(
    sim_loop: SimLoop, tmp_path: Path, server: Enforcement
) -> None:
    world = World(sim_loop, tmp_path, server)
    world.run(660.0, foreign=(120.0, 420.0, 30))  # 30 % of the limit
    assert world.refused_between(180.0, 420.0) <= 0.02
    assert world.used_between(180.0, 420.0) >= 0.6
    assert world.refused_between(480.0, 660.0) == 0
    assert world.used_between(540.0, 660.0) >= 0.95
