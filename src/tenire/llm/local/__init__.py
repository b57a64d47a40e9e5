"""A small model on this machine, in a process of its own, behind the same client as all others.

The way to it is loaded on first use; whether there is a model can be asked without it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from tenire.llm.local.weights import LOCAL, SLOTS, find_weights, is_local, size_up

if TYPE_CHECKING:
    from tenire.llm.local.lodging import require_room
    from tenire.llm.local.transport import LocalTransport, share_model

__all__ = ["LOCAL", "SLOTS", "LocalTransport", "find_weights", "is_local", "require_room", "share_model", "size_up"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    room = "lodging" if name == "require_room" else "transport"
    value = getattr(importlib.import_module(f"tenire.llm.local.{room}"), name)
    globals()[name] = value
    return value
