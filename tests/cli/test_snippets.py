from __future__ import annotations

import pytest

from tenire.app.highlights import highlights, query_pattern
from tenire.cli.snippets import excerpt


def test_a_short_passage_is_shown_whole_on_one_line() -> None:
    assert excerpt("one\n\n  two\tthree", None) == "one two three"


def test_the_excerpt_is_the_part_with_the_most_different_words_of_the_query() -> None:
    noise = "filler words that say nothing at all " * 30
    text = f"{noise} vacuum vacuum vacuum {noise} the vacuum reclaims the storage of dead rows {noise}"
    shown = excerpt(text, query_pattern("vacuum dead rows storage"))
    assert "vacuum reclaims the storage of dead rows" in shown
    assert shown.startswith("… ")
    assert shown.endswith(" …")


@pytest.mark.parametrize("length", [50, 320, 1000])
def test_the_excerpt_is_never_longer_than_asked(length: int) -> None:
    text = "word " * 400 + "needle " + "word " * 400
    for passage in (text, "x" * 5000, "needle" + "x" * 5000):
        shown = excerpt(passage, query_pattern("needle"), length=length)
        assert len(shown) <= length + 4
        assert "needle" in shown or "needle" not in passage


@pytest.mark.parametrize(
    ("query", "text", "marked"),
    [
        ("cancel a task", "cancelled tasks, a cancel", ["cancelled", "tasks", "cancel"]),
        ("is it", "it is", ["it", "is"]),
        ("map", "map mapping", ["map"]),
        ("C++ (fast)", "c++ is fast", ["fast"]),
        ("ÜBER", "über", ["über"]),
    ],
)
def test_words_of_the_query_are_marked_with_their_inflections(query: str, text: str, marked: list[str]) -> None:
    pattern = query_pattern(query)
    assert pattern is not None
    assert [match[0] for match in pattern.finditer(text)] == marked


def test_a_query_without_words_marks_nothing() -> None:
    assert query_pattern("?!") is None


def test_what_is_written_without_blanks_is_marked_too() -> None:
    text = "斑马身上的条纹各不相同 and zebras"
    marked = [text[start:stop] for start, stop in highlights(text, "斑马的条纹 zebra")]
    assert marked == ["斑马", "的条", "zebras"] or marked == ["斑马", "的条", "纹", "zebras"]
