"""The other end of the channel: calls operations of an engine in another process."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from tenire.clock import SYSTEM_CLOCK
from tenire.concurrency.channel.endpoint import connect
from tenire.concurrency.channel.link import Link
from tenire.concurrency.channel.messages import check_name
from tenire.concurrency.timer import UniversalTimer
from tenire.core.backoff import full_jitter
from tenire.errors import ChannelError, ConfigError

if TYPE_CHECKING:
    import os
    from collections.abc import Awaitable, Callable

    Connect = Callable[[Path, Callable[[bytes], Link]], Awaitable[Link]]

__all__ = ["ChannelClient"]

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.02, 0.5


class ChannelClient:
    """Calls what an engine has registered on its ``LoopChannel``; an async context manager.

    It connects with the first call, and again with the next one after the connection
    broke off: an engine that was started anew is found with its new key. One
    connection carries any number of calls.

    Args:
        directory: The directory of the engine's channel: its home.
        timeout: Seconds that a call may take, connecting included.
        patience: Seconds of them to go on trying while nobody listens, as when the
            engine has only just begun.
        connect: How to connect; tests put a connection of their own here.
        timer: The engine's, on the loop of an engine; anywhere else it makes one of its own.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        timeout: float = 5.0,
        patience: float = 0.0,
        connect: Connect = connect,
        timer: UniversalTimer | None = None,
    ) -> None:
        self.directory = Path(directory)
        self._timeout = timeout
        self._patience = patience
        self._connect = connect
        self._timer = timer
        self._own_timer: UniversalTimer | None = None
        self._link: Link | None = None
        self._connecting = asyncio.Lock()
        self._attempt: asyncio.Task[None] | None = None
        self._closed = False
        self._rng = random.Random()

    async def __aenter__(self) -> ChannelClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def call(self, operation: str, argument: Any = None, *, returns: Any = Any) -> Any:
        """Call an operation and return what it returns.

        Args:
            operation: Its name.
            argument: What it takes: anything that msgspec can encode.
            returns: Type to make of what it returns.

        Raises:
            ConfigError: If the name can be no operation's, or the argument cannot be encoded, or is too long.
            ChannelError: If no engine listens, it is not ours, it does not answer in
                time, or the connection broke off meanwhile; then it is not known
                whether the operation was carried out.
            TenireError: What the operation raised.
        """
        check_name(operation)
        try:
            encoded = msgspec.Raw(msgspec.msgpack.encode(argument))
        except Exception as error:  # msgspec raises what the value's own methods raise, too
            message = f"the argument of {operation} cannot be sent: {error}"
            raise ConfigError(message, key=operation) from error
        try:
            async with asyncio.timeout(self._timeout):
                link = await self._ready()
                value = await link.call(operation, encoded)
        except TimeoutError as error:
            message = f"the engine on {self.directory} did not answer within {self._timeout:g} s"
            raise ChannelError(
                message, hint="it is stopped, or busy beyond measure; tenire status names its pid"
            ) from error
        try:
            return msgspec.msgpack.decode(value, type=returns)
        except (msgspec.DecodeError, RecursionError) as error:
            message = f"the engine on {self.directory} answered {operation} with something else: {error}"
            raise ChannelError(message, hint="use the same version of Tenire as the engine") from error

    async def aclose(self) -> None:
        """End the connection; calls that wait for it, or for an answer, fail."""
        self._closed = True
        try:
            if self._attempt is not None:  # what it connects would stay, and nobody would ever close it
                self._attempt.cancel()
                await asyncio.wait([self._attempt])
            if self._link is not None:
                await self._link.aclose()
        finally:
            if self._own_timer is not None:
                self._own_timer.close()

    async def _ready(self) -> Link:
        async with self._connecting:  # one of many callers connects, the others use it
            if not self._closed and (self._link is None or self._link.ended):
                self._attempt = asyncio.get_running_loop().create_task(self._connected(), name="tenire channel client")
                try:
                    await self._attempt
                except asyncio.CancelledError:
                    this = asyncio.current_task()
                    if not self._closed or (this is not None and this.cancelling()):
                        raise
            if self._closed or self._link is None:
                message = "this client was closed; make a new one"
                raise ChannelError(message)
            return self._link

    async def _connected(self) -> None:
        if self._timer is None:
            self._timer = self._own_timer = UniversalTimer.of_running_loop(SYSTEM_CLOCK)
        timer, tries = self._timer, 0
        give_up_at = timer.now() + self._patience
        while True:
            try:
                self._link = await self._met(timer)
            except ChannelError:
                if timer.now() >= give_up_at:
                    raise
            else:
                return
            tries += 1
            pause = full_jitter(tries, base=_FIRST_PAUSE_S, cap=_LONGEST_PAUSE_S, rng=self._rng)
            await timer.wait_until(timer.now() + pause)

    async def _met(self, timer: UniversalTimer) -> Link:
        whom = f"the engine on {self.directory}"
        link = await self._connect(self.directory, lambda key: Link(key, whom, timer=timer))
        try:
            await asyncio.shield(link.ready)
        except BaseException:
            await link.aclose()
            raise
        return link
