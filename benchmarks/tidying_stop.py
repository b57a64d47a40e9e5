"""Milliseconds that tidying up takes to stop once work has arrived; the worst of several moments.

- ledger: giving back the pages of 40 MB that nobody needs any more;
- store: joining 60 fragments of 200 passages each;
- index: building the vector index over them;
- words: merging the index of words.
"""

from __future__ import annotations

import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from _common import report

from tenire.concurrency.compactor import STOP_S, Stop
from tenire.protocols import Batch, Document, Passage, SourceFile
from tenire.storage.home import Home
from tenire.storage.ledger import Ledger
from tenire.vectors.store import LanceStore

if TYPE_CHECKING:
    from collections.abc import Callable

MOMENTS = (0.0, 0.005, 0.02, 0.05, 0.1, 0.2)
DIMENSION = 384


def stopped(work: Callable[[Stop], Any]) -> float | None:
    """Return how long work took to stop at the worst, seconds; ``None`` if it was always done before."""
    worst: float | None = None
    for moment in MOMENTS:
        stop, began, ended = Stop(), threading.Event(), []

        def run(stop: Stop = stop, began: threading.Event = began, ended: list[float] = ended) -> None:
            began.set()
            work(stop)
            ended.append(time.perf_counter())

        thread = threading.Thread(target=run)
        thread.start()
        began.wait()
        time.sleep(moment)
        was_running = thread.is_alive()
        told = time.perf_counter()
        stop.request()
        thread.join()
        if was_running:
            worst = max(worst or 0.0, ended[0] - told)
    return worst


def full_ledger(home: Home) -> Ledger:
    """Return a ledger with much to give back."""
    ledger = Ledger.open(home)
    for number in range(10):
        ledger.memos.put("r", {f"{number}/{each}": bytes(4000) for each in range(1000)})
    ledger.memos.clear()
    return ledger


def full_store(path: Path) -> LanceStore:
    """Return a store of many small commits."""
    store = LanceStore(path, dimension=DIMENSION, embedder="benchmark")
    rng = np.random.default_rng(0)
    for number in range(60):
        texts = [f"passage {number} {each} " + "word " * 50 for each in range(200)]
        passages = tuple(Passage(each, 0, len(text), text) for each, text in enumerate(texts))
        vectors = rng.standard_normal((len(texts), DIMENSION), dtype=np.float32)
        file = SourceFile(f"/d{number}", 1, 1)
        document = Document(f"d{number}", file, f"hash {number}", "title", sum(map(len, texts)), passages)
        store.commit(Batch(f"b{number}", (document,), vectors, ()))
    return store


def main() -> int:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        with full_ledger(Home(Path(folder) / "home")) as ledger:
            figures = {"ledger": stopped(ledger.tidy)}
        store = full_store(Path(folder) / "store")
        table, words = store._table, store._words  # noqa: SLF001 - each part by itself
        figures["words"] = stopped(lambda stop: words.optimise(idle=True, stop=stop))
        figures["index"] = stopped(lambda stop: table.build_index(stop=stop))
        figures["store"] = stopped(lambda stop: store.optimise(idle=True, stop=stop))
        store.close()
    shown = {f"{name}_ms": None if worst is None else round(worst * 1e3, 1) for name, worst in figures.items()}
    worst = max(each for each in figures.values() if each is not None)
    within = worst <= STOP_S
    report("tidying_stop", value=round(worst * 1e3, 1), must=STOP_S * 1e3, aim=STOP_S * 1e3 / 5, **shown, within=within)
    return 0 if within else 1


if __name__ == "__main__":
    raise SystemExit(main())
