"""Which addresses pages may reach."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from tenire.browser.addresses import Addresses, RefusedError, UnreachableError
from tenire.errors import ConfigError

PUBLIC = ["93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946", "::ffff:93.184.216.34", "64:ff9b::5db8:d822"]
PRIVATE = [
    "127.0.0.1", "10.0.0.1", "172.16.3.4", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
    "255.255.255.255", "::1", "::", "fe80::1", "fe80::1%eth0", "fd00::1", "ff02::1", "::ffff:127.0.0.1", "::127.0.0.1",
    "::ffff:169.254.169.254", "64:ff9b::7f00:1", "64:ff9b::a00:1", "2002:7f00:1::", "2001:0:0:0:0:0:80ff:fffe",
]  # fmt: skip


@pytest.mark.parametrize("address", PUBLIC)
def test_what_is_on_the_public_network_may_be_reached(address: str) -> None:
    assert Addresses().refusal("example.org", address) == ""


@pytest.mark.parametrize("address", PRIVATE)
def test_what_is_not_may_not_however_it_is_written(address: str) -> None:
    refusal = Addresses().refusal("example.org", address)
    assert refusal == f"example.org has the address {address}, which is not on the public network"
    assert Addresses(private=True).refusal("example.org", address) == ""


@pytest.mark.parametrize(
    ("private", "host", "address", "allowed"),
    [
        (["127.0.0.1"], "localhost", "127.0.0.1", True),
        (["127.0.0.1"], "localhost", "::ffff:127.0.0.1", True),
        (["127.0.0.1"], "localhost", "127.0.0.2", False),
        (["10.1.0.0/16"], "wiki", "10.1.2.3", True),
        (["10.1.0.0/16"], "wiki", "10.2.2.3", False),
        (["wiki"], "WIKI.", "10.2.2.3", True),
        (["wiki"], "evil.wiki", "10.2.2.3", False),
        (["fd00::/8"], "wiki", "fd00::1", True),
        (False, "localhost", "127.0.0.1", False),
    ],
)
def test_what_is_allowed_of_private_networks(private: Any, host: str, address: str, *, allowed: bool) -> None:
    assert (Addresses(private).refusal(host, address) == "") is allowed


@pytest.mark.parametrize("private", ["10.0.0.1", ["http://wiki"], [""], ["10.1.2.3/8"], [1]])
def test_what_is_no_host_no_address_and_no_network_is_refused(private: Any) -> None:
    with pytest.raises(ConfigError, match="private must"):
        Addresses(private)


def resolved(host: str, answers: dict[str, list[str]], private: Any = ()) -> list[tuple[int, str]]:
    async def main() -> list[tuple[int, str]]:
        async def getaddrinfo(name: str, port: int, **_: Any) -> list[Any]:
            if name not in answers:
                raise socket.gaierror(-2, "Name or service not known")
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in answers[name]]

        asyncio.get_running_loop().getaddrinfo = getaddrinfo  # type: ignore[method-assign, assignment]
        return await Addresses(private).resolve(host, 80)

    return asyncio.run(main())


def test_of_a_name_with_several_addresses_only_the_public_ones_are_taken() -> None:
    found = resolved("both", {"both": ["10.0.0.1", "93.184.216.34"]})
    assert found == [(socket.AF_INET, "93.184.216.34")]


def test_a_name_that_means_nothing_public_is_refused_and_one_that_means_nothing_cannot_be_reached() -> None:
    with pytest.raises(RefusedError, match=r"inside has the address 10\.0\.0\.1"):
        resolved("inside", {"inside": ["10.0.0.1"]})
    with pytest.raises(UnreachableError, match="the name outside has no address"):
        resolved("outside", {})
