from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from tests.concurrency import process_jobs
from tests.concurrency.engines import engine

from tenire import Resources
from tenire.concurrency.pools import background
from tenire.concurrency.pools.background import limit_threads, limited, thread_limits
from tenire.concurrency.pools.memory import LONG_S, PeakMeter, peak_bytes
from tenire.observe.cgroups import CgroupLimits
from tenire.observe.machine import own_share

if TYPE_CHECKING:
    from pathlib import Path

    from tenire import ConcurrencyManager


def test_the_peak_is_in_bytes_and_no_less_than_what_is_resident() -> None:
    resident = psutil.Process().memory_info().rss
    assert 0.9 * resident < peak_bytes() < 100 * resident


def test_marks_are_set_at_most_every_twenty_milliseconds(monkeypatch: pytest.MonkeyPatch) -> None:
    peaks: list[int] = []

    def peak(self: PeakMeter) -> int:
        peaks.append(1000 * len(peaks))
        return peaks[-1]

    monkeypatch.setattr(PeakMeter, "_peak", peak)
    monkeypatch.setattr("tenire.concurrency.pools.memory.sys.platform", "other")
    meter = PeakMeter(10.0)
    assert len(peaks) == 1
    meter.between_jobs(10.0 + LONG_S / 2)
    assert len(peaks) == 1
    assert meter.needed(LONG_S / 2) == 0
    assert meter.needed(LONG_S) == 1000
    meter.between_jobs(10.0 + LONG_S * 1.5)
    assert meter.needed(LONG_S) == 1000
    assert len(peaks) == 4


def test_a_system_that_tells_nothing_makes_it_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> int:
        raise OSError

    monkeypatch.setattr("tenire.concurrency.pools.memory.peak_bytes", refuse)
    meter = PeakMeter(0.0)
    monkeypatch.undo()
    meter.between_jobs(100.0)
    assert meter.needed(1.0) == 0


# -- threads ------------------------------------------------------------------

NAMES = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "VECLIB_MAXIMUM_THREADS",
    "BLIS_NUM_THREADS", "NUMBA_NUM_THREADS", "RAYON_NUM_THREADS", "POLARS_MAX_THREADS",
)  # fmt: skip


def test_limits_leave_what_the_user_has_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MKL_NUM_THREADS", "7")
    expected = {name: "2" for name in NAMES if name != "MKL_NUM_THREADS"}
    assert thread_limits(2) == expected


def test_a_worker_gives_libraries_other_limits_than_the_engine_did(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "_limits", ())
    environment = {"MKL_NUM_THREADS": "7", "OMP_NUM_THREADS": "2"}
    monkeypatch.setattr(background.os, "environ", environment)
    limit_threads(3)
    assert environment == {"MKL_NUM_THREADS": "7", "OMP_NUM_THREADS": "2"}  # nobody has set any: this is no worker
    limited(("OMP_NUM_THREADS",))
    limit_threads(3)
    assert environment == {"MKL_NUM_THREADS": "7", "OMP_NUM_THREADS": "3"}


@pytest.fixture
def six_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("tenire.observe.machine.os.cpu_count", lambda: 64)
    monkeypatch.setattr("tenire.observe.machine.os.sched_getaffinity", lambda _: range(64), raising=False)
    monkeypatch.setattr("tenire.observe.machine.read_cgroups", lambda *_: CgroupLimits(cpu=6.0, memory=None))


@pytest.mark.usefixtures("six_cores")
@pytest.mark.parametrize("options", [{"cpu": 2, "memory": 1 << 20}, {"cpu": 2}], ids=["both given", "one given"])
def test_workers_of_a_container_share_the_cores_of_its_quota(options: dict[str, Any]) -> None:
    async def scenario(manager: ConcurrencyManager) -> list[str | None]:
        return await manager.submit(process_jobs.environment, "OMP_NUM_THREADS", on="process")

    assert engine(scenario, **options) == ["3"]


@pytest.mark.usefixtures("six_cores")
def test_each_process_has_the_threads_that_the_slots_of_its_task_are_worth() -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            listener.settimeout(60)
            at_once = partial(manager.submit, process_jobs.threads_at_once, listener.getsockname()[1], on="process")
            memory = Resources(memory=10)
            handles = [
                at_once(),
                at_once(needs=memory),
                at_once(needs=memory),
                at_once(worker="a"),
                at_once(worker="b", needs=Resources(cpu=1)),
            ]
            # None goes on before all have come.
            connections = [await asyncio.to_thread(listener.accept) for _ in handles]
            for connection, _ in connections:
                connection.close()
            assert [await handle for handle in handles] == ["3", "1", "1", "1", "3"]
        alone = partial(manager.submit, process_jobs.environment, "OMP_NUM_THREADS", on="process")
        assert await alone(needs=Resources(cpu=2)) == ["6"]
        assert await alone(needs=Resources(cpu=0.2)) == ["1"]

    engine(scenario)


@pytest.mark.usefixtures("six_cores")
def test_a_process_is_used_again_for_tasks_that_may_use_as_many_threads() -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        ask = partial(manager.submit, process_jobs.process_and_threads, on="process")
        memory = Resources(memory=10)
        first, second = await ask(), await ask(needs=memory)
        assert await ask() == first
        assert await ask(needs=memory) == second == await ask(needs=Resources(cpu=0.01, memory=10))
        assert first != second
        assert len(manager.thread_pool.statistics().processes) == 2
        await manager.thread_pool.warm_up(2)
        assert len(manager.thread_pool.statistics().processes) == 3  # two for tasks of one slot
        assert first[1] == "3"
        assert second[1] == "1"

    engine(scenario)


@pytest.mark.usefixtures("six_cores")
def test_workers_are_limited_and_the_engine_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MKL_NUM_THREADS", "7")

    async def scenario(manager: ConcurrencyManager) -> None:
        ask = partial(manager.submit, process_jobs.environment, *NAMES, on="process")
        limits = ["7" if name == "MKL_NUM_THREADS" else "3" for name in NAMES]
        assert await ask() == limits
        assert await ask(worker="model", needs=Resources(cpu=1)) == limits
        own = partial(manager.submit, process_jobs.environment_limited_to, 5, *NAMES, on="process", worker="model")
        assert await own() == ["7" if name == "MKL_NUM_THREADS" else "5" for name in NAMES]
        assert process_jobs.environment(*NAMES) == ["7" if name == "MKL_NUM_THREADS" else None for name in NAMES]

    engine(scenario)


def test_the_limit_is_there_before_the_main_script_is_imported(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import os, multiprocessing\n"
        "SEEN = os.environ.get('OMP_NUM_THREADS')\n"
        "def seen():\n"
        "    return SEEN, multiprocessing.current_process().name\n"
        "if __name__ == '__main__':\n"
        "    import tenire\n"
        "    with tenire.ConcurrencyManager.in_thread(cpu=1) as engine:\n"
        "        print(engine.submit(seen, on='process').result(timeout=60), SEEN)\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False, timeout=120)
    assert done.stdout == f"('{int(own_share())}', 'tenire-worker-1') None\n", done.stderr
