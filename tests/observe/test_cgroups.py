from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tenire.observe.cgroups import CgroupLimits, read_cgroups

if TYPE_CHECKING:
    from pathlib import Path


class Tree:
    """A root directory with ``proc`` files and control groups."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "proc/self").mkdir(parents=True)
        self.mounts = ""
        self.groups = ""

    def mount_v2(self, shown: str = "/", at: str = "/sys/fs/cgroup") -> None:
        self.mounts += f"31 23 0:28 {shown} {at} rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"

    def mount_v1(self, controllers: str, shown: str = "/") -> None:
        self.mounts += f"32 31 0:29 {shown} /sys/fs/cgroup/{controllers} rw - cgroup cgroup rw,{controllers}\n"

    def member(self, line: str) -> None:
        self.groups += line + "\n"

    def put(self, path: str, text: str) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def read(self) -> CgroupLimits:
        (self.root / "proc/self/mountinfo").write_text(self.mounts)
        (self.root / "proc/self/cgroup").write_text(self.groups)
        return read_cgroups(self.root)


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def test_no_control_groups_means_no_limit(tmp_path: Path) -> None:
    assert read_cgroups(tmp_path) == CgroupLimits(None, None)


def test_the_smallest_limit_of_all_ancestors_counts_in_version_2(tree: Tree) -> None:
    tree.mount_v2()
    tree.member("0::/user.slice/app.scope")
    tree.put("sys/fs/cgroup/user.slice/cpu.max", "150000 100000\n")
    tree.put("sys/fs/cgroup/user.slice/app.scope/cpu.max", "max 100000\n")
    tree.put("sys/fs/cgroup/user.slice/memory.max", "max\n")
    tree.put("sys/fs/cgroup/user.slice/app.scope/memory.max", "1073741824\n")
    assert tree.read() == CgroupLimits(1.5, 1 << 30)


def test_the_root_of_the_mount_counts_too(tree: Tree) -> None:
    # In a container the process's own group is what is mounted.
    tree.mount_v2()
    tree.member("0::/")
    tree.put("sys/fs/cgroup/cpu.max", "50000 100000")
    assert tree.read().cpu == 0.5


def test_quota_and_memory_of_version_1_are_read_from_their_own_trees(tree: Tree) -> None:
    tree.mount_v1("cpu,cpuacct")
    tree.mount_v1("memory")
    tree.member("5:cpu,cpuacct:/docker/abc")
    tree.member("4:memory:/docker/abc/inner")
    tree.put("sys/fs/cgroup/cpu,cpuacct/docker/cpu.cfs_quota_us", "300000")
    tree.put("sys/fs/cgroup/cpu,cpuacct/docker/cpu.cfs_period_us", "100000")
    tree.put("sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_quota_us", "-1")
    tree.put("sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_period_us", "100000")
    tree.put("sys/fs/cgroup/memory/docker/memory.limit_in_bytes", "9223372036854771712")
    tree.put("sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes", str(2 << 30))
    assert tree.read() == CgroupLimits(3.0, 2 << 30)


def test_both_versions_at_once_give_the_smaller_limit(tree: Tree) -> None:
    tree.mount_v2(at="/sys/fs/cgroup/unified")
    tree.mount_v1("memory")
    tree.member("4:memory:/a")
    tree.member("0::/a")
    tree.put("sys/fs/cgroup/unified/a/memory.max", str(3 << 30))
    tree.put("sys/fs/cgroup/memory/a/memory.limit_in_bytes", str(2 << 30))
    assert tree.read().memory == 2 << 30


def test_a_container_that_sees_only_its_part_of_the_tree_finds_its_limit(tree: Tree) -> None:
    tree.mount_v2(shown="/docker/abc")
    tree.member("0::/docker/abc/job")
    tree.put("sys/fs/cgroup/job/cpu.max", "200000 100000")
    tree.put("sys/fs/cgroup/cpu.max", "400000 100000")
    assert tree.read().cpu == 2.0


def test_a_group_outside_the_mount_is_read_at_its_top(tree: Tree) -> None:
    tree.mount_v2()
    tree.member("0::/../../elsewhere")
    tree.put("sys/fs/cgroup/cpu.max", "100000 100000")
    assert tree.read().cpu == 1.0


def test_a_mount_point_with_a_space_is_found(tree: Tree) -> None:
    tree.mount_v2(at="/sys/my\\040groups")
    tree.member("0::/")
    tree.put("sys/my groups/cpu.max", "100000 100000")
    assert tree.read().cpu == 1.0


@pytest.mark.parametrize("text", ["", "max", "abc def", "100000 0", "100000"])
def test_a_quota_that_cannot_be_read_is_no_quota(tree: Tree, text: str) -> None:
    tree.mount_v2()
    tree.member("0::/")
    tree.put("sys/fs/cgroup/cpu.max", text)
    assert tree.read().cpu is None
