"""Blobs: in memory while nobody needs that, then on disk; sent by name; gone with their engine."""

from __future__ import annotations

import array
import asyncio
import gc
import logging
import os
import pickle
import threading
from typing import TYPE_CHECKING, Any

import pytest
from tests.concurrency import blob_jobs
from tests.concurrency.engines import engine, eventually

from tenire import ConcurrencyManager, Resources
from tenire.concurrency.blocking import run_blocking
from tenire.concurrency.data import blobs as module
from tenire.concurrency.data import manager as data_manager
from tenire.concurrency.data.table import BlobTable
from tenire.concurrency.unbroken import unbroken
from tenire.core.admission import MEMORY
from tenire.errors import ConfigError, RejectedError, StoreError
from tenire.storage.scratch import Scratch
from tenire.testing import cancel_sweep

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from tenire.concurrency.data import Blob
    from tenire.testing import SimLoop

MEMORY_BYTES = 1000


@pytest.fixture(autouse=True)
def shm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place of the test's own where files count as memory."""
    place = tmp_path / "shm"
    place.mkdir()
    monkeypatch.setattr(module, "shared_base", lambda: place)
    return place


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def simulated(loop: SimLoop, home: Path, scenario: Callable[[ConcurrencyManager], Awaitable[Any]], **how: Any) -> Any:
    async def main() -> Any:
        options = {"cpu": 1, "memory": MEMORY_BYTES, **how}
        async with ConcurrencyManager(clock=loop.clock, home=home, **options) as manager:
            return await scenario(manager)

    return loop.run_until_complete(main())


def files(place: Path) -> list[Path]:
    return sorted(place.rglob("*.blob"))


async def settled(manager: ConcurrencyManager) -> None:
    while manager.data_manager.blobs._writes:
        await asyncio.wait(manager.data_manager.blobs._writes)
    await asyncio.sleep(0)


def test_bytes_stay_in_memory_as_they_were_given_and_are_part_of_the_budget(
    sim_loop: SimLoop, home: Path, shm: Path
) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        data, given = manager.data_manager, b"x" * 300
        blob = await data.put(given, name="page")
        assert (blob.where, blob.size, blob.name, data.free) == ("memory", 300, "page", 700)
        with blob.open() as view:
            assert view.obj is given, "it is not copied"
            assert view.readonly
        assert await blob.read() == given
        assert repr(blob) == "<Blob 'page': 300 bytes, memory>"
        blob.release()
        blob.release()
        await asyncio.sleep(0)
        assert (data.free, blob.where) == (1000, None)
        with pytest.raises(RejectedError, match="released"), blob.open():
            pass
        with await data.put(given) as blob:
            assert data.free == 700
        await asyncio.sleep(0)
        assert data.free == 1000

    simulated(sim_loop, home, scenario)
    assert not files(home) + files(shm), "nothing was written"
    assert not (home / "cache").exists()


def test_a_handle_that_nobody_has_gives_its_bytes_back(sim_loop: SimLoop, home: Path) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        data = manager.data_manager
        blob: Blob | None = await data.put(b"x" * 900)
        other = await data.put(b"y" * 900)
        assert (blob.where, other.where) == ("disk", "memory")  # type: ignore[union-attr]
        del blob, other
        gc.collect()
        await asyncio.sleep(0)
        await settled(manager)
        assert data.free == MEMORY_BYTES
        assert data.blobs.statistics().count == 0
        assert not files(home)

    simulated(sim_loop, home, scenario)


def test_what_was_used_longest_ago_goes_to_disk_first(sim_loop: SimLoop, home: Path) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        data = manager.data_manager
        kept = [await data.put(bytes([number]) * 300) for number in range(3)]
        with kept[0].open():
            pass
        kept.append(await data.put(bytes([3]) * 300))
        assert [blob.where for blob in kept] == ["memory", "disk", "memory", "memory"]
        assert len(files(home)) == 1
        for number, blob in enumerate(kept):
            assert await blob.read() == bytes([number]) * 300
        statistics = data.blobs.statistics()
        assert (statistics.memory, statistics.disk, statistics.spilled, statistics.spilled_bytes) == (900, 300, 1, 300)

    simulated(sim_loop, home, scenario)


@pytest.mark.parametrize("how", ["task", "permit", "credit"])
def test_blobs_give_way_to_work_that_lacks_memory(sim_loop: SimLoop, home: Path, how: str) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        data = manager.data_manager
        kept = [await data.put(bytes(300)) for _ in range(3)]

        async def nothing() -> None:
            assert data.free >= 0

        if how == "task":
            await manager.submit(nothing, needs=Resources(memory=500))
        elif how == "permit":
            async with manager.orchestrator.permit(Resources(memory=500)):
                await nothing()
        else:
            async with data.credit(500):
                await nothing()
        assert [blob.where for blob in kept] == ["disk", "disk", "memory"], "no more than had to"
        async with data.credit(5000) as held:
            assert held == MEMORY_BYTES
        assert [blob.where for blob in kept] == ["disk"] * 3
        await asyncio.sleep(0.01)
        assert data.free == MEMORY_BYTES

    simulated(sim_loop, home, scenario)


