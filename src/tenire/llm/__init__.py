"""Language models behind an HTTP API: every call inside the quota, none paid twice.

Everything here is loaded on first use: aiohttp is optional, and slow to import.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tenire.llm.blocking import BlockingChatClient
    from tenire.llm.books import Books, Spending
    from tenire.llm.client import ChatClient
    from tenire.llm.money import Price
    from tenire.llm.prices import price_of
    from tenire.llm.records import ChatRequest, EmbeddingReply, ModelReply, StreamPart, Transport, Usage
    from tenire.llm.replies import Reply, ReplyPart
    from tenire.llm.sdk import SdkTransport
    from tenire.llm.statistics import ChatStatistics, Estimate
    from tenire.llm.transport import HttpTransport, Timeouts

_HOMES = {
    "BlockingChatClient": "blocking",
    "Books": "books",
    "ChatClient": "client",
    "ChatRequest": "records",
    "ChatStatistics": "statistics",
    "EmbeddingReply": "records",
    "Estimate": "statistics",
    "HttpTransport": "transport",
    "ModelReply": "records",
    "Price": "money",
    "Reply": "replies",
    "ReplyPart": "replies",
    "SdkTransport": "sdk",
    "Spending": "books",
    "StreamPart": "records",
    "Timeouts": "transport",
    "Transport": "records",
    "Usage": "records",
    "price_of": "prices",
}

__all__ = [
    "BlockingChatClient",
    "Books",
    "ChatClient",
    "ChatRequest",
    "ChatStatistics",
    "EmbeddingReply",
    "Estimate",
    "HttpTransport",
    "ModelReply",
    "Price",
    "Reply",
    "ReplyPart",
    "SdkTransport",
    "Spending",
    "StreamPart",
    "Timeouts",
    "Transport",
    "Usage",
    "price_of",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"tenire.llm.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
