"""Counting the tokens of texts word by word, each different word once.

A tokenizer like BERT's parts a text at blanks and punctuation first; each sign is one
token, and how many pieces a word has depends on the word alone. So the tokens of a
text are its signs and the pieces of its words, and words come again: counting the
passages of HTML manuals takes an eighth of the time, with the same numbers.

Letters, digits and punctuation of Western Europe are counted so, and Chinese, of which
each character is a token. A text with anything else goes to the tokenizer as a whole,
and so does one that names a special token.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["WordPieces", "by_words"]

_CODEC = "cp1252"
_BLANKS = " \t\n\r\xa0"
# Chinese characters and the punctuation beside them: each is a token, whatever it stands beside.
_ALONE = re.compile(
    "[\u3400-\u4dbf\u4e00-\u9fcc\u3001-\u3003\u3008-\u3011\uff01-\uff03\uff05-\uff0a\uff0c-\uff0f\uff1a\uff1b\uff1f\uff20]"
)

_MOST_BYTES = 8 << 20
_BYTES_PER_WORD = 150


def by_words(tokenizer: Any) -> bool:
    """Whether a tokenizer's tokens are those of its words: BERT's, with small letters and without accents."""
    normalizer, parts, model = tokenizer.normalizer, tokenizer.pre_tokenizer, tokenizer.model
    kinds = tuple(type(each).__name__ for each in (normalizer, parts, model))
    return (
        kinds == ("BertNormalizer", "BertPreTokenizer", "WordPiece")
        and normalizer.lowercase
        and normalizer.clean_text
        and normalizer.handle_chinese_chars
        and normalizer.strip_accents in (None, True)
    )


class WordPieces:
    """Counts tokens, and keeps how many pieces words have: some megabytes at the most.

    Args:
        tokenizer: A ``tokenizers.Tokenizer`` of which ``by_words`` is true, without
            truncation and padding.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._special = [token.content.lower() for token in tokenizer.get_added_tokens_decoder().values()]
        self._pieces: dict[bytes, int] = {}
        self._size = 0

    def count(self, texts: Sequence[str]) -> list[int]:
        """Return how many tokens each text has, without the special ones around it.

        Args:
            texts: Any strings without lone surrogates.
        """
        parted = [self._parted(text) for text in texts]
        whole = [text for text, parts in zip(texts, parted, strict=True) if parts is None]
        encodings = iter(self._tokenizer.encode_batch_fast(whole, add_special_tokens=False) if whole else ())
        pieces = self._of({word for parts in parted if parts is not None for word in parts[1]})
        return [
            len(next(encodings).ids) if parts is None else parts[0] + sum(map(pieces.__getitem__, parts[1]))
            for parts in parted
        ]

    def _parted(self, text: str) -> tuple[int, list[bytes]] | None:
        """Return how many signs a text has, and its words; ``None`` where that is for the tokenizer to say."""
        small = text.lower()
        if any(token in small for token in self._special):
            return None
        alone = 0
        if not text.isascii():
            text, alone = _ALONE.subn(" ", text)
        try:
            data = text.encode(_CODEC)
        except UnicodeEncodeError:
            return None
        if data.translate(None, _KNOWN):
            return None
        return alone + len(data.translate(None, _NO_SIGNS)), data.translate(_WORDS).split()

    def _of(self, words: set[bytes]) -> dict[bytes, int]:
        """Return how many pieces words have: a table that holds at least these."""
        if self._size > _MOST_BYTES:
            # Another table, not the same one emptied: another thread may be about to read it.
            self._pieces, self._size = {}, 0
        pieces = self._pieces
        unknown = list(words.difference(pieces))
        if unknown:
            encoding = self._tokenizer.encode(b" ".join(unknown).decode("ascii"), add_special_tokens=False)
            numbers = Counter(encoding.word_ids)
            pieces.update((word, numbers[place]) for place, word in enumerate(unknown))
            self._size += _BYTES_PER_WORD * len(unknown) + sum(map(len, unknown))
        return pieces


def _tables() -> tuple[bytes, bytes, bytes]:
    """Return the table from bytes to words, the bytes that are known, and those of them that are no signs."""
    words = bytearray(b" " * 256)
    known, no_signs = bytearray(), bytearray()
    for byte in range(256):
        sign = bytes([byte]).decode(_CODEC, "replace")
        base = "".join(
            part for part in unicodedata.normalize("NFD", sign) if unicodedata.category(part) != "Mn"
        ).lower()
        if base.isascii() and base.isalnum():
            words[byte] = ord(base)
            no_signs.append(byte)
        elif sign in _BLANKS:
            no_signs.append(byte)
        elif not (unicodedata.category(sign)[0] == "P" or (sign.isascii() and sign.isprintable())):
            continue
        known.append(byte)
    return bytes(words), bytes(known), bytes(no_signs)


_WORDS, _KNOWN, _NO_SIGNS = _tables()
