"""Factories of models for a pool: they travel to a worker process, and load there.

A factory that can have its model run on a GPU says with ``gpu_wanted()`` how many bytes of it that
would take, and returns with ``on_gpu(bytes)`` the factory that loads it there.
"""

from __future__ import annotations

import os
import pickle
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tenire.errors import ModelFileError
from tenire.ml.gpu import CONTEXT_BYTES
from tenire.ml.model_file import read_model_file
from tenire.ml.tokenizing import TOKENIZER_FILE

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["KeptModel", "OnnxModel"]

_OF_ITS_FILE = 3
"""Times its file that a graph is thought to take on a GPU: itself, and what it computes in between."""


@dataclass(frozen=True, slots=True)
class OnnxModel:
    """A graph in a file of the ONNX format: returns its first output for each item.

    Attributes:
        path: The file.
        threads: Threads to compute with.
        tokenizer: The file ``tokenizer.json`` beside it: items are texts then, or pairs of texts. Without
            one they are arrays, or dicts with an array for each input.
        pooling: Where it gives a row for each token: ``mean`` or ``first``, of unit length; empty: all.
        most_tokens: Most tokens of a text; ``None``: what the tokenizer says, or 512.
        gpu_memory: Bytes of a GPU that it may take; ``None``: none, but a pool sets some aside by the
            size of the file where there is a GPU; 0: none there either.
    """

    path: str | os.PathLike[str]
    threads: int = 1
    tokenizer: str | os.PathLike[str] | None = None
    pooling: str = ""
    most_tokens: int | None = None
    gpu_memory: int | None = None

    def gpu_wanted(self) -> int:
        """Return the bytes of a GPU that it would take; blocks."""
        return _wanted(self.gpu_memory, [Path(self.path)])

    def on_gpu(self, memory: int) -> OnnxModel:
        """Return the same, with so many bytes of a GPU."""
        return replace(self, gpu_memory=memory)

    def __call__(self) -> Any:
        """Load it, in the process that uses it.

        Raises:
            ModelFileError: If a file is damaged, or does not fit the other.
            MissingExtraError: If there is nothing to run it with.
        """
        path = Path(self.path)
        tokenizer = None if self.tokenizer is None else read_model_file(Path(self.tokenizer), path.stem)
        settings = {"pooling": self.pooling, "most_tokens": self.most_tokens}
        return _graph(
            read_model_file(path, path.stem), tokenizer, path.stem, self.threads, self.gpu_memory or 0, settings
        )


@dataclass(frozen=True, slots=True)
class KeptModel:
    """A version of a model of a home: a graph, or a Python object that was let in.

    Attributes:
        home: Directory of the home.
        name: The model.
        version: The version; ``None``: the one that is current when it is loaded.
        threads: Threads to compute with.
        gpu_memory: Of a graph, as for ``OnnxModel``.
    """

    home: str | os.PathLike[str]
    name: str
    version: str | None = None
    threads: int = 1
    gpu_memory: int | None = None

    def gpu_wanted(self) -> int:
        """Return the bytes of a GPU that it would take; blocks."""
        from tenire.ml.registry import ModelRegistry

        try:
            found = ModelRegistry(self.home).open(self.name, self.version)
        except ModelFileError:  # whoever loads it is told
            return 0
        if found.manifest.kind != "onnx":
            return 0
        return _wanted(self.gpu_memory, [found.folder / file for file in found.manifest.files])

    def on_gpu(self, memory: int) -> KeptModel:
        """Return the same, with so many bytes of a GPU."""
        return replace(self, gpu_memory=memory)

    def __call__(self) -> Any:
        """Load it, checked, in the process that uses it.

        Raises:
            ModelFileError: If it is missing, damaged, not to be trusted, or of a kind that cannot be asked.
        """
        from tenire.ml.registry import ModelRegistry

        found = ModelRegistry(self.home).open(self.name, self.version)
        manifest = found.manifest
        if manifest.kind == "onnx":
            tokenizer = found.read(TOKENIZER_FILE) if TOKENIZER_FILE in manifest.files else None
            graph = found.read(next(file for file in manifest.files if file != TOKENIZER_FILE))
            return _graph(graph, tokenizer, found.label, self.threads, self.gpu_memory or 0, manifest.settings)
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


def _graph(
    data: bytes, tokenizer: bytes | None, name: str, threads: int, gpu_memory: int, settings: Mapping[str, Any]
) -> Any:
    from tenire.ml.onnx_graph import OnnxGraph

    graph = OnnxGraph(data, name, threads, gpu_memory=gpu_memory)
    if tokenizer is None:
        return graph
    from tenire.ml.text_graph import TextGraph

    most, pooling = settings.get("most_tokens"), settings.get("pooling", "")
    return TextGraph(graph, tokenizer, name, most_tokens=most, pooling=pooling)


def _wanted(said: int | None, files: list[Path]) -> int:
    if said is not None:
        return said
    try:
        return CONTEXT_BYTES + _OF_ITS_FILE * sum(file.stat().st_size for file in files)
    except OSError:  # whoever loads it is told
        return 0
