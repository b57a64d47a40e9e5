"""The whole of a worker's part: a batch of real and broken files in, documents and reasons out."""

from __future__ import annotations

import os
import pickle
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tenire.documents import prepare as module
from tenire.documents.chunking import Cutting
from tenire.documents.prepare import Prepared, PrepareOptions, Unchanged, prepare, recipe_identity
from tenire.errors import MissingExtraError
from tenire.protocols import Document, Rejection, SourceFile

OPTIONS = PrepareOptions()


def put(path: Path, data: bytes | str) -> SourceFile:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    found = path.stat()
    return SourceFile(str(path), found.st_size, found.st_mtime_ns)


def one(file: SourceFile, options: PrepareOptions = OPTIONS) -> Prepared:
    (result,) = prepare([file], options)
    return result


def document(file: SourceFile) -> Document:
    result = one(file)
    assert isinstance(result, Document), result
    return result


def rejection(file: SourceFile, options: PrepareOptions = OPTIONS) -> Rejection:
    result = one(file, options)
    assert isinstance(result, Rejection), result
    return result


def test_each_kind_of_text_becomes_a_document_with_title_and_passages(tmp_path: Path) -> None:
    batch = [
        put(tmp_path / "a.md", "# Title\n\nSome *words*."),
        put(tmp_path / "a.rst", "Title\n=====\n\nSome words."),
        put(tmp_path / "a.html", "<title>Title</title><main><h1>Title</h1><p>Some words."),
        put(tmp_path / "a.txt", "Some words."),
        put(tmp_path / "a.py", "def some():\n    return 'words'\n"),
        put(tmp_path / "unknown", "Some words."),
        put(tmp_path / "page", "<!doctype html><title>Title</title><p>Some words."),
    ]
    results = prepare(batch, OPTIONS)
    assert [type(result) for result in results] == [Document] * 7
    documents = [result for result in results if isinstance(result, Document)]
    assert [document.title for document in documents] == ["Title", "Title", "Title", "", "", "", "Title"]
    assert [document.file for document in documents] == batch
    for found in documents:
        assert "ome" in found.passages[0].text
        assert "words" in found.passages[-1].text
    assert documents[4].passages[0].text == "def some():\n    return 'words'"


def test_copies_share_an_id_and_what_is_read_otherwise_does_not(tmp_path: Path) -> None:
    text = "# Same\n\nwords"
    first, copy, other = document(put(tmp_path / "a.md", text)), document(put(tmp_path / "d/b.md", text)), None
    other = document(put(tmp_path / "a.txt", text))
    assert first.id == copy.id
    assert first.content_hash == copy.content_hash == other.content_hash
    assert other.id != first.id
    changed = prepare([first.file], PrepareOptions(cutting=Cutting(500)))[0]
    assert isinstance(changed, Document)
    assert changed.id != first.id
    assert recipe_identity(PrepareOptions(cutting=Cutting(500))) != recipe_identity(OPTIONS)
    assert recipe_identity(PrepareOptions(max_file=5)) == recipe_identity(OPTIONS)


@pytest.mark.parametrize("data", [b"", b" \n\t\r\n", b"\xef\xbb\xbf", b"<html><script>x()</script></html>"])
def test_a_file_without_text_is_done_with_no_passages(tmp_path: Path, data: bytes) -> None:
    found = document(put(tmp_path / "a.html", data))
    assert found.passages == ()
    assert found.text_bytes == 0


def test_text_bytes_are_those_of_the_cleansed_text_in_utf8(tmp_path: Path) -> None:
    assert document(put(tmp_path / "a.txt", "é  \r\n\r\n\r\n\r\n\r\nx\n")).text_bytes == len("é\n\n\nx".encode())


