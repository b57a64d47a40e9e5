from __future__ import annotations

import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from tests.concurrency import process_jobs
from tests.concurrency.engines import engine

from tenire.concurrency import manager as manager_module
from tenire.concurrency.pools import ThreadPoolManager
from tenire.concurrency.pools.background import limit_threads, thread_limits
from tenire.concurrency.pools.memory import LONG_S, PeakMeter, peak_bytes
from tenire.observe.cgroups import CgroupLimits

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
    monkeypatch.setattr("tenire.concurrency.pools.background.os.environ", environment := {"MKL_NUM_THREADS": "7"})
    limit_threads(2)
    assert environment == {**expected, "MKL_NUM_THREADS": "7"}


@pytest.mark.parametrize("options", [{"cpu": 2, "memory": 1 << 20}, {"cpu": 2}], ids=["both given", "one given"])
def test_workers_of_a_container_share_the_cores_of_its_quota(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("tenire.observe.machine.own_cores", lambda: 64)
    monkeypatch.setattr("tenire.observe.machine.read_cgroups", lambda *_: CgroupLimits(cpu=6.0, memory=None))

    async def scenario(manager: ConcurrencyManager) -> list[str | None]:
        return await manager.submit(process_jobs.environment, "OMP_NUM_THREADS", on="process")

    assert engine(scenario, **options) == ["3"]


def test_pool_workers_are_limited_and_named_ones_and_the_engine_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MKL_NUM_THREADS", "7")
    monkeypatch.setattr(
        manager_module, "ThreadPoolManager", lambda loop, **_: ThreadPoolManager(loop, threads_per_worker=lambda: 3)
    )

    async def scenario(manager: ConcurrencyManager) -> None:
        ask = partial(manager.submit, process_jobs.environment, *NAMES, on="process")
        assert await ask() == ["7" if name == "MKL_NUM_THREADS" else "3" for name in NAMES]
        untouched = ["7" if name == "MKL_NUM_THREADS" else None for name in NAMES]
        assert await ask(worker="model") == untouched
        assert process_jobs.environment(*NAMES) == untouched

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
        "    from tenire.concurrency import manager\n"
        "    from tenire.concurrency.pools import ThreadPoolManager as Pools\n"
        "    manager.ThreadPoolManager = lambda loop, **_: Pools(loop, threads_per_worker=lambda: 1)\n"
        "    with tenire.ConcurrencyManager.in_thread(cpu=1) as engine:\n"
        "        print(engine.submit(seen, on='process').result(timeout=60), SEEN)\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False, timeout=120)
    assert done.stdout == "('1', 'tenire-worker-1') None\n", done.stderr
