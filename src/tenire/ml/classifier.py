"""A linear classifier as it is kept and asked: coefficients, classes, and what its input has to be.

Asking it needs numpy only. Scores are probabilities: the softmax of what the classes' rows give.
"""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tenire.errors import ModelFileError, PredictionError
from tenire.ml.solver import softmax

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tenire.ml.registry import ModelVersion

__all__ = ["HEAD_FILES", "LinearClassifier", "head_files"]

HEAD_FILES = ("head.npz", "classes.json")


def head_files(coefficients: NDArray[Any], intercepts: NDArray[Any], classes: list[Any]) -> dict[str, bytes]:
    """Return the files of a classifier, by name.

    Args:
        coefficients: Shape ``(k, d)``.
        intercepts: Shape ``(k,)``.
        classes: The labels, in that order.
    """
    buffer = io.BytesIO()
    np.savez(buffer, coefficients=coefficients, intercepts=intercepts)
    return {"head.npz": buffer.getvalue(), "classes.json": json.dumps(classes).encode()}


@dataclass(frozen=True, slots=True)
class LinearClassifier:
    """One classifier, ready to be asked.

    Attributes:
        name: The model and its version, for errors.
        coefficients: Shape ``(k, d)``.
        intercepts: Shape ``(k,)``.
        classes: The labels, in that order.
    """

    name: str
    coefficients: NDArray[np.float64]
    intercepts: NDArray[np.float64]
    classes: list[Any]

    @classmethod
    def load(cls, version: ModelVersion) -> LinearClassifier:
        """Return the classifier that a version of a model is.

        Raises:
            ModelFileError: If its files are damaged, or do not fit each other.
        """
        heads, labels = (version.read(file) for file in HEAD_FILES)
        name = version.manifest.name
        try:
            with np.load(io.BytesIO(heads), allow_pickle=False) as arrays:
                coefficients, intercepts = arrays["coefficients"], arrays["intercepts"]
            classes = json.loads(labels)
        except (KeyError, ValueError, zipfile.BadZipFile) as error:
            message = f"the model {version.label} cannot be read as a classifier: {error}"
            raise ModelFileError(message, model=name, hint="train it again") from error
        count = len(classes)
        if coefficients.ndim != 2 or coefficients.shape[0] != count or intercepts.shape != (count,):
            message = (
                f"the model {version.label} does not fit itself: {count} classes need as many rows of"
                f" coefficients, got {coefficients.shape} and intercepts {intercepts.shape}"
            )
            raise ModelFileError(message, model=name, hint="train it again")
        if not (np.isfinite(coefficients).all() and np.isfinite(intercepts).all()):
            message = f"the model {version.label} has coefficients that are no numbers"
            raise ModelFileError(message, model=name, hint="train it again, and look at its training data")
        return cls(version.label, coefficients, intercepts, classes)

    @property
    def dimension(self) -> int:
        """Numbers that an input has."""
        return int(self.coefficients.shape[1])

    def probabilities(self, inputs: Any) -> NDArray[np.float64]:
        """Return the probability of each class, shape ``(n, k)``.

        Args:
            inputs: An array of shape ``(n, d)``, or a sparse one.

        Raises:
            PredictionError: If they have another shape, or are no numbers.
        """
        shape = getattr(inputs, "shape", None)
        if shape is None or len(shape) != 2 or shape[1] != self.dimension:
            message = f"the model {self.name} takes rows of {self.dimension} numbers, got the shape {shape}"
            hint = "it was trained with another embedder or other features; use those, or train it again"
            raise PredictionError(message, model=self.name, hint=hint)
        values = getattr(inputs, "data", inputs) if not isinstance(inputs, np.ndarray) else inputs
        if not np.isfinite(values).all():
            row = int(np.argmin(np.isfinite(inputs).all(1))) if isinstance(inputs, np.ndarray) else -1
            where = f"row {row} holds" if row >= 0 else "they hold"
            message = f"the model {self.name} takes numbers, and {where} some that are none (NaN or infinite)"
            raise PredictionError(message, model=self.name, hint="look at what made these rows")
        return softmax(np.asarray(inputs @ self.coefficients.T, np.float64) + self.intercepts)

    def predict(self, inputs: Any) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """Return for each row the place of its class in ``classes``, and how likely that is.

        Raises:
            PredictionError: As ``probabilities``.
        """
        found = self.probabilities(inputs)
        places = found.argmax(1)
        return places, found[np.arange(len(places)), places]
