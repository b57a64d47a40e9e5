"""Who looks at an engine, and acts on it, is cancelled at each await."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from typing import TYPE_CHECKING, Any

import pytest

from tenire.app import apart
from tenire.app.config import ingest_config
from tenire.app.feed import Feed
from tenire.app.runs import run_config
from tenire.concurrency.channel import endpoint
from tenire.errors import ChannelError, RejectedError, TenireError
from tenire.storage.home import Home
from tenire.storage.ledger import Ledger
from tenire.testing import LeakGuard, cancel_sweep
from tenire.testing.leaks import ALLOWANCES, Allowance

from .conftest import ZEBRAS, write

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable, Coroutine
    from pathlib import Path

    from tenire.app.apart import Apart
    from tenire.app.feed import Outcome

# The check runs on the loop that the scenario had: that one is still there.
_OF_THE_LOOP = (
    Allowance("task", ".*_Real.__call__.*", "it runs the check"),
    Allowance("thread", r"(asyncio|uvloop)_\d+", "they end with the loop"),
    Allowance("file", "(socket|pipe|anon_inode):.*|/dev/null", "they wake the loop, and wait for its processes"),
)


async def look(feed: Feed) -> None:
    assert (await feed.newer(0)).number == 1
    view = await feed.newer(1)
    assert not view.attached


async def act(feed: Feed) -> None:
    actions = feed.actions
    with pytest.raises(TenireError):
        await actions.pause("docs")
    with pytest.raises(TenireError):
        await actions.resume("docs")
    with pytest.raises(TenireError):
        await actions.cancel("docs")
    with pytest.raises(TenireError):
        await actions.end(["docs", "notes"])
    with pytest.raises(TenireError):
        await actions.priority("docs", "low")
    with pytest.raises(TenireError):
        await actions.weight("docs", 2.0)
    with pytest.raises(TenireError):
        await actions.why("nothing")


async def retry(feed: Feed) -> None:
    assert (await feed.actions.retry()).facts["requeued"] == 0


async def search(feed: Feed) -> None:
    assert (await feed.actions.search("zebras", mode="text")).hits


async def wait_for_its_end(feed: Feed) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.05):
            await feed.ended
    assert (await feed.newer(1)).number > 1, "it goes on"


@pytest.mark.parametrize("scene", [look, act, retry, search, wait_for_its_end])
def test_a_feed_without_an_engine(tmp_path: Path, scene: Callable[[Feed], Awaitable[None]]) -> None:
    home = tmp_path / "home"
    docs = write(tmp_path / "docs" / "a.txt", ZEBRAS).parent
    run_config(ingest_config([str(docs)], home=home, embedder="static"))
    guard, place = LeakGuard((*ALLOWANCES, *_OF_THE_LOOP)), Home(home)

    async def scenario() -> None:
        async with Feed(place) as feed:
            await scene(feed)

    asyncio.run(scenario())  # what libraries make once and keep
    before = guard.snapshot()

    async def check() -> None:
        for process in apart._left:  # a retry goes on by design
            process.kill()
            process.wait()
        assert not guard.compare(before)

    found = cancel_sweep(scenario, check=check, loop_factory=asyncio.new_event_loop, may_finish=True)
    assert found.runs >= 3


def _with_a_quarantine(tmp_path: Path) -> Home:
    """Return a home that has an item to try again."""
    write(tmp_path / "docs" / "a.pdf", "%PDF-1.4 this is no document")
    home = Home(tmp_path / "home")
    run_config(ingest_config([str(tmp_path / "docs")], home=home.path, embedder="static"))
    return home


async def _begin_retry(feed: Feed) -> asyncio.Task[Outcome]:
    """Have everything tried again; return once that goes on."""
    retrying = asyncio.get_running_loop().create_task(feed.actions.retry())
    async with asyncio.timeout(60):
        while feed.actions._retrying is None:  # noqa: ASYNC110 - it has to be in the middle of things
            await asyncio.sleep(0.001)
    return retrying


def _ended_well(retry: Apart, home: Home) -> None:
    """Check that a retry has done its work, once it has ended."""
    assert retry.process.wait(60) in (0, 3)
    with Ledger.read(home) as ledger:
        (entry,) = ledger.quarantine.entries(newest=9)
    assert (entry.attempts, entry.retrying) == (2, False), "it was tried again"


@pytest.mark.parametrize("close", [False, True])
def test_a_retry_goes_on_when_its_caller_is_cancelled_and_its_feed_closed(tmp_path: Path, close: bool) -> None:
    """As the window does it at its end: the callers first, then the feed."""
    home = _with_a_quarantine(tmp_path)

    async def main() -> Apart:
        async with Feed(home) as feed:
            retrying = await _begin_retry(feed)
            retry = feed.actions._retrying
            assert retry is not None
            retrying.cancel()
            with pytest.raises(asyncio.CancelledError):
                await retrying
            if not close:
                await asyncio.to_thread(_ended_well, retry, home)
        return retry

    _ended_well(asyncio.run(main()), home)


@pytest.mark.parametrize("ctrl_c", [signal.default_int_handler, signal.SIG_IGN], ids=["minded", "ignored"])
def test_a_retry_goes_on_when_its_feed_is_closed_and_who_waits_for_it_is_told(
    tmp_path: Path, ctrl_c: Callable[..., object] | signal.Handlers
) -> None:
    """Also where Ctrl-C is ignored, as in the window and in jobs of a script: what it starts inherits that."""
    home = _with_a_quarantine(tmp_path)

    async def main() -> Apart:
        async with Feed(home) as feed:
            retrying = await _begin_retry(feed)
            retry = feed.actions._retrying
        await asyncio.wait([retrying])
        with pytest.raises(RejectedError, match="nobody waits any more"):
            retrying.result()
        with pytest.raises(RejectedError, match="closed"):
            await feed.actions._retry_now(None)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert retry is not None
        return retry

    before = signal.signal(signal.SIGINT, ctrl_c)
    try:
        retry = asyncio.run(main())
    finally:
        signal.signal(signal.SIGINT, before)
    _ended_well(retry, home)


def test_a_feed_that_is_cancelled_while_it_closes_leaves_nothing_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dialling, go_on = threading.Event(), threading.Event()

    def dial(directory: Path) -> tuple[bytes, socket.socket]:
        dialling.set()
        assert go_on.wait(60)
        raise ChannelError("no engine listens", hint="")

    monkeypatch.setattr(endpoint, "_dial", dial)

    async def enter_and_leave(feed: Feed, waiting: list[asyncio.Task[object]]) -> None:
        async with feed:
            waiting.append(asyncio.get_running_loop().create_task(feed.newer(1_000)))
            assert await asyncio.to_thread(dialling.wait, 60)

    feed = Feed(Home(tmp_path / "home"))

    async def main() -> None:
        waiting: list[asyncio.Task[object]] = []
        using = asyncio.get_running_loop().create_task(enter_and_leave(feed, waiting))
        following = await _follower(feed)
        while not following.cancelling():  # noqa: ASYNC110 - it has to be in the middle of things
            await asyncio.sleep(0.001)
        for _ in range(3):
            using.cancel()
            await asyncio.wait([using], timeout=0.01)
        assert not using.done(), "its connection is under way"
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await using
        assert following.done()
        with pytest.raises(asyncio.CancelledError):
            await waiting[0]
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(_limited(main()))


async def _follower(feed: Feed) -> asyncio.Task[None]:
    while feed._following is None:  # noqa: ASYNC110 - as above
        await asyncio.sleep(0.001)
    return feed._following


async def _limited(scenario: Coroutine[Any, Any, None]) -> None:
    async with asyncio.timeout(60):  # on 3.11, `wait_for` would be a task of its own
        await scenario
