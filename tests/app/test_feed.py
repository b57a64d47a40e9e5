"""What all faces show: the engine's end and the looker-on's, on virtual time."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace
from tests.concurrency.channel_pipes import KEY, dial

from tenire import ConcurrencyManager, ConfigError, RejectedError
from tenire.app.control import EngineControl, _channel
from tenire.app.feed import Feed, Rate, View
from tenire.app.feed.feed import RETRY_S
from tenire.app.feed.happened import KEPT, TOGETHER_S, Happenings
from tenire.app.feed.holdings import Holdings
from tenire.app.feed.pictures import HOLD_S, LEAST_PERIOD_S, Told, Watch
from tenire.app.feed.rates import Curves
from tenire.app.orders import NewWeight
from tenire.app.publish import Besides, publishing
from tenire.app.published import Published, PublishedPipeline, PublishedQuota, from_text
from tenire.concurrency.channel import ChannelClient, LoopChannel
from tenire.concurrency.control_events import OverloadChanged
from tenire.concurrency.signals import Signals
from tenire.pipeline.progress import PipelineProgress, StageProgress
from tenire.storage.home import Home, HomeLock

from .conftest import write

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from tenire.testing import ManualClock, SimLoop


class Engine:
    """An engine with one pipeline that does nothing by itself, and a way to it that can be cut."""

    def __init__(self, manager: ConcurrencyManager, loop: SimLoop, home: Home) -> None:
        self.manager, self.loop, self.home = manager, loop, home
        self.channel: LoopChannel | None = None
        self.besides = Besides()
        self.began = asyncio.Event()
        self.start()

    def start(self) -> None:
        """Begin a new engine's life."""
        self.progress = {"docs": PipelineProgress("docs", state="running", stages=[StageProgress("embed", workers=2)])}
        self.control = EngineControl(self.manager, self.progress, clock=self.loop.clock, besides=self.besides)
        channel = LoopChannel(self.home.path, timer=self.manager.timer, clock=self.loop.clock)
        channel.key = KEY
        self.channel = _channel(self.control, channel)
        self.began.set()

    async def stop(self) -> None:
        if self.channel is not None:
            await self.channel.aclose()
        self.channel = None

    def client(self) -> ChannelClient:
        return ChannelClient(
            self.home.path, timeout=HOLD_S + 3.0, connect=dial(lambda: self.channel), timer=self.manager.timer
        )

    async def lookout(self, seconds: float) -> None:
        """Wait for a new engine's life, as the key of a real one tells of it."""
        self.began.clear()
        alarm = self.manager.timer.after(seconds, self.began.set)
        try:
            await self.began.wait()
        finally:
            alarm.cancel()

    def feed(self, **options: Any) -> Feed:
        return Feed(
            self.home, clock=self.loop.clock, client=self.client(), lookout=self.lookout, timer=self.manager.timer,
            **options,
        )  # fmt: skip

    async def work(self, seconds: float) -> None:
        """Finish a thousand files a second."""
        for _ in range(round(seconds * 1000)):
            self.progress["docs"].done += 1
            await asyncio.sleep(0.001)


@pytest.fixture
def engine(sim_loop: SimLoop, tmp_path: Path) -> Callable[..., Any]:
    home = Home(tmp_path / "home")

    def run(scenario: Callable[[Engine], Awaitable[Any]]) -> Any:
        async def main() -> Any:
            async with ConcurrencyManager(clock=sim_loop.clock, cpu=1, memory=1) as manager:
                made = Engine(manager, sim_loop, home)
                try:
                    return await scenario(made)
                finally:
                    await made.stop()

        return sim_loop.run_until_complete(main())

    return run


async def until(feed: Feed, true: Callable[[View], object]) -> View:
    """Wait for a view."""
    async with asyncio.timeout(60):
        view = feed.view
        while not true(view):
            view = await feed.newer(view.number)
    return view


# -- the engine's end ---------------------------------------------------------


