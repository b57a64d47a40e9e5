"""Which documents a pipeline wants, and what is said of those that it does not."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from tenire.documents.cleaning import Cleaning
from tenire.documents.draft import Draft
from tenire.documents.prepare import PrepareOptions, prepare, recipe_identity
from tenire.documents.validation import Checks, validate
from tenire.errors import DocumentError
from tenire.protocols import About, Rejection, SourceFile

DRAFT = Draft("/d/a.txt", 1000, "A title", "x" * 500, About("text", "en", extra=(("project", "tenire"), ("empty", ""))))


@pytest.mark.parametrize(
    ("checks", "rule", "reason"),
    [
        ({"min_size": 1001}, "min_size", "expected at least 1001 bytes, got 1000 bytes"),
        ({"max_size": 999}, "max_size", "expected at most 999 bytes, got 1000 bytes"),
        ({"min_text": 501}, "min_text", "expected at least 501 characters of text, got 500"),
        ({"max_text": 499}, "max_text", "expected at most 499 characters of text, got 500"),
        ({"languages": ("de", "fr")}, "languages", "expected a text in de or fr, got a text in en"),
        ({"required": ("title", "author")}, "required", "expected a document that names its author"),
        ({"required": ("empty",)}, "required", "expected a document that names its empty"),
        ({"required": ("extra",)}, "required", "expected a document that names its extra"),
    ],
)
def test_a_broken_rule_says_what_it_expected_and_what_came(checks: dict[str, Any], rule: str, reason: str) -> None:
    with pytest.raises(DocumentError) as refused:
        validate(DRAFT, Checks(**checks))
    assert refused.value.rule == rule
    assert refused.value.stage == "validate"
    assert refused.value.source == "/d/a.txt"
    assert str(refused.value).startswith(f"{rule}: {reason}")
    assert rule in (refused.value.hint or "")


def test_bounds_themselves_are_inside() -> None:
    validate(
        DRAFT,
        Checks(
            min_size=1000,
            max_size=1000,
            min_text=500,
            max_text=500,
            languages=("en",),
            required=("title", "language", "project"),
        ),
    )


def test_a_text_whose_language_is_not_sure_is_in_none() -> None:
    with pytest.raises(DocumentError, match="got a text whose language is not sure"):
        validate(Draft("/a", 1, "", "?"), Checks(languages=("en",)))


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "checks_of_a_user.py").write_text(
        "import dataclasses\n"
        "def fine(draft): return None\n"
        "def also_fine(draft): return len(draft.text) == 500 and draft.title == 'A title'\n"
        "def refuses(draft): return False\n"
        "def explains(draft): return ' too dull '\n"
        "def breaks(draft): return 1 / 0\n"
        "def odd(draft): return 7\n"
    )
    yield str(tmp_path / "checks_of_a_user")
    sys.modules.pop("checks_of_a_user", None)


@pytest.mark.parametrize("name", ["fine", "also_fine"])
def test_a_function_of_the_user_may_agree(module: str, name: str) -> None:
    validate(DRAFT, Checks(function=f"{module}:{name}"))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("refuses", "refuses refused it"),
        ("explains", "too dull"),
        ("breaks", "breaks failed: ZeroDivisionError: division by zero"),
        ("odd", "odd must return None, True, False or a text, got int"),
    ],
)
def test_a_function_of_the_user_may_refuse_or_fail(module: str, name: str, reason: str) -> None:
    with pytest.raises(DocumentError) as refused:
        validate(DRAFT, Checks(function=f"{module}:{name}"))
    assert str(refused.value) == f"function: {reason}"
    assert refused.value.rule == "function"


def test_a_rejection_carries_its_rule_and_another_rule_is_another_recipe(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("short")
    file = SourceFile(str(tmp_path / "a.txt"), 5, 1)
    options = PrepareOptions(cleaning=Cleaning(checks=Checks(min_text=6)))
    (found,) = prepare([file], options)
    assert isinstance(found, Rejection)
    assert (found.stage, found.rule, found.reason) == ("validate", "min_text", "min_text")
    assert found.content_hash
    identities = {recipe_identity(each) for each in (options, PrepareOptions())}
    identities.add(recipe_identity(PrepareOptions(cleaning=Cleaning(checks=Checks(min_text=7)))))
    assert len(identities) == 3


def test_a_function_with_other_lines_is_another_recipe(module: str) -> None:
    path = Path(f"{module}.py")
    first = Checks(function=f"{module}:fine").identity
    assert first == Checks(function=f"{module}:fine").identity
    path.write_text("def fine(draft):\n    return bool(draft)\n")
    sys.modules.pop("checks_of_a_user")
    assert Checks(function=f"{module}:fine").identity != first
