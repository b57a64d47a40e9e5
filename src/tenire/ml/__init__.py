"""Models of this machine: trained, kept, loaded and asked under the same scheduler as everything else.

Everything here is loaded on first use, because numpy and scikit-learn are optional
and slow to import.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tenire.ml.feature_stages import Scale, Tokens, Words
    from tenire.ml.fitting import fit_scale, fit_tokens, fit_words
    from tenire.ml.models import KeptModel, OnnxModel
    from tenire.ml.pool import ModelPool
    from tenire.ml.pooled_model import ModelStatistics
    from tenire.ml.registry import ModelRegistry, ModelVersion

__all__ = [
    "KeptModel",
    "ModelPool",
    "ModelRegistry",
    "ModelStatistics",
    "ModelVersion",
    "OnnxModel",
    "Scale",
    "Tokens",
    "Words",
    "fit_scale",
    "fit_tokens",
    "fit_words",
]

_HOMES = {
    "KeptModel": "tenire.ml.models",
    "ModelPool": "tenire.ml.pool",
    "ModelRegistry": "tenire.ml.registry",
    "ModelStatistics": "tenire.ml.pooled_model",
    "ModelVersion": "tenire.ml.registry",
    "OnnxModel": "tenire.ml.models",
    "Scale": "tenire.ml.feature_stages",
    "Tokens": "tenire.ml.feature_stages",
    "Words": "tenire.ml.feature_stages",
    "fit_scale": "tenire.ml.fitting",
    "fit_tokens": "tenire.ml.fitting",
    "fit_words": "tenire.ml.fitting",
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