def test_who_asks_gets_the_picture_at_once_and_then_the_next_that_differs(engine: Any, sim_loop: SimLoop) -> None:
    async def scenario(engine: Engine) -> None:
        first = await engine.control.watch(Watch())
        assert sim_loop.time() == 0.0
        told = from_text(first.picture, Published)
        docs = told.pipelines["docs"]
        assert (docs.state, docs.weight, docs.unit, docs.listed, docs.fraction) == ("running", 1.0, "file", False, None)
        assert [(stage.name, stage.workers) for stage in docs.stages] == [("embed", 2)]
        assert told.resources["cpu"].capacity == 1.0
        asking = asyncio.create_task(engine.control.watch(Watch(first.engine, first.number, 99)))
        await asyncio.sleep(1.05)
        assert not asking.done(), "nothing has changed"
        engine.progress["docs"].seen = 4
        second = await asking
        assert sim_loop.time() == pytest.approx(1.1, abs=0.02)
        assert second.number == first.number + 1
        assert from_text(second.picture, Published).pipelines["docs"].totals["seen"] == 4

    engine(scenario)


def test_who_waits_hears_after_a_while_that_the_engine_lives(engine: Any, sim_loop: SimLoop) -> None:
    async def scenario(engine: Engine) -> None:
        first = await engine.control.watch(Watch())
        again = await engine.control.watch(Watch(first.engine, first.number, 99))
        assert sim_loop.time() == pytest.approx(HOLD_S, abs=0.001)
        assert (again.number, again.picture, again.events) == (first.number, "", [])

    engine(scenario)


def test_the_engine_is_looked_at_for_all_together_and_ten_times_a_second_at_most(
    engine: Any, sim_loop: SimLoop
) -> None:
    async def scenario(engine: Engine) -> None:
        got: list[list[float]] = [[] for _ in range(20)]

        async def follow(times: list[float]) -> None:
            told = Told("", 0, "", [])
            while True:
                told = await engine.control.watch(Watch(told.engine, told.number, 99))
                times.append(sim_loop.time())

        following = [asyncio.create_task(follow(times)) for times in got]
        await engine.work(10.0)
        looks = engine.control._pictures.looks
        for task in following:
            task.cancel()
        await asyncio.wait(following)
        assert 98 <= looks <= 101
        for times in got:
            assert len(times) <= 101
            assert all(later - earlier > 0.09 for earlier, later in itertools.pairwise(times))
        await asyncio.sleep(10.0)
        assert engine.control._pictures.looks == looks, "nobody waits, so nobody looks"
        assert len(engine.manager.timer) <= 1

    engine(scenario)


def test_who_is_slow_gets_the_latest_picture_only(engine: Any) -> None:
    async def scenario(engine: Engine) -> None:
        told = await engine.control.watch(Watch())
        seen = []
        for _ in range(3):
            await engine.work(5.0)
            told = await engine.control.watch(Watch(told.engine, told.number, 99))
            seen.append(from_text(told.picture, Published).pipelines["docs"].finished)
        assert seen == [5_000, 10_000, 15_000]

    engine(scenario)


def test_nobody_can_have_the_engine_looked_at_without_end(engine: Any) -> None:
    async def scenario(engine: Engine) -> None:
        for _ in range(200):
            await engine.control.watch(Watch(period=-1.0))
        assert engine.control._pictures.looks == 1
        told = await engine.control.watch(Watch())
        working = asyncio.create_task(engine.work(1.0))
        for _ in range(10):
            told = await engine.control.watch(Watch(told.engine, told.number, 99, period=0.0))
        await working
        assert engine.control._pictures.looks <= 1 + 1.0 / LEAST_PERIOD_S

    engine(scenario)


@pytest.mark.parametrize("busy", [False, True])
def test_what_changes_is_seen_within_thirty_milliseconds_by_who_asks_so_often(
    engine: Any, sim_loop: SimLoop, busy: bool
) -> None:
    async def scenario(engine: Engine) -> None:
        late: list[float] = []
        async with engine.feed(period=0.025) as feed:
            await until(feed, lambda view: view.attached)
            working = asyncio.create_task(engine.work(60.0 if busy else 0.0))
            for number in range(1, 100):
                await asyncio.sleep(0.05 + (number * 0.618) % 0.5)
                engine.progress["docs"].unchanged = number
                changed_at = sim_loop.time()
                await until(feed, lambda view, number=number: view.pipelines["docs"].totals["unchanged"] == number)  # type: ignore[misc]
                late.append(sim_loop.time() - changed_at)
            await working
        assert max(late) < 0.03

    engine(scenario)


