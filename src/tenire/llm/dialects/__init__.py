"""How providers want to be spoken to: requests into bodies, bodies into replies. No I/O."""

from __future__ import annotations

from tenire.llm.dialects.dialect import Dialect, NoReplyError, ReplyReader
from tenire.llm.dialects.openai import OpenAIDialect

__all__ = ["Dialect", "NoReplyError", "OpenAIDialect", "ReplyReader"]
