"""The end of a training: how good it is, and its place among the models of the home."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tenire.ml.classifier import head_files
from tenire.ml.confusion_picture import confusion_picture
from tenire.ml.matrix import TrainingRows
from tenire.ml.registry import ModelRegistry
from tenire.ml.trainer import evaluate, result
from tenire.ml.uses import TEST
from tenire.ml.words import WORD_FILES

if TYPE_CHECKING:
    from tenire.ml.plans import Finished

__all__ = ["finish"]


def finish(folder: str, kept: Finished) -> dict[str, Any]:
    """Evaluate, keep the model, and remove what training left; runs in a worker process.

    Returns:
        Its metrics.

    Raises:
        ModelFileError: If it cannot be kept.
    """
    registry = ModelRegistry(kept.home)
    found = registry.find(kept.name, kept.version)
    if found is not None:  # a worker that was killed after its last line
        return found.manifest.metrics
    coefficients, intercepts = result(folder)
    test = evaluate(folder, TEST)
    rows = TrainingRows.open(Path(folder))
    metrics = {**test.metrics(), "train_rows": len(rows.labels) - test.rows, "test_rows": test.rows}
    files = head_files(coefficients, intercepts, kept.classes)
    if kept.settings["features"] == "tfidf":
        files |= {file: (Path(folder) / file).read_bytes() for file in WORD_FILES}
    report = {"metrics": metrics, "classes": kept.classes, "confusion": test.confusion.tolist()}
    files["report.json"] = json.dumps(report, indent=1).encode()
    if test.rows:
        files["confusion.png"] = confusion_picture(test.confusion)
    registry.save(
        kept.name, files, kind="classifier", version=kept.version, metrics=metrics, lineage=kept.lineage,
        settings=kept.settings,
    )  # fmt: skip
    shutil.rmtree(folder, ignore_errors=True)  # what stays of it goes with the next training
    return metrics
