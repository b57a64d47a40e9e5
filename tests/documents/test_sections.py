"""Passages by structure: sections, code, tables and pages stay whole where they fit, and know where they stand."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenire.documents.chunking import Cutting, cut
from tenire.documents.cleansing import cleanse, cleanse_lines
from tenire.documents.formats import Kind
from tenire.documents.headings import with_markup
from tenire.documents.structure import (
    CODE,
    CODE_END,
    TABLE,
    TABLE_END,
    Structure,
    heading_mark,
    page_mark,
    unmark,
    with_pages,
)
from tenire.protocols import Passage, Place

SENTENCE = "The quick brown fox jumps over the lazy dog and sleeps. "


def cut_marked(marked: str, most: int = 200, kind: Kind = Kind.HTML) -> tuple[str, tuple[Passage, ...]]:
    text, structure = unmark(cleanse(marked))
    return text, cut(text, structure, kind=kind, cutting=Cutting(most))


def section(level: int, title: str, sentences: int) -> str:
    return f"{heading_mark(level)}{title}\n\n{SENTENCE * sentences}\n\n"


def test_sections_are_passages_of_their_own() -> None:
    _, passages = cut_marked(section(1, "One", 3) + section(2, "Two", 2) + section(1, "Three", 3))
    assert [passage.text.partition("\n")[0] for passage in passages] == ["One", "Two", "Three"]
    assert [passage.place.headings for passage in passages] == [("One",), ("One", "Two"), ("Three",)]
    assert [passage.place.section for passage in passages] == [0, 1, 2]


def test_two_sections_of_some_length_stay_apart_even_if_they_fit_together() -> None:
    _, passages = cut_marked(section(1, "One", 2) + section(1, "Two", 2), 300)
    assert [passage.place.headings for passage in passages] == [("One",), ("Two",)]


def test_a_section_of_a_line_goes_on_into_the_next_one() -> None:
    _, passages = cut_marked(f"{heading_mark(1)}One\n\nshort\n\n" + section(1, "Two", 2))
    assert len(passages) == 1
    assert passages[0].place.headings == ("One",)


def test_a_heading_right_below_another_one_stays_with_it() -> None:
    _, passages = cut_marked(section(1, "A", 3) + f"{heading_mark(1)}B\n\n" + section(2, "C", 3))
    assert [passage.text[:4] for passage in passages] == ["A\n\nT", "B\n\nC"]
    assert [passage.place.headings for passage in passages] == [("A",), ("B", "C")]


def test_the_parts_of_a_long_section_share_its_context() -> None:
    _, passages = cut_marked(section(1, "One", 2) + section(2, "Long", 10) + section(1, "Last", 3))
    assert len(passages) > 4
    assert {passage.place.section for passage in passages[1:-1]} == {1}
    assert {passage.place.headings for passage in passages[1:-1]} == {("One", "Long")}
    assert passages[-1].place == Place(("Last",), section=len(passages) - 1)


@pytest.mark.parametrize(("begin", "end"), [(CODE, CODE_END), (TABLE, TABLE_END)])
def test_code_and_tables_that_fit_stay_whole(begin: str, end: str) -> None:
    block = "first = 1\n\n\nsecond = 2\n\n" + "third = 3\n" * 12
    _, passages = cut_marked(f"{SENTENCE * 3}\n\n{begin}{block}{end}\n\n{SENTENCE * 3}")
    assert any(block.strip() in passage.text for passage in passages)
    _, apart = cut_marked(f"{SENTENCE * 3}\n\n{block}\n\n{SENTENCE * 3}")
    assert not any(block.strip() in passage.text for passage in apart)


def test_a_heading_is_not_left_alone_by_the_code_below_it() -> None:
    code = "value = 1\n" * 19
    _, passages = cut_marked(f"{section(1, 'One', 3)}{heading_mark(1)}The heading\n\n{CODE}{code}{CODE_END}")
    assert "The heading" not in {passage.text for passage in passages}


@pytest.mark.parametrize(("opening", "closing"), [("```python\n", "```"), ("A line.\n\n", "")])
@pytest.mark.parametrize("words", [20, 21, 22, 23, 24, 25, 26, 27])
def test_no_line_is_left_over_where_a_section_is_cut(opening: str, closing: str, words: int) -> None:
    rows = "".join(f"| row {number} | {number * number} |\n" for number in range(30))
    code = "".join(f"def f{number}(x):\n    return x\n\n" for number in range(30))
    text = f"## Install\n\n{'many words ' * words}\n\n{opening}{code}{closing}\n\n## Table\n\n|a|b|\n|-|-|\n{rows}"
    for tokens in (None, 150):
        cutting = Cutting(200, tokens, lambda texts: [len(text) for text in texts], counted_from=0.0)
        passages = cut(text, kind=Kind.MARKDOWN, cutting=cutting)
        assert min(len(passage.text) for passage in passages) > 20
        assert max(len(passage.text) for passage in passages) <= (tokens or 200)
        assert "".join("".join(passage.text.split()) for passage in passages) == "".join(text.split())


def test_a_long_heading_does_not_leave_single_letters_behind() -> None:
    text = f"# {'Long heading ' * 5}\n\n{SENTENCE * 5}"
    passages = cut(text, kind=Kind.MARKDOWN, cutting=Cutting(70))
    assert min(len(passage.text) for passage in passages) > 20


def test_a_line_left_over_does_not_cut_the_code_beside_it() -> None:
    code = "value = 1\n" * 18
    _, passages = cut_marked(f"{SENTENCE * 3}\n\n{CODE}{code}{CODE_END}\n\nThe end.")
    assert any(code.strip() in passage.text for passage in passages)


def test_code_that_does_not_fit_is_cut_like_anything_else() -> None:
    text, passages = cut_marked(f"{SENTENCE}\n\n{CODE}{'value = 1' * 100}{CODE_END}")
    assert "".join(passage.text for passage in passages).replace(" ", "") == "".join(text.split())


def test_pages_that_fit_are_passages_and_numbered() -> None:
    slides = "".join(f"{page_mark(number)}Slide {number}. {SENTENCE * 2}\n\n" for number in range(1, 5))
    _, passages = cut_marked(slides)
    assert [passage.place.page for passage in passages] == [1, 2, 3, 4]
    text, structure = unmark(*cleanse_lines(with_pages(f"one\n\f\n\n{SENTENCE}\nlast\fthree")))
    assert [text[start:].split()[0] for start, _ in structure.pages] == ["one", "The", "three"]


def test_passages_know_their_lines_in_the_file() -> None:
    text, structure = unmark(*cleanse_lines("\n\nfirst\n\n\n\n\n\n" + "word " * 10 + "\nlast"))
    passages = cut(text, structure, kind=Kind.TEXT, cutting=Cutting(50))
    assert [(passage.text.split()[0], passage.place.lines) for passage in passages] == [
        ("first", (3, 3)),
        ("word", (9, 9)),
        ("last", (10, 10)),
    ]


MARKDOWN = f"""---
title: not a heading
---
# Top *one*

