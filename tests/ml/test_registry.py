"""The models of a home: whole or not at all, checked before they are used."""

from __future__ import annotations

import os
import pickle
import shutil
from typing import TYPE_CHECKING

import pytest

from tenire.errors import ConfigError, ModelFileError
from tenire.ml import ModelRegistry
from tenire.testing import ManualClock

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def registry(tmp_path: Path) -> ModelRegistry:
    return ModelRegistry(tmp_path / "home", clock=ManualClock())


def saved(registry: ModelRegistry, data: bytes = b"weights", **more: object) -> str:
    version = registry.save("topics", {"model.npz": data}, kind="arrays", **more)  # type: ignore[arg-type]
    return version.manifest.version


def test_a_registry_writes_nothing_before_there_is_a_model(registry: ModelRegistry) -> None:
    assert registry.names() == []
    with pytest.raises(ModelFileError, match="there is no model 'topics'") as caught:
        registry.open("topics")
    assert "none yet" in str(caught.value.hint)
    assert not registry.folder.exists()


def test_a_version_tells_its_metrics_and_where_it_comes_from(registry: ModelRegistry) -> None:
    saved(registry, metrics={"accuracy": 0.9}, lineage={"data": "abc"}, settings={"embedder": "static"})
    found = registry.open("topics")
    assert found.read("model.npz") == b"weights"
    assert (found.manifest.metrics, found.manifest.lineage) == ({"accuracy": 0.9}, {"data": "abc"})
    assert found.manifest.settings == {"embedder": "static"}
    assert registry.names() == ["topics"]


def test_the_newest_version_is_the_current_one_until_another_is_chosen(registry: ModelRegistry) -> None:
    old, new = saved(registry, b"old"), saved(registry, b"new")
    assert registry.open("topics").manifest.version == new
    registry.use("topics", old)
    assert registry.open("topics").read("model.npz") == b"old"
    assert {version.manifest.version for version in registry.versions("topics")} == {old, new}


def test_the_same_files_are_the_same_version(registry: ModelRegistry) -> None:
    assert saved(registry) == saved(registry)
    assert len(registry.versions("topics")) == 1


@pytest.mark.parametrize("file", ["model.npz", "manifest.json"])
def test_a_damaged_file_is_refused_and_named(registry: ModelRegistry, file: str) -> None:
    version = saved(registry)
    path = registry.folder / "topics" / version / file
    data = bytearray(path.read_bytes())
    data[-2] ^= 1
    path.write_bytes(data)
    with pytest.raises(ModelFileError, match=rf"topics@{version}") as caught:
        registry.open("topics").read("model.npz")
    assert caught.value.model == "topics"
    assert caught.value.hint
    assert registry.find("topics", version) is None


def test_a_damaged_version_is_replaced_when_it_is_made_again(registry: ModelRegistry) -> None:
    version = saved(registry)
    (registry.folder / "topics" / version / "model.npz").write_bytes(b"")
    assert saved(registry) == version
    registry.open("topics").verify()


def test_a_missing_file_is_told(registry: ModelRegistry) -> None:
    version = saved(registry)
    os.remove(registry.folder / "topics" / version / "model.npz")
    with pytest.raises(ModelFileError, match="cannot be read"):
        registry.open("topics").verify()


def test_a_version_that_breaks_off_is_not_there(registry: ModelRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*paths: object) -> None:
        raise OSError(28, "No space left on device")

    first = saved(registry, b"first")
    monkeypatch.setattr("tenire.ml.registry.os.replace", fail)
    with pytest.raises(ModelFileError, match="No space left") as caught:
        saved(registry, b"second")
    assert caught.value.hint == "free some space on that disk"
    monkeypatch.undo()
    assert [entry.name for entry in sorted((registry.folder / "topics").iterdir())] == sorted(["current", first])


def test_the_current_version_is_not_removed(registry: ModelRegistry) -> None:
    old, new = saved(registry, b"old"), saved(registry, b"new")
    with pytest.raises(ModelFileError, match="is the current version"):
        registry.remove("topics", new)
    assert registry.remove("topics", old)
    assert not registry.remove("topics", old)


@pytest.mark.parametrize("name", ["", "..", "../x", "a/b", "a\\b", ".hidden", "x" * 65, "a."])
def test_a_name_never_leads_out_of_the_folder(registry: ModelRegistry, name: str) -> None:
    for act in (registry.open, registry.versions, lambda name: registry.open("topics", name)):
        with pytest.raises((ConfigError, ModelFileError), match=r"must be up to 64 letters|there is no model"):
            act(name)
    with pytest.raises(ConfigError):
        registry.save(name, {}, kind="arrays")
    with pytest.raises(ConfigError):
        registry.save("topics", {name: b""}, kind="arrays")


class _Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemError('it was loaded')",)


def test_a_pickle_from_outside_needs_a_flag(registry: ModelRegistry, tmp_path: Path) -> None:
    file = tmp_path / "model.pkl"
    file.write_bytes(pickle.dumps(_Bomb()))
    with pytest.raises(ModelFileError, match="a pickle from outside") as caught:
        registry.add("bomb", file)
    assert "allow_pickle=True" in str(caught.value.hint)
    assert not registry.folder.exists()
    data = registry.add("bomb", file, allow_pickle=True).read("model.pkl")
    assert data == file.read_bytes()
    with pytest.raises(SystemError, match="it was loaded"):
        pickle.loads(data)


def test_a_pickle_that_was_put_into_the_home_is_refused(registry: ModelRegistry, tmp_path: Path) -> None:
    file = tmp_path / "model.pkl"
    file.write_bytes(pickle.dumps("harmless"))
    other = ModelRegistry(tmp_path / "other")
    other.add("mine", file, allow_pickle=True)
    saved(registry)
    shutil.copytree(other.folder / "mine", registry.folder / "mine")
    with pytest.raises(ModelFileError, match="did not take in itself"):
        registry.open("mine").read("model.pkl")
    registry.add("own", file, allow_pickle=True)
    with pytest.raises(ModelFileError, match="did not take in itself"):
        registry.open("mine").read("model.pkl")
    assert registry.open("own").read("model.pkl") == file.read_bytes()


def test_models_come_in_from_files_of_known_kinds(registry: ModelRegistry, tmp_path: Path) -> None:
    for ending, kind in ((".onnx", "onnx"), (".npz", "arrays")):
        file = tmp_path / f"model{ending}"
        file.write_bytes(b"data")
        found = registry.add("model", file)
        assert (found.manifest.kind, found.read(f"model{ending}")) == (kind, b"data")
        assert found.manifest.lineage == {"file": str(file.resolve())}
    with pytest.raises(ModelFileError, match=r"ends with \.onnx"):
        registry.add("model", tmp_path / "model.h5")
    with pytest.raises(ModelFileError, match="cannot be read"):
        registry.add("model", tmp_path / "none.onnx")


def test_a_renamed_folder_is_told(registry: ModelRegistry) -> None:
    saved(registry)
    os.rename(registry.folder / "topics", registry.folder / "other")
    with pytest.raises(ModelFileError, match="holds the model topics@"):
        registry.open("other")


def test_only_the_owner_can_read_models(registry: ModelRegistry, tmp_path: Path) -> None:
    file = tmp_path / "model.pkl"
    file.write_bytes(b"x")
    registry.add("mine", file, allow_pickle=True)
    assert os.stat(registry.folder / "mine").st_mode & 0o077 == 0 or os.name == "nt"
    assert os.stat(registry.folder / ".seal.key").st_mode & 0o077 == 0 or os.name == "nt"
