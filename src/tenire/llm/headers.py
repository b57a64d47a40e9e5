"""Headers of a user's own, which are sent with every call.

1. What cannot be sent is refused before anything is, and its value is not shown: it may
   be a key.
2. A server that quotes one of them in its complaint does not get it shown either.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from tenire.errors import ConfigError

__all__ = ["SentHeaders", "check_headers"]

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_NOT_SENT = re.compile("[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]")
_HIDDEN = "[header]"
_SHORTEST_HIDDEN = 8  # a shorter value, such as "true", stands in every other sentence


def check_headers(headers: Mapping[str, str] | None) -> dict[str, str]:
    """Return headers that can be sent.

    Raises:
        ConfigError: If one cannot; names it, and does not show its value.
    """
    if headers is None:
        return {}
    if not isinstance(headers, Mapping):
        message = f"headers must be names and values, as in {{'OpenAI-Organization': 'org-1'}}, got {_kind(headers)}"
        raise ConfigError(message, key="headers")
    for name, value in headers.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            message = f"the name of a header must be made of letters, digits and hyphens, got {name!r}"
            raise ConfigError(message, key="headers")
        if not isinstance(value, str):
            raise ConfigError(f"the header {name} must be a text, got {_kind(value)}", key="headers")
        if _NOT_SENT.search(value):
            message = f"the header {name} must be one line of text, and holds what is none"
            raise ConfigError(message, key="headers", hint="line ends may have come with it: strip it")
    return dict(headers)


class SentHeaders:
    """What must not be shown of headers.

    Args:
        headers: Of the user, checked.
    """

    __slots__ = ("_values",)

    def __init__(self, headers: Mapping[str, str]) -> None:
        # Of "Bearer abc" a server may quote the second word alone.
        words = {word for value in headers.values() for word in (value.strip(), *value.split())}
        self._values = sorted((word for word in words if len(word) >= _SHORTEST_HIDDEN), key=len, reverse=True)

    def __repr__(self) -> str:
        return "SentHeaders(…)"

    def hide(self, text: str) -> str:
        """Return a text with their values taken out, wherever they stand."""
        for value in self._values:
            text = text.replace(value, _HIDDEN)
        return text


def _kind(value: object) -> str:
    return f"a {type(value).__name__}"
