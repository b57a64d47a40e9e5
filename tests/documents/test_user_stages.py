from __future__ import annotations

import os
from typing import Any

import pytest

import tenire
from tenire.documents.cleaning import Cleaned, Cleaning, clean
from tenire.documents.draft import Draft
from tenire.documents.remarking import remarked
from tenire.documents.structure import CODE, CODE_END, LineMap, heading_mark, plain
from tenire.errors import ConfigError, DocumentError
from tenire.pipeline.named_functions import load_function, name_of
from tenire.protocols import About

Item = dict[str, Any]

TEXT = f"{heading_mark(1)}Title\n\nSome words.\n\n{heading_mark(2)}Part\n\n{CODE}x = 1\ny = 2{CODE_END}"
DRAFT = Draft("/a.md", 10, "Title", TEXT, About(kind="markdown", extra=(("to", "Bob"), ("to", "Eve"), ("cc", "Al"))))


def shout(items: list[Item]) -> list[Item]:
    return [{**item, "text": item["text"].replace("words", "WORDS"), "title": item["title"] + "!"} for item in items]


def label(items: list[Item]) -> list[Item]:
    return [{**item, "team": "blue", "size": 5, "cc": "Alan"} for item in items]


def shorten(items: list[Item]) -> list[str]:
    return [item["text"].replace("Some words.\n\n", "") for item in items]


def drop(items: list[Item]) -> list[None]:
    return [None for _ in items]


def fail(items: list[Item]) -> list[Item]:
    message = f"no {items[0]['kind']} today"
    raise ValueError(message)


def several(items: list[Item]) -> Any:
    return [[item, item] for item in items]


def wrong(items: list[Item]) -> Any:
    return 5


@tenire.stage(on="thread")
def on_a_thread(items: list[Item]) -> list[Item]:
    return items


async def on_the_loop(items: list[Item]) -> list[Item]:
    return items


def cleaned(*stages: Any, lines: LineMap | None = None, draft: Draft = DRAFT) -> Cleaned:
    return clean(draft, Cleaning(stages=tuple(map(name_of, stages)), language=False), lines=lines)


def test_stages_change_the_text_and_what_is_known() -> None:
    found = cleaned(shout, label)
    assert found.draft.text == plain(TEXT).replace("words", "WORDS")
    assert found.draft.title == "Title!"
    assert found.draft.about.extra == (("to", "Bob"), ("to", "Eve"), ("cc", "Alan"), ("team", "blue"), ("size", "5"))
    assert (found.draft.about.kind, found.draft.source) == ("markdown", "/a.md")


def test_structure_stays_with_the_lines_that_did_not_change() -> None:
    before, found = cleaned(), cleaned(shout)
    assert found.structure == before.structure
    assert [heading.title for heading in found.structure.headings] == ["Title", "Part"]
    shorter = cleaned(shorten)
    assert [heading.title for heading in shorter.structure.headings] == ["Title", "Part"]
    assert [shorter.draft.text[start:end] for start, end in shorter.structure.blocks] == ["x = 1\ny = 2"]


def test_lines_of_the_file_are_known_as_long_as_none_comes_or_goes() -> None:
    lines = LineMap((2,), (5,))
    assert cleaned(shout, lines=lines).structure.lines == lines
    assert cleaned(shorten, lines=lines).structure.lines is None


@pytest.mark.parametrize("changed", ["", "a", "b\na\nb", "b\nc\na", "a\nb\nc", "a\na\nb"])
def test_marks_never_change_what_a_text_says(changed: str) -> None:
    marked = f"{heading_mark(1)}a\n{heading_mark(2)}b\n\nc"
    assert plain(remarked(marked, changed)) == changed
    assert remarked(marked, plain(marked)) == marked


def test_a_document_that_a_stage_leaves_out_is_done_without_text() -> None:
    found = cleaned(drop, fail)
    assert found.draft.text == ""
    assert (found.findings.filtered, found.findings.reason) == ("drop", "the stage drop left it out")


def test_a_document_for_which_a_stage_raises_is_refused_under_its_name() -> None:
    with pytest.raises(DocumentError, match="ValueError: no markdown today") as caught:
        cleaned(shout, fail)
    assert (caught.value.stage, caught.value.source) == ("fail", "/a.md")


@pytest.mark.parametrize(
    ("stage", "told"),
    [
        (several, "several made a list of a document"),
        (wrong, "wrong returned what no stage may: expected a list with one result for each item, got int 5"),
        (on_a_thread, "on_a_thread cannot run in the worker process"),
        (on_the_loop, "on_the_loop cannot run in the worker process"),
    ],
)
def test_a_stage_that_cannot_be_one_of_documents_is_refused(stage: Any, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        cleaned(stage)


def test_what_the_stages_are_is_part_of_what_a_document_depends_on() -> None:
    identities = {Cleaning(stages=stages).identity for stages in ((), (name_of(shout),), (name_of(label),))}
    assert len(identities) == 3
    assert "stages" not in Cleaning().identity


def test_a_function_is_found_by_its_name() -> None:
    assert load_function(name_of(os.path.join)) is os.path.join
    assert load_function(name_of(tenire.stage)) is tenire.stage
    assert load_function(name_of(pytest.raises)) is pytest.raises
