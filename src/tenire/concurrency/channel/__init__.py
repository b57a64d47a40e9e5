"""Access to the engine's loop from other processes: its two ends.

``frames`` cuts messages out of bytes, ``messages`` says what they are, ``authentication``
shows the key, ``session`` is what a client may do when, ``peer`` and ``link`` are the two
ends of a connection, ``endpoint`` is where they meet, and knows platforms; ``lookout`` waits
for who may come to listen there.
"""

from __future__ import annotations

from tenire.concurrency.channel.client import ChannelClient
from tenire.concurrency.channel.lookout import Lookout
from tenire.concurrency.channel.server import MOST_PEERS, ChannelStatistics, LoopChannel

__all__ = ["MOST_PEERS", "ChannelClient", "ChannelStatistics", "Lookout", "LoopChannel"]
