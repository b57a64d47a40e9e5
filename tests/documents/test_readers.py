"""What each reader makes of a small real file, and of a broken one."""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import sys
from typing import Any

import pytest

from tenire.documents.formats import Kind
from tenire.documents.readers import READERS, read
from tenire.documents.readers.kreuzberg import unescaped
from tenire.documents.readers.reading import Raw, Reading
from tenire.documents.recognition import COMPRESSED, CONTAINERS, HEAD, Format, recognise
from tenire.documents.structure import plain, unmark
from tenire.errors import DocumentError, MissingExtraError
from tenire.protocols import About

from . import samples


def reading(form: Format, data: bytes | str, name: str = "a", **options: Any) -> Reading:
    return read(form, Raw(name, f"/{name}", data.encode() if isinstance(data, str) else data, **options))


def text(form: Format, data: bytes | str, name: str = "a") -> str:
    return plain(reading(form, data, name).text)


def test_every_format_that_is_no_container_has_a_reader() -> None:
    assert set(READERS) == set(Format) - CONTAINERS - COMPRESSED


# -- records --------------------------------------------------------------------


def test_an_array_of_json_is_a_block_for_each_record() -> None:
    data = '[{"a": 1, "b": {"c": [1, 2], "d": null}}, {"a": "x\\n\\n\\ny", "b": ""}, {"t": true, "n": []}]'
    assert text(Format.JSON, data) == "a: 1\nb.c: 1, 2\n\na: x\ny\n\nt: true"


def test_records_of_a_list_know_their_lines() -> None:
    found = reading(Format.JSON, '[\n  {"a": "one\\ntwo"},\n\n  {"a":\n   3}, {"b": 4}\n]\n')
    lines = found.text.split("\n")
    assert found.rows is not None
    places = {line: (found.rows.first(number), found.rows.last(number)) for number, line in enumerate(lines) if line}
    assert places == {"a: one": (2, 2), "two": (2, 2), "a: 3": (4, 5), "b: 4": (5, 5)}


def test_lists_of_records_inside_of_json_are_blocks_too() -> None:
    data = json.dumps({"items": [{"a": 1}, {"a": 2}], "name": "shop", "tags": ["x", "y"]})
    assert text(Format.JSON, data) == "name: shop\ntags: x, y\n\nitems.a: 1\n\nitems.a: 2"


@pytest.mark.parametrize(
    "data", ['{"a": 1,}', "// comment\n{}", "[1, 2", '[{"a": 1} {"a": 2}]', "[" * 50_000, '{"a":' * 50_000, "1e"]
)
def test_what_only_looks_like_json_is_read_as_it_is(data: str) -> None:
    found = reading(Format.JSON, data)
    assert (found.text, found.kind) == (data, Kind.CODE)


def test_json_lines_in_a_json_file_are_records() -> None:
    found = reading(Format.JSON, '{"a": 1}\n{"a": 2}\n')
    assert (found.text, found.about.kind) == ("a: 1\n\na: 2", "jsonl")


def test_a_line_that_is_no_json_stays_as_it_is_as_long_as_most_are() -> None:
    assert text(Format.JSONL, '{"a": 1}\n\nbroken {\n{"a": 2}\r\n[3, 4]\n') == "a: 1\n\nbroken {\n\na: 2\n\n3, 4"
    assert text(Format.JSONL, "some\nwords\n{}\n") == "some\nwords\n{}\n"


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        ("a.csv", "name,price\napple,2\n", "name: apple\nprice: 2"),
        ("a.csv", 'name;note\napple;"a, b;\nc"\npear;\n', "name: apple\nnote: a, b;\nc\n\nname: pear"),
        ("a.tsv", "name\tprice\napple\t1,5\n", "name: apple\nprice: 1,5"),
        ("a.csv", "1|2\n3|4\n", "1, 2\n\n3, 4"),
        ("a.csv", "a,b\n1,2,3\n", "a: 1\nb: 2\ncolumn 3: 3"),
        ("a.csv", "just one column\nof words\n", "just one column\nof words\n"),
        ("a.csv", "\ufeffname,price\r\nk\xe4se,2\r\n", "name: k\xe4se\nprice: 2"),
        ("a.csv", "", ""),
    ],
)
def test_a_table_is_a_block_for_each_row(name: str, data: str, expected: str) -> None:
    assert text(Format.CSV, data, name) == expected


