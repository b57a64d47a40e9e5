"""How fast texts are embedded while two other pipelines compute: against what each does alone.

Three pipelines of equal weight in one engine: one embeds passages of this Python's own sources, the
others compute in worker processes and always have more to do. Each is measured alone first, in the
same process. A third of that is its fair share beside two others; ``of_fair_share`` tells how much of
it each had, and 0.9 is the least for the embedder. Rates are of the time in which all of them were
at work, without what loading the model takes, and for each second of processor time that the engine
and its workers got: other programs, before which they step back, take part in no share.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
from _common import cores, report, spread
from _passages import documents_of, text_files

import tenire
from tenire.vectors import Embed

if TYPE_CHECKING:
    from collections.abc import Sequence

UNIT_S = 0.02
UNITS = 6000
"""More than anybody gets done before the texts are embedded; what is left then takes no time."""

MUST = 0.9

_LOOK_S = 0.25


@tenire.stage(on="process", batch=1, keep=False)
def compute(items: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Use a core for some time, unless it is over, and say when that was done."""
    (item,) = items
    if os.path.exists(item["over"]):
        return [None]  # type: ignore[list-item]
    until = time.thread_time() + UNIT_S
    while time.thread_time() < until:
        sum(range(1000))
    return [{"id": item["id"], "at": time.monotonic()}]


def processor_time() -> float:
    """Return the seconds that this process and its workers have computed."""
    own = psutil.Process()
    total = 0.0
    for process in [own, *own.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system
    return total


class Loads:
    """What runs side by side.

    Args:
        folder: Where files go.
        embedder: The embedder.
        texts: What is embedded.
        seconds: How long it computes where nothing is embedded.
        cpu: Slots of the engine.
    """

    def __init__(self, folder: Path, embedder: str, texts: list[str], seconds: float, cpu: int | None) -> None:
        self._folder, self._embedder, self._texts, self._seconds, self._cpu = folder, embedder, texts, seconds, cpu
        self._runs = 0

    async def rates(self, *names: str) -> dict[str, float]:
        """Run some of ``embed``, ``one`` and ``two``; return items of each for a second of processor time."""
        self._runs += 1
        over, folder = self._folder / f"over-{self._runs}", self._folder
        sinks = {name: folder / f"{name}-{self._runs}.jsonl" for name in names}
        pipelines = [self._pipeline(name, over, sinks[name]) for name in names]

        used: list[tuple[float, float]] = []

        async def look() -> None:
            while True:
                used.append((time.monotonic(), await asyncio.to_thread(processor_time)))
                await asyncio.sleep(_LOOK_S)

        async def end() -> None:
            if "embed" not in names:
                await asyncio.sleep(self._seconds)
                await asyncio.to_thread(over.touch)

        async with asyncio.TaskGroup() as group:
            group.create_task(end())
            looking = group.create_task(look())
            await tenire.arun(*pipelines, home=folder / "home", cpu=self._cpu)
            looking.cancel()
        stamps = {name: sorted(json.loads(line)["at"] for line in sink.open()) for name, sink in sinks.items()}
        begin, stop = max(times[0] for times in stamps.values()), min(times[-1] for times in stamps.values())
        begin += (stop - begin) / 10
        first, *_, last = [seconds for at, seconds in used if begin <= at <= stop]
        cpu = (last - first) * (stop - begin) / (stop - begin - _LOOK_S)  # which none of the looks has seen
        return {name: sum(begin < at <= stop for at in times) / cpu for name, times in stamps.items()}

    def _pipeline(self, name: str, over: Path, sink: Path) -> tenire.Pipeline:
        run = self._runs
        if name != "embed":
            units = ({"id": f"{run} {number}", "over": str(over)} for number in range(UNITS))
            return tenire.Pipeline(f"{name}-{run}", source=units, stages=[compute], sink=str(sink))
        # No text is the same as in another run, or it would be known by then.
        items = ({"id": number, "text": f"{run} {text}"} for number, text in enumerate(self._texts))
        ended = 0

        @tenire.stage(on="loop", keep=False)
        async def stamp(items: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
            nonlocal ended
            ended += len(items)
            if ended == len(self._texts):
                await asyncio.to_thread(over.touch)
            return [{"id": item["id"], "at": time.monotonic()} for item in items]

        return tenire.Pipeline(f"embed-{run}", source=items, stages=[Embed(self._embedder), stamp], sink=str(sink))


async def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--embedder", default="minilm")
    parser.add_argument("--passages", type=int, default=1500)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--cpu", type=int)
    options = parser.parse_args()
    passages = (passage.text for document in documents_of(text_files([])) for passage in document.passages)
    texts = list(islice(passages, options.passages))
    shares: dict[str, list[float]] = {"embed": [], "one": [], "two": []}
    alone_s, beside_s = [], []
    with tempfile.TemporaryDirectory() as temporary:
        loads = Loads(Path(temporary), options.embedder, texts, options.seconds, options.cpu)
        for _ in range(options.rounds):
            alone = await loads.rates("embed") | await loads.rates("one")
            beside = await loads.rates("embed", "one", "two")
            for name, found in shares.items():
                found.append(beside[name] / (alone["embed" if name == "embed" else "one"] / 3))
            alone_s.append(alone["embed"])
            beside_s.append(beside["embed"])
    report(
        "embedding_beside",
        embedder=options.embedder,
        cores=cores(),
        cpu=options.cpu,
        embedded_alone_per_cpu_s=spread(alone_s, 0),
        embedded_beside_per_cpu_s=spread(beside_s, 0),
        of_fair_share={name: spread(found, 2) for name, found in shares.items()},
        within=min(shares["embed"]) >= MUST,
    )


if __name__ == "__main__":
    asyncio.run(main())
