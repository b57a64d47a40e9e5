"""Two processes on one key: how much of the quota they use together, and how evenly.

One server and two clients, each in a process of its own, for each way of counting, all at
the same time. The second client joins when the first has had the quota to itself for a
window. ``together`` and ``shares`` are counted by the server from two windows after that
until the first client ends; ``refused`` from the first call to the last.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from contextlib import ExitStack
from typing import TYPE_CHECKING

from _common import report
from _models import ENFORCEMENTS, ask_until, clients, described, quota_server

from tenire.testing.fake_model_server import share_of_limit

if TYPE_CHECKING:
    from tenire.testing import FakeModelProcess

WINDOW = 60.0
LIMITS = {"rpm": 500, "tpm": 200_000}
COSTS = [1000, 2000, 4000, 8000]
OUTPUT = 100
NAMES = ("first", "second")
MUST, AIM, APART_MUST, APART_AIM = 0.95, 0.97, 0.10, 0.05


def judge(server: FakeModelProcess, minutes: float) -> bool:
    """Print what a server has seen; return whether it is what it must be."""
    told, records = server.statistics(), server.records()
    since, until = 3 * WINDOW, minutes * 60
    shares = {
        name: share_of_limit(
            [record for record in records if record.group == name], "tokens",
            limit=LIMITS["tpm"], window=WINDOW, since=since, until=until,
        )
        for name in NAMES
    }  # fmt: skip
    together = sum(shares.values())
    apart = abs(shares[NAMES[0]] - shares[NAMES[1]]) / (together / 2) if together else 1.0
    within = together >= MUST and apart <= APART_MUST and told.refused == 0
    report(
        "two_processes", **described(server), minutes=minutes, from_s=since, together=round(together, 4),
        shares={name: round(share, 4) for name, share in shares.items()}, apart=round(apart, 4),
        refused=told.refused, calls=told.calls, must=MUST, aim=AIM, apart_must=APART_MUST, apart_aim=APART_AIM,
        within=within,
    )  # fmt: skip
    return within


async def client(asked: dict[str, object]) -> int:
    await asyncio.sleep(float(str(asked["after"])))
    return await ask_until(
        str(asked["base_url"]), seconds=float(str(asked["seconds"])), costs=COSTS, output=OUTPUT,
        name=str(asked["user"]), **LIMITS,
    )  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=8.0, help="at least 4")
    parser.add_argument("--client", type=json.loads, help=argparse.SUPPRESS)
    told = parser.parse_args()
    if told.minutes < 4:
        parser.error("--minutes must be at least 4: shares are judged after the third minute")
    if told.client is not None:
        return 1 if asyncio.run(client(told.client)) else 0
    with ExitStack() as stack:
        running, servers = stack.enter_context(clients()), []
        for enforcement in ENFORCEMENTS:
            server = stack.enter_context(quota_server(enforcement=enforcement, window=WINDOW, **LIMITS))
            servers.append(server)
            for name, after in zip(NAMES, (0.0, WINDOW), strict=True):
                running.start(
                    __file__, f"{enforcement} {name}", state=enforcement, base_url=server.base_url, user=name,
                    after=after, seconds=told.minutes * 60 - after,
                )  # fmt: skip
        running.wait()
        verdicts = [judge(server, told.minutes) for server in servers]
        return 0 if all(verdicts) else 1


if __name__ == "__main__":
    raise SystemExit(main())
