from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenire.pipeline.rows.template import MissingFieldError, Template


def test_fields_are_filled_from_the_row() -> None:
    template = Template("{a} and { the b }: {a}, {c}, {d}{e}.")
    assert template.fields == ("a", "the b", "c", "d", "e")
    row = {"a": "x", "the b": 1.5, "c": ["ä", {"k": None}], "d": None, "e": True}
    assert template.render(row) == 'x and 1.5: x, ["ä", {"k": null}], true.'


def test_what_a_row_holds_is_never_read_as_a_template() -> None:
    assert Template("{a}").render({"a": "{b} {{"}) == "{b} {{"


@pytest.mark.parametrize("text", ["{a.__class__}", "{a!r}", "{a:>9}", "{a[0]}"])
def test_there_is_no_code_in_a_template(text: str) -> None:
    assert Template(text).fields == (text[1:-1],)
    with pytest.raises(MissingFieldError, match="it has: a"):
        Template(text).render({"a": "x"})


def test_braces_are_written_twice() -> None:
    template = Template('{{"id": {a}}} }}{{ {{{a}}}')
    assert template.fields == ("a",)
    assert template.render({"a": 1}) == '{"id": 1} }{ {1}'


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a { b", "a single { at character 3"),
        ("a } b", "a single } at character 3"),
        ("{}", "{} without a field's name at character 1"),
        ("x{ }", "{} without a field's name at character 2"),
        ("{a{b}", "a single { at character 1"),
    ],
)
def test_a_brace_that_means_nothing_is_refused_with_its_place(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=r"character") as caught:
        Template(text)
    assert str(caught.value).startswith(problem)


def test_a_row_that_lacks_a_field_is_told_what_it_has() -> None:
    with pytest.raises(MissingFieldError, match="no field 'b'; it has: a, c"):
        Template("{b}").render({"a": 1, "c": 2})
    with pytest.raises(MissingFieldError, match="it has: none"):
        Template("{b}").render({})


@given(st.text())
def test_any_text_can_be_said_by_writing_its_braces_twice(text: str) -> None:
    template = Template(text.replace("{", "{{").replace("}", "}}"))
    assert template.fields == ()
    assert template.render({}) == text
