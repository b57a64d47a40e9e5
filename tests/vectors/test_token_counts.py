"""Counting tokens where texts are cut."""

from __future__ import annotations

import pytest

from tenire.errors import MissingExtraError
from tenire.vectors import token_counts
from tenire.vectors.token_counts import count_tokens, most_tokens


@pytest.mark.parametrize("embedder", ["minilm", "static"])
def test_tokens_are_counted_without_those_that_the_model_adds(embedder: str) -> None:
    assert count_tokens(embedder, ["hello", "hello hello hello hello", ""]) == [1, 4, 0]
    assert count_tokens(embedder, ["word " * 1000])[0] >= 1000
    assert len(count_tokens(embedder, ["lone \ud800 surrogate", "漢字"])) == 2


def test_only_minilm_stops_reading() -> None:
    assert most_tokens("minilm") == 254
    assert most_tokens("static") is None
    assert most_tokens("openai:anything") is None


def test_a_missing_tokenizer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    token_counts._counter.cache_clear()
    monkeypatch.setattr(token_counts, "is_installed", lambda package: False)
    with pytest.raises(MissingExtraError, match="tokenizers"):
        count_tokens("static", ["a"])
