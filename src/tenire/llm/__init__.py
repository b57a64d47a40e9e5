"""Language models behind an HTTP API: every call inside the quota, none paid twice."""

from __future__ import annotations

from tenire.llm.records import ChatRequest, EmbeddingReply, ModelReply, StreamPart, Transport, Usage

__all__ = ["ChatRequest", "EmbeddingReply", "ModelReply", "StreamPart", "Transport", "Usage"]
