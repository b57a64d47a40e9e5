"""Models of this machine: trained, kept, loaded and asked under the same scheduler as everything else.

Everything here is loaded on first use, because numpy and scikit-learn are optional
and slow to import.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tenire.ml.registry import ModelRegistry, ModelVersion

__all__ = ["ModelRegistry", "ModelVersion"]

_HOMES = {
    "ModelRegistry": "tenire.ml.registry",
    "ModelVersion": "tenire.ml.registry",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
