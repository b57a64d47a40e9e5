"""Cancel a scenario at each of its awaits, one run each.

A scenario runs once to count how often it suspends. Then it runs again for each
suspension, twice where it can be told apart:

- ``waiting``: cancelled while what it waits for is not there yet;
- ``granted``: cancelled after what it waits for came, before it runs again. Here
  permits and items get lost: the giver has let go, the taker never knew.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Coroutine, Generator
from dataclasses import dataclass
from typing import Any, Literal

from tenire.testing.sim_loop import SimLoop
from tenire.testing.sim_parts import describe_task, waits_at

__all__ = ["Moment", "SweepError", "SweepReport", "cancel_sweep"]

Moment = Literal["waiting", "granted"]
Scenario = Callable[[], Coroutine[Any, Any, object]]
Check = Callable[[], None] | Callable[[], Awaitable[None]]


class SweepError(AssertionError):
    """A scenario did not survive a cancellation.

    Attributes:
        index: The await at which it was cancelled, from 1; 0 for the undisturbed run.
        moment: ``waiting`` or ``granted``.
        seed: The loop's seed.
    """

    def __init__(self, message: str, *, index: int, moment: Moment, seed: int) -> None:
        super().__init__(message)
        self.index = index
        self.moment = moment
        self.seed = seed


@dataclass(frozen=True, slots=True)
class SweepReport:
    """What a sweep covered.

    Attributes:
        awaits: How often the undisturbed scenario suspended.
        runs: How many runs with a cancellation there were.
    """

    awaits: int
    runs: int


class _Driver:
    """Steps through a coroutine, and cancels its task at one suspension."""

    def __init__(self, scenario: Scenario, index: int, moment: Moment) -> None:
        self._scenario = scenario
        self._index = index
        self._moment = moment
        self.suspensions = 0
        self.place = ""
        self.cancelled = False
        self.granted_possible: list[int] = []

    def __await__(self) -> Generator[Any, Any, object]:
        coroutine = self._scenario()
        task = asyncio.current_task()
        assert task is not None
        send: Callable[[], Any] = lambda: coroutine.send(None)  # noqa: E731 - replaced below
        try:
            while True:
                try:
                    waits_for = send()
                except StopIteration as end:
                    return end.value
                self._suspended(coroutine, task, waits_for)
                try:
                    value = yield waits_for
                except BaseException as error:  # noqa: BLE001 - handed on to the coroutine, whatever it is
                    send = _throwing(coroutine, error)
                else:
                    send = _sending(coroutine, value)
        finally:
            coroutine.close()

    def _suspended(self, coroutine: Any, task: asyncio.Task[Any], waits_for: Any) -> None:
        self.suspensions += 1
        if waits_for is not None:
            self.granted_possible.append(self.suspensions)
        if self.suspensions != self._index:
            return
        if self._moment == "granted" and waits_for is None:
            self._index += 1  # on a real loop the awaits of this run may be others than those of the first
            return
        self.place = waits_at(coroutine)
        self.cancelled = True
        if self._moment == "granted":
            # Added before the task's own wake-up: it runs first, and finds the
            # future done.
            waits_for.add_done_callback(lambda _: task.cancel())
        else:
            asyncio.get_running_loop().call_soon(task.cancel)


def _sending(coroutine: Coroutine[Any, Any, object], value: Any) -> Callable[[], Any]:
    return lambda: coroutine.send(value)


def _throwing(coroutine: Coroutine[Any, Any, object], error: BaseException) -> Callable[[], Any]:
    return lambda: coroutine.throw(error)


def cancel_sweep(
    scenario: Scenario,
    *,
    check: Check,
    seed: int = 0,
    max_steps: int = 1_000_000,
    may_finish: bool = False,
    only: tuple[int, Moment] | None = None,
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
    patience: float = 30.0,
    every: int = 1,
) -> SweepReport:
    """Run ``scenario`` with a cancellation at every await, and ``check`` after each run.

    Args:
        scenario: Makes the coroutine; called afresh for each run, so it also has
            to reset what ``check`` looks at.
        check: Raises if something leaked: a permit, a token, a file. A coroutine
            function runs on the same loop, after the scenario.
        seed: The loop's seed.
        max_steps: Steps after which one run counts as hanging.
        may_finish: Whether the scenario may end well although it was cancelled.
            By default that counts as swallowing the cancellation.
        only: Only this await and moment, as a failure's message tells.
        loop_factory: Makes a real loop for each run, for scenarios with sockets, threads
            or processes; by default all time is virtual.
        patience: Real seconds after which one run on a real loop counts as hanging.
        every: Try only each ``every``-th moment, where one run takes long.

    Returns:
        How much was covered.

    Raises:
        SweepError: If a run failed its check, swallowed the cancellation, ended
            with another exception, hung, or left tasks behind; tells which await,
            where in the source, the seed, and how to replay just that run.
    """
    run = _Virtual(seed, max_steps) if loop_factory is None else _Real(loop_factory, patience)
    calm = _one_run(run, scenario, check, seed, 0, "waiting", may_finish=True)
    moments: list[tuple[int, Moment]] = [(index, "waiting") for index in range(1, calm.suspensions + 1)]
    moments += [(index, "granted") for index in calm.granted_possible]
    plan = [only] if only is not None else sorted(moments)[::every]
    for index, moment in plan:
        _one_run(run, scenario, check, seed, index, moment, may_finish=may_finish)
    return SweepReport(awaits=calm.suspensions, runs=len(plan))


class _Virtual:
    """Runs in virtual time."""

    def __init__(self, seed: int, max_steps: int) -> None:
        self._seed = seed
        self._max_steps = max_steps

    def __call__(self, main: Coroutine[Any, Any, None]) -> None:
        with SimLoop(self._seed, max_steps=self._max_steps) as loop:
            loop.run_until_complete(main)


class _Real:
    """Runs on a real loop."""

    def __init__(self, loop_factory: Callable[[], asyncio.AbstractEventLoop], patience: float) -> None:
        self._loop_factory = loop_factory
        self._patience = patience

    def __call__(self, main: Coroutine[Any, Any, None]) -> None:
        async def limited() -> None:
            async with asyncio.timeout(self._patience):
                await main

        with asyncio.Runner(loop_factory=self._loop_factory) as runner:
            runner.run(limited())


def _one_run(
    run: _Virtual | _Real,
    scenario: Scenario,
    check: Check,
    seed: int,
    index: int,
    moment: Moment,
    *,
    may_finish: bool,
) -> _Driver:
    driver = _Driver(scenario, index, moment)

    async def main() -> None:
        outcome = await _settled(driver)
        as_asked = driver.cancelled and isinstance(outcome, asyncio.CancelledError)
        if outcome is not None and not as_asked:
            raise outcome
        if driver.cancelled and outcome is None and not may_finish:
            raise AssertionError("the scenario swallowed its cancellation")
        left = [describe_task(task) for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        if left:
            msg = "tasks were left behind:\n" + "\n".join(sorted(left))
            raise AssertionError(msg)
        verdict = check()
        if inspect.isawaitable(verdict):
            await verdict

    try:
        run(main())
    except Exception as error:
        where = f"cancelled at await {index} ({moment}), {driver.place}" if index else "in the undisturbed run"
        msg = (
            f"{where}, seed {seed}: {type(error).__name__}: {error}\n"
            f"replay: cancel_sweep(…, seed={seed}, only=({index}, {moment!r}))"
        )
        raise SweepError(msg, index=index, moment=moment, seed=seed) from error
    return driver


async def _settled(driver: _Driver) -> BaseException | None:
    """Run the scenario in a task of its own; return what it raised."""

    async def body() -> None:
        await driver

    task = asyncio.create_task(body(), name="scenario")
    await asyncio.wait([task])
    if task.cancelled():
        return asyncio.CancelledError()
    return task.exception()