def make_looks_last(engine: Engine, sim_loop: SimLoop, takes: float) -> Any:
    """Let each look at an engine take so many seconds; return who looks."""
    pictures, held_up = engine.control._pictures, [0.0]
    look = pictures._look

    class Costly:
        """Tells once that a look has taken so long."""

        def now(self) -> float:
            late, held_up[0] = held_up[0], 0.0
            return sim_loop.clock.now() + late

    def slow() -> Published:
        published = look()
        held_up[0] = takes
        return published

    pictures._look, pictures._clock = slow, Costly()  # type: ignore[assignment]
    return pictures


@pytest.mark.parametrize(("takes", "looks"), [(0.0001, 400), (0.001, 196), (0.01, 91)])
def test_looks_that_take_long_come_less_often(engine: Any, sim_loop: SimLoop, takes: float, looks: int) -> None:
    async def scenario(engine: Engine) -> None:
        pictures = make_looks_last(engine, sim_loop, takes)
        async with engine.feed(period=0.025) as feed:
            await until(feed, lambda view: view.attached)
            before = pictures.looks
            await asyncio.sleep(10.0)
            assert pictures.looks - before == pytest.approx(looks, rel=0.05)

    engine(scenario)


@pytest.mark.parametrize("takes", [0.0001, 0.002])
def test_what_people_wait_for_is_seen_at_once_also_where_looks_take_long(
    engine: Any, sim_loop: SimLoop, takes: float
) -> None:
    async def scenario(engine: Engine) -> None:
        make_looks_last(engine, sim_loop, takes)
        late: list[float] = []
        async with engine.feed(period=0.025) as feed:
            await until(feed, lambda view: view.attached)
            for number in range(1, 100):
                await asyncio.sleep(0.1 + (number * 0.618) % 0.5)
                began = sim_loop.time()
                if number % 3:
                    state = "paused" if number % 2 else "running"
                    (engine.control.pause if number % 2 else engine.control.resume)("docs")
                    await until(feed, lambda view, state=state: view.pipelines["docs"].totals["state"] == state)  # type: ignore[misc]
                else:
                    engine.control.happenings.add("engine", "", f"event {number}")
                    await until(feed, lambda view, number=number: view.events[-1].text == f"event {number}")  # type: ignore[misc]
                late.append(sim_loop.time() - began)
        assert max(late) < 0.03

    engine(scenario)


@pytest.mark.parametrize(("takes", "most"), [(0.001, 500), (0.01, 100)])
def test_however_much_happens_looks_leave_the_loop_to_others(
    engine: Any, sim_loop: SimLoop, takes: float, most: int
) -> None:
    async def scenario(engine: Engine) -> None:
        pictures = make_looks_last(engine, sim_loop, takes)
        async with engine.feed(period=0.02) as feed:
            await until(feed, lambda view: view.attached)
            before = pictures.looks
            for number in range(10_000):
                engine.control.happenings.add("engine", "", f"event {number}")
                await asyncio.sleep(0.001)
            assert 0.2 * most <= pictures.looks - before <= most + 1

    engine(scenario)


def test_a_picture_of_another_engine_counts_for_nothing(engine: Any) -> None:
    async def scenario(engine: Engine) -> None:
        told = await engine.control.watch(Watch("another", 1_000, 1_000))
        assert told.number == 1
        assert [event.kind for event in told.events] == ["engine", "pipeline"]

    engine(scenario)


def test_a_weight_is_changed_and_told(engine: Any) -> None:
    async def scenario(engine: Engine) -> None:
        first = await engine.control.watch(Watch())
        assert engine.control.weight(NewWeight("docs", 2.5)) == {"pipeline": "docs", "weight": 2.5}
        second = await engine.control.watch(Watch(first.engine, first.number, first.events[-1].number))
        assert from_text(second.picture, Published).pipelines["docs"].weight == 2.5
        with pytest.raises(ConfigError, match="weight"):
            engine.control.weight(NewWeight("docs", -1.0))
        with pytest.raises(ConfigError, match="this engine runs no pipeline 'dosc'"):
            engine.control.weight(NewWeight("dosc", 1.0))

    engine(scenario)


def test_an_engine_without_a_quarantine_says_so(engine: Any) -> None:
    async def scenario(engine: Engine) -> None:
        with pytest.raises(RejectedError, match="keeps no quarantine"):
            await engine.control.retry(None)

    engine(scenario)


# -- events -------------------------------------------------------------------


