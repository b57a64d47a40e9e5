"""How long an urgent call waits behind the full queue of a bulk.

Two thousand calls wait for four slots. Now and then one of high priority comes: a new one, or
one that is equal to a call of the bulk that is far behind in the queue. ``permits`` is for how many it
waited, its own included: how many were granted since it asked until it had one, the most of all
urgent calls. ``waited_s`` are the seconds that it took.
"""

from __future__ import annotations

import asyncio
import random
import sys
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from _common import report, spread
from _models import ENFORCEMENTS, KEY, MODEL, described, prompt_of, quota_server

from tenire import ConcurrencyManager
from tenire.concurrency.quotas import Quota
from tenire.core.tasks import Priority
from tenire.llm import ChatClient

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tenire.concurrency.handle import Handle
    from tenire.concurrency.quotas import Grant, QuotaPermit
    from tenire.testing import FakeModelProcess

BULK, SLOTS, URGENT = 2_000, 4, 40
LATENCY = "lognormal:0.2:0.5"
LIMITS = {"rpm": 1_000_000, "tpm": 1_000_000_000}
TOKENS, OUTPUT = 100, 20
MUST = 1


class Watched(Quota):
    """A quota that notes when each permit was granted, and when an urgent call asked for one."""

    granted: list[tuple[float, int]]
    asked_at: float  # ... of the loop, which is the engine's clock

    def permit(self, **options: Any) -> QuotaPermit:
        """Return a permit that is about to be asked for."""
        if options["priority"] == Priority.HIGH:
            self.asked_at = asyncio.get_running_loop().time()
        return super().permit(**options)

    def open(self, amounts: Mapping[str, int], handle: Handle[None], output_tokens: int | None) -> Grant:
        """Take in that a permit was granted."""
        self.granted.append((handle.started_at, handle.priority))
        return super().open(amounts, handle, output_tokens)


async def measure(server: FakeModelProcess) -> dict[str, list[tuple[int, float]]]:
    """Return of each urgent call for how many permits it waited, and seconds; by kind."""
    rng, found = random.Random(1), defaultdict(list)
    async with ConcurrencyManager(cpu=1, memory=1 << 30) as manager:
        quota = Watched(manager.orchestrator, "watched", requests=LIMITS["rpm"], max_concurrency=SLOTS)
        quota.granted = []
        options: dict[str, Any] = {"base_url": server.base_url, "api_key": KEY, "manager": manager, "quota": quota}
        async with ChatClient(MODEL, **options) as client:

            async def call(number: int, priority: Priority) -> None:
                await client.complete(prompt_of(number, TOKENS), max_output_tokens=OUTPUT, priority=priority)

            bulk = [asyncio.create_task(call(number, Priority.NORMAL)) for number in range(BULK)]
            while quota.statistics().waiting < BULK - 2 * SLOTS:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.05)
            for number in range(URGENT):
                for kind, place in (("new", BULK + number), ("equal", BULK - 1 - number)):
                    await asyncio.sleep(rng.uniform(0.0, 0.1))
                    quota.granted, quota.asked_at = [], asyncio.get_running_loop().time()
                    await call(place, Priority.HIGH)
                    asked_at = quota.asked_at
                    granted_at = next(at for at, priority in quota.granted if priority == Priority.HIGH)
                    before = sum(asked_at < at < granted_at for at, _ in quota.granted)
                    found[kind].append((before + 1, granted_at - asked_at))
            for task in bulk:
                task.cancel()
            await asyncio.wait(bulk)
    return found


def main() -> int:
    good = True
    for enforcement in ENFORCEMENTS:
        with quota_server(enforcement=enforcement, latency=LATENCY, **LIMITS) as server:
            found = asyncio.run(measure(server))
            for kind, calls in found.items():
                permits, waited = zip(*calls, strict=True)
                within = max(permits) <= MUST
                good = good and within
                report(
                    "urgent_call", **described(server), kind=kind, slots=SLOTS, bulk=BULK, calls=len(calls),
                    permits=max(permits), waited_s=spread(list(waited)), must=MUST, within=within,
                )  # fmt: skip
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
