"""How providers want to be spoken to: requests into bodies, bodies into replies. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenire.errors import ConfigError
from tenire.llm.dialects.anthropic import AnthropicDialect
from tenire.llm.dialects.dialect import Dialect, NoReplyError, ReplyReader
from tenire.llm.dialects.openai import OpenAIDialect

if TYPE_CHECKING:
    from tenire.llm.addresses import Address

__all__ = ["AnthropicDialect", "Dialect", "NoReplyError", "OpenAIDialect", "ReplyReader", "choose_dialect"]


def choose_dialect(name: str | Dialect, address: Address, max_tokens_name: str | None) -> Dialect:
    """Return the dialect of a name; ``auto`` goes by the address.

    Raises:
        ConfigError: If there is no such dialect.
    """
    if not isinstance(name, str):
        return name
    if name == "auto":
        name = "anthropic" if address.host.endswith("anthropic.com") else "openai"
    if name == "anthropic":
        return AnthropicDialect()
    if name == "openai":
        return OpenAIDialect(max_tokens_name, azure=address.azure)
    raise ConfigError(f"dialect must be auto, openai or anthropic, got {name!r}", key="dialect")
