"""The settings of pipelines that train models of this machine, or ask them."""

from __future__ import annotations

from typing import Annotated, ClassVar

from tenire.app.config_tables import (
    ONE_PATH,
    POSITIVE,
    After,
    EmbedderName,
    PriorityName,
    RowSources,
    Sources,
    Table,
    Weight,
)
from tenire.app.config_values import amount, choice, names, paths, pattern, text, truth, whole

__all__ = ["ClassifyPipeline", "PredictPipeline"]


class ClassifyPipeline(Table, frozen=True, kw_only=True):
    """``[pipelines.NAME]`` with ``recipe = "classify"``: a small model, trained here.

    Attributes:
        train: Files of rows with ``text`` and ``label``.
        test: Files of the same kind to test with; ``None``: a fifth of the rows.
        source: Files of rows with ``text`` to label, or ``None``.
        output: The file that labels go to.
        features: What the model sees: ``embedding``, or counts of words, ``tfidf`` or ``hashing``.
        embedder: ``auto``, ``minilm``, ``static`` or ``openai:MODEL``.
        quota: The quota of an ``openai:`` embedder, or ``None``.
        seed: Decides which rows say when to stop.
        epochs: Most passes over the rows.
        balanced: Whether classes count the same, however many rows they have.
        checkpoint_s: Seconds between two checkpoints.
        weight: As for documents.
        priority: As for documents.
        after: As for documents.
    """

    recipe: ClassVar[str] = "classify"
    train: Sources
    test: Annotated[tuple[str, ...] | None, paths()] = None
    source: Annotated[tuple[str, ...] | None, paths()] = None
    features: Annotated[str, choice("embedding", "tfidf", "hashing")] = "embedding"
    embedder: EmbedderName = "auto"
    seed: Annotated[int, whole("a whole number from 0 to 4294967295", minimum=0, maximum=2**32 - 1)] = 0
    epochs: Annotated[int, whole(POSITIVE, minimum=1)] = 200
    balanced: Annotated[bool, truth()] = True
    checkpoint_s: Annotated[float, amount("a number of seconds above 0", above=0)] = 2.0
    output: Annotated[str | None, ONE_PATH] = None
    quota: Annotated[str | None, text("the name of a quota")] = None
    weight: Weight = 1.0
    priority: PriorityName = "normal"
    after: After = ()


class PredictPipeline(Table, frozen=True, kw_only=True):
    """``[pipelines.NAME]`` with ``recipe = "predict"``: rows, of which a model of the home tells something.

    Attributes:
        source: Files of rows, with ``label`` where it is known; or a query of a database.
        model: The model's name, or ``NAME@VERSION``.
        input: The field whose value the model is given; ``None``: ``text``.
        columns: Fields whose numbers it is given instead, as a list.
        output: The file that results go to.
        weight: As for documents.
        priority: As for documents.
        after: As for documents.
    """

    recipe: ClassVar[str] = "predict"
    quota: ClassVar[str | None] = None
    source: RowSources
    model: Annotated[str, pattern("the name of a model, or NAME@VERSION", r"\w[\w .-]{0,63}(@\w[\w .-]{0,63})?")]
    input: Annotated[str | None, text("the name of a field")] = None
    columns: Annotated[tuple[str, ...], names('a list of fields, as ["age", "income"]')] = ()
    output: Annotated[str, ONE_PATH]
    weight: Weight = 1.0
    priority: PriorityName = "normal"
    after: After = ()
