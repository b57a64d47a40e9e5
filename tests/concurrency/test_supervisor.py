from __future__ import annotations

import asyncio
import contextvars
import logging
import random
from typing import TYPE_CHECKING, Any

import pytest

from tenire.concurrency.supervisor import Child, ComponentChanged, Life, Supervisor
from tenire.concurrency.timer import UniversalTimer
from tenire.errors import ComponentError, ConfigError
from tenire.testing import cancel_sweep

if TYPE_CHECKING:
    from collections.abc import Callable

    from tenire.testing import SimLoop

SOON = 20.0  # longer than any wait before the first restarts, shorter than the period


class Part:
    """A component that does as it is told.

    Attributes:
        broken: Whether every run of it fails at once.
        deaf: Whether it goes on although it was cancelled.
    """

    def __init__(self, lines: list[str], name: str) -> None:
        self.lines = lines
        self.name = name
        self.life: Any = None
        self.task: Any = None
        self.broken = self.deaf = False
        self._end: Any = None

    async def run(self, life: Life) -> None:
        self.life, self.task, self._end = life, asyncio.current_task(), asyncio.Event()
        error: BaseException | None = None
        if self.broken:
            message = "broken"
            raise OSError(message)
        self.lines.append(f"+{self.name}")
        life.ready()
        try:
            await self._end.wait()
        except asyncio.CancelledError as cancelled:
            error = cancelled
            if self.deaf:
                await asyncio.Event().wait()
        self.lines.append(f"-{self.name}")
        if error or self._error:
            raise error or self._error

    def end(self, error: BaseException | None = None) -> None:
        self._error = error
        self._end.set()


class Bench:
    """A supervisor over parts, and all that can be seen of it."""

    def __init__(self, *names: str, **how: Any) -> None:
        loop: Any = asyncio.get_running_loop()
        options = {name: how.pop(name) for name in names if name in how}
        self.clock = loop.clock
        self.lines: list[str] = []
        self.events: list[ComponentChanged] = []
        self.escalations: list[ComponentError] = []
        self.timer = UniversalTimer(loop=loop, clock=loop.clock, on_thread=lambda: True)
        self.parts = {name: Part(self.lines, name) for name in names}
        self.supervisor = Supervisor(
            [Child(name, part.run, **options.get(name, {})) for name, part in self.parts.items()],
            timer=self.timer, clock=loop.clock, rng=random.Random(1),
            **({"on_change": self.events.append, "on_escalation": self.escalations.append} | how),
        )  # fmt: skip

    def __getattr__(self, name: str) -> Part:
        return self.parts[name]

    def take(self) -> str:
        lines, self.lines[:] = " ".join(self.lines), []
        return lines

    def health(self) -> str:
        return " ".join(each.health for each in self.supervisor.statistics().values())

    async def __aenter__(self) -> Bench:
        await self.supervisor.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.supervisor.aclose()
        assert len(self.timer) == 0
        self.timer.close()


def test_components_start_in_order_and_end_in_reverse(sim_loop: SimLoop) -> None:
    async def main() -> None:
        async with Bench("a", "b", "c") as bench:
            assert bench.take() == "+a +b +c"
            assert bench.health() == "healthy healthy healthy"
        assert bench.take() == "-c -b -a"
        assert bench.health() == "ended ended ended"
        async with bench:
            assert bench.take() == "+a +b +c", "one that has ended may start again"

    sim_loop.run_until_complete(main())


def cancelled_from_outside(bench: Bench) -> None:
    bench.b.task.cancel()


def an_error(bench: Bench) -> None:
    bench.b.end(OSError("broken"))


def an_end(bench: Bench) -> None:
    bench.b.end()


def told_by_a_callback(bench: Bench) -> None:
    bench.b.life.fail(OSError("broken"))


@pytest.mark.parametrize("death", [cancelled_from_outside, an_error, an_end, told_by_a_callback])
def test_whatever_a_component_dies_of_it_starts_again_and_the_others_stay(
    sim_loop: SimLoop, death: Callable[[Bench], None]
) -> None:
    async def main() -> None:
        async with Bench("a", "b", "c") as bench:
            bench.take()
            death(bench)
            await asyncio.sleep(SOON)
            assert bench.take() == "-b +b"
            assert bench.health() == "healthy unsteady healthy"
            assert bench.supervisor.statistics()["b"].restarts == 1
            assert [event.state for event in bench.events[3:]] == ["down", "up"]

    sim_loop.run_until_complete(main())