def picture(**pipelines: PublishedPipeline) -> Published:
    return Published(7, 0.0, "normal", None, 0, 0, dict(pipelines))


def pipeline(
    state: str = "running", *, priority: str = "", weight: float = 1.0, breaker: str = "", **totals: Any
) -> Any:
    facts = {"state": state, "quarantined": 0, "done": 0} | totals
    return PublishedPipeline(facts, 0, 0, [], priority=priority, weight=weight, breaker=breaker)


@pytest.fixture
def told(manual_clock: ManualClock) -> Callable[..., list[tuple[str, str]]]:
    """Returns what is told of pictures, without what is told of the first."""

    def run(*pictures: Published) -> list[tuple[str, str]]:
        happenings = Happenings(manual_clock)
        happenings.saw(pictures[0])
        first = happenings.number
        for each in pictures[1:]:
            happenings.saw(each)
        return [(event.text, event.severity) for event in happenings.since(first)]

    return run


def test_what_changes_between_two_pictures_is_an_event(told: Any) -> None:
    states = ["waiting", "running", "paused", "running", "watching", "running"]
    assert told(*(picture(docs=pipeline(state)) for state in states)) == [
        ("docs began", "info"),
        ("docs was paused", "warning"),
        ("docs goes on", "info"),
        ("docs is up to date, and watches its source", "good"),
        ("docs takes in what changed", "info"),
    ]
    ended = pipeline("done", done=1_200, unchanged=3, quarantined=2)
    assert told(picture(docs=pipeline(quarantined=2)), picture(docs=ended)) == [
        ("docs is done: 1,200 files done, 3 unchanged, 2 in quarantine", "good")
    ]
    assert told(picture(docs=pipeline()), picture(docs=pipeline("failed", error="no room"))) == [
        ("docs failed: no room", "bad")
    ]
    changed = pipeline(priority="high", weight=3.0)
    assert told(picture(docs=pipeline(priority="normal")), picture(docs=changed)) == [
        ("docs has priority high now, it was normal", "info"),
        ("docs has weight 3 now, it was 1", "info"),
    ]


def test_the_state_of_a_provider_is_told_when_it_changes(told: Any) -> None:
    states = ["", "closed", "open", "half_open", "closed"]
    assert told(*(picture(docs=pipeline(breaker=state)) for state in states)) == [
        ("docs: its provider is down, calls wait", "bad"),
        ("docs: its provider is being tried again", "warning"),
        ("docs: its provider answers again", "good"),
    ]


def test_a_pause_of_a_quota_is_told_once(told: Any) -> None:
    def paused(seconds: int) -> Published:
        quota = PublishedQuota({}, 0, 4, 0, 0, seconds)
        return Published(7, 0.0, "normal", None, 0, 0, {}, quotas={"main": quota})

    assert told(paused(0), paused(9), paused(8), paused(0)) == [
        ("the provider of main takes no calls for 9 s", "warning")
    ]


def test_overload_of_batch_work_is_told_and_so_is_its_end(manual_clock: ManualClock) -> None:
    happenings, signals = Happenings(manual_clock), Signals()
    with ExitStack() as listening:
        happenings.listen(signals, listening)
        signals.emit(OverloadChanged(("idle",), (), 3.0, "work waited 3 s, so idle work goes last"))
        signals.emit(OverloadChanged((), ("idle",), None, "it waits no longer"))
    assert [(event.kind, event.text, event.severity) for event in happenings.since(0)] == [
        ("load", "work waited 3 s, so idle work goes last", "warning"),
        ("load", "it waits no longer", "good"),
    ]


def test_what_cannot_be_used_is_told_together(manual_clock: ManualClock) -> None:
    happenings = Happenings(manual_clock)
    for count in range(1, 1_001):
        manual_clock.advance(TOGETHER_S / 100)
        happenings.saw(picture(docs=pipeline(quarantined=count)))
    happenings.saw(picture(docs=pipeline("done", quarantined=1_003)))
    texts = [event.text for event in happenings.since(0) if event.kind == "quarantine"]
    assert len(texts) == 11
    assert texts[0] == "1 more of docs cannot be used, 1 in all"
    assert texts[-1].endswith("more of docs cannot be used, 1,003 in all"), "the end is told at once"


