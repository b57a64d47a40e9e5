"""Runs a mixed load under random faults for long, and sees whether anything grows.

    python scripts/soak.py [--minutes 30] [--seed 1] [--quiet]

One engine runs tasks on its loop, on threads and in worker processes: with permits,
dependencies, retries, timeouts and cancellations; some raise, hang, or leak memory.
Beside it documents are ingested again and again. Meanwhile workers are killed and
stopped, pipelines suspended and weighted anew, and components killed; the disk on which
the homes lie fails for a moment; another process talks to both engines, and sends them rubbish.

Each task must end as its kind may end, and with the right value; only who meets a disk
that fails may end with what it says of that, and the next run must make up for it. In the end
what was ingested must be whole, nothing may run, wait or be held, and memory, threads, file
descriptors and ledgers must not have grown from the second fifth of the time to the last one.
Prints one JSON line.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
from soak_components import Components
from soak_disk import Disk, confined

import tenire
from tenire.app.control import controlled
from tenire.app.publish import publishing
from tenire.clock import SYSTEM_CLOCK
from tenire.errors import DependencyError, StoreError, TaskTimeoutError, WorkerDiedError
from tenire.pipeline.progress import PipelineProgress
from tenire.storage.home import Home

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MEBI = 1 << 20
AT_ONCE = 60
DOCUMENTS = 40
PIPELINES = ("first", "second", "third")
KEEP = 120 * MEBI
PATIENCE_S = 90
"""How long what was submitted may take to its end, once nothing comes any more."""

_kept: list[bytearray] = []


# -- what tasks do --------------------------------------------------------------


async def rest(seconds: float, value: int) -> int:
    """Rest on the loop."""
    await asyncio.sleep(seconds)
    return value


def nap(seconds: float, value: int) -> int:
    """Rest on a thread."""
    time.sleep(seconds)
    return value


def compute(turns: int, value: int) -> int:
    """Use the processor for a while."""
    return value + 0 * sum(number * number for number in range(turns))


def echo(data: bytes) -> bytes:
    """Send something there and back."""
    return data


def fail(_: int) -> None:
    """Raise at once."""
    message = "as it should"
    raise ValueError(message)


async def fail_later(seconds: float) -> None:
    """Raise after a while."""
    await asyncio.sleep(seconds)
    fail(0)


def leak(size: int, value: int) -> int:
    """Keep some memory for ever."""
    _kept.append(bytearray(b"x") * size)
    time.sleep(0.03)
    return value


def hang() -> None:
    """Never return."""
    threading.Event().wait()


def until_cancelled() -> bool:
    """Return as soon as nobody wants it any more."""
    return tenire.cancel_token().wait(60)


# -- the load -------------------------------------------------------------------


@dataclass
class Soak:
    """One run.

    Attributes:
        outcomes: How often what ended how.
        faults: How often what was done to it.
        said: What ingesting said of a failing disk.
        wrong: What ended as it must not.
        waited_for: What has not ended, and its kind.
        ingesting: Whether documents are ingested now.
    """

    manager: tenire.ConcurrencyManager
    rng: random.Random
    disk: Disk
    outcomes: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    said: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    waited_for: dict[tenire.Handle[Any], str] = field(default_factory=dict)
    number: int = 0
    ingesting: bool = False

    def _submit(self, fn: Callable[..., Any], *args: Any, **options: Any) -> tenire.Handle[Any]:
        priority = self.rng.choice(["high", "normal", "normal", "low"])
        return self.manager.submit(
            fn, *args, **{"pipeline": self.rng.choice(PIPELINES), "priority": priority, **options}
        )

    async def one(self) -> None:
        """Submit a task of some kind and see how it ends."""
        self.number += 1
        kind = self.rng.choice(
            ["loop"] * 6 + ["thread"] * 4 + ["process"] * 6 + ["sent"] * 2 + ["permit"] * 3 + ["raises"] * 3
            + ["chain"] * 2 + ["retried"] * 3 + ["named", "late", "hangs", "token", "leaks"]
        )  # fmt: skip
        await getattr(self, f"_{kind}")(kind, self.number)

    async def _ends(self, kind: str, handle: tenire.Handle[Any], value: Any, *may: type[BaseException]) -> None:
        """Wait for a task; it must give this value or end with one of these errors."""
        if self.rng.random() < 0.05:
            await asyncio.sleep(self.rng.uniform(0, 0.1))
            if handle.cancel():
                may = (*may, asyncio.CancelledError)
        self.waited_for[handle] = kind
        met = self.disk.met()
        try:
            got = await handle
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - that is what is looked at
            how = type(error).__name__
            if not isinstance(error, (*may, StoreError) if met() else may):
                self.wrong.append(f"{kind}: {how}: {error}")
        else:
            how = "value"
            if got != value:
                self.wrong.append(f"{kind}: {got!r} instead of {value!r}")
        del self.waited_for[handle]
        self.outcomes[f"{kind}: {how}"] += 1

    async def _loop(self, kind: str, number: int) -> None:
        await self._ends(kind, self._submit(rest, self.rng.uniform(0, 0.05), number), number)

    async def _thread(self, kind: str, number: int) -> None:
        await self._ends(kind, self._submit(nap, self.rng.uniform(0, 0.03), number), number)

    async def _process(self, kind: str, number: int) -> None:
        handle = self._submit(compute, self.rng.randrange(100_000), number, on="process")
        await self._ends(kind, handle, number, WorkerDiedError)

    async def _sent(self, kind: str, number: int) -> None:
        data = self.rng.randbytes(self.rng.choice([100, 50_000, 3_000_000]))
        await self._ends(kind, self._submit(echo, data, on="process"), data, WorkerDiedError)

    async def _retried(self, kind: str, number: int) -> None:
        retry = tenire.Retry(attempts=50, backoff=0.01)
        await self._ends(kind, self._submit(compute, 100_000, number, on="process", retry=retry), number)

    async def _named(self, kind: str, number: int) -> None:
        handle = self._submit(compute, 10_000, number, on="process", worker=self.rng.choice(["red", "blue"]))
        await self._ends(kind, handle, number, WorkerDiedError)

    async def _permit(self, kind: str, number: int) -> None:
        async def holds(size: int) -> int:
            async with self.manager.orchestrator.permit(tenire.Resources(memory=size), pipeline=PIPELINES[0]):
                await asyncio.sleep(0.01)
            return number

        await self._ends(kind, self._submit(holds, self.rng.randrange(1, 60 * MEBI)), number)

    async def _raises(self, kind: str, number: int) -> None:
        place = self.rng.choice(["thread", "process", "loop"])
        handle = self._submit(fail_later, 0.01) if place == "loop" else self._submit(fail, number, on=place)
        await self._ends(kind, handle, None, ValueError, *([WorkerDiedError] if place == "process" else []))

    async def _chain(self, kind: str, number: int) -> None:
        first = self._submit(compute, 10_000, number, on="process")
        second = self._submit(rest, 0.01, number, after=[first])
        third = self._submit(nap, 0.001, number, after=[first, second])
        for handle in (first, second, third):
            await self._ends(kind, handle, number, WorkerDiedError, DependencyError)

    async def _late(self, kind: str, number: int) -> None:
        handle = self._submit(rest, 60, number, **{self.rng.choice(["timeout", "deadline"]): 0.3})
        await self._ends(kind, handle, None, TaskTimeoutError)

    async def _hangs(self, kind: str, number: int) -> None:
        await self._ends(kind, self._submit(hang, on="process", timeout=0.3), None, TaskTimeoutError, WorkerDiedError)

    async def _token(self, kind: str, number: int) -> None:
        handle = self._submit(until_cancelled, timeout=self.rng.choice([0.2, None]))
        await asyncio.sleep(self.rng.uniform(0, 0.3))
        handle.cancel()
        await self._ends(kind, handle, None, asyncio.CancelledError, TaskTimeoutError)

    async def _leaks(self, kind: str, number: int) -> None:
        await self._ends(kind, self._submit(leak, 70 * MEBI, number, on="process"), number, WorkerDiedError)

    # -- what is done to it ---------------------------------------------------

    async def disturb(self) -> None:
        """Do something bad now and then, for ever."""
        me = psutil.Process()
        while True:
            await asyncio.sleep(self.rng.uniform(0.3, 1.5))
            pipeline = self.rng.choice(PIPELINES)
            fault = self.rng.choice(["kill", "kill", "stop", "suspend", "weigh"])
            if fault == "suspend":
                self.manager.orchestrator.suspend(pipeline, "the soak wants it")
                try:
                    await asyncio.sleep(0.2)
                finally:  # also when the soak ends at this moment: nothing of it could end any more
                    self.manager.orchestrator.suspend(pipeline, None)
            elif fault == "weigh":
                self.manager.orchestrator.configure_pipeline(pipeline, weight=self.rng.uniform(0.1, 10))
            else:
                number = signal.SIGKILL if fault == "kill" else signal.SIGSTOP
                # Workers of both engines; what is not a head of its group is no worker.
                pids = [child.pid for child in await asyncio.to_thread(me.children)]
                workers = [pid for pid in pids if _group(pid) == pid]
                if not workers:
                    continue
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self.rng.choice(workers), number)
            self.faults[fault] += 1

    async def fail_disk(self) -> None:
        """Have the disk fail for a moment now and then, for ever; as a rule while documents are ingested."""
        while True:
            await asyncio.sleep(self.rng.uniform(8, 20))
            for _ in range(200):
                if self.ingesting:
                    break
                await asyncio.sleep(0.05)
            await asyncio.sleep(self.rng.uniform(0, 1))
            kind = self.rng.choice(self.disk.kinds)
            await self.disk.fail(kind, self.rng.uniform(0.1, 2), self.rng)
            self.faults[f"disk {kind}"] += 1

    async def kill_components(self, components: Components) -> None:
        """Kill a component now and then, for ever."""
        while True:
            await asyncio.sleep(self.rng.uniform(1, 6))
            await components.kill_one()

    async def ingest(self, folder: Path, home: Path) -> None:
        """Ingest a folder that changes, again and again."""
        files = await asyncio.to_thread(lambda: sorted(folder.iterdir()))
        while True:
            async with self.disk.ours:
                for file in self.rng.sample(files, 5):
                    text = await asyncio.to_thread(file.read_text, "utf-8")
                    await asyncio.to_thread(
                        file.write_text, text.partition("\n# soak ")[0] + f"\n# soak {self.rng.random()}"
                    )
            await self.ingest_once(folder, home, disturbed=True)
            await asyncio.sleep(self.rng.uniform(5, 10))

    async def ingest_once(self, folder: Path, home: Path, *, disturbed: bool) -> None:
        """Ingest a folder; only who is disturbed may fail: by losing a worker again and again, or on a failing disk."""
        pipeline = tenire.Pipeline("documents", source=folder, embedder="static")
        met = self.disk.met()
        self.ingesting = True
        try:
            report = await tenire.arun(pipeline, home=home, cpu=1, memory=256 * MEBI)
        except tenire.TenireError as error:
            said = f"{type(error).__name__}: {error}"
            if not (met() and isinstance(error, StoreError)):
                self.wrong.append(f"documents: {said}")
        else:
            said = self._looked_at(report.pipelines["documents"], disturbed=disturbed, disk=met())
        finally:
            self.ingesting = False
        if met() and said != "value":
            self.said[said.replace(os.fspath(home), "HOME")[:200]] += 1
            said = "a failing disk"
        self.outcomes[f"documents: {said[:60]}"] += 1

    def _looked_at(self, progress: PipelineProgress, *, disturbed: bool, disk: bool) -> str:
        ended = progress.done + progress.unchanged + progress.quarantined
        if progress.error:
            if not (disk or (disturbed and "worker process" in progress.error)):
                self.wrong.append(f"documents: {progress.error}")
        elif not ended == progress.seen == DOCUMENTS:
            self.wrong.append(f"documents: {ended} ended and {progress.seen} seen of {DOCUMENTS}")
        elif progress.quarantined and not disk:
            self.wrong.append(f"documents: {progress.quarantined} quarantined")
        return progress.error or "value"


def _group(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None


# -- what must not grow ---------------------------------------------------------


def sizes(homes: list[Path]) -> dict[str, int]:
    """Return what must not grow, now."""
    me = psutil.Process()
    return {
        "memory": me.memory_info().rss,
        "threads": me.num_threads(),
        "descriptors": me.num_fds(),
        "processes": len(me.children(recursive=True)),
        "ledgers": sum(path.stat().st_size for home in homes for path in home.glob("ledger.db*")),
    }


ALLOWED = {"memory": (0.1, 16 * MEBI), "threads": (0.0, 4), "descriptors": (0.0, 12), "processes": (0.0, 3)}
"""Growth that is none: of the whole, and in units."""
ALLOWED["ledgers"] = (0.1, MEBI)


def growth(samples: list[dict[str, int]]) -> tuple[dict[str, list[float]], list[str]]:
    """Return the medians of the second and of the last fifth, and what has grown."""
    fifth = max(1, len(samples) // 5)
    medians, grown = {}, []
    for name, (part, units) in ALLOWED.items():
        early, late = (
            statistics.median(sample[name] for sample in some)
            for some in (samples[fifth : 2 * fifth], samples[-fifth:])
        )
        medians[name] = [early, late]
        if late > early * (1 + part) + units:
            grown.append(f"{name} grew from {early:g} to {late:g}")
    return medians, grown


async def soak(minutes: float, seed: int, quiet: bool, folder: Path, disk: Disk) -> dict[str, Any]:
    """Run it and return the report."""
    rng = random.Random(seed)
    corpus(folder / "texts", rng)
    homes = [disk.folder / "home", disk.folder / "documents"]
    end = time.monotonic() + 60 * minutes
    samples: list[dict[str, int]] = []
    stalls: list[Any] = []
    options: dict[str, Any] = {"cpu": 3, "memory": 100 * MEBI, "seed": seed, "worker_memory": KEEP}
    home = Home(homes[0])
    home.create()
    progress = {name: PipelineProgress(name) for name in PIPELINES}
    async with (
        tenire.ConcurrencyManager(home=homes[0], **options) as manager,
        publishing(home, manager, progress, clock=SYSTEM_CLOCK),
        controlled(home, manager, progress, clock=SYSTEM_CLOCK),
    ):
        run = Soak(manager, rng, disk)
        components = Components(manager, rng, run.faults, run.wrong)
        works = [run.disturb(), run.ingest(folder / "texts", homes[1])]
        works += [run.fail_disk(), run.kill_components(components)]
        beside = [asyncio.create_task(work) for work in works]
        tasks: set[asyncio.Task[None]] = set()
        look_at = time.monotonic()
        with talking(seed, homes) as talk:
            while (now := time.monotonic()) < end:
                while len(tasks) < AT_ONCE:
                    tasks.add(asyncio.create_task(run.one()))
                done, tasks = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED, timeout=1)
                for task in (*done, *(task for task in beside if task.done())):
                    task.result()
                if now >= look_at:
                    look_at = now + max(1.0, minutes / 2)
                    samples.append(await asyncio.to_thread(sizes, homes))
                    if not quiet and not disk.fails:  # stderr may be a file
                        said = {"s": round(60 * minutes - (end - now)), **samples[-1], "tasks": run.number}
                        print(json.dumps(said), file=sys.stderr, flush=True)
            talked = await asyncio.to_thread(ended, talk, run.wrong)
        for name in PIPELINES:  # should the talk have ended in the middle of something
            manager.orchestrator.suspend(name, None)
        for task in beside:
            task.cancel()
        await asyncio.wait(beside)
        _, late = await asyncio.wait(tasks, timeout=PATIENCE_S)
        run.wrong += [f"{kind} did not end: {handle.explain()}" for handle, kind in run.waited_for.items()]
        for task in late:
            task.cancel()
        await run.ingest_once(folder / "texts", homes[1], disturbed=False)
        await settled(manager, run.wrong)
        await components.all_up()
        statistics_ = manager.thread_pool.statistics()
        stalls = list(manager.loops.stalls)
    medians, grown = growth(samples)
    left = sizes(homes)
    if left["processes"] > 1:  # the interpreter keeps one for itself
        run.wrong.append(f"{left['processes']} processes are left after the engine")
    run.wrong += await asyncio.to_thread(damage, homes[1])
    return {
        "soak": "mixed load with faults", "minutes": minutes, "seed": seed, "tasks": run.number,
        "ok": not run.wrong and not grown, "wrong": run.wrong[:20], "grown": grown, "medians": medians,
        "faults": dict(sorted(run.faults.items())), "disk_can_be": disk.kinds, "said_of_it": dict(run.said),
        "channel": talked,
        "replaced": statistics_.replaced, "recycled": statistics_.recycled,
        "loop_stalls": len(stalls), "outcomes": dict(sorted(run.outcomes.items())),
    }  # fmt: skip


@contextlib.contextmanager
def talking(seed: int, homes: list[Path]) -> Iterator[subprocess.Popen[str]]:
    """Have another process talk to the engines; ``ended`` tells it to stop."""
    script = Path(__file__).with_name("soak_channel.py")
    words: list[str | Path] = [sys.executable, script, str(seed), homes[0], ",".join(PIPELINES), homes[1], "documents"]
    talk = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield talk
    finally:
        if talk.poll() is None:  # something else went wrong
            talk.kill()
            talk.communicate()


def ended(talk: subprocess.Popen[str], wrong: list[str]) -> dict[str, Any]:
    """Tell who talks to stop, add what it found wrong, and return the rest of what it has to say."""
    out = ""
    with contextlib.suppress(subprocess.TimeoutExpired):
        out, _ = talk.communicate(timeout=PATIENCE_S)
    if talk.returncode != 0 or not out:
        wrong.append(f"who talked to the engines ended with {talk.returncode}")
        return {}
    told: dict[str, Any] = json.loads(out)
    wrong += told.pop("wrong")
    return told


def damage(home: Path) -> list[str]:
    """Return what ``tenire verify`` says against a home."""
    words = [sys.executable, "-m", "tenire", "verify", "--home", os.fspath(home), "--json", "--quiet"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    found = json.loads(done.stdout.splitlines()[-1]) if done.stdout else {}
    whole = done.returncode == 0 and found.get("ok") and found.get("documents") == DOCUMENTS
    return [] if whole else [f"the home of the documents: {found or done.stderr}"]


async def settled(manager: tenire.ConcurrencyManager, wrong: list[str]) -> None:
    """Wait until functions on threads have noticed that nobody wants them; then nothing may be held."""
    for _ in range(100):
        snapshot = manager.snapshot()
        held = {name: resource.held for name, resource in snapshot.resources.items() if resource.held}
        if not held and not snapshot.running and not snapshot.queued and not snapshot.pools.abandoned:
            return
        await asyncio.sleep(0.1)
    wrong.append(f"{snapshot.running} run and {snapshot.queued} wait, held: {held}, {snapshot.pools.abandoned}")


def corpus(folder: Path, rng: random.Random) -> None:
    """Copy some real files."""
    folder.mkdir()
    found = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
    for path in rng.sample([path for path in found if 2_000 < path.stat().st_size < 60_000], DOCUMENTS):
        shutil.copyfile(path, folder / path.name)


def main() -> int:
    """Run it and print the result."""
    parser = argparse.ArgumentParser(description="mixed load with random faults")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--quiet", action="store_true", help="do not print what there is in between")
    options = parser.parse_args()
    confined()
    with tempfile.TemporaryDirectory() as temporary, Disk(Path(temporary) / "disk") as disk:
        report = asyncio.run(soak(options.minutes, options.seed, options.quiet, Path(temporary), disk))
    print(json.dumps(report), flush=True)
    return 0 if report["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