def test_one_starts_again_though_telling_of_its_end_took_longer_than_its_wait(sim_loop: SimLoop) -> None:
    async def main() -> None:
        async with Bench("a", on_change=lambda _: sim_loop.suspend(SOON)) as bench:
            bench.take()
            bench.a.end(OSError("broken"))
            await asyncio.sleep(2 * SOON)
            assert bench.take() == "-a +a"
            assert bench.clock.now() >= 3 * SOON

    sim_loop.run_until_complete(main())


def test_one_that_is_cancelled_before_its_first_step_starts_again(sim_loop: SimLoop) -> None:
    async def main() -> None:
        bench = Bench("a")
        starting = asyncio.create_task(bench.supervisor.start())
        await asyncio.sleep(0)
        (task,) = (task for task in asyncio.all_tasks() if task.get_name() == "tenire a")
        task.cancel()
        await starting
        assert bench.take() == "+a"
        assert bench.supervisor.statistics()["a"].error == "it was cancelled"
        await bench.__aexit__()

    sim_loop.run_until_complete(main())


@pytest.mark.parametrize(
    ("restart", "error", "after"),
    [("transient", None, "ended"), ("transient", OSError(), "unsteady"), ("temporary", OSError(), "ended")],
)
def test_how_it_ended_decides_whether_it_starts_again(
    sim_loop: SimLoop, restart: str, error: Exception | None, after: str
) -> None:
    async def main() -> None:
        async with Bench("a", a={"restart": restart}) as bench:
            bench.a.end(error)
            await asyncio.sleep(SOON)
            assert bench.health() == after
            assert bench.supervisor.statistics()["a"].error == (error and "OSError")

    sim_loop.run_until_complete(main())


@pytest.mark.parametrize(
    ("strategy", "seen"),
    [("one_for_one", "-b +b"), ("rest_for_one", "-b -d -c +b +c +d"), ("one_for_all", "-b -d -c -a +a +b +c +d")],
)
def test_the_strategy_decides_whom_one_that_fails_takes_along(sim_loop: SimLoop, strategy: str, seen: str) -> None:
    async def main() -> None:
        async with Bench("a", "b", "c", "d", strategy=strategy) as bench:
            bench.take()
            an_error(bench)
            await asyncio.sleep(SOON)
            assert bench.take() == seen

    sim_loop.run_until_complete(main())