def test_the_last_events_are_kept_and_names_that_are_no_text_can_be_sent(manual_clock: ManualClock) -> None:
    happenings = Happenings(manual_clock)
    for number in range(KEPT + 50):
        happenings.add("engine", "", f"event {number} \udcff")
    kept = happenings.since(0)
    assert [event.number for event in kept] == list(range(51, KEPT + 51))
    assert kept[-1].text == f"event {KEPT + 49} \\udcff"
    assert [event.number for event in happenings.since(KEPT + 48)] == [KEPT + 49, KEPT + 50]
    assert happenings.since(KEPT + 50) == []


def test_who_begins_to_look_on_knows_how_fast_it_is_from_the_first_view_on(
    engine: Any, sim_loop: SimLoop, tmp_path: Path
) -> None:
    Home(tmp_path / "home").create()

    async def scenario(engine: Engine) -> None:
        docs = engine.progress["docs"]
        docs.listed, docs.bytes_seen = True, 1_000_000
        telling = (engine.home, engine.manager, engine.progress)
        async with publishing(*telling, clock=sim_loop.clock, besides=engine.besides):
            for _ in range(400):
                docs.bytes_done += 1_000
                docs.done += 1
                await asyncio.sleep(0.1)
            began = sim_loop.time()
            async with engine.feed() as feed:
                view = await until(feed, lambda view: view.attached)
                assert sim_loop.time() - began < 0.01
                rate = view.rates["docs"]
                assert (rate.items, rate.speed) == (pytest.approx(10, rel=0.1), pytest.approx(10_000, rel=0.1))
                assert rate.left == pytest.approx(60.0, abs=6.0)
                assert 39 <= len(view.samples) <= 42, "and what was before"
                times = [sample.at for sample in view.samples]
                assert all(later - earlier < 1.2 for earlier, later in itertools.pairwise(times))
                assert view.samples[-1].items == pytest.approx(10, rel=0.1)
                async with engine.feed() as another:
                    assert (await until(another, lambda view: view.attached)).rates == feed.view.rates
                await engine.work(3.0)
                times = [sample.at for sample in feed.view.samples]
                assert 42 <= len(times) <= 46
                assert times == sorted(set(times))
            docs.state = "done"
            await asyncio.sleep(1.0)
            async with engine.feed() as feed:
                assert (await until(feed, lambda view: view.attached)).rates["docs"] == Rate()

    engine(scenario)


@pytest.mark.parametrize("period", [0.999, 0.1])
def test_there_is_a_sample_a_second_however_often_somebody_looks(period: float) -> None:
    curves, engine = Curves(), Published(1, 0.0, "normal", None, 0, 0, {})
    for look in range(round(100 / period)):
        curves.update(engine, {}, now=look * period)
    assert 99 <= len(curves.samples) <= 101


def test_the_curves_go_on_over_the_end_of_an_engine_and_take_in_what_the_next_one_knows(
    engine: Any, sim_loop: SimLoop
) -> None:
    async def scenario(engine: Engine) -> None:
        async with engine.feed() as feed:
            await until(feed, lambda view: view.attached)
            await engine.work(5.0)
            await engine.stop()
            await until(feed, lambda view: view.link == "gone")
            before = len(feed.view.samples)
            engine.start()
            channel, engine.channel = engine.channel, None
            for _ in range(10):  # it runs, and cannot be reached yet
                engine.control.status()
                await asyncio.sleep(1.0)
            engine.channel = channel
            await until(feed, lambda view: view.attached)
            assert before + 9 <= len(feed.view.samples) <= before + 12

    engine(scenario)


def test_the_curves_of_an_engine_that_is_idle_go_on_and_no_sample_comes_twice(engine: Any, sim_loop: SimLoop) -> None:
    async def scenario(engine: Engine) -> None:
        async with engine.feed() as feed:
            await until(feed, lambda view: view.attached)
            for _ in range(30):
                await asyncio.sleep(1.0)
                times = [sample.at for sample in feed.view.samples]
                assert times == sorted(set(times)), "each once"
                assert times[-1] >= sim_loop.clock.wall() - HOLD_S - 1.1
            assert 28 <= len(times) <= 31

    engine(scenario)