{SENTENCE * 2}

Under it
--------

```python
# no heading

x = 1
```

- item
--------

| a | b |
|---|---|
| 1 | 2 |

### Deep ###

{SENTENCE * 2}
"""


def test_markdown_tells_its_structure_itself() -> None:
    passages = cut(cleanse(MARKDOWN), kind=Kind.MARKDOWN, cutting=Cutting(130))
    by_first = {passage.text.partition("\n")[0]: passage for passage in passages}
    assert by_first["### Deep ###"].place.headings == ("Top one", "Under it", "Deep")
    assert all(
        "no heading" not in passage.place.headings and "- item" not in passage.place.headings for passage in passages
    )
    assert any("```python\n# no heading\n\nx = 1\n```" in passage.text for passage in passages)
    assert any("| a | b |\n|---|---|\n| 1 | 2 |" in passage.text for passage in passages)


RST = f"""=========
The title
=========

{SENTENCE * 2}

First ``part``
==============

Code::

    a = 1

    b = 2

after

Second :func:`part <x>`
-----------------------

{SENTENCE * 2}
"""


def test_restructuredtext_tells_its_structure_itself() -> None:
    passages = cut(cleanse(RST), kind=Kind.RST, cutting=Cutting(130))
    assert passages[0].place.headings == ("The title",)
    assert passages[-1].place.headings == ("The title", "First part", "Second part")
    nested = "Top\n===\n\nLow\n---\n\n" + SENTENCE * 3
    assert len(cut(cleanse(nested), kind=Kind.RST, cutting=Cutting(200))) == 1
    assert any("Code::\n\n    a = 1\n\n    b = 2" in passage.text for passage in passages)


_PIECES = [SENTENCE, "word ", "\n", "\n\n", "x" * 90, "日本語", heading_mark(1), heading_mark(3), page_mark(2)]
_PIECES += [CODE, CODE_END, TABLE, TABLE_END, "# Head\n", "Head\n====\n", "```\n", "::\n\n    ", "| a | b |\n"]


@given(st.lists(st.sampled_from(_PIECES), max_size=60), st.sampled_from(list(Kind)), st.sampled_from([20, 100, 700]))
def test_nothing_is_lost_whatever_the_structure(pieces: list[str], kind: Kind, most: int) -> None:
    text, passages = cut_marked("".join(pieces), most, kind)
    place = 0
    for ordinal, passage in enumerate(passages):
        assert passage.ordinal == ordinal
        assert passage.text == text[passage.start : passage.end] == passage.text.strip()
        assert 0 < len(passage.text) <= most
        assert text[place : passage.start].strip() == ""
        assert passage.place.section <= ordinal
        place = passage.end
    assert text[place:].strip() == ""


@given(st.lists(st.sampled_from(_PIECES), max_size=40), st.sampled_from([0.1, 0.25, 0.5]))
def test_overlapping_passages_share_no_more_than_they_may(pieces: list[str], overlap: float) -> None:
    text, structure = unmark(cleanse("".join(pieces)))
    passages = cut(text, structure, kind=Kind.TEXT, cutting=Cutting(200, overlap=overlap))
    assert text[: passages[0].start if passages else None].strip() == ""
    for before, after in pairwise(passages):
        assert before.start <= after.start <= after.end
        assert text[before.end : max(before.end, after.start)].strip() == ""
        assert before.end - after.start <= 200 * overlap
        assert len(after.text) <= 200


def test_an_overlap_repeats_whole_sentences_of_its_own_section() -> None:
    text, structure = unmark(cleanse(section(1, "One", 12) + section(1, "Two", 12)))
    passages = cut(text, structure, kind=Kind.HTML, cutting=Cutting(250, overlap=0.3))
    shared = [text[after.start : before.end] for before, after in pairwise(passages)]
    assert SENTENCE.strip() in shared
    border = next(place for place, passage in enumerate(passages) if passage.text.startswith("Two"))
    assert shared[border - 1] == ""


def test_no_passage_has_more_tokens_than_its_embedder_reads() -> None:
    asked: list[int] = []

    def count(texts: list[str]) -> list[int]:
        asked.extend(map(len, texts))
        return [len(text) for text in texts]  # one token a character

    dense = "x=1;y[2]=3;" * 200
    text = f"{SENTENCE * 20}\n\n{dense}"
    plain = cut(text, kind=Kind.TEXT, cutting=Cutting(700))
    assert max(len(passage.text) for passage in plain) > 254
    passages = cut(text, kind=Kind.TEXT, cutting=Cutting(700, 254, count))
    assert all(len(passage.text) <= 254 for passage in passages if "=" in passage.text)
    assert asked
    assert "".join("".join(passage.text.split()) for passage in passages) == "".join(text.split())


def test_without_a_tokenizer_tokens_are_estimated() -> None:
    text = "漢字" * 2000
    passages = cut(text, kind=Kind.TEXT, cutting=Cutting(700, 100))
    assert 60 < max(len(passage.text) for passage in passages) <= 100


def test_what_cannot_be_cut_any_more_is_kept() -> None:
    passages = cut("a b c d", kind=Kind.TEXT, cutting=Cutting(700, 16, lambda texts: [99] * len(texts)))
    assert [passage.text for passage in passages] == ["a b c d"]


def test_the_recipe_says_how_texts_are_cut() -> None:
    cuttings = [Cutting(), Cutting(500), Cutting(tokens=254, counted_by="minilm"), Cutting(overlap=0.1)]
    assert len({cutting.identity for cutting in cuttings}) == len(cuttings)
    assert Cutting(tokens=100, counted_by="a").identity != Cutting(tokens=100, counted_by="b").identity


@pytest.mark.parametrize("unit", [f"{heading_mark(2)}x\n", f"{CODE}x{CODE_END}", f"{TABLE}", page_mark(1) + "a ", "\f"])
def test_many_marks_cost_no_more_than_their_number(unit: str) -> None:
    def seconds(times: int) -> float:
        begun = time.process_time()
        cut_marked(with_pages(unit * times), 700)
        return time.process_time() - begun

    seconds(100)
    small = min(seconds(2_000) for _ in range(3))
    assert min(seconds(16_000) for _ in range(3)) < 24 * small + 0.05


@pytest.mark.parametrize("kind", [Kind.MARKDOWN, Kind.RST])
@pytest.mark.parametrize(
    "line",
    [
        " ",
        "# " + "a " * 149,
        "#" * 6 + " x" + " " * 290 + "y\n",
        "=" * 50,
        "a::",
        "::\n\n ",
        "```\n",
        "|\n",
        "| ",
        "---\n",
        "[" * 60,
    ],
)
def test_markup_costs_no_more_than_its_length(kind: Kind, line: str) -> None:
    def seconds(size: int) -> float:
        text = cleanse(line * (size // len(line)) + "end")
        begun = time.process_time()
        with_markup(text, Structure(), kind)
        return time.process_time() - begun

    seconds(1000)
    small = min(seconds(40_000) for _ in range(3))
    assert min(seconds(320_000) for _ in range(3)) < 24 * small + 0.05
