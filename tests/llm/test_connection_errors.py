from __future__ import annotations

import asyncio
import ssl
from typing import Any
from unittest.mock import Mock

import aiohttp
import pytest
from aiohttp import client_exceptions, http_exceptions
from yarl import URL

from tenire.errors import BrokenReplyError, ServerError
from tenire.llm.connection_errors import FAILURES, of_connection
from tenire.llm.failures import Call

CALL = Call("a chat completion", "http://h/v1/chat/completions", "m", list)
KEY = Mock(host="h", port=80, ssl=True)
REFUSED = ConnectionRefusedError(111, "Connection refused")
REQUEST = Mock(headers={"Authorization": "Bearer sk-secret"}, real_url=URL("http://h"))


@pytest.mark.parametrize(
    ("error", "code", "got"),
    [
        (aiohttp.ClientConnectorDNSError(KEY, OSError(-2, "Name not known")), "dns", "no address for this host"),
        (aiohttp.ClientConnectorError(KEY, REFUSED), "connect", r"no connection \(Connection refused\)"),
        (aiohttp.ClientConnectorSSLError(KEY, OSError(1, "handshake failed")), "tls", r"\(handshake failed\)"),
        (aiohttp.ClientConnectorCertificateError(KEY, ssl.CertificateError("wrong")), "tls", "no secure connection"),
        (ssl.SSLError(1, "record layer failure"), "tls", r"\(record layer failure\)"),
        (aiohttp.ClientProxyConnectionError(KEY, REFUSED), "proxy", "no way through the proxy"),
        (aiohttp.ClientHttpProxyError(REQUEST, (), status=407), "proxy", "no way through the proxy"),
        (aiohttp.ConnectionTimeoutError("to http://h"), "timeout", "no connection in time"),
        (aiohttp.SocketTimeoutError("read"), "timeout", "no answer in time"),
        (TimeoutError(), "timeout", "no answer in time"),
        (aiohttp.ServerDisconnectedError(), "disconnected", "closed without an answer"),
        (aiohttp.ClientOSError(104, "reset"), "disconnected", "closed without an answer"),
        (ConnectionResetError(104, "reset"), "disconnected", "closed without an answer"),
        (aiohttp.ClientError("odd"), "connection", r"a failure of the connection \(ClientError\)"),
    ],
)
def test_a_call_without_an_answer_says_why(error: Exception, code: str, got: str) -> None:
    assert isinstance(error, FAILURES)
    with pytest.raises(ServerError, match=got) as caught:
        raise of_connection(CALL, error)
    assert caught.value.code == code
    assert "sk-secret" not in repr(caught.value)


def test_only_what_was_sent_may_be_charged() -> None:
    assert of_connection(CALL, aiohttp.SocketTimeoutError()).charged
    assert of_connection(CALL, aiohttp.ServerDisconnectedError()).charged
    assert of_connection(CALL, aiohttp.ClientOSError(104, "reset")).charged
    assert not of_connection(CALL, aiohttp.ConnectionTimeoutError()).charged
    assert not of_connection(CALL, aiohttp.ClientConnectorError(KEY, REFUSED)).charged


@pytest.mark.parametrize(
    ("error", "got"),
    [
        (aiohttp.ClientPayloadError("short"), "cut off in the middle"),
        (aiohttp.ClientResponseError(REQUEST, (), status=400, message="Bad status line"), "no HTTP"),
        (http_exceptions.BadStatusLine("x"), "no HTTP"),
        (http_exceptions.LineTooLong("x"), "no HTTP"),
    ],
)
def test_an_answer_that_cannot_be_read_is_broken(error: Exception, got: str) -> None:
    assert isinstance(error, FAILURES)
    with pytest.raises(BrokenReplyError, match=got):
        raise of_connection(CALL, error)


def test_every_error_of_aiohttp_is_among_them() -> None:
    found: list[Any] = [getattr(client_exceptions, name) for name in client_exceptions.__all__]
    errors = [kind for kind in found if issubclass(kind, Exception) and kind is not aiohttp.WSMessageTypeError]
    assert len(errors) > 20
    assert all(issubclass(kind, FAILURES) for kind in errors)
    assert issubclass(asyncio.TimeoutError, FAILURES)
