from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tenire.app.context import Context, joined
from tenire.protocols import Passage

TEXT = "One two three. Four five six.\nSeven eight nine.\n\nTen eleven twelve."


def passages(text: str, *places: tuple[int, int]) -> list[Passage]:
    return [Passage(ordinal, start, end, text[start:end]) for ordinal, (start, end) in enumerate(places, start=4)]


def test_blank_space_between_passages_is_a_line_or_a_paragraph() -> None:
    found = joined(passages(TEXT, (0, 29), (30, 47), (49, 67)), 5)
    assert found == Context(TEXT, 30, 47, first=4, last=6)


def test_what_two_passages_share_is_there_once() -> None:
    found = joined(passages(TEXT, (0, 20), (15, 29)), 5)
    assert found is not None
    assert found.text == TEXT[:29]
    assert found.text[found.start : found.end] == TEXT[15:29]


def test_a_passage_that_left_has_no_context() -> None:
    assert joined([], 3) is None
    assert joined(passages(TEXT, (0, 4)), 3) is None


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 30)), min_size=1, max_size=6), st.data())
def test_the_passage_stands_where_it_is_said_to(places: list[tuple[int, int]], data: st.DataObject) -> None:
    text = TEXT * 2
    starts = sorted({start for start, _ in places})
    ends = sorted(start + length for start, (_, length) in zip(starts, places, strict=False))
    found = passages(text, *zip(starts, ends, strict=True))
    chosen = data.draw(st.sampled_from(found))
    context = joined(found, chosen.ordinal)
    assert context is not None
    assert context.text[context.start : context.end] == chosen.text
