"""The steps between a reader and the passages, and their order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tenire.documents.cleaning import Cleaning, clean
from tenire.documents.draft import Draft
from tenire.documents.formats import Kind
from tenire.documents.prepare import PrepareOptions, prepare
from tenire.documents.structure import Heading, heading_mark
from tenire.documents.validation import Checks
from tenire.errors import DocumentError
from tenire.protocols import About, Document, Findings, SourceFile

if TYPE_CHECKING:
    from pathlib import Path

PROSE = "No two zebras have the same stripes, and a foal learns those of its mother within hours of its birth.\n"


def draft(text: str, **about: object) -> Draft:
    return Draft("/d/a.md", 10, "by ada@example.org", text, About(**about))  # type: ignore[arg-type]


def test_personal_data_is_masked_wherever_it_stands_and_places_follow_it() -> None:
    text = f"Write to ada@example.org.\n\n{heading_mark(1)}Ask bob@example.org\n\nor call +49 30 1234567"
    of = draft(text, author="ada@example.org", extra=(("reply-to", "eve@example.org"),))
    cleaned = clean(of, Cleaning(mask=("email", "phone"), language=False))
    assert cleaned.draft.text == "Write to [email].\n\nAsk [email]\n\nor call [phone]"
    assert cleaned.draft.title == "by [email]"
    assert cleaned.draft.about == About(author="[email]", extra=(("reply-to", "[email]"),))
    assert cleaned.findings == Findings(masked=(("email", 2), ("phone", 1)))
    assert cleaned.structure.headings == (Heading(19, 1, "Ask [email]", 30),)


def test_no_reason_repeats_what_was_to_be_masked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "tells_all.py").write_text("def refuse(draft): return draft.text + draft.title\n")
    with pytest.raises(DocumentError) as refused:
        clean(draft("ada@example.org"), Cleaning(checks=Checks(function="tells_all:refuse"), mask=("email",)))
    assert "ada" not in str(refused.value)


def test_the_language_is_known_before_the_rules_are_asked() -> None:
    cleaned = clean(draft(PROSE), Cleaning(checks=Checks(languages=("en",), required=("language",))))
    assert cleaned.draft.about.language == "en"
    with pytest.raises(DocumentError, match="expected a text in de, got a text in en"):
        clean(draft(PROSE), Cleaning(checks=Checks(languages=("de",))))


def test_what_a_document_says_of_its_language_counts_where_the_text_does_not_tell() -> None:
    assert clean(draft("Zebra", language="sw"), Cleaning()).draft.about.language == "sw"
    assert clean(draft(PROSE, language="sw"), Cleaning()).draft.about.language == "en"
    assert clean(draft(PROSE, language="sw"), Cleaning(language=False)).draft.about.language == "sw"
    assert clean(draft(PROSE), Cleaning(), kind=Kind.CODE).draft.about.language == ""


def test_a_document_that_breaks_a_rule_of_quality_stays_without_its_text(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("buy now " * 100)
    options = PrepareOptions(cleaning=Cleaning(quality=(("repeated_two_words", 0.2),)))
    (found,) = prepare([SourceFile(str(path), 800, 1)], options)
    assert isinstance(found, Document)
    assert (found.passages, found.text_bytes, found.findings.filtered) == ((), 0, "repeated_two_words")
    assert found.findings.reason.startswith("expected at most 0.2")


def test_each_option_that_changes_a_document_is_part_of_the_identity() -> None:
    options = [
        Cleaning(),
        Cleaning(checks=Checks(min_text=1)),
        Cleaning(quality=(("min_words", 50.0),)),
        Cleaning(quality=(("min_words", 51.0),)),
        Cleaning(mask=("email",)),
        Cleaning(mask=("email", "ip")),
        Cleaning(language=False),
    ]
    assert len({each.identity for each in options}) == len(options)
    assert Cleaning().identity == ""
    assert Cleaning(mask=("ip", "email")).identity == Cleaning(mask=("email", "ip")).identity
