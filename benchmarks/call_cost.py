"""What a guarded call costs: processor time that it adds to the same call over bare aiohttp.

The bare call sends the same body over the same kind of session, reads the reply and
decodes it. ``guarded`` is ``ChatClient.complete`` with a quota, a breaker, retries and a
time limit; ``kept`` adds a home, in which reply and cost are durable before they are
seen; ``budgeted`` adds a budget, so that what a call may cost is known there before it is
sent. All take turns within one process, round by round; the server is another process,
which counts strictly in one of three ways, one after the other. Processor time of all
threads counts. Other programs, and other guests of a shared machine, can only add to it,
by as much as the whole of it: so the least of all rounds is told, as ``timeit`` has it. It
is the median that must be within bounds.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import aiohttp
import msgspec
from _common import report, spread
from _models import ENFORCEMENTS, KEY, MODEL, chosen_enforcements, described, prompt_of, quota_server

from tenire.llm import ChatClient

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Ask = Callable[[str], Awaitable[object]]

CALLS = 400
AT_ONCE = 16
MUST_US, AIM_US = 300.0, 150.0
OUTPUT = 20
LIMITS = {"rpm": 10_000_000, "tpm": 2_000_000_000}


def bare(session: aiohttp.ClientSession, base_url: str) -> Ask:
    headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
    url = f"{base_url}/chat/completions"

    async def ask(prompt: str) -> object:
        body = {"model": MODEL, "messages": [{"role": "user", "content": prompt}], "max_completion_tokens": OUTPUT}
        async with session.post(url, data=msgspec.json.encode(body), headers=headers) as reply:
            return msgspec.json.decode(await reply.read())["choices"][0]["message"]["content"]

    return ask


def client(asking: ChatClient) -> Ask:
    async def ask(prompt: str) -> object:
        return (await asking.complete(prompt, max_output_tokens=OUTPUT)).text

    return ask


async def cost(ask: Ask, first: int) -> float:
    """Return microseconds of processor time for one call, the mean of many."""
    numbers = iter(range(first, first + CALLS))

    async def worker() -> None:
        for number in numbers:
            await ask(prompt_of(number, 100))

    started = time.process_time()
    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(worker())
    return (time.process_time() - started) / CALLS * 1e6


async def measure(base_url: str, folder: str, rounds: int) -> dict[str, list[float]]:
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession())
        options: dict[str, Any] = {"base_url": base_url, "api_key": KEY, "max_concurrency": AT_ONCE, **LIMITS}
        guarded = await stack.enter_async_context(ChatClient(MODEL, cache=False, **options))
        # Each has a quota of its own: those that share one wait for each other's slots.
        kept = await stack.enter_async_context(ChatClient(MODEL, home=f"{folder}/kept", group="kept", **options))
        budgeted = await stack.enter_async_context(
            ChatClient(MODEL, home=f"{folder}/budgeted", group="budgeted", budget_usd=1e6, **options)
        )
        clients = {"guarded": guarded, "kept": kept, "budgeted": budgeted}
        asks = {"bare": bare(session, base_url), **{name: client(one) for name, one in clients.items()}}
        times: dict[str, list[float]] = {name: [] for name in asks}
        for number in range(-1, rounds):
            for place, (name, ask) in enumerate(asks.items()):
                taken = await cost(ask, ((number + 1) * len(asks) + place) * CALLS)
                if number >= 0:
                    times[name].append(taken)
        return times


def figures(enforcement: str, rounds: int) -> bool:
    """Measure against one server; return whether the figure is as it must be."""
    settings: dict[str, Any] = {"latency": 0.0, "enforcement": enforcement, **LIMITS}
    with tempfile.TemporaryDirectory() as folder, quota_server(**settings) as server:
        os.environ["TENIRE_STATE"] = f"{folder}/state"
        times = asyncio.run(measure(server.base_url, folder, rounds))
        told = server.statistics()
    least, usual = ({name: of(taken) for name, taken in times.items()} for of in (min, statistics.median))
    added = {name: round(least[name] - least["bare"], 1) for name in least if name != "bare"}
    medians = {name: round(usual[name] - usual["bare"], 1) for name in added}
    ratios = {name: round(least[name] / least["bare"], 2) for name in added}
    within = medians["guarded"] <= MUST_US and not told.refused
    report(
        "call_cost", **described(server), at_once=AT_ONCE, rounds=rounds, bare_us=spread(times["bare"], 1),
        added_us=medians, least_added_us=added, ratio_bare=ratios,
        calls=told.answered, refused=told.refused, must_us=MUST_US, aim_us=AIM_US, within=within,
    )  # fmt: skip
    return within


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    chosen_enforcements(parser)
    options = parser.parse_args()
    within = [figures(enforcement, options.rounds) for enforcement in options.enforcement or ENFORCEMENTS]
    return 0 if all(within) else 1


if __name__ == "__main__":
    raise SystemExit(main())
