"""Vectors: embedders that need no network, and the store that keeps their output.

Everything here is loaded on first use, because numpy, OpenVINO, LanceDB and psycopg are
optional and slow to import.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tenire.vectors.embed_stage import Embed
    from tenire.vectors.embedding import (
        EMBEDDERS,
        embed_texts,
        embedder_identity,
        load_embedder,
        resolve_embedder,
    )
    from tenire.vectors.postgres.store import PostgresStore
    from tenire.vectors.store import LanceStore

__all__ = [
    "EMBEDDERS",
    "Embed",
    "LanceStore",
    "PostgresStore",
    "embed_texts",
    "embedder_identity",
    "load_embedder",
    "resolve_embedder",
]


def __getattr__(name: str) -> Any:
    if name == "LanceStore":
        from tenire.vectors.store import LanceStore

        return LanceStore
    if name == "PostgresStore":
        from tenire.vectors.postgres.store import PostgresStore

        return PostgresStore
    if name == "Embed":
        from tenire.vectors.embed_stage import Embed

        return Embed
    if name in __all__:
        from tenire.vectors import embedding

        return getattr(embedding, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
