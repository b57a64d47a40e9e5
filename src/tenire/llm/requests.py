"""Prompts into requests, and what makes two requests equal."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from math import isfinite
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from tenire.errors import ConfigError
from tenire.llm.records import ChatRequest

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Prompt", "check_output_tokens", "make_request", "request_key", "require_parameters", "text_key"]

Prompt: TypeAlias = "str | Sequence[Mapping[str, Any]]"
"""A text, or messages with ``role`` and ``content`` in order."""

_KEY_BYTES = 20
_VERSION = 1  # of the key: another one finds nothing of what was kept


def make_request(
    model: str,
    prompt: Prompt,
    *,
    max_output_tokens: int | None = None,
    schema: Mapping[str, Any] | None = None,
    parameters: Mapping[str, Any] | None = None,
) -> ChatRequest:
    """Return the request for a prompt.

    Raises:
        ConfigError: If an argument is impossible; says which, and never what a prompt says.
    """
    check_output_tokens(max_output_tokens)
    require_parameters(parameters)
    return ChatRequest(model, _messages(prompt), max_output_tokens, schema, parameters or {})


def check_output_tokens(number: int | None) -> None:
    """See that a limit of output tokens is one.

    Raises:
        ConfigError: If it is not.
    """
    if number is not None and (isinstance(number, bool) or not isinstance(number, int) or number < 1):
        message = f"max_output_tokens must be a whole number from 1, or None, got {number!r}"
        raise ConfigError(message, key="max_output_tokens")


def require_parameters(parameters: Mapping[str, Any] | None) -> None:
    """See that parameters of a request are names and values.

    Raises:
        ConfigError: If they are not.
    """
    if parameters is None:
        return
    if not isinstance(parameters, Mapping):
        message = f"parameters must be names and values, as in {{'temperature': 0}}, got {parameters!r}"
        raise ConfigError(message, key="parameters")
    for name, value in parameters.items():
        if isinstance(value, float) and not isfinite(value):  # JSON would say null, which is the server's default
            raise ConfigError(f"the parameter {name!r} must be a finite number, got {value!r}", key="parameters")


def _messages(prompt: Prompt) -> tuple[Mapping[str, Any], ...]:
    if isinstance(prompt, str):
        return ({"role": "user", "content": prompt},)
    if not isinstance(prompt, bytes):
        try:
            messages = tuple(prompt)
        except TypeError:
            messages = ()
        if messages and all(hasattr(message, "keys") and "role" in message for message in messages):
            return messages
    message = f"a prompt must be a string, or a list of messages with a role and content, got {_shape(prompt)}"
    raise ConfigError(message, key="prompt")


def _shape(prompt: Any) -> str:
    if isinstance(prompt, (list, tuple)):
        kinds = sorted({type(message).__name__ for message in prompt})
        return f"a {type(prompt).__name__} of {' and '.join(kinds)} without a role" if kinds else "an empty list"
    return f"{type(prompt).__name__!r}"


def request_key(service: str, request: ChatRequest) -> bytes:
    """Return what equal requests have in common, 20 bytes; the prompt cannot be found from it.

    Args:
        service: Who is asked.
        request: What.

    Raises:
        ConfigError: If it cannot be written as JSON.
    """
    parameters = {name: _plain(value) for name, value in request.parameters.items()}
    messages, schema = request.messages, request.schema
    return _hash((_VERSION, service, request.model, messages, request.max_output_tokens, schema, parameters))


def text_key(service: str, model: str, dimensions: int | None, text: str) -> bytes:
    """Return what equal texts to embed have in common, 20 bytes."""
    return _hash((_VERSION, service, "embedding", model, dimensions, text))


def _plain(value: Any) -> Any:
    """Return a number that is whole as one: a temperature of 1 and of 1.0 is the same."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _hash(what: Any) -> bytes:
    try:
        encoded = msgspec.json.encode(what, order="deterministic")
    except UnicodeEncodeError:  # a lone surrogate, which the server will refuse
        encoded = json.dumps(msgspec.to_builtins(what), sort_keys=True).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigError(f"a request must be writable as JSON: {error}", key="messages") from error
    return hashlib.blake2b(encoded, digest_size=_KEY_BYTES).digest()
