from __future__ import annotations

import asyncio
import signal
import threading
from typing import TYPE_CHECKING, Any

import pytest
from tests.concurrency.engines import engine

from tenire import ConcurrencyManager
from tenire.concurrency.termination import TERMINATED

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _default() -> Iterator[None]:
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGTERM, before)


def mind() -> Any:
    return signal.getsignal(signal.SIGTERM)


def test_while_there_is_an_engine_sigterm_cancels_what_runs_and_ends_the_program() -> None:
    ended = []

    async def scenario(manager: ConcurrencyManager) -> None:
        async def waits() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                ended.append("cleaned up")

        handle = manager.submit(waits)
        await asyncio.sleep(0)
        asyncio.get_running_loop().call_soon(signal.raise_signal, signal.SIGTERM)
        await handle

    with pytest.raises(SystemExit) as caught:
        engine(scenario)
    assert caught.value.code == TERMINATED == 143
    assert ended == ["cleaned up"]
    assert mind() == signal.SIG_DFL


def test_the_second_one_is_left_to_the_system() -> None:
    with ConcurrencyManager.in_thread(cpu=1, memory=1):
        with pytest.raises(SystemExit):
            signal.raise_signal(signal.SIGTERM)
        assert mind() == signal.SIG_DFL


def test_engines_side_by_side_mind_it_until_the_last_one_ends() -> None:
    first, second = (ConcurrencyManager.in_thread(cpu=1, memory=1) for _ in range(2))
    with first:
        second.__enter__()
        assert callable(mind())
    assert callable(mind())
    second.__exit__(None, None, None)
    assert mind() == signal.SIG_DFL


def test_who_has_a_handler_keeps_it() -> None:
    def own(*_: object) -> None:
        """Somebody's."""

    signal.signal(signal.SIGTERM, own)
    with ConcurrencyManager.in_thread(cpu=1, memory=1):
        assert mind() is own
    assert mind() is own
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with ConcurrencyManager.in_thread(cpu=1, memory=1):
        signal.signal(signal.SIGTERM, own)
    assert mind() is own


def test_an_engine_on_another_thread_leaves_it_alone() -> None:
    seen = []

    def other() -> None:
        with ConcurrencyManager.in_thread(cpu=1, memory=1):
            seen.append(mind())

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert seen == [signal.SIG_DFL]


def test_an_engine_whose_end_was_cancelled_minds_it_no_more() -> None:
    async def main() -> None:
        manager = ConcurrencyManager(cpu=1, memory=1)
        await manager.__aenter__()
        ending = asyncio.get_running_loop().create_task(manager.shutdown())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        ending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await ending

    asyncio.run(main())
    assert mind() == signal.SIG_DFL