def test_samples_are_sent_once_also_when_the_clock_on_the_wall_is_put_back(engine: Any, sim_loop: SimLoop) -> None:
    async def scenario(engine: Engine) -> None:
        first = await engine.control.watch(Watch())
        assert (len(first.samples), first.sampled) == (1, 1)
        known = Watch(first.engine, first.number, 99, 0.1, first.sampled)
        second = await engine.control.watch(known)
        assert (len(second.samples), second.sampled) == (2, 3)
        assert first.samples[0] not in second.samples
        assert (await engine.control.watch(Watch())).samples == first.samples + second.samples
        sim_loop.clock.step_wall(-3600.0)
        third = await engine.control.watch(replace(known, sampled=second.sampled))
        assert (len(third.samples), third.sampled) == (2, 5)
        assert third.samples[-1].at < first.samples[0].at

    engine(scenario)


# -- the looker-on's end ------------------------------------------------------


def test_a_feed_shows_what_the_engine_does(engine: Any) -> None:
    async def scenario(engine: Engine) -> None:
        async with engine.feed() as feed:
            view = await until(feed, lambda view: view.attached)
            assert (view.note, view.pipelines["docs"].state) == ("", "running")
            assert [event.text for event in view.events][1:] == ["docs began"]
            engine.progress["docs"].listed = True
            engine.progress["docs"].bytes_seen = 400_000
            for _ in range(200):
                engine.progress["docs"].bytes_done += 1_000
                engine.progress["docs"].done += 1
                await asyncio.sleep(0.1)
            view = feed.view
            assert view.pipelines["docs"].fraction == pytest.approx(0.5, abs=0.02)
            assert view.rates["docs"].speed == pytest.approx(10_000, rel=0.1)
            assert view.rates["docs"].items == pytest.approx(10, rel=0.1)
            assert view.rates["docs"].left == pytest.approx(20.0, abs=3.0)
            assert 19 <= len(view.samples) <= 21

    engine(scenario)


def test_ten_views_a_second_are_the_most_and_who_reads_seldom_reads_the_latest(engine: Any) -> None:
    async def scenario(engine: Engine) -> None:
        views: list[View] = []
        async with engine.feed(on_view=views.append) as feed:
            await until(feed, lambda view: view.attached)
            views.clear()
            working = asyncio.create_task(engine.work(10.0))
            seen = []
            async for view in feed:
                seen.append(view.pipelines["docs"].finished)
                if len(seen) == 4:
                    break
                await asyncio.sleep(3.0)
            await working
            assert 90 <= len(views) <= 101
            assert [round(count, -3) for count in seen] == [0, 3_000, 6_000, 9_000]

    engine(scenario)


def test_an_engine_that_ends_and_another_that_starts_are_noticed_at_once(engine: Any, sim_loop: SimLoop) -> None:
    async def scenario(engine: Engine) -> None:
        async with engine.feed() as feed:
            await until(feed, lambda view: view.attached)
            await engine.work(3.0)
            gone_at = sim_loop.time()
            await engine.stop()
            view = await until(feed, lambda view: view.link == "gone")
            assert sim_loop.time() - gone_at < 0.5
            assert "no engine is running" in view.note
            docs = view.pipelines["docs"]
            assert docs.state == "interrupted"
            assert docs.finished > 2_800, "as it was told last: the ledger knows nothing"
            feed._renew_holdings()
            again = await feed.newer(view.number)
            assert again.pipelines == view.pipelines, "also when the ledger is read again"
            assert view.engine is not None, "what it told last"
            await asyncio.sleep(100.0)
            engine.start()
            engine.progress["docs"].done = 5
            back_at = sim_loop.time()
            view = await until(feed, lambda view: view.attached)
            assert sim_loop.time() - back_at < 0.01
            assert (view.pipelines["docs"].finished, view.note) == (5, "")
            assert [event.text for event in view.events if event.kind == "pipeline"] == ["docs began", "docs began"]

    engine(scenario)


