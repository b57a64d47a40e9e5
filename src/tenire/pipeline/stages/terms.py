"""Which items need work: those that are new or changed, and all of them once a stage changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenire.pipeline.stages.records import hash_of, record_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tenire.pipeline.rows.records import Row
    from tenire.pipeline.stages.stage import Stage

__all__ = ["StageTerms"]


class StageTerms:
    """See ``pipeline.rows.recipe.RowTerms``.

    Args:
        stages: The stages of the pipeline, at least one.
        key: The setting that names them, for messages.
    """

    fields: Sequence[str] = ()
    policy = ""

    def __init__(self, stages: Sequence[Stage], key: str) -> None:
        self.key = key
        self.stages = tuple(stages)

    def made_from(self, row: Row) -> list[str]:
        """Return a hash of the row, and behind each stage one of all that its items are made from until then."""
        made = [hash_of(record_of(row.id, row.fields))]
        for stage in self.stages:
            made.append(hash_of(made[-1], stage.identity))
        return made

    def request(self, row: Row) -> str:
        """Return a hash of the row and of all stages."""
        return self.made_from(row)[-1]