def test_a_blob_that_is_open_stays_until_it_is_closed(sim_loop: SimLoop, home: Path) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        data = manager.data_manager
        blob = await data.put(bytes(900))
        with blob.open():
            task = manager.submit(asyncio.sleep, 0, needs=Resources(memory=500))
            await asyncio.sleep(60)
            assert (blob.where, task.done()) == ("memory", False)
        await task
        assert blob.where == "disk"

    simulated(sim_loop, home, scenario)


def test_while_work_waits_for_memory_new_blobs_go_to_disk(sim_loop: SimLoop, home: Path) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        data = manager.data_manager
        running = manager.submit(asyncio.sleep, 10, needs=Resources(memory=600))
        await asyncio.sleep(1)
        waiting = manager.submit(asyncio.sleep, 0, needs=Resources(memory=500))
        await asyncio.sleep(0)
        blob = await data.put(bytes(300))
        assert blob.where == "disk", "or the one that waits would wait for it too"
        await running
        await waiting
        assert sim_loop.time() == pytest.approx(10, abs=0.1)

    simulated(sim_loop, home, scenario)


def test_what_fits_neither_memory_nor_disk_is_refused_with_the_numbers(sim_loop: SimLoop, home: Path) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        data = manager.data_manager
        first = await data.put(bytes(1500))
        with pytest.raises(RejectedError, match=r"1,500 bytes fits neither .*1,000 bytes are free.*500 of 2,000"):
            await data.put(bytes(1500))
        first.release()
        await settled(manager)
        assert (await data.put(bytes(1500))).where == "disk"

    simulated(sim_loop, home, scenario, spill=2000)


