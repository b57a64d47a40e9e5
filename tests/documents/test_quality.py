"""Rules of quality: each has a text that breaks it, and prose keeps them all."""

from __future__ import annotations

import pytest

from tenire.app.config_schema import QualitySettings
from tenire.documents.quality import RULES, broken_rule

PROSE = (
    "No two zebras have the same stripes. A foal learns those of its mother within hours of its birth, and that is "
    "why she keeps the others away from it. Their stripes were thought to hide them from lions, but that is not so: "
    "lions find them by smell and sound, long before they can see any stripes.\n\n"
    "What the stripes do is to keep flies away. Flies that carry diseases come near a zebra as often as near a horse, "
    "and then do not land. People have put coats with stripes on horses, and the flies of that place left them alone "
    "as well, while horses with plain coats had to bear them all day.\n"
)


def limits(*names: str) -> list[tuple[str, float]]:
    return [(name, RULES[name].limit) for name in names or RULES]


def test_prose_keeps_every_rule() -> None:
    assert broken_rule(PROSE, "en", limits()) is None


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        ("min_words", "too few words"),
        ("max_words", "word " * 100_001),
        ("min_word_length", "a b c d of it"),
        ("max_word_length", "incomprehensibilities notwithstanding"),
        ("symbols", "# one # two # three"),
        ("bullet_lines", "\n".join(f"- item {number}" for number in range(20))),
        ("ellipsis_lines", "read more...\nand more…\nend"),
        ("words_with_letters", "1 2 3 4 five 6 7"),
        ("stopwords", "buy cheap watches online today best price"),
        ("repeated_lines", "a line of text\n" * 5),
        ("repeated_paragraphs", "a paragraph\n\n" * 5),
        ("repeated_two_words", "buy now " * 20),
        ("repeated_three_words", "buy it now " * 20),
        ("repeated_four_words", "buy it now please " * 20),
        ("finished_lines", "Home\nAbout\nContact\nImprint"),
        ("braces", "int main() { return 0; }"),
        ("lorem_ipsum", "Lorem ipsum dolor sit amet."),
    ],
)
def test_each_rule_has_what_breaks_it(rule: str, text: str) -> None:
    found = broken_rule(text, "en", limits(rule))
    assert found is not None
    assert found[0] == rule
    bound = "at most" if RULES[rule].at_most else "at least"
    assert found[1].startswith(f"expected {bound} {RULES[rule].limit:g} {RULES[rule].what}, got ")


def test_every_rule_is_a_key_of_the_configuration() -> None:
    assert QualitySettings.__struct_fields__ == tuple(RULES)


@pytest.mark.parametrize("text", ["", " \n\n "])
def test_a_text_without_words_is_judged_by_nothing(text: str) -> None:
    assert broken_rule(text, "", limits()) is None


def test_words_of_a_language_are_only_asked_for_where_they_are_known() -> None:
    assert broken_rule("Zebras laufen schnell weg", "de", limits("stopwords")) is not None
    assert broken_rule("Zebras laufen schnell weg", "fi", limits("stopwords")) is None
    assert broken_rule("der und die", "de", limits("stopwords")) is None


def test_words_are_not_counted_where_no_blanks_tell_them_apart() -> None:
    text = "斑马身上的条纹各不相同，因此很容易辨认。每一匹斑马都有自己的花纹，其他斑马都没有。\n" * 2
    of_words = [name for name in RULES if "word" in name] + ["symbols", "braces", "stopwords"]
    for rule in of_words:
        assert broken_rule(text, "zh", limits(rule)) is None, rule
    assert broken_rule(text, "zh", limits("repeated_lines")) is not None
    assert broken_rule(text, "zh", limits("lorem_ipsum")) is None
    assert broken_rule(text, "en", limits("max_word_length")) is not None


def test_the_first_rule_that_is_broken_is_the_reason() -> None:
    assert broken_rule("buy now " * 20, "", [("min_words", 50), ("repeated_two_words", 0.2)])[0] == "min_words"  # type: ignore[index]
    assert broken_rule("buy now " * 20, "", [("min_words", 10), ("repeated_two_words", 0.2)])[0] != "min_words"  # type: ignore[index]
