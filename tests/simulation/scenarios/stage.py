"""Where a scenario plays: an engine, its workers, its machine and its clocks, all of them simulated."""

from __future__ import annotations

import asyncio
import contextlib
import random
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

from tests.simulation.pools import SimPools

from tenire.concurrency import ConcurrencyManager, manager, submit
from tenire.observe.load_probe import LoadSample
from tenire.testing import SimLoop

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tenire.concurrency.handle import Handle
    from tenire.concurrency.sampler import Deliver

__all__ = ["SCENARIOS", "Scenario", "Stage", "play", "scenario"]

Scenario = Callable[["Stage"], Awaitable[None]]

SCENARIOS: dict[str, Scenario] = {}

_LONGEST_S = 100_000.0
_READING_TAKES_S = (0.0, 1e-6, 1e-3)
_CHECK_EVERY_S = 0.25


def scenario(function: Scenario) -> Scenario:
    """Make a coroutine function one of the scenarios."""
    SCENARIOS[function.__name__] = function
    return function


class Stage:
    """What a scenario has to play with.

    Attributes:
        rng: Where it draws from.
        loop: Virtual time.
        manager: The engine, inside ``engine()``.
        handles: All that was submitted through ``submit``.
        runs: The virtual times at which each of them began to run, by its number.
        sample: What a look at the machine finds; the scenario puts its own here.
        slip: Seconds by which a time may be off, because the engine's own work takes time.
    """

    manager: ConcurrencyManager
    pools: SimPools

    def __init__(self, loop: SimLoop, seed: int, home: Callable[[], Path], *, slip: float) -> None:
        self.slip = slip
        self.loop = loop
        self.rng = random.Random(f"{seed}/scenario")
        self.handles: list[Handle[Any]] = []
        self.runs: dict[int, list[float]] = {}
        self.sample: Callable[[float], LoadSample | None] = lambda now: LoadSample()
        self.home = home

    @asynccontextmanager
    async def engine(
        self, pools: type[SimPools] = SimPools, *, adaptive: bool = False, cancelled: bool = False, **options: Any
    ) -> AsyncIterator[ConcurrencyManager]:
        """Run an engine; its invariants are checked again and again, and at its end.

        Args:
            pools: Its threads and worker processes.
            adaptive: Whether it looks at the machine, which is ``sample``.
            cancelled: Whether the scenario may end its tasks before they are done.
            **options: As ``ConcurrencyManager`` takes them.
        """
        options = {"cpu": 2, "memory": 100, "seed": 1, **options}
        with ExitStack() as patches:
            patches.enter_context(mock.patch.object(manager, "ThreadPoolManager", pools))
            patches.enter_context(mock.patch.object(manager, "ThreadSampler", return_value=self))
            patches.enter_context(mock.patch.object(submit, "check_sendable"))
            self.manager = ConcurrencyManager(clock=self.loop.clock, **options)
            async with self.manager:
                self.pools = self.manager.thread_pool  # type: ignore[assignment]  # it is one
                if adaptive:
                    self.manager.control.start()
                checking = asyncio.create_task(self._check_again_and_again(), name="checks")
                try:
                    yield self.manager
                    await self.manager.orchestrator.wait_idle()
                finally:
                    checking.cancel()
            self.check_all_ended(cancelled=cancelled)

    def submit(self, fn: Callable[..., Any], *args: Any, **options: Any) -> Handle[Any]:
        """Submit ``fn(*args)``, and take down when it runs."""
        number = len(self.handles)
        runs = self.runs.setdefault(number, [])

        def plain() -> Any:
            runs.append(self.loop.time())
            return fn(*args)

        async def on_loop() -> Any:
            runs.append(self.loop.time())
            return await fn(*args)

        entry = on_loop if asyncio.iscoroutinefunction(fn) else plain
        handle = self.manager.submit(entry, **{"name": f"t{number}", **options})
        self.handles.append(handle)
        return handle

    async def work(self, least: float = 0.1, most: float = 1.0) -> None:
        """Take a while, on the loop."""
        await asyncio.sleep(self.rng.uniform(least, most))

    async def all_done(self) -> None:
        """Wait until every task has an outcome."""
        for handle in self.handles:
            with contextlib.suppress(Exception):
                await handle

    # -- the machine --------------------------------------------------------

    def request(self, workers: tuple[int, ...], deliver: Deliver) -> None:
        """Look at the machine, as a sampler does."""
        sample = self.sample(self.loop.time())
        self.loop.call_later(0.001, lambda: deliver(sample, self.loop.time()))

    async def aclose(self) -> None:
        """End, as a sampler does."""

    # -- what always holds ----------------------------------------------------

    async def _check_again_and_again(self) -> None:
        while True:
            self.check()
            await asyncio.sleep(_CHECK_EVERY_S)

    def check(self) -> None:
        """Check that no more is held than there is, and the shares' own books."""
        orchestrator = self.manager.orchestrator
        orchestrator.take_in_ended()
        admission = orchestrator.scheduler.admission
        for name, free, whole in zip(admission.names, admission.free, admission.capacity, strict=True):
            assert 0 <= free <= whole, (name, free, whole)
        orchestrator.scheduler.shares.check()

    def check_all_ended(self, *, cancelled: bool) -> None:
        """Check that every task has an outcome, and that everything was given back."""
        orchestrator = self.manager.orchestrator
        scheduler = orchestrator.scheduler
        assert all(handle.done() for handle in self.handles)
        assert not orchestrator.permits
        # What was cancelled hard may still be on its way back when the engine is gone; threads
        # that hang never come back.
        assert scheduler.running == scheduler.abandoned
        admission = scheduler.admission
        for index, free in enumerate(admission.free):
            if index not in admission.rates and not scheduler.abandoned:
                assert free == admission.capacity[index], admission.names[index]
        for number, handle in enumerate(self.handles):
            attempts = handle.retry.attempts if handle.retry is not None else 1
            assert len(self.runs[number]) <= attempts, f"{handle!r} ran {len(self.runs[number])} times"
            if handle.cancelled():
                assert cancelled, f"{handle!r} was cancelled by nobody"
            else:
                handle.exception()  # looked at: it is not reported as unseen


def play(name: str, seed: int) -> str:
    """Play a scenario once; return the digest of all that happened.

    Raises:
        AssertionError: With the seed in a note, if it did not end well.
    """
    with tempfile.TemporaryDirectory() as directory:
        try:
            reading_takes = random.Random(f"{seed}/reading").choice(_READING_TAKES_S)
            with SimLoop(seed, max_virtual_seconds=_LONGEST_S, reading_takes=reading_takes) as loop:
                stage = Stage(loop, seed, lambda: Path(directory) / "home", slip=1e-6 + 200 * reading_takes)
                loop.run_until_complete(SCENARIOS[name](stage))
                return loop.trace_hash()
        except BaseException as error:
            error.add_note(f"scenario {name!r}, seed {seed}")
            raise
