"""A model in a pool: what batches bring, and how long an urgent item waits beside many others.

``times`` is the throughput of calls made at the same time, which share batches, over that of the
same calls one after the other, of the same model in the same worker process, in turns.
``over_a_batch_ms`` is the 99th percentile of the time that an urgent call takes while a
bulk prediction keeps the model at work, less the same of what the bulk's own batches took in the
model meanwhile; 20 ms is the most.
``copies`` is the throughput of a bulk prediction by a model that may have two copies, once both are
loaded, over that by one that may not; the model computes on one thread.
The models are scikit-learn's, on the digits that it brings along.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from typing import Any

from _common import cores, report, spread

from tenire import ConcurrencyManager, Priority
from tenire.ml import ModelPool

ROUNDS = 5
ONE_BY_ONE = 300
AT_ONCE = 6000
URGENT = 200
COPIES_S = 10.0
MOST = 64


def network() -> Any:
    """Return a small neural network, trained on digits."""
    from sklearn.datasets import load_digits
    from sklearn.neural_network import MLPClassifier

    data = load_digits()
    return MLPClassifier((64,), max_iter=30, tol=1.0, random_state=0).fit(data.data, data.target)


class Timed:
    """Tells with each result how long its batch took, seconds."""

    def __init__(self, model: Any) -> None:
        self._model = model

    def predict(self, items: list[Any]) -> list[tuple[int, float]]:
        """Ask the model."""
        began = time.perf_counter()
        found = self._model.predict(items)
        took = time.perf_counter() - began
        return [(int(each), took) for each in found]


def neighbours() -> Any:
    """Return a model of which a batch takes long: it compares with every digit that it knows."""
    import numpy as np
    from sklearn.datasets import load_digits
    from sklearn.neighbors import KNeighborsClassifier

    data = load_digits()
    copies = np.tile(data.data, (20, 1)), np.tile(data.target, 20)
    return Timed(KNeighborsClassifier(algorithm="brute").fit(*copies))


async def batching(pool: ModelPool, rows: list[Any]) -> dict[str, Any]:
    """Compare calls at the same time with calls one by one."""
    alone, together = [], []
    for number in range(-1, ROUNDS):
        began = time.perf_counter()
        for place in range(ONE_BY_ONE):
            await pool.predict("network", rows[place % len(rows)])
        middle = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for place in range(AT_ONCE):
                group.create_task(pool.predict("network", rows[place % len(rows)]))
        end = time.perf_counter()
        if number >= 0:
            alone.append(ONE_BY_ONE / (middle - began))
            together.append(AT_ONCE / (end - middle))
    times = [many / one for many, one in zip(together, alone, strict=True)]
    return {"one_by_one_per_s": spread(alone, 0), "batched_per_s": spread(together, 0), "times": spread(times, 1)}


async def urgency(pool: ModelPool, rows: list[Any]) -> dict[str, Any]:
    """Ask about single items while a bulk prediction goes on."""
    over = False
    done = 0
    batches: set[float] = set()

    async def bulk() -> None:
        nonlocal done
        while not over:
            async for _, (_, took) in pool.map("neighbours", rows[: MOST * 8], priority=Priority.LOW):
                done += 1
                batches.add(took)

    waits = []
    async with asyncio.TaskGroup() as group:
        group.create_task(bulk())
        for number in range(URGENT):
            await asyncio.sleep(0.003 * (number % 7))  # at every point of a batch
            began = time.perf_counter()
            await pool.predict("neighbours", rows[number], priority=Priority.HIGH)
            waits.append(time.perf_counter() - began)
        over = True
    batch, p99 = (statistics.quantiles(each, n=100)[98] for each in (sorted(batches), waits))
    return {
        "batch_ms": spread([1e3 * took for took in batches], 1),
        "urgent_p50_ms": round(1e3 * statistics.median(waits), 1),
        "urgent_p99_ms": round(1e3 * p99, 1),
        "over_a_batch_ms": round(1e3 * (p99 - batch), 1),
        "bulk_items_meanwhile": done,
    }


async def copies(pool: ModelPool, rows: list[Any]) -> dict[str, Any]:
    """Compare a model that may have two copies with the same one that may not."""

    async def rate(name: str) -> float:
        """Return items a second, once there are as many copies as there will be."""
        await pool.warm_up(name)
        done, over, now = 0, False, time.perf_counter

        async def ask_on(row: Any) -> None:
            nonlocal done
            while not over:
                await pool.predict(name, row, priority=Priority.LOW)
                done += 1

        async with asyncio.TaskGroup() as group:
            for row in rows[: 4 * MOST]:
                group.create_task(ask_on(row))
            await asyncio.sleep(COPIES_S)
            before, began = done, now()
            await asyncio.sleep(COPIES_S)
            found = (done - before) / (now() - began)
            over = True
        return found

    one, two = await rate("alone"), await rate("copied")
    return {"copies": round(two / one, 2), "copies_loaded": pool.statistics()["copied"].replicas}


async def main() -> None:
    """Measure and print."""
    from sklearn.datasets import load_digits

    rows = list(load_digits().data)
    # Not adaptive: on a loaded machine it would hold the bulk back, and there would be nothing to wait behind.
    engine = ConcurrencyManager(cpu=max(2, cores()), memory=2 << 30, adaptive=False)
    async with engine as manager, ModelPool(manager) as pool:
        pool.add("network", network, most=MOST)
        pool.add("neighbours", neighbours, most=MOST)
        pool.add("alone", neighbours, most=MOST)
        pool.add("copied", neighbours, most=MOST, replicas=2)
        await pool.warm_up("network")
        await pool.warm_up("neighbours")
        found = await batching(pool, rows)
        waits = await urgency(pool, rows)
        copied = await copies(pool, rows)
    within = found["times"]["median"] >= 3 and waits["over_a_batch_ms"] <= 20
    report("model_batching", **found, **waits, **copied, within=within)


if __name__ == "__main__":
    asyncio.run(main())
