"""How many tokens texts have for an embedder, and how many of them it reads.

Used where texts are cut, in worker processes that never load the model itself.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from tenire.errors import MissingExtraError
from tenire.vectors.weights import find_minilm, find_static, is_installed
from tenire.vectors.word_pieces import WordPieces, by_words

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["count_tokens", "most_tokens"]

_MOST = {"minilm": 254}
"""What fits between the two tokens that MiniLM sets around a text: it reads 256."""


def most_tokens(embedder: str) -> int | None:
    """Return how many tokens of a text an embedder reads; ``None`` where it reads all, or only its server knows.

    Args:
        embedder: The name that ``resolve_embedder`` returns, or ``openai:MODEL``.
    """
    return _MOST.get(embedder)


def count_tokens(embedder: str, texts: Sequence[str]) -> list[int]:
    """Return how many tokens each text has.

    Args:
        embedder: ``minilm`` or ``static``.
        texts: Any strings.

    Raises:
        MissingExtraError: If the embedder's tokenizer is not installed.
    """
    # A tokenizer takes no lone surrogates.
    return _counter(embedder)([text if text.isascii() else text.encode("utf-8", "replace").decode() for text in texts])


@lru_cache(maxsize=2)
def _counter(embedder: str) -> Callable[[list[str]], list[int]]:
    tokenizer = _tokenizer(embedder)
    if by_words(tokenizer):
        return WordPieces(tokenizer).count

    def count(texts: list[str]) -> list[int]:
        return [len(encoding.ids) for encoding in tokenizer.encode_batch_fast(texts, add_special_tokens=False)]

    return count


def _tokenizer(embedder: str) -> Any:
    files = find_minilm() if embedder == "minilm" else find_static()
    if files is None or not is_installed("tokenizers"):
        missing = "tokenizers" if files is not None else "the model's files"
        raise MissingExtraError(f"counting the tokens of {embedder!r}", extra="data", missing=missing)
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(files.tokenizer))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer
