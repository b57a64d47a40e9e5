"""What goes wrong below HTTP, as errors that say what to do."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from tenire.llm.failures import DISCONNECTED, broken, unanswered
from tenire.llm.http_library import aiohttp

if TYPE_CHECKING:
    from tenire.errors import ModelError
    from tenire.llm.failures import Call

__all__ = ["FAILURES", "of_connection"]

FAILURES = (aiohttp.ClientError, aiohttp.http_exceptions.HttpProcessingError, OSError)
"""What aiohttp raises when a call fails; timeouts are among the last."""

_RUNS = "is the server running, and is base_url right?"
_OPENS = "is the server running, is base_url right, and does a proxy on the way (HTTPS_PROXY) let calls through?"


def of_connection(call: Call, error: Exception) -> ModelError:
    """Return the error for what aiohttp or the system raised; it holds nothing that a server wrote."""
    if isinstance(error, (TimeoutError, aiohttp.ServerTimeoutError)):
        return _too_slow(call, error)
    if isinstance(error, (aiohttp.ClientProxyConnectionError, aiohttp.ClientHttpProxyError)):
        return unanswered(
            call, "no way through the proxy", code="proxy", hint="check HTTPS_PROXY, or name the host in NO_PROXY"
        )
    if isinstance(error, (aiohttp.ClientSSLError, ssl.SSLError)):
        return unanswered(
            call,
            f"no secure connection ({_reason(error)})",
            code="tls",
            hint="check the certificate, the clock of this machine, and whether the server speaks https at all",
        )
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return unanswered(
            call,
            "no address for this host",
            code="dns",
            hint="check base_url, HTTPS_PROXY if there is one, and the network",
        )
    if isinstance(error, aiohttp.ClientConnectorError):
        return unanswered(call, f"no connection ({_reason(error)})", code="connect", hint=_RUNS)
    if isinstance(error, aiohttp.ClientPayloadError):
        return broken(call, "an answer that was cut off in the middle")
    if isinstance(error, (aiohttp.ClientResponseError, aiohttp.http_exceptions.HttpProcessingError)):
        return broken(call, "bytes that are no HTTP")
    if isinstance(error, (aiohttp.ServerDisconnectedError, OSError)):
        # Who closed it may have worked on it: nobody can tell here whether the model has been asked.
        return unanswered(call, "a connection that was closed without an answer", code=DISCONNECTED, charged=True)
    return unanswered(call, f"a failure of the connection ({type(error).__name__})", code="connection")


def _too_slow(call: Call, error: Exception) -> ModelError:
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return unanswered(call, "no connection in time", code="timeout", hint=_OPENS)
    # What was sent and not answered may well be worked on, and charged for.
    return unanswered(
        call, "no answer in time", code="timeout", charged=True, hint="raise the timeout if the model is slow"
    )


def _reason(error: Exception) -> str:
    cause = getattr(error, "os_error", None) or error
    return getattr(cause, "strerror", None) or getattr(cause, "verify_message", None) or type(cause).__name__
