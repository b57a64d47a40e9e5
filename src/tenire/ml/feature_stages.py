"""Stages for pipelines of a user's own that make numbers of items, with what was learnt before.

What was learnt is a model of the home: the version that is current when a run begins is what its
items go through, and what they are made from. Another version makes all of them anew.
"""

from __future__ import annotations

import io
import os
import zipfile
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from tenire.errors import ConfigError, ModelFileError
from tenire.ml.registry import ModelRegistry
from tenire.ml.tokenizing import INPUTS, TOKENIZER_FILE, open_tokenizer, token_inputs
from tenire.pipeline.stages.stage import ReadyStage, Stage, texts_in

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tenire.ml.registry import ModelVersion
    from tenire.ml.words import WordRows

__all__ = ["Scale", "Tokens", "Words"]

_AT_ONCE = 256
_PLACES = 6


@dataclass(frozen=True, slots=True)
class Words(ReadyStage):
    """A stage that gives each item the weights of its words: a dict, the squares of which sum up to 1.

    Attributes:
        model: What ``fit_words`` has learnt, or ``NAME@VERSION``: weights by word (TF-IDF). Without
            one, words are hashed: nothing is learnt, and weights go by the number of a column.
        home: Directory of the home that has it.
        field: Where the text is.
        into: Where the weights go.
    """

    model: str = ""
    home: str | os.PathLike[str] = ".tenire"
    field: str = "text"
    into: str = "words"

    def as_stage(self, threads: int | None) -> Stage:
        """See ``ReadyStage``.

        Raises:
            ModelFileError: If there is no such model.
            ConfigError: If it is something else.
        """
        ready, learnt = self, "hashed"
        if self.model:
            found = _learnt(self.home, self.model, "words")
            ready, learnt = replace(self, model=found.label, home=os.path.abspath(self.home)), found.label
        identity = f"words {learnt} {self.field!r} {self.into!r}"
        return Stage("words", ready, "process", _AT_ONCE, True, None, identity, "process")

    def __call__(self, items: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Return the items with the weights of their words.

        Raises:
            ValueError: If an item has no text.
            ModelFileError: If what was learnt is damaged.
        """
        words, names = _words(os.fspath(self.home), self.model)
        rows = words.rows(texts_in(items, self.field))
        found = []
        for number, item in enumerate(items):
            places = slice(rows.indptr[number], rows.indptr[number + 1])
            pairs = zip(rows.indices[places].tolist(), rows.data[places].tolist(), strict=True)
            weights = {names[at] if names else str(at): round(weight, _PLACES) for at, weight in sorted(pairs)}
            found.append({**item, self.into: weights})
        return found


@dataclass(frozen=True, slots=True)
class Tokens(ReadyStage):
    """A stage that gives each item the tokens of its text, as graphs of language models take them.

    Attributes:
        model: What ``fit_tokens`` has learnt, or a graph that was added with its tokenizer; or ``NAME@VERSION``.
        home: Directory of the home that has it.
        field: Where the text is.
        pair: Where a second text is that goes with it; empty for none.
        into: Where the tokens go: a dict of lists of numbers, or a list where there is one input only.
        inputs: The graph's inputs: of ``input_ids``, ``attention_mask`` and ``token_type_ids``.
        most: Most tokens of an item; ``None``: what the tokenizer says, or 512.
    """

    model: str
    home: str | os.PathLike[str] = ".tenire"
    field: str = "text"
    pair: str = ""
    into: str = "tokens"
    inputs: tuple[str, ...] = ("input_ids", "attention_mask")
    most: int | None = None

    def as_stage(self, threads: int | None) -> Stage:
        """See ``ReadyStage``.

        Raises:
            ModelFileError: If there is no such model.
            ConfigError: If it has no tokenizer, or an input has another name.
        """
        if not self.inputs or set(self.inputs) - set(INPUTS):
            message = f"inputs must be some of {', '.join(INPUTS)}, got {', '.join(self.inputs) or 'none'}"
            raise ConfigError(message, key="stages")
        found = _with_tokenizer(self.home, self.model)
        ready = replace(self, model=found.label, home=os.path.abspath(self.home))
        said = f"{self.field!r} {self.pair!r} {self.into!r} {self.inputs!r} {self.most!r}"
        return Stage("tokens", ready, "process", _AT_ONCE, True, None, f"tokens {found.label} {said}", "process")

    def __call__(self, items: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Return the items with their tokens.

        Raises:
            ValueError: If an item has no text.
            ModelFileError: If the tokenizer is damaged.
        """
        texts: list[Any] = texts_in(items, self.field)
        if self.pair:
            texts = list(zip(texts, texts_in(items, self.pair), strict=True))
        found = token_inputs(_tokenizer(os.fspath(self.home), self.model, self.most), texts)
        given = [{name: tokens[name] for name in self.inputs} for tokens in found]
        if len(self.inputs) == 1:
            return [{**item, self.into: tokens[self.inputs[0]]} for item, tokens in zip(items, given, strict=True)]
        return [{**item, self.into: tokens} for item, tokens in zip(items, given, strict=True)]


@dataclass(frozen=True, slots=True)
class Scale(ReadyStage):
    """A stage that brings lists of numbers to mean 0 and deviation 1, as ``fit_scale`` has learnt them.

    Attributes:
        model: What was learnt, or ``NAME@VERSION``.
        home: Directory of the home that has it.
        field: Where the numbers are.
        into: Where they go; empty: where they were.
    """

    model: str
    home: str | os.PathLike[str] = ".tenire"
    field: str = "vector"
    into: str = ""

    def as_stage(self, threads: int | None) -> Stage:
        """See ``ReadyStage``.

        Raises:
            ModelFileError: If there is no such model.
            ConfigError: If it is something else.
        """
        found = _learnt(self.home, self.model, "scale")
        ready = replace(self, model=found.label, home=os.path.abspath(self.home))
        identity = f"scale {found.label} {self.field!r} {self.into!r}"
        return Stage("scale", ready, "process", _AT_ONCE, True, None, identity, "process")

    def __call__(self, items: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Return the items with their numbers scaled.

        Raises:
            ValueError: If an item has no numbers, or another number of them.
            ModelFileError: If what was learnt is damaged.
        """
        import numpy as np

        mean, deviation = _scale(os.fspath(self.home), self.model)
        into = self.into or self.field
        found = []
        for item in items:
            try:
                numbers = np.asarray(item.get(self.field), np.float64)
            except (TypeError, ValueError):
                numbers = np.zeros(0)
            if numbers.shape != mean.shape or not np.isfinite(numbers).all():
                message = f"expected {len(mean)} numbers in the field {self.field}, got {item.get(self.field)!r:.60}"
                raise ValueError(message)
            found.append({**item, into: ((numbers - mean) / deviation).round(_PLACES).tolist()})
        return found


def _learnt(home: str | os.PathLike[str], model: str, what: str) -> ModelVersion:
    name, _, version = model.partition("@")
    found = ModelRegistry(home).open(name, version or None)
    if found.manifest.settings.get("learnt") != what:
        message = f"the model {found.label} was not learnt by fit_{what}"
        raise ConfigError(message, key="stages", hint=f'fit_{what}("{os.fspath(home)}", NAME, …) makes one that is')
    found.verify()
    return found


def _with_tokenizer(home: str | os.PathLike[str], model: str) -> ModelVersion:
    name, _, version = model.partition("@")
    found = ModelRegistry(home).open(name, version or None)
    if TOKENIZER_FILE not in found.manifest.files:
        message = f"the model {found.label} has no tokenizer"
        hint = f'fit_tokens("{os.fspath(home)}", NAME, texts) learns one; add(NAME, graph, tokenizer=…) keeps one'
        raise ConfigError(message, key="stages", hint=hint)
    found.read(TOKENIZER_FILE)
    return found


@lru_cache(maxsize=4)
def _tokenizer(home: str, model: str, most: int | None) -> Any:
    return open_tokenizer(_with_tokenizer(home, model).read(TOKENIZER_FILE), model, most=most)


@lru_cache(maxsize=4)
def _words(home: str, model: str) -> tuple[WordRows, list[str]]:
    from tenire.ml.words import WORD_FILES, WordRows

    if not model:
        return WordRows(None, model), []
    found = _learnt(home, model, "words")
    words = WordRows({file: found.read(file) for file in WORD_FILES}, found.label)
    return words, words.names


@lru_cache(maxsize=4)
def _scale(home: str, model: str) -> tuple[Any, Any]:
    import numpy as np

    found = _learnt(home, model, "scale")
    try:
        with np.load(io.BytesIO(found.read("scale.npz")), allow_pickle=False) as kept:
            mean, deviation = kept["mean"], kept["deviation"]
    except (KeyError, ValueError, zipfile.BadZipFile) as error:
        message = f"the model {found.label} cannot be read: {error}"
        raise ModelFileError(message, model=found.manifest.name, hint="learn it again by fit_scale") from error
    return mean, np.where(deviation > 0, deviation, 1.0)  # what is always the same says nothing
