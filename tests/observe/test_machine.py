from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tenire.observe.machine import Machine, own_cores, peak_rss_bytes, pressure_available, read_battery, read_machine

if TYPE_CHECKING:
    from pathlib import Path


def machine(**changes: object) -> Machine:
    facts: dict[str, object] = {
        "cores": 8, "affinity": 8, "quota": None, "memory": 32 << 30, "memory_free": 16 << 30, "memory_limit": None,
    }  # fmt: skip
    return Machine(**(facts | changes))  # type: ignore[arg-type]


def test_this_machine_offers_something() -> None:
    seen = read_machine()
    assert 1 <= seen.affinity <= seen.cores
    assert 0 < seen.usable_cores <= seen.cores
    assert seen.default_cpu >= 1
    assert 0 < seen.memory_free <= seen.memory


def test_the_smallest_of_affinity_and_quota_counts() -> None:
    assert machine(affinity=4).usable_cores == 4
    assert machine(affinity=4, quota=2.5).usable_cores == 2.5
    assert machine(quota=16.0).usable_cores == 8


@pytest.mark.parametrize(
    ("changes", "slots"), [({}, 7), ({"affinity": 1}, 1), ({"quota": 0.5}, 1), ({"quota": 3.9}, 2)]
)
def test_one_core_stays_free_by_default_and_one_slot_is_always_there(changes: dict[str, object], slots: int) -> None:
    assert machine(**changes).default_cpu == slots


def test_a_model_computes_with_the_cores_that_are_there_and_no_more_than_there_are_slots() -> None:
    assert machine(affinity=4, quota=2.5).model_threads(None) == 3
    assert machine(affinity=4, quota=2.5).model_threads(2) == 2
    assert machine(affinity=4, quota=0.5).model_threads(8) == 1


def test_a_limit_above_the_memory_is_no_limit() -> None:
    assert machine(memory_limit=64 << 30).usable_memory == 32 << 30
    assert machine(memory_limit=1 << 30).usable_memory == 1 << 30
    assert machine(memory_limit=1 << 30).default_memory == 256 << 20
    assert machine().default_memory == 1 << 30


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system cannot pin a process")
def test_affinity_is_seen() -> None:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert own_cores() == read_machine().affinity == 1
    finally:
        os.sched_setaffinity(0, before)


def test_pressure_is_offered_only_where_the_files_can_be_read(tmp_path: Path) -> None:
    assert pressure_available(tmp_path) == ()
    folder = tmp_path / "proc" / "pressure"
    folder.mkdir(parents=True)
    (folder / "cpu").write_text("some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n")
    assert pressure_available(tmp_path) == ("cpu",)


def test_the_battery_is_a_charge_or_nothing() -> None:
    battery = read_battery()
    assert battery is None or 0 <= battery.percent <= 100


def test_the_peak_is_at_least_what_a_python_process_needs() -> None:
    assert 4 << 20 < peak_rss_bytes() < 1 << 42


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_small_program_does_not_report_the_memory_of_the_large_one_that_started_it() -> None:
    ballast = bytearray(400 << 20)
    ballast[:: 1 << 12] = bytes(len(ballast[:: 1 << 12])).replace(b"\0", b"\1")
    code = "from tenire.observe.machine import peak_rss_bytes; print(peak_rss_bytes())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 200 << 20
