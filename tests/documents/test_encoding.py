"""Bytes to text: every encoding that is found in the wild, and what is no text at all."""

from __future__ import annotations

import random
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenire.documents.encoding import decode
from tenire.errors import DocumentError

FRENCH = "Le café est situé à côté de l'église, où les élèves étudient l'été.\n"
GERMAN = "Über die Brücke gehen wir täglich; das Fräulein, größte Straße “quoted” – dash.\n"
POLISH = "Zażółć gęślą jaźń. Wszyscy ludzie rodzą się wolni i równi pod względem swej godności.\n"
RUSSIAN = "Это русский текст для проверки определения кодировки.\n"
GREEK = "Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι στην αξιοπρέπεια.\n"
JAPANESE = "日本語のテキストです。これは文字コードの判定を試すための文章です。カタカナ。\n"
CHINESE = "这是一个用于测试编码检测的中文文本。人人生而自由。\n"
KOREAN = "모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다.\n"


def read(data: bytes, *, declares: bool = False) -> str:
    return decode(data, source="f", declares=declares)


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"])))
def test_utf8_comes_back_as_it_is(text: str) -> None:
    text = text.removeprefix("\ufeff")
    assert read(text.encode()) == text
    assert read(b"\xef\xbb\xbf" + text.encode()) == text


@pytest.mark.parametrize("repeats", [1, 30])
@pytest.mark.parametrize(
    ("text", "codec"),
    [
        (FRENCH, "latin-1"),
        (GERMAN, "cp1252"),
        ("Très", "latin-1"),
        ("Grüße", "cp1252"),
        (POLISH, "cp1250"),
        (POLISH, "iso8859_2"),
        (RUSSIAN, "cp1251"),
        (RUSSIAN, "koi8_r"),
        (GREEK, "cp1253"),
        (JAPANESE, "cp932"),
        (JAPANESE, "euc_jp"),
        (JAPANESE, "iso2022_jp"),
        (CHINESE, "gb18030"),
        (CHINESE, "big5"),
        (KOREAN, "cp949"),
    ],
)
def test_old_encodings_are_recognised(text: str, codec: str, repeats: int) -> None:
    data = (text * repeats).encode(codec, "ignore")
    assert read(data) == data.decode(codec)


def test_an_old_encoding_is_recognised_where_its_first_strange_byte_is_far_in() -> None:
    data = b"plain words in a row\n" * 20_000 + FRENCH.encode("latin-1")
    assert read(data).endswith(FRENCH)


@pytest.mark.parametrize("codec", ["utf-16", "utf-32", "utf-8-sig"])
def test_byte_order_marks_decide_and_are_dropped(codec: str) -> None:
    assert read((JAPANESE + FRENCH).encode(codec)) == JAPANESE + FRENCH


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("text", [FRENCH * 20, "short\n", JAPANESE + "ascii words\n" + CHINESE])
def test_utf16_without_a_mark_is_recognised(codec: str, text: str) -> None:
    assert read(text.encode(codec)) == text
    assert read(text.encode(codec) + b"\n") == text  # cut in the middle of a character


def test_a_cut_utf8_file_keeps_everything_before_the_cut() -> None:
    data = (JAPANESE * 3).encode()[:-2]
    text = read(data)
    assert text.startswith(JAPANESE * 2)
    assert text.count("\ufffd") <= 1
    assert read(b"ends in a cut \xe2\x82").startswith("ends in a cut ")


def test_one_bad_byte_does_not_make_utf8_something_else() -> None:
    assert read((FRENCH * 5).encode() + b"\xff" + FRENCH.encode()) == FRENCH * 5 + "\ufffd" + FRENCH


@pytest.mark.parametrize(("one", "other"), [(1, 1), (1, 8), (40, 1)])
@pytest.mark.parametrize(
    ("foreign", "codec"), [(FRENCH, "latin-1"), (GERMAN, "cp1252"), (RUSSIAN * 3, "cp1251"), ("Caf\xe9\n", "latin-1")]
)
def test_a_file_put_together_of_two_encodings_is_read_line_by_line(
    foreign: str, codec: str, one: int, other: int
) -> None:
    parts = [GERMAN.encode() * one, b"plain words\n", foreign.encode(codec) * other]
    expected = GERMAN * one + "plain words\n" + foreign * other
    assert read(b"".join(parts)) == expected
    assert read(b"".join(reversed(parts))) == foreign * other + "plain words\n" + GERMAN * one


def test_a_charset_is_declared_for_the_lines_that_are_not_utf8() -> None:
    head = b'<html><meta charset="windows-1251"><p>\n'
    page = head + GERMAN.encode() + "Да\n".encode("cp1251")
    assert read(page, declares=True) == head.decode() + GERMAN + "Да\n"


@pytest.mark.parametrize(("text", "codec"), [("中\n国\n字\n是\n", "gb18030"), ("のの\nは\nカナ\n", "euc_jp")])
def test_short_lines_that_pass_for_utf8_by_chance_do_not_make_a_file_mixed(text: str, codec: str) -> None:
    # 联通 in GBK is the well-known pair that is UTF-8, too.
    lines = (text * 30) + ("联\n" if codec == "gb18030" else "")
    long = (CHINESE if codec == "gb18030" else JAPANESE) * 20
    assert read((long + lines).encode(codec)) == long + lines


def test_a_declared_charset_is_believed_where_utf8_fails() -> None:
    page = '<html><head><meta charset="windows-1251"></head><p>Да'
    assert read(page.encode("cp1251"), declares=True) == page
    page = '<html><meta http-equiv="Content-Type" content="text/html; charset=Shift_JIS"><p>日本'
    assert read(page.encode("cp932"), declares=True) == page
    page = "<?xml version='1.0' encoding='iso-8859-1'?><a>caf\xe9 “x”"
    assert read(page.encode("cp1252"), declares=True) == page


@pytest.mark.parametrize("name", ["utf-8", "rot13", "zip", "nonsense", "idna", "unicode_escape"])
def test_a_wrong_or_dangerous_declaration_is_passed_over(name: str) -> None:
    page = f'<html><meta charset="{name}"><p>' + FRENCH
    assert read(page.encode("latin-1"), declares=True) == page


@pytest.mark.parametrize(
    "data",
    [
        b"text\x00with a nul",
        b"\x7fELF\x02\x01\x01" + bytes(64),
        bytes(range(256)) * 4,
        random.Random(1).randbytes(5000),
        bytes(byte for byte in zlib.compress(random.Random(2).randbytes(3000)) if byte),
        b"\x01\x02\x03words" * 50,
    ],
)
def test_what_is_no_text_is_refused_with_a_reason(data: bytes) -> None:
    with pytest.raises(DocumentError, match="looks binary") as caught:
        read(data)
    assert caught.value.stage == "validate"


@given(st.binary(max_size=300))
def test_any_bytes_become_text_or_a_refusal(data: bytes) -> None:
    try:
        text = read(data)
    except DocumentError:
        return
    text.encode()  # no lone surrogates


def test_terminal_colours_are_text() -> None:
    assert read(b"\x1b[31mred\x1b[0m " * 50).startswith("\x1b[31mred")
