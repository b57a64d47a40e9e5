"""One owner for every event loop."""

from tenire.concurrency.loops.manager import EventLoopManager, LoopState

__all__ = ["EventLoopManager", "LoopState"]