def test_an_engine_that_was_killed_and_holds_its_home_for_a_moment_more_is_gone_soon(
    engine: Any, sim_loop: SimLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    owners = iter([4711])

    async def scenario(engine: Engine) -> None:
        async with engine.feed() as feed:
            await until(feed, lambda view: view.attached)
            monkeypatch.setattr(Home, "owner", lambda _: next(owners, None))
            await engine.stop()
            assert (await until(feed, lambda view: not view.attached)).link == "silent"
            lost_at = sim_loop.time()
            await until(feed, lambda view: view.link == "gone")
            assert sim_loop.time() - lost_at < 0.35

    engine(scenario)


def test_where_no_engine_is_it_is_tried_and_the_home_looked_at_seldom(
    engine: Any, sim_loop: SimLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []
    owner = Home.owner

    def count(home: Home) -> int | None:
        asked.append(sim_loop.time())
        return owner(home)

    async def scenario(engine: Engine) -> None:
        await engine.stop()
        monkeypatch.setattr(Home, "owner", count)
        async with engine.feed() as feed:
            await asyncio.sleep(20.0)
            assert 20 / RETRY_S - 1 <= feed.looks <= 20 / RETRY_S + 1
            assert 20 / RETRY_S - 1 <= len(asked) <= feed.looks

    engine(scenario)


def test_a_run_that_came_and_went_between_two_looks_is_seen_in_its_ledger(
    engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = itertools.count(1)
    monkeypatch.setattr("tenire.app.feed.feed.read_holdings", lambda *_, **__: Holdings(documents=next(numbers)))

    async def scenario(engine: Engine) -> None:
        await engine.stop()
        async with engine.feed() as feed:
            await asyncio.sleep(20.0)
            assert (feed.view.link, feed.view.documents) == ("gone", 1), "nothing changed: it is read once"
            write(engine.home.ledger_path, "changed")
            await asyncio.sleep(20.0)
            assert (feed.view.link, feed.view.documents) == ("gone", 2)

    engine(scenario)


def test_an_engine_that_does_not_answer_is_told_apart_from_none(engine: Any) -> None:
    async def scenario(engine: Engine) -> None:
        async with engine.feed() as feed:
            await until(feed, lambda view: view.attached)
            lock = HomeLock(engine.home)
            await asyncio.to_thread(lock.acquire)
            await engine.stop()
            view = await until(feed, lambda view: view.link == "silent")
            assert "is running (pid" in view.note
            assert "does not answer" in view.note
            assert view.pipelines["docs"].state == "running", "as it was last"
            await asyncio.to_thread(lock.release)
            view = await until(feed, lambda view: view.link == "gone")

    engine(scenario)


def test_an_engine_of_another_version_is_told_and_does_not_end_the_feed(engine: Any) -> None:
    async def scenario(engine: Engine) -> None:
        assert engine.channel is not None
        engine.channel._operations["watch"]._fn = lambda _: ["something", "else"]
        async with engine.feed() as feed:
            await asyncio.sleep(5.0)
            assert feed.view.link == "gone"
            assert feed._following is not None
            assert not feed._following.done()

    engine(scenario)


def test_leaving_ends_who_waits_for_a_view(engine: Any) -> None:
    async def scenario(engine: Engine) -> None:
        async with engine.feed() as feed:
            view = await until(feed, lambda view: view.attached)
            waiting = asyncio.create_task(feed.newer(view.number + 1_000))
            await asyncio.sleep(1.0)
        await asyncio.wait([waiting])
        assert waiting.cancelled()
        assert await feed.newer(0) is feed.view
        with pytest.raises(RejectedError, match="is closed"):
            await feed.newer(feed.view.number)

    engine(scenario)


def test_on_the_loop_of_an_engine_its_waits_hang_on_the_engine_s_timer(engine: Any) -> None:
    async def scenario(engine: Engine) -> None:
        await engine.stop()
        timer = engine.manager.timer
        before = len(timer)
        async with engine.feed() as feed:
            await until(feed, lambda view: view.note != "looking for an engine")
            await asyncio.sleep(0.01)
            assert len(timer) == before + 1, "the next try"
        assert len(timer) == before

    engine(scenario)


def test_a_bug_ends_it_and_is_told_to_who_waits_for_its_end(engine: Any) -> None:
    async def scenario(engine: Engine) -> None:
        def broken(_: View) -> None:
            raise ZeroDivisionError

        async with engine.feed(on_view=broken) as feed:
            with pytest.raises(ZeroDivisionError):
                await feed.ended

    engine(scenario)


def test_without_an_engine_it_has_a_timer_of_its_own_and_closes_it(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")

    async def scenario() -> None:
        async with Feed(home) as feed:
            await until(feed, lambda view: view.note != "looking for an engine")
            own = feed._timer
            assert own is not None
            assert own.after(60.0, lambda: None).active
        assert not own.after(60.0, lambda: None).active

    asyncio.run(scenario())