def test_a_disk_that_is_full_costs_no_blob(
    sim_loop: SimLoop, home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    async def scenario(manager: ConcurrencyManager) -> None:
        data = manager.data_manager
        monkeypatch.setattr(Scratch, "write", full)
        kept = await data.put(b"k" * 600)
        with pytest.raises(StoreError, match=r"'big' of 5,000 bytes .*No space left"):
            await data.put(bytes(5000), name="big")
        assert data.blobs.statistics().disk == 0
        task = manager.submit(asyncio.sleep, 0, needs=Resources(memory=500))
        await asyncio.sleep(35)
        assert (kept.where, task.done()) == ("memory", False)
        with kept.open() as view:
            assert view == b"k" * 600
        monkeypatch.undo()
        await task
        assert sim_loop.time() < 60, "it is tried again by itself"
        assert kept.where == "disk"

    with caplog.at_level(logging.WARNING, logger="tenire.data"):
        simulated(sim_loop, home, scenario)
    assert len(caplog.messages) == 1, "told once"


class NoThreads:
    """Stands for ``run_blocking`` while the system gives no thread."""

    def __init__(self) -> None:
        self.refused = 0

    async def run_blocking(self, fn: Any, *args: Any) -> None:
        if self.refused == 20:  # whoever asks again and again would never end
            return await run_blocking(fn, *args)
        self.refused += 1
        raise RuntimeError("can't start new thread")


def test_a_blob_that_no_thread_can_write_keeps_no_bytes_from_work(
    sim_loop: SimLoop, home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        data = manager.data_manager
        kept = await data.put(b"k" * 600)
        monkeypatch.setattr(module, "run_blocking", NoThreads().run_blocking)
        with pytest.raises(StoreError, match=r"'big' of 5,000 bytes cannot be written .*: can't start new") as refused:
            await data.put(bytes(5000), name="big")
        assert "ulimit -u" in (refused.value.hint or "")
        task = manager.submit(asyncio.sleep, 0, needs=Resources(memory=500))
        await asyncio.sleep(35)
        data.blobs._core.check()
        assert (data.blobs.statistics().count, data.blobs.statistics().disk) == (1, 0)
        assert (kept.where, task.done()) == ("memory", False)
        monkeypatch.undo()
        await task
        assert sim_loop.time() < 60, "it is tried again by itself"
        assert kept.where == "disk"

    with caplog.at_level(logging.WARNING, logger="tenire.data"):
        simulated(sim_loop, home, scenario)
    assert len(caplog.messages) == 1, "told once"


def test_files_that_no_thread_can_remove_are_removed_later(
    sim_loop: SimLoop, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        blob = await manager.data_manager.put(bytes(5000))
        no_threads = NoThreads()
        monkeypatch.setattr(module, "run_blocking", no_threads.run_blocking)
        blob.release()
        await asyncio.sleep(35)
        assert 1 <= no_threads.refused <= 4
        assert len(files(home)) == 1
        monkeypatch.undo()
        await asyncio.sleep(15)
        await settled(manager)
        assert not files(home)

    simulated(sim_loop, home, scenario)


def test_where_files_have_no_place_a_blob_that_needs_one_is_refused_in_words(
    sim_loop: SimLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nowhere() -> Path:
        raise FileNotFoundError(2, "No usable temporary directory found")

    async def main() -> None:
        async with ConcurrencyManager(clock=sim_loop.clock, cpu=1, memory=MEMORY_BYTES) as manager:
            with pytest.raises(StoreError, match=r"'big' .* cannot be written to disk: No usable temporary directory"):
                await manager.data_manager.put(bytes(2 * MEMORY_BYTES), name="big")

    monkeypatch.setattr(data_manager, "temporary_base", nowhere)
    sim_loop.run_until_complete(main())


def test_under_critical_load_all_blobs_leave_memory(sim_loop: SimLoop, home: Path) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        data = manager.data_manager
        kept = [await data.put(bytes(100)) for _ in range(3)]
        data.give_way("high")
        await settled(manager)
        assert {blob.where for blob in kept} == {"memory"}
        data.give_way("critical")
        await settled(manager)
        assert {blob.where for blob in kept} == {"disk"}

    simulated(sim_loop, home, scenario)


@pytest.mark.parametrize(("data", "named"), [("text", "str"), (memoryview(b"abcd")[::2], "memoryview"), (5, "int")])
def test_what_is_no_bytes_in_one_piece_is_refused(sim_loop: SimLoop, home: Path, data: Any, named: str) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        with pytest.raises(ConfigError, match=named):
            await manager.data_manager.put(data)

    simulated(sim_loop, home, scenario)


def test_arrays_and_nothing_at_all_are_bytes_too(sim_loop: SimLoop, home: Path) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        blob = await manager.data_manager.put(array.array("d", [1.0, 2.0]))
        assert blob.size == 16
        assert await blob.read() == array.array("d", [1.0, 2.0]).tobytes()
        empty = await manager.data_manager.put(b"")
        assert await empty.read() == b""
        manager.data_manager.blobs.shrink()
        await settled(manager)
        sent = pickle.loads(await asyncio.to_thread(pickle.dumps, empty))
        assert sent.read() == b""

    simulated(sim_loop, home, scenario)


def test_what_was_made_of_a_view_may_outlive_it(sim_loop: SimLoop, home: Path) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        for blob in (await manager.data_manager.put(b"abc"), await manager.data_manager.put(b"abc" * 500)):
            with blob.open() as view:
                part = view[1:3]
                blob.release()
                assert (blob.where, bytes(view[:2])) == (None, b"ab"), "what is open stays readable"
                assert "released" in repr(blob)
            await settled(manager)
            assert bytes(part) == b"bc"

    simulated(sim_loop, home, scenario)


def test_cancelled_anywhere_nothing_is_lost(home: Path, shm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home.mkdir()
    monkeypatch.setattr(data_manager, "temporary_base", lambda: home)
    managers: list[ConcurrencyManager] = []

    async def scenario() -> None:
        managers.clear()
        loop = asyncio.get_running_loop()
        manager = ConcurrencyManager(clock=loop.clock, cpu=1, memory=MEMORY_BYTES)  # type: ignore[attr-defined]
        managers.append(manager)
        await manager.__aenter__()
        try:
            data = manager.data_manager
            first = await data.put(bytes(700))
            second = await data.put(bytes(700))
            third = await data.put(bytes(3000))
            assert await third.read() == bytes(3000)
            async with data.credit(900):
                first.release()
            second.release()
            third.release()
        finally:
            await unbroken(manager.shutdown())

    def check() -> None:
        manager = managers[0]
        admission = manager.orchestrator.scheduler.admission
        assert admission.free[MEMORY] == MEMORY_BYTES
        assert not manager.data_manager.blobs._writes
        assert not files(home) + files(shm)
        assert not list(home.rglob("tenire-*"))

    report = cancel_sweep(scenario, check=check)
    assert report.awaits >= 5


def test_a_worker_process_reads_a_blob_by_its_name(home: Path, shm: Path) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        data = manager.data_manager
        small = await data.put(b"abc")
        large = await data.put(b"<" + bytes(700_000) + b">")
        assert await manager.submit(blob_jobs.edges, [small, large, large], on="process") == [
            (3, ord("a"), ord("c")), (700_002, ord("<"), ord(">")), (700_002, ord("<"), ord(">")),
        ]  # fmt: skip
        assert (small.where, large.where) == ("shared", "shared")
        assert len(files(shm)) == 2
        assert (1 << 20) - data.free == 700_005, "it counts as before"
        assert await manager.submit(blob_jobs.kind, small, on="process") == "BlobFile"
        async with data.credit(1 << 20):
            assert not files(shm)
            assert await manager.submit(blob_jobs.content, small, on="process") == b"abc"
        small.release()
        large.release()
        await eventually(lambda: not files(home))

    engine(scenario, home=home)
    assert not list(shm.iterdir())


@pytest.mark.parametrize("why", ["none", "full"])
def test_without_shared_memory_a_file_on_disk_is_sent(
    home: Path, shm: Path, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if why == "none":
        monkeypatch.setattr(module, "shared_base", lambda: None)
    else:
        real = Scratch.write

        def full(scratch: Scratch, name: str, data: memoryview) -> None:
            if shm in scratch.path.parents:
                raise OSError(28, "No space left on device")
            real(scratch, name, data)

        monkeypatch.setattr(Scratch, "write", full)

    async def scenario(manager: ConcurrencyManager) -> None:
        data = manager.data_manager
        blob = await data.put(b"abc")
        with blob.open() as view:
            assert await manager.submit(blob_jobs.content, blob, on="process") == b"abc"
            assert bytes(view) == b"abc"
        assert blob.where == "disk"
        await eventually(lambda: data.free == 1 << 20)

    engine(scenario, home=home)


def test_a_worker_is_told_that_a_blob_is_gone(home: Path) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        blob = await manager.data_manager.put(b"abc")
        file = pickle.loads(await asyncio.to_thread(pickle.dumps, blob))
        assert file.read() == b"abc"
        blob.release()
        await eventually(lambda: not os.path.exists(file.paths[0]))
        with pytest.raises(StoreError, match="is gone"):
            file.read()

    engine(scenario, home=home)


def test_threads_open_send_and_release_while_blobs_move(home: Path, shm: Path) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        data = manager.data_manager

        def work(blobs: list[Blob], start: threading.Barrier) -> None:
            start.wait(10)
            for number, blob in enumerate(blobs):
                with blob.open() as view:
                    assert view[0] == number % 256
                assert pickle.loads(pickle.dumps(blob)).read() == bytes([number % 256]) * 1000
            start.wait(10)
            for blob in blobs[::2]:
                blob.release()

        blobs = [await data.put(bytes([number % 256]) * 1000) for number in range(60)]
        start = threading.Barrier(3)
        handles = [manager.submit(work, blobs, start) for _ in range(3)]
        for _ in range(20):
            data.blobs.shrink()
            await asyncio.sleep(0.001)
        for handle in handles:
            await handle
        for number, blob in enumerate(blobs[1::2]):
            assert await blob.read() == bytes([2 * number + 1]) * 1000
        await settled(manager)
        data.blobs._core.check()
        assert data.blobs.statistics().count == 30
        await eventually(lambda: len(files(home)) + len(files(shm)) == 30)

    engine(scenario, home=home, cpu=4)
    assert not files(home) + files(shm)


def test_after_the_engine_there_are_no_bytes(home: Path) -> None:
    async def scenario(manager: ConcurrencyManager) -> Blob:
        return await manager.data_manager.put(b"abc")

    blob = engine(scenario, home=home)
    with pytest.raises(RejectedError, match="engine has ended"), blob.open():
        pass
    blob.release()
    assert blob.where is None


@pytest.mark.parametrize("when", ["before it is written", "while it is written", "as its directory goes"])
def test_a_blob_that_the_end_overtakes_is_refused(home: Path, monkeypatch: pytest.MonkeyPatch, when: str) -> None:
    begun, over = threading.Event(), threading.Event()
    owner: Any = BlobTable if when == "before it is written" else Scratch
    write = owner.write

    def write_later(*arguments: Any) -> None:
        begun.set()
        over.wait(10)
        if when == "as its directory goes":
            raise FileNotFoundError(2, "No such file or directory")
        write(*arguments)

    async def scenario(manager: ConcurrencyManager) -> None:
        data = manager.data_manager
        monkeypatch.setattr(owner, "write", write_later)
        putting = asyncio.create_task(data.put(bytes(2 * MEMORY_BYTES)))
        await eventually(begun.is_set)
        ending = asyncio.create_task(data.aclose())
        await asyncio.sleep(0)
        over.set()
        with pytest.raises(RejectedError, match="the engine has ended"):
            await putting
        await ending

    engine(scenario, home=home, memory=MEMORY_BYTES)


def test_an_engine_that_has_no_place_for_blobs_starts_and_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def nowhere() -> Path:
        raise FileNotFoundError(2, "No usable temporary directory found")

    async def scenario(manager: ConcurrencyManager) -> None:
        assert await manager.submit(len, "four") == 4

    monkeypatch.setattr(data_manager, "temporary_base", nowhere)
    engine(scenario)
    assert "No usable temporary directory" in caplog.text
