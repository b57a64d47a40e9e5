"""How far a request has got: before it has a connection, nothing of it can have been sent."""

from __future__ import annotations

import io
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from tenire.llm.connection_errors import of_connection
from tenire.llm.failures import mark_unsent
from tenire.llm.http_library import aiohttp

if TYPE_CHECKING:
    from tenire.errors import ModelError
    from tenire.llm.failures import Call

__all__ = ["Connector", "Sending"]


class Sending:
    """The next request of this task on its way.

    Args:
        body: Of the request.

    Attributes:
        connected: Whether it has its connection.
    """

    __slots__ = ("_body", "connected")

    def __init__(self, body: bytes | io.BytesIO) -> None:
        self._body = body
        self.connected = False
        _SENDING.set(self)

    @property
    def _is_part_unsent(self) -> bool:
        """Whether some of the body was never handed to the connection; a small one goes in one piece."""
        body = self._body
        return isinstance(body, io.BytesIO) and not body.closed and body.tell() < body.getbuffer().nbytes

    def given_up(self, error: BaseException) -> None:
        """Mark the cancellation of a request that was not sent, or not to its end."""
        if not self.connected or self._is_part_unsent:
            mark_unsent(error, connected=self.connected)

    def broken(self, call: Call, error: Exception) -> ModelError:
        """Return the error for what aiohttp or the system raised: what was not sent to its end is not charged for."""
        failure = of_connection(call, error)
        failure.charged = failure.charged and not self._is_part_unsent
        return failure


_SENDING: ContextVar[Sending] = ContextVar("sending")


class Connector(aiohttp.TCPConnector):
    """Makes connections, and tells each request when it has one."""

    # aiohttp's own way to be told of it, a TraceConfig, costs 14 µs a call, and this nothing that can be measured.
    async def connect(
        self, req: aiohttp.ClientRequest, traces: list[Any], timeout: aiohttp.ClientTimeout
    ) -> aiohttp.connector.Connection:
        """Return a connection, with the name of the host, a way through a proxy and TLS behind it."""
        connection = await super().connect(req, traces, timeout)
        _SENDING.get().connected = True
        return connection
