from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from tenire.observe.memory_use import MemoryMeter

if TYPE_CHECKING:
    from pathlib import Path

MIB = 1 << 20


class Machine:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.put("proc/meminfo", "MemTotal:  1000 kB\nMemFree:  1 kB\nMemAvailable:  800 kB\n")

    def put(self, path: str, text: str) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def groups_v2(self) -> None:
        self.put("proc/self/mountinfo", "31 23 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n")
        self.put("proc/self/cgroup", "0::/outer/inner\n")

    def group(self, name: str, **files: str) -> None:
        for file, text in files.items():
            self.put(f"sys/fs/cgroup/{name}/memory.{file}", text)

    def used(self) -> float:
        return MemoryMeter(self.root).sample()["memory_used"]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_what_is_not_available_is_used(machine: Machine) -> None:
    assert machine.used() == pytest.approx(0.2)


def test_the_tightest_group_counts(machine: Machine) -> None:
    machine.groups_v2()
    machine.group("outer", max=str(100 * MIB), current=str(70 * MIB), stat="anon 1\n")
    machine.group("outer/inner", max=str(100 * MIB), current=str(50 * MIB), stat="anon 1\n")
    assert machine.used() == pytest.approx(0.7)


def test_the_soft_limit_counts_too(machine: Machine) -> None:
    machine.groups_v2()
    machine.group("outer", max=str(100 * MIB), high=str(50 * MIB), current=str(45 * MIB))
    assert machine.used() == pytest.approx(0.9)


def test_pages_that_nobody_touched_lately_are_not_in_use(machine: Machine) -> None:
    machine.groups_v2()
    stat = f"anon 5\ninactive_file {60 * MIB}\nactive_file 7\n"
    machine.group("outer", max=str(100 * MIB), current=str(95 * MIB), stat=stat)
    assert machine.used() == pytest.approx(0.35)


def test_the_groups_of_version_1_count_as_well(machine: Machine) -> None:
    machine.put("proc/self/mountinfo", "32 31 0:29 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n")
    machine.put("proc/self/cgroup", "4:memory:/box\n")
    machine.group("memory/box", limit_in_bytes=str(10 * MIB), usage_in_bytes=str(9 * MIB))
    machine.group("memory/box", stat=f"inactive_file 1\ntotal_inactive_file {MIB}\n")
    assert machine.used() == pytest.approx(0.8)


def test_a_group_without_a_limit_says_nothing(machine: Machine) -> None:
    machine.groups_v2()
    machine.group("outer", max="max", high="max", current=str(95 * MIB))
    assert machine.used() == pytest.approx(0.2)


def test_a_limit_that_is_changed_later_counts(machine: Machine) -> None:
    machine.groups_v2()
    machine.group("outer", max=str(100 * MIB), current=str(50 * MIB))
    meter = MemoryMeter(machine.root)
    assert meter.sample()["memory_used"] == 0.5
    machine.group("outer", max=str(50 * MIB))
    assert meter.sample()["memory_used"] == 1.0
    machine.group("outer", max="max")
    assert meter.sample()["memory_used"] == pytest.approx(0.2)


@pytest.mark.parametrize("text", ["", "MemTotal: 5 kB\n", "MemTotal:\n", "MemTotal: 0 kB\nMemAvailable: 0 kB\n"])
def test_a_system_that_does_not_tell_is_passed_over(machine: Machine, text: str) -> None:
    machine.put("proc/meminfo", text)
    assert "memory_used" not in MemoryMeter(machine.root).sample()


def test_without_proc_the_system_is_asked_otherwise(tmp_path: Path) -> None:
    assert 0 < MemoryMeter(tmp_path).sample()["memory_used"] < 1


def test_the_systems_own_warning_is_passed_on(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    for level in (2, None):
        monkeypatch.setattr("tenire.observe.memory_use._macos_pressure_level", lambda level=level: level)
        assert MemoryMeter(machine.root).sample().get("memory_warning") == level
