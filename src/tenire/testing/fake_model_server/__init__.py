"""A model's server for tests: strict quotas, slow answers, faults and outages, all as it is told.

What happens is decided by pure code (``meters``, ``quotas``, ``chance``, ``provider``);
``service`` and ``server`` are the shell that moves bytes.
"""

from __future__ import annotations

from tenire.testing.fake_model_server.call_log import CallRecord, GroupStatistics, ServerStatistics, share_of_limit
from tenire.testing.fake_model_server.chance import ServerFaults
from tenire.testing.fake_model_server.meters import BucketMeter, FixedMeter, Meter, QuantisedMeter, SlidingMeter
from tenire.testing.fake_model_server.process import FakeModelProcess
from tenire.testing.fake_model_server.server import FakeModelServer
from tenire.testing.fake_model_server.settings import Outage, ServerSettings

__all__ = [
    "BucketMeter",
    "CallRecord",
    "FakeModelProcess",
    "FakeModelServer",
    "FixedMeter",
    "GroupStatistics",
    "Meter",
    "Outage",
    "QuantisedMeter",
    "ServerFaults",
    "ServerSettings",
    "ServerStatistics",
    "SlidingMeter",
    "share_of_limit",
]