def test_a_field_may_be_as_long_as_the_file() -> None:
    assert len(text(Format.CSV, f"a,b\n{'x' * 300_000},1\n")) > 300_000


def test_a_table_in_an_old_encoding_is_read() -> None:
    assert (
        text(Format.CSV, "name;stra\xdfe\nJos\xe9;\xc4cker\n".encode("cp1252")) == "name: Jos\xe9\nstra\xdfe: \xc4cker"
    )


def parquet(rows: int = 3) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    out = io.BytesIO()
    table = pa.table({"id": list(range(rows)), "text": ["same words"] * rows, "blob": [b"\0\1"] * rows})
    pq.write_table(table, out)
    return out.getvalue()


def test_a_parquet_file_is_a_block_for_each_row() -> None:
    found = reading(Format.PARQUET, parquet(2))
    assert found.text == "id: 0\ntext: same words\nblob: (2 bytes)\n\nid: 1\ntext: same words\nblob: (2 bytes)"
    assert found.about == About("parquet", extra=(("rows", "2"), ("columns", "id, text, blob")))


def test_a_parquet_file_that_is_damaged_or_expands_without_end_is_refused() -> None:
    with pytest.raises(DocumentError, match="expected a Parquet file"):
        reading(Format.PARQUET, parquet()[:-20])
    packed = parquet(20_000)
    with pytest.raises(DocumentError, match="longer than 100000 characters"):
        reading(Format.PARQUET, packed, max_text=100_000)


# -- notebooks, mail ------------------------------------------------------------


def test_a_notebook_is_prose_code_and_results() -> None:
    cells: list[dict[str, Any]] = [
        {"cell_type": "markdown", "source": ["# Title\n", "Words."]},
        {
            "cell_type": "code",
            "source": "1 + 1",
            "outputs": [
                {"output_type": "execute_result", "data": {"text/plain": ["2"], "image/png": "AAAA"}},
                {"output_type": "stream", "text": "x" * 9000},
                {"output_type": "error", "ename": "ValueError", "evalue": "no"},
            ],
        },
        {"cell_type": "code", "source": "", "outputs": []},
        {"cell_type": "raw", "source": "a ``` fence"},
    ]
    found = reading(Format.NOTEBOOK, samples.notebook(*cells))
    blocks = found.text.split("\n\n")
    assert blocks[:2] == ["# Title\nWords.", "```python\n1 + 1\n```"]
    assert [block.strip("`\n") for block in blocks[2:5]] == ["2", "x" * 2000, "ValueError: no"]
    assert (found.kind, found.about.extra) == (Kind.MARKDOWN, (("code", "python"),))


def test_a_notebook_that_is_none_is_refused_or_read_as_json() -> None:
    with pytest.raises(DocumentError, match="expected a Jupyter notebook"):
        reading(Format.NOTEBOOK, '{"cells": [')
    assert text(Format.NOTEBOOK, '{"other": "words"}') == "other: words"


def test_a_sheet_of_an_early_notebook_without_cells_costs_not_the_others() -> None:
    sheets = '[{"cells": null}, {"cells": 7}, {}, {"cells": [{"cell_type": "markdown", "source": "Words."}]}]'
    assert text(Format.NOTEBOOK, '{"worksheets": ' + sheets + "}") == "Words."


def test_a_message_says_who_wrote_what_to_whom() -> None:
    found = reading(Format.EMAIL, samples.message("=?utf-8?q?Caf=C3=A9?=", "At noon?"))
    assert found.title == "Caf\xe9"
    assert found.text.startswith("Caf\xe9\n\nFrom: Ann <ann@example.org>\nTo: bob@example.org\nDate: ")
    assert found.text.rstrip().endswith("At noon?")
    assert (found.about.author, found.about.date) == ("Ann <ann@example.org>", "2003-07-01T10:52:37+02:00")


