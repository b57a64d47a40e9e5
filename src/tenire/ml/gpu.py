"""Whether there is a GPU that models in ONNX can run on, and how much memory it has to give."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass

__all__ = ["CONTEXT_BYTES", "CUDA", "GPU_MEMORY", "Gpu", "find_gpu", "onnx_providers"]

CUDA = "CUDAExecutionProvider"

GPU_MEMORY = "gpu memory"
"""Name of the resource that an engine shares out, in bytes, where there is a GPU."""

CONTEXT_BYTES = 512 << 20
"""What CUDA and its libraries take in each process, beside what a model takes."""

_ASK = ("nvidia-smi", "--query-gpu=name,memory.free", "--format=csv,noheader,nounits")
_ASK_S = 20.0  # the driver may have to be loaded first


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU.

    Attributes:
        name: What its maker calls it.
        memory: Bytes of it that are free.
    """

    name: str
    memory: int


def find_gpu() -> Gpu | None:
    """Return the first GPU that programs may use, or ``None`` where models have to run on the processor.

    That is so without an ONNX Runtime that was built for CUDA, without a driver, and where
    ``CUDA_VISIBLE_DEVICES`` hides all. Blocks for up to some seconds.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "0").partition(",")[0].strip()
    if not visible or visible == "-1" or CUDA not in onnx_providers():
        return None
    try:
        asked = subprocess.run(
            [*_ASK, f"--id={visible}"], capture_output=True, text=True, timeout=_ASK_S, check=True
        ).stdout
        name, _, free = asked.strip().rpartition(",")
        return Gpu(name.strip(), int(free) << 20)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None


def onnx_providers() -> list[str]:
    """Return what ONNX Runtime can compute with here, the best first; nothing where it is not installed."""
    try:
        import onnxruntime
    except ImportError:
        return []
    providers: list[str] = onnxruntime.get_available_providers()
    return providers
