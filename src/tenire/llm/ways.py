"""The way to a model that a client was asked for: over HTTP, one of the user's, or on this machine."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, cast
from urllib.parse import urlsplit

from tenire.concurrency.blocking import run_blocking
from tenire.errors import ConfigError
from tenire.llm.keys import is_loopback

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tenire.concurrency import ConcurrencyManager
    from tenire.llm.records import Transport
    from tenire.llm.sdk import SdkClient

__all__ = ["AnyTransport", "Way", "find_way", "service_of"]

AnyTransport: TypeAlias = "Transport | SdkClient"
"""A way to a provider, or a client of the ``openai`` package that has one."""

_HERE = "this machine"
_PORTS = {"http": 80, "https": 443}
_FOR_CALLS = 64 << 20
_GIVEN = 32768
"""From this port on systems give ports away: Linux from here, others from 49152."""


_FOR_CONNECTING = 0.9  # of the time for one try


class Way(NamedTuple):
    """A way to a model.

    Attributes:
        service: Who is asked, as keys of replies know it; see ``service_of``.
        who: Whose quota it takes: the same for the same provider and key.
        make: Makes the transport for an engine.
        slots: Calls at once that are of use, if that is known.
        memory: Bytes that an engine for it alone shares out; ``None``: all that there are.
    """

    service: str
    who: str
    make: Callable[[ConcurrencyManager], Awaitable[Transport]]
    slots: int | None = None
    memory: int | None = _FOR_CALLS


def find_way(
    model: str, transport: AnyTransport | None, base_url: str | None, *, timeout: float = float("inf"), **options: Any
) -> Way:
    """Return the way to a model.

    Args:
        model: Its name.
        transport: The user's own, or ``None``.
        base_url: Of the API; ``None`` for OpenAI's, or for this machine if the model is ``local``.
        timeout: Seconds for one try.
        **options: As for ``HttpTransport``.

    Raises:
        ConfigError: If an option is impossible, or says again what the user's own transport says.
        MissingExtraError: If aiohttp is not installed.
    """
    if transport is None:
        from tenire.llm.addresses import OPENAI
        from tenire.llm.local import SLOTS, is_local
        from tenire.llm.transport import HttpTransport, Timeouts  # needs aiohttp

        if base_url is None and is_local(model):
            return Way(_HERE, f"{_HERE}: {model}", _maker(model), SLOTS, None)
        url = OPENAI if base_url is None else base_url
        # Each try is limited by the guard around it; more timers would only cost time. But whose connection
        # is not made in time has not been slow to answer.
        limits = Timeouts(connect=min(Timeouts().connect, _FOR_CONNECTING * timeout), read=None, total=None)
        new = partial(HttpTransport, url, timeouts=limits, **options)
        place, whom = new().identity
        return Way(service_of(place), whom, _opener(new))
    own = type(transport).__name__
    given = {"base_url": base_url, **options}
    twice = [name for name, value in given.items() if value is not None and (name, value) != ("dialect", "auto")]
    if twice:
        said = f"transport={own}(…) and {', '.join(twice)}"
        message = f"a transport of yours says itself where calls go, and with which key and headers: got {said}"
        hint = f"leave out {' and '.join(twice)}, which what you pass as transport has itself, or leave out transport"
        raise ConfigError(message, key=twice[0], hint=hint)
    transport = _as_transport(transport)
    base, who = getattr(transport, "identity", (None, f"{own} {os.getpid()} {id(transport)}"))
    return Way(own if base is None else service_of(base), who, _keeper(transport))


def _as_transport(given: AnyTransport) -> Transport:
    if callable(getattr(given, "complete", None)):
        return cast("Transport", given)
    from tenire.llm.sdk import SdkTransport  # rarely needed

    try:
        return SdkTransport(given)
    except ConfigError:
        kinds = "an openai.AsyncOpenAI, or an object with the methods of tenire.llm.Transport"
        raise ConfigError(f"transport must be {kinds}, got {type(given).__name__}", key="transport") from None


def service_of(base: str) -> str:
    """Return what keys of replies know a server as: its host, with the port and the path that are not the usual ones.

    Models of the same name at two servers of one machine, or behind two paths of one, may be
    two models. But a port of this machine that the system has given tells nothing: servers
    for tests, and local models, come and go on others. So all of those are one.
    """
    parts = urlsplit(base)
    host = parts.hostname or base
    here = is_loopback(host)
    usual = _PORTS.get(parts.scheme, 0)
    port = parts.port or usual
    if here and port >= _GIVEN:
        return _HERE
    path = parts.path.removesuffix("/v1").strip("/")
    told = f"{_HERE if here else host}, port {port}" if here or port != usual else host
    return told + (f", {path}" if path else "")


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
        from tenire.llm.local import share_model, size_up  # as above

        weights, memory = await run_blocking(size_up, model)
        return share_model(weights, manager, memory=memory)

    return make