@pytest.mark.parametrize("codec", ["utf-8", "cp1252"])
def test_headers_that_are_written_as_they_are_can_be_read(codec: str) -> None:
    head = "From: J\xfcrgen M\xfcller <jm@example.org>\nSubject: Caf\xe9 \xe0 la plage\n"
    parts = (
        "Content-Type: multipart/mixed; boundary=x\n\n--x\nContent-Type: text/plain\n\nwords\n"
        '--x\nContent-Type: text/plain\nContent-Disposition: attachment; filename="Gr\xf6\xdfe.txt"\n\nnoted\n--x--\n'
    )
    found = reading(Format.EMAIL, (head + parts).encode(codec))
    assert found.title == "Caf\xe9 \xe0 la plage"
    assert found.about.author == "J\xfcrgen M\xfcller <jm@example.org>"
    assert "words" in found.text
    assert "Gr\xf6\xdfe.txt\n\nnoted" in found.text


@pytest.mark.parametrize("subject", ["=?utf-8?b?A?=", "=?utf-8?B?w4l0w6k=?= =?utf-8?B?w4l0w?="])
def test_a_message_whose_subject_was_cut_off_can_be_read(subject: str) -> None:
    found = reading(Format.EMAIL, samples.message(subject, "Words of it."))
    assert found.title == subject
    assert found.text.rstrip().endswith("Words of it.")


@pytest.mark.parametrize("charset", ['"a\0b"', "undefined", "idna", "rot13", "ascii"])
def test_a_message_in_a_charset_that_is_none_can_be_read(charset: str) -> None:
    kind = f"text/plain; charset={charset}"
    found = text(Format.EMAIL, samples.message(body="Two words, caf\xe9.", Content_Type=kind))
    assert found.rstrip().endswith("Two words, caf\xe9.")


def test_quotes_of_windows_in_a_message_are_kept() -> None:
    kind = "text/plain; charset=iso-8859-1"
    data = samples.message(body="Say BEGINsevenEND.", Content_Type=kind)
    data = data.replace(b"BEGIN", b"\x93").replace(b"END", b"\x94")
    assert text(Format.EMAIL, data).rstrip().endswith("Say \u201cseven\u201d.")


def test_the_plainest_of_several_texts_is_taken_and_attachments_are_named() -> None:
    body = (
        "--x\nContent-Type: multipart/alternative; boundary=y\n\n"
        "--y\nContent-Type: text/html\n\n<p>rich\n--y\nContent-Type: text/plain; charset=utf-8\n\nplain words\n--y--\n"
        "--x\nContent-Type: application/pdf\nContent-Disposition: attachment; filename=bill.pdf\n"
        "Content-Transfer-Encoding: base64\n\nAAAA\n"
        "--x\nContent-Type: text/plain\nContent-Disposition: attachment; filename=notes.txt\n\nnoted\n--x--\n"
    )
    found = reading(Format.EMAIL, samples.message(body=body, Content_Type="multipart/mixed; boundary=x"))
    assert "plain words" in found.text
    assert "rich" not in found.text
    assert "notes.txt\n\nnoted" in found.text
    assert ("attachment", "bill.pdf") in found.about.extra


@pytest.mark.usefixtures("parser")
def test_attachments_that_can_be_read_are_part_of_their_message() -> None:
    import base64

    parts = "".join(
        f"--x\nContent-Type: application/octet-stream\nContent-Disposition: attachment; filename={name}\n"
        f"Content-Transfer-Encoding: base64\n\n{base64.encodebytes(data).decode()}\n"
        for name, data in (
            ("bill.pdf", samples.pdf("Pay nine.")),
            ("a.docx", samples.docx("Words")),
            ("b.pdf", b"%PDF-"),
        )
    )
    found = reading(Format.EMAIL, samples.message(body=parts + "--x--\n", Content_Type="multipart/mixed; boundary=x"))
    assert "bill.pdf\n\nPay nine." in found.text
    assert "Words" in found.text
    assert [value for name, value in found.about.extra if name == "attachment"] == ["b.pdf"]


@pytest.mark.parametrize("kind", ["text/html; charset=nonsense", "text/html"])
def test_a_message_in_html_is_extracted(kind: str) -> None:
    found = text(Format.EMAIL, samples.message(body="<html><body><p>One &amp; two</body>", Content_Type=kind))
    assert found.rstrip().endswith("One & two")


