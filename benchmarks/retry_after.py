"""How soon a client is back at its rate after the server has asked it to wait.

The server refuses everything for five seconds, and says with each refusal in how many
milliseconds that ends. ``back_s`` are the seconds from that end until calls arrive as
fast as in the ten seconds before it (95 % of that rate, over half a second).
``early`` are calls that came before the time that the server had named.
"""

from __future__ import annotations

import argparse
import asyncio
import bisect
import json
from contextlib import ExitStack
from typing import TYPE_CHECKING

from _common import report
from _models import ENFORCEMENTS, ask_until, clients, described, quota_server

if TYPE_CHECKING:
    from tenire.testing import FakeModelProcess

LIMITS = {"rpm": 1200, "tpm": 10_000_000}
COSTS, OUTPUT = [200], 50
AT, PAUSE, SECONDS = 75.0, 5.0, 88.0  # in the second window, in which a client may be at full speed
SPAN = 0.5
LATENCY = "lognormal:0.1:0.3"
MUST, AIM = 1.0, 0.3
GIVEN_S = 0.05  # in flight when the first refusal was on its way


def judge(server: FakeModelProcess) -> bool:
    """Print what a server has seen; return whether it is what it must be."""
    records = server.records()
    good = sorted(record.at for record in records if record.admitted)
    late = [record.at for record in records if record.outcome == "outage"]
    rate = (bisect.bisect(good, AT) - bisect.bisect(good, AT - 10)) / 10
    ends = AT + PAUSE

    def arrived(since: float) -> int:
        return bisect.bisect(good, since + SPAN) - bisect.bisect_left(good, since)

    back = next((at for at in good if at >= ends and arrived(at) >= 0.95 * rate * SPAN), None)
    back_s = None if back is None else round(back - ends, 3)
    first = min(late, default=AT)
    early = sum(at > first + GIVEN_S for at in late)
    within = back_s is not None and back_s <= MUST
    report(
        "retry_after", **described(server), pause_s=PAUSE, rate_before=rate, back_s=back_s, told_to_wait=len(late),
        early=early, refused=server.statistics().refused, must=MUST, aim=AIM, within=within,
    )  # fmt: skip
    return within


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--client", type=json.loads, help=argparse.SUPPRESS)
    told = parser.parse_args()
    if told.client is not None:
        asked = told.client
        return asyncio.run(ask_until(asked["base_url"], seconds=SECONDS, costs=COSTS, output=OUTPUT, **LIMITS))
    with ExitStack() as stack:
        running, servers = stack.enter_context(clients()), []
        for enforcement in ENFORCEMENTS:
            server = stack.enter_context(
                quota_server(
                    enforcement=enforcement, outages=[(AT, PAUSE, "429")], latency="lognormal:0.1:0.3", **LIMITS
                )
            )
            servers.append(server)
            running.start(__file__, enforcement, state=enforcement, base_url=server.base_url)
        running.wait()
        verdicts = [judge(server) for server in servers]
        return 0 if all(verdicts) else 1


if __name__ == "__main__":
    raise SystemExit(main())
