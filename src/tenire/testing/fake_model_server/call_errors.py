"""What a provider says when it does not answer."""

from __future__ import annotations

__all__ = [
    "CallError",
    "busy",
    "content_refused",
    "context_too_long",
    "no_such_part",
    "server_failed",
    "unknown_model",
    "wrong_key",
]

_INVALID = "invalid_request_error"
_WORDS = {
    500: ("server_error", "The server had an error while processing your request."),
    503: ("server_error", "The server is overloaded or not ready yet."),
    529: ("overloaded_error", "Overloaded"),
}


class CallError(Exception):
    """A call that is answered with an error.

    Args:
        status: Of the response.
        kind: The provider's word for this kind of error.
        message: For people.
        code: The provider's code, if it has one.
    """

    def __init__(self, status: int, kind: str, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.message = message
        self.code = code


def server_failed(status: int) -> CallError:
    """Return the error of a server that failed: 500, 503 or 529."""
    kind, words = _WORDS[status]
    return CallError(status, kind, words)


def busy(words: str) -> CallError:
    """Return the error of a server that wants fewer calls."""
    return CallError(429, "requests", words, "rate_limit_exceeded")


def content_refused() -> CallError:
    """Return the error of a prompt that is against the rules."""
    return CallError(400, _INVALID, "The prompt was rejected by the content policy.", "content_filter")


def wrong_key() -> CallError:
    """Return the error of a key that is not known, or missing."""
    return CallError(401, _INVALID, "Incorrect API key provided.", "invalid_api_key")


def unknown_model(model: str) -> CallError:
    """Return the error of a model that is not there."""
    words = f"The model `{model}` does not exist or you do not have access to it."
    return CallError(404, _INVALID, words, "model_not_found")


def context_too_long(context: int, prompt: int, reply: int) -> CallError:
    """Return the error of a prompt that, with its reply, is longer than the model's context; all in tokens."""
    words = (
        f"This model's maximum context length is {context} tokens. However, you requested {prompt + reply} tokens "
        f"({prompt} in the messages, {reply} in the completion). Please reduce the length of either."
    )
    return CallError(400, _INVALID, words, "context_length_exceeded")


def no_such_part(target: str) -> CallError:
    """Return the error of a schema that refers to a part that it does not have."""
    words = f"Invalid schema for response_format: reference {target!r} points to no part of it."
    return CallError(400, _INVALID, words, "invalid_json_schema")
