"""Which batch API a provider has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenire.errors import ConfigError
from tenire.llm.batches.anthropic import AnthropicBatches
from tenire.llm.batches.openai import OpenAIBatches
from tenire.llm.dialects import AnthropicDialect, OpenAIDialect

if TYPE_CHECKING:
    from tenire.llm.batches.provider import BatchProvider
    from tenire.llm.transport import HttpTransport

__all__ = ["batches_of"]


def batches_of(transport: HttpTransport) -> BatchProvider:
    """Return the way to a provider's batch API.

    Raises:
        ConfigError: If it has none that is known.
    """
    dialect = transport.dialect
    if isinstance(dialect, AnthropicDialect):
        return AnthropicBatches(transport, dialect)
    if isinstance(dialect, OpenAIDialect):
        return OpenAIBatches(transport, dialect)
    message = (
        f"batches are offered by servers that speak OpenAI's or Anthropic's language, got {transport.address.base}"
    )
    raise ConfigError(message, key="mode", hint="use mode = 'realtime'")
