"""What a client has from its engine, without an engine."""

from __future__ import annotations

import asyncio

from tenire.clock import SYSTEM_CLOCK
from tenire.concurrency.timer import UniversalTimer

__all__ = ["timer"]


def timer() -> UniversalTimer:
    return UniversalTimer(loop=asyncio.get_running_loop(), clock=SYSTEM_CLOCK, on_thread=lambda: True)
