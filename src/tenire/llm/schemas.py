"""Replies that must follow a JSON schema: whether one does, and if not, where.

The provider is asked to enforce the schema; whether it did is checked here, since many
servers only try, or ignore it. What is wrong is said without the words of the reply, so
that it can be shown, logged, and sent back to the model for another try.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from importlib import import_module
from typing import Any

import msgspec

from tenire.errors import BrokenReplyError, ConfigError, MissingExtraError

__all__ = ["ReplySchema", "reply_schema"]

_FENCED = re.compile(r"\s*```(?:json)?\s*\n(.*)\n\s*```\s*", re.DOTALL | re.IGNORECASE)
_LONGEST = 120  # characters of what a schema expects
_KNOWN_SCHEMAS = 64


class ReplySchema:
    """Checks replies against one schema.

    Args:
        schema: Of any draft; 2020-12 if it does not say.

    Raises:
        ConfigError: If it is no schema, or refers to what it does not hold: nothing is fetched.
        MissingExtraError: If jsonschema is not installed.
    """

    def __init__(self, schema: Mapping[str, Any] | bool) -> None:
        library, referencing = _library()
        kind = library.validators.validator_for(schema, default=library.Draft202012Validator)
        try:
            kind.check_schema(schema)
        except library.SchemaError as error:
            raise _impossible(f"{_place(error.absolute_path)}: {error.message[:_LONGEST]}") from None
        for target in _references(schema):
            if not target.startswith("#"):
                raise _impossible(f"it refers to {target[:_LONGEST]!r}, and only what it holds itself can be used")
        self._validator = kind(schema, registry=referencing.Registry())
        missing = _missing_reference(kind, schema)
        if missing is not None:
            raise _impossible(f"it refers to {missing[:_LONGEST]!r}, which it does not hold")

    def read(self, text: str) -> Any:
        """Return the value that a reply's text stands for; fences of Markdown around it do not matter.

        Raises:
            BrokenReplyError: If it is no JSON (``code`` is ``json``), or does not follow the
                schema (``schema``). The message says where, and not what the reply said.
        """
        fenced = _FENCED.fullmatch(text)
        try:
            value = msgspec.json.decode((fenced[1] if fenced else text).encode())
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise _broken(_not_json(text, error), "json") from None
        try:
            wrong = next(self._validator.iter_errors(value), None)
        except RecursionError:
            raise _broken("values nested too deeply", "schema") from None
        if wrong is not None:
            raise _broken(f"one that does not: {_place(wrong.absolute_path)}: {_expected(wrong)}", "schema")
        return value


def reply_schema(schema: Mapping[str, Any] | bool) -> ReplySchema:
    """Return what checks replies against a schema; made once for equal ones.

    Raises:
        ConfigError: As ``ReplySchema``.
    """
    if not isinstance(schema, (Mapping, bool)):
        raise _impossible(f"it is a {type(schema).__name__}")
    try:
        return _made(msgspec.json.encode(schema))
    except (TypeError, ValueError, RecursionError) as error:
        raise _impossible(f"it cannot be written as JSON: {error}") from error


@lru_cache(maxsize=_KNOWN_SCHEMAS)
def _made(encoded: bytes) -> ReplySchema:
    return ReplySchema(msgspec.json.decode(encoded))


def _library() -> tuple[Any, Any]:
    try:
        return import_module("jsonschema"), import_module("referencing")
    except ModuleNotFoundError as error:
        raise MissingExtraError("a reply with a schema", extra="llm", missing=error.name or "jsonschema") from error


def _references(part: Any) -> list[str]:
    if isinstance(part, list):
        return [target for inner in part for target in _references(inner)]
    if not isinstance(part, dict):
        return []
    own = [part[name] for name in ("$ref", "$dynamicRef") if isinstance(part.get(name), str)]
    return own + [
        target for name, inner in part.items() if name not in ("enum", "const") for target in _references(inner)
    ]


def _missing_reference(kind: Any, schema: Mapping[str, Any] | bool) -> str | None:
    """Return a reference of a schema to a part that it does not have, if there is one.

    Args:
        kind: The validator of its draft.
        schema: What is looked at: all parts that are schemas, and whatever they refer to.
    """
    drafts = import_module("referencing.jsonschema")
    draft = drafts.specification_with(kind.ID_OF(kind.META_SCHEMA), default=drafts.DRAFT202012)
    # Of an index of a list that is no number, and of contents that hold no parts, it says so in Python's way.
    nowhere = (import_module("referencing.exceptions").Unresolvable, LookupError, ValueError, TypeError)
    root = draft.create_resource(schema)
    seen: set[int] = set()
    ahead = [(root, drafts.EMPTY_REGISTRY.resolver_with_root(root))]
    while ahead:
        resource, resolver = ahead.pop()
        part = resource.contents
        if not isinstance(part, dict) or id(part) in seen:
            continue
        seen.add(id(part))
        for name in ("$ref", "$dynamicRef"):
            target = part.get(name)
            if not isinstance(target, str):
                continue
            try:
                found = resolver.lookup(target)
            except nowhere:
                return target
            ahead.append((draft.create_resource(found.contents), found.resolver))
        ahead += [(inner, resolver.in_subresource(inner)) for inner in resource.subresources()]
    return None


def _not_json(text: str, error: Exception) -> str:
    if not text.strip():
        return "an empty text"
    where = re.search(r"byte (\d+)", str(error))
    return f"{len(text)} characters that are no JSON" + (f" (from byte {where[1]})" if where else "")


def _place(path: Any) -> str:
    return "at $" + "".join(f"[{step}]" if isinstance(step, int) else f".{str(step)[:40]}" for step in path)


def _expected(error: Any) -> str:
    """Say which rule was broken, in the words of the schema."""
    rule = error.validator
    if rule is None:  # the schema False
        return "nothing is allowed here"
    if rule == "required":
        missing = [name for name in error.validator_value if name not in error.instance]
        return f"missing {', '.join(map(repr, missing))}"[:_LONGEST]
    if rule == "additionalProperties" and error.validator_value is False:
        return "properties that the schema does not name"
    expected = msgspec.json.encode(error.validator_value).decode()
    return f"expected {rule} {expected if len(expected) <= _LONGEST else expected[:_LONGEST] + '…'}"


def _broken(got: str, code: str) -> BrokenReplyError:
    return BrokenReplyError(f"expected a reply that follows its JSON schema, got {got}", code=code, charged=True)


def _impossible(why: str) -> ConfigError:
    return ConfigError(f"schema must be a JSON schema, but {why}", key="schema")
