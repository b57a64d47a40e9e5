"""Counting tokens word by word: the same numbers as the tokenizer's."""

from __future__ import annotations

import random
from typing import Any

import pytest

from tenire.vectors.minilm_tokens import load_tokenizer
from tenire.vectors.weights import find_minilm, find_static
from tenire.vectors.word_pieces import WordPieces, by_words

PARTS = (
    "The quick brown fox", "Café déjà-vu ÀÉÎÕÜ ß æ", "x = a[i] + b_2 << 3; // $HOME", "[CLS] and [sep]", "w" * 101,
    "“quotes” — dashes… • and\xa0blanks", "中文，标点。『引』", "日本語のテキスト", "Привет мир", "한국어",
    "a\x00b\x7fc\xadd", "→ × © ² µ ª", "a\u0301e\u0301", "\u200d\u200b", "ﬁ Ａ１", "🙂 𠀀", "\r\n\t \x0c",
)  # fmt: skip


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    files = find_minilm()
    assert files is not None
    tokenizer = load_tokenizer(files.tokenizer)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def counted(tokenizer: Any, texts: list[str]) -> list[int]:
    return [len(encoding.ids) for encoding in tokenizer.encode_batch_fast(texts, add_special_tokens=False)]


def test_texts_of_all_kinds_have_as_many_tokens_as_the_tokenizer_says(tokenizer: Any) -> None:
    chance = random.Random(1)
    signs = "".join(PARTS)
    texts = [*PARTS, ""]
    texts += [" ".join(chance.choices(PARTS, k=chance.randint(1, 6))) for _ in range(500)]
    texts += ["".join(chance.choices(signs, k=chance.randint(1, 60))) for _ in range(3000)]
    texts += ["".join(chance.choices(signs[:200], k=chance.randint(1, 60))) for _ in range(3000)]
    assert WordPieces(tokenizer).count(texts) == counted(tokenizer, texts)


def test_every_character_counts_as_the_tokenizer_counts_it(tokenizer: Any) -> None:
    texts = [f"a{chr(sign)}b" for sign in range(0x10000) if not 0xD800 <= sign < 0xE000]
    assert WordPieces(tokenizer).count(texts) == counted(tokenizer, texts)


def test_a_word_is_asked_for_once_and_what_is_kept_is_bounded(tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    class Listening:
        def encode(self, text: str, **options: Any) -> Any:
            asked.append(text)
            return tokenizer.encode(text, **options)

        def __getattr__(self, name: str) -> Any:
            return getattr(tokenizer, name)

    words = WordPieces(Listening())
    assert words.count(["Tokenizers tokenize, tokenizers"]) == words.count(["tokenizers tokenize. TOKENIZERS"])
    assert [sorted(text.split()) for text in asked] == [["tokenize", "tokenizers"]]

    monkeypatch.setattr("tenire.vectors.word_pieces._MOST_BYTES", 400)
    for number in range(20):
        texts = [f"some words and number{number}"]
        assert words.count(texts) == counted(tokenizer, texts)
    assert len(words._pieces) <= 8


def test_only_tokenizers_like_berts_are_counted_by_words(tokenizer: Any) -> None:
    from tokenizers import Tokenizer

    assert by_words(tokenizer)
    static = find_static()
    assert static is not None
    assert not by_words(Tokenizer.from_file(str(static.tokenizer)))
