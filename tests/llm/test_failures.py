from __future__ import annotations

import json
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenire.core.retrying import Kind
from tenire.errors import (
    AuthenticationError,
    BadRequestError,
    BrokenReplyError,
    ContextLengthError,
    ModelError,
    OutOfCreditError,
    RateLimitedError,
    ServerError,
    UnknownModelError,
)
from tenire.llm.endpoint import kind_of_failure
from tenire.llm.excerpts import fit_to_show, texts_in
from tenire.llm.failures import Call, broken, kind_of, refusal, unanswered
from tenire.llm.keys import ApiKey

PROMPT = "Summarise the secret plans of the purple llamas in one sentence"
CALL = Call("a chat completion", "http://h/v1/chat/completions", "m", lambda: [PROMPT], ApiKey("sk-0123456789abcdef"))


def of(status: int, error: Any = None, headers: dict[str, str] | None = None) -> ModelError:
    body = error if isinstance(error, bytes) else json.dumps({"error": error or {}}).encode()
    return refusal(CALL, status, headers or {}, body)


@pytest.mark.parametrize(
    ("status", "error", "cls", "kind"),
    [
        (400, {"message": "temperature must be at most 2"}, BadRequestError, Kind.PERMANENT),
        (400, {"code": "context_length_exceeded", "message": "too long"}, ContextLengthError, Kind.PERMANENT),
        (400, {"message": "This model's maximum context length is 8192 tokens."}, ContextLengthError, Kind.PERMANENT),
        (400, {"message": "prompt is too long: 210000 tokens > 200000 maximum"}, ContextLengthError, Kind.PERMANENT),
        (400, {"message": "the request exceeds the available context size"}, ContextLengthError, Kind.PERMANENT),
        (422, {"message": "inputs must have less than 512 tokens. Given: 600"}, ContextLengthError, Kind.PERMANENT),
        (400, {"message": "max_tokens is too large: 50000"}, BadRequestError, Kind.PERMANENT),
        (400, {"message": "API key not valid. Please pass a valid one."}, AuthenticationError, Kind.PERMANENT),
        (400, {"message": "gpt-99 is not a valid model ID"}, UnknownModelError, Kind.PERMANENT),
        (400, {"message": "Your credit balance is too low"}, OutOfCreditError, Kind.PERMANENT),
        (401, {"message": "Incorrect API key provided"}, AuthenticationError, Kind.PERMANENT),
        (402, {"message": "Insufficient credits"}, OutOfCreditError, Kind.PERMANENT),
        (403, {"message": "not in your country"}, AuthenticationError, Kind.PERMANENT),
        (403, {"message": "flagged", "metadata": {"reasons": ["x"]}}, BadRequestError, Kind.PERMANENT),
        (404, {"code": "model_not_found", "message": "no such model"}, UnknownModelError, Kind.PERMANENT),
        (404, b"404: Not Found", UnknownModelError, Kind.PERMANENT),
        (407, {}, ServerError, Kind.TRANSIENT),
        (408, {}, ServerError, Kind.TRANSIENT),
        (425, {}, ServerError, Kind.TRANSIENT),
        (409, {}, ServerError, Kind.TRANSIENT),
        (413, {"message": "Request Entity Too Large"}, BadRequestError, Kind.PERMANENT),
        (413, {"message": "maximum context length"}, ContextLengthError, Kind.PERMANENT),
        (418, b"", BadRequestError, Kind.PERMANENT),
        (422, {"message": "wrong"}, BadRequestError, Kind.PERMANENT),
        (429, {"code": "rate_limit_exceeded", "message": "Rate limit reached"}, RateLimitedError, Kind.OVERLOAD),
        (429, {"code": "insufficient_quota"}, OutOfCreditError, Kind.PERMANENT),
        (429, {"message": "Request too large for m: Limit 3000, Requested 4100"}, BadRequestError, Kind.PERMANENT),
        (429, b"", RateLimitedError, Kind.OVERLOAD),
        (500, {}, ServerError, Kind.TRANSIENT),
        (501, {}, ServerError, Kind.PERMANENT),
        (504, {}, ServerError, Kind.TRANSIENT),
        (505, {}, ServerError, Kind.PERMANENT),
        (502, b"<html><title>Bad\n gateway</title></html>", ServerError, Kind.TRANSIENT),
        (503, {}, ServerError, Kind.OVERLOAD),
        (529, {"type": "overloaded_error", "message": "Overloaded"}, ServerError, Kind.OVERLOAD),
        (599, b"\xff\xfe", ServerError, Kind.TRANSIENT),
        (301, b"", ModelError, Kind.PERMANENT),
    ],
)  # fmt: skip
def test_status_and_body_say_what_a_refusal_means(status: int, error: Any, cls: type[ModelError], kind: Kind) -> None:
    found = of(status, error)
    assert type(found) is cls
    assert kind_of(found) is kind
    assert found.status == status
    assert str(status) in str(found)
    assert "model 'm' from http://h/v1/chat/completions" in str(found)


