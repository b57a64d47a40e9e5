"""What a documents pipeline does to its files, as far as the run needs to know."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from tenire.protocols import Document, Look, Rejection, SourceFile, Unchanged, Unpacked

__all__ = ["DocumentRecipe"]


@dataclass(frozen=True, slots=True)
class DocumentRecipe:
    """What a documents pipeline does to its files.

    Attributes:
        identity: What a document depends on besides the content.
        prepare: ``prepare(files, known_hashes)``; runs in a worker process, so it
            must be importable.
        embed: ``embed(texts)``; runs in the worker process ``"embedder"``, or on the
            loop if it is a coroutine function.
        model: What a vector depends on besides the text.
        unpack: ``unpack(container, content_hash, start, most, expanded)``: reads up to ``most``
            members of a container from number ``start`` on, and fewer if it likes, when
            ``expanded`` bytes came out of it before; runs as ``prepare``.
        look: ``look(file, number)``: says what a file is, or the member ``number`` of it,
            without parsing it; runs as ``prepare``.
        near: From which share of words in common on two documents are nearly the same, so that
            only one of them is stored; ``None`` where that makes no difference.
        limit_s: Seconds that one call of these may take; what takes longer hangs.
    """

    identity: str
    prepare: Callable[[list[SourceFile], Mapping[str, str]], list[Document | Rejection | Unchanged | Unpacked]]
    embed: Callable[[list[str]], NDArray[np.float32]] | Callable[[list[str]], Awaitable[NDArray[np.float32]]]
    model: str
    unpack: Callable[[SourceFile, str, int, int, int], Unpacked] | None = None
    look: Callable[[SourceFile, int | None], Look] | None = None
    near: float | None = None
    limit_s: float = 120.0
