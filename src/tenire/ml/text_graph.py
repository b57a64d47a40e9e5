"""A graph in the ONNX format that is asked about texts: an embedder, a classifier, or a judge of pairs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tenire.errors import ConfigError, ModelFileError, PredictionError
from tenire.ml.tokenizing import INPUTS, open_tokenizer, token_inputs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from tenire.ml.onnx_graph import OnnxGraph

__all__ = ["POOLINGS", "TextGraph"]

POOLINGS = ("", "mean", "first")
"""What becomes of a result with a row for each token: it stays, or its mean or first row, of unit length."""


class TextGraph:
    """A graph with the tokenizer that belongs to it.

    Args:
        graph: The graph.
        tokenizer: Its file ``tokenizer.json``.
        name: The model, for errors.
        most_tokens: Most tokens of a text; ``None``: what the tokenizer says, or 512.
        pooling: One of ``POOLINGS``.

    Attributes:
        on_gpu: Whether it computes on a GPU.

    Raises:
        ModelFileError: If the two do not fit each other.
        ConfigError: If there is no such pooling.
        MissingExtraError: If there is nothing to read the tokenizer with.
    """

    def __init__(
        self, graph: OnnxGraph, tokenizer: bytes, name: str, *, most_tokens: int | None = None, pooling: str = ""
    ) -> None:
        if pooling not in POOLINGS:
            message = f"pooling must be one of {', '.join(map(repr, POOLINGS))}, got {pooling!r} (the model {name})"
            raise ConfigError(message, key="pooling")
        self.on_gpu = graph.on_gpu
        self._graph, self._name, self._pooling = graph, name, pooling
        self._tokenizer = open_tokenizer(tokenizer, name, most=most_tokens)
        self._inputs = [entry for entry in graph.names if entry in INPUTS]
        if unknown := [entry for entry in graph.names if entry not in INPUTS]:
            message = f"the model {name} takes {', '.join(unknown)}, which a tokenizer does not give"
            raise ModelFileError(message, model=name, hint=f"export it with no other inputs than {', '.join(INPUTS)}")
        self._check_vocabulary()

    def predict(self, items: Sequence[Any]) -> list[NDArray[Any]]:
        """Return the graph's first output for each item.

        Args:
            items: Texts, or pairs of texts.

        Raises:
            PredictionError: If an item is neither.
        """
        for item in items:
            if not isinstance(item, str) and not _is_pair(item):
                message = f"the model {self._name} takes texts, or pairs of them, got {item!r:.60}"
                raise PredictionError(message, model=self._name)
        tokens = token_inputs(self._tokenizer, list(items))
        results = self._graph.predict([self._given(token) for token in tokens])
        if not self._pooling:
            return results
        return [self._pooled(result, token) for result, token in zip(results, tokens, strict=True)]

    def _given(self, tokens: dict[str, list[int]]) -> Any:
        if len(self._inputs) == 1:
            return tokens[self._inputs[0]]
        return {name: tokens[name] for name in self._inputs}

    def _pooled(self, result: NDArray[Any], tokens: dict[str, list[int]]) -> NDArray[Any]:
        if result.ndim != 2 or len(result) != len(tokens["input_ids"]):
            message = (
                f"the model {self._name} gives no row for each token to take the {self._pooling} of: its result has"
                f" the shape {result.shape}"
            )
            raise ModelFileError(message, model=self._name, hint="leave pooling out")
        row = result[0] if self._pooling == "first" else result.mean(0)
        length = float(np.linalg.norm(row))
        return np.asarray(row / length if length else row)

    def _check_vocabulary(self) -> None:
        """Ask about the last token that there is: a tokenizer of another graph is found here, not by its results."""
        size = self._tokenizer.get_vocab_size()
        last = {"input_ids": [max(0, size - 1)], "attention_mask": [1], "token_type_ids": [0]}
        try:
            self._graph.predict([self._given(last)])
        except Exception as error:
            message = f"the model {self._name} does not fit its tokenizer, which knows {size:,} tokens: {error}"
            raise ModelFileError(message, model=self._name, hint="keep a graph with the tokenizer beside it") from error


def _is_pair(item: Any) -> bool:
    return isinstance(item, list | tuple) and len(item) == 2 and all(isinstance(text, str) for text in item)
