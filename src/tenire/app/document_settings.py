"""What a documents pipeline's settings mean to the rooms that carry them out, and how a home remembers them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from tenire.app.config_schema import DocumentsPipeline
from tenire.app.config_tables import PageSettings
from tenire.app.remote_embedder import is_remote
from tenire.documents.boilerplate import Repeated
from tenire.documents.chunking import Cutting
from tenire.documents.cleaning import Cleaning
from tenire.documents.quality import RULES
from tenire.documents.validation import Checks
from tenire.errors import ConfigError
from tenire.vectors.token_counts import count_tokens, most_tokens

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["cleaning_of", "cutting_of", "facts_of", "pipeline_of"]

_REMEMBERED = ("max_file", "weight", "priority")
_OPTIONAL = (
    "max_expanded", "file_timeout_s", "passage_tokens", "overlap", "validate", "quality", "mask", "language",
    "boilerplate", "near_duplicates", "stages",
)  # fmt: skip
_USUALLY_NEAR = 0.9
_USUALLY_REPEATED = 0.2
_LONGEST = 8
"""Characters a token at the most, of any text worth cutting by its tokens."""


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
        repeated=_repeated(pipeline.boilerplate),
        near=_near(pipeline.near_duplicates),
        stages=pipeline.stages,
    )


def _repeated(written: float | bool) -> Repeated | None:
    share = _USUALLY_REPEATED if written is True else written
    return None if share is False else Repeated(share)


def _near(written: float | bool) -> float | None:
    if isinstance(written, bool):
        return _USUALLY_NEAR if written else None
    return written


def cutting_of(pipeline: DocumentsPipeline, embedder: str) -> Cutting:
    """Return how a pipeline cuts its documents for an embedder.

    Raises:
        ConfigError: If the embedder does not read as many tokens.
    """
    most, asked, overlap = most_tokens(embedder), pipeline.passage_tokens, pipeline.overlap or 0.0
    if asked is None:
        if most is None:
            return Cutting(overlap=overlap)
        return Cutting(tokens=most, count=partial(count_tokens, embedder), counted_by=embedder, overlap=overlap)
    if most is not None and asked > most:
        message = f"passage_tokens must be at most {most} for the embedder {embedder}, which reads no more, got {asked}"
        raise ConfigError(message, key="passage_tokens", hint=f"make it {most} or less, or leave it out")
    count = None if is_remote(embedder) else partial(count_tokens, embedder)
    # Who asks for so many tokens gets no more, whatever counting all of them costs.
    return Cutting(_LONGEST * asked, asked, count, embedder, counted_from=0.0, overlap=overlap)


def facts_of(pipeline: DocumentsPipeline) -> dict[str, Any]:
    """Return what a home has to remember of a pipeline, so that ``retry`` does the same as its run: plain values."""
    facts = {name: getattr(pipeline, name) for name in _REMEMBERED}
    usual = {field.name: field.default for field in msgspec.structs.fields(pipeline)}
    facts |= {name: value for name in _OPTIONAL if (value := getattr(pipeline, name)) != usual[name]}
    if isinstance(pipeline.source, PageSettings):
        facts["pages"] = {**msgspec.structs.asdict(pipeline.source), "urls": ()}
    plain: dict[str, Any] = msgspec.to_builtins(facts)
    return plain


def pipeline_of(facts: Mapping[str, Any]) -> DocumentsPipeline:
    """Return a pipeline, without a source, from what a home remembers of it."""
    # Field by field: a source may be one of several tables, which nothing but its keys tells apart.
    kinds = {field.name: field.type for field in msgspec.structs.fields(DocumentsPipeline)}
    known = {name: msgspec.convert(value, kinds[name]) for name, value in facts.items() if name != "pages"}
    pages = msgspec.convert(facts["pages"], PageSettings) if "pages" in facts else ()
    return DocumentsPipeline(**known, source=pages)
