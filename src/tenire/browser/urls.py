"""Addresses of pages, in the one form in which they are compared."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from tenire.browser.errors import PageError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["host_of", "is_page", "normal", "origin_of", "pages_among"]

_PORTS = {"http": 80, "https": 443}
_SHOWN = 200


def normal(url: str) -> str:
    """Return an address without what makes no difference: a part after ``#``, the usual port, letters' case.

    >>> normal("HTTP://Example.org:80/a#b")
    'http://example.org/a'

    Raises:
        PageError: If it is not the address of a page.
    """
    try:
        parts = urlsplit(url.strip())
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise _refused(url, str(error)) from error
    scheme = parts.scheme.lower()
    if scheme not in _PORTS:
        raise _refused(url, f"it begins with {scheme}:" if scheme else "it does not say how to get there")
    if not host:
        raise _refused(url, "it names no host")
    try:
        host = host.encode("idna").decode("ascii") if not host.isascii() else host
    except UnicodeError as error:
        raise _refused(url, "its host is no name") from error
    if ":" in host:
        host = f"[{host}]"
    if port is not None and port != _PORTS[scheme]:
        host = f"{host}:{port}"
    if parts.username or parts.password:
        raise _refused(url.replace(parts.netloc, host), "it holds a password, which would be kept with it")
    return urlunsplit((scheme, host, parts.path or "/", parts.query, ""))


def is_page(url: str) -> bool:
    """Return whether ``normal`` takes an address."""
    try:
        normal(url)
    except PageError:
        return False
    return True


def pages_among(urls: Iterable[str]) -> list[str]:
    """Return those that are addresses of pages, in their normal form, each once."""
    found: dict[str, None] = {}
    for url in urls:
        with suppress(PageError):
            found[normal(url)] = None
    return list(found)


def host_of(url: str) -> str:
    """Return the host of an address, without its port."""
    return urlsplit(url).hostname or ""


def origin_of(url: str) -> str:
    """Return scheme, host and port of an address."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _refused(url: str, why: str) -> PageError:
    message = f"expected the address of a page, as https://example.org/, got {url[:_SHOWN]!r}: {why}"
    return PageError(message, url=url)
