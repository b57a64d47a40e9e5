"""What a worker process reads of some documents to find the lines that repeat over them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tenire.documents.boilerplate import ends_of
from tenire.documents.chunking import Cutting
from tenire.documents.cleaning import Cleaning
from tenire.documents.prepare import prepare
from tenire.protocols import Document, Unpacked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tenire.documents.options import PrepareOptions
    from tenire.protocols import SourceFile

__all__ = ["survey"]


def survey(options: PrepareOptions, files: Sequence[SourceFile]) -> list[tuple[str, list[str]]]:
    """Read documents as far as their lines go: personal data is masked, and no rule is asked.

    Args:
        options: How the pipeline reads its documents.
        files: Files; of a container, its first members are read.

    Returns:
        For each document the hash of its bytes, and the lines at its ends.

    Raises:
        MissingExtraError: If a parser that is needed is not installed.
    """
    plainly = replace(options, cleaning=Cleaning(mask=options.cleaning.mask, language=False), cutting=Cutting())
    found: list[tuple[str, list[str]]] = []
    for result in prepare(files, plainly):
        documents = result.members if isinstance(result, Unpacked) else (result,)
        found += [(each.content_hash, ends_of(each)) for each in documents if isinstance(each, Document)]
    return found
