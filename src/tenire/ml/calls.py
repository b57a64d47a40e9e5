"""What a pipeline of models has worker processes do. What these need is imported there, and not by the engine."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tenire.ml.kept_vectors import KeptVectors
    from tenire.ml.plans import Finished, Slice, TrainingPlan

__all__ = [
    "advance_training",
    "count_part",
    "embed_part",
    "finish_training",
    "is_joined",
    "join_parts",
    "join_vectors",
    "keep_part",
    "keep_vocabulary",
    "missing_parts",
    "open_vectors",
    "predict_texts",
    "predict_vectors",
    "word_part",
]


def is_joined(folder: str) -> bool:
    """Return whether the rows of a training are one matrix by now."""
    return (Path(folder) / "labels.npz").is_file()


def missing_parts(folder: str, parts: int) -> set[int]:
    """Return which parts of a training are still to be made."""
    from tenire.ml.matrix import PartFiles

    files = PartFiles(Path(folder))
    return {number for number in range(parts) if not files.has(number)}


def keep_part(folder: str, number: int, rows: Any) -> None:
    """Keep a part of a training."""
    from tenire.ml.matrix import PartFiles

    PartFiles(Path(folder)).put(number, rows)


def embed_part(embed: Callable[[list[str]], Any], folder: str, number: int, texts: list[str]) -> None:
    """Embed the texts of a part, and keep it."""
    keep_part(folder, number, embed(texts))


def word_part(folder: str, number: int, texts: list[str], hashed: bool) -> None:
    """Count the words of the texts of a part, and keep it."""
    from tenire.ml.words import make_part

    keep_part(folder, number, make_part(folder, texts, hashed=hashed))


def count_part(folder: str, number: int, texts: Sequence[str]) -> None:
    """Count in how many texts of a part each word stands."""
    from tenire.ml.words import count_words

    _replace(Path(folder) / f"words-{number:06d}.json", json.dumps([len(texts), count_words(texts)]).encode())


def keep_vocabulary(folder: str) -> None:
    """Make the vocabulary of a training of the words of its parts."""
    from tenire.ml.words import vocabulary_of

    files = sorted(Path(folder).glob("words-*.json"))
    texts = sum(json.loads(file.read_bytes())[0] for file in files)
    parts = (json.loads(file.read_bytes())[1] for file in files)
    for name, data in vocabulary_of(parts, texts).items():
        _replace(Path(folder) / name, data)


def join_parts(folder: str, parts: int, labels: Sequence[int], uses: Sequence[int]) -> bool:
    """Make one matrix of the parts of a training; return whether all of it is there."""
    import numpy as np

    from tenire.ml.matrix import PartFiles

    PartFiles(Path(folder)).join(parts, np.array(labels, np.int32), np.array(uses, np.int8))
    return True


def open_vectors(folder: str) -> KeptVectors:
    """Return what a server gave for the texts of a training so far."""
    from tenire.ml.kept_vectors import KeptVectors

    return KeptVectors(Path(folder))


def join_vectors(folder: str, vectors: str, keys: bytearray, labels: Sequence[int], uses: Sequence[int]) -> bool:
    """Make one matrix of what a server gave for the texts of a training; return whether all of it is there."""
    import numpy as np

    from tenire.ml.kept_vectors import KeptVectors
    from tenire.ml.matrix import keep_labels

    if not KeptVectors(Path(vectors)).join(Path(folder), keys):
        return False
    keep_labels(Path(folder), np.array(labels, np.int32), np.array(uses, np.int8))
    return True


def advance_training(folder: str, plan: TrainingPlan, seconds: float) -> Slice:
    """Train for some time; see ``trainer.advance``."""
    from tenire.ml.trainer import advance

    return advance(folder, plan, seconds)


def finish_training(folder: str, kept: Finished) -> dict[str, Any]:
    """Evaluate a training, and keep what came of it; see ``finishing.finish``."""
    from tenire.ml.finishing import finish

    return finish(folder, kept)


def predict_texts(
    home: str, name: str, version: str, embed: Callable[[list[str]], Any] | None, texts: list[str]
) -> list[tuple[Any, float]]:
    """Return label and score for each text; see ``asking.answer_texts``."""
    from tenire.ml.asking import answer_texts

    return answer_texts(home, name, version, embed, texts)


def predict_vectors(home: str, name: str, version: str, vectors: Any) -> list[tuple[Any, float]]:
    """Return label and score for each vector; see ``asking.answer_vectors``."""
    from tenire.ml.asking import answer_vectors

    return answer_vectors(home, name, version, vectors)


def _replace(path: Path, data: bytes) -> None:
    new = path.with_name(f"{path.name}.new")
    new.write_bytes(data)
    os.replace(new, path)
