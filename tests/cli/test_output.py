from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenire.cli.output import Output, clean, human_bytes, human_seconds


@given(st.text(st.characters(codec=None)))
def test_a_clean_text_holds_no_control_character_and_can_be_encoded(text: str) -> None:
    shown = clean(text)
    shown.encode("utf-8")
    assert not any(unicodedata.category(character) in ("Cc", "Cs") for character in shown)


@given(st.text(st.characters(categories=["L", "N", "P", "Zs"])))
def test_ordinary_text_is_shown_as_it_is(text: str) -> None:
    assert clean(text) == text


def test_line_breaks_stay_only_where_lines_are_wanted() -> None:
    assert clean("a\nb\tc") == "a\\nb\\tc"
    assert clean("a\nb\tc", lines=True) == "a\nb\tc"
    assert clean("a\rb", lines=True) == "a\\rb"


@given(
    st.recursive(st.text(st.characters(codec=None)) | st.floats() | st.integers() | st.none(), st.lists, max_leaves=5)
)
def test_json_is_one_line_of_ascii_that_strict_parsers_read(value: object) -> None:
    lines: list[str] = []

    class Stream(Output):
        @staticmethod
        def _write(stream: object, text: str) -> None:
            lines.append(text)

    Stream(as_json=True).json({"value": value})
    assert len(lines) == 1
    assert lines[0].isascii()
    assert lines[0].count("\n") == 1
    json.dumps(json.loads(lines[0]), ensure_ascii=False).encode("utf-8")


@pytest.mark.parametrize(
    ("count", "shown"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (12_345_678, "12.3 MB"), (5e12, "5,000.0 GB")]
)
def test_sizes_are_shown_for_people(count: float, shown: str) -> None:
    assert human_bytes(count) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0.04, "0.0 s"), (9.96, "0:10"), (59.7, "1:00"), (61, "1:01"), (3725, "1:02:05")]
)
def test_durations_are_shown_for_people(seconds: float, shown: str) -> None:
    assert human_seconds(seconds) == shown
