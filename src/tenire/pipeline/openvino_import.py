"""OpenVINO, imported without its telemetry: for embedders and for models of users alike."""

from __future__ import annotations

import sys
from typing import Any

__all__ = ["load_openvino"]


def load_openvino() -> Any:
    """Import OpenVINO without its telemetry, and return it.

    Its import reports itself to a server from a background thread and leaves
    files in the home directory. Without the package ``openvino_telemetry`` it
    falls back to a silent stub, so that package is hidden while it is imported.
    """
    if "openvino" not in sys.modules:
        hidden = "openvino_telemetry"
        before = {hidden: sys.modules[hidden]} if hidden in sys.modules else {}
        sys.modules[hidden] = None  # type: ignore[assignment]  # how Python marks "not importable"
        try:
            import openvino
        finally:
            del sys.modules[hidden]
            sys.modules.update(before)
    import openvino

    return openvino
