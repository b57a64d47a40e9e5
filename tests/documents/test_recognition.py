from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile

import pytest
import zstandard

from tenire.documents.recognition import Format, recognise, zip_format
from tenire.errors import DocumentError

from . import samples


def tarred(form: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        info = tarfile.TarInfo("a.txt")
        info.size = 5
        archive.addfile(info, io.BytesIO(b"words"))
    return out.getvalue()


OLD_TAR = tarred().replace(b"ustar\x0000", bytes(8))


@pytest.mark.parametrize("name", ["right", "a.txt", "a.bin", "a.html"])
@pytest.mark.parametrize(
    ("data", "form"),
    [
        (samples.pdf("x"), Format.PDF),
        (b"junk \x01\n" + samples.pdf("x"), Format.PDF),
        (samples.archive({"a": "b"}), Format.ZIP),
        (samples.archive({}), Format.ZIP),
        (tarred(), Format.TAR),
        (gzip.compress(b"x", mtime=0), Format.GZIP),
        (bz2.compress(b"x"), Format.BZIP2),
        (bz2.compress(b""), Format.BZIP2),
        (lzma.compress(b"x"), Format.XZ),
        (zstandard.compress(b"x"), Format.ZSTD),
        (rb"{\rtf1 x}", Format.RTF),
        (b"PAR1\x15\x04\x15", Format.PARQUET),
    ],
)
def test_content_counts_more_than_a_name(name: str, data: bytes, form: Format) -> None:
    assert recognise(name, data[:4096], source="/a") is form


@pytest.mark.parametrize(
    "text",
    [
        b"%PDF is a format\n",
        b"see \n%PDF-1.4 for more",
        b"BZh",
        b"BZh91",
        b"PAR1 for the course",
        b"PK\x03 words",
        b"From here on it is prose, 2003\nand more",
        b"Note: this\nand: that\nplain words",
        b"Subject: matter\nof: things\n\nwords",
        b"",
        b"{curly} words",
    ],
)
def test_a_text_that_only_speaks_of_a_format_stays_text(text: bytes) -> None:
    assert recognise("unknown", text, source="/a") is Format.PLAIN


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("a.json", Format.JSON),
        ("A.JSONL", Format.JSONL),
        ("a.csv", Format.CSV),
        ("a.tsv", Format.CSV),
        ("a.ipynb", Format.NOTEBOOK),
        ("a.eml", Format.EMAIL),
        ("a.mbox", Format.MBOX),
        ("a.md", Format.PLAIN),
        ("README", Format.PLAIN),
        (".csv", Format.PLAIN),
    ],
)
def test_formats_that_are_text_go_by_their_name(name: str, form: Format) -> None:
    assert recognise(name, b"words", source="/a") is form


@pytest.mark.parametrize(
    ("head", "form"),
    [
        (samples.mailbox(samples.message()), Format.MBOX),
        (samples.message(), Format.EMAIL),
        (samples.notebook(), Format.NOTEBOOK),
        (b'{"a": 1}\n{"a": 2}\n', Format.JSONL),
        (b'[{"a": 1}]', Format.JSON),
        (b"<!doctype html><p>x", Format.PLAIN),
    ],
)
def test_a_name_that_says_nothing_is_looked_at(head: bytes, form: Format) -> None:
    assert recognise("inbox", head, source="/a") is form
    # One that says something is believed.
    assert recognise("inbox.txt", head, source="/a") is Format.PLAIN


def test_tar_archives_of_the_time_before_they_had_a_mark_are_known_by_their_checksum() -> None:
    data = bytearray(OLD_TAR)
    data[148:156] = b" " * 8
    data[148:156] = f"{sum(data[:512]):06o}\0 ".encode()
    assert recognise("a.tar", bytes(data), source="/a") is Format.TAR
    data[0] ^= 1
    with pytest.raises(DocumentError, match="expected TAR by its name"):
        recognise("a.tar", bytes(data), source="/a")


def test_what_has_the_name_of_a_format_and_the_content_of_a_text_is_read_as_text() -> None:
    for name in ("table.xlsx", "table.xls", "old.doc"):
        assert recognise(name, b"<html><table><tr><td>1", source="/a") is Format.PLAIN
    assert recognise("a.pdf", b"", source="/a") is Format.PLAIN
    with pytest.raises(DocumentError, match="expected PDF by its name, got something else"):
        recognise("a.pdf", bytes(100), source="/a")


@pytest.mark.parametrize(
    ("name", "head", "reason"),
    [
        ("a.7z", b"7z\xbc\xaf\x27\x1c", "7-Zip archive files are not supported"),
        ("a.doc", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "old Word files are not supported"),
        ("noname", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "old Office document files are not supported"),
        ("a.odg", samples.archive({"content.xml": "x"}), "OpenDocument drawing or flat files are not supported"),
        ("a.mobi", b"words", "Mobipocket files are not supported"),
        ("a.txt", b"\x89PNG\r\n\x1a\n", "expected text, got a PNG picture by its content"),
    ],
)
def test_what_cannot_be_read_is_named(name: str, head: bytes, reason: str) -> None:
    with pytest.raises(DocumentError, match=reason) as caught:
        recognise(name, head, source="/a")
    assert caught.value.stage == "validate"


@pytest.mark.parametrize(
    ("data", "form"),
    [
        (samples.docx(), Format.DOCX),
        (samples.pptx(("a", "b")), Format.PPTX),
        (samples.xlsx("s", [["a"]]), Format.XLSX),
        (samples.odt(), Format.ODT),
        (samples.epub(a="x"), Format.EPUB),
        (samples.archive({"word/notes.txt": "x"}), Format.ZIP),
        (b"PK\x03\x04 damaged", Format.ZIP),
    ],
)
def test_relatives_of_zip_are_told_apart_by_what_is_in_them(data: bytes, form: Format) -> None:
    assert zip_format(io.BytesIO(data), "noname") is form


def test_a_name_counts_where_an_archive_is_damaged() -> None:
    assert zip_format(io.BytesIO(b"PK\x03\x04 damaged"), "a.docx") is Format.DOCX
    assert zip_format(io.BytesIO(samples.docx()), "backup.zip") is Format.DOCX
