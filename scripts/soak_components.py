"""Kills supervised components of the engines in this process, one now and then.

As in ``kill_components``: tasks are cancelled, and faults are put into functions from outside. Where two engines run,
a component of each is cancelled, and a fault strikes whichever comes first. It must be up again soon, each time.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from kill_components import BY_CANCELLING, BY_FAULT

from tenire.testing import Faults

if TYPE_CHECKING:
    import random
    from collections import Counter
    from collections.abc import Callable

    from tenire import ConcurrencyManager

__all__ = ["Components"]

REST_S = 20.0
"""Between two kills of one component: what fails more than five times in a minute is given up, as promised."""

STRUCK_S, UP_S = 20.0, 30.0
LOOK_S = 0.02


class Components:
    """Those of one engine, and of others beside it.

    Args:
        manager: The engine that is looked at.
        rng: Chooses.
        faults: Gets how often which was killed.
        wrong: Gets what did not come up again.
    """

    def __init__(self, manager: ConcurrencyManager, rng: random.Random, faults: Counter[str], wrong: list[str]) -> None:
        self._manager, self._rng, self._faults, self._wrong = manager, rng, faults, wrong
        self._killed: dict[str, float] = {}

    async def kill_one(self) -> None:
        """Kill one of those that have been up for a while, and wait until it is up again."""
        now = time.monotonic()
        names = [name for name in self._manager.supervisor.statistics() if now - self._killed.get(name, 0.0) >= REST_S]
        names = [name for name in names if name in BY_FAULT or name in BY_CANCELLING]
        if not names:
            return
        name = self._rng.choice(names)
        self._killed[name] = now
        if name in BY_FAULT:
            struck = await self._struck(name)
        else:
            before = self._manager.supervisor.statistics()[name].restarts
            for task in asyncio.all_tasks():
                if task.get_name() == f"tenire {name}":
                    task.cancel()
            struck = await _until(lambda: self._manager.supervisor.statistics()[name].restarts > before, UP_S)
        if not struck:
            self._wrong.append(f"component {name} was killed, and nothing came of it")
        await self.all_up()
        self._faults[f"killed {name}"] += 1

    async def _struck(self, name: str) -> bool:
        target, attribute, error = BY_FAULT[name]
        with Faults(strict=False) as faults:
            faults.patch(target, attribute, point=name)
            faults.at(name, raise_=error)
            self._manager.control.ask(lambda: None)
            return await _until(lambda: bool(faults.fired), STRUCK_S)

    async def all_up(self) -> None:
        """Wait until all are up; what is not in time is wrong."""

        def down() -> list[str]:
            fare = self._manager.supervisor.statistics()
            return [f"{name}: {one}" for name, one in fare.items() if one.health not in ("healthy", "unsteady")]

        if not await _until(lambda: not down(), UP_S):
            self._wrong.append(f"not up within {UP_S:g} s: {', '.join(down())}")


async def _until(condition: Callable[[], bool], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        await asyncio.sleep(LOOK_S)
    return True
