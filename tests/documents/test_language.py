"""Languages are told from little, and not at all where that is not sure."""

from __future__ import annotations

import importlib.util
from functools import lru_cache
from typing import TYPE_CHECKING

import pytest

from tenire.documents import language, language_model
from tenire.documents.language import language_of
from tenire.errors import MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ENGLISH = "No two zebras have the same stripes, and a foal learns those of its mother within hours of its birth."
GERMAN = "Keine zwei Zebras haben dieselben Streifen, und ein Fohlen lernt die seiner Mutter gleich nach der Geburt."


@pytest.fixture
def restarted(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Forgets the model, as a new process does."""

    def restart() -> None:
        fresh = lru_cache(maxsize=1)(language_model.identifier.__wrapped__)
        monkeypatch.setattr(language, "identifier", fresh)

    restart()
    yield restart
    monkeypatch.undo()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (ENGLISH, "en"),
        (GERMAN, "de"),
        ("Deux zèbres n'ont jamais les mêmes rayures, et le poulain apprend celles de sa mère.", "fr"),
        ("二つと同じ縞模様を持つシマウマはいません。子馬は母親の縞を覚えます。", "ja"),
        ("Двух зебр с одинаковыми полосами не бывает, и жеребёнок запоминает полосы матери.", "ru"),
        ("", ""),
        ("zebra", ""),
        ("1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20", ""),
        ("x = {'a': 1}\nif x: y(x)\n" * 20, ""),
        ("\ud800" * 50, ""),
    ],
)
def test_a_language_is_told_where_that_is_sure(text: str, expected: str) -> None:
    assert language_of(text) == expected


def test_prose_is_looked_for_between_code() -> None:
    code = "x = {'a': 1}\nfor key in x: print(key)\n" * 20
    assert language_of(code + GERMAN + "\n" + code) == "de"


def test_only_the_beginning_of_a_long_text_is_looked_at() -> None:
    assert language_of((ENGLISH + "\n") * 100 + (GERMAN + "\n") * 100_000) == "en"


def test_the_model_is_unpacked_once_and_then_mapped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, restarted: Callable[[], None]
) -> None:
    monkeypatch.setenv("TENIRE_CACHE", str(tmp_path / "cache"))
    assert language_of(GERMAN) == "de"
    (file,) = (tmp_path / "cache").iterdir()
    restarted()
    monkeypatch.setattr(language_model, "_unpacked", lambda: pytest.fail("unpacked twice"))
    assert language_of(GERMAN) == "de"
    assert file.read_bytes()[:1] == b"{"


@pytest.mark.parametrize("damage", ["cut", "other", "empty"])
def test_a_damaged_file_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, restarted: Callable[[], None], damage: str
) -> None:
    monkeypatch.setenv("TENIRE_CACHE", str(tmp_path))
    language_of(GERMAN)
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    file.unlink()  # the old one is still mapped
    file.write_bytes({"cut": whole[: len(whole) // 2], "other": b"something else", "empty": b""}[damage])
    restarted()
    assert language_of(GERMAN) == "de"
    assert file.read_bytes() == whole


def test_without_a_place_to_keep_it_the_model_stays_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, restarted: Callable[[], None]
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("no directory")
    monkeypatch.setenv("TENIRE_CACHE", str(blocked / "cache"))
    assert language_of(GERMAN) == "de"
    monkeypatch.setattr(language_model, "cache_folder", lambda: None)
    restarted()
    assert language_of(GERMAN) == "de"


@pytest.mark.usefixtures("restarted")
def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="py3langid"):
        language_of(GERMAN)


def test_plain_english_needs_no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise MissingExtraError("telling languages apart", extra="data", missing="py3langid")

    monkeypatch.setattr(language, "identifier", missing)
    assert (
        language_of("This is the part of it that you can have – “when you are done”, if it is not by the door.") == "en"
    )
    few, foreign = "the the the the the the the the the the", "Der Film „This is it“ ist von Ortega, und that is gut"
    for text in (GERMAN, few, f"{foreign} größer the of and to be if it is not for you"):
        with pytest.raises(MissingExtraError):
            language_of(text)
