"""The models of a home: each in versions, none of which ever changes.

::

    HOME/models/NAME/
        current            the version that is meant where none is named
        VERSION/
            manifest.json  what it is, its metrics and lineage, the sum of each file
            …              its files

1. A version appears whole or not at all: it is made under another name, and renamed.
2. Nothing is used whose bytes do not have the sum that its manifest says; what is checked
   is what is used, not read a second time.
3. A pickle is used only if this home has sealed it (see ``seal``): one from elsewhere comes
   in by ``add`` with ``allow_pickle``, and in no other way.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from tenire.clock import SYSTEM_CLOCK
from tenire.errors import ConfigError, ModelFileError
from tenire.ml.manifest import KINDS, Manifest, sum_of
from tenire.ml.model_file import read_model_file
from tenire.ml.seal import is_sealed, seal_of
from tenire.ml.tokenizing import TOKENIZER_FILE
from tenire.storage.advice import advice

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tenire.clock import Clock

__all__ = ["ModelRegistry", "ModelVersion"]

_NAME = re.compile(r"\w[\w .-]{0,63}")
_MANIFEST = "manifest.json"
_CURRENT = "current"
_BY_SUFFIX = {".onnx": "onnx", ".npz": "arrays", ".pkl": "pickle", ".pickle": "pickle", ".joblib": "pickle"}
_PICKLES = "loading a pickle runs whatever it says; pass allow_pickle=True only for files that you made yourself"


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One version of a model, whose manifest was checked.

    Attributes:
        manifest: What it is.
        folder: Where its files are.
    """

    manifest: Manifest
    folder: Path

    @property
    def label(self) -> str:
        """The name and version for people: ``NAME@VERSION``."""
        return f"{self.manifest.name}@{self.manifest.version}"

    def read(self, file: str) -> bytes:
        """Return the bytes of one of its files, checked.

        Raises:
            ModelFileError: If the file is missing or damaged, or a pickle that this home did not take in.
        """
        manifest = self.manifest
        expected = manifest.files.get(file)
        if expected is None:
            known = ", ".join(manifest.files) or "none"
            raise self._error(f"has no file {file!r}; it has {known}")
        if manifest.kind == "pickle" and not self._is_sealed():
            raise self._error("is a pickle that this home did not take in itself", hint=_PICKLES)
        path = self.folder / file
        try:
            data = path.read_bytes()
        except OSError as error:
            raise self._error(f"cannot be read: {error.strerror} ({path})") from error
        if sum_of(data) != expected:
            raise self._error(f"is damaged: {path} has not the SHA-256 {expected[:12]}… that its manifest says")
        return data

    def verify(self) -> None:
        """Read all of its files.

        Raises:
            ModelFileError: If one of them is missing or damaged.
        """
        for file in self.manifest.files:
            self.read(file)

    def _is_sealed(self) -> bool:
        manifest = self.manifest
        return is_sealed(self.folder.parent.parent, manifest.seal, *_sealed(manifest.name, manifest.files))

    def _error(self, what: str, hint: str | None = None) -> ModelFileError:
        usual = "train it again, or add it again from where it came; its folder may be removed"
        return ModelFileError(f"the model {self.label} {what}", model=self.manifest.name, hint=hint or usual)