def test_parts_nested_without_end_are_read_as_far_as_anybody_would() -> None:
    deep = "".join(f"Content-Type: multipart/mixed; boundary=b{n}\n\n--b{n}\n" for n in range(3000))
    # The parser of the standard library may give up first; that is a rejection like any other.
    with contextlib.suppress(RecursionError):
        reading(Format.EMAIL, b"From: a\n" + deep.encode() + b"\nwords")


# -- PDF, Office ------------------------------------------------------------------


@pytest.mark.usefixtures("parser")
def test_a_pdf_has_pages_headings_and_says_who_wrote_it() -> None:
    found = reading(Format.PDF, samples.pdf("# The Title\nFirst (page).", "Second page."))
    stripped, structure = unmark(found.text)
    assert stripped == "The Title\nFirst (page).\n\nSecond page."
    assert [number for _, number in structure.pages] == [1, 2]
    assert [(heading.level, heading.title) for heading in structure.headings] == [(1, "The Title")]
    assert found.title == "A Small Manual"
    assert found.about == About("pdf", author="Ada Lovelace", date="2024-01-31T12:00:00Z", pages=2)


@pytest.mark.usefixtures("parser")
def test_a_pdf_with_a_password_says_so_and_one_with_an_empty_password_is_read() -> None:
    with pytest.raises(DocumentError, match="without a password was expected, this one is encrypted"):
        reading(Format.PDF, samples.pdf("secret", password="x"))
    assert text(Format.PDF, samples.pdf("secret", password="")) == "secret"


@pytest.mark.usefixtures("parser")
@pytest.mark.parametrize("share", [0.01, 0.3, 0.6, 0.9])
def test_a_pdf_that_was_cut_off_is_refused(share: float) -> None:
    data = samples.pdf("words", "more words")
    with pytest.raises(DocumentError, match="expected a PDF"):
        reading(Format.PDF, data[: int(share * len(data))])


@pytest.mark.usefixtures("parser")
@pytest.mark.parametrize("filling", [b"\0", b"\r\n", b" "])
def test_a_pdf_that_is_filled_up_behind_its_end_is_read(filling: bytes) -> None:
    assert text(Format.PDF, samples.pdf("whole words") + filling * 5000) == "whole words"
    with pytest.raises(DocumentError, match="cut off"):
        reading(Format.PDF, samples.pdf("words", "more words")[:400] + filling * 5000)


@pytest.mark.usefixtures("parser")
@pytest.mark.parametrize("before", [b"\xef\xbb\xbf", b"\n", b"HTTP/1.1 200 OK\r\n\r\n"])
def test_a_pdf_with_something_before_its_beginning_is_read(before: bytes) -> None:
    data = before + samples.pdf("whole words")
    assert recognise("a.pdf", data[:HEAD], source="/a.pdf") is Format.PDF
    assert text(Format.PDF, data) == "whole words"


_PANIC = """
import multiprocessing, sys
from tests.documents import samples
from tenire.documents.readers import read
from tenire.documents.readers.reading import Raw
from tenire.documents.recognition import Format

if sys.argv[1:]:
    multiprocessing.parent_process = lambda: True  # as in a worker
for data in (samples.pdf("one", date="k" + chr(0xcb) * 9), samples.pdf("two")):
    try:
        print(read(Format.PDF, Raw("a.pdf", "/a.pdf", data)).text[-3:], flush=True)
    except Exception as error:
        print(type(error).__name__, str(error)[:60], flush=True)
"""


@pytest.mark.parametrize(("worker", "code"), [("", 0), ("worker", 5)])
def test_a_parser_that_refuses_everything_after_a_crash_ends_its_worker(worker: str, code: int) -> None:
    arguments = [sys.executable, "-c", _PANIC, *filter(None, [worker])]
    result = subprocess.run(arguments, capture_output=True, text=True, check=False)
    lines = result.stdout.splitlines()
    if not lines or not lines[0].startswith("DocumentError"):
        pytest.skip("this version of the parser does not crash on that")
    assert result.returncode == code, result.stderr
    assert worker or lines[1].startswith("DocumentError the parser has crashed on another document before")