def test_one_that_fails_too_often_takes_all_down_in_reverse_order(
    sim_loop: SimLoop, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with Bench("a", "b", "c", intensity=2) as bench:
            bench.take()
            bench.b.broken = True
            an_error(bench)
            await bench.supervisor.wait_ended()
            assert bench.take() == "-b -c -a"
            assert bench.health() == "ended failed ended"
            (error,) = bench.escalations
            assert str(error) == "component 'b' failed more than 2 times within 60 s"
            assert (error.component, repr(error.__cause__)) == ("b", "OSError('broken')")

    sim_loop.run_until_complete(main())
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 2 + [logging.ERROR]
    assert "component 'b' failed: OSError: broken; it starts again in 0." in caplog.text
    assert "and is given up: all others end with it" in caplog.text


def test_one_that_never_comes_up_fails_the_start(sim_loop: SimLoop) -> None:
    async def main() -> None:
        bench = Bench("a", "b")
        bench.b.broken = True
        with pytest.raises(ComponentError, match="component 'b' failed more than 5 times"):
            await bench.supervisor.start()
        assert bench.take() == "+a -a"
        bench.b.broken = False
        async with bench:
            assert bench.health() == "healthy healthy"

    sim_loop.run_until_complete(main())


def test_an_optional_one_is_given_up_and_holds_nobody_up(sim_loop: SimLoop, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        bench = Bench("a", "b", b={"optional": True})
        bench.b.broken = True
        async with bench:
            assert sim_loop.time() == 0.0, "the start waits for its first try only"
            await asyncio.sleep(SOON)
            assert bench.health() == "healthy failed"
            assert bench.supervisor.statistics()["b"].restarts == 5

    sim_loop.run_until_complete(main())
    assert "the others go on without it" in caplog.messages[-1]


def test_a_supervisor_is_a_component_of_another_one(sim_loop: SimLoop) -> None:
    async def main() -> None:
        inner = Bench("x", "y", intensity=0)
        outer = Bench("a")
        await outer.supervisor.add(Child("inner", inner.supervisor.run))
        async with outer:
            assert (outer.take(), inner.take()) == ("+a", "+x +y")
            inner.x.end(OSError("broken"))
            await asyncio.sleep(SOON)
            assert inner.take() == "-x -y +x +y", "what one supervisor cannot bear is a failure in the next"
            assert outer.health() == "healthy unsteady"
        assert inner.take() == "-y -x"

    sim_loop.run_until_complete(main())


def test_one_that_does_not_end_is_abandoned_by_name(sim_loop: SimLoop, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with Bench("a", a={"grace": 3.0}) as bench:
            bench.a.deaf, old, life = True, bench.a.task, bench.a.life
            life.fail(OSError("broken"))
            await asyncio.sleep(SOON)
            assert bench.health() == "unsteady"
            assert bench.supervisor.abandoned == ["a"]
            bench.a.deaf = False
            life.fail(OSError("late"))
            life.ready()
            old.cancel()
            await asyncio.sleep(SOON)
            assert bench.supervisor.abandoned == []
            assert bench.supervisor.statistics()["a"].restarts == 1, "its old run means nothing to the new one"

    sim_loop.run_until_complete(main())
    assert "component 'a' is abandoned: it did not end within 3 s of being told to" in caplog.text


def test_an_error_while_ending_is_told(sim_loop: SimLoop, caplog: pytest.LogCaptureFixture) -> None:
    async def run(life: Life) -> None:
        life.ready()
        try:
            await life.wait_told_to_end()
        finally:
            message = "cannot close"
            raise OSError(message)

    async def main() -> None:
        bench = Bench()
        await bench.supervisor.add(Child("a", run))
        async with bench:
            pass

    sim_loop.run_until_complete(main())
    assert "component 'a' did not end cleanly: OSError: cannot close" in caplog.text


# -- signs of life ---------------------------------------------------------


def test_one_that_gives_no_sign_of_life_starts_again(sim_loop: SimLoop) -> None:
    async def main() -> None:
        async with Bench("a", "b", a={"silence": 10.0}) as bench:
            for _ in range(20):
                await asyncio.sleep(4.0)
                bench.a.life.beat()
            assert bench.supervisor.statistics()["a"].restarts == 0
            await asyncio.sleep(9.9)
            assert bench.health() == "healthy healthy"
            await asyncio.sleep(0.2)
            assert bench.health() != "healthy healthy"
            error = bench.supervisor.statistics()["a"].error
            assert error == "ComponentError: component 'a' gave no sign of life for 10 s"

    sim_loop.run_until_complete(main())


def test_one_that_has_nothing_to_do_is_asked_and_answers_from_where_it_lives(sim_loop: SimLoop) -> None:
    asked: asyncio.Queue[Callable[[], None]] = asyncio.Queue()

    async def answer() -> None:
        while True:
            (await asked.get())()

    async def main() -> None:
        async with Bench("a", a={"silence": 10.0, "ask": asked.put_nowait}) as bench:
            elsewhere = asyncio.create_task(answer())
            await asyncio.sleep(1000.0)
            assert bench.supervisor.statistics()["a"].restarts == 0
            elsewhere.cancel()
            await asyncio.sleep(12.0)
            assert bench.supervisor.statistics()["a"].error is not None

    sim_loop.run_until_complete(main())


def test_one_that_cannot_even_be_asked_starts_again(sim_loop: SimLoop) -> None:
    def ask(_: object) -> None:
        message = "its thread is gone"
        raise OSError(message)

    async def main() -> None:
        async with Bench("a", a={"silence": 10.0, "ask": ask}) as bench:
            await asyncio.sleep(5.5)
            assert bench.supervisor.statistics()["a"].error == "OSError: its thread is gone"

    sim_loop.run_until_complete(main())


def test_a_machine_that_slept_condemns_nobody(sim_loop: SimLoop) -> None:
    async def main() -> None:
        async with Bench("a", a={"silence": 10.0, "ask": lambda beat: beat()}) as bench:
            await asyncio.sleep(1.0)
            sim_loop.suspend(8 * 3600.0)
            await asyncio.sleep(30.0)
            assert bench.health() == "healthy"

    sim_loop.run_until_complete(main())


# -- the rest --------------------------------------------------------------

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="none")


def test_every_run_has_the_context_of_the_start(sim_loop: SimLoop) -> None:
    seen: list[str] = []

    async def run(life: Life) -> None:
        seen.append(variable.get())
        variable.set("of a component")
        life.ready()
        await life.wait_told_to_end()

    async def fail_it(bench: Bench) -> None:
        variable.set("of somebody else")
        bench.timer.after(0.0, lambda: [task.cancel() for task in asyncio.all_tasks() if task.get_name() == "tenire a"])

    async def main() -> None:
        variable.set("of the start")
        bench = Bench()
        await bench.supervisor.add(Child("a", run))
        async with bench:
            await asyncio.create_task(fail_it(bench))
            await asyncio.sleep(SOON)

    sim_loop.run_until_complete(main())
    assert seen == ["of the start"] * 2


def test_components_come_and_go_while_it_runs(sim_loop: SimLoop) -> None:
    async def main() -> None:
        async with Bench("a", "b") as bench:
            guest = Part(bench.lines, "guest")
            await bench.supervisor.add(Child("guest", guest.run))
            with pytest.raises(ConfigError, match="called 'guest'"):
                await bench.supervisor.add(Child("guest", guest.run))
            await bench.supervisor.remove("b")
            await bench.supervisor.remove("guest")
            with pytest.raises(ConfigError, match="no component 'guest'; there are: a"):
                await bench.supervisor.remove("guest")
            assert bench.take() == "+a +b +guest -b -guest"
            await bench.supervisor.add(Child("b", bench.b.run))
            assert bench.health() == "healthy healthy"

    sim_loop.run_until_complete(main())


def test_components_come_and_go_before_it_runs(sim_loop: SimLoop) -> None:
    async def main() -> None:
        bench = Bench("a", "b")
        guest, other = Part(bench.lines, "guest"), Part(bench.lines, "other")
        for part in (guest, other):
            await bench.supervisor.add(Child(part.name, part.run))
        with pytest.raises(ConfigError, match="called 'guest'"):
            await bench.supervisor.add(Child("guest", guest.run))
        assert bench.health() == "down down down down"
        await bench.supervisor.remove("guest")
        await bench.supervisor.remove("b")
        async with bench:
            assert bench.take() == "+a +other"

    sim_loop.run_until_complete(main())


def test_the_name_of_one_that_was_removed_is_free_though_whoever_removed_it_was_cancelled(sim_loop: SimLoop) -> None:
    async def slow(life: Life) -> None:
        life.ready()
        try:
            await life.wait_told_to_end()
        finally:
            await asyncio.sleep(2.0)

    async def main() -> None:
        async with Bench("a") as bench:
            for _ in range(2):
                await bench.supervisor.add(Child("slow", slow))
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(1.0):
                        await bench.supervisor.remove("slow")
            assert bench.health() == "healthy"

    sim_loop.run_until_complete(main())


def test_a_listener_that_fails_holds_nothing_up(sim_loop: SimLoop, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with Bench("a") as bench:
            bench.supervisor._on_change = lambda _: 1 / 0
            bench.a.end()
            await asyncio.sleep(SOON)
            assert bench.health() == "unsteady"

    sim_loop.run_until_complete(main())
    assert "a listener to component 'a' failed" in caplog.text


def test_a_supervisor_that_runs_is_not_started_twice(sim_loop: SimLoop) -> None:
    async def main() -> None:
        async with Bench("a") as bench:
            with pytest.raises(ConfigError, match="runs already"):
                await bench.supervisor.start()
        await bench.supervisor.aclose()

    sim_loop.run_until_complete(main())


@pytest.mark.parametrize("strategy", ["one_for_one", "one_for_all"])
def test_whatever_await_is_cancelled_nothing_is_left(strategy: str) -> None:
    benches: list[Bench] = []

    async def scenario() -> None:
        bench = Bench("a", "b", a={"silence": 5.0, "ask": lambda beat: beat()}, strategy=strategy)
        benches.append(bench)
        guest = Part(bench.lines, "guest")
        try:
            async with bench:
                an_error(bench)
                await bench.supervisor.add(Child("guest", guest.run))
                await asyncio.sleep(SOON)
                await bench.supervisor.remove("guest")
        finally:
            await bench.supervisor.aclose()

    def check() -> None:
        bench = benches[-1]
        starts = [line[1:] for line in bench.lines if line.startswith("+")]
        ends = [line[1:] for line in bench.lines if line.startswith("-")]
        assert sorted(starts) == sorted(ends)
        assert len(bench.timer) == 0
        assert set(bench.health().split()) <= {"ended", "down"}

    report = cancel_sweep(scenario, check=check)
    assert report.runs >= 10


async def live(life: Life) -> None:
    await life.wait_told_to_end()


@pytest.mark.parametrize(
    "field",
    [{"name": 3}, {"run": 3}, {"silence": 0}, {"silence": -1}, {"ask": 3}, {"grace": -1}, {"pipelines": "reports"}],
)
def test_an_impossible_child_is_refused_when_it_is_made(field: dict[str, Any]) -> None:
    [(name, value)] = field.items()
    with pytest.raises(ConfigError, match=f"{name} must be .*, got {value!r} ") as caught:
        Child(**{"name": "part", "run": live, **field})
    assert caught.value.key == name
