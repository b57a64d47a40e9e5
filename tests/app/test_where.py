from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenire.app.where import Test as Comparison
from tenire.app.where_parser import parse_where
from tenire.errors import ConfigError
from tenire.protocols import About
from tenire.storage.abouts import KnownDocument

ABOUT = About(
    kind="markdown",
    language="en",
    author="Ann B.",
    date="2024-05-17",
    pages=12,
    extra=(("Shelf", "9"), ("due", "2025")),
)
KNOWN = KnownDocument("d", "/home/u/.x/docs/sub/a.md", "On Zebras", ABOUT)
MEMBER = KnownDocument("m", "/home/u/all.zip!/in/b.txt", "", About())


@pytest.mark.parametrize(
    "text",
    [
        "kind = markdown",
        "KIND == MarkDown",
        "format=markdown and lang=en",
        "kind != pdf",
        "not kind = pdf",
        "kind in (pdf, markdown)",
        "kind not in (pdf, html)",
        "kind = pdf or language = en and pages > 9",
        "(kind = pdf or language = en) and not (pages < 9)",
        "date = 2024",
        "date = 2024-05 and date >= 2024-05-17 and date <= 2024",
        "date < 2025 and date > 2023-12-31",
        "pages = 12 and pages >= 12 and pages <= 12",
        "extra.shelf = 9 and extra.shelf < 10",
        "extra.due > 2024-12-31",
        'extra.none = ""',
        'title ~ "*zebras"',
        "title ~ on?zebra[st]",
        "author !~ bob*",
        'author = "ann b."',
        r"""author ~ 'ann \b\.'""",
        "source = a.md",
        "source = docs/sub/a.md",
        "source = /home/u/.x/docs/sub/a.md",
        "path ~ docs",
        "source~docs/**/*.md",
        "source ~ **/sub/*",
        'source ~ "/home/**"',
        "source ~ /home/u/",
        "source ~ d?cs/s[a-z]b",
        "source ~ d[!x]cs/**",
        "source !~ docs/*.md",
        "source !~ ocs/**",
        "source !~ /docs",
        "source ~ *.md and source ~ a* and source ~ *a*m*d*",
    ],
)
def test_a_true_condition_holds(text: str) -> None:
    assert parse_where(text).holds(KNOWN)
    assert not parse_where(f"not ({text})").holds(KNOWN)


def test_what_is_not_known_equals_nothing_and_has_no_order() -> None:
    for text in ("date < 2024", "date >= 0001", "pages > 0", "pages = 0", "kind = pdf", "extra.x > 1", "author ~ ?*"):
        assert not parse_where(text).holds(MEMBER), text
    assert parse_where('date = "" and kind = "" and extra.x = "" and date != 2024').holds(MEMBER)


def test_a_member_lies_below_its_container() -> None:
    for text in ("source ~ all.zip", "source ~ u/*.zip", "source = b.txt", "source ~ all.zip!/in", "source ~ *.txt"):
        assert parse_where(text).holds(MEMBER), text


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("knd = pdf", "knows no column 'knd'"),
        ("extra = 3", "knows no column 'extra'"),
        ("extra. = 3", "knows no column"),
        ("kind < pdf", "values of kind have no order"),
        ("source >= a", "values of source have no order"),
        ("kind", "the end where one of"),
        ("kind pdf", "'pdf' at character 6"),
        ("kind =", "the end where a value"),
        ("= pdf", "'=' at character 1 where a column"),
        ('kind = "pdf', "a quote that is not closed at character 8"),
        ("kind = pdf)", "')' at character 11"),
        ("(kind = pdf", "the end where ) is expected"),
        ("kind in pdf", "where ( after in"),
        ("kind in (pdf", "the end where )"),
        ("kind not pdf", "where in is expected"),
        ("date > monday", "the date 'monday'"),
        ("date > 2024-1", "the date '2024-1'"),
        ("pages = many", "the number of pages 'many'"),
        ("source ~ [z-a]", "the pattern"),
        ("source ~ **/**/**/**/**/a", 'more than 4 "**"'),
        ("kind ! = pdf", "'!' at character 6"),
        ("", "the end where a column"),
        ("(" * 60 + "kind=a" + ")" * 60, "more than 50 deep"),
        ("not " * 60 + "kind=a", "more than 50 deep"),
        ("kind = " + "a" * 10_000, "may have 10,000 characters"),
        ("kind = pdf; DROP TABLE sources", "where and, or, or the end"),
    ],
)
def test_what_is_no_condition_is_refused_with_its_place(text: str, told: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(told)) as caught:
        parse_where(text)
    assert caught.value.key == "where"
    assert caught.value.hint


def test_the_nearest_column_is_named() -> None:
    for typed, near in (("langauge", "language"), ("titel", "title"), ("extras.x", "extra.NAME"), ("srouce", "source")):
        with pytest.raises(ConfigError) as caught:
            parse_where(f"{typed} = x")
        assert caught.value.hint == f"did you mean {near!r}?"


def test_a_long_chain_is_no_deep_one() -> None:
    assert parse_where(" or ".join(["kind=pdf"] * 800 + ["kind=markdown"])).holds(KNOWN)


def test_a_pattern_of_many_stars_is_quick() -> None:
    long = KnownDocument("d", "/" + "a" * 3000, "a" * 3000, About())
    assert not parse_where(f"source ~ {'a*' * 40}b or title ~ {'a*' * 40}b").holds(long)


@given(st.text(max_size=40))
def test_any_text_is_a_condition_or_is_refused(text: str) -> None:
    try:
        condition = parse_where(text)
    except ConfigError:
        return
    assert condition.holds(KNOWN) in (True, False)


@given(st.text())
def test_any_value_can_be_written_in_quotes(value: str) -> None:
    quoted = value.replace("\\", "\\\\").replace('"', '\\"')
    assert parse_where(f'title = "{quoted}"') == Comparison("title", "=", value)
