"""Where a home keeps what it knows: the ledger, its lock, compressed texts.

Import the rooms by name (``tenire.storage.ledger``, ``tenire.storage.home``);
this face stays empty, so that a worker process which needs one of them does not
pay for the others.
"""

from __future__ import annotations

__all__: list[str] = []