def test_the_hint_says_what_is_missing() -> None:
    assert "/models" in (of(404, {"message": "model 'x' not found"}).hint or "")
    assert "base_url" in (of(404, b"404 page not found").hint or "")
    assert "HTTPS_PROXY" in (of(407).hint or "")
    assert "529 Overloaded" in str(of(529))


def test_no_more_than_three_fields_are_named() -> None:
    detail = [{"loc": ["body", number], "msg": "wrong"} for number in range(9)]
    error = refusal(CALL, 422, {}, json.dumps({"detail": detail}).encode())
    assert "body.2: wrong" in str(error)
    assert "body.3" not in str(error)


def test_a_key_of_any_form_is_taken_out() -> None:
    assert fit_to_show("the key hunter-two is wrong", [], ApiKey("hunter-two")) == "the key [key] is wrong"


def test_what_comes_after_a_quotation_is_shown() -> None:
    assert fit_to_show(f"bad: {PROMPT}; try again", [PROMPT], None) == "bad: [prompt]; try again"
    assert fit_to_show(f"{PROMPT}!", [PROMPT], None) == "[prompt]!"
    assert fit_to_show(f"ends with {PROMPT[:20]}", [PROMPT], None) == "ends with [prompt]"


def test_a_quota_of_google_comes_back() -> None:
    info = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34s"}
    said = {
        "code": 429, "message": "You exceeded your current quota, please check your plan and billing details.",
        "status": "RESOURCE_EXHAUSTED", "details": [{"@type": "x"}, info],
    }  # fmt: skip
    error = of(429, said)
    assert type(error) is RateLimitedError
    assert error.retry_after == 34.0
    assert of(429, said, {"retry-after": "5"}).retry_after == 5.0


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        (ApiKey("sk-0123456789abcdef", variable="MY_KEY"), "check the key in MY_KEY: "),
        (ApiKey("sk-0123456789abcdef"), "check the key: "),
        (None, "no key was given: "),
    ],
)
def test_a_key_that_is_not_accepted_is_named_by_its_place(key: ApiKey | None, hint: str) -> None:
    call = Call("a chat completion", "http://h/v1/chat/completions", "m", lambda: [PROMPT], key)
    assert str(refusal(call, 401, {}, b"{}").hint).startswith(hint)


def test_a_200_with_an_error_has_the_status_that_the_error_names() -> None:
    assert type(of(200, {"code": 429, "message": "busy"})) is RateLimitedError
    assert type(of(200, {"code": "401"})) is AuthenticationError
    assert (found := of(200, {"message": "?"})).status == 502
    assert kind_of(found) is Kind.TRANSIENT


def test_the_server_may_say_whether_to_try_again() -> None:
    assert kind_of(of(500, headers={"X-Should-Retry": "false"})) is Kind.PERMANENT
    assert kind_of(of(501, headers={"X-Should-Retry": "true"})) is Kind.TRANSIENT
    assert kind_of(of(400, headers={"X-Should-Retry": "true"})) is Kind.PERMANENT
    assert kind_of(broken(CALL, "nothing")) is Kind.TRANSIENT
    assert kind_of(unanswered(CALL, "no answer in time", code="timeout")) is Kind.TRANSIENT
    assert kind_of(ValueError()) is None


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"error": "model is loading"}, "model is loading"),
        ({"object": "error", "message": "max_tokens is too large"}, "max_tokens is too large"),
        ([{"error": {"message": "of a list"}}], "of a list"),
        ({"detail": "Not Found"}, "Not Found"),
        ({"detail": [{"loc": ["body", "messages"], "msg": "Field required", "input": {"x": PROMPT}}]},
         "body.messages: Field required"),
        ({"type": "error", "error": {"type": "invalid_request_error", "message": "max_tokens: required"}},
         "max_tokens: required"),
    ],
)  # fmt: skip
def test_the_complaint_is_found_in_every_form(body: Any, said: str) -> None:
    error = refusal(CALL, 400, {}, json.dumps(body).encode())
    assert said in str(error)
    assert "purple" not in str(error)


