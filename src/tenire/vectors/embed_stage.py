"""A stage for pipelines of a user's own that embeds texts, in the process where the embedder is loaded."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tenire.pipeline.embedder_worker import EMBEDDER
from tenire.pipeline.stages.stage import ReadyStage, Stage, texts_in
from tenire.storage.cache_folder import cache_folder
from tenire.vectors.embedding import embed_texts, embedder_identity, resolve_embedder

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Embed"]

_PLACES = 7
"""Places of a number of 32 bits that mean something, where none is above 1."""

_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class Embed(ReadyStage):
    """A stage that gives each item the vector of its text: a list of numbers, of unit length.

    Attributes:
        embedder: ``auto``, ``minilm`` or ``static``.
        field: Where the text is.
        into: Where the vector goes.
        threads: Threads to compute with; ``None``: what is there.
    """

    embedder: str = "auto"
    field: str = "text"
    into: str = "vector"
    threads: int | None = None

    def as_stage(self, threads: int | None) -> Stage:
        """See ``ReadyStage``.

        Raises:
            ConfigError: If there is no such embedder.
            MissingExtraError: If it is not installed.
        """
        name = resolve_embedder(self.embedder)
        identity = f"embed {embedder_identity(name)} {self.field!r} {self.into!r}"
        ready = replace(self, embedder=name, threads=self.threads or threads)
        return Stage("embed", ready, "process", _AT_ONCE, True, None, identity, "process", worker=EMBEDDER)

    def __call__(self, items: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Return the items with their vectors.

        Raises:
            ValueError: If an item has no text.
        """
        vectors = embed_texts(self.embedder, texts_in(items, self.field), self.threads, str(cache_folder()))
        rows = vectors.astype(float).round(_PLACES).tolist()
        return [{**item, self.into: row} for item, row in zip(items, rows, strict=True)]
