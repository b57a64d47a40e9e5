"""The only way out: what connects, what does not, and what is told of it."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import pytest

from tenire.browser.addresses import Addresses
from tenire.browser.gate import Gate
from tenire.browser.trackers import is_tracker

from .site import Site, page

if TYPE_CHECKING:
    from collections.abc import Sequence


async def connect(gate: Gate, host: str, port: int, *, kind: int = 3, command: int = 1) -> tuple[int, bytes]:
    """Ask the gate for a connection; return its code, and what a request through it brings."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gate.port)
    try:
        writer.write(b"\x05\x01\x00")
        assert await reader.readexactly(2) == b"\x05\x00"
        if kind == 3:
            where = bytes([len(host)]) + host.encode()
        else:
            where = socket.inet_pton(socket.AF_INET if kind == 1 else socket.AF_INET6, host)
        writer.write(bytes([5, command, 0, kind]) + where + port.to_bytes(2, "big"))
        code = (await reader.readexactly(10))[1]
        if code:
            return code, await reader.read()
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        return code, await reader.readuntil(b"</html>")
    finally:
        writer.close()


def gated(
    host: str, *, port: int | None = None, private: Sequence[str] = ("127.0.0.1", "localhost"), kind: int = 3,
    command: int = 1,
) -> tuple[int, bytes, Gate]:  # fmt: skip
    async def main() -> tuple[int, bytes, Gate]:
        async with Site({"/": page("hello")}) as site, Gate(Addresses(private), blocked=is_tracker) as gate:
            code, answer = await connect(gate, host, site.port if port is None else port, kind=kind, command=command)
            return code, answer, gate

    return asyncio.run(main())


@pytest.mark.parametrize(("host", "kind"), [("127.0.0.1", 1), ("127.0.0.1", 3), ("localhost", 3)])
def test_what_may_be_reached_is_reached(host: str, kind: int) -> None:
    code, answer, gate = gated(host, kind=kind)
    assert code == 0
    assert b"<title>hello</title>" in answer
    assert gate.trouble(host) is None


@pytest.mark.parametrize(("host", "kind"), [("127.0.0.1", 1), ("127.0.0.1", 3), ("localhost", 3), ("::1", 4)])
def test_what_may_not_be_reached_is_refused_with_its_reason(host: str, kind: int) -> None:
    code, answer, gate = gated(host, private=(), kind=kind)
    assert (code, answer) == (2, b"")
    trouble = gate.trouble(host)
    assert trouble is not None
    assert trouble.refused
    assert "not on the public network" in trouble.reason
    assert gate.refused == 1


def test_a_tracker_is_not_reached_and_no_trouble() -> None:
    code, _, gate = gated("www.google-analytics.com")
    assert code == 2
    assert (gate.blocked, gate.refused) == (1, 0)
    assert gate.trouble("www.google-analytics.com") is None


def test_a_closed_port_is_told_apart_from_a_refusal() -> None:
    code, _, gate = gated("127.0.0.1", port=1)
    assert code == 4
    trouble = gate.trouble("127.0.0.1")
    assert trouble is not None
    assert not trouble.refused
    assert "127.0.0.1:1 cannot be reached" in trouble.reason


def test_nobody_can_listen_through_it() -> None:
    code, _, _ = gated("127.0.0.1", command=2)
    assert code == 7


def test_who_does_not_speak_its_language_is_dropped() -> None:
    async def main() -> bytes:
        async with Gate(Addresses(), blocked=is_tracker) as gate:
            reader, writer = await asyncio.open_connection("127.0.0.1", gate.port)
            writer.write(b"GET / HTTP/1.1\r\n\r\n")
            await writer.drain()
            try:
                return await reader.read()
            except ConnectionError:
                return b""
            finally:
                writer.close()

    assert asyncio.run(main()) == b""


def test_it_closes_with_connections_that_are_open() -> None:
    async def main() -> None:
        async with Site({"/": page("hello")}) as site, Gate(Addresses(["127.0.0.1"]), blocked=is_tracker) as gate:
            reader, writer = await asyncio.open_connection("127.0.0.1", gate.port)
            writer.write(b"\x05\x01\x00" + b"\x05\x01\x00\x01\x7f\x00\x00\x01" + site.port.to_bytes(2, "big"))
            await reader.readexactly(12)
            writer.close()
            idle = await asyncio.open_connection("127.0.0.1", gate.port)
            idle[1].close()

    asyncio.run(main())
