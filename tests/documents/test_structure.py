"""Marks in a text, and the structure that they leave behind."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenire.documents.cleansing import cleanse
from tenire.documents.structure import (
    CODE,
    CODE_END,
    TABLE,
    TABLE_END,
    Heading,
    LineMap,
    heading_mark,
    page_mark,
    plain,
    unmark,
    without_marks,
)


def test_a_text_without_marks_stays_as_it_is() -> None:
    text, structure = unmark("a\n\nb", LineMap((1,), (4,)))
    assert text == "a\n\nb"
    assert structure.headings == structure.pages == structure.blocks == ()
    assert structure.lines is not None
    assert [structure.lines.first(line) for line in (0, 1, 2)] == [1, 6, 7]


def test_marks_leave_and_their_places_stay() -> None:
    text, structure = unmark(
        f"{page_mark(1)}{heading_mark(1)}Top\n\nwords {CODE}x = 1\n\ny = 2{CODE_END}\n\n"
        f"{page_mark(2)}\n\n{heading_mark(2)}Low\n{TABLE}\na\tb\n{TABLE_END}\n\nend"
    )
    assert text == "Top\n\nwords x = 1\n\ny = 2\n\nLow\na\tb\n\nend"
    assert structure.headings == (Heading(0, 1, "Top", 3), Heading(low := text.index("Low"), 2, "Low", low + 3))
    assert structure.pages == ((0, 1), (text.index("Low"), 2))
    assert [text[start:end] for start, end in structure.blocks] == ["x = 1\n\ny = 2", "a\tb"]


def test_a_mark_on_a_line_of_its_own_leaves_no_line() -> None:
    assert unmark(f"a\n\n{TABLE}\n\nb\n{TABLE_END}\n\n\nc")[0] == "a\n\nb\n\n\nc"
    assert unmark(f"{CODE}\n\na\n\n{CODE_END}")[0] == "a"
    assert unmark(f"a {TABLE}\n\nb")[0] == "a\n\nb"


@pytest.mark.parametrize(
    "text",
    [f"{heading_mark(1)}\n\nno title", heading_mark(3), f"a{TABLE_END}b", f"{CODE}a", f"{CODE}{CODE_END}", "\ufdd0z"],
)
def test_marks_that_mean_nothing_are_passed_over(text: str) -> None:
    found, structure = unmark(text)
    assert structure.headings == structure.blocks == structure.pages == ()
    assert found.strip("z") in ("no title", "", "ab", "a")


def test_of_frames_in_frames_the_innermost_count() -> None:
    text, structure = unmark(f"{TABLE}a {TABLE}b{TABLE_END} c {CODE}d{CODE_END} e{TABLE_END}")
    assert [text[start:end] for start, end in structure.blocks] == ["b", "d"]


def test_a_file_cannot_bring_marks_of_its_own() -> None:
    assert without_marks(f"{heading_mark(1)}a{CODE}b") == "1acb"
    assert plain(f"{heading_mark(1)}a{CODE}b") == "ab"


_MARKS = [CODE, CODE_END, TABLE, TABLE_END, heading_mark(2), page_mark(3)]


@given(st.lists(st.sampled_from(["\n", "\n\n", "word ", "  two", *_MARKS]), max_size=40))
def test_nothing_but_marks_and_empty_lines_is_lost(pieces: list[str]) -> None:
    marked = cleanse("".join(pieces))
    text, structure = unmark(marked)
    assert text.split() == plain(marked).split()
    assert "\n\n\n\n" not in text
    assert text == text.strip("\n")
    for heading in structure.headings:
        assert text.startswith(heading.title, heading.start)
    end = 0
    for start, stop in structure.blocks:
        assert end <= start < stop <= len(text)
        assert text[start] not in " \n"
        end = stop
