from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest

from tenire.clock import SYSTEM_CLOCK
from tenire.errors import HomeBusyError, StoreError
from tenire.pipeline.home_session import HomeSession
from tenire.storage.home import Home

from .sim_engine import SimStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from tenire.protocols import Batch, Document


class SlowStore(SimStore):
    """Holds a commit until the test lets it go."""

    def __init__(self) -> None:
        super().__init__()
        self.entered, self.go_on = threading.Event(), threading.Event()
        self.closed = False

    def commit(self, batch: Batch) -> None:
        self.entered.set()
        assert self.go_on.wait(20)
        super().commit(batch)

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def session_on(home: Home, store: SimStore) -> HomeSession:
    return HomeSession(home, lambda: store, clock=SYSTEM_CLOCK)


def test_the_store_is_opened_once_and_only_when_it_is_needed(home: Home) -> None:
    opened: list[SimStore] = []

    def open_store() -> SimStore:
        opened.append(SimStore())
        return opened[-1]

    with HomeSession(home, open_store, clock=SYSTEM_CLOCK) as session:
        session.recover()
        assert opened == []
        assert session.open_store() is session.open_store()
    assert len(opened) == 1


def test_a_second_session_is_refused_and_the_first_is_not_disturbed(home: Home) -> None:
    with session_on(home, SimStore()) as first:
        with pytest.raises(HomeBusyError), session_on(home, SimStore()):
            pass
        first.start_run("p", "r")
    with session_on(home, SimStore()):
        pass


def test_a_home_is_given_back_only_when_the_last_commit_has_ended(
    home: Home, document: Callable[..., Document], vectors: Callable[..., NDArray]
) -> None:
    store = SlowStore()
    one = document("/a", "one two")
    with session_on(home, store) as session:
        run = session.start_run("p", "r")
        writer = threading.Thread(target=session.commit, args=(run, [one], vectors(one)))
        writer.start()
        assert store.entered.wait(20)
    # Left, but a thread that could not be stopped still writes.
    assert not store.closed
    with pytest.raises(HomeBusyError), session_on(home, store):
        pass
    store.go_on.set()
    writer.join(20)
    assert store.closed
    with session_on(home, store) as session:
        assert session.recover() is None  # the commit was noted: nothing is left open
        assert set(session.ledger.sources.passages()[0]) == {one.id}


def test_nothing_is_written_after_the_session_was_left(home: Home, document: Callable[..., Document]) -> None:
    session = session_on(home, SimStore())
    with session:
        run = session.start_run("p", "r")
    with pytest.raises(StoreError, match="has ended"):
        session.commit(run, linked=[document("/a", "one")])


def test_a_store_that_cannot_be_closed_does_not_keep_the_home(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    store = SimStore()

    def broken() -> None:
        raise StoreError("the disk is gone")

    monkeypatch.setattr(store, "close", broken)
    with pytest.raises(StoreError, match="the disk is gone"), session_on(home, store) as session:
        session.open_store()
    with session_on(home, SimStore()):
        pass


def test_entering_from_a_loop_blocks_nobody_and_a_cancelled_entrance_leaves_no_lock(home: Home) -> None:
    async def main() -> None:
        session = session_on(home, SimStore())
        entering = asyncio.create_task(session.__aenter__())
        await asyncio.sleep(0)
        entering.cancel()
        await asyncio.wait([entering])
        assert entering.cancelled()
        async with session_on(home, SimStore()) as second:
            assert second.ledger is not None

    asyncio.run(main())
