"""Which event loop is made: uvloop's where it is installed, asyncio's otherwise."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
from functools import cache
from typing import TYPE_CHECKING, Literal, cast

from tenire.errors import ConfigError, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["LoopKind", "loop_factory"]

LoopKind = Literal["auto", "asyncio", "uvloop"]


def loop_factory(kind: LoopKind = "auto") -> Callable[[], asyncio.AbstractEventLoop]:
    """Return what makes a loop, for example for ``asyncio.Runner``.

    Args:
        kind: ``asyncio``, ``uvloop``, or ``auto``: uvloop if it is installed.

    Raises:
        ConfigError: If there is no such kind.
        MissingExtraError: If it is not installed.
    """
    if kind == "asyncio" or (kind == "auto" and not _has_uvloop()):
        return asyncio.new_event_loop
    if kind not in ("auto", "uvloop"):
        message = f"the kind of a loop must be one of auto, asyncio, uvloop, got {kind!r}"
        raise ConfigError(message, key="kind")
    if not _has_uvloop():
        raise MissingExtraError("a loop of uvloop's", extra="", missing="uvloop", install="pip install uvloop")
    return cast("Callable[[], asyncio.AbstractEventLoop]", importlib.import_module("uvloop").new_event_loop)


@cache
def _has_uvloop() -> bool:
    return importlib.util.find_spec("uvloop") is not None
