"""Whether searches find the passage that answers: questions with known answers from real documents.

A question is the heading above some passages, or the first sentence of one. It is held
apart: what is asked for is cut out of the passage before that is stored, so the rest of the
text has to be enough. A hit is any passage under that heading, or the very passage. Prints
for each mode how often the first hit, or one of the first ten, is right, and the mean of one
over the place of the first right one. Half of the questions are for choosing settings, half
for reporting.

    python benchmarks/retrieval.py [--files DIR]... [--embedder static] [--passages N] [--questions N]
"""

from __future__ import annotations

import argparse
import random
import re
import statistics
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from _common import report
from _passages import documents_of, filled_store, text_files

from tenire.vectors import LanceStore, load_embedder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tenire.protocols import Document, Embedder, Passage

MODES = ("vector", "text", "hybrid")
LEAST_REST = 200
SENTENCE = re.compile(r"\s*([A-Z][^.!?]{30,200}[.!?])\s")


@dataclass(frozen=True)
class Question:
    """What is asked, and where the answer stands.

    Attributes:
        kind: ``heading`` or ``sentence``.
        text: The question.
        answers: Document and ordinals of the right passages.
    """

    kind: str
    text: str
    answers: frozenset[tuple[str, int]]


def asked_of(document: Document, rng: random.Random) -> tuple[Document, list[Question]]:
    """Return the document without what is asked for, and at most one question of each kind."""
    questions: list[Question] = []
    passages = list(document.passages)
    sections: dict[str, list[Passage]] = {}
    for passage in passages:
        if passage.place.headings:
            sections.setdefault(passage.place.headings[-1], []).append(passage)
    headings = [text for text in sections if 3 <= len(text.split()) <= 12]
    if headings:
        heading = rng.choice(headings)
        kept = [_without(passage, heading) for passage in sections[heading]]
        if sum(len(passage.text) for passage in kept) >= LEAST_REST:
            for passage in kept:
                passages[passage.ordinal] = passage
            answers = frozenset((document.id, passage.ordinal) for passage in kept)
            questions.append(Question("heading", heading, answers))
    chosen = [
        (passage, match)
        for passage in passages
        if (match := SENTENCE.match(passage.text)) and len(passage.text) - match.end() >= LEAST_REST
    ]
    if chosen:
        passage, match = rng.choice(chosen)
        passages[passage.ordinal] = replace(passage, text=passage.text[match.end() :])
        answers = frozenset({(document.id, passage.ordinal)})
        questions.append(Question("sentence", " ".join(match[1].split()), answers))
    whole = [passage for passage in passages if passage.text.strip()]
    return replace(document, passages=tuple(whole)), questions


def _without(passage: Passage, heading: str) -> Passage:
    return replace(passage, text=passage.text.replace(heading, "").lstrip("#=-~ \n"))


def built(
    folder: Path, documents: Iterator[Document], embedder: Embedder, passages: int
) -> tuple[LanceStore, list[Question]]:
    """Return a store of documents without what is asked for, and all questions."""
    rng = random.Random(2)
    questions: list[Question] = []

    def parts() -> Iterator[Document]:
        for document in documents:
            # A document that is one long list has its own weight, and few questions.
            if len(document.passages) <= 200:
                kept, asked = asked_of(document, rng)
                questions.extend(asked)
                yield kept

    store = filled_store(folder, parts(), embedder, passages)
    # A heading that stands in several documents has no one answer.
    texts = [question.text.casefold() for question in questions]
    once = [question for question in questions if texts.count(question.text.casefold()) == 1]
    rng.shuffle(once)
    return store, once


def place_of(store: LanceStore, question: Question, vector: object, mode: str) -> int | None:
    """Return the place of the first right passage among ten, from 1."""
    hits = store.search(question.text, vector, k=10, mode=mode)  # type: ignore[arg-type]
    seen: list[str] = []
    for hit in hits:
        if hit.text not in seen:
            seen.append(hit.text)
        if (hit.document, hit.ordinal) in question.answers:
            return seen.index(hit.text) + 1
    return None


def measure(store: LanceStore, embedder: Embedder, questions: list[Question], part: str) -> None:
    """Ask all questions in every mode."""
    vectors = embedder.embed([question.text for question in questions])
    for mode in MODES:
        places = [place_of(store, question, vector, mode) for question, vector in zip(questions, vectors, strict=True)]
        for kind in ("heading", "sentence", "all"):
            of_kind = [
                place for place, question in zip(places, questions, strict=True) if kind in ("all", question.kind)
            ]
            if of_kind:
                report(
                    "retrieval",
                    part=part,
                    mode=mode,
                    kind=kind,
                    questions=len(of_kind),
                    first=round(statistics.fmean(place == 1 for place in of_kind), 3),
                    among_10=round(statistics.fmean(place is not None for place in of_kind), 3),
                    mrr_10=round(statistics.fmean(1 / place if place else 0.0 for place in of_kind), 4),
                )


def main() -> int:
    """Build, ask, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--files", action="append", default=[])
    parser.add_argument("--embedder", default="static")
    parser.add_argument("--passages", type=int, default=20_000)
    parser.add_argument("--questions", type=int, default=600)
    options = parser.parse_args()
    embedder = load_embedder(options.embedder)
    with tempfile.TemporaryDirectory() as scratch:
        documents = documents_of(text_files(options.files))
        store, questions = built(Path(scratch) / "store", documents, embedder, options.passages)
        chosen = questions[: options.questions]
        report("retrieval_store", embedder=options.embedder, passages=store.count(), questions=len(chosen))
        half = len(chosen) // 2
        measure(store, embedder, chosen[:half], "choose")
        measure(store, embedder, chosen[half:], "report")
        store.close()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
