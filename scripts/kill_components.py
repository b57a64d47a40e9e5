"""Run a command with an engine whose components are killed once, one after the other, while tasks of its pipelines run.

``python kill_components.py RESULT NAMES WORDS…``: NAMES are components, with commas between them. RESULT gets, as
JSON, what the engine supervises, what became of each component, and how many tasks of the pipelines ran when it was
killed. Each kill waits until some run, unless the command has nothing more to do. The product knows nothing of this:
faults are put into functions from outside, and tasks are cancelled.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from tenire.app import runs
from tenire.concurrency import ComponentChanged, ConcurrencyManager
from tenire.concurrency.loops.watchdog import Watchdog
from tenire.core.scheduler import Scheduler
from tenire.observe.load_probe import LoadProbe
from tenire.testing import Faults

__all__ = ["COMPONENTS"]

BY_FAULT: dict[str, tuple[Any, str, BaseException]] = {
    # A thread dies of what nobody catches; a turn of the dispatcher fails.
    "watchdog": (Watchdog, "look", SystemExit("killed")),
    "control": (LoadProbe, "sample", SystemExit("killed")),
    "orchestrator": (Scheduler, "decide", MemoryError("killed")),
}
BY_CANCELLING = ("history", "compactor", "channel", "publisher", "thread_pool", "events", "dashboard")
COMPONENTS = (*BY_CANCELLING, *BY_FAULT)
"""All that an engine's supervisor keeps alive while it runs pipelines."""

chosen: set[str] = set()
supervised: set[str] = set()
found: dict[str, list[str]] = {}
running: dict[str, int] = {}


class Attacked(ConcurrencyManager):
    """An engine, and who kills its components."""

    async def __aenter__(self) -> ConcurrencyManager:
        manager = await super().__aenter__()
        self._changed = asyncio.Event()
        self._leaving = False
        self.signals.subscribe(ComponentChanged, self._note)
        self._attacker = asyncio.get_running_loop().create_task(self._attack())
        return manager

    async def shutdown(self, *, cancel: bool = False) -> None:
        """Wait for the attacks, and stop."""
        self._leaving = True
        await self._attacker
        await super().shutdown(cancel=cancel)

    def _note(self, change: ComponentChanged) -> None:
        found.setdefault(change.component, []).append(change.state)
        if change.state == "down":
            running.setdefault(change.component, self._working())
        self._changed.set()

    def _working(self) -> int:
        return sum(pipeline.running for pipeline in self.snapshot().pipelines.values())

    async def _until_working(self) -> None:
        while not (self._working() or self._leaving):  # noqa: ASYNC110 - nobody tells when a task begins
            await asyncio.sleep(0.005)

    async def _until(self, component: str, state: str, times: int = 1) -> None:
        while found.get(component, []).count(state) < times:
            self._changed.clear()
            await self._changed.wait()

    async def _attack(self) -> None:
        while self.snapshot().pools.threads_busy == 0 or not self.thread_pool.statistics().processes:  # noqa: ASYNC110
            await asyncio.sleep(0.005)  # until the pipelines work
        await self._until_working()
        with Faults() as faults:
            for name, (target, attribute, error) in BY_FAULT.items():
                if name not in chosen:
                    continue
                faults.patch(target, attribute, point=name)
                faults.at(name, raise_=error)
            self.control.ask(lambda: None)
            for name in (name for name in BY_CANCELLING if name in chosen):
                await self._until_working()
                tasks = [task for task in asyncio.all_tasks() if task.get_name() == f"tenire {name}"]
                before = found.get(name, []).count("up")
                running[name] = self._working()  # when it has fallen, they may just have ended
                for task in tasks:
                    task.cancel()
                await self._until(name, "down")
                await self._until(name, "up", before + 1)
            for name in (name for name in BY_FAULT if name in chosen):
                await self._until(name, "down")
                await self._until(name, "up")
        supervised.update(self.supervisor.statistics())


def main() -> int:
    """Run the command; return its exit code."""
    result, names, *words = sys.argv[1:]
    chosen.update(names.split(","))
    sys.argv[1:] = words
    vars(runs)["ConcurrencyManager"] = Attacked
    from tenire.cli import main as run

    code = run()
    Path(result).write_text(
        json.dumps({"supervised": sorted(supervised), "found": found, "running": running}), encoding="utf-8"
    )
    return code


if __name__ == "__main__":
    raise SystemExit(main())
