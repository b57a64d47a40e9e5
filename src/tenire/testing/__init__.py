"""Tools for tests of code that waits: virtual time, faults, leaks, a model's server.

Shipped to users. Product code never imports it.
"""

from __future__ import annotations

from tenire.testing.cancel_sweep import SweepError, SweepReport, cancel_sweep
from tenire.testing.clock import ManualClock
from tenire.testing.executors import FakeExecutor, LostWorkerError
from tenire.testing.fake_model_server import FakeModelProcess, FakeModelServer, ServerFaults
from tenire.testing.faults import FaultNeverFiredError, Faults, FiredFault
from tenire.testing.leaks import ALLOWANCES, Allowance, Leak, LeakError, LeakGuard
from tenire.testing.sim_loop import SimLoop, run
from tenire.testing.sim_parts import SimDeadlockError, SimLimitError, SimUnhandledError
from tenire.testing.trace import Trace, TraceEvent

__all__ = [
    "ALLOWANCES",
    "Allowance",
    "FakeExecutor",
    "FakeModelProcess",
    "FakeModelServer",
    "FaultNeverFiredError",
    "Faults",
    "FiredFault",
    "Leak",
    "LeakError",
    "LeakGuard",
    "LostWorkerError",
    "ManualClock",
    "ServerFaults",
    "SimDeadlockError",
    "SimLimitError",
    "SimLoop",
    "SimUnhandledError",
    "SweepError",
    "SweepReport",
    "Trace",
    "TraceEvent",
    "cancel_sweep",
    "run",
]
