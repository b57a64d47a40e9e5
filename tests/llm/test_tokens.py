from __future__ import annotations

import asyncio
import base64
import hashlib
import sys
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenire.llm import tokenisers
from tenire.llm.client import ChatClient
from tenire.llm.records import ChatRequest, Usage
from tenire.llm.requests import make_request
from tenire.llm.token_estimate import PER_PICTURE, count_request, count_texts, text_tokens
from tenire.llm.tokenisers import load_tokeniser, load_tokenisers
from tenire.llm.tokens import LONG_OUTPUT, UNKNOWN_OUTPUT, TokenCounter, TokenEstimate

from .models import Model

if TYPE_CHECKING:
    from pathlib import Path

DECLARATION = "All human beings are born free and equal in dignity and rights. They are endowed with reason."


def request(content: Any, output: int | None = 80, **more: Any) -> ChatRequest:
    return ChatRequest("m", ({"role": "user", "content": content},), output, **more)


# Counted with OpenAI's o200k_base, or cl100k_base where that needs more.
@pytest.mark.parametrize(
    ("text", "actual"),
    [
        (DECLARATION, 19),
        ("Say hello to the world.", 6),
        ("Die Würde des Menschen ist unantastbar. " * 10, 121),
        ("Все люди рождаются свободными и равными в своем достоинстве и правах. " * 10, 351),
        ("人人生而自由,在尊严和权利上一律平等。" * 10, 220),
        ("1234567 7654321 " * 20, 160),
        ('{"name": "row 1", "value": 0.5}, ' * 10, 161),
        ("2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881" * 4, 129),
    ],
)
def test_a_text_is_estimated_high_and_not_absurdly_so(text: str, actual: int) -> None:
    assert actual <= text_tokens(text) <= 2 * actual + 2


@given(st.text(max_size=60))
def test_no_text_has_more_tokens_than_bytes(text: str) -> None:
    assert 0 <= text_tokens(text) <= len(text.encode("utf-8", "replace"))
    assert count_request(request(text)).tokens >= 1


def test_what_is_no_language_has_short_tokens() -> None:
    encoded = base64.b64encode(b"".join(hashlib.sha256(bytes([number])).digest() for number in range(20))).decode()
    assert 609 <= text_tokens(encoded) <= 700
    assert text_tokens("a" * 20) < text_tokens("a" * 21) / 2  # from here on it is no word any more
    assert text_tokens("a" * 20 + " " + "a" * 19) < text_tokens("a" * 41) / 2


def test_requests_are_compared_with_their_like() -> None:
    plain, foreign = count_request(request(DECLARATION)), count_request(request("ж" * 40))
    picture = count_request(request([{"type": "image_url"}]))
    assert [found.kind[1:] for found in (plain, foreign, picture)] == [(False, False), (True, False), (False, True)]
    assert count_texts([DECLARATION, "ж"]).kind[1:] == (True, False)
    assert count_texts([DECLARATION]).kind[1:] == (False, False)
    assert count_request(request("word " * 2)).kind[0] < count_request(request("word " * 400)).kind[0]


def test_a_text_counts_the_same_alone_and_in_parts() -> None:
    whole = count_request(request(DECLARATION))
    parts = count_request(request([{"type": "text", "text": DECLARATION}]))
    assert (whole.tokens, whole.kind) == (parts.tokens, parts.kind)
    assert count_request(request([DECLARATION])).tokens == whole.tokens


def test_everything_that_is_sent_counts() -> None:
    bare = count_request(request("hi")).tokens
    assert count_request(request("hi", schema={"type": "object", "title": "x" * 40})).tokens > bare
    assert count_request(request("hi", parameters={"tools": [{"name": "x" * 40}]})).tokens > bare
    assert count_request(request("hi", parameters={"temperature": 0})).tokens == bare
    named = ChatRequest("m", ({"role": "user", "content": "hi", "name": "somebody"},))
    assert count_request(named).tokens > bare
    parts = [{"type": "text", "text": "hi"}, {"type": "image_url", "image_url": {"url": "data:," + "A" * 100_000}}]
    assert PER_PICTURE <= count_request(request(parts)).tokens <= PER_PICTURE + 50
    assert count_request(request([{"type": "text", "text": "word " * 100}])).tokens > 100
    assert count_request(ChatRequest("m", ())).tokens >= 1


