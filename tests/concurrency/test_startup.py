from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tenire import ConfigError
from tenire.concurrency import BatchInitializationGroup, Component

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tenire.testing import SimLoop


class Log:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def step(self, name: str, seconds: float = 0.0, *, fails: int = 0) -> Callable[[], Awaitable[None]]:
        left = fails

        async def run() -> None:
            nonlocal left
            await asyncio.sleep(seconds)
            if left:
                left -= 1
                message = f"{name} is broken"
                raise OSError(message)
            self.lines.append(name)

        return run

    def component(self, name: str, *needs: str, seconds: float = 1.0, fails: int = 0, **options: object) -> Component:
        return Component(
            name, self.step(f"+{name}", seconds, fails=fails), self.step(f"-{name}"), needs=needs, **options
        )  # type: ignore[arg-type]


def test_what_is_needed_starts_first_and_stops_last(sim_loop: SimLoop) -> None:
    log = Log()

    async def main() -> None:
        parts = [log.component("web", "cache", "db"), log.component("cache", "db"), log.component("db")]
        async with BatchInitializationGroup(parts) as group:
            assert group.ready == ("db", "cache", "web")

    sim_loop.run_until_complete(main())
    assert log.lines == ["+db", "+cache", "+web", "-web", "-cache", "-db"]


def test_independent_components_start_together_up_to_the_limit(sim_loop: SimLoop) -> None:
    log = Log()

    async def main() -> None:
        await BatchInitializationGroup([log.component(f"c{n}") for n in range(6)], concurrency=3).start()

    sim_loop.run_until_complete(main())
    assert sim_loop.time() == pytest.approx(2.0, abs=0.01)


def test_a_circle_is_reported_as_the_circle() -> None:
    log = Log()
    with pytest.raises(ConfigError, match=r"a → b → a|b → a → b"):
        BatchInitializationGroup([log.component("a", "b"), log.component("b", "a")])
    with pytest.raises(ConfigError, match="'zzz'"):
        BatchInitializationGroup([log.component("a", "zzz")])
    with pytest.raises(ConfigError, match="two components"):
        BatchInitializationGroup([log.component("a"), log.component("a")])


def test_a_hard_failure_stops_what_had_started_and_is_raised(sim_loop: SimLoop) -> None:
    log = Log()

    async def main() -> None:
        parts = [log.component("ok"), log.component("broken", seconds=2, fails=9), log.component("never", "broken")]
        with pytest.raises(ExceptionGroup) as caught:
            await BatchInitializationGroup(parts).start()
        assert [str(error) for error in caught.value.exceptions] == ["+broken is broken"]

    sim_loop.run_until_complete(main())
    assert log.lines == ["+ok", "-ok"]


def test_an_optional_failure_is_noted_and_the_others_go_on_without_it(sim_loop: SimLoop) -> None:
    log = Log()

    async def main() -> None:
        parts = [log.component("extra", fails=9, optional=True), log.component("main", "extra")]
        async with BatchInitializationGroup(parts) as group:
            assert group.ready == ("main",)
            assert list(group.errors) == ["extra"]

    sim_loop.run_until_complete(main())


def test_a_start_is_tried_again_and_may_not_take_for_ever(sim_loop: SimLoop) -> None:
    log = Log()

    async def main() -> None:
        group = BatchInitializationGroup(
            [log.component("flaky", fails=2, attempts=3), log.component("slow", seconds=99, timeout=5.0, optional=True)]
        )
        async with group:
            assert group.ready == ("flaky",)
            assert isinstance(group.errors["slow"], TimeoutError)

    sim_loop.run_until_complete(main())
    assert sim_loop.time() < 10


def test_cancelling_the_start_stops_what_had_started(sim_loop: SimLoop) -> None:
    log = Log()

    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3):
                await BatchInitializationGroup([log.component("quick"), log.component("slow", seconds=99)]).start()

    sim_loop.run_until_complete(main())
    assert log.lines == ["+quick", "-quick"]


def test_one_stop_that_fails_does_not_keep_the_others_from_stopping(sim_loop: SimLoop) -> None:
    log = Log()

    async def main() -> None:
        parts = [log.component("a"), Component("b", log.step("+b"), log.step("-b", fails=9), needs=("a",))]
        group = BatchInitializationGroup(parts)
        await group.start()
        with pytest.raises(ExceptionGroup, match="cleanly"):
            await group.stop()

    sim_loop.run_until_complete(main())
    assert log.lines[-1] == "-a"
