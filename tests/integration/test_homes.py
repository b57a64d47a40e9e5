"""Homes in bad places: read-only, full, strange names, damaged, gone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from .conftest import Tenire

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def text(tmp_path: Path) -> Path:
    folder = tmp_path / "texts"
    folder.mkdir()
    (folder / "zebras.txt").write_text("Zebras graze on the plains.")
    return folder


@pytest.fixture
def bound(tmp_path: Path) -> Iterator[Tenire]:
    """Commands that permissions apply to, also where the tests run as root."""
    through: tuple[str, ...] = ()
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("to root no permission applies, and setpriv is not there to give it up")
        through = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search")
    commands = Tenire(tmp_path / "home", through=through)
    yield commands
    commands.close()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other permissions")
def test_what_may_not_be_read_or_written_is_told_in_one_line(bound: Tenire, text: Path, tmp_path: Path) -> None:
    home = bound.home
    (text / "secret.txt").write_text("Nobody may read this.")
    (text / "secret.txt").chmod(0)
    locked = text / "locked"
    locked.mkdir(mode=0)
    home.mkdir(mode=0o500)
    try:
        refused = bound.ingest(text)
        assert (refused.code, refused.json["error"]["type"]) == (1, "StoreError")
        assert str(home) in refused.json["error"]["message"]
        assert os.listdir(home) == []
        for path in (text / "secret.txt", locked):
            refused = bound.ingest(path)
            assert (refused.code, refused.json["error"]["type"]) == (2, "ConfigError")
            assert str(path) in refused.json["error"]["message"]
        # What lies below a named path is quarantined, one by one.
        home.chmod(0o700)
        ended = bound.ingest(text)
        assert ended.code == 3
        assert (ended.totals["done"], ended.totals["quarantined"]) == (1, 2)
        errors = {Path(entry["source"]).name: entry["error"] for entry in bound("failed").json["failed"]}
        assert "permission denied" in errors["secret.txt"]
        assert "cannot be read" in errors["locked"]
        # A home that may not be written any more still answers.
        for path in [*home.rglob("*"), home]:
            path.chmod(0o500 if path.is_dir() else 0o400)
        found = bound("search", "zebras", "--mode", "text")
        assert found.json["hits"][0]["source"] == str(text / "zebras.txt")
        assert bound("status").json["documents"] == 1
        assert (bound.verify()["ok"], bound.verify()["documents"]) == (True, 1)
        refused = bound.ingest(text)
        assert (refused.code, refused.json["error"]["type"]) == (1, "StoreError")
        assert refused.json["error"]["hint"]
    finally:
        locked.chmod(0o700)
        for path in [home, *home.rglob("*")]:
            path.chmod(0o700)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of a few megabytes."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = shutil.which("mount")
    made = mount and subprocess.run(
        [mount, "-t", "tmpfs", "-o", "size=1500k", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if not made or made.returncode:
        pytest.skip("a small disk can only be mounted by root, on Linux")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_ends_the_run_with_one_message_and_more_space_completes_it(small_disk: Path, library: Path) -> None:
    tenire = Tenire(small_disk / "home")
    try:
        ended = tenire.ingest(library)
        assert ended.code == 1
        said = ended.out + ended.err
        assert "space" in said, said
        assert "unexpected" not in said, said
        subprocess.run(["mount", "-o", "remount,size=100m", str(small_disk)], check=True)
        again = tenire.ingest(library)
        assert again.code == 0, again.out + again.err
        assert again.totals["seen"] == 120
        report = tenire.verify()
        assert (report["ok"], report["documents"]) == (True, 120)
    finally:
        tenire.close()


@pytest.mark.parametrize("name", ["ünï çödé ✓ '\"$HOME %41#?&=[*]", "-x"])
def test_a_home_may_have_any_name(tmp_path: Path, text: Path, name: str) -> None:
    tenire = Tenire(tmp_path / name / "home")
    try:
        assert tenire.ingest(text).code == 0
        assert tenire("search", "zebras", "--mode", "text").json["hits"]
    finally:
        tenire.close()


def test_a_home_that_is_a_file_is_refused(tenire: Tenire, text: Path) -> None:
    tenire.home.write_text("a file")
    ended = tenire.ingest(text)
    assert (ended.code, ended.json["error"]["type"]) == (2, "ConfigError")
    assert tenire.home.read_text() == "a file"


def test_a_damaged_ledger_and_a_lost_store_are_named(tenire: Tenire, text: Path) -> None:
    tenire.ingest(text)
    shutil.rmtree(tenire.home / "store")
    for words in (["ingest", str(text)], ["search", "zebras"], ["verify"]):
        ended = tenire(*words)
        assert ended.code == 1
        assert str(tenire.home / "store") in ended.json["error"]["message"]
        assert ended.json["error"]["hint"]
    (tenire.home / "ledger.db").write_bytes(b"nonsense" * 1000)
    for words in (["ingest", str(text)], ["status"], ["failed"]):
        ended = tenire(*words)
        assert ended.code == 1
        assert "damaged" in ended.json["error"]["message"]


VANDAL = """
import shutil

def remove(draft):
    if "vandal" in draft.text:
        shutil.rmtree({store!r})
"""

TWO = """
[pipelines.first]
source = "texts"
embedder = "static"
[pipelines.second]
source = "more"
embedder = "static"
after = ["first"]
[pipelines.second.validate]
function = "vandal:remove"
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows deletes no file that is open")
def test_a_store_that_is_deleted_under_a_running_engine_ends_the_run_with_its_name_and_is_mended(
    tenire: Tenire, text: Path, tmp_path: Path
) -> None:
    store = tenire.home / "store"
    (tmp_path / "vandal.py").write_text(VANDAL.format(store=str(store)))
    (tmp_path / "two.toml").write_text(TWO)
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "a.txt").write_text("Here comes the vandal.")
    ended = tenire("run", str(tmp_path / "two.toml"))
    assert ended.code == 1
    pipelines = ended.json["pipelines"]
    assert (pipelines["first"]["done"], pipelines["second"]["done"]) == (1, 0)
    assert str(store) in pipelines["second"]["error"]
    assert "unexpected" not in ended.out + ended.err
    # Nothing goes on as if nothing were missing, and the remedy that is told is one.
    refused = tenire("run", str(tmp_path / "two.toml"))
    assert (refused.code, refused.json["error"]["type"]) == (1, "StoreError")
    assert "verify --repair" in refused.json["error"]["hint"]
    tenire("verify", "--repair")
    (tmp_path / "vandal.py").write_text("def remove(draft):\n    return None\n")
    assert tenire("run", str(tmp_path / "two.toml")).code == 0
    report = tenire.verify()
    assert (report["ok"], report["documents"]) == (True, 2)
