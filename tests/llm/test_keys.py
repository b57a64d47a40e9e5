from __future__ import annotations

import pickle

import pytest

from tenire.errors import ConfigError
from tenire.llm.keys import ApiKey, find_key

SECRET = "sk-test-0123456789abcdef"
VARIABLES = {"OPENAI_API_KEY": "of openai", "OPENROUTER_API_KEY": "of openrouter", "MINE": f" {SECRET}\n", "EMPTY": " "}


def test_a_key_shows_itself_only_when_asked() -> None:
    key = ApiKey(f" {SECRET}\n")
    assert key.reveal() == SECRET
    assert SECRET not in f"{key} {key!r} {[key]} {key.fingerprint}"
    assert key.hide(f"Bearer {SECRET}!") == "Bearer [key]!"
    with pytest.raises(TypeError, match="not pickled") as caught:
        pickle.dumps(key)
    assert SECRET not in str(caught.value)


def test_equal_keys_have_one_fingerprint() -> None:
    assert ApiKey(SECRET) == ApiKey(SECRET + " ")
    assert ApiKey(SECRET).fingerprint == ApiKey(SECRET).fingerprint != ApiKey(SECRET + "x").fingerprint
    assert len({ApiKey(SECRET), ApiKey(SECRET)}) == 1
    assert ApiKey(SECRET) != ApiKey("other")
    assert ApiKey(SECRET) != SECRET
    assert len(ApiKey(SECRET).fingerprint) == 16


def test_a_key_as_short_as_a_syllable_is_not_looked_for() -> None:
    assert ApiKey("abc").hide("abc abcd") == "abc abcd"
    assert ApiKey("abcd").hide("abc abcd") == "abc [key]"


@pytest.mark.parametrize("text", ["", "  \n", "two\nlines", "ключ", "a\x00b"])
def test_what_cannot_be_a_key_is_refused_and_not_shown(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        ApiKey(text)
    assert not text.strip() or text not in str(caught.value)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("api.openai.com", "of openai"),
        ("127.0.0.1", "of openai"),
        ("localhost", "of openai"),
        ("::1", "of openai"),
        ("openrouter.ai", "of openrouter"),
        ("api.anthropic.com", None),
        ("evil-api.openai.com.example", None),
        ("notopenrouter.ai", None),
        ("10.0.0.5", None),
    ],
)
def test_a_key_of_the_environment_goes_only_to_its_provider(host: str, expected: str | None) -> None:
    key = find_key(host, environment=VARIABLES)
    assert (None if key is None else key.reveal()) == expected


def test_a_key_remembers_the_variable_that_held_it() -> None:
    variables = {"OPENAI_API_KEY": "sk-1", "MINE": "sk-2"}
    found = [find_key("api.openai.com", environment=variables), find_key("h", None, "MINE", environment=variables)]
    assert [key and key.variable for key in found] == ["OPENAI_API_KEY", "MINE"]
    assert ApiKey("sk-1").variable is None


def test_a_named_variable_must_be_there() -> None:
    found = find_key("example.org", api_key_env="MINE", environment=VARIABLES)
    assert found == ApiKey(SECRET)
    with pytest.raises(ConfigError, match="OTHER, which is not set"):
        find_key("example.org", api_key_env="OTHER", environment=VARIABLES)
    with pytest.raises(ConfigError, match="EMPTY, which is empty"):
        find_key("example.org", api_key_env="EMPTY", environment=VARIABLES)
    with pytest.raises(ConfigError, match="both"):
        find_key("example.org", SECRET, "MINE", environment=VARIABLES)
    assert find_key("example.org", ApiKey(SECRET)) == ApiKey(SECRET)
