"""The demo's third pipeline: a small model on this machine summarises a few of the documents.

The documents are cut short, since the model reads some hundred tokens a second on one
core that it shares with the two other pipelines.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tenire.documents.prepare import PrepareOptions, prepare
from tenire.errors import MissingExtraError
from tenire.llm.local import find_weights
from tenire.protocols import Document, SourceFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from corpus import Corpus, Part

MODEL = "local"
DOCUMENTS = 8
CHARACTERS = 900
"""Of each document, from its beginning."""

SMALLEST, LARGEST = 2_000, 60_000
"""Bytes of a file that is taken: shorter ones say little, longer ones are indexes and changelogs."""

MARKUP = re.compile(r"^(?:\.\. .*|:\w+:.*|([=~^*#\"'`+.-])\1{3,})$", re.MULTILINE)
"""Lines of reStructuredText that are no sentences: directives, fields, rules."""
ROLE = re.compile(r":[a-z:]+:`!?([^`]*)`")
SIGNS = re.compile(r"^[!\d.\s]+")
"""What stands before a title: a chapter's number, a sign of the markup."""
BLANK = re.compile(r"\n\s*\n")

TRIES = 10
"""Files that are looked at for each document that is taken, at the most."""

SETTINGS = {
    "recipe": "chat",
    "model": MODEL,
    "system": "You explain pages of a manual to a beginner.",
    "prompt": "{text}\n\nIn one short sentence, what is this page, “{title}”, about?",
    "max_output_tokens": 48,
    "temperature": 0,
    "timeout_s": 300,
    "priority": "low",
}


@dataclass(frozen=True)
class Summaries:
    """The pipeline's files.

    Attributes:
        rows: What is asked, one document a line.
        output: What was answered.
    """

    rows: Path
    output: Path

    def settings(self) -> dict[str, Any]:
        """Return the pipeline's keys in ``tenire.toml``."""
        return {**SETTINGS, "source": str(self.rows), "output": str(self.output)}

    def read(self) -> list[tuple[str, str]]:
        """Return a title and what the model says about it, for each document that was summarised."""
        titles = {row["id"]: row["title"] for row in _lines(self.rows)}
        return [(titles[line["id"]], line["output"]) for line in _lines(self.output)]


def prepare_rows(
    corpus: Corpus, folder: Path, name: str, say: Callable[[str], None], *, documents: int = DOCUMENTS
) -> Summaries | None:
    """Write the rows of some documents of a corpus.

    Args:
        corpus: The demo's documents.
        folder: Where to write them.
        name: Of the corpus, different from that of any other.
        say: Told why there will be no summaries.
        documents: How many, from all parts together.

    Returns:
        The pipeline's files, or ``None`` if this machine has no model, or no document is fit.
    """
    try:
        find_weights(MODEL)
    except MissingExtraError as error:
        say(f"no summaries: {error}")
        return None
    base = os.path.commonpath([source for part in corpus.parts for source in part.sources])
    rows = [row for part in corpus.parts for row in _rows_of(part, documents // len(corpus.parts), base)]
    if not rows:
        say(f"no summaries: no document of {SMALLEST // 1000} to {LARGEST // 1000} kB was found to read")
        return None
    found = Summaries(folder / f"{name}-rows.jsonl", folder / f"{name}-summaries.jsonl")
    folder.mkdir(parents=True, exist_ok=True)
    found.rows.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return found


def _rows_of(part: Part, wanted: int, base: str) -> list[dict[str, str]]:
    """Return rows of documents that lie as far apart as can be, the same in every run."""
    files = [file for source in part.sources for file in _fit(Path(source))]
    step = max(1, len(files) // wanted)
    # The middle of each stretch first; what is no document there is made up for by its neighbours.
    places = sorted(range(len(files)), key=lambda place: (abs(place % step - step // 2), place))
    rows: list[dict[str, str]] = []
    for place in places[: wanted * TRIES]:
        row = _row(files[place], base)
        if row is not None:
            rows.append(row)
        if len(rows) == wanted:
            break
    return rows


def _fit(source: Path) -> Iterator[SourceFile]:
    for file in sorted(source.rglob("*")) if source.is_dir() else [source]:
        with contextlib.suppress(OSError):  # gone by now, or not ours to read: the pipelines tell of it
            status = file.stat()
            if file.is_file() and SMALLEST <= status.st_size <= LARGEST:
                yield SourceFile(str(file), status.st_size, status.st_mtime_ns)


def _row(file: SourceFile, base: str) -> dict[str, str] | None:
    found = prepare([file], PrepareOptions())[0]
    if not isinstance(found, Document) or not found.passages:
        return None
    text = MARKUP.sub("", ROLE.sub(r"\1", "\n".join(passage.text for passage in found.passages)))
    title = SIGNS.sub("", found.title) or os.path.basename(file.path)
    return {
        "id": os.path.relpath(file.path, base),
        "title": title,
        "text": BLANK.sub("\n\n", text)[:CHARACTERS].strip(),
    }


def _lines(file: Path) -> list[dict[str, Any]]:
    try:
        return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    except FileNotFoundError:
        return []
