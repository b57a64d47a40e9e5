"""Rows from files of each kind, whole and broken."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pyarrow as arrow
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from tenire.errors import ConfigError
from tenire.pipeline.rows import jsonl
from tenire.pipeline.rows.jsonl import read_jsonl
from tenire.pipeline.rows.records import BrokenRow, Row
from tenire.pipeline.rows.source import RowSource

if TYPE_CHECKING:
    from pathlib import Path


def read(path: Path, *names: str) -> list[Row | BrokenRow]:
    return list(RowSource(names or ["."], path).rows())


def fields(rows: list[Row | BrokenRow]) -> list[Any]:
    return [dict(row.fields) if isinstance(row, Row) else row.error for row in rows]


# -- JSON lines -------------------------------------------------------------


def test_lines_are_rows_with_their_place_and_blank_lines_are_none(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'\xef\xbb\xbf{"id": 1, "t": "\xc3\xa4"}\r\n\r\n  \n{"id": "1"}')
    first, second = read(tmp_path)
    assert isinstance(first, Row)
    assert isinstance(second, Row)
    assert (first.id, first.place, first.fields, first.source) == (
        1, "line 1", {"id": 1, "t": "ä"}, f"{tmp_path / 'a.jsonl'}#1",
    )  # fmt: skip
    assert (second.id, second.place) == ("1", "line 4")
    assert first.key != second.key


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{no", "not JSON"),
        (b'{"a": 1} {"b": 2}', "not JSON"),
        (b'{"a": "\xff"}', "not JSON (it is not UTF-8)"),
        (b"[1]", "expected a JSON object, got a list"),
        (b'"text"', "expected a JSON object, got a text"),
        (b"null", "expected a JSON object, got null"),
        (b"true", "expected a JSON object, got true or false"),
        (b"17", "expected a JSON object, got a number"),
        (b"[" * 100_000, "expected a JSON object with at most 500 levels, got more"),
        (b'{"a":' * 100_000, "expected a JSON object with at most 500 levels, got more"),
        (b'{"a":' + b"[" * 500 + b"]" * 500 + b"}", "expected a JSON object with at most 500 levels, got more"),
        (b'{"id": [1]}', "expected a text or a whole number as id, got [1]"),
        (b'{"id": true}', "expected a text or a whole number as id, got true"),
        (b'{"id": 1.5}', "expected a text or a whole number as id, got 1.5"),
    ],
)
def test_a_line_that_is_no_row_is_told_by_its_number(tmp_path: Path, line: bytes, reason: str) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"id": 1}\n' + line + b'\n{"id": 2}\n')
    first, broken, last = read(tmp_path)
    assert isinstance(first, Row)
    assert isinstance(last, Row)
    assert isinstance(broken, BrokenRow)
    assert broken.error.startswith(f"line 2: {reason}")
    assert broken.source == f"{tmp_path / 'a.jsonl'}#line 2"


def test_a_row_of_as_many_levels_as_may_be_can_be_written_wherever_it_is_handled(tmp_path: Path) -> None:
    deepest = b'{"a":[' + b"{}," * 1_000 + b'{"b":' * 498 + b"1" + b"}" * 498 + b"]}"
    (tmp_path / "a.jsonl").write_bytes(deepest)
    (row,) = read(tmp_path)
    assert isinstance(row, Row)

    def far_down(left: int) -> str:
        return far_down(left - 1) if left else json.dumps(row.fields)

    assert json.loads(far_down(200)) == row.fields


def test_a_line_that_is_too_long_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonl, "LONGEST_ROW", 100)
    long = json.dumps({"id": 1, "text": "x" * 5_000_000})
    (tmp_path / "a.jsonl").write_text(f'{long}\n{{"id": 2}}\n', "utf-8")
    broken, row = read(tmp_path)
    assert isinstance(broken, BrokenRow)
    assert f"a row may have 100 bytes, got {len(long) + 1:,}" in broken.error
    assert broken.size == len(long) + 1
    assert isinstance(row, Row)
    assert row.place == "line 2"


@given(content=st.binary(max_size=300))
def test_no_bytes_make_the_reader_fail(content: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("any") / "a.jsonl"
    path.write_bytes(content)
    for row in read_jsonl(str(path)):
        assert row.place.startswith("line ")


# -- CSV --------------------------------------------------------------------


@pytest.mark.parametrize(("delimiter", "name"), [(",", "a.csv"), (";", "a.csv"), ("\t", "a.tsv"), ("|", "a.csv")])
def test_a_table_names_its_fields_in_the_first_line(tmp_path: Path, delimiter: str, name: str) -> None:
    lines = ["id text", '7 "x\ny"', "", "8 z"]
    (tmp_path / name).write_text("\r\n".join(lines).replace(" ", delimiter), "utf-8-sig", newline="")
    rows = read(tmp_path)
    assert fields(rows) == [{"id": "7", "text": "x\ny"}, {"id": "8", "text": "z"}]
    assert [row.place for row in rows] == ["line 2", "line 5"]


def test_a_row_with_too_many_cells_or_bytes_that_are_no_text_spoils_itself_only(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"id,text\n1,a\n2,b,c\n3\n4,\xff\n5,e\n")
    assert fields(read(tmp_path)) == [
        {"id": "1", "text": "a"},
        "line 3: expected 2 cells, as in the header, got 3",
        "line 4: expected 2 cells, as in the header, got 1",
        "line 5: not UTF-8",
        {"id": "5", "text": "e"},
    ]


def test_a_long_cell_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(f"id,text\n1,{'x' * 300_000}\n", "utf-8")
    [row] = read(tmp_path)
    assert isinstance(row, Row)
    assert len(row.fields["text"]) == 300_000


def test_a_header_that_names_a_field_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,text,text\n1,a,b\n", "utf-8")
    with pytest.raises(ConfigError, match="each column must have a name of its own, got 'text' twice"):
        read(tmp_path)


def test_a_table_without_anything_has_no_rows(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("", "utf-8")
    (tmp_path / "b.csv").write_text("id,text\n", "utf-8")
    assert read(tmp_path) == []


# -- Parquet ----------------------------------------------------------------


def test_parquet_values_become_what_json_can_hold(tmp_path: Path) -> None:
    from datetime import date
    from decimal import Decimal

    table = arrow.table({
        "id": [1, 2], "text": ["a", None], "day": [date(2026, 1, 2), None], "price": [Decimal("1.50"), None],
        "raw": [b"x", b"\xff"], "list": [[1.5, float("nan")], []],
    })  # fmt: skip
    parquet.write_table(table, tmp_path / "a.parquet")
    rows = read(tmp_path)
    assert fields(rows) == [
        {"id": 1, "text": "a", "day": "2026-01-02", "price": "1.50", "raw": "x", "list": [1.5, "nan"]},
        "row 2: expected text, got bytes that are not UTF-8",
    ]
    assert [row.place for row in rows] == ["row 1", "row 2"]


def test_a_damaged_parquet_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"PAR1 nothing PAR1")
    with pytest.raises(ConfigError, match=r"a\.parquet is not a whole Parquet file"):
        read(tmp_path)


# -- the source as a whole ----------------------------------------------------


def test_files_come_one_after_the_other_and_other_types_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "b.jsonl").write_text('{"id": 2}\n', "utf-8")
    (tmp_path / "a.ndjson").write_text('{"id": 1}\n', "utf-8")
    (tmp_path / "README.md").write_text("text", "utf-8")
    assert [row.key for row in read(tmp_path)] == ["1", "2"]


def test_the_id_of_a_row_without_one_is_a_hash_that_the_order_of_fields_does_not_change(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(
        '{"x": 1, "y": 2}\n{"y": 2, "x": 1}\n{"x": 1}\n{"id": null, "x": 1}\n{"id": "", "x": 1}\n', "utf-8"
    )
    rows = read(tmp_path)
    keys = [row.key for row in rows]
    assert keys[0] == keys[1]
    assert len(set(keys)) == 4
    assert not any(row.named for row in rows if isinstance(row, Row))


def test_a_file_of_a_type_without_rows_is_refused(tmp_path: Path) -> None:
    (tmp_path / "rows.json").write_text("[]", "utf-8")
    with pytest.raises(ConfigError, match=r"rows come from files that end with \.jsonl, .* got rows\.json"):
        RowSource(["rows.json"], tmp_path).check()
    with pytest.raises(ConfigError, match="does not exist"):
        RowSource(["gone.jsonl"], tmp_path).check()


def test_what_cannot_be_read_ends_the_reading_instead_of_looking_empty(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").symlink_to(tmp_path / "gone")
    with pytest.raises(ConfigError, match=r"a\.jsonl cannot be read for rows"):
        read(tmp_path)


def test_a_field_that_only_a_later_row_has_is_known(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"id": 1}\nbroken\n{"id": 2, "text": "x"}\n', "utf-8")
    source = RowSource(["a.jsonl"], tmp_path)
    source.require_fields(["text"], "prompt")
    with pytest.raises(ConfigError, match=r"prompt uses \{titel\}, but the rows of a\.jsonl have: id, text"):
        source.require_fields(["text", "titel"], "prompt")


def test_rows_are_counted_and_their_bytes_are_not(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"id": 1}\n' * 25, "utf-8")
    assert list(RowSource(["a.jsonl"], tmp_path).sizes()) == [0] * 25
