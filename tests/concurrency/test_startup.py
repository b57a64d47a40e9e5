from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from tenire import ConfigError
from tenire.concurrency import BatchInitializationGroup, Component
from tenire.testing import cancel_sweep

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tenire.concurrency.startup import StartupProgress
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


def test_a_stop_that_hangs_is_given_up_and_one_that_is_cancelled_is_told(sim_loop: SimLoop) -> None:
    log = Log()

    async def cancelled() -> None:
        raise asyncio.CancelledError

    async def main() -> None:
        parts = [
            log.component("a"),
            Component("b", log.step("+b"), asyncio.Event().wait, needs=("a",), timeout=7.0),
            Component("c", log.step("+c"), cancelled, needs=("b",)),
        ]
        group = BatchInitializationGroup(parts)
        await group.start()
        with pytest.raises(BaseExceptionGroup) as caught:
            await group.stop()
        assert [repr(error) for error in caught.value.exceptions] == [
            "CancelledError()", "TimeoutError(\"component 'b' did not stop within 7 s\")",
        ]  # fmt: skip
        assert group.ready == ()

    sim_loop.run_until_complete(main())
    assert log.lines[-1] == "-a"


class Verdict(BaseException):
    """No ``Exception``, as pytest's own for a test that fails."""


@pytest.mark.parametrize("optional", [False, True])
def test_a_start_that_raises_no_exception_is_no_good_one(sim_loop: SimLoop, optional: bool) -> None:
    log = Log()
    verdict = Verdict()
    steps: list[tuple[str, str]] = []

    async def judge() -> None:
        await asyncio.sleep(2)
        raise verdict

    async def main() -> None:
        parts = [
            log.component("quick"), log.component("slow", seconds=99), log.component("never", "judge"),
            Component("judge", judge, log.step("-judge"), optional=optional, attempts=3),
        ]  # fmt: skip
        group = BatchInitializationGroup(
            parts, all_or_nothing=not optional, on_progress=lambda it: steps.append((it.component, it.step))
        )
        with pytest.raises(Verdict) as caught:
            await group.start()
        assert caught.value is verdict
        assert verdict.__notes__ == ["while component 'judge' started"]
        assert group.ready == ()
        assert group.errors == {"judge": verdict}
        assert "judge" in group.failed

    sim_loop.run_until_complete(main())
    assert log.lines == ["+quick", "-quick"]
    assert ("judge", "failed") in steps


def test_of_several_starts_that_raise_no_exception_none_is_lost(
    sim_loop: SimLoop, caplog: pytest.LogCaptureFixture
) -> None:
    async def judge() -> None:
        raise Verdict("at once")

    async def judge_late() -> None:
        try:
            await asyncio.sleep(99)
        finally:
            raise Verdict("when cancelled")

    async def main() -> None:
        parts = [Component("a", judge), Component("b", judge), Component("c", judge_late)]
        with pytest.raises(Verdict, match="at once"):
            await BatchInitializationGroup(parts).start()

    sim_loop.run_until_complete(main())
    told = [record.exc_info[1] for record in caplog.records if record.exc_info]
    assert sorted(map(str, told)) == ["at once", "when cancelled"]


@pytest.mark.parametrize("kind", [Verdict, SystemExit])
def test_a_stop_that_raises_no_exception_does_not_keep_the_others_from_stopping(
    sim_loop: SimLoop, kind: type[BaseException]
) -> None:
    log = Log()
    error = kind("enough")

    async def judge() -> None:
        raise error

    async def scenario() -> BatchInitializationGroup:
        parts = [
            log.component("a"), Component("b", log.step("+b"), judge, needs=("a",)),
            Component("c", log.step("+c"), log.step("-c", fails=9), needs=("b",)),
        ]  # fmt: skip
        group = BatchInitializationGroup(parts)
        await group.start()
        with pytest.raises((BaseExceptionGroup, SystemExit)) as caught:
            await group.stop()
        if kind is Verdict:
            assert isinstance(caught.value, BaseExceptionGroup)
            assert caught.value.exceptions[1] is error
        else:
            assert caught.value is error, "what ends the program is raised as it is"
        return group

    assert sim_loop.run_until_complete(scenario()).ready == ()
    assert log.lines[-1] == "-a"


def test_a_start_that_ends_the_program_stops_the_others_before() -> None:
    log = Log()

    async def leave() -> None:
        raise SystemExit(3)

    async def main() -> None:
        await BatchInitializationGroup([log.component("a", seconds=0), Component("b", leave, needs=("a",))]).start()

    with pytest.raises(SystemExit) as caught:
        asyncio.run(main())
    assert caught.value.code == 3
    assert log.lines == ["+a", "-a"]


def test_tries_wait_longer_each_time_and_what_took_too_long_is_said(sim_loop: SimLoop) -> None:
    log = Log()
    steps: list[str] = []

    async def main() -> None:
        part = Component("slow", log.step("+slow", 99.0), timeout=1.0, attempts=4, backoff=8.0)
        group = BatchInitializationGroup([part], on_progress=lambda progress: steps.append(progress.step))
        with pytest.raises(ExceptionGroup) as caught:
            await group.start()
        assert str(caught.value.exceptions[0]) == "component 'slow' did not start within 1 s"
        assert caught.value.exceptions[0].__notes__ == ["while component 'slow' started"]

    sim_loop.run_until_complete(main())
    assert steps == ["starting", "retrying", "retrying", "retrying", "failed"]
    assert 5.0 < sim_loop.time() < 4 + 8 + 16 + 30


