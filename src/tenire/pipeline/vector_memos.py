"""Vectors that are computed but not stored yet, kept in the ledger.

A group of documents is committed only when all its vectors are there, seconds after
the first of them. A run that is killed or interrupted in between would compute them
again; with a slow model that is the greater part of what it lost.

1. Kept is what took longer than ``WORTH_KEEPING_S``: writing a vector must cost less
   than computing it.
2. What was committed is forgotten at once, so the ledger holds some seconds of work.
3. The bytes are those of the model: a run that finds them ends like an undisturbed one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenire.pipeline.vectorise import text_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from tenire.pipeline.home_session import HomeSession

__all__ = ["WORTH_KEEPING_S", "VectorMemos"]

WORTH_KEEPING_S = 0.5
"""Seconds for one slice of texts: MiniLM takes one to two, static vectors some hundredths."""


class VectorMemos:
    """The vectors of one model that wait for their commit. Methods block; call them on threads.

    Args:
        session: The home.
        model: What a vector depends on besides the text.
    """

    def __init__(self, session: HomeSession, model: str) -> None:
        self._session = session
        self._model = model
        self._some: bool | None = None

    def recall(self, texts: Iterable[str]) -> dict[str, NDArray[np.float32]]:
        """Return the vectors that are known, by ``text_key``.

        Raises:
            StoreError: If the ledger cannot be read.
        """
        if self._some is None:
            self._some = self._session.has_memos(self._model)
        if not self._some:
            return {}
        import numpy as np

        found = self._session.recall(self._model, map(text_key, texts))
        return {key: np.frombuffer(output, np.float32) for key, output in found.items()}

    def keep(self, texts: Sequence[str], vectors: NDArray[np.float32]) -> None:
        """Keep vectors until their texts are committed.

        Raises:
            StoreError: If the ledger cannot be written.
        """
        self._some = True
        outputs = {text_key(text): vector.tobytes() for text, vector in zip(texts, vectors, strict=True)}
        self._session.keep(self._model, outputs)

    def forget(self, texts: Iterable[str]) -> None:
        """Forget the vectors of texts that are committed.

        Raises:
            StoreError: If the ledger cannot be written.
        """
        if self._some:
            self._session.forget(self._model, map(text_key, texts))
