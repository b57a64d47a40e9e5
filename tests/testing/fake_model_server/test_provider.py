"""What becomes of a call: pure, so on a time of the test's own."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from tenire.testing import ServerFaults
from tenire.testing.fake_model_server.anthropic import MESSAGES
from tenire.testing.fake_model_server.openai import CHAT, EMBEDDINGS
from tenire.testing.fake_model_server.provider import Provider
from tenire.testing.fake_model_server.settings import ServerSettings

if TYPE_CHECKING:
    from tenire.testing.fake_model_server.plans import Plan, Response


def provider(**settings: Any) -> Provider:
    return Provider(ServerSettings.of(**settings), lambda: 1_700_000_000.0)


def chat(prompt: str, **more: Any) -> bytes:
    return json.dumps({"model": "some", "messages": [{"role": "user", "content": prompt}], **more}).encode()


def ask(server: Provider, prompt: str, now: float = 0.0, **more: Any) -> tuple[Plan, Response]:
    plan = server.arrive(CHAT, chat(prompt, **more), None, now)
    response = server.respond(plan, now + plan.seconds)
    server.ended(plan, now + plan.seconds)
    return plan, response


def words(response: Response) -> str:
    return str(json.loads(response.body)["choices"][0]["message"]["content"])


def test_a_reply_follows_from_its_prompt_and_counts_its_tokens() -> None:
    server = provider()
    _, first = ask(server, "Say something of whales")
    _, again = ask(server, "Say something of whales", 5.0)
    _, other = ask(server, "Say something of ships")
    assert first.body == again.body
    assert "Say something of whales" in words(first)
    assert words(first) != words(other)
    usage = json.loads(first.body)["usage"]
    assert usage["prompt_tokens"] == 6 + 4  # 23 letters, and who speaks
    assert usage["completion_tokens"] == -(-len(words(first)) // 4)
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


def test_a_reply_ends_where_no_more_tokens_are_allowed() -> None:
    _, response = ask(provider(output_tokens=(50, 50)), "Long story", max_completion_tokens=10)
    choice = json.loads(response.body)["choices"][0]
    assert choice["finish_reason"] == "length"
    assert 36 < len(choice["message"]["content"]) <= 40
    _, whole = ask(provider(output_tokens=(50, 50)), "Long story", max_tokens=100)
    assert json.loads(whole.body)["choices"][0]["finish_reason"] == "stop"


def test_the_reserved_output_is_charged_when_a_call_arrives() -> None:
    server = provider(tpm=1000)
    ask(server, "x" * 40, max_tokens=500)
    assert server.quotas.meters["tokens"].remaining(0.0) == 1000 - 14 - 500


def test_the_used_output_is_charged_when_the_reply_is_sent() -> None:
    server = provider(tpm=1000, output_tpm=100, charge="used", output_tokens=(20, 20), latency=3.0)
    plan = server.arrive(CHAT, chat("x" * 40, max_tokens=500), None, 0.0)
    assert server.quotas.meters["tokens"].remaining(0.0) == 1000 - 14
    server.respond(plan, 3.0)
    assert server.quotas.meters["tokens"].remaining(3.0) == 1000 - 14 - 20
    assert server.quotas.meters["output_tokens"].remaining(3.0) == 80


def test_a_refusal_says_what_was_missing_and_when_to_come_again() -> None:
    server = provider(rpm=2, tpm=1000)
    ask(server, "one", 0.0, max_tokens=10)
    ask(server, "two", 1.0, max_tokens=10)
    plan, response = ask(server, "three", 11.5, max_tokens=10)
    assert (response.status, plan.outcome) == (429, "refused")
    assert b"retry-after: 49\r\nretry-after-ms: 48500" in response.headers
    assert "Limit 2, Used 2, Requested 1. Please try again in 48.5s" in response.body.decode()
    plan, response = ask(server, "two more", 60.1, max_tokens=10)
    assert response.status == 200
    plan, response = ask(server, "too large", 61.0, max_tokens=2000)
    assert response.status == 429
    assert b"retry-after" not in response.headers
    assert b"Request too large for tokens" in response.body
    assert server.statistics(61.0).refused == 2
    assert server.statistics(61.0).spent["requests"] == 3


@pytest.mark.parametrize(
    ("dialect", "lines"),
    [
        ("openai", [
            "x-ratelimit-limit-requests: 60", "x-ratelimit-remaining-requests: 59", "x-ratelimit-reset-requests: 1s",
            "x-ratelimit-limit-tokens: 6000", "x-ratelimit-remaining-tokens: 5893", "x-ratelimit-reset-tokens: 1.07s",
        ]),
        ("azure", [
            "x-ratelimit-limit-requests: -1", "x-ratelimit-remaining-requests: 59",
            "x-ratelimit-limit-tokens: -1", "x-ratelimit-remaining-tokens: 5893",
        ]),
        ("anthropic", [
            "anthropic-ratelimit-requests-limit: 60", "anthropic-ratelimit-requests-remaining: 59",
            "anthropic-ratelimit-requests-reset: 2023-11-14T22:13:21Z",
            "anthropic-ratelimit-tokens-limit: 6000", "anthropic-ratelimit-tokens-remaining: 6000",
            "anthropic-ratelimit-tokens-reset: 2023-11-14T22:13:22Z",
            "anthropic-ratelimit-input-tokens-limit: 5000", "anthropic-ratelimit-input-tokens-remaining: 5000",
            "anthropic-ratelimit-input-tokens-reset: 2023-11-14T22:13:21Z",
        ]),
        ("none", []),
    ],
)  # fmt: skip
def test_limits_are_told_in_each_providers_words(dialect: str, lines: list[str]) -> None:
    server = provider(rpm=60, tpm=6000, input_tpm=5000, enforcement="bucket", headers=dialect)
    _, response = ask(server, "abcdefghijkl", max_tokens=100)
    assert response.headers.decode().split("\r\n")[:-1] == lines


def test_the_same_seed_gives_the_same_fates_whatever_the_order_and_the_time() -> None:
    faults = ServerFaults(error_500=0.1, hang=0.1, disconnect=0.1, malformed=0.1, refuse=0.1)
    prompts = [f"prompt {number}" for number in range(200)]

    def fates(seed: int, order: list[str], pace: float) -> dict[tuple[str, int], tuple[str, float]]:
        server = provider(faults=faults, seed=seed, latency="lognormal:1:0.5")
        found = {}
        for turn in range(2):
            for place, prompt in enumerate(order):
                plan, _ = ask(server, prompt, turn * 1000 + place * pace)
                found[prompt, turn] = plan.outcome, plan.seconds
        return found

    first = fates(1, prompts, 0.1)
    assert first == fates(1, prompts[::-1], 0.7)
    assert first != fates(2, prompts, 0.1)
    # The second try of a prompt has a fate of its own.
    assert any(first[prompt, 0][0] != first[prompt, 1][0] for prompt in prompts)


def test_faults_strike_as_often_as_they_should() -> None:
    faults = ServerFaults(error_500=0.1, hang=0.03, disconnect=0.03, malformed=0.03, empty=0.2)
    server = provider(faults=faults, seed=3)
    counted = Counter(ask(server, f"prompt {number}")[0].outcome for number in range(5000))
    for name, part in faults.parts():
        assert counted[name] / 5000 == pytest.approx(part, abs=0.02), name
    assert counted["answered"] == 5000 - sum(counted[name] for name, _ in faults.parts())
    assert server.statistics(1.0).outcomes == counted


def test_each_fault_does_what_it_says() -> None:
    def struck(fault: str, **more: Any) -> Response:
        return ask(provider(faults={fault: 1.0}, rpm=100), "A prompt", **more)[1]

    assert struck("error_500").status == 500
    assert struck("error_503").status == 503
    refused = struck("refuse")
    assert (refused.status, b"retry-after: 1" in refused.headers) == (429, True)
    assert struck("hang").delivery == "hang"
    assert struck("drop").delivery == "drop"
    assert struck("disconnect").delivery == "cut"
    assert struck("wrong_length").delivery == "wrong_length"
    assert json.loads(struck("empty").body)["choices"] == []
    with pytest.raises(ValueError, match=r"Expecting|decode"):
        json.loads(struck("malformed").body)
    schema = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}
    with pytest.raises(json.JSONDecodeError):
        json.loads(words(struck("off_schema", response_format=schema)))
    assert ask(provider(faults={"slow": 1.0}, latency=0.5), "A prompt")[0].seconds == 5.0


def test_a_poisoned_prompt_fails_each_time_and_others_never() -> None:
    server = provider(poison="arsenic")
    assert [ask(server, "with arsenic in it")[1].status for _ in range(5)] == [500] * 5
    assert ask(server, "with sugar in it")[1].status == 200
    server = provider(poison=lambda prompt: len(prompt) > 5, poison_answer="400")
    assert [ask(server, "long prompt")[1].status, ask(server, "short")[1].status] == [400, 200]
    assert server.statistics(0.0).outcomes == {"poisoned": 1, "answered": 1}
    for answer in ("hang", "drop"):
        assert ask(provider(poison="arsenic", poison_answer=answer), "arsenic")[1].delivery == answer


def test_an_outage_begins_and_ends_on_time() -> None:
    server = provider(outages=[(10, 5), (20, 5, "429"), (30, 5, "hang"), (40, 5, "slow")], latency=1.0)
    assert [ask(server, "x", 100 + at)[1].status for at in (0, 9.9, 10, 14.9, 15)] == [200, 200, 503, 503, 200]
    _, storm = ask(server, "x", 122.0)
    assert (storm.status, storm.headers) == (429, b"retry-after: 3\r\nretry-after-ms: 3000\r\n")
    assert ask(server, "x", 130.0)[1].delivery == "hang"
    assert ask(server, "x", 140.0)[0].seconds == 10.0
    assert server.statistics(141.0).refused == 0


def test_errors_of_the_client_are_told_apart_and_cost_nothing() -> None:
    server = provider(api_key="right", models=["some"], context=100, rpm=10)

    def told(body: bytes, key: str | None = "right") -> tuple[int, str | None]:
        response = server.respond(server.arrive(CHAT, body, key, 0.0), 0.0)
        return response.status, json.loads(response.body)["error"]["code"]

    assert told(chat("x"), "wrong") == (401, "invalid_api_key")
    assert told(chat("x"), None) == (401, "invalid_api_key")
    assert told(chat("x", model="other")) == (404, "model_not_found")
    assert told(chat("x" * 380, max_tokens=2)) == (400, "context_length_exceeded")
    assert told(b"{") == (400, None)
    assert told(chat("x", max_tokens=0)) == (400, None)
    assert told(chat("x", messages=[])) == (400, None)
    assert server.quotas.meters["requests"].remaining(0.0) == 10


def test_calls_that_were_paid_twice_are_counted() -> None:
    server = provider()
    for prompt in ("a", "b", "a", "a"):
        ask(server, prompt, user="me" if prompt == "a" else "you")
    statistics = server.statistics(7.0)
    assert (statistics.answered, statistics.prompts, statistics.paid_twice) == (4, 2, 2)
    assert statistics.groups["me"].answered == 3
    assert server.log.records[0].prompt == server.log.records[2].prompt != server.log.records[1].prompt


def test_a_schema_is_followed() -> None:
    schema = {
        "type": "object",
        "properties": {
            "name": {"type": "string", "minLength": 20},
            "age": {"type": "integer", "minimum": 3, "maximum": 9},
            "kind": {"enum": ["cat", "dog"]},
            "tags": {"type": "array", "items": {"$ref": "#/$defs/tag"}, "minItems": 2, "maxItems": 2},
            "maybe": {"anyOf": [{"type": "null"}, {"type": "boolean"}]},
        },
        "$defs": {"tag": {"const": "t"}},
    }
    form = {"type": "json_schema", "json_schema": {"name": "pet", "schema": schema}}
    for number in range(20):
        _, response = ask(provider(), f"Make a pet {number}", response_format=form)
        pet = json.loads(words(response))
        assert len(pet["name"]) >= 20
        assert 3 <= pet["age"] <= 9
        assert pet["kind"] in ("cat", "dog")
        assert pet["tags"] == ["t", "t"]
        assert pet["maybe"] in (None, True, False)


def test_a_tool_is_called_when_it_must_be() -> None:
    tool = {"type": "function", "function": {"name": "find", "parameters": {"properties": {"q": {"type": "string"}}}}}
    _, response = ask(provider(), "Find it", tools=[tool], tool_choice="required")
    choice = json.loads(response.body)["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    function = choice["message"]["tool_calls"][0]["function"]
    assert (function["name"], set(json.loads(function["arguments"]))) == ("find", {"q"})


def test_embeddings_have_length_one_and_follow_from_their_texts() -> None:
    server = provider(dimensions=8)

    def vectors(*texts: str) -> list[list[float]]:
        body = json.dumps({"model": "some", "input": list(texts)}).encode()
        reply = json.loads(server.respond(server.arrive(EMBEDDINGS, body, None, 0.0), 0.0).body)
        return [entry["embedding"] for entry in reply["data"]]

    first, second = vectors("whale", "ship")
    assert vectors("ship") == [second]
    assert first != second
    assert sum(value * value for value in first) == pytest.approx(1.0)
    body = json.dumps({"model": "some", "input": ["x"] * 3000}).encode()
    assert server.respond(server.arrive(EMBEDDINGS, body, None, 0.0), 0.0).status == 400


def test_anthropics_messages_are_answered_in_their_own_words() -> None:
    server = provider(cached_tokens=5, output_tokens=(9, 9))
    said = {"role": "user", "content": [{"type": "text", "text": "Hi"}]}
    asked: dict[str, Any] = {"model": "m", "max_tokens": 100, "messages": [said]}
    plan = server.arrive(MESSAGES, json.dumps(asked).encode(), None, 0.0)
    reply = json.loads(server.respond(plan, 0.0).body)
    assert reply["content"][0]["type"] == "text"
    assert (reply["stop_reason"], reply["usage"]["input_tokens"], reply["usage"]["cache_read_input_tokens"]) == (
        "end_turn", 0, 5
    )  # fmt: skip
    assert reply["usage"]["output_tokens"] == 9
    del asked["max_tokens"]
    error = server.respond(server.arrive(MESSAGES, json.dumps(asked).encode(), None, 0.0), 0.0)
    assert (error.status, json.loads(error.body)["error"]["type"]) == (400, "invalid_request_error")


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"rpm": 0}, "rpm must be a whole number from 1, got 0"),
        ({"rpn": 5}, "rpn"),
        ({"window": 0}, "window must be a positive number"),
        ({"faults": {"hang": 0.7, "drop": 0.7}}, "together must be at most 1, got 1.4"),
        ({"faults": {"hangs": 0.7}}, "hangs"),
        ({"latency": "normal:1:2"}, "latency must be seconds or one of constant:SECONDS"),
        ({"latency": "pareto:1:0.5"}, "ALPHA above 1"),
        ({"latency": "uniform:a:b"}, "plain numbers"),
        ({"output_tokens": (5, 2)}, "output_tokens must be two numbers"),
        ({"outages": [(1, 0)]}, "outages must be"),
        ({"poison": 3}, "poison must be a word"),
        ({"enforcement": "lax"}, "lax"),
    ],
)
def test_an_impossible_setting_is_refused(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        ServerSettings.of(**settings)


@pytest.mark.parametrize(
    ("part", "missing"),
    [
        ({"$ref": "#/$defs/none"}, True),
        ({"$ref": "elsewhere.json"}, True),
        ({"$ref": "#anchor"}, True),
        ({"anyOf": [{"$ref": "#/anyOf/x"}]}, True),
        ({"$ref": "#/properties/a/items/2"}, True),
        ({"$ref": "#/$defs/a~1b"}, False),
        ({"$ref": "#"}, False),
        ({"enum": [{"$ref": "#/nowhere"}]}, False),
    ],
)
@pytest.mark.parametrize("dialect", ["openai", "anthropic"])
def test_a_schema_that_refers_to_nothing_is_refused(dialect: str, part: dict[str, Any], missing: bool) -> None:
    schema = {"type": "object", "properties": {"a": part}, "$defs": {"a/b": {"type": "integer"}}}
    if dialect == "openai":
        more: dict[str, Any] = {
            "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
        }
        _, response = ask(provider(), "Fill it in", **more)
    else:
        server = provider()
        more = {"max_tokens": 500, "tools": [{"name": "t", "input_schema": schema}], "tool_choice": {"type": "any"}}
        response = server.respond(server.arrive(MESSAGES, chat("Fill it in", **more), None, 0.0), 1.0)
    assert response.status == (400 if missing else 200)
    if missing:
        target = part.get("$ref", "#/anyOf/x")
        assert f"reference {target!r} points to no part of it" in json.loads(response.body)["error"]["message"]
