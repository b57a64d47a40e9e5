"""Who wrote a text and when, by the conventions of each markup."""

from __future__ import annotations

import pytest

from tenire.documents.authorship import authorship, iso_date
from tenire.documents.formats import Kind
from tenire.documents.readers import read
from tenire.documents.readers.reading import Raw
from tenire.documents.recognition import Format


@pytest.mark.parametrize(
    ("page", "author", "date"),
    [
        (
            '<meta name="author" content="Ada &amp;\n Ben"><meta name=date content=2024-05-17>',
            "Ada & Ben",
            "2024-05-17",
        ),
        (
            "<META CONTENT='2024-05-17T10:00:00Z' PROPERTY='article:published_time'>"
            "<meta property='article:modified_time' content='2025-01-01'>",
            "",
            "2024-05-17T10:00:00Z",
        ),
        ('<meta name="date" content="last week"><meta name="dcterms.modified" content="2023-01">', "", "2023-01"),
        ('<meta name="author"><meta charset="utf-8"><meta name="author" content="Second">', "Second", ""),
        ("<p>author: nobody</p>", "", ""),
    ],
)
def test_a_page_says_it_in_its_head(page: str, author: str, date: str) -> None:
    assert authorship(page, Kind.HTML) == (author, date)


@pytest.mark.parametrize(
    ("text", "author", "date"),
    [
        ('---\ntitle: x\nauthor: "Ann"\ndate: 2024/5/7\n---\n# x', "Ann", "2024-05-07"),
        (
            "---\r\nauthors:\r\n  - name: Ann\r\n  - Ben\r\ndate: 2024-05-17 10:00\r\n---\r\n",
            "Ann, Ben",
            "2024-05-17T10:00",
        ),
        ('---\nauthors: ["Ann", "Ben"]\n---\n', "Ann, Ben", ""),
        ("# x\n\nauthor: Ann\n", "", ""),
    ],
)
def test_markdown_says_it_in_its_front_matter(text: str, author: str, date: str) -> None:
    assert authorship(text, Kind.MARKDOWN) == (author, date)


def test_restructured_text_says_it_in_fields_and_other_texts_say_nothing() -> None:
    text = "Title\n=====\n\n:Author: Guido\n:Date: 2001-03\n"
    assert authorship(text, Kind.RST) == ("Guido", "2001-03")
    assert authorship(text, Kind.TEXT) == ("", "")


@pytest.mark.parametrize(
    ("written", "date"),
    [
        ("2024", "2024"),
        ("2024-05-17 10:30:00+02:00", "2024-05-17T10:30:00+02:00"),
        ("0000-01-01T00:00:00Z", ""),
        ("17 May", ""),
        ("", ""),
    ],
)
def test_a_date_that_cannot_be_compared_is_left_out(written: str, date: str) -> None:
    assert iso_date(written) == date


@pytest.mark.parametrize(
    "text",
    [
        "<meta " * 20_000,
        '<meta name="' + "a" * 90_000,
        "<meta " + "name=a " * 20_000 + ">",
        "---\n" + "author:\n" * 9000,
    ],
)
def test_nothing_that_is_made_to_be_slow_is(text: str) -> None:
    for kind in Kind:
        assert authorship(text, kind)[1] == ""


def test_documents_carry_it() -> None:
    page = b'<head><meta name="author" content="Ada"><meta name="date" content="2024"></head><body>words</body>'
    about = read(Format.PLAIN, Raw("a.html", "/a.html", page)).about
    assert (about.kind, about.author, about.date) == ("html", "Ada", "2024")