@pytest.mark.usefixtures("parser")
def test_a_word_document_keeps_its_signs_headings_and_tables() -> None:
    found = reading(Format.DOCX, samples.docx("R&amp;D caf&#233; &#x4e2d; a &lt; b &quot;q&quot; *x* C:\\dir &#0; end"))
    assert found.text.split("\n\n")[:2] == ["## Intro", 'R&D caf\xe9 \u4e2d a < b "q" *x* C:\\dir end']
    assert "| apple | 2 |" in found.text
    assert (found.kind, found.title) == (Kind.MARKDOWN, "Report")
    assert (found.about.author, found.about.date) == ("Bob", "2020-05-06T07:08:09Z")


@pytest.mark.usefixtures("parser")
def test_slides_are_pages() -> None:
    found = reading(Format.PPTX, samples.pptx(("First R&amp;D", "one"), ("Second", "two")))
    stripped, structure = unmark(found.text)
    assert "## First R&D" in stripped
    assert [stripped[place:].lstrip().split("\n")[0] for place, _ in structure.pages] == ["## First R&D", "## Second"]
    assert found.about.pages == 2


@pytest.mark.usefixtures("parser")
def test_sheets_and_opendocument_texts_and_rich_text_are_read() -> None:
    assert "| apple | 1.5 |" in text(Format.XLSX, samples.xlsx("Prices", [["name", "price"], ["apple", 1.5]]))
    letter = reading(Format.ODT, samples.odt("x &amp; y"))
    assert letter.text.strip() == "# Head\n\nx & y"
    assert (letter.title, letter.about.author) == ("Letter", "Eve")
    rich = reading(Format.RTF, rb"{\rtf1\ansi{\info{\title Rich}}Hello w\'f6rld.\par Second.}")
    assert rich.text.strip() == "Hello w\xf6rld.\n\nSecond."
    assert rich.title == "Rich"


def test_a_book_is_read_in_its_own_order() -> None:
    found = reading(Format.EPUB, samples.epub(b="<h1>First</h1><p>R&amp;D", a="<h1>Second</h1><p>words</p>"))
    stripped, structure = unmark(found.text)
    assert stripped.split() == ["First", "R&D", "Second", "words"]
    assert [heading.title for heading in structure.headings] == ["First", "Second"]
    assert (found.title, found.about) == ("Book & Co", About("epub", author="Zoe", date="1999-01-01"))


@pytest.mark.usefixtures("parser")
@pytest.mark.parametrize(
    ("form", "data"),
    [
        (Format.DOCX, samples.docx()[:500]),
        (Format.DOCX, samples.docx().replace(b"word/document.xml", b"word/documenX.xml")),
        (Format.XLSX, samples.archive({"xl/workbook.xml": "<not closed"})),
        (Format.ODT, samples.archive({"mimetype": "application/vnd.oasis.opendocument.text"})),
        (Format.EPUB, samples.archive({"mimetype": "application/epub+zip"})),
        (Format.EPUB, samples.epub(a="x")[:-200]),
        (Format.DOCX, bytes(200)),
    ],
)
def test_an_office_document_that_is_damaged_is_refused(form: Format, data: bytes) -> None:
    with pytest.raises(DocumentError, match=r"expected an? (?:Word|Excel|OpenDocument|EPUB)"):
        reading(form, data)


@pytest.mark.parametrize(("package", "chapter"), [("p.opf", "A.XHTML"), ("package.data", "a.xhtml")])
def test_a_book_expands_no_further_whatever_its_parts_are_called(package: str, chapter: str) -> None:
    container = f'<container><rootfiles><rootfile full-path="{package}"/></rootfiles></container>'
    item = f'<item id="a" href="{chapter}"/>'
    facts = f"<package><manifest>{item}</manifest><spine><itemref idref='a'/></spine></package>"
    parts = {"META-INF/container.xml": container, package: facts, chapter: "<p>Some words.</p>"}
    assert text(Format.EPUB, samples.archive(parts)) == "Some words."
    largest = package if package != "p.opf" else chapter
    bomb = samples.archive(parts | {largest: " " * 5_000_000 + parts[largest]})
    with pytest.raises(DocumentError, match="longer than 1000000 characters"):
        reading(Format.EPUB, bomb, max_text=1_000_000)


