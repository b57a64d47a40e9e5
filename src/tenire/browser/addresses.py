"""Which addresses pages may reach.

A page that somebody else wrote can name any address: the router's, a database's that listens
on this machine only, the one by which a cloud tells its secrets. So an address is judged after
its name was resolved, at the moment of the connection, and the connection goes to the address
that was judged: a name that means something else a moment later gains nothing.
"""

from __future__ import annotations

import asyncio
import socket
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING

from tenire.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from ipaddress import IPv4Network

__all__ = ["Addresses", "RefusedError", "UnreachableError"]

_NAT64 = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"))


class RefusedError(Exception):
    """An address is not to be reached; says why."""


class UnreachableError(Exception):
    """An address cannot be reached; says why."""


class Addresses:
    """Judges where connections may go.

    Args:
        private: What of private networks may be reached: host names, addresses and networks
            such as ``"10.1.0.0/16"``; or ``True`` for all of it.

    Raises:
        ConfigError: If one of these is none of that.
    """

    def __init__(self, private: Sequence[str] | bool = ()) -> None:
        if isinstance(private, str):
            raise ConfigError(f"private must be a list, got {private!r}", key="private", hint=f"[{private!r}]")
        self._all = private is True
        self._hosts: set[str] = set()
        self._networks: list[IPv4Network | IPv6Network] = []
        for entry in () if isinstance(private, bool) else private:
            self._allow(entry)

    def _allow(self, entry: str) -> None:
        if not isinstance(entry, str) or not entry or "://" in entry:
            message = f'private must hold hosts, addresses or networks, as "10.1.0.0/16", got {entry!r}'
            raise ConfigError(message, key="private")
        try:
            self._networks.append(ip_network(entry))
        except ValueError as error:
            if "/" in entry:
                message = f"private must hold networks whose address fits their length, got {entry!r} ({error})"
                raise ConfigError(message, key="private") from error
            self._hosts.add(entry.lower().rstrip("."))

    def refusal(self, host: str, address: str) -> str:
        """Return why an address that a host's name means is not to be reached, or an empty text."""
        found = ip_address(address.partition("%")[0])
        if self._all or host.lower().rstrip(".") in self._hosts or any(found in each for each in self._networks):
            return ""
        inner = _inner(found)
        if any(inner in each for each in self._networks):
            return ""
        if inner.is_global and not inner.is_multicast:
            return ""
        named = "" if host == address else f"{host} has the address "
        return f"{named}{address}, which is not on the public network"

    async def resolve(self, host: str, port: int) -> list[tuple[int, str]]:
        """Return family and address of each place that a host's name means and that may be reached.

        Raises:
            RefusedError: If there are such places, and none may be reached.
            UnreachableError: If the name means nothing.
        """
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise UnreachableError(f"the name {host} has no address ({reason})") from error
        places: list[tuple[int, str]] = [(family, str(where[0])) for family, _, _, _, where in found]
        refusals = [self.refusal(host, address) for _, address in places]
        allowed = [place for place, refusal in zip(places, refusals, strict=True) if not refusal]
        if not allowed:
            raise RefusedError(refusals[0] if refusals else f"the name {host} has no address")
        return allowed


def _inner(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """Return the address that another one stands for: there are several ways to write the same place."""
    if isinstance(address, IPv4Address):
        return address
    if (inner := address.ipv4_mapped or address.sixtofour) is not None:
        return inner
    if (teredo := address.teredo) is not None:
        return teredo[1]
    if any(address in network for network in _NAT64) or int(address) < 1 << 32:
        return IPv4Address(int(address) & 0xFFFFFFFF) if int(address) > 1 else address
    return address
