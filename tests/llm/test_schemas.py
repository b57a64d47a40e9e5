from __future__ import annotations

import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenire.errors import BrokenReplyError, ConfigError, MissingExtraError
from tenire.llm.schemas import ReplySchema, reply_schema

SCHEMA = {
    "type": "object",
    "properties": {
        "label": {"enum": ["good", "bad"]},
        "score": {"type": "number", "minimum": 0},
        "tags": {"type": "array", "items": {"$ref": "#/$defs/tag"}},
        "pair": {"prefixItems": [{"type": "string"}, {"type": "integer"}], "items": False},
    },
    "required": ["label", "score"],
    "additionalProperties": False,
    "$defs": {"tag": {"type": "string", "maxLength": 5}},
}


@pytest.mark.parametrize(
    "text",
    [
        '{"label": "good", "score": 1.5, "tags": ["a"], "pair": ["x", 1]}',
        '\n```json\n{"label": "good", "score": 0}\n```\n',
        '```\n{"label": "good", "score": 0}\n```',
    ],
)
def test_a_reply_that_follows_its_schema_is_read(text: str) -> None:
    assert reply_schema(SCHEMA).read(text)["label"] == "good"


@pytest.mark.parametrize(
    ("text", "code", "got"),
    [
        ("", "json", "an empty text"),
        ("The label is secret.", "json", "20 characters that are no JSON"),
        ('{"label": "good", "score": ', "json", "no JSON"),
        ('{"label": "secret", "score": 1}', "schema", r'at \$\.label: expected enum \["good","bad"\]'),
        ('{"label": "good", "score": "secret"}', "schema", r'at \$\.score: expected type "number"'),
        ('{"label": "good", "score": -1}', "schema", r"at \$\.score: expected minimum 0"),
        ('{"label": "good"}', "schema", r"at \$: missing 'score'"),
        ('{"label": "good", "score": 1, "secret": 2}', "schema", r"at \$: properties that the schema does not name"),
        ('{"label": "good", "score": 1, "tags": ["secret"]}', "schema", r"at \$\.tags\[0\]: expected maxLength 5"),
        ('{"label": "good", "score": 1, "pair": ["a", "secret"]}', "schema", r"at \$\.pair\[1\]: expected type"),
        ('{"label": "good", "score": 1, "pair": ["a", 1, 2]}', "schema", r"at \$\.pair: expected items false"),
        ("[]", "schema", r'at \$: expected type "object"'),
    ],
)
def test_what_is_wrong_is_said_without_the_words_of_the_reply(text: str, code: str, got: str) -> None:
    with pytest.raises(BrokenReplyError, match=got) as caught:
        reply_schema(SCHEMA).read(text)
    assert caught.value.code == code
    assert caught.value.charged
    assert "secret" not in str(caught.value)
    assert caught.value.__context__ is None or caught.value.__suppress_context__


def test_an_older_draft_is_read_by_its_own_rules() -> None:
    draft7 = {"$schema": "http://json-schema.org/draft-07/schema#", "items": [{"type": "string"}]}
    with pytest.raises(BrokenReplyError):
        ReplySchema(draft7).read("[1]")
    assert ReplySchema({"items": {"type": "integer"}}).read("[1]") == [1]
    assert ReplySchema(True).read("null") is None
    with pytest.raises(BrokenReplyError, match="nothing is allowed"):
        ReplySchema(False).read("null")


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        ({"type": "nonsense"}, r"at \$\.type"),
        ({"properties": {"a": {"minimum": "x"}}}, r"at \$\.properties\.a\.minimum"),
        ({"$ref": "http://far.invalid/schema.json"}, "only what it holds itself"),
        ({"properties": {"a": [{"$ref": "other.json"}]}}, r"at \$"),
        ({"anyOf": [{"$ref": "other.json"}]}, "only what it holds itself"),
        (5, "but it is a int"),
        ("{}", "but it is a str"),
    ],
)
def test_what_is_no_schema_is_refused_at_once(schema: Any, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        reply_schema(schema)


@pytest.mark.parametrize(
    ("schema", "target"),
    [
        ({"$ref": "#/$defs/missing"}, "#/$defs/missing"),
        ({"type": "object", "properties": {"a": {"$ref": "#/$defs/b"}}, "$defs": {"a": {}}}, "#/$defs/b"),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"items": {"$ref": "#/$defs/none"}}}}, "#/$defs/none"),
        ({"$ref": "#/parts/a", "parts": {"a": {"not": {"$ref": "#/parts/none"}}}}, "#/parts/none"),
        ({"anyOf": [{"type": "null"}, {"$ref": "#/anyOf/2"}]}, "#/anyOf/2"),
        ({"anyOf": [{"type": "null"}, {"$ref": "#/anyOf/first"}]}, "#/anyOf/first"),
        ({"$ref": "#no-such-anchor"}, "#no-such-anchor"),
        ({"$dynamicRef": "#nobody"}, "#nobody"),
        ({"$schema": "http://json-schema.org/draft-07/schema#", "$ref": "#/definitions/none"}, "#/definitions/none"),
    ],
)
def test_a_reference_to_nowhere_is_refused_at_once_by_its_name(schema: Any, target: str) -> None:
    with pytest.raises(ConfigError) as refused:
        reply_schema(schema)
    assert f"it refers to '{target}', which it does not hold" in str(refused.value)


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#/$defs/a", "$defs": {"a": {"type": "integer"}}},
        {"$ref": "#/$defs/a~1b%25", "$defs": {"a/b%": {"type": "integer"}}},
        {"$ref": "#a", "$defs": {"first": {"$anchor": "a", "type": "integer"}}},
        {"$ref": "#/parts/a", "parts": {"a": {"type": "integer"}}},
        {"type": "integer", "$defs": {"a": {"properties": {"b": {"$ref": "#"}}}}},
        {"type": "integer", "properties": {"$ref": {"type": "string"}}},
        {"enum": [{"$ref": "#/nowhere"}, 7]},
        {
            "$schema": "http://json-schema.org/draft-07/schema#",
            "$ref": "#/definitions/a",
            "definitions": {"a": {"type": "integer"}},
        },
    ],
)
def test_references_within_a_schema_are_followed(schema: Any) -> None:
    assert reply_schema(schema).read("7") == 7


def test_equal_schemas_are_made_once() -> None:
    assert reply_schema({"type": "string"}) is reply_schema({"type": "string"})


def test_a_circle_ends() -> None:
    tree = {"type": "object", "properties": {"next": {"$ref": "#"}}}
    assert reply_schema(tree).read('{"next": {"next": {}}}') == {"next": {"next": {}}}
    with pytest.raises(BrokenReplyError):
        reply_schema(tree).read('{"next": ' * 5000 + "1" + "}" * 5000)


@given(st.text(max_size=40))
def test_no_reply_is_too_strange(text: str) -> None:
    try:
        reply_schema(SCHEMA).read(text)
    except BrokenReplyError as error:
        caught = error
    assert caught.code in ("json", "schema")


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jsonschema", None)
    with pytest.raises(MissingExtraError, match="jsonschema"):
        ReplySchema({"type": "string"})