@pytest.mark.parametrize("ratio", [0.5, 0.8, 1.3])
def test_the_estimate_learns_what_the_provider_counts(ratio: float) -> None:
    counter = TokenCounter()
    asked = request(DECLARATION * 10)
    first = counter.estimate(asked)
    actual = round(first.raw.tokens * ratio)
    for _ in range(100):
        counter.learn(counter.estimate(asked), Usage(actual, 5))
    learned = counter.estimate(asked).input_tokens
    assert actual <= learned <= 1.05 * actual + 2
    assert counter.estimate(request("hi")).input_tokens == counter.estimate(request("hi")).raw.tokens
    other = ChatRequest("other", asked.messages)
    assert counter.estimate(other).input_tokens == first.input_tokens


def test_a_few_replies_are_not_believed_yet() -> None:
    counter = TokenCounter()
    asked = request(DECLARATION * 10, None)
    first = counter.estimate(asked)
    for _ in range(7):
        counter.learn(first, Usage(first.raw.tokens // 2, 10))
    assert counter.estimate(asked).tokens == first.tokens
    counter.learn(first, Usage(first.raw.tokens // 2, 10))
    learned = counter.estimate(asked)
    assert 0.5 * first.input_tokens <= learned.input_tokens <= 0.56 * first.input_tokens
    assert learned.output_tokens == 11


def test_a_size_of_which_nothing_is_known_is_like_the_next_smaller_one() -> None:
    counter = TokenCounter()
    short, long, foreign = request("word " * 400), request("word " * 6000), request("жук " * 6000)
    raw = counter.estimate(short).raw.tokens
    for _ in range(8):
        counter.learn(counter.estimate(short), Usage(round(0.8 * raw), 5))
    first = counter.estimate(long)
    assert 0.8 * first.raw.tokens <= first.input_tokens <= 0.85 * first.raw.tokens
    assert counter.estimate(foreign).input_tokens == counter.estimate(foreign).raw.tokens, "of another script"
    assert counter.estimate(request("word " * 30)).input_tokens == counter.estimate(request("word " * 30)).raw.tokens
    counter.learn(first, Usage(round(0.95 * first.raw.tokens), 5))
    assert counter.estimate(long).input_tokens >= round(0.95 * first.raw.tokens), "the longest of its own is known"
    assert counter.estimate(short).input_tokens <= 0.85 * raw, "a longer one says nothing of it"


def test_what_very_short_requests_take_says_nothing_of_longer_ones() -> None:
    counter = TokenCounter()
    for _ in range(8):
        counter.learn(counter.estimate(request("word " * 20)), Usage(1, 5))
    long = counter.estimate(request("word " * 400))
    assert long.input_tokens == long.raw.tokens


@pytest.mark.parametrize(("spread", "margin"), [(0.0, 0.006), (0.02, 0.05), (0.5, 0.09)])
def test_requests_that_are_all_alike_are_known_closely(spread: float, margin: float) -> None:
    counter = TokenCounter()
    asked = request("word " * 6000)
    raw = counter.estimate(asked).raw.tokens
    for number in range(8):
        counter.learn(counter.estimate(asked), Usage(round(raw * (0.8 - spread * number / 8)), 5))
    learned = counter.estimate(asked).input_tokens
    assert 0.8 * raw <= learned <= 0.8 * raw * (1 + margin) + 1
    assert learned >= 0.8 * raw * (1 + margin) * 0.99


def test_counts_that_differ_by_nothing_are_exact_until_one_does() -> None:
    counter = TokenCounter({"m": lambda text: len(text) / 4})
    asked = request("word " * 6000)
    raw = counter.estimate(asked).raw.exact
    for number in range(15):
        counter.learn(counter.estimate(asked), Usage(round(raw * 0.9) + number % 3, 5))
    assert counter.estimate(asked).input_tokens > round(raw * 0.9) * 1.004, "fifteen could still be chance"
    counter.learn(counter.estimate(asked), Usage(round(raw * 0.9), 5))
    assert abs(counter.estimate(asked).input_tokens - raw * 0.9) <= 2
    counter.learn(counter.estimate(asked), Usage(round(raw * 0.93), 5))
    assert counter.estimate(asked).input_tokens >= round(raw * 0.93)


def test_an_estimate_that_was_made_before_is_renewed() -> None:
    counter = TokenCounter()
    early, open_ended = counter.estimate(request(DECLARATION * 10)), counter.estimate(request(DECLARATION * 10, None))
    assert counter.revision == 0
    for number in range(8):
        assert counter.revision == 0, number
        counter.learn(early, Usage(early.raw.tokens // 2, 10))
    assert counter.revision == 1
    assert counter.renewed(early).tokens == counter.estimate(request(DECLARATION * 10)).tokens
    assert counter.renewed(open_ended)[:3] == counter.estimate(request(DECLARATION * 10, None))[:3]
    assert counter.renewed(open_ended).output_tokens == 11
    assert counter.renewed(early).output_tokens == 80
    for _ in range(600):
        counter.learn(early, Usage(early.raw.tokens // 2, 10))
    settled = counter.revision
    for _ in range(100):
        counter.learn(early, Usage(early.raw.tokens // 2, 10))
    assert counter.revision == settled <= 12
    for _ in range(8):
        counter.learn(open_ended, Usage(early.raw.tokens // 2, 500))
    assert counter.revision > settled


def test_nearly_all_of_varying_requests_are_covered() -> None:
    counter = TokenCounter()
    short = 0
    for number in range(2000):
        asked = request("word " * (150 + number * 7 % 100))
        estimate = counter.estimate(asked)
        actual = round(estimate.raw.tokens * (0.6 + 0.1 * (number * 13 % 97) / 97))
        short += number > 200 and actual > estimate.input_tokens
        counter.learn(estimate, Usage(actual, 1))
    assert short <= 2000 * 0.03


def test_what_is_forgotten_no_longer_counts() -> None:
    counter = TokenCounter()
    asked = request(DECLARATION)
    raw = counter.estimate(asked).raw.tokens
    counter.learn(counter.estimate(asked), Usage(raw * 10, 1))
    for _ in range(200):
        counter.learn(counter.estimate(asked), Usage(raw, 1))
    assert counter.estimate(asked).input_tokens <= 1.1 * raw + 2


def test_the_output_is_the_limit_or_what_is_usual() -> None:
    counter = TokenCounter()
    assert counter.estimate(request("hi", 80)).output_tokens == 80
    assert counter.estimate(request("hi", None)).output_tokens == UNKNOWN_OUTPUT
    for number in range(100):
        counter.learn(counter.estimate(request("hi")), Usage(5, 100 + number))
    assert 190 <= counter.estimate(request("hi", None)).output_tokens <= 220
    assert counter.estimate(request("hi", 80)).output_tokens == 80


def test_money_is_set_aside_for_a_long_reply_unless_the_request_says_how_long() -> None:
    counter = TokenCounter()
    assert counter.estimate(request("hi", 80)).most_output == 80
    assert counter.estimate(request("hi", None)).most_output == LONG_OUTPUT
    counter.learn(counter.estimate(request("hi")), Usage(5, 3000))
    assert counter.estimate(request("hi", None)).most_output == 6000
    assert counter.estimate(request("hi", 80)).most_output == 80


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_a_limit_among_the_parameters_is_one(name: str) -> None:
    def estimate(limit: object) -> TokenEstimate:
        return TokenCounter().estimate(make_request("m", "hi", parameters={name: limit}))

    assert (estimate(4000).output_tokens, estimate(4000).most_output, estimate(4000).bounded) == (4000, 4000, True)
    assert not any(estimate(strange).bounded for strange in (None, True, 0, "4000"))


def test_usage_that_says_nothing_teaches_nothing() -> None:
    counter = TokenCounter()
    estimate = counter.estimate(request("hi", None))
    for _ in range(20):
        counter.learn(estimate, None)
        counter.learn(estimate, Usage())
    assert counter.estimate(request("hi", None)).tokens == estimate.tokens


def test_texts_for_vectors_have_no_output() -> None:
    estimate = TokenCounter().estimate_texts("m", [DECLARATION, "hi"])
    assert estimate.output_tokens == 0
    assert 20 <= estimate.tokens <= 50


def test_an_exact_count_is_used_where_there_is_one() -> None:
    counter = TokenCounter({"m": lambda text: float(len(text.split()))})
    assert counter.estimate(request("one two three")).input_tokens == 10
    assert counter.estimate_texts("m", ["one two three"]).input_tokens == 4


VOCABULARY = b"a vocabulary"


class FakeTiktoken(SimpleNamespace):
    __version__ = "0.14.0"

    def encoding_name_for_model(self, model: str) -> str:
        return {"gpt-4o": "o200k_base", "old": "r50k_base"}[model]

    def get_encoding(self, name: str) -> Any:
        assert name == "o200k_base"
        assert threading.current_thread() is not threading.main_thread() or not self.aside
        return SimpleNamespace(encode_ordinary=str.split)


@pytest.fixture
def vocabulary(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The file of a vocabulary that tiktoken is made to have."""
    monkeypatch.setitem(sys.modules, "tiktoken", FakeTiktoken(aside=False))
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    monkeypatch.setitem(tokenisers._SHA256, "o200k_base", hashlib.sha256(VOCABULARY).hexdigest())
    address = "https://openaipublic.blob.core.windows.net/encodings/o200k_base.tiktoken"
    file = tmp_path / hashlib.sha1(address.encode(), usedforsecurity=False).hexdigest()
    file.write_bytes(VOCABULARY)
    return file


def test_tiktoken_counts_where_it_has_a_vocabulary(vocabulary: Path) -> None:
    assert vocabulary.exists()
    count = load_tokeniser("openai/gpt-4o")
    assert count is not None
    assert count("one two three") == 3
    assert count("word " * 10_000) == text_tokens("word " * 10_000)
    assert list(load_tokenisers(("gpt-4o", "old", "unknown"))) == ["gpt-4o"]


def test_tiktoken_is_used_only_where_it_need_not_fetch(monkeypatch: pytest.MonkeyPatch, vocabulary: Path) -> None:
    for version in ("0.6.0", "0.15.0", "1.0", "strange"):
        monkeypatch.setattr(FakeTiktoken, "__version__", version)
        assert load_tokeniser("gpt-4o") is None
    monkeypatch.setattr(FakeTiktoken, "__version__", "0.14.0")
    vocabulary.write_bytes(VOCABULARY[:-1])  # tiktoken would throw it away and fetch it anew
    assert load_tokeniser("gpt-4o") is None
    assert vocabulary.exists()
    vocabulary.unlink()
    assert load_tokeniser("gpt-4o") is None
    vocabulary.write_bytes(VOCABULARY)
    assert load_tokeniser("gpt-4o") is not None
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", "")
    assert load_tokeniser("gpt-4o") is None
    monkeypatch.setitem(sys.modules, "tiktoken", None)
    assert load_tokeniser("gpt-4o") is None


def test_a_client_counts_exactly_and_loads_the_vocabulary_beside_its_loop(
    monkeypatch: pytest.MonkeyPatch, vocabulary: Path
) -> None:
    monkeypatch.setitem(sys.modules, "tiktoken", FakeTiktoken(aside=True))

    async def input_tokens() -> int:
        async with ChatClient("gpt-4o", transport=Model()) as client:
            return (await client.estimate(["one two three"], max_output_tokens=1)).input_tokens

    assert asyncio.run(input_tokens()) == 10
    vocabulary.unlink()
    assert asyncio.run(input_tokens()) > 10
