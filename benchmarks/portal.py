"""A call from a thread to the loop and back, against a bare ``asyncio.run_coroutine_threadsafe``.

Interleaved in one process, round by round, so a busy moment of the machine hits all:

- call: a plain function, through ``loops.call``;
- wait: a coroutine, through ``loops.wait``; this is what the bare way is compared with;
- spawn: the same through ``loops.spawn(…).result()``;
- post: 1,000 functions without waiting, then one call; the bare way is ``call_soon_threadsafe``.

Exits 1 if a call or a wait takes more of the bare way's time than it must.
"""

from __future__ import annotations

import asyncio
import importlib.util
import statistics
import time
from typing import TYPE_CHECKING, Any

from _common import report, spread

from tenire.concurrency import EventLoopManager

if TYPE_CHECKING:
    from collections.abc import Callable

    from tenire.concurrency.loops import LoopKind

ROUNDS = 40
TRIPS = 500
POSTS = 1_000

MUST, AIM = 1.2, 1.0


async def nothing() -> int:
    return 1


def plain() -> int:
    return 1


def trips(trip: Callable[[], Any]) -> float:
    """Return microseconds for one trip, the mean of many."""
    started = time.perf_counter()
    for _ in range(TRIPS):
        assert trip() == 1
    return (time.perf_counter() - started) / TRIPS * 1e6


def posts(post: Callable[..., Any], call: Callable[[Callable[[], int]], int]) -> float:
    """Return microseconds for one post."""
    started = time.perf_counter()
    for _ in range(POSTS):
        post(plain)
    call(plain)
    return (time.perf_counter() - started) / POSTS * 1e6


def measure(loops: EventLoopManager) -> dict[str, list[float]]:
    """Return the times of every way, round by round."""
    loop = loops.loop

    def bare() -> int:
        return asyncio.run_coroutine_threadsafe(nothing(), loop).result()

    ways: dict[str, Callable[[], float]] = {
        "bare": lambda: trips(bare),
        "call": lambda: trips(lambda: loops.call(plain)),
        "wait": lambda: trips(lambda: loops.wait(nothing())),
        "spawn": lambda: trips(lambda: loops.spawn(nothing()).result()),
        "bare_post": lambda: posts(loop.call_soon_threadsafe, loops.call),
        "post": lambda: posts(loops.post, loops.call),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(-2, ROUNDS):
        for name, way in ways.items():
            taken = way()
            if number >= 0:
                times[name].append(taken)
    return times


def main() -> int:
    """Measure and print, for asyncio's loop and, where it is installed, uvloop's."""
    verdicts = []
    kinds: list[LoopKind] = ["asyncio", "uvloop"] if importlib.util.find_spec("uvloop") else ["asyncio"]
    for kind in kinds:
        loops = EventLoopManager()
        thread = loops.own_thread(kind=kind)
        thread.start()
        times = measure(loops)
        thread.close()
        medians = {name: statistics.median(values) for name, values in times.items()}
        waited, called = medians["wait"] / medians["bare"], medians["call"] / medians["bare"]
        verdicts.append(max(waited, called) <= MUST)
        report(
            "portal",
            loop=kind,
            us={name: spread(values, 1) for name, values in times.items()},
            ratio_wait=round(waited, 3),
            ratio_call=round(called, 3),
            ratio_spawn=round(medians["spawn"] / medians["bare"], 3),
            ratio_post=round(medians["post"] / medians["bare_post"], 3),
            must=MUST,
            aim=AIM,
            within=verdicts[-1],
        )
    return 0 if all(verdicts) else 1


if __name__ == "__main__":
    raise SystemExit(main())
