"""What cleansing changes, and what it must not."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenire.documents.cleansing import cleanse, cleanse_lines


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("a\r\nb\rc\x0bd\x0ce\u2028f", "a\nb\nc\nd\ne\nf"),
        ("a  \nb\t\n", "a\nb"),
        ("a\n\n\n\n\n\nb", "a\n\n\nb"),
        ("a\n \n\t\n  \n\nb", "a\n\n\nb"),
        ("def f():\n    return 1\n\n\tx", "def f():\n    return 1\n\n\tx"),
        ("    indented first line", "    indented first line"),
        ("a\x00b\x07c\x1bd\x7f\x9f", "abcd"),
        ("soft\xadhyphen zero\u200bwidth \ufeffmark", "softhyphen zerowidth mark"),
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("non\xa0breaking", "non breaking"),
        ("e\u0301", "é"),
        ("family 👩\u200d👧 می\u200cخواهم", "family 👩\u200d👧 می\u200cخواهم"),
        ("", ""),
        (" \n\t\r\n ", ""),
    ],
)
def test_accidents_go_and_structure_stays(before: str, after: str) -> None:
    assert cleanse(before) == after


def test_mojibake_is_repaired_and_right_text_is_left_alone() -> None:
    right = "schön, das’s gut. Ère — «Âge» São Paulo à Ávila, ÂNGELO Đà Nẵng"
    assert cleanse(right) == right
    broken = "schön, das’s gut – Straße".encode().decode("cp1252")
    assert cleanse(f"fine line é\n{broken}\nfine line é") == "fine line é\nschön, das’s gut – Straße\nfine line é"


def test_mojibake_with_a_next_line_sign_in_it_is_repaired() -> None:
    assert cleanse("L'Ångström vient de Ånge".encode().decode("latin-1")) == "L'Ångström vient de Ånge"


def test_source_code_may_hold_mojibake_on_purpose() -> None:
    broken = 'assert fix("schÃ¶n") == "schön"'
    assert cleanse(broken, repair=False) == broken


@given(st.text())
def test_cleansing_twice_changes_nothing_more(text: str) -> None:
    once = cleanse(text, repair=False)
    assert cleanse(once, repair=False) == once


@given(st.text(st.characters(exclude_categories=["Cc", "Cf", "Cs", "Zl", "Zp", "Cn", "Co"])))
def test_no_visible_character_is_lost(text: str) -> None:
    wanted = "".join(unicodedata.normalize("NFC", text).split())
    assert "".join(cleanse(text, repair=False).split()) == wanted


def test_the_result_can_always_be_encoded() -> None:
    cleanse("lone \ud800 surrogate").encode()


@given(
    st.lists(st.sampled_from(["\n", "\n", "\n\n\n\n\n", "\r\n", "\r", "\f", "\u2028", "\x85", " ", "word ", "\x00"]))
)
def test_each_line_is_found_in_its_file(pieces: list[str]) -> None:
    text = "".join(f"w{number} " if piece == "word " else piece for number, piece in enumerate(pieces))
    cleansed, lines = cleanse_lines(text, repair=False)
    assert cleansed == cleanse(text, repair=False)
    in_file = {
        word: number
        for number, line in enumerate(re.split(r"\r\n|\r|\n", text), 1)
        for word in re.findall(r"w\d+", line)
    }
    found = {word: lines.first(number) for number, line in enumerate(cleansed.split("\n")) for word in line.split()}
    assert found == in_file
