"""Runs a graph in the ONNX format: on ONNX Runtime, on a GPU too, or on OpenVINO.

::

    items ──► of one shape each ──────────────────────► one run a shape ──► results, in their order
         └──► with a mask: filled up with zeros ──────► one run         ──►

1. Items of different shapes never go through the graph together unless it has an input that says
   what of them counts: filling one up would change its result.
2. What is filled up there is cut off from the result again, where that has a part for each place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from tenire.errors import MissingExtraError, ModelFileError, PredictionError
from tenire.ml.gpu import CONTEXT_BYTES, CUDA
from tenire.pipeline.openvino_import import load_openvino

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

__all__ = ["OnnxGraph"]

_ALIVE: list[Any] = []
"""OpenVINO corrupts the heap when a model is destroyed while another one lives on; all stay until the process ends."""

_TYPES = {
    "tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(int64)": np.int64, "tensor(int32)": np.int32,
}  # fmt: skip
_DTYPES = {"f32": np.float32, "f64": np.float64, "i64": np.int64, "i32": np.int32}

_MASK = "attention_mask"
"""The input that says which places of an item count, as graphs of language models call it."""


@dataclass(frozen=True, slots=True)
class _Input:
    name: str
    shape: tuple[int | None, ...]
    kind: Any


@dataclass(frozen=True, slots=True)
class _Opened:
    run: Callable[[list[NDArray[Any]]], Any]
    inputs: list[_Input]
    by_place: bool
    """Whether the second dimension of the output follows the items' own."""
    on_gpu: bool = False
    rows: Mapping[str, int] = field(default_factory=dict)
    """Of inputs that name rows of a table, such as words of a vocabulary: how many it has, where that is known."""


class OnnxGraph:
    """A graph of whose inputs the first dimension is the batch's.

    Args:
        data: The file.
        name: The model, for errors.
        threads: Threads to compute with.
        gpu_memory: Bytes of a GPU that it may take, if ONNX Runtime can use one; 0 for none.

    Attributes:
        on_gpu: Whether it computes there.
        names: Names of its inputs.

    Raises:
        ModelFileError: If the file is damaged.
        MissingExtraError: If there is nothing to run it with.
    """

    def __init__(self, data: bytes, name: str, threads: int, *, gpu_memory: int = 0) -> None:
        self._name = name
        try:
            self._graph = _opened(data, threads, gpu_memory)
        except MissingExtraError:
            raise
        except Exception as error:
            said = str(error).strip().splitlines() or [type(error).__name__]
            message = f"the model {name} is no graph in the ONNX format that can be run: {said[-1][:300]}"
            raise ModelFileError(message, model=name, hint="export it again") from error
        self._fills_up = any(entry.name == _MASK for entry in self._graph.inputs)
        self.on_gpu = self._graph.on_gpu
        self.names = [entry.name for entry in self._graph.inputs]

    def predict(self, items: Sequence[Any]) -> list[NDArray[Any]]:
        """Return the first output for each item.

        Args:
            items: Arrays; for a graph with several inputs, dicts with an array for each, by its name.

        Raises:
            PredictionError: If an item has another shape than the graph takes, or none, or names a row of a
                table that the graph does not have.
        """
        arrays = [self._arrays(item) for item in items]
        if self._fills_up and arrays:
            return self._filled_up(arrays)
        groups: dict[Any, list[int]] = {}
        for place, parts in enumerate(arrays):
            groups.setdefault(tuple(part.shape for part in parts), []).append(place)
        results: list[Any] = [None] * len(arrays)
        for places in groups.values():
            batch = [np.stack(parts) for parts in zip(*(arrays[place] for place in places), strict=True)]
            for place, result in zip(places, self._graph.run(batch), strict=True):
                results[place] = result
        return results

    def _filled_up(self, arrays: list[list[NDArray[Any]]]) -> list[NDArray[Any]]:
        batch = []
        for parts in zip(*arrays, strict=True):
            shape = tuple(max(sizes) for sizes in zip(*(part.shape for part in parts), strict=True))
            filled = np.zeros((len(parts), *shape), parts[0].dtype)
            for row, part in zip(filled, parts, strict=True):
                row[tuple(slice(size) for size in part.shape)] = part
            batch.append(filled)
        results = list(self._graph.run(batch))
        if not self._graph.by_place:
            return results
        mask = next(number for number, entry in enumerate(self._graph.inputs) if entry.name == _MASK)
        return [result[: len(parts[mask])] for result, parts in zip(results, arrays, strict=True)]

    def _arrays(self, item: Any) -> list[NDArray[Any]]:
        inputs = self._graph.inputs
        if len(inputs) == 1:
            return [self._array(inputs[0], item, "")]
        names = [entry.name for entry in inputs]
        if not isinstance(item, Mapping) or set(item) != set(names):
            got = f"a dict with {', '.join(map(str, item)) or 'nothing'}" if isinstance(item, Mapping) else _kind(item)
            message = f"the model {self._name} takes dicts with arrays for {', '.join(names)}, got {got}"
            raise PredictionError(message, model=self._name)
        return [self._array(entry, item[entry.name], f" as {entry.name}") for entry in inputs]

    def _array(self, entry: _Input, value: Any, where: str) -> NDArray[Any]:
        try:
            array: NDArray[Any] = np.asarray(value, entry.kind)
        except (TypeError, ValueError, OverflowError) as error:
            raise self._misfit(entry, where, f"rows of different lengths, or no numbers: {value!r:.40}") from error
        expected = entry.shape[1:]
        fits = array.ndim == len(expected)
        if not fits or any(size not in (None, got) for size, got in zip(expected, array.shape, strict=True)):
            raise self._misfit(entry, where, f"one of the shape {array.shape}")
        rows = self._graph.rows.get(entry.name)
        if rows is not None and array.size and not 0 <= array.min() <= array.max() < rows:
            message = (
                f"the model {self._name} takes numbers from 0 to {rows - 1:,}{where}, got some from {array.min():,}"
                f" to {array.max():,}"
            )
            raise PredictionError(message, model=self._name, hint="they were made with another vocabulary than its own")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise self._misfit(entry, where, "one that holds NaN or an infinite number")
        return array

    def _misfit(self, entry: _Input, where: str, got: str) -> PredictionError:
        shape = ", ".join("any" if size is None else str(size) for size in entry.shape[1:])
        message = f"the model {self._name} takes arrays of the shape ({shape}){where}, got {got}"
        return PredictionError(message, model=self._name, hint="look at the field that it is given, and what made that")


