"""Requests from bytes, however the bytes are cut."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenire.testing.fake_model_server.http import BadFramingError, Request, RequestReader, response_head

PLAIN = b"POST /v1/embeddings?api-version=1 HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nX-A:  b \r\n\r\nhello"
CHUNKED = b"POST /v1/files HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;ext=1\r\nlo\r\n0\r\n\r\n"
EMPTY = b"GET /v1/models HTTP/1.1\r\n\r\n"


def read_all(*parts: bytes) -> list[Request]:
    reader, found = RequestReader(), []
    for part in parts:
        reader.feed(part)
        while (request := reader.next()) is not None:
            found.append(request)
    return found


@given(st.lists(st.integers(0, len(PLAIN + CHUNKED + EMPTY)), max_size=8))
def test_requests_are_the_same_however_they_arrive(cuts: list[int]) -> None:
    data = PLAIN + CHUNKED + EMPTY
    places = [0, *sorted(cuts), len(data)]
    parts = [data[begin:end] for begin, end in itertools.pairwise(places)]
    plain, chunked, empty = read_all(*parts)
    assert plain == (
        "POST", "/v1/embeddings", "api-version=1", {b"host": b"x", b"content-length": b"5", b"x-a": b"b"}, b"hello"
    )  # fmt: skip
    assert (chunked.path, chunked.body) == ("/v1/files", b"hello")
    assert (empty.method, empty.path, empty.body) == ("GET", "/v1/models", b"")


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"hello\r\n\r\n", "not a request line"),
        (b"GET / HTTP/1.0\r\n\r\n", "expected HTTP/1.1"),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", "not a header"),
        (b"GET / HTTP/1.1\r\nname : x\r\n\r\n", "not a header"),
        (b"GET / HTTP/1.1\r\ncontent-length: -1\r\n\r\n", "content-length must be"),
        (b"GET / HTTP/1.1\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n", "either in chunks"),
        (b"GET / HTTP/1.1\r\ntransfer-encoding: gzip\r\n\r\n", "either in chunks"),
        (b"GET / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n", "size of a chunk"),
        (b"x" * (65 << 10), "a head longer"),
    ],
)
def test_what_is_no_request_is_refused(data: bytes, told: str) -> None:
    with pytest.raises(BadFramingError, match=told):
        read_all(data)


def test_a_head_says_how_long_the_body_is() -> None:
    assert response_head(200, 5, b"x-a: b\r\n") == (
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 5\r\nx-a: b\r\n\r\n"
    )
    assert b"transfer-encoding: chunked" in response_head(200, None, b"", kind=b"text/event-stream")
