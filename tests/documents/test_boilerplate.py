"""Lines that repeat over documents and pages go from their ends, and nothing else goes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tenire.documents.boilerplate import Repeated, line_key, without_repeated
from tenire.documents.cleaning import Cleaning
from tenire.documents.formats import Kind
from tenire.documents.line_survey import survey
from tenire.documents.prepare import PrepareOptions, prepare
from tenire.documents.structure import heading_mark, page_mark, plain
from tenire.protocols import Document, SourceFile

if TYPE_CHECKING:
    from pathlib import Path

MENU = ("Home | Products", "Copyright Example Ltd.", "All rights reserved.")


def those(*lines: str) -> Repeated:
    keys = map(line_key, lines)
    return Repeated(0.2, frozenset(key for key in keys if key is not None))


def left(text: str, *, kind: str = "text", markup: Kind = Kind.TEXT, keep: bool = False) -> tuple[str, int]:
    text, count = without_repeated(text, kind, those(*MENU), markup=markup, keep_lines=keep)
    return plain(text), count


def test_lines_that_repeat_go_from_both_ends_with_what_is_blank_between_them() -> None:
    text = "HOME |  Products\n\nThe pump\nturns.\n\n----\nCopyright Example Ltd.\n\nAll rights reserved."
    assert left(text) == ("The pump\nturns.\n\n----", 3)


def test_what_stands_in_the_midst_of_a_text_stays() -> None:
    text = "The pump\nAll rights reserved.\nturns."
    assert left(text) == (text, 0)


def test_other_lines_stay_on_their_lines_where_lines_count() -> None:
    assert left("Home | Products\na\nb\nAll rights reserved.", keep=True) == ("\na\nb\n", 2)


def test_headings_and_records_stay_and_of_code_only_comments_go() -> None:
    heading = f"{heading_mark(1)}Home | Products\nwords"
    assert left(heading) == ("Home | Products\nwords", 0)
    keys = those("# All rights reserved.", "import os")
    assert (
        without_repeated("# All rights reserved.\nx", "markdown", keys, markup=Kind.MARKDOWN, keep_lines=True)[1] == 0
    )
    assert left("All rights reserved.\na: 1", kind="csv")[1] == 0
    code = "# All rights reserved.\nimport os\nrun()"
    assert without_repeated(code, "code", keys, markup=Kind.CODE, keep_lines=True) == ("\nimport os\nrun()", 1)


def test_a_document_of_nothing_else_keeps_all_of_it() -> None:
    text = "\n".join(MENU)
    assert left(text) == (text, 0)


def test_running_titles_and_page_numbers_go() -> None:
    pages = [
        f"{page_mark(n)}Manual of the pump\n\nTable {n * n}\nMore {'abcde'[n - 1]}\n\nPage {n} of 5"
        for n in range(1, 6)
    ]
    text, count = without_repeated("\n\n".join(pages), "pdf", Repeated(0.2), markup=Kind.TEXT, keep_lines=False)
    assert count == 10
    assert "Manual" not in text
    assert "Page" not in text
    assert [page_mark(number) in text for number in range(1, 6)] == [True] * 5
    assert all(f"More {letter}" in text for letter in "abcde")
    assert all(f"Table {number}" in text for number in (1, 4, 9, 16, 25))
    few = "\n\n".join(pages[:3])
    assert without_repeated(few, "pdf", Repeated(0.2), markup=Kind.TEXT, keep_lines=False) == (few, 0)


@pytest.mark.parametrize("text", ["\n" * 100_000, "Home | Products\n" * 50_000, f"{page_mark(1)}a\n" * 30_000])
def test_no_text_takes_long(text: str) -> None:
    assert left(text)[1] >= 0


def put(path: Path, text: str) -> SourceFile:
    path.write_text(text)
    return SourceFile(str(path), path.stat().st_size, path.stat().st_mtime_ns)


def test_documents_lose_them_before_they_are_cut_and_keep_their_lines(tmp_path: Path) -> None:
    file = put(tmp_path / "a.txt", "Home | Products\n\nThe pump turns.\n\nAll rights reserved.\n")
    options = PrepareOptions(cleaning=Cleaning(repeated=those(*MENU)))
    (found,) = prepare([file], options)
    assert isinstance(found, Document)
    (passage,) = found.passages
    assert (passage.text, passage.place.lines, found.findings.lines) == ("The pump turns.", (3, 3), 2)
    (other,) = prepare([file], PrepareOptions())
    assert isinstance(other, Document)
    assert other.id != found.id


def test_a_survey_tells_the_lines_at_the_ends_masked_and_those_of_members_too(tmp_path: Path) -> None:
    from . import samples

    body = "\n".join(f"line {number}" for number in range(200))
    members = {"x.txt": f"Write to ada@example.org\n{body}\nthe end", "y.csv": "a,b\n1,2"}
    (tmp_path / "a.zip").write_bytes(samples.archive(members))
    (tmp_path / "c.html").write_text("<body><h1>Parameters</h1><p>words</p></body>")
    (tmp_path / "b.py").write_text("# Licence: ours\nimport os\n")
    files = [SourceFile(str(path), path.stat().st_size, 1) for path in sorted(tmp_path.iterdir())]
    found = survey(PrepareOptions(cleaning=Cleaning(mask=("email",))), files)
    (_, text), (_, table), (_, code), (_, page) = found
    assert text[0] == "Write to [email]"
    assert text[-1] == "the end"
    assert len(text) == 120
    assert table == []
    assert code == ["# Licence: ours"]
    assert page == ["words"]  # a heading is never taken out
