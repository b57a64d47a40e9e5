"""What a documents pipeline's settings mean to the rooms that carry them out, and how a home remembers them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from tenire.app.config_schema import DocumentsPipeline
from tenire.documents.cleaning import Cleaning
from tenire.documents.quality import RULES
from tenire.documents.validation import Checks

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["cleaning_of", "facts_of", "pipeline_of"]

_REMEMBERED = ("max_file", "weight", "priority")
_OPTIONAL = ("validate", "quality", "mask", "language")


def cleaning_of(pipeline: DocumentsPipeline) -> Cleaning:
    """Return how a pipeline cleans its documents."""
    checks = {} if pipeline.validate is None else msgspec.structs.asdict(pipeline.validate)
    asked = {} if pipeline.quality is None else msgspec.structs.asdict(pipeline.quality)
    limits = {name: RULES[name].limit if limit is True else limit for name, limit in asked.items()}
    wanted = {name: limit for name, limit in limits.items() if limit is not None and limit is not False}
    return Cleaning(
        checks=Checks(**checks),
        quality=tuple((name, float(wanted[name])) for name in RULES if name in wanted),
        mask=pipeline.mask,
        language=pipeline.language,
    )


def facts_of(pipeline: DocumentsPipeline) -> dict[str, Any]:
    """Return what a home has to remember of a pipeline, so that ``retry`` does the same as its run: plain values."""
    facts = {name: getattr(pipeline, name) for name in _REMEMBERED}
    usual = {field.name: field.default for field in msgspec.structs.fields(pipeline)}
    facts |= {name: value for name in _OPTIONAL if (value := getattr(pipeline, name)) != usual[name]}
    plain: dict[str, Any] = msgspec.to_builtins(facts)
    return plain


def pipeline_of(facts: Mapping[str, Any]) -> DocumentsPipeline:
    """Return a pipeline, without a source, from what a home remembers of it."""
    return msgspec.convert({**facts, "source": []}, DocumentsPipeline)
