"""Requests without a browser: for files, and for whether a page is still the same."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

from tenire.browser.addresses import RefusedError, UnreachableError
from tenire.browser.errors import AddressRefusedError, PageError, PageTimeoutError, PageTooLargeError
from tenire.browser.urls import host_of, normal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import aiohttp

    from tenire.browser.addresses import Addresses

__all__ = ["Answer", "Looking"]

_MOST_REDIRECTS = 10
_PIECE = 64 << 10
_REDIRECTS = (301, 302, 303, 307, 308)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered.

    Attributes:
        url: The address that answered, where redirects led.
        status: The status of HTTP.
        headers: In lower case.
        body: What came.
    """

    url: str
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def content_type(self) -> str:
        """What the server says that it is, without parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


class Looking:
    """Asks servers, and goes only where ``Addresses`` allows; an async context manager.

    Args:
        addresses: Judges where connections may go.
        user_agent: By what name it asks.
        timeout: Seconds for one answer.
    """

    def __init__(self, addresses: Addresses, *, user_agent: str | None, timeout: float) -> None:
        self._addresses = addresses
        self._agent = user_agent or "Tenire"
        self._timeout = timeout
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Looking:
        import aiohttp

        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(resolver=_resolver(self._addresses), limit=0, use_dns_cache=False),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=self._timeout),
            headers={"User-Agent": self._agent},
        )
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def get(
        self,
        url: str,
        *,
        max_bytes: int,
        headers: Mapping[str, str] | None = None,
        cookies: Callable[[str], str] | None = None,
        cut: bool = False,
    ) -> Answer:
        """Ask for an address, and follow where it leads.

        Args:
            url: The address.
            max_bytes: The most that may come.
            headers: To send besides.
            cookies: Tells the cookies that are for an address. It is asked for each that a
                redirect leads to: another host must not get those of the first.
            cut: Whether what is beyond is left out; otherwise it is refused.

        Raises:
            AddressRefusedError: If it is not to be reached, or leads to what is not.
            PageTooLargeError: If more would come.
            PageTimeoutError: If it took too long.
            PageError: If it cannot be reached.
        """
        import aiohttp

        assert self._session is not None
        asked = normal(url)
        try:
            for _ in range(_MOST_REDIRECTS):
                await self._judge_literal(asked)
                sent = dict(headers or {})
                if cookies is not None and (cookie := cookies(asked)):
                    sent["Cookie"] = cookie
                request = self._session.get(asked, headers=sent, allow_redirects=False)
                async with request as response:
                    where = response.headers.get("Location")
                    if response.status in _REDIRECTS and where:
                        asked = normal(urljoin(asked, where))
                        continue
                    kept = {name.lower(): value for name, value in response.headers.items()}
                    body = await _body(response, url, max_bytes, cut=cut)
                    return Answer(asked, response.status, kept, body)
        except (RefusedError, UnreachableError) as error:
            raise _unreachable(url, asked, error) from error
        except TimeoutError as error:
            message = f"{url} did not answer within {self._timeout:g} s"
            raise PageTimeoutError(message, url=url) from error
        except (aiohttp.ClientError, OSError) as error:
            raise _unreachable(url, asked, error) from error
        message = f"{url} leads on and on: {_MOST_REDIRECTS} redirects, the last one to {asked}"
        raise PageError(message, url=url)

    async def _judge_literal(self, url: str) -> None:
        """Judge an address that needs no resolving, which aiohttp does not show to its resolver."""
        host = host_of(url)
        if ":" in host or host.replace(".", "").isdigit():
            await self._addresses.resolve(host, 0)


async def _body(response: aiohttp.ClientResponse, url: str, most: int, *, cut: bool) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in response.content.iter_chunked(_PIECE):
        size += len(part)
        if size > most:
            if cut:
                parts.append(part[: len(part) - (size - most)])
                break
            message = f"{url} has more bytes than max_bytes ({most:,})"
            raise PageTooLargeError(message, url=url, hint="raise max_bytes=, or leave it out")
        parts.append(part)
    return b"".join(parts)


def _unreachable(url: str, asked: str, error: BaseException) -> PageError:
    by_way_of = "" if asked == url else f" (it leads to {asked})"
    seen: BaseException | None = error
    while seen is not None and not isinstance(seen, RefusedError | UnreachableError):
        seen = seen.__cause__ or seen.__context__ or getattr(seen, "os_error", None)
    reason = str(seen or error) or type(error).__name__
    message = f"{url} cannot be had{by_way_of}: {reason}"
    if isinstance(seen, RefusedError):
        return AddressRefusedError(message, url=url, hint=f'if it is yours and meant: private=["{host_of(asked)}"]')
    return PageError(message, url=url)


def _resolver(addresses: Addresses) -> Any:
    """Return a resolver for aiohttp that names only what may be reached; aiohttp connects to just that."""
    from aiohttp.abc import AbstractResolver

    class Judged(AbstractResolver):
        async def resolve(self, host: str, port: int = 0, family: int = socket.AF_UNSPEC) -> list[Any]:
            try:
                places = await addresses.resolve(host, port)
            except (RefusedError, UnreachableError) as error:
                raise OSError(str(error)) from error  # the only one that aiohttp understands
            return [
                {
                    "hostname": host, "host": address, "port": port, "family": found, "proto": 0,
                    "flags": socket.AI_NUMERICHOST,
                }
                for found, address in places
            ]  # fmt: skip

        async def close(self) -> None:
            """There is nothing to close."""

    return Judged()
