"""Passages: exact places, nothing lost, nothing too long, whatever the text."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenire.documents.chunking import Cutting, cut
from tenire.documents.formats import Kind

if TYPE_CHECKING:
    from tenire.protocols import Passage

PROSE = "The quick brown fox é jumps over the lazy dog 😀. It was a sunny day, and nothing else happened.\n\n"


def judge(text: str, passages: tuple[Passage, ...], limit: int) -> None:
    """Check the promises of ``cut``."""
    place = 0
    for ordinal, passage in enumerate(passages):
        assert passage.ordinal == ordinal
        assert text[passage.start : passage.end] == passage.text
        assert 0 < len(passage.text) <= limit
        assert passage.text == passage.text.strip()
        assert text[place : passage.start].strip() == ""
        place = passage.end
    assert text[place:].strip() == ""


_PIECES = st.sampled_from(
    [
        *("word ", "longer-word ", "\n", "\n\n", "    ", "\t", "# Head\n", "- item\n", "```\n", "| a | b |\n", "> q\n"),
        *("é", "😀", "e\u0301", "*", "[", "](x)", "日本語", "。", "x" * 70, ".", "\u200d", "---\n", "<b>", "&amp;"),
        *("\u3000", "\x1c", "1. "),
    ]
)


@pytest.mark.parametrize("kind", [Kind.TEXT, Kind.MARKDOWN])
@given(pieces=st.lists(_PIECES, max_size=120), limit=st.sampled_from([20, 100, 1000]))
def test_nothing_is_lost_and_every_place_is_exact(kind: Kind, pieces: list[str], limit: int) -> None:
    text = "".join(pieces)
    judge(text, cut(text, kind=kind, cutting=Cutting(limit)), limit)


@pytest.mark.parametrize("kind", [Kind.TEXT, Kind.MARKDOWN])
@given(pieces=st.lists(_PIECES, min_size=10, max_size=60))
def test_windows_leave_no_seams(kind: Kind, pieces: list[str]) -> None:
    text = "".join(pieces) * 200
    passages = cut(text, kind=kind, cutting=Cutting(100))
    judge(text, passages, 100)


@pytest.mark.parametrize("kind", [Kind.TEXT, Kind.MARKDOWN])
def test_a_text_of_many_windows_is_cut_as_if_it_were_seen_whole(kind: Kind) -> None:
    text = (PROSE * 2000).strip()
    passages = cut(text, kind=kind, cutting=Cutting(1000))
    judge(text, passages, 1000)
    lengths = [len(passage.text) for passage in passages]
    # A seam would leave one short passage a window, about every 20th.
    assert min(lengths[:-1]) > 800


def test_boundaries_are_paragraphs_before_sentences_before_words() -> None:
    first, second = "A first paragraph. " * 6, "A second one. " * 6
    passages = cut(f"{first}\n\n{second}", kind=Kind.TEXT, cutting=Cutting(150))
    assert [passage.text for passage in passages] == [first.strip(), second.strip()]


def test_markdown_is_cut_at_its_headings() -> None:
    text = "# One\n\n" + "word " * 30 + "\n\n# Two\n\n" + "word " * 30
    passages = cut(text, kind=Kind.MARKDOWN, cutting=Cutting(200))
    assert [passage.text.split("\n")[0] for passage in passages] == ["# One", "# Two"]


@pytest.mark.parametrize("text", ["", " ", "\n\n\t"])
def test_a_blank_text_has_no_passages(text: str) -> None:
    assert cut(text, kind=Kind.TEXT, cutting=Cutting(1000)) == ()


def test_the_same_text_is_always_cut_alike() -> None:
    text = PROSE * 300
    assert cut(text, kind=Kind.TEXT, cutting=Cutting(700)) == cut(text, kind=Kind.TEXT, cutting=Cutting(700))


@pytest.mark.parametrize("kind", [Kind.TEXT, Kind.MARKDOWN])
@pytest.mark.parametrize("unit", ["x", "word ", "\n", " ", "> ", "[", "*a_ ", "e\u0301", "😀"])
def test_the_cost_grows_with_the_length_and_not_with_its_square(kind: Kind, unit: str) -> None:
    def seconds(size: int) -> float:
        text = unit * (size // len(unit)) + "end"
        begun = time.process_time()
        judge(text, cut(text, kind=kind, cutting=Cutting(1000)), 1000)
        return time.process_time() - begun

    seconds(1000)
    small = min(seconds(50_000) for _ in range(3))
    # Eight times the text: linear is 8, quadratic 64. Once is enough: a busy machine only takes longer.
    assert any(seconds(400_000) < 24 * small + 0.05 for _ in range(3))
