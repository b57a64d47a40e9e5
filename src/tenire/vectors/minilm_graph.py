"""all-MiniLM-L6-v2 as an OpenVINO graph, in float or in 8 bits.

The graph is built from the weights with OpenVINO's own operations, so neither
torch nor onnx is needed. Shapes: ``ids`` and ``mask`` are (batch, width) int64;
the first result is (batch, 384) float32, mean of the real tokens, unit length.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tenire.pipeline.openvino_import import load_openvino

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Weights = Mapping[str, NDArray[np.float32]]

__all__ = ["DIMENSION", "LAYERS", "LINEAR_KEYS", "Quantisation", "build_graph", "linear_weight"]

DIMENSION = 384
LAYERS = 6
_HEADS = 12
_HEAD_SIZE = DIMENSION // _HEADS
_NORM_EPSILON = 1e-12  # of the model's own configuration
_MASKED = -1e9
_KEPT_SMALL = "decompression_0"  # OpenVINO's name for a conversion that is left for the time of use

LINEAR_KEYS = tuple(f"{layer}.{part}" for layer in range(LAYERS) for part in ("qkv", "out", "up", "down"))
_LINEAR_NAMES = {
    "qkv": ("attention.self.query", "attention.self.key", "attention.self.value"),
    "out": ("attention.output.dense",),
    "up": ("intermediate.dense",),
    "down": ("output.dense",),
}


@dataclass(frozen=True, slots=True)
class Quantisation:
    """How to write one linear layer in 8 bits.

    Attributes:
        low: Smallest value of the smoothed input, at most 0.
        high: Largest value of the smoothed input, at least 0.
        smooth: Divisor of each input channel, shape (inputs,); folded into the weight.
    """

    low: float
    high: float
    smooth: NDArray[np.float32]


def _linear(weights: Weights, key: str, kind: str) -> NDArray[np.float32]:
    layer, part = key.split(".")
    return np.concatenate([weights[f"encoder.layer.{layer}.{name}.{kind}"] for name in _LINEAR_NAMES[part]])


def linear_weight(weights: Weights, key: str) -> NDArray[np.float32]:
    """Return the weight of one linear layer, shape (outputs, inputs); query, key and value are one layer."""
    return _linear(weights, key, "weight")


class _Builder:
    """Adds nodes to one graph."""

    def __init__(self, weights: Weights, quantised: Mapping[str, Quantisation] | None) -> None:
        self.ops: Any = load_openvino().opset13
        self.weights = weights
        self.quantised = quantised
        self.inputs: list[Any] = []  # of the linear layers, in the order of LINEAR_KEYS

    def floats(self, value: Any) -> Any:
        return self.ops.constant(np.asarray(value, np.float32))

    def ints(self, *values: int) -> Any:
        return self.ops.constant(np.array(values, np.int64))

    def linear(self, x: Any, key: str, parts: int = 1) -> list[Any]:
        """Add a linear layer, as so many products of one input; each has as many of its outputs."""
        weight = linear_weight(self.weights, key)
        bias = _linear(self.weights, key, "bias")
        self.inputs.append(x)
        if self.quantised is not None:
            how = self.quantised[key]
            x = self.ops.multiply(x, self.floats(1 / how.smooth))
            low, high = self.floats(how.low), self.floats(how.high)
            x = self.ops.fake_quantize(x, low, high, low, high, 256)
            weight = weight * how.smooth
        kind = self.floats if self.quantised is None else self._int8
        return [
            self.ops.add(self.ops.matmul(x, kind(rows), False, True), self.floats(offset))
            for rows, offset in zip(np.split(weight, parts), np.split(bias, parts), strict=True)
        ]

    def _int8(self, weight: NDArray[np.float32]) -> Any:
        # Symmetric, one scale per output channel: the form that OpenVINO's
        # 8-bit kernels take without converting back.
        scale = np.abs(weight).max(1, keepdims=True) / 127
        levels = np.clip(np.rint(weight / scale), -127, 127).astype(np.int8)
        whole = self.ops.convert(self.ops.constant(levels), np.float32)
        return self.ops.multiply(whole, self.floats(scale))

    def layer_norm(self, x: Any, name: str) -> Any:
        x = self.ops.mvn(x, self.ints(-1), True, _NORM_EPSILON, "inside_sqrt")
        scaled = self.ops.multiply(x, self.floats(self.weights[f"{name}.weight"]))
        return self.ops.add(scaled, self.floats(self.weights[f"{name}.bias"]))

    def embeddings(self, ids: Any) -> Any:
        # Most of the model's weights are this table. In 16 bits it takes half the room, and vectors are as
        # close to the float model's as before. Without the mark it would be made 32 bits again at once.
        table = self.ops.constant(self.weights["embeddings.word_embeddings.weight"].astype(np.float16))
        table = self.ops.convert(table, np.float32)
        table.get_rt_info()[_KEPT_SMALL] = ""
        words = self.ops.gather(table, ids, self.ints(0))
        # Every text is one segment, so its row is part of the positions.
        positions = self.floats(
            self.weights["embeddings.position_embeddings.weight"]
            + self.weights["embeddings.token_type_embeddings.weight"][0]
        )
        width = self.ops.gather(self.ops.shape_of(ids), self.ints(1), self.ints(0))
        positions = self.ops.slice(positions, self.ints(0), width, self.ints(1), self.ints(0))
        return self.layer_norm(self.ops.add(words, positions), "embeddings.LayerNorm")

    def attention(self, x: Any, masked: Any, layer: int) -> Any:
        # Three products and three small transpositions: cutting one large product into query, key and
        # value moves all of it through memory once more, 4 to 9 % of the whole time.
        query, key, value = (
            self.ops.transpose(self.ops.reshape(part, self.ints(0, 0, _HEADS, _HEAD_SIZE), True), self.ints(0, 2, 1, 3))
            for part in self.linear(x, f"{layer}.qkv", parts=3)
        )
        mixed = self.ops.scaled_dot_product_attention(query, key, value, masked)
        mixed = self.ops.transpose(mixed, self.ints(0, 2, 1, 3))
        mixed = self.ops.reshape(mixed, self.ints(0, 0, DIMENSION), True)
        return self.linear(mixed, f"{layer}.out")[0]

    def encoder(self, x: Any, masked: Any) -> Any:
        for layer in range(LAYERS):
            name = f"encoder.layer.{layer}"
            x = self.layer_norm(self.ops.add(self.attention(x, masked, layer), x), f"{name}.attention.output.LayerNorm")
            wide = self.ops.gelu(self.linear(x, f"{layer}.up")[0], "erf")
            x = self.layer_norm(self.ops.add(self.linear(wide, f"{layer}.down")[0], x), f"{name}.output.LayerNorm")
        return x

    def mean(self, x: Any, mask: Any) -> Any:
        weight = self.ops.unsqueeze(mask, self.ints(-1))
        total = self.ops.reduce_sum(self.ops.multiply(x, weight), self.ints(1))
        mean = self.ops.divide(total, self.ops.reduce_sum(weight, self.ints(1)))
        return self.ops.normalize_l2(mean, self.ints(1), 1e-12, "add")


def build_graph(weights: Weights, quantised: Mapping[str, Quantisation] | None = None, *, taps: bool = False) -> Any:
    """Build the model.

    Args:
        weights: The model's tensors by their names in the safetensors file.
        quantised: One entry per ``LINEAR_KEYS`` for 8 bits, or ``None`` for float.
        taps: Also return the input of each linear layer, in the order of
            ``LINEAR_KEYS``, each (batch, width, inputs). For calibration.

    Returns:
        An ``openvino.Model``.
    """
    build = _Builder(weights, quantised)
    ids = build.ops.parameter([-1, -1], np.int64, name="ids")
    mask = build.ops.parameter([-1, -1], np.int64, name="mask")
    real = build.ops.convert(mask, np.float32)
    padding = build.ops.subtract(build.floats(1), build.ops.unsqueeze(real, build.ints(1, 2)))
    hidden = build.encoder(build.embeddings(ids), build.ops.multiply(padding, build.floats(_MASKED)))
    outputs = [build.mean(hidden, real), *(build.inputs if taps else ())]
    return load_openvino().Model(outputs, [ids, mask], "all-MiniLM-L6-v2")
