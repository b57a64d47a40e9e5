"""Signatures of texts: equal for the same words in any order, near for an edited text, far for another one."""

from __future__ import annotations

import random
import sys

import pytest

from tenire.core.near_duplicates import bands, near, similarity
from tenire.documents.cleaning import Cleaning, clean
from tenire.documents.draft import Draft
from tenire.documents.near_duplicates import signature, signature_version
from tenire.errors import MissingExtraError

VOCABULARY = [f"word{number}" for number in range(2000)]


def essay(seed: int, words: int = 400) -> list[str]:
    # As in a language, a few words are frequent and most are rare.
    return random.Random(seed).choices(VOCABULARY, [1 / (rank + 3) for rank in range(2000)], k=words)


def test_layout_case_and_the_order_of_paragraphs_make_no_difference() -> None:
    words = essay(1)
    shuffled = [word.upper() for word in words]
    random.Random(2).shuffle(shuffled)
    assert signature(" ".join(words)) == signature(",\n\n".join(shuffled))


def test_how_often_a_word_stands_there_makes_a_difference() -> None:
    words = essay(1)
    assert similarity(signature(" ".join(words)), signature(" ".join(words * 2))) < 0.8


@pytest.mark.parametrize("share", [0.01, 0.05, 0.1, 0.2, 0.4])
def test_the_similarity_is_about_the_share_of_words_that_are_left(share: float) -> None:
    errors = []
    for seed in range(30):
        words = essay(seed)
        edited = list(words)
        for place in random.Random(seed).sample(range(len(words)), round(share * len(words))):
            edited[place] = f"other{seed}x{place}"
        found = similarity(signature(" ".join(words)), signature(" ".join(edited)))
        errors.append(found - (1 - share))
    assert abs(sum(errors) / len(errors)) < 0.02
    assert max(map(abs, errors)) < 0.08


def test_texts_with_nine_of_ten_words_in_common_share_a_band_and_others_none() -> None:
    shared = other = 0
    for seed in range(100):
        words = essay(seed)
        edited = [f"x{place}" if place % 10 == seed % 10 else word for place, word in enumerate(words)]
        of_words = set(bands(signature(" ".join(words))))
        shared += bool(of_words & set(bands(signature(" ".join(edited)))))
        other += bool(of_words & set(bands(signature(" ".join(essay(seed + 1000))))))
    assert shared >= 98
    assert other <= 2


@pytest.mark.parametrize("text", ["", "one two three", " ".join(essay(1, 39)), "... !!! ???"])
def test_a_short_text_has_no_signature(text: str) -> None:
    assert signature(text) == b""


def test_different_texts_are_not_near() -> None:
    signatures = [signature(" ".join(essay(seed))) for seed in range(40)]
    assert not any(near(one, other, 0.9) for place, one in enumerate(signatures) for other in signatures[:place])


def _vocabulary(letters: str, sizes: list[int]) -> list[str]:
    chance = random.Random(3)
    usual = [1 / (rank + 5) for rank in range(len(letters))]
    return ["".join(chance.choices(letters, usual, k=chance.choice(sizes))) for _ in range(2000)]


UNSPACED = {
    "Chinese": _vocabulary("".join(map(chr, range(0x4E00, 0x5200))), [1, 2, 2, 2, 3]),
    "Japanese": _vocabulary("".join(map(chr, [*range(0x3042, 0x3094), *range(0x4E00, 0x4F00)])), [1, 2, 3, 4]),
    "Thai": _vocabulary("".join(map(chr, [*range(0x0E01, 0x0E3A), *range(0x0E40, 0x0E4A)])), [2, 3, 4, 6, 8]),
    "Khmer": _vocabulary("".join(map(chr, range(0x1780, 0x17D3))), [2, 3, 4, 6, 8]),
}


@pytest.mark.parametrize("language", UNSPACED)
def test_texts_without_blanks_are_near_when_a_few_words_differ_and_far_when_others_are_written(language: str) -> None:
    vocabulary = UNSPACED[language]
    weights = [1 / (rank + 3) for rank in range(2000)]
    texts = []
    for seed in range(10):
        words = random.Random(seed).choices(vocabulary, weights, k=400)
        edited = list(words)
        for place in random.Random(seed).sample(range(400), 12):
            edited[place] = random.Random(place).choice(vocabulary)
        texts.append("".join(words))
        assert near(signature(texts[-1]), signature("".join(edited)), 0.9)
    assert not any(
        near(signature(one), signature(other), 0.6) for place, one in enumerate(texts) for other in texts[:place]
    )


def test_words_among_such_letters_are_words_and_short_texts_have_no_signature() -> None:
    text = "\u5b89\u88c5" * 5
    assert signature(text * 2 + " python") == b"", "19 pairs, and a word"
    assert signature(text * 4 + " python") == signature(f"Python, {text * 4}.") != b""


def test_a_signature_is_only_made_where_it_is_asked_for() -> None:
    draft = Draft("/a", 1, "", " ".join(essay(1)))
    assert clean(draft, Cleaning()).findings.signature == b""
    assert clean(draft, Cleaning(near=0.9)).findings.signature == signature(draft.text)
    filtered = clean(draft, Cleaning(near=0.9, quality=(("min_words", 1000.0),)))
    assert filtered.findings.signature == b""
    assert len({Cleaning().identity, Cleaning(near=0.9).identity, Cleaning(near=0.8).identity}) == 3
    assert f"v{signature_version()}" in Cleaning(near=0.9).identity


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rensa", None)
    with pytest.raises(MissingExtraError, match="rensa"):
        signature(" ".join(essay(1)))
