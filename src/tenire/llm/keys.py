"""Keys of providers: where they come from, and that nobody sees them.

1. A key is given by the caller, or stands in an environment variable.
2. Without either, the variable of a known provider is looked at, for calls to that
   provider only: nobody else is handed the key. What runs on this machine may have
   ``OPENAI_API_KEY``, since that never leaves it.
3. The text of a key is reached by ``reveal`` alone, and a key does not travel in pickles.
"""

from __future__ import annotations

import hashlib
import os
from ipaddress import ip_address
from typing import TYPE_CHECKING, NoReturn

from tenire.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ApiKey", "SecretHeaders", "find_key", "is_loopback"]

_HIDDEN = "[key]"
_VARIABLES = {
    "api.openai.com": "OPENAI_API_KEY",
    "api.anthropic.com": "ANTHROPIC_API_KEY",
    "openrouter.ai": "OPENROUTER_API_KEY",
    "openai.azure.com": "AZURE_OPENAI_API_KEY",
    "cognitiveservices.azure.com": "AZURE_OPENAI_API_KEY",
    "services.ai.azure.com": "AZURE_OPENAI_API_KEY",
    "api.groq.com": "GROQ_API_KEY",
    "api.mistral.ai": "MISTRAL_API_KEY",
    "api.deepseek.com": "DEEPSEEK_API_KEY",
    "api.together.xyz": "TOGETHER_API_KEY",
    "api.fireworks.ai": "FIREWORKS_API_KEY",
}
_SHORTEST_HIDDEN = 4  # a shorter "key" stands in every other word


class ApiKey:
    """A key that shows itself to nobody who does not ask for it.

    Args:
        text: The key. White space around it, as files and shells leave it, is taken off.
        variable: The environment variable that held it, for messages.

    Raises:
        ConfigError: If it is empty, or holds what cannot be sent in a header.
    """

    __slots__ = ("_text", "variable")

    def __init__(self, text: str, *, variable: str | None = None) -> None:
        if not isinstance(text, str):
            raise ConfigError(f"the API key must be a text, got a {type(text).__name__}", key="api_key")
        stripped = text.strip()
        if not stripped:
            raise ConfigError("the API key must not be empty", key="api_key")
        if not (stripped.isascii() and stripped.isprintable()):
            raise ConfigError(
                "the API key must consist of visible ASCII characters, and does not",
                key="api_key",
                hint="copy it again: quotes or line ends may have come with it",
            )
        self._text = stripped
        self.variable = variable

    def reveal(self) -> str:
        """Return the key itself, to be sent and nothing else."""
        return self._text

    @property
    def fingerprint(self) -> str:
        """Sixteen characters that are the same for the same key, and from which it cannot be found."""
        return hashlib.sha256(b"tenire api key\0" + self._text.encode()).hexdigest()[:16]

    def hide(self, text: str) -> str:
        """Return a text with this key taken out, wherever it stands."""
        return text.replace(self._text, _HIDDEN) if len(self._text) >= _SHORTEST_HIDDEN else text

    def __repr__(self) -> str:
        return "ApiKey(…)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ApiKey) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    def __reduce__(self) -> NoReturn:
        raise TypeError("an API key is not pickled: hand over the name of its environment variable")


class SecretHeaders(dict[str, str]):
    """Headers of which one may hold a key."""

    def __repr__(self) -> str:
        return f"SecretHeaders({', '.join(self)})"


def find_key(
    host: str,
    api_key: str | ApiKey | None = None,
    api_key_env: str | None = None,
    *,
    environment: Mapping[str, str] | None = None,
) -> ApiKey | None:
    """Return the key for calls to a host, or ``None`` if there is none.

    Args:
        host: Its name, without a port.
        api_key: The key, if the caller has it.
        api_key_env: The name of the environment variable that holds it.
        environment: The variables; default: those of the process.

    Raises:
        ConfigError: If both are given, or the variable is not set.
    """
    variables = os.environ if environment is None else environment
    if api_key is not None:
        if api_key_env is not None:
            raise ConfigError("api_key and api_key_env must not both be given", key="api_key")
        return api_key if isinstance(api_key, ApiKey) else ApiKey(api_key)
    if api_key_env is not None:
        return _named(api_key_env, variables)
    name = _variable_of(host)
    value = "" if name is None else variables.get(name, "")
    return ApiKey(value, variable=name) if value.strip() else None


def _named(name: str, variables: Mapping[str, str]) -> ApiKey:
    value = variables.get(name, "")
    if not value.strip():
        state = "is empty" if name in variables else "is not set"
        raise ConfigError(
            f"the API key must be in the environment variable {name}, which {state}",
            key="api_key_env",
            hint=f"set {name}",
        )
    return ApiKey(value, variable=name)


def _variable_of(host: str) -> str | None:
    name = host.lower().rstrip(".")
    if is_loopback(name):
        return "OPENAI_API_KEY"
    return next((variable for end, variable in _VARIABLES.items() if name == end or name.endswith(f".{end}")), None)


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine itself."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