@pytest.mark.parametrize(
    "quoting",
    [
        PROMPT,
        f"invalid value: {PROMPT!r} is wrong",
        f"... secret plans of the purple llamas ... {PROMPT[:30]}",
        f"bad {PROMPT}{PROMPT} twice",
    ],
)
def test_what_a_server_quotes_of_the_prompt_is_not_shown(quoting: str) -> None:
    shown = fit_to_show(quoting, [PROMPT], None)
    assert "purple" not in shown
    assert "secret plans" not in shown
    assert "[prompt]" in shown


@pytest.mark.parametrize("ascii_only", [True, False])
def test_what_a_server_quotes_as_json_is_not_shown(ascii_only: bool) -> None:
    prompt = 'Zeile "eins"\nкот\nпёс\nlama\nfünf\nsechs'
    quoting = json.dumps({"content": prompt}, ensure_ascii=ascii_only)
    assert fit_to_show(f"cannot read {quoting}", [prompt], None) == 'cannot read {"content": "[prompt]"}'


def test_nothing_is_shown_beside_a_prompt_that_is_too_long_to_look_through() -> None:
    assert "too long" in fit_to_show("you sent word word", ["word " * 70_000], None)
    assert fit_to_show("fine", ["word " * 50_000], None) == "fine"


def test_what_is_not_of_the_prompt_is_shown() -> None:
    said = "This model's maximum context length is 8192 tokens, not one sentence"
    assert fit_to_show(said, [PROMPT, "is"], None) == said


@given(st.text(alphabet="abc ", min_size=16, max_size=60), st.text(alphabet="abcx ", max_size=40), st.data())
def test_no_quotation_of_sixteen_characters_survives(prompt: str, around: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(prompt) - 16))
    quoted = prompt[start : data.draw(st.integers(start + 16, len(prompt)))]
    shown = fit_to_show(f"{around}{quoted}{around[::-1]}", [prompt], None)
    assert not any(prompt[at : at + 16] in shown for at in range(len(prompt) - 15) if prompt[at : at + 16].strip())


def test_texts_are_found_in_all_parts_of_a_message() -> None:
    messages = (
        {"role": "system", "content": "a"},
        {"role": "user", "content": [{"type": "text", "text": "b"}, {"type": "image_url", "image_url": {"url": "c"}}]},
    )
    assert list(texts_in(messages)) == ["a", "b", "c"]


def test_an_error_keeps_its_facts_through_a_pickle() -> None:
    error = of(429, {"code": "x"}, {"Retry-After": "3", "Authorization": "Bearer sk-0123456789abcdef"})
    again = pickle.loads(pickle.dumps(error))
    assert (again.status, again.code, again.retry_after, again.headers) == (429, "x", 3.0, {"retry-after": "3"})
    assert b"sk-0123" not in pickle.dumps(error)


@given(st.integers(200, 599), st.binary(max_size=200))
def test_no_body_is_too_strange(status: int, body: bytes) -> None:
    assert isinstance(refusal(CALL, status, {}, body), ModelError)


@given(
    st.integers(300, 599),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=9),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["error", "message", "code", "type", "detail", "loc", "msg"]), inner)
        ),
        max_leaves=8,
    ),
)
def test_no_json_is_too_strange(status: int, body: Any) -> None:
    assert isinstance(refusal(CALL, status, {}, json.dumps(body).encode()), ModelError)


def test_broken_replies_may_be_charged() -> None:
    assert type(broken(CALL, "x")) is BrokenReplyError
    assert broken(CALL, "x").charged


@pytest.mark.parametrize(
    ("said", "kind"), [(None, Kind.UNCOUNTED), ("true", Kind.UNCOUNTED), ("false", Kind.PERMANENT)]
)
def test_a_server_that_says_so_is_not_asked_again_after_a_429(said: str | None, kind: Kind) -> None:
    error = of(429, {"message": "slow down"}, {} if said is None else {"x-should-retry": said})
    assert isinstance(error, RateLimitedError)
    assert kind_of_failure(error) is kind
