"""The way to a model that a client was asked for: over HTTP, one of the user's, or on this machine."""

from __future__ import annotations

import asyncio
import os
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from tenire.llm.keys import is_loopback

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tenire.concurrency import ConcurrencyManager
    from tenire.llm.records import Transport

__all__ = ["Way", "find_way", "service_of"]

_HERE = "this machine"


class Way(NamedTuple):
    """A way to a model.

    Attributes:
        service: Who is asked, as keys of replies know it. What runs on this machine is one,
            whatever its port: servers for tests and local models come and go on others.
        who: Whose quota it takes: the same for the same provider and key.
        make: Makes the transport for an engine.
        slots: Calls at once that are of use, if that is known.
    """

    service: str
    who: str
    make: Callable[[ConcurrencyManager], Awaitable[Transport]]
    slots: int | None


def find_way(model: str, transport: Transport | None, base_url: str | None, **options: Any) -> Way:
    """Return the way to a model.

    Args:
        model: Its name.
        transport: The user's own, or ``None``.
        base_url: Of the API; ``None`` for OpenAI's, or for this machine if the model is ``local``.
        **options: As for ``HttpTransport``.

    Raises:
        ConfigError: If an option is impossible.
        MissingExtraError: If aiohttp is not installed.
    """
    if transport is None:
        from tenire.llm.addresses import OPENAI
        from tenire.llm.local import SLOTS, is_local
        from tenire.llm.transport import HttpTransport, Timeouts  # needs aiohttp

        if base_url is None and is_local(model):
            return Way(_HERE, f"{_HERE}: {model}", _maker(model), SLOTS)
        url = OPENAI if base_url is None else base_url
        # Each try is limited by the guard around it; more timers would only cost time.
        new = partial(HttpTransport, url, timeouts=Timeouts(read=None, total=None), **options)
        place, whom = new().identity
        return Way(service_of(place), whom, _opener(new), None)
    own = type(transport).__name__
    host, who = getattr(transport, "identity", (None, f"{own} {os.getpid()} {id(transport)}"))
    return Way(own if host is None else service_of(host), who, _keeper(transport), None)


def service_of(host: str) -> str:
    """Return what keys of replies know a host as."""
    return _HERE if is_loopback(host) else host


def _opener(new: Callable[[], Transport]) -> Callable[[ConcurrencyManager], Awaitable[Transport]]:
    async def make(_: ConcurrencyManager) -> Transport:
        return new()

    return make


def _keeper(transport: Transport) -> Callable[[ConcurrencyManager], Awaitable[Transport]]:
    async def make(_: ConcurrencyManager) -> Transport:
        return transport

    return make


def _maker(model: str) -> Callable[[ConcurrencyManager], Awaitable[Transport]]:
    async def make(manager: ConcurrencyManager) -> Transport:
        from tenire.llm.local import LocalTransport, find_weights  # as above

        return LocalTransport(await asyncio.to_thread(find_weights, model), manager)

    return make
