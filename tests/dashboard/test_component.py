"""The page of a run as a component of its engine: killed, hung, given up, and the run none the worse."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from tenire import ConcurrencyManager
from tenire.app.control import controlled
from tenire.clock import SYSTEM_CLOCK
from tenire.concurrency import ComponentChanged
from tenire.dashboard import beside_engine, component, server
from tenire.storage.home import Home

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tenire.concurrency import ComponentChanged as Changed
    from tenire.testing import SimLoop


class Run:
    """An engine with a page, and what is told of the page's component."""

    def __init__(self, manager: ConcurrencyManager) -> None:
        self.manager = manager
        self.addresses: list[str] = []
        self.states: list[str] = []
        self._changed = asyncio.Event()
        self._subscription = manager.signals.subscribe(ComponentChanged, self._note)

    def _note(self, change: Changed) -> None:
        if change.component == "dashboard":
            self.states.append(change.state)
            self._changed.set()

    async def until(self, *states: str) -> None:
        """Wait until exactly that was told."""
        while self.states != list(states):
            assert len(self.states) < len(states), self.states
            self._changed.clear()
            await self._changed.wait()

    @property
    def health(self) -> tuple[str, int, str | None]:
        fares = self.manager.snapshot().components["dashboard"]
        return fares.health, fares.restarts, fares.error


@pytest.fixture(autouse=True)
def any_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "DEFAULT_PORT", 0)


@asynccontextmanager
async def run_with_page(home: Home) -> AsyncIterator[Run]:
    async with ConcurrencyManager(cpu=1, memory=1, adaptive=False) as manager:
        run = Run(manager)
        async with (
            controlled(home, manager, {}, clock=SYSTEM_CLOCK),
            beside_engine(manager, home, on_address=run.addresses.append),
            asyncio.timeout(60),
        ):
            yield run


async def shown(address: str) -> str:
    """Return the first message that a page at the address gets."""
    head, _, token = address.partition("?token=")
    async with (
        aiohttp.ClientSession(headers={"authorization": f"Bearer {token}"}) as client,
        client.get(f"{head}events") as answer,
    ):
        assert answer.status == 200
        while not (line := await answer.content.readline()).startswith(b"data: "):
            assert line, "the stream has ended"
        return line.decode()


@pytest.mark.parametrize("task", ["tenire dashboard: server", "tenire feed", "tenire dashboard"])
def test_one_that_is_killed_starts_again_at_the_same_address(tmp_path: Path, task: str) -> None:
    home = Home(tmp_path)

    async def main() -> None:
        async with run_with_page(home) as run:
            (address,) = run.addresses
            assert '"link"' in await shown(address)
            (victim,) = [each for each in asyncio.all_tasks() if each.get_name() == task]
            victim.cancel()
            await run.until("up", "down", "up")
            assert '"link"' in await shown(address)
            assert run.addresses == [address]
            assert run.health == ("unsteady", 1, "it was cancelled")
            assert await run.manager.submit(int, "7") == 7
        assert run.states[-1] == "ended"
        with pytest.raises(aiohttp.ClientConnectorError):
            await shown(address)

    asyncio.run(main())


def test_pages_that_were_open_when_it_was_killed_are_told_so(tmp_path: Path) -> None:
    home = Home(tmp_path)

    async def main() -> None:
        async with run_with_page(home) as run:
            head, _, token = run.addresses[0].partition("?token=")
            headers = {"authorization": f"Bearer {token}"}
            async with aiohttp.ClientSession(headers=headers) as client, client.get(f"{head}events") as answer:
                await answer.content.readline()
                (server,) = [each for each in asyncio.all_tasks() if each.get_name() == "tenire dashboard: server"]
                server.cancel()
                await answer.content.read()  # to its end: a browser connects again then
            await run.until("up", "down", "up")

    asyncio.run(main())


class Stub:
    """A dashboard without a server, which does as it is told."""

    fails: type[Exception] | None = None
    made: list[dict[str, Any]]

    def __init__(self, home: Home, **options: Any) -> None:
        self.made.append(options)
        self.port, self.address, self.feed, self.looks = 8642, "there", self, 0

    async def __aenter__(self) -> Stub:
        if self.fails is not None:
            raise self.fails
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def wait_ended(self) -> None:
        await asyncio.Event().wait()


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> type[Stub]:
    made: type[Stub] = type("Made", (Stub,), {"made": []})
    monkeypatch.setattr(component, "Dashboard", made)
    return made


def test_one_that_cannot_be_served_is_given_up_and_the_run_goes_on(
    sim_loop: SimLoop, tmp_path: Path, stub: type[Stub]
) -> None:
    home, stub.fails = Home(tmp_path), ZeroDivisionError

    async def main() -> None:
        async with ConcurrencyManager(clock=sim_loop.clock, cpu=1, memory=1) as manager:
            run = Run(manager)
            async with beside_engine(manager, home, on_address=run.addresses.append):
                assert run.health[0] == "down", "the run was not held up"
                await run.until("down", "down", "down", "down", "down", "failed")
                assert run.health == ("failed", 5, "ZeroDivisionError")
                assert manager.snapshot().components["orchestrator"].health == "healthy"
                assert await manager.submit(asyncio.sleep, 1, "done") == "done"
            assert run.addresses == []
            assert "dashboard" not in manager.snapshot().components

    sim_loop.run_until_complete(main())


def test_one_that_looks_no_more_is_taken_for_hung_and_starts_again_with_its_port_and_token(
    sim_loop: SimLoop, tmp_path: Path, stub: type[Stub]
) -> None:
    home = Home(tmp_path)

    async def main() -> None:
        async with ConcurrencyManager(clock=sim_loop.clock, cpu=1, memory=1) as manager:
            run = Run(manager)

            def look() -> None:
                served[-1].looks += 1

            served: list[Stub] = []
            make = stub.__init__
            stub.__init__ = lambda self, *words, **more: (make(self, *words, **more), served.append(self))[1]  # type: ignore[method-assign, func-returns-value]
            async with beside_engine(manager, home, on_address=run.addresses.append):
                looking = manager.timer.every(5.0, look)
                await asyncio.sleep(600)
                assert run.health == ("healthy", 0, None)
                looking.cancel()
                await asyncio.sleep(100)
                await run.until("up", "down", "up")
                assert run.health[2] is not None
                assert "no sign of life for 60 s" in run.health[2]
            assert run.addresses == ["there"]
            first, second = stub.made
            assert (first["port"], second["port"]) == (None, 8642)
            assert first["token"] == second["token"]
            assert first["timer"] is manager.timer

    sim_loop.run_until_complete(main())
