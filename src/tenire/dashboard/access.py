"""Who gets in: decided from the head of a request alone, before anything else is looked at.

In this order, the first that holds:

1. ``Host`` names another machine: 421. A page elsewhere cannot have its own name lead
   here and be taken for this one. A literal address cannot be led anywhere, so on a
   dashboard that others may reach any literal address will do.
2. ``Origin`` is another than the host, or ``Sec-Fetch-Site`` says that another site asks: 403.
3. No token, or a wrong one: 401. It comes as cookie, as ``Authorization: Bearer``, or in
   the address. On the page itself the address leads to the cookie, so that the token
   does not stay in the browser's line and history.
"""

from __future__ import annotations

import ipaddress
import secrets
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from secrets import compare_digest
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Gate", "Verdict"]

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_OWN_SITES = ("same-origin", "none")  # "same-site" would be any other port of this machine


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a request.

    Attributes:
        status: 200, and it may go on; 303, and the cookie is to be set; or the status of the refusal.
        reason: Why it is refused, for people.
    """

    status: int
    reason: str = ""


class Gate:
    """Judges requests.

    Args:
        token: What who comes in must have.
        port: Where the server listens.
        host: The address that it listens on.
        remote: Whether others than this machine may come in.

    Attributes:
        cookie: Name of the cookie; one for each port, since cookies know no ports.
    """

    def __init__(self, token: str, *, port: int, host: str = "127.0.0.1", remote: bool = False) -> None:
        self.token = token
        self._hosts = frozenset({*_LOOPBACK, host.lower()})
        self._remote = remote
        self._tickets: set[str] = set()
        self.cookie = f"tenire-{port}"

    def ticket(self) -> str:
        """Return a token that opens the page once: for a browser's command line, which others can read."""
        made = secrets.token_urlsafe(32)
        self._tickets.add(made)
        return made

    def judge(self, path: str, query: str, headers: Mapping[str, str]) -> Verdict:
        """Return what becomes of a request.

        Args:
            path: Its path.
            query: What stands behind the question mark.
            headers: By name, in lower case.
        """
        host = headers.get("host", "")
        if not self._is_here(_name(host)):
            asked_for = host[:100] or "a host without a name"
            return Verdict(421, f"this is not {asked_for}: use the address that tenire dashboard printed")
        origin = headers.get("origin")
        if origin is not None and origin.lower() != f"http://{host.lower()}":
            return Verdict(403, "another page may not use this one")
        if headers.get("sec-fetch-site", "none") not in _OWN_SITES:
            return Verdict(403, "another page may not lead here: open the address that tenire dashboard printed")
        asked = parse_qs(query).get("token")
        if asked is not None:
            if not self._is_token(asked[-1]) and not self._is_ticket(asked[-1]):
                return Verdict(401, "the token in the address is not this dashboard's: each start has a new one")
            return Verdict(303 if path == "/" else 200)
        if self._is_token(self._from_cookie(headers)) or self._is_token(_bearer(headers)):
            return Verdict(200)
        return Verdict(401, "open the address that tenire dashboard printed: it holds the token")

    def _is_here(self, name: str) -> bool:
        return name in self._hosts or (self._remote and _is_literal(name))

    def _is_token(self, got: str) -> bool:
        return compare_digest(got.encode("utf-8", "replace"), self.token.encode())

    def _is_ticket(self, got: str) -> bool:
        given = got.encode("utf-8", "replace")
        found = next((ticket for ticket in self._tickets if compare_digest(given, ticket.encode())), None)
        if found is not None:
            self._tickets.remove(found)
        return found is not None

    def _from_cookie(self, headers: Mapping[str, str]) -> str:
        try:
            found = SimpleCookie(headers.get("cookie", "")).get(self.cookie)
        except CookieError:
            return ""
        return "" if found is None else found.value


def _bearer(headers: Mapping[str, str]) -> str:
    kind, _, value = headers.get("authorization", "").partition(" ")
    return value.strip() if kind.lower() == "bearer" else ""


def _name(host: str) -> str:
    """Return a host without its port."""
    host = host.lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0] if host.count(":") == 1 else host


def _is_literal(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
