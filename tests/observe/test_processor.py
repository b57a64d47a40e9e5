from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tenire.clock import SYSTEM_CLOCK
from tenire.observe import processor
from tenire.observe.processor import ProcessorMeter, ProcessorUse

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
ME = 100


class Machine:
    """A machine of four cores below a folder; all times are seconds of use so far."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.cores: Collection[int] = {0, 1, 2, 3}
        self.used = dict.fromkeys(range(4), 0.0)
        self.lists_children = True
        self.ended = 0.0  # what our own children that have ended had used
        self.processes: dict[int, tuple[float, list[int]]] = {ME: (0.0, [])}
        self.meter: ProcessorMeter | None = None

    def put(self, path: str, text: str) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def sample(self, now: float, *workers: int) -> ProcessorUse | None:
        self.put("proc/stat", "cpu  1 2 3 4\n" + "".join(self._core(core) for core in self.used) + "intr 5 0 0\n")
        for pid, (seconds, children) in self.processes.items():
            self.put(f"proc/{pid}/stat", stat(pid, seconds))
            self.put(f"proc/{pid}/task/{pid}/stat", "")
            if self.lists_children:
                self.put(f"proc/{pid}/task/{pid}/children", " ".join(map(str, children)) + " ")
        self.put("proc/self/stat", stat(ME, self.processes[ME][0], ended=self.ended))
        self.meter = self.meter or ProcessorMeter(self.root, cores=lambda: self.cores)
        return self.meter.sample(now, workers)

    def _core(self, core: int) -> str:
        ticks = round(self.used[core] * TICK)
        return f"cpu{core} {ticks} 0 0 99999 777 0 0 888 0 0\n"

    def mount(self, quota: float, used: float) -> None:
        self.put("proc/self/mountinfo", "31 23 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n")
        self.put("proc/self/cgroup", "0::/box\n")
        self.put("sys/fs/cgroup/box/cpu.max", f"{round(quota * 100_000)} 100000\n")
        self.put("sys/fs/cgroup/box/cpu.stat", f"usage_usec {round(used * 1e6)}\nuser_usec 1\n")


def stat(pid: int, seconds: float, *, ended: float = 0.0) -> str:
    """The line of a process; its name is made to mislead."""
    times = f"{round(seconds * TICK)} 0 {round(ended * TICK)} 0"
    return f"{pid} (a ) R 7 (b) S 1 1 1 0 -1 4194304 0 0 0 0 {times} 20 0 1 0 5\n"


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_what_is_used_and_not_by_us_is_foreign(machine: Machine) -> None:
    assert machine.sample(10.0) is None  # nothing to compare with
    machine.used.update({0: 2.0, 1: 1.0})
    machine.processes[ME] = (0.5, [])
    assert machine.sample(12.0) == ProcessorUse(own=0.25, foreign=1.25, usable=4.0)
    assert machine.sample(13.0) == ProcessorUse(own=0.0, foreign=0.0, usable=4.0)


def test_steal_and_waiting_for_the_disk_are_nobodys(machine: Machine) -> None:
    machine.sample(0.0)
    machine.put("proc/stat", "")
    assert machine.sample(1.0) == ProcessorUse(0.0, 0.0, 4.0)


def test_our_own_workers_and_what_they_started_are_never_foreign(machine: Machine) -> None:
    machine.processes = {ME: (0.0, [101]), 101: (0.0, [102]), 102: (0.0, [])}
    machine.sample(0.0, 101)
    machine.used = dict.fromkeys(range(4), 1.0)
    machine.processes = {ME: (1.0, [101]), 101: (1.0, [102]), 102: (2.0, [])}
    assert machine.sample(1.0, 101) == ProcessorUse(own=4.0, foreign=0.0, usable=4.0)


def test_a_program_that_we_started_beside_our_workers_is_one_of_the_others(machine: Machine) -> None:
    machine.processes = {ME: (0.0, [101, 200]), 101: (0.0, []), 200: (0.0, [])}
    machine.sample(0.0, 101)
    machine.used.update({0: 1.0, 1: 1.0})
    machine.processes = {ME: (0.0, [101, 200]), 101: (1.0, []), 200: (1.0, [])}
    assert machine.sample(1.0, 101) == ProcessorUse(own=1.0, foreign=1.0, usable=4.0)
    machine.used.update({0: 2.0, 1: 1.5})
    machine.processes = {ME: (0.0, [101]), 101: (2.0, [])}
    machine.ended = 1.5  # and stays so when it has ended and its time is told as ours
    assert machine.sample(2.0, 101) == ProcessorUse(own=1.0, foreign=0.5, usable=4.0)


def test_a_worker_that_started_in_between_brings_all_its_time(machine: Machine) -> None:
    machine.sample(0.0)
    machine.used[0] = 1.0
    machine.processes = {ME: (0.0, [101]), 101: (1.0, [])}
    assert machine.sample(1.0, 101) == ProcessorUse(own=1.0, foreign=0.0, usable=4.0)


def test_what_a_worker_started_and_has_ended_leaves_its_time_to_it(machine: Machine) -> None:
    machine.processes = {ME: (0.0, [101]), 101: (1.0, [102]), 102: (5.0, [])}
    machine.sample(0.0, 101)
    machine.used[0] = 1.0
    machine.processes = {ME: (0.0, [101]), 101: (7.0, [])}  # as the system adds it up
    assert machine.sample(1.0, 101) == ProcessorUse(own=1.0, foreign=0.0, usable=4.0)


def test_where_the_system_lists_no_children_the_workers_still_count(machine: Machine) -> None:
    machine.lists_children = False
    machine.processes[101] = (0.0, [])
    machine.sample(0.0, 101)
    machine.used[0] = 1.0
    machine.processes[101] = (1.0, [])
    assert machine.sample(1.0, 101) == ProcessorUse(own=1.0, foreign=0.0, usable=4.0)


def test_a_worker_that_is_gone_does_no_harm(machine: Machine) -> None:
    machine.sample(0.0, 999)
    assert machine.sample(1.0, 999) == ProcessorUse(0.0, 0.0, 4.0)


def test_only_the_cores_that_we_may_use_count(machine: Machine) -> None:
    machine.cores = {2, 3}
    machine.sample(0.0)
    machine.used.update({0: 1.0, 1: 1.0, 2: 0.5})
    assert machine.sample(1.0) == ProcessorUse(own=0.0, foreign=0.5, usable=2.0)


def test_a_change_of_the_cores_spoils_one_sample_only(machine: Machine) -> None:
    machine.sample(0.0)
    machine.cores = {0}
    assert machine.sample(1.0) is None
    assert machine.sample(2.0) == ProcessorUse(0.0, 0.0, 1.0)


def test_a_busy_machine_around_a_small_quota_takes_nothing_from_it(machine: Machine) -> None:
    machine.mount(quota=1.5, used=0.0)
    machine.sample(0.0)
    machine.used.update({0: 1.0, 1: 1.0})
    assert machine.sample(1.0) == ProcessorUse(own=0.0, foreign=0.0, usable=1.5)
    machine.used.update({0: 2.0, 1: 2.0, 2: 1.0})
    assert machine.sample(2.0) == ProcessorUse(own=0.0, foreign=0.5, usable=1.5)


def test_a_neighbour_in_our_own_group_uses_up_our_quota(machine: Machine) -> None:
    machine.mount(quota=2.0, used=0.0)
    machine.sample(0.0)
    machine.used.update({0: 1.0, 1: 0.5})
    machine.processes[ME] = (0.5, [])
    machine.mount(quota=2.0, used=1.5)
    assert machine.sample(1.0) == ProcessorUse(own=0.5, foreign=1.0, usable=2.0)


def test_the_quota_of_version_1_counts_as_well(machine: Machine) -> None:
    machine.put("proc/self/mountinfo", "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n")
    machine.put("proc/self/cgroup", "4:cpu,cpuacct:/box\n")
    machine.put("sys/fs/cgroup/cpu/box/cpu.cfs_quota_us", "200000")
    machine.put("sys/fs/cgroup/cpu/box/cpu.cfs_period_us", "100000")
    machine.put("sys/fs/cgroup/cpu/box/cpuacct.usage", "0")
    machine.sample(0.0)
    machine.put("sys/fs/cgroup/cpu/box/cpuacct.usage", str(10**9))
    machine.used[0] = 1.0
    assert machine.sample(1.0) == ProcessorUse(own=0.0, foreign=1.0, usable=2.0)


@pytest.mark.parametrize("text", ["", "nr_periods 5\n", None])
def test_a_group_that_does_not_tell_its_use_is_passed_over(machine: Machine, text: str | None) -> None:
    machine.mount(quota=2.0, used=0.0)
    file = machine.root / "sys/fs/cgroup/box/cpu.stat"
    file.write_text(text) if text is not None else file.unlink()
    machine.sample(0.0)
    machine.used[0] = 1.0
    assert machine.sample(1.0) == ProcessorUse(own=0.0, foreign=1.0, usable=4.0)


def test_two_looks_at_the_same_time_say_nothing(machine: Machine) -> None:
    machine.sample(1.0)
    assert machine.sample(1.0) is None


def test_a_machine_that_shows_none_of_our_cores_says_nothing(machine: Machine) -> None:
    machine.cores = {64}
    assert machine.sample(0.0) is None
    assert machine.sample(1.0) is None


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("everywhere", [False, True], ids=["linux", "any system"])
def test_on_this_machine_our_own_child_is_ours(everywhere: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    meter = ProcessorMeter()
    if everywhere:
        monkeypatch.setattr(meter, "_source", processor._Psutil())
    burn = "import time\nwhile time.process_time() < 0.4: pass\nprint(flush=True)\ninput()"
    with subprocess.Popen([sys.executable, "-c", burn], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        meter.sample(SYSTEM_CLOCK.now(), [child.pid])
        began = SYSTEM_CLOCK.now()
        assert child.stdout is not None
        child.stdout.readline()
        now = SYSTEM_CLOCK.now()
        found = meter.sample(now, [child.pid])
        child.communicate(b"\n")
    assert found is not None
    assert found.own * (now - began) > 0.3
    assert 0 <= found.foreign <= found.usable


def test_without_psutils_consent_there_is_no_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    source = processor._Psutil()
    monkeypatch.setattr(source._psutil, "cpu_times", lambda: (_ for _ in ()).throw(OSError("no")))
    assert source.read([]) is None


def test_psutil_passes_over_a_worker_that_is_gone() -> None:
    times = processor._Psutil().read([2**22 + 1])
    assert times is not None
    assert times.own > 0
