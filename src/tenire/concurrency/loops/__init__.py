"""One owner for every event loop, and the ways into it."""

from tenire.concurrency.loops.kinds import LoopKind, loop_factory
from tenire.concurrency.loops.manager import EventLoopManager
from tenire.concurrency.loops.owner import LoopOwner
from tenire.concurrency.loops.spawned import Spawned
from tenire.concurrency.loops.state import LoopState
from tenire.concurrency.loops.thread import LoopThread
from tenire.concurrency.loops.tracking import TrackedTask
from tenire.concurrency.loops.watchdog import Stall

__all__ = [
    "EventLoopManager",
    "LoopKind",
    "LoopOwner",
    "LoopState",
    "LoopThread",
    "Spawned",
    "Stall",
    "TrackedTask",
    "loop_factory",
]
