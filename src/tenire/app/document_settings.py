"""What a documents pipeline's settings mean to the rooms that carry them out, and how a home remembers them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from tenire.app.config_schema import DocumentsPipeline
from tenire.documents.cleaning import Cleaning
from tenire.documents.validation import Checks

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["cleaning_of", "facts_of", "pipeline_of"]

_REMEMBERED = ("max_file", "validate", "weight", "priority")


def cleaning_of(pipeline: DocumentsPipeline) -> Cleaning:
    """Return how a pipeline cleans its documents."""
    checks = {} if pipeline.validate is None else msgspec.structs.asdict(pipeline.validate)
    return Cleaning(checks=Checks(**checks))


def facts_of(pipeline: DocumentsPipeline) -> dict[str, Any]:
    """Return what a home has to remember of a pipeline, so that ``retry`` does the same as its run: plain values."""
    named = {name: msgspec.to_builtins(getattr(pipeline, name)) for name in _REMEMBERED}
    return {name: value for name, value in named.items() if value is not None}


def pipeline_of(facts: Mapping[str, Any]) -> DocumentsPipeline:
    """Return a pipeline, without a source, from what a home remembers of it."""
    return msgspec.convert({**facts, "source": []}, DocumentsPipeline)
