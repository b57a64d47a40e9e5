"""Factories of models for a pool: they travel to a worker process, and load there."""

from __future__ import annotations

import os
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tenire.errors import ModelFileError

__all__ = ["KeptModel", "OnnxModel"]


@dataclass(frozen=True, slots=True)
class OnnxModel:
    """A graph in a file of the ONNX format: takes arrays of one shape, returns the first output for each.

    Attributes:
        path: The file.
        threads: Threads to compute with.
    """

    path: str | os.PathLike[str]
    threads: int = 1

    def __call__(self) -> Any:
        """Load it, in the process that uses it.

        Raises:
            ModelFileError: If the file is damaged.
            MissingExtraError: If there is nothing to run it with.
        """
        from tenire.ml.onnx_graph import OnnxGraph

        path = Path(self.path)
        try:
            data = path.read_bytes()
        except OSError as error:
            message = f"the model {path} cannot be read: {error.strerror}"
            raise ModelFileError(message, model=path.stem) from error
        return OnnxGraph(data, path.stem, self.threads)


@dataclass(frozen=True, slots=True)
class KeptModel:
    """A version of a model of a home: a graph, or a Python object that was let in.

    Attributes:
        home: Directory of the home.
        name: The model.
        version: The version; ``None``: the one that is current when it is loaded.
        threads: Threads to compute with.
    """

    home: str | os.PathLike[str]
    name: str
    version: str | None = None
    threads: int = 1

    def __call__(self) -> Any:
        """Load it, checked, in the process that uses it.

        Raises:
            ModelFileError: If it is missing, damaged, not to be trusted, or of a kind that cannot be asked.
        """
        from tenire.ml.registry import ModelRegistry

        found = ModelRegistry(self.home).open(self.name, self.version)
        manifest = found.manifest
        if manifest.kind == "onnx":
            from tenire.ml.onnx_graph import OnnxGraph

            return OnnxGraph(found.read(next(iter(manifest.files))), found.label, self.threads)
        if manifest.kind == "classifier":
            from tenire.ml.asking import loaded_words

            return loaded_words(os.fspath(self.home), self.name, manifest.version)
        if manifest.kind != "pickle":
            message = f"the model {found.label} is of the kind {manifest.kind!r}, which says no more than numbers"
            raise ModelFileError(message, model=self.name, hint="give a pool a factory of your own that reads them")
        data = found.read(next(iter(manifest.files)))
        try:
            return pickle.loads(data)
        except Exception as error:
            message = f"the model {found.label} cannot be loaded: {type(error).__name__}: {error}"
            hint = "it needs the packages, in about the versions, that it was made with"
            raise ModelFileError(message, model=self.name, hint=hint) from error
