"""A small tokenizer, as its file says it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

WORDS = ["[PAD]", "[UNK]", "bread", "boat", "net"]


def tokenizer(words: Sequence[str] = WORDS, **also: Any) -> bytes:
    """Return the file of one whose tokens are words."""
    model = {"type": "WordLevel", "vocab": {word: place for place, word in enumerate(words)}, "unk_token": "[UNK]"}
    parts = {"version": "1.0", "model": model, "pre_tokenizer": {"type": "Whitespace"}, "added_tokens": []}
    empty = dict.fromkeys(["truncation", "padding", "normalizer", "post_processor", "decoder"])
    return json.dumps({**empty, **parts, **also}).encode()
