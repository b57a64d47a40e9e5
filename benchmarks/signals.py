"""An event to ten subscribers, on the loop's thread: what ``emit`` takes, delivery included.

- functions, methods: listeners on the loop that runs; the event is delivered when ``emit`` returns.
- streams: ten streams in ten tasks; until the last has got the event and answered with another.
- thread: from another thread to ten listeners of the loop, in bursts of 500; one event to all of them.
Functions, methods and bare calls are processor time of this thread, so that a busy machine
changes little; streams and threads are time that passed.

- bare: ten calls of a plain function, for comparison.

Exits 1 if an event to ten functions or methods takes longer than it must.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from _common import report, spread

from tenire.concurrency import Signals

if TYPE_CHECKING:
    from collections.abc import Callable

SUBSCRIBERS = 10
EVENTS = 500
ROUNDS = 60
MUST_US = 10.0


@dataclass(frozen=True)
class Happened:
    """The event."""

    number: int


class Owner:
    """Counts what it gets, and tells when that is all."""

    def __init__(self) -> None:
        self.seen = 0
        self.all = asyncio.Event()

    def note(self, event: Happened) -> None:
        """Count one."""
        self.seen += 1
        if event.number == EVENTS:
            self.all.set()


def per_event(step: Callable[[Happened], object]) -> float:
    event = Happened(1)
    started = time.thread_time()
    for _ in range(EVENTS):
        step(event)
    return (time.thread_time() - started) / EVENTS * 1e6


async def stream_round() -> float:
    signals = Signals()
    streams = [signals.stream(Happened) for _ in range(SUBSCRIBERS)]

    async def follow(number: int) -> None:
        async for event in streams[number]:
            if number == SUBSCRIBERS - 1:
                answers.emit(event)

    answers = Signals()
    answer = answers.stream(Happened)
    tasks = [asyncio.create_task(follow(number)) for number in range(SUBSCRIBERS)]
    await asyncio.sleep(0)
    started = time.perf_counter()
    for number in range(EVENTS // 5):
        signals.emit(Happened(number))
        await anext(answer)
    taken = (time.perf_counter() - started) / (EVENTS // 5) * 1e6
    signals.close()
    await asyncio.wait(tasks)
    return taken


async def thread_round() -> float:
    signals = Signals()
    owners = [Owner() for _ in range(SUBSCRIBERS)]
    for owner in owners:
        signals.subscribe(Happened, owner.note)
    started = time.perf_counter()
    await asyncio.to_thread(lambda: [signals.emit(Happened(number)) for number in range(1, EVENTS + 1)])
    await owners[-1].all.wait()
    return (time.perf_counter() - started) / EVENTS * 1e6


async def main() -> int:
    """Measure and print."""
    functions, methods = Signals(), Signals()
    owners = [Owner() for _ in range(SUBSCRIBERS)]
    plain = Owner()
    for owner in owners:
        functions.subscribe(Happened, lambda event: plain.note(event))
        methods.subscribe(Happened, owner.note)

    def bare(event: Happened) -> None:
        for _ in range(SUBSCRIBERS):
            plain.note(event)

    times: dict[str, list[float]] = {name: [] for name in ("bare", "functions", "methods", "streams", "thread")}
    for _ in range(ROUNDS):
        times["bare"].append(per_event(bare))
        times["functions"].append(per_event(functions.emit))
        times["methods"].append(per_event(methods.emit))
        times["streams"].append(await stream_round())
        times["thread"].append(await thread_round())
    medians = {name: statistics.median(values) for name, values in times.items()}
    within = max(medians["functions"], medians["methods"]) <= MUST_US
    report(
        "signals",
        subscribers=SUBSCRIBERS,
        us={name: spread(values, 2) for name, values in times.items()},
        ratio_bare=round(medians["methods"] / medians["bare"], 2),
        must_us=MUST_US,
        within=within,
    )
    return 0 if within else 1


if __name__ == "__main__":
    raise SystemExit(asyncio.run(main()))
