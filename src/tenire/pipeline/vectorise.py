"""From the passages of a group to their vectors.

Equal texts are embedded once, what the store has from the documents that are
being replaced is taken from there, and the rest goes to the model in slices of
texts of about equal length, which keeps the padding small.
"""

from __future__ import annotations

import asyncio
from hashlib import sha256
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from tenire.core.stage_sizes import FIRST
from tenire.pipeline.waits import first

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from tenire.protocols import Document

__all__ = ["UnusableTextError", "text_key", "vectorise"]


class UnusableTextError(Exception):
    """There is no vector for some texts: what embeds them cannot do it for these, and only these.

    Attributes:
        reasons: Why, by text.
        vectors: Those of the others that it was asked for together with them, by text, as far as it tells them.
    """

    def __init__(
        self, message: str, *, texts: Iterable[str], vectors: Mapping[str, NDArray[np.float32]] | None = None
    ) -> None:
        super().__init__(message)
        self.reasons = dict.fromkeys(texts, message)
        self.vectors = dict(vectors or {})


def text_key(text: str) -> str:
    """Return the key of a text in ``VectorStore.vectors_of``."""
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


async def vectorise(
    documents: Sequence[Document],
    *,
    known: Mapping[str, NDArray[np.float32]],
    embed: Callable[[list[str]], Coroutine[Any, Any, NDArray[np.float32]]],
    most: int = FIRST.slice,
) -> NDArray[np.float32] | None:
    """Return one row per passage, in order; shape ``(n, dimension)``.

    Args:
        documents: The documents.
        known: Vectors that need not be computed, by ``text_key``.
        embed: Embeds some texts.
        most: Texts in one call of it, so that pipelines can take turns at the model.

    Returns:
        ``None`` if there are no passages.

    Raises:
        UnusableTextError: If there is no vector for some of them; it brings those of the others, which were
            embedded all the same.
        Exception: What ``embed`` raised.
    """
    texts = [passage.text for document in documents for passage in document.passages]
    if not texts:
        return None
    import numpy as np

    rows: dict[str, NDArray[np.float32]] = {}
    missing: list[str] = []
    for text in dict.fromkeys(texts):
        vector = known.get(text_key(text)) if known else None
        if vector is None:
            missing.append(text)
        else:
            rows[text] = vector
    missing.sort(key=len)
    slices = _slices(missing, most)
    try:
        async with asyncio.TaskGroup() as tasks:
            embedded = [tasks.create_task(_all_or_why(embed, part)) for part in slices]
    except BaseExceptionGroup as group:
        raise first(group) from None
    unusable: UnusableTextError | None = None
    for part, task in zip(slices, embedded, strict=True):
        found = task.result()
        if not isinstance(found, UnusableTextError):
            rows.update(zip(part, found, strict=True))
            continue
        rows.update(found.vectors)
        if unusable is None:
            unusable = found
        else:
            unusable.reasons.update(found.reasons)
    if unusable is not None:
        unusable.vectors = rows
        raise unusable
    return np.stack([rows[text] for text in texts]).astype(np.float32, copy=False)


async def _all_or_why(
    embed: Callable[[list[str]], Coroutine[Any, Any, NDArray[np.float32]]], texts: list[str]
) -> NDArray[np.float32] | UnusableTextError:
    """Return vectors, or what is wrong with some texts, which must not cancel the search for others."""
    try:
        return await embed(texts)
    except UnusableTextError as error:
        return error


def _slices(texts: list[str], most: int) -> list[list[str]]:
    """Cut texts into as few parts as possible, all about equal: a small last one costs a call for little."""
    calls = -(-len(texts) // most)
    bounds = [len(texts) * call // calls for call in range(calls + 1)] if calls else []
    return [texts[start:end] for start, end in pairwise(bounds)]