@pytest.mark.parametrize(
    ("name", "data", "stage", "reason"),
    [
        ("nul.txt", b"words\x00words", "validate", "NUL byte at offset 5"),
        ("noise.txt", random.Random(3).randbytes(4000), "validate", "binary"),
        ("prog", b"\x7fELF\x02\x01\x01\x00" + bytes(100), "validate", "ELF program"),
        ("picture.txt", b"\x89PNG\r\n\x1a\n" + bytes(50), "validate", "PNG picture"),
        ("a.pdf", b"%PDF-1.7\n%\xe2\xe3", "read", "cut off before its end"),
        ("pdf-as.txt", b"%PDF-1.7\n%\xe2\xe3", "read", "expected a PDF"),
        ("a.docx", b"PK\x03\x04\x00\x00", "read", "expected a Word document"),
        ("a.ipynb", b"{'", "read", "expected a Jupyter notebook"),
        ("a.doc", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "validate", "old Word files are not supported"),
        ("a.txt.gz", b"\x1f\x8b\x08\x00", "unpack", "expected gzip data"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_reason_and_hash(
    tmp_path: Path, name: str, data: bytes, stage: str, reason: str
) -> None:
    file = put(tmp_path / name, data)
    found = rejection(file)
    assert found.stage == stage
    assert reason in found.error
    assert found.file == file
    assert len(found.content_hash) == 32


def test_a_real_program_without_a_suffix_is_refused(tmp_path: Path) -> None:
    found = rejection(put(tmp_path / "foo", Path(sys.executable).read_bytes()[:200_000]))
    assert "program" in found.error


def test_a_file_over_the_limit_is_refused_and_told_what_to_do(tmp_path: Path) -> None:
    found = rejection(put(tmp_path / "big.txt", "x" * 2000), PrepareOptions(max_file=1999))
    assert found.stage == "read"
    assert found.content_hash == ""
    assert "larger than max_file" in found.error
    assert "raise max_file" in found.error


def test_a_vanished_file_is_refused_and_the_batch_goes_on(tmp_path: Path) -> None:
    gone = put(tmp_path / "gone.txt", "x")
    Path(gone.path).unlink()
    results = prepare([gone, put(tmp_path / "here.txt", "x")], OPTIONS)
    assert [type(result) for result in results] == [Rejection, Document]
    assert isinstance(results[0], Rejection)
    assert (results[0].stage, results[0].file) == ("read", gone)


def test_a_file_that_changed_since_the_listing_is_read_as_it_is_now(tmp_path: Path) -> None:
    listed = put(tmp_path / "a.txt", "old")
    now = put(tmp_path / "a.txt", "new and longer")
    os.utime(now.path, ns=(1, 123_456_789_000))
    found = document(listed)
    assert found.passages[0].text == "new and longer"
    assert (found.file.size, found.file.mtime_ns) == (14, 123_456_789_000)


def test_a_touched_file_is_not_parsed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = put(tmp_path / "a.txt", "words")
    known = {file.path: document(file).content_hash}
    monkeypatch.setattr(module, "single", None)
    assert prepare([file], OPTIONS, known) == [Unchanged(file, known[file.path])]


@pytest.mark.parametrize("failure", [ValueError("bad"), RecursionError("deep"), MemoryError(), AssertionError("no")])
def test_a_parser_that_fails_refuses_its_file_and_not_the_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    def fail(page: str) -> tuple[str, str]:
        raise failure

    monkeypatch.setattr("tenire.documents.html.extract", fail)
    results = prepare([put(tmp_path / "a.html", "<p>x"), put(tmp_path / "b.txt", "x")], OPTIONS)
    assert isinstance(results[0], Rejection)
    assert results[0].error.startswith(f"the html reader failed: {type(failure).__name__}")
    assert results[0].content_hash
    assert isinstance(results[1], Document)


def test_a_missing_parser_is_no_quarantine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "resiliparse.parse.html", None)
    with pytest.raises(MissingExtraError, match="resiliparse"):
        prepare([put(tmp_path / "a.html", "<p>x")], OPTIONS)


def test_source_code_keeps_its_mojibake_and_prose_does_not(tmp_path: Path) -> None:
    assert document(put(tmp_path / "a.txt", "schÃ¶n")).passages[0].text == "schön"
    assert document(put(tmp_path / "a.py", "schÃ¶n")).passages[0].text == "schÃ¶n"


def test_ten_thousand_levels_of_html_are_read(tmp_path: Path) -> None:
    found = document(put(tmp_path / "deep.html", "<div>" * 10_000 + "at the bottom"))
    assert found.passages[0].text == "at the bottom"


def test_one_huge_line_is_cut_into_passages(tmp_path: Path) -> None:
    found = document(put(tmp_path / "line.json", '{"key": "value", "n": [1, 2, 3]}, ' * 60_000))
    assert len(found.passages) > 2000
    assert max(len(passage.text) for passage in found.passages) <= 1000


def test_names_of_any_bytes_are_read(tmp_path: Path) -> None:
    raw = os.path.join(os.fsencode(tmp_path), b"caf\xe9\n.txt")
    try:
        descriptor = os.open(raw, os.O_CREAT | os.O_WRONLY)
    except OSError:
        pytest.skip("this file system takes text names only")
    os.write(descriptor, b"words")
    os.close(descriptor)
    found = document(SourceFile(os.fsdecode(raw), 5, 0))
    assert os.fsencode(found.file.path) == raw


def test_results_come_back_from_a_process_equal(tmp_path: Path) -> None:
    results = prepare([put(tmp_path / "a.md", "# T\n\nwords"), put(tmp_path / "b.pdf", "x")], OPTIONS)
    assert pickle.loads(pickle.dumps(results, protocol=5)) == results


def test_a_parser_is_imported_only_when_its_format_appears(tmp_path: Path) -> None:
    script = (
        "import sys, tenire.documents.prepare as p; from tenire.protocols import SourceFile; "
        "heavy = ('resiliparse', 'ftfy', 'charset_normalizer', 'semantic_text_splitter', 'numpy', 'lancedb'); "
        "before = [m for m in heavy if m in sys.modules]; "
        "p.prepare([SourceFile(sys.argv[1], 1, 1)], p.PrepareOptions()); "
        "print(before, [m for m in heavy if m in sys.modules])"
    )
    file = put(tmp_path / "a.txt", "words")
    result = subprocess.run([sys.executable, "-c", script, file.path], capture_output=True, text=True, check=True)
    assert result.stdout.split("\n")[0] == "[] ['semantic_text_splitter']"


def test_this_projects_own_sources_are_read_completely() -> None:
    root = Path(module.__file__).parent
    files = [SourceFile(str(path), 0, 0) for path in sorted(root.glob("*.py"))]
    for file, result in zip(files, prepare(files, OPTIONS), strict=True):
        assert isinstance(result, Document)
        wanted = "".join(Path(file.path).read_text(encoding="utf-8").split())
        assert "".join("".join(passage.text.split()) for passage in result.passages) == wanted
