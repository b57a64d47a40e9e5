"""The wall clock is set an hour back and forward while an engine lives."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from .conftest import MOST_S, SOURCES, Tenire
from .scripts import Script, no_complaint

STEPPING = str(Path(__file__).with_name("stepping_clock.py"))

ENGINE = """
    from collections import Counter

    HOURS = [0, -1, 1, -1]
    begun = Counter()

    def count(name):
        begun[name] += 1
        return name

    def fail_once(name):
        count(name)
        if begun[name] == 1:
            raise ConnectionError("once")
        return name

    async def wait(name):
        count(name)
        await asyncio.sleep(0.05)
        return name

    async def hold(name, manager):
        count(name)
        async with manager.orchestrator.permit(needs=tenire.Resources(memory=600)):
            await asyncio.sleep(0.02)
        return name

    async def main(home):
        async with tenire.ConcurrencyManager(home=home, cpu=4, memory=1000) as manager:
            slept, ticks = [], []
            manager.signals.subscribe(tenire.concurrency.Suspended, slept.append)
            started = time.monotonic()
            manager.timer.every(0.02, lambda: ticks.append(1), missed="burst")
            far = manager.timer.after(1800, lambda: ticks.extend([1] * 10_000))
            long, short = (manager.data_manager.cache(name, ttl=ttl) for name, ttl in (("long", 1800), ("short", 0.01)))
            long.put("kept", b"kept")
            blob = await manager.data_manager.put(b"blob")
            results = []
            for before, after in zip(HOURS, HOURS[1:]):
                name = f"{before:+} {after:+}"
                time.step(before)
                rang, tasks = asyncio.Event(), []
                manager.timer.after(0.03, rang.set)
                short.put("gone", b"gone")
                for number in range(3):
                    tasks += [
                        manager.submit(wait, f"wait {number} {name}", deadline=60.0, name=f"step {after}"),
                        manager.submit(hold, f"hold {number} {name}", manager),
                        manager.submit(count, f"thread {number} {name}", on="thread"),
                        manager.submit(fail_once, f"retry {number} {name}", on="thread",
                                       retry=tenire.Retry(attempts=2, backoff=0.05, on=(ConnectionError,))),
                        manager.submit(str.upper, f"process {number} {name}", on="process"),
                    ]
                tasks.append(manager.submit(count, f"after {name}", after=tasks))
                while not begun[f"wait 0 {name}"]:
                    await asyncio.sleep(0)
                time.step(after)
                results += [await task for task in tasks]
                await rang.wait()
                assert not short.get("gone"), "older than its ttl"
            assert long.get("kept") == b"kept"
            assert await blob.read() == b"blob"
            assert far.active
            assert slept == [], slept
            # Neither an hour's worth of ticks, nor none.
            assert 0.2 < len(ticks) * 0.02 / (time.monotonic() - started) <= 1.0, len(ticks)
            assert len(set(results)) == len(results) == 3 * 16, results
            assert all(times == 1 + name.startswith("retry") for name, times in begun.items()), begun
            snapshot = manager.snapshot()
            say(snapshot.running, snapshot.queued)

    if __name__ == "__main__":
        asyncio.run(main(sys.argv[1]))
        say("ended")
"""


def test_an_engine_takes_no_notice(tmp_path: Path) -> None:
    home = tmp_path / "home"
    script = Script(tmp_path, ENGINE, str(home), under=(STEPPING,))
    code, out, err = script.end(seconds=MOST_S)
    assert (code, out.split()) == (0, ["0", "0", "ended"]), err
    assert no_complaint(err), err
    # The lines are in the order of what happened, whatever the clock said.
    lines = [json.loads(line) for line in (home / "logs" / "events.jsonl").read_text().splitlines()]
    assert (lines[0]["event"], lines[-1]["event"]) == ("engine started", "engine ended")
    assert lines[-1]["at"] < lines[0]["at"]
    assert 0 < lines[-1]["seconds"] < MOST_S
    (counted,) = (line for line in lines if line["event"] == "pipeline counted")
    assert (counted["submitted"], counted["ended"], counted["failed"]) == (57, 57, 0)


def test_pipelines_end_as_if_it_had_not_been(tmp_path: Path, library: Path) -> None:
    def run(name: str, **environment: str) -> tuple[object, ...]:
        home, folders = tmp_path / name, [str(library / part) for part in ("part0", "part1")]
        found = []
        for _ in range(2):
            done = subprocess.run(
                [sys.executable, STEPPING, "-m", "tenire", "ingest", *folders, "--embedder", "static",
                 "--home", str(home), "--json", "--quiet"],
                capture_output=True, text=True, check=False, timeout=4 * MOST_S,
                env={**os.environ, "PYTHONPATH": SOURCES, **environment},
            )  # fmt: skip
            assert done.returncode in (0, 3), done.stdout + done.stderr
            totals = json.loads(done.stdout.splitlines()[-1])["pipelines"]["ingest"]
            assert 0 <= totals["seconds"] < MOST_S
            found.append(
                {key: totals[key] for key in ("seen", "done", "unchanged", "quarantined", "removed", "chunks")}
            )
        tenire = Tenire(home)
        hits = tenire("search", "parse a header line", "-k", "20", "--exact").json["hits"]
        status, verified = tenire("status").json, tenire.verify()
        tenire.close()
        return found, {(hit["source"], hit["text"]) for hit in hits}, verified, status["documents"], status["chunks"]

    undisturbed = run("undisturbed")
    assert undisturbed[2]["ok"]
    assert run("disturbed", STEP_EACH="7") == undisturbed
