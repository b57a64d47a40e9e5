"""Tokenizers as language models bring them along: a file ``tokenizer.json``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tenire.errors import MissingExtraError, ModelFileError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["BYTES", "INPUTS", "MOST_TOKENS", "TOKENIZER_FILE", "learn_tokenizer", "open_tokenizer", "token_inputs"]

TOKENIZER_FILE = "tokenizer.json"

BYTES = 256
"""Tokens that are single bytes, in a tokenizer that was learnt here: there is no text without tokens."""

MOST_TOKENS = 512
"""Tokens of a text where neither its tokenizer nor its user says how many: what most models were trained with."""

INPUTS = {"input_ids": "ids", "attention_mask": "attention_mask", "token_type_ids": "type_ids"}
"""What graphs call the inputs that a tokenizer fills, and what an encoding calls them."""

_NOT_THERE = "a tokenizer"


def open_tokenizer(data: bytes, name: str, *, most: int | None = None) -> Any:
    """Return a ``tokenizers.Tokenizer`` that cuts long texts, and does not pad.

    Args:
        data: The file.
        name: The model, for errors.
        most: Most tokens of a text; ``None``: what the file says, or ``MOST_TOKENS``.

    Raises:
        ModelFileError: If it is none.
        MissingExtraError: If there is nothing to read it with.
    """
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise MissingExtraError(_NOT_THERE, extra="data", missing="tokenizers") from error
    try:
        tokenizer = Tokenizer.from_buffer(data)
    except Exception as error:
        message = f"the tokenizer of the model {name} cannot be read: {str(error).strip()[:200]}"
        raise ModelFileError(message, model=name, hint="it is the file tokenizer.json beside the model") from error
    tokenizer.no_padding()
    if most is not None or tokenizer.truncation is None:
        tokenizer.enable_truncation(most or MOST_TOKENS)
    return tokenizer


def token_inputs(tokenizer: Any, texts: list[Any]) -> list[dict[str, list[int]]]:
    """Return what graphs take of texts, or of pairs of texts: lists of numbers by the name of the input."""
    encodings = tokenizer.encode_batch([text if isinstance(text, str) else tuple(text) for text in texts])
    return [{name: getattr(encoding, part) for name, part in INPUTS.items()} for encoding in encodings]


def learn_tokenizer(texts: Iterable[str], size: int) -> bytes:
    """Return the file of a tokenizer for texts like these: pieces of words that are frequent in them, down to bytes.

    Args:
        texts: The texts.
        size: Tokens that it is to know at the most, ``BYTES`` among them.

    Raises:
        MissingExtraError: If there is nothing to learn it with.
    """
    try:
        from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    except ImportError as error:
        raise MissingExtraError(_NOT_THERE, extra="data", missing="tokenizers") from error
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=size, show_progress=False, initial_alphabet=alphabet)
    tokenizer.train_from_iterator(iter(texts), trainer)
    return str(tokenizer.to_str()).encode()
