"""Runs a graph in the ONNX format: on ONNX Runtime, with CUDA where there is that, or on OpenVINO."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from tenire.errors import MissingExtraError, ModelFileError, PredictionError
from tenire.pipeline.openvino_import import load_openvino

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

__all__ = ["OnnxGraph"]

_ALIVE: list[Any] = []
"""OpenVINO corrupts the heap when a model is destroyed while another one lives on; all stay until the process ends."""

_TYPES = {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(int64)": np.int64}
_DTYPES = {"f32": np.float32, "f64": np.float64, "i64": np.int64}


class OnnxGraph:
    """A graph with one input of which the first dimension is the batch's.

    Args:
        data: The file.
        name: The model, for errors.
        threads: Threads to compute with.

    Raises:
        ModelFileError: If the file is damaged, or has not one input.
        MissingExtraError: If there is nothing to run it with.
    """

    def __init__(self, data: bytes, name: str, threads: int) -> None:
        self._name = name
        try:
            run, shape, kind = _opened(data, threads)
        except MissingExtraError:
            raise
        except Exception as error:
            message = f"the model {name} is no graph in the ONNX format that can be run: {str(error).strip()[:300]}"
            raise ModelFileError(message, model=name, hint="export it again") from error
        self._run: Callable[[NDArray[Any]], Any] = run
        self._shape = shape
        self._kind = kind

    def predict(self, items: Sequence[Any]) -> list[NDArray[Any]]:
        """Return the first output for each item.

        Raises:
            PredictionError: If an item has another shape than the graph takes, or none.
        """
        try:
            batch = np.asarray(items, self._kind)
        except (TypeError, ValueError) as error:
            raise self._misfit("arrays of different shapes, or no numbers") from error
        expected = (None, *self._shape[1:])
        fits = batch.ndim == len(expected)
        if not fits or any(size not in (None, got) for size, got in zip(expected, batch.shape, strict=True)):
            raise self._misfit(f"one of the shape {batch.shape[1:]}")
        if batch.dtype.kind == "f" and not np.isfinite(batch).all():
            raise self._misfit("one that holds NaN or an infinite number")
        return list(self._run(batch))

    def _misfit(self, got: str) -> PredictionError:
        shape = ", ".join("any" if size is None else str(size) for size in self._shape[1:])
        message = f"the model {self._name} takes arrays of the shape ({shape}), got {got}"
        return PredictionError(message, model=self._name)


def _opened(data: bytes, threads: int) -> tuple[Callable[[NDArray[Any]], Any], tuple[int | None, ...], Any]:
    if find_spec("onnxruntime") is not None:
        return _on_onnxruntime(data, threads)
    if find_spec("openvino") is not None:
        return _on_openvino(data, threads)
    raise MissingExtraError("running a model in the ONNX format", extra="data", missing="onnxruntime or openvino")


def _on_onnxruntime(data: bytes, threads: int) -> tuple[Callable[[NDArray[Any]], Any], tuple[int | None, ...], Any]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    wanted = ("CUDAExecutionProvider", "CPUExecutionProvider")
    providers = [provider for provider in wanted if provider in onnxruntime.get_available_providers()]
    session = onnxruntime.InferenceSession(data, options, providers=providers)
    (entry,) = session.get_inputs()
    shape = tuple(size if isinstance(size, int) else None for size in entry.shape)
    output = session.get_outputs()[0].name
    return lambda batch: session.run([output], {entry.name: batch})[0], shape, _TYPES[entry.type]


def _on_openvino(data: bytes, threads: int) -> tuple[Callable[[NDArray[Any]], Any], tuple[int | None, ...], Any]:
    openvino = load_openvino()
    if not _ALIVE:
        _ALIVE.append(openvino.Core())
    graph = _ALIVE[0].read_model(model=data)
    (entry,) = graph.inputs
    shape = tuple(size.get_length() if size.is_static else None for size in entry.get_partial_shape())
    # Where the processor can, it would compute with 8 bits of each number: 257 became 256.
    options = {
        "INFERENCE_NUM_THREADS": threads, "ENABLE_CPU_PINNING": False, "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
    }  # fmt: skip
    compiled = _ALIVE[0].compile_model(graph, "CPU", options)
    _ALIVE.append(compiled)
    return lambda batch: compiled(batch)[0], shape, _DTYPES[entry.get_element_type().get_type_name()]
