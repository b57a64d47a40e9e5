"""The one place that imports OpenVINO and makes its models, and never lets go of one.

OpenVINO 2026.4 corrupts the heap when a compiled model that has run is destroyed
while another one lives on ("malloc(): unsorted double linked list corrupted" soon
after; four of five runs here). A process needs one or two models in its life, so
all of them are kept until it ends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tenire.pipeline.openvino_import import load_openvino

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["compile_graph", "core", "import_blob", "throughput_options"]

_ALIVE: list[Any] = []


def core() -> Any:
    """Return this process's ``openvino.Core``."""
    if not _ALIVE:
        _ALIVE.append(load_openvino().Core())
    return _ALIVE[0]


def throughput_options(threads: int) -> dict[str, Any]:
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


def compile_graph(graph: Any, options: dict[str, Any]) -> Any:
    """Return an ``openvino.Model`` compiled for the processor."""
    _ALIVE.append(core().compile_model(graph, "CPU", options))
    return _ALIVE[-1]


def import_blob(blob: NDArray[np.uint8], options: dict[str, Any]) -> Any:
    """Return a model that was exported before; it computes with the weights where they lie in ``blob``.

    Raises:
        RuntimeError: If this OpenVINO or processor cannot use it.
    """
    _ALIVE.append(blob)
    try:
        model = core().import_model(load_openvino().Tensor(blob, shared_memory=True), "CPU", options)
    except TypeError:
        # OpenVINO 2025.3 takes nothing but bytes, and copies them.
        model = core().import_model(blob.tobytes(), "CPU", options)
    _ALIVE.append(model)
    return model