def _kind(item: Any) -> str:
    return f"a {type(item).__name__}"


def _opened(data: bytes, threads: int, gpu_memory: int) -> _Opened:
    if find_spec("onnxruntime") is not None:
        return _on_onnxruntime(data, threads, gpu_memory)
    if find_spec("openvino") is not None:
        return _on_openvino(data, threads)
    raise MissingExtraError("running a model in the ONNX format", extra="data", missing="onnxruntime or openvino")


def _on_onnxruntime(data: bytes, threads: int, gpu_memory: int) -> _Opened:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    providers: list[Any] = ["CPUExecutionProvider"]
    if gpu_memory and CUDA in onnxruntime.get_available_providers():
        most = max(1, gpu_memory - CONTEXT_BYTES)
        limits = {"device_id": 0, "gpu_mem_limit": most, "arena_extend_strategy": "kSameAsRequested"}
        providers.insert(0, (CUDA, limits))
    session = onnxruntime.InferenceSession(data, options, providers=providers)
    inputs = [
        _Input(entry.name, tuple(size if isinstance(size, int) else None for size in entry.shape), _TYPES[entry.type])
        for entry in session.get_inputs()
    ]
    output = session.get_outputs()[0]
    names = [entry.name for entry in inputs]
    by_place = len(output.shape) > 1 and not isinstance(output.shape[1], int)

    def run(batch: list[NDArray[Any]]) -> Any:
        return session.run([output.name], dict(zip(names, batch, strict=True)))[0]

    # A driver that is too old, for example, is found out only now, and is no error there.
    return _Opened(run, inputs, by_place, on_gpu=CUDA in session.get_providers())


def _on_openvino(data: bytes, threads: int) -> _Opened:
    openvino = load_openvino()
    if not _ALIVE:
        _ALIVE.append(openvino.Core())
    graph = _ALIVE[0].read_model(model=data)
    inputs = []
    for entry in graph.inputs:
        shape = tuple(size.get_length() if size.is_static else None for size in entry.get_partial_shape())
        inputs.append(_Input(entry.get_any_name(), shape, _DTYPES[entry.get_element_type().get_type_name()]))
    output = list(graph.outputs[0].get_partial_shape())
    # Where the processor can, it would compute with 8 bits of each number: 257 became 256.
    options = {
        "INFERENCE_NUM_THREADS": threads, "ENABLE_CPU_PINNING": False, "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
    }  # fmt: skip
    compiled = _ALIVE[0].compile_model(graph, "CPU", options)
    _ALIVE.append(compiled)
    by_place = len(output) > 1 and not output[1].is_static
    return _Opened(lambda batch: compiled(batch)[0], inputs, by_place, rows=_tables(graph))


def _number(node: Any) -> int | None:
    return int(node.get_data()) if node.get_type_name() == "Constant" else None


def _tables(graph: Any) -> dict[str, int]:
    """Return how many rows the tables have that inputs name rows of; OpenVINO takes others for rows of zeros."""
    found: dict[str, int] = {}
    for op in graph.get_ops():
        if op.get_type_name() != "Gather" or _number(op.input_value(2).get_node()) != 0:
            continue
        named = op.input_value(1).get_node()
        while named.get_type_name() == "Convert":
            named = named.input_value(0).get_node()
        rows = op.input_value(0).get_partial_shape()[0]
        if named.get_type_name() == "Parameter" and rows.is_static:
            name = named.output(0).get_any_name()
            found[name] = min(rows.get_length(), found.get(name, rows.get_length()))
    return found
