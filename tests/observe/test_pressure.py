from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tenire.observe.pressure import PressureMeter

if TYPE_CHECKING:
    from pathlib import Path


def put(root: Path, path: str, text: str) -> None:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def stalled(some: int, full: int | None = None) -> str:
    lines = f"some avg10=1.00 avg60=2.00 avg300=3.00 total={some}\n"
    return lines if full is None else lines + f"full avg10=1.00 avg60=2.00 avg300=3.00 total={full}\n"


def test_the_share_is_that_of_the_own_interval_not_of_the_averages(tmp_path: Path) -> None:
    put(tmp_path, "proc/pressure/memory", stalled(1_000_000, 500_000))
    meter = PressureMeter(tmp_path)
    assert meter.sample(10.0) == {}
    put(tmp_path, "proc/pressure/memory", stalled(1_400_000, 600_000))
    assert meter.sample(12.0) == pytest.approx({"memory_some": 0.2, "memory_full": 0.05})
    assert meter.sample(12.5) == {"memory_some": 0.0, "memory_full": 0.0}


def test_each_resource_has_its_own_share(tmp_path: Path) -> None:
    for name in ("cpu", "memory", "io"):
        put(tmp_path, f"proc/pressure/{name}", stalled(0))
    meter = PressureMeter(tmp_path)
    meter.sample(0.0)
    put(tmp_path, "proc/pressure/io", stalled(250_000))
    assert meter.sample(1.0) == {"cpu_some": 0.0, "memory_some": 0.0, "io_some": 0.25}


@pytest.mark.parametrize("text", ["", "some avg10=0.00", "some total=\n", "nothing like it\nat all"])
def test_a_file_that_says_nothing_is_no_signal(tmp_path: Path, text: str) -> None:
    put(tmp_path, "proc/pressure/memory", text)
    meter = PressureMeter(tmp_path)
    assert meter.sample(0.0) == meter.sample(1.0) == {}


def test_a_system_without_the_files_has_no_signal(tmp_path: Path) -> None:
    meter = PressureMeter(tmp_path)
    assert meter.sample(0.0) == meter.sample(1.0) == {}


def test_a_file_that_goes_away_takes_its_signal_with_it(tmp_path: Path) -> None:
    put(tmp_path, "proc/pressure/io", stalled(0))
    meter = PressureMeter(tmp_path)
    meter.sample(0.0)
    (tmp_path / "proc/pressure/io").unlink()
    assert meter.sample(1.0) == {}
    put(tmp_path, "proc/pressure/io", stalled(900_000))
    assert meter.sample(2.0) == {}  # compared with nothing: it may be a new counter
    assert meter.sample(3.0) == {"io_some": 0.0}


@pytest.mark.parametrize(("after", "share"), [(9_000_000, 1.0), (0, 0.0)])
def test_a_share_is_one_whatever_the_counters_do(tmp_path: Path, after: int, share: float) -> None:
    put(tmp_path, "proc/pressure/memory", stalled(1000))
    meter = PressureMeter(tmp_path)
    meter.sample(0.0)
    put(tmp_path, "proc/pressure/memory", stalled(after))
    assert meter.sample(1.0) == {"memory_some": share}


def test_two_looks_at_the_same_time_say_nothing(tmp_path: Path) -> None:
    put(tmp_path, "proc/pressure/memory", stalled(0))
    meter = PressureMeter(tmp_path)
    meter.sample(1.0)
    assert meter.sample(1.0) == {}


def test_a_container_that_stands_still_counts_though_the_machine_does_not(tmp_path: Path) -> None:
    put(tmp_path, "proc/self/mountinfo", "31 23 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n")
    put(tmp_path, "proc/self/cgroup", "0::/box\n")
    put(tmp_path, "proc/pressure/memory", stalled(0, 0))
    put(tmp_path, "sys/fs/cgroup/box/memory.pressure", stalled(0, 0))
    meter = PressureMeter(tmp_path)
    meter.sample(0.0)
    put(tmp_path, "proc/pressure/memory", stalled(600_000, 0))
    put(tmp_path, "sys/fs/cgroup/box/memory.pressure", stalled(500_000, 500_000))
    assert meter.sample(1.0) == {"memory_some": 0.6, "memory_full": 0.5}
