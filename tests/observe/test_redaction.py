from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenire.observe.redaction import LONGEST, REDACTED, Redaction

KEY = "q7Wm2-fRt9_xZ4LpB8sDn3VhKc6JgYt1"


def clean(text: str, **environment: str) -> str:
    return Redaction(environment).clean(text)


@pytest.mark.parametrize(
    "text",
    [
        f"key {KEY}",
        f"calling with sk-{KEY[:12]}",
        f"Authorization: Bearer {KEY}",
        f"api_key={KEY[:9]}",
        f'"token": "{KEY[:9]}"',
        f"https://me:{KEY[:9]}@example.org/x",
        f"ghp_{KEY[:9]}abc",
        f"password: {KEY[:7]}",
    ],
)
def test_what_looks_like_a_key_is_taken_out(text: str) -> None:
    found = clean(text)
    assert KEY[:7] not in found
    assert REDACTED in found


def test_the_secrets_of_the_environment_are_known_whatever_they_look_like() -> None:
    assert clean("it was hunter22 again", MY_SERVICE_KEY="hunter22") == f"it was {REDACTED} again"
    assert clean("it was hunter22 again", MY_SERVICE_NAME="hunter22") == "it was hunter22 again"
    assert clean("a cat", API_KEY="cat") == "a cat", "too short to be one"


def test_a_secret_within_a_longer_one_leaves_no_rest() -> None:
    assert clean("abcdef-ghijkl", A_KEY="abcdef", B_KEY="abcdef-ghijkl") == REDACTED


@pytest.mark.parametrize("text", ["prepare batch 12", "minilm", "docs/api/concurrency.md", "worker-3", "elevated"])
def test_ordinary_names_stay(text: str) -> None:
    assert clean(text) == text


@given(st.text(max_size=3 * LONGEST), st.text("abcXYZ019-_", min_size=6, max_size=60), st.text(max_size=3 * LONGEST))
def test_no_secret_gets_through_wherever_it_stands(before: str, secret: str, after: str) -> None:
    found = clean(before + secret + after, THE_SECRET=secret)
    assert secret not in found.replace(REDACTED, "\0")
    assert len(found) <= LONGEST
    assert "\n" not in found