def test_a_failure_leaves_out_exactly_those_that_need_it(sim_loop: SimLoop) -> None:
    log = Log()
    told: list[StartupProgress] = []

    async def main() -> None:
        parts = [
            log.component("broken", fails=1), log.component("child", "broken"), log.component("grandchild", "child"),
            log.component("other", seconds=5.0), log.component("other child", "other"),
        ]  # fmt: skip
        group = BatchInitializationGroup(parts, all_or_nothing=False, on_progress=told.append)
        async with group:
            assert group.ready == ("other", "other child")
            assert group.failed == {"broken", "child", "grandchild"}
            assert list(group.errors) == ["broken"]

    sim_loop.run_until_complete(main())
    assert log.lines == ["+other", "+other child", "-other child", "-other"]
    assert [each.component for each in told if each.step == "left_out"] == ["child", "grandchild"]


def test_progress_tells_every_step(sim_loop: SimLoop) -> None:
    log = Log()
    told: list[StartupProgress] = []

    async def main() -> None:
        async with BatchInitializationGroup([log.component("b", "a"), log.component("a")], on_progress=told.append):
            pass

    sim_loop.run_until_complete(main())
    assert [(each.component, each.step, each.ready, each.total) for each in told] == [
        ("a", "starting", 0, 2), ("a", "ready", 1, 2), ("b", "starting", 1, 2), ("b", "ready", 2, 2),
        ("b", "stopping", 2, 2), ("b", "stopped", 1, 2), ("a", "stopping", 1, 2), ("a", "stopped", 0, 2),
    ]  # fmt: skip


def test_a_listener_that_fails_holds_nothing_up(sim_loop: SimLoop, caplog: pytest.LogCaptureFixture) -> None:
    log = Log()

    async def main() -> None:
        async with BatchInitializationGroup([log.component("a")], on_progress=lambda _: 1 / 0) as group:
            assert group.ready == ("a",)

    sim_loop.run_until_complete(main())
    assert "a listener to component 'a' failed" in caplog.text


def test_what_was_measured_orders_the_next_start(sim_loop: SimLoop) -> None:
    log = Log()

    async def main() -> None:
        parts = [log.component("a", seconds=1.0), log.component("b", seconds=3.0)]
        group = BatchInitializationGroup(parts, concurrency=1, clock=sim_loop.clock)
        for _ in range(2):
            async with group:
                pass
        assert group.took == pytest.approx({"a": 1.0, "b": 3.0})

    sim_loop.run_until_complete(main())
    assert [line for line in log.lines if line[0] == "+"] == ["+a", "+b", "+b", "+a"]


def test_a_group_is_started_once_and_stopped_once_however_many_ask(sim_loop: SimLoop) -> None:
    log = Log()

    async def main() -> None:
        group = BatchInitializationGroup([Component("a", log.step("+a"), log.step("-a", 5.0))])
        async with group:
            with pytest.raises(ConfigError, match="started already"):
                await group.start()
            await asyncio.wait([asyncio.create_task(group.stop()) for _ in range(3)])

    sim_loop.run_until_complete(main())
    assert log.lines == ["+a", "-a"]


def test_what_is_impossible_is_refused() -> None:
    with pytest.raises(ConfigError, match="concurrency must be 1 or more, got 0"):
        BatchInitializationGroup([], concurrency=0)


def test_a_start_that_cannot_be_cancelled_is_abandoned_by_name(
    sim_loop: SimLoop, caplog: pytest.LogCaptureFixture
) -> None:
    release = asyncio.Event()

    async def deaf() -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3):
                await BatchInitializationGroup([Component("deaf", deaf)]).start()
        release.set()
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    sim_loop.run_until_complete(main())
    assert "component 'deaf' is abandoned: its start did not end within 5 s" in caplog.text


@pytest.mark.parametrize("broken", [False, True])
def test_whatever_await_is_cancelled_what_became_ready_is_stopped_in_reverse(broken: bool) -> None:
    logs: list[Log] = []

    async def scenario() -> None:
        log = Log()
        logs.append(log)
        parts = [
            log.component("a"), log.component("b"), log.component("c", "a", fails=1, attempts=2),
            log.component("d", "b"), log.component("e", seconds=9.0, fails=int(broken)), log.component("f", "e"),
        ]  # fmt: skip
        try:
            async with BatchInitializationGroup(parts, concurrency=2):
                await asyncio.sleep(1.0)
        except ExceptionGroup:
            assert broken

    def check() -> None:
        lines = logs[-1].lines
        started = [line[1:] for line in lines if line[0] == "+"]
        assert [line[1:] for line in lines if line[0] == "-"] == started[::-1]

    assert cancel_sweep(scenario, check=check).runs >= 10


async def up() -> None:
    """Be ready at once."""


@pytest.mark.parametrize(
    "field",
    [
        {"name": 3}, {"start": None}, {"stop": 3}, {"needs": "database"}, {"priority": "first"}, {"timeout": 0},
        {"timeout": "1"}, {"attempts": 0}, {"attempts": 1.5}, {"backoff": -1}, {"seconds": float("nan")},
    ],
)  # fmt: skip
def test_an_impossible_component_is_refused_when_it_is_made(field: dict[str, Any]) -> None:
    [(name, value)] = field.items()
    with pytest.raises(ConfigError, match=f"{name} must be .*, got {value!r} ") as caught:
        Component(**{"name": "part", "start": up, **field})
    assert caught.value.key == name