class ModelRegistry:
    """The models of one home. Methods block; call them on threads. Making one touches nothing on disk.

    Args:
        home: Directory of the home.
        clock: For the time that manifests tell.
    """

    def __init__(self, home: str | os.PathLike[str], *, clock: Clock = SYSTEM_CLOCK) -> None:
        self.folder = Path(os.path.abspath(home)) / "models"
        self._clock = clock

    def names(self) -> list[str]:
        """Return the names of all models, sorted."""
        if not self.folder.is_dir():
            return []
        return sorted(entry.name for entry in self.folder.iterdir() if (entry / _CURRENT).is_file())

    def versions(self, name: str) -> list[ModelVersion]:
        """Return the versions of a model, the oldest first; damaged ones are left out."""
        folder = self._of(name)
        found = []
        for entry in folder.iterdir() if folder.is_dir() else ():
            if (entry / _MANIFEST).is_file() and not entry.name.startswith("."):
                try:
                    found.append(self.open(name, entry.name))
                except ModelFileError:
                    continue
        return sorted(found, key=lambda version: (version.manifest.made_at, version.manifest.version))

    def find(self, name: str, version: str) -> ModelVersion | None:
        """Return a version if it is there, and whole."""
        try:
            found = self.open(name, version)
            found.verify()
        except ModelFileError:
            return None
        return found

    def open(self, name: str, version: str | None = None) -> ModelVersion:
        """Return a version of a model; its files are checked when they are read.

        Args:
            name: The model.
            version: The version; ``None``: the current one.

        Raises:
            ModelFileError: If there is none, or its manifest is damaged.
        """
        folder = self._of(name)
        if version is None:
            version = self._current(name)
        else:
            _check_name("version", version)
        place = folder / version
        try:
            manifest = Manifest.read((place / _MANIFEST).read_bytes())
        except FileNotFoundError as error:
            message = f"there is no version {version!r} of the model {name!r} in {self.folder}"
            raise ModelFileError(message, model=name, hint=self._known(name)) from error
        except (OSError, ValueError) as error:
            message = f"the model {name}@{version} cannot be used: {getattr(error, 'strerror', None) or error}"
            raise ModelFileError(message, model=name, hint=f"remove {place}, and make it again") from error
        if (manifest.name, manifest.version) != (name, version):
            message = f"{place} holds the model {manifest.name}@{manifest.version}, not {name}@{version}"
            raise ModelFileError(message, model=name, hint="models cannot be renamed; add it under the new name")
        return ModelVersion(manifest, place)

    def save(
        self,
        name: str,
        files: Mapping[str, bytes],
        *,
        kind: str,
        version: str | None = None,
        metrics: Mapping[str, Any] | None = None,
        lineage: Mapping[str, Any] | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> ModelVersion:
        """Keep a version of a model, which becomes the current one.

        Args:
            name: The model.
            files: Its files.
            kind: What it is, one of ``KINDS``.
            version: Names the version; ``None``: by what its files hold. One that is there and whole stays.
            metrics: How good it is.
            lineage: What it was made from.
            settings: What it needs to be used.

        Raises:
            ConfigError: If a name is impossible.
            ModelFileError: If it cannot be written.
        """
        folder = self._of(name)
        if kind not in KINDS:
            message = f"kind must be one of {', '.join(KINDS)}, got {kind!r}"
            raise ConfigError(message, key="kind")
        for file in files:
            _check_name("file", file)
        sums = {file: sum_of(data) for file, data in files.items()}
        if version is None:
            version = sum_of(repr(sorted(sums.items())).encode())[:16]
        _check_name("version", version)
        if (found := self.find(name, version)) is None:
            manifest = Manifest(
                name=name, version=version, kind=kind, files=sums, metrics=dict(metrics or {}),
                lineage=dict(lineage or {}), settings=dict(settings or {}), made_at=self._clock.wall(),
            )  # fmt: skip
            try:
                found = self._written(manifest, files)
            except OSError as error:
                message = f"the model {name}@{version} cannot be kept in {folder}: {error.strerror or error}"
                hint = advice(error, "the home must be on a writable disk")
                raise ModelFileError(message, model=name, hint=hint) from error
        self.use(name, version)
        return found

    def add(
        self,
        name: str,
        path: str | os.PathLike[str],
        *,
        allow_pickle: bool = False,
        tokenizer: str | os.PathLike[str] | None = None,
        metrics: Mapping[str, Any] | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> ModelVersion:
        """Take in a model from a file: ``.onnx``, ``.npz`` (coefficients), or a pickle.

        Args:
            name: What it is to be called here.
            path: The file.
            allow_pickle: Whether a pickle may come in. Loading one runs whatever it says.
            tokenizer: The file ``tokenizer.json`` of a graph that is to be asked about texts.
            metrics: How good it is said to be.
            settings: What it needs to be used: ``pooling`` and ``most_tokens`` of a graph with a tokenizer.

        Raises:
            ModelFileError: If it cannot be read, is of no known kind, or is a pickle that may not come in.
        """
        source = Path(path)
        kind = _BY_SUFFIX.get(source.suffix.lower())
        if kind is None:
            message = f"a model comes from a file that ends with {', '.join(_BY_SUFFIX)}, got {source}"
            raise ModelFileError(message, model=name)
        if kind == "pickle" and not allow_pickle:
            message = f"{source} is a pickle from outside of the home, and was not loaded"
            raise ModelFileError(message, model=name, hint=f"use ONNX or .npz for exchange; {_PICKLES}")
        if tokenizer is not None and kind != "onnx":
            message = f"a tokenizer belongs to a graph in ONNX, got one with {source}"
            raise ConfigError(message, key="tokenizer")
        files = {f"model{source.suffix.lower()}": read_model_file(source, name)}
        if tokenizer is not None:
            files[TOKENIZER_FILE] = read_model_file(Path(tokenizer), name)
        lineage = {"file": str(source.resolve())}
        return self.save(name, files, kind=kind, metrics=metrics, lineage=lineage, settings=settings)

    def use(self, name: str, version: str) -> None:
        """Make a version the current one.

        Raises:
            ModelFileError: If there is no such version.
        """
        self.open(name, version)
        _replace(self._of(name) / _CURRENT, version.encode())

    def remove(self, name: str, version: str) -> bool:
        """Forget a version that is not the current one; return whether it was there.

        Raises:
            ModelFileError: If it is the current one.
        """
        folder = self._of(name)
        _check_name("version", version)
        if not (folder / version).is_dir():
            return False
        if version == self._current(name):
            message = f"{name}@{version} is the current version, and stays"
            raise ModelFileError(message, model=name, hint="make another one the current one first: use(name, version)")
        # Away from its name at once: nobody may find half of it.
        gone = folder / f".{version}.{secrets.token_hex(4)}"
        os.replace(folder / version, gone)
        shutil.rmtree(gone)
        return True

    def _of(self, name: str) -> Path:
        return self.folder / _check_name("the name of a model", name)

    def _current(self, name: str) -> str:
        try:
            return _check_name("version", (self._of(name) / _CURRENT).read_text("utf-8").strip())
        except (OSError, ValueError, ConfigError) as error:
            message = f"there is no model {name!r} in {self.folder}"
            raise ModelFileError(message, model=name, hint=self._known(name)) from error

    def _known(self, name: str) -> str:
        folder = self.folder / name
        versions = sorted(entry.parent.name for entry in folder.glob(f"*/{_MANIFEST}"))
        if versions:
            return f"versions: {', '.join(versions)}"
        return f"models: {', '.join(self.names()) or 'none yet; a classify pipeline makes one, or add(name, path)'}"

    def _written(self, manifest: Manifest, files: Mapping[str, bytes]) -> ModelVersion:
        folder = self._of(manifest.name)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if manifest.kind == "pickle":
            seal = seal_of(self.folder, *_sealed(manifest.name, manifest.files))
            manifest = msgspec.structs.replace(manifest, seal=seal)
        place, new = folder / manifest.version, folder / f".{manifest.version}.{secrets.token_hex(4)}"
        new.mkdir(mode=0o700)
        try:
            for file, data in {**files, _MANIFEST: manifest.checked()}.items():
                _write(new / file, data)
            if place.exists():  # damaged, or it would have been found
                shutil.rmtree(place)
            os.replace(new, place)
        except BaseException:
            shutil.rmtree(new, ignore_errors=True)
            raise
        return ModelVersion(manifest, place)


def _sealed(name: str, files: Mapping[str, str]) -> tuple[str, ...]:
    return (name, *(part for pair in sorted(files.items()) for part in pair))


def _check_name(what: str, name: str) -> str:
    if not isinstance(name, str) or _NAME.fullmatch(name) is None or name.endswith("."):
        message = f"{what} must be up to 64 letters, digits, spaces, _ . or -, got {name!r}"
        raise ConfigError(message, key="name")
    return name


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _replace(path: Path, data: bytes) -> None:
    new = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    _write(new, data)
    os.replace(new, path)
