"""How much of a quota is used while there is work, and how often it is over-run (never, that is).

For each way of counting that providers have (sliding window, fixed window, bucket) and
each mix of calls, one server and one client, each in a process of its own, all at the
same time. ``share`` is what the server charged between the end of the second window and
the end, as a part of what the limit allows in that time; ``refused`` are its 429s from
the first call to the last. ``--minutes`` shortens it.

Where a call takes a quarter of the limit, some eighty are made in ten minutes, and one more
or less is 2 % of the figure. So such a mix is drawn several times, each with a server and a
client of its own, and ``share`` is the mean of ``shares``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
from contextlib import ExitStack
from typing import Any

from _common import report
from _models import ENFORCEMENTS, ask_until, clients, described, quota_server

WINDOW = 60.0
OUTPUT = 100
# Limits, the calls' costs in tokens, the metric that binds, and what must be and what should be reached.
MIXES: dict[str, dict[str, Any]] = {
    "at most 4 % each": {
        "limits": {"rpm": 500, "tpm": 200_000}, "costs": [1000, 2000, 4000, 8000], "metric": "tokens",
        "must": 0.97, "aim": 0.985,
    },
    "at most 27 % each": {
        "limits": {"rpm": 500, "tpm": 30_000}, "costs": [1000, 2000, 4000, 8000], "metric": "tokens",
        "must": 0.95, "aim": 0.97, "draws": 4,
    },
    "requests bind": {
        "limits": {"rpm": 500, "tpm": 200_000}, "costs": [150, 250], "metric": "requests", "must": 0.97, "aim": 0.985,
    },
}  # fmt: skip


def measure(minutes: float) -> bool:
    """Run everything; return whether each figure is what it must be."""
    good = True
    with ExitStack() as stack:
        running = stack.enter_context(clients())
        measured = []
        for enforcement in ENFORCEMENTS:
            for name, mix in MIXES.items():
                servers = []
                for draw in range(mix.get("draws", 1)):
                    server = stack.enter_context(quota_server(enforcement=enforcement, window=WINDOW, **mix["limits"]))
                    servers.append(server)
                    running.start(
                        __file__, f"{enforcement} {name} {draw}", state=f"{len(measured)}-{draw}",
                        base_url=server.base_url, seconds=minutes * 60, costs=mix["costs"], limits=mix["limits"],
                        draw=f"draw {draw}" if draw else "",
                    )  # fmt: skip
                measured.append((servers, name, mix))
        running.wait()
        for servers, name, mix in measured:
            metric, until = mix["metric"], minutes * 60
            since = min(2 * WINDOW, until / 2)
            told = [server.statistics() for server in servers]
            shares = [round(server.share(metric, since=since, until=until), 4) for server in servers]
            share = statistics.fmean(shares)
            within = share >= mix["must"] and not any(each.refused for each in told)
            good &= within
            report(
                "quota_share", **described(servers[0]), mix=name, metric=metric, minutes=minutes, from_s=since,
                share=round(share, 4), shares=shares,
                share_from_start=round(
                    statistics.fmean(server.share(metric, since=0, until=until) for server in servers), 4
                ),
                refused=sum(each.refused for each in told), calls=sum(each.calls for each in told),
                must=mix["must"], aim=mix["aim"], within=within,
            )  # fmt: skip
    return good


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--client", type=json.loads, help=argparse.SUPPRESS)
    told = parser.parse_args()
    if told.client is None:
        return 0 if measure(told.minutes) else 1
    asked = told.client
    failed = asyncio.run(
        ask_until(
            asked["base_url"], seconds=asked["seconds"], costs=asked["costs"], output=OUTPUT, name=asked["draw"],
            **asked["limits"],
        )
    )  # fmt: skip
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