def test_a_chapter_of_a_book_comes_once_by_however_many_names() -> None:
    items = "".join(f'<item id="i{n}" href="a.xhtml"/>' for n in range(50))
    spine = "".join(f'<itemref idref="i{n}"/>' for n in range(50))
    parts = {
        "META-INF/container.xml": '<container><rootfile full-path="p.opf"/></container>',
        "p.opf": f"<package><manifest>{items}</manifest><spine>{spine}</spine></package>",
        "a.xhtml": "<p>Some words.</p>",
    }
    assert text(Format.EPUB, samples.archive(parts)) == "Some words."


def test_a_document_whose_parts_expand_without_end_is_refused_before_it_is_parsed() -> None:
    bomb = samples.archive({"word/document.xml": "<a>" + " " * 5_000_000 + "</a>"})
    assert len(bomb) < 20_000
    with pytest.raises(DocumentError, match="longer than 1000000 characters"):
        reading(Format.DOCX, bomb, max_text=1_000_000)


def test_an_encrypted_part_is_told_as_such() -> None:
    data = bytearray(samples.docx())
    for place in [n for n in range(len(data)) if data[n : n + 4] == b"PK\x01\x02"]:
        data[place + 8] |= 1
    with pytest.raises(DocumentError, match="encrypted"):
        reading(Format.DOCX, bytes(data))


def test_an_encrypted_opendocument_or_office_document_is_told_as_such() -> None:
    manifest = '<manifest><file-entry full-path="content.xml"><encryption-data/></file-entry></manifest>'
    locked = samples.archive({"META-INF/manifest.xml": manifest, "content.xml": "noise"})
    for form in (Format.ODT, Format.ODS, Format.ODP):
        with pytest.raises(DocumentError, match="encrypted"):
            reading(form, locked)
    with pytest.raises(DocumentError, match="without a password was expected, this one is encrypted"):
        recognise("a.docx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500), source="/a.docx")


def test_a_presentation_of_opendocument_has_its_slides_as_pages_and_says_who_made_it() -> None:
    first = "Kestrels <text:span>hover</text:span>, and<text:line-break/>wait"
    found = reading(Format.ODP, samples.odp(first, "Ospreys dive", notes="Pause here"))
    text, structure = unmark(found.text)
    assert text == "Kestrels hover, and\nwait\n\nPause here\n\nOspreys dive\n\nPause here"
    assert [number for _, number in structure.pages] == [1, 2]
    assert (found.title, found.about.pages) == ("Birds", 2)
    assert (found.about.author, found.about.date) == ("Eve", "2021-01-02T03:04:05")


def test_a_presentation_that_is_nested_without_end_is_read() -> None:
    deep = "<text:list>" * 20_000 + "<text:p>at the bottom</text:p>" + "</text:list>" * 20_000
    assert "at the bottom" in reading(Format.ODP, samples.odp("x", frame=deep)).text


def test_a_parser_that_is_missing_says_which_and_concerns_every_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kreuzberg", None)
    with pytest.raises(MissingExtraError, match="kreuzberg"):
        reading(Format.PDF, samples.pdf("x"))


@pytest.mark.parametrize(
    ("markdown", "expected"),
    [
        (r"R\&D \<b\> 1\. a\_b", "R&D <b> 1. a_b"),
        ("\\# no heading\nC \\# sharp", "\\# no heading\nC # sharp"),
        ("a\\*b\n```\nc\\*d\n```\ne\\*f", "a*b\n```\nc\\*d\n```\ne*f"),
        ("```\nnever closed \\*", "```\nnever closed \\*"),
        (r"a \\ b", r"a \ b"),
    ],
)
def test_escapes_of_markdown_go_but_not_in_code(markdown: str, expected: str) -> None:
    assert unescaped(markdown) == expected


@pytest.mark.usefixtures("parser")
def test_a_pdf_without_text_is_read_as_such() -> None:
    found = reading(Format.PDF, samples.pdf("", ""))
    assert (plain(found.text).strip(), found.about.pages) == ("", 2)
