"""What a documents pipeline asks of its files, from the configuration to the quarantine and back."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tenire.app.config import load_config
from tenire.app.document_settings import cleaning_of, facts_of, pipeline_of
from tenire.app.inspect import failed, filtered, retry
from tenire.app.pipelines import Pipeline
from tenire.app.search import search
from tenire.errors import ConfigError

from .conftest import LEDGERS, ZEBRAS, write

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tenire.pipeline.progress import RunReport

    Run = Callable[..., RunReport]

DOCS = '[pipelines.docs]\nembedder = "static"\nsource = "docs"\n'


def test_what_breaks_a_rule_is_counted_by_it_in_every_run_and_listed(tmp_path: Path, run_toml: Run) -> None:
    write(tmp_path / "docs/zebras.txt", ZEBRAS)
    write(tmp_path / "docs/short.txt", "short")
    write(tmp_path / "docs/dull.txt", LEDGERS)
    write(tmp_path / "docs/binary.txt", "\0\1\2" * 50)
    write(
        tmp_path / "house_rules.py", "def wanted(draft):\n    return 'ebra' in draft.text or 'it must be of zebras'\n"
    )
    rules = DOCS + '[pipelines.docs.validate]\nmin_text = 20\nfunction = "house_rules:wanted"\n'
    expected = {"min_text": 1, "function": 1, "validate": 1}
    first = run_toml(rules).pipelines["docs"]
    assert (first.done, first.quarantined, first.rejected) == (1, 3, expected)
    again = run_toml(rules).pipelines["docs"]
    assert (again.unchanged, again.quarantined, again.rejected) == (1, 3, expected)
    assert again.totals()["rejected"] == expected
    (tmp_path / "docs/short.txt").touch()
    touched = run_toml(rules).pipelines["docs"]
    assert (touched.unchanged, touched.quarantined, touched.rejected) == (1, 3, expected)

    found = {item.rule: item for item in failed(tmp_path / "home") if item.rule}
    assert {item.stage for item in found.values()} == {"validate"}
    assert found["min_text"].error.startswith("min_text: expected at least 20 characters of text, got 5")
    assert found["function"].error.startswith("function: it must be of zebras")

    write(tmp_path / "docs/short.txt", "short no more, zebra")
    tried = retry(tmp_path / "home", [], all_=True).report
    assert tried is not None
    assert (tried.pipelines["docs"].done, tried.pipelines["docs"].rejected) == (1, {"function": 1, "validate": 1})
    last = run_toml(DOCS).pipelines["docs"]  # without rules
    assert (last.done, last.rejected) == (3, {"validate": 1})


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("min_text = 0", "validate.min_text must be a positive whole number of characters, got 0"),
        ('languages = ["English"]', "validate.languages must be a list of ISO 639-1 codes"),
        ("required = 5", "validate.required must be a list of names"),
        ('max_size = "much"', "validate.max_size must be a size above 0"),
        ('function = "no_colon"', 'validate.function must be the name of a function, as "module:function"'),
        ("min_txt = 5", 'unknown key pipelines.docs.validate.min_txt = 5; did you mean "min_text"?'),
        (
            'function = "nowhere_to_be_found:f"',
            "validate.function: the function nowhere_to_be_found:f cannot be imported",
        ),
    ],
)
def test_an_impossible_rule_is_refused_before_anything_starts(
    tmp_path: Path, run_toml: Run, table: str, message: str
) -> None:
    write(tmp_path / "docs/a.txt", ZEBRAS)
    with pytest.raises(ConfigError, match=re.escape(message)):
        run_toml(f"{DOCS}[pipelines.docs.validate]\n{table}\n")
    assert not (tmp_path / "home").exists()


def test_a_pipeline_from_python_has_the_same_rules(tmp_path: Path) -> None:
    file = write(tmp_path / "tenire.toml", DOCS + "[pipelines.docs.validate]\nmin_text = 5\nrequired = 'title'\n")
    of_file = load_config(file).pipelines["docs"]
    of_python = Pipeline("docs", "docs", embedder="static", validate={"min_text": 5, "required": ["title"]}).settings()
    assert of_python == of_file
    with pytest.raises(ConfigError, match="validate must be a table, got 7"):
        Pipeline("docs", "docs", validate=7).settings()  # type: ignore[arg-type]


def test_what_a_home_remembers_gives_the_same_pipeline_back(tmp_path: Path) -> None:
    toml = (
        'max_file = "1MiB"\nweight = 2\nmask = "email"\nlanguage = false\n'
        '[pipelines.docs.validate]\nmax_size = "1KiB"\nfunction = "a.b:c"\n'
        "[pipelines.docs.quality]\nmin_words = true\nsymbols = 0.5\n"
    )
    known = load_config(write(tmp_path / "tenire.toml", DOCS + toml)).pipelines["docs"]
    again = pipeline_of(facts_of(known))  # type: ignore[arg-type]
    assert (again.max_file, again.weight, again.validate) == (1 << 20, 2.0, known.validate)  # type: ignore[union-attr]
    assert cleaning_of(again).mask == ("email",)
    assert cleaning_of(again).quality == (("min_words", 50.0), ("symbols", 0.5))
    assert not again.language
    assert again.validate is not None
    assert again.validate.function == f"{tmp_path}/a.b:c"


def test_what_is_not_worth_finding_is_done_without_passages_and_listed(tmp_path: Path, run_toml: Run) -> None:
    write(tmp_path / "docs/zebras.txt", ZEBRAS)
    menu = write(tmp_path / "docs/menu.txt", "buy now\n" * 50)
    write(tmp_path / "docs/copy.txt", "buy now\n" * 50)
    rules = DOCS + "[pipelines.docs.quality]\nrepeated_lines = true\nmin_words = 1\nbraces = false\n"
    first = run_toml(rules).pipelines["docs"]
    assert (first.done, first.quarantined, first.filtered) == (3, 0, {"repeated_lines": 2})
    assert first.chunks == 1
    assert first.totals()["filtered"] == {"repeated_lines": 2}
    found = filtered(tmp_path / "home")
    assert [(item.source.rpartition("/")[2], item.rule) for item in found] == [
        ("copy.txt", "repeated_lines"),
        ("menu.txt", "repeated_lines"),
    ]
    assert found[0].reason == "expected at most 0.2 of the characters are lines that stood before, got 0.98"
    again = run_toml(rules).pipelines["docs"]
    assert (again.unchanged, again.filtered) == (3, {})
    menu.unlink()
    run_toml(rules)
    assert [item.source.rpartition("/")[2] for item in filtered(tmp_path / "home")] == ["copy.txt"]
    run_toml(DOCS)
    assert filtered(tmp_path / "home") == []


def test_what_is_masked_is_nowhere_on_disk(tmp_path: Path, run_toml: Run) -> None:
    secret = "ada.lovelace@analytical.example"
    write(tmp_path / "docs/zebras.md", f"# Zebras of {secret}\n\n{ZEBRAS}\n\nAsk {secret}, or call +44 20 7946 0958.")
    progress = run_toml(DOCS + 'mask = ["email", "phone"]\n').pipelines["docs"]
    assert progress.masked == {"email": 2, "phone": 1}
    for file in (tmp_path / "home").rglob("*"):
        assert not file.is_file() or b"ada.lovelace" not in file.read_bytes()
    hit = search(tmp_path / "home", "whom to ask about zebras").hits[0]
    assert "Zebras of [email]" in hit.text or "Ask [email], or call [phone]" in hit.text


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ('mask = ["mail"]\n', 'mask must be a list of "email", "phone", "card", "iban", "ip"'),
        ('language = "en"\n', 'language must be true or false, got "en"'),
        (
            "[pipelines.docs.quality]\nmin_words = -1\n",
            "min_words must be a number from 0, or true",
        ),
        ("[pipelines.docs.quality]\nrepeated = true\n", "unknown key pipelines.docs.quality.repeated = true"),
    ],
)
def test_impossible_cleaning_is_refused(tmp_path: Path, run_toml: Run, table: str, message: str) -> None:
    write(tmp_path / "docs/a.txt", ZEBRAS)
    with pytest.raises(ConfigError, match=re.escape(message)):
        run_toml(DOCS + table)
