"""Typed events, from whoever emits them to whoever listens."""

from __future__ import annotations

from tenire.concurrency.signals.hub import Signals
from tenire.concurrency.signals.stream import Stream
from tenire.concurrency.signals.subscription import Subscription

__all__ = ["Signals", "Stream", "Subscription"]
