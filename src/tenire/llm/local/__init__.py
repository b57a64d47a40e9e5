"""A small model on this machine, in a process of its own, behind the same client as all others."""

from __future__ import annotations

from tenire.llm.local.transport import SLOTS, LocalTransport
from tenire.llm.local.weights import find_weights, is_local

__all__ = ["SLOTS", "LocalTransport", "find_weights", "is_local"]
