"""Chooses an embedder by name.

``static`` is fast and coarse, ``minilm`` slower and good, ``auto`` the best of
them that is installed. None of them ever uses the network.
"""

from __future__ import annotations

import difflib
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from tenire.concurrency.pools.background import limit_threads
from tenire.errors import ConfigError, MissingExtraError
from tenire.vectors.text_input import usable_cores
from tenire.vectors.weights import find_minilm, find_static, is_installed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tenire.protocols import Embedder

__all__ = ["EMBEDDERS", "embed_texts", "embedder_identity", "load_embedder", "resolve_embedder"]

EMBEDDERS = ("auto", "minilm", "static")


def resolve_embedder(name: str) -> str:
    """Return the embedder that a name stands for, without loading it.

    Args:
        name: One of ``EMBEDDERS``.

    Returns:
        ``"minilm"`` or ``"static"``.

    Raises:
        ConfigError: If the name is unknown.
        MissingExtraError: If it is ``"auto"`` and nothing is installed.
    """
    if name not in EMBEDDERS:
        raise _unknown(name)
    if name != "auto":
        return name
    if not all(is_installed(package) for package in ("numpy", "safetensors", "tokenizers")):
        raise MissingExtraError("embedding", extra="data", missing="numpy, safetensors or tokenizers")
    if is_installed("openvino") and find_minilm() is not None:
        return "minilm"
    if find_static() is not None:
        return "static"
    raise MissingExtraError("embedding", extra="data", missing="a model (openvino with weights, or wordllama)")


def _unknown(name: str) -> ConfigError:
    choices = ", ".join(EMBEDDERS)
    if name.startswith("openai:"):
        return ConfigError(
            f"embedder {name!r} is on a server and cannot be loaded here; those that can: {choices}",
            key="embedder",
            hint="pipelines of a configuration file may use it; from Python, see tenire.llm.ChatClient.embed",
        )
    near = difflib.get_close_matches(name.lower(), EMBEDDERS, n=1, cutoff=0.0)
    return ConfigError(
        f"embedder must be one of {choices}, got {name!r}", key="embedder", hint=f"did you mean {near[0]!r}?"
    )


def embedder_identity(name: str) -> str:
    """Return what a store remembers of an embedder, without loading it.

    Raises:
        ConfigError: If the name is unknown.
        MissingExtraError: If it is ``"auto"`` and nothing is installed.
    """
    resolved = resolve_embedder(name)
    if not is_installed("numpy"):
        raise MissingExtraError(f"the embedder {resolved!r}", extra="data", missing="numpy")
    if resolved == "minilm":
        from tenire.vectors.minilm import IDENTITY
    else:
        from tenire.vectors.static import IDENTITY
    return IDENTITY


def load_embedder(name: str, *, threads: int | None = None, cache: Path | None = None) -> Embedder:
    """Load an embedder.

    Args:
        name: One of ``EMBEDDERS``.
        threads: Threads to compute with; default: the cores this process may use.
        cache: Folder for the prepared model; default: the user's cache folder.

    Returns:
        The embedder. Its ``embed`` takes any strings and never the network.

    Raises:
        ConfigError: If the name is unknown, or ``threads`` is not positive.
        MissingExtraError: If a package that it needs is not installed.
    """
    if threads is not None and threads < 1:
        raise ConfigError(f"threads must be a positive whole number, got {threads}", key="threads")
    resolved = resolve_embedder(name)
    if not is_installed("numpy"):
        raise MissingExtraError(f"the embedder {resolved!r}", extra="data", missing="numpy")
    if resolved == "minilm":
        from tenire.vectors.minilm import MiniLM

        return MiniLM(threads=threads, cache=cache)
    from tenire.vectors.static import StaticVectors

    return StaticVectors()


@lru_cache(maxsize=4)
def _loaded(name: str, threads: int | None, cache: str | None) -> Embedder:
    limit_threads(threads or usable_cores())  # the engine allows one that holds no CPU a single one
    return load_embedder(name, threads=threads, cache=None if cache is None else Path(cache))


def embed_texts(name: str, texts: list[str], threads: int | None, cache: str | None) -> NDArray[np.float32]:
    """Embed texts with a model that is loaded once per process; for worker processes.

    Args:
        name: One of ``EMBEDDERS``.
        texts: Any strings.
        threads: As for ``load_embedder``.
        cache: As for ``load_embedder``.

    Returns:
        An array of shape (len(texts), dimension), rows of unit length.
    """
    return _loaded(name, threads, cache).embed(texts)
