"""Which cookies of a session go with a request that no browser makes.

As RFC 6265 (5.4) says, for what a browser keeps as Playwright tells it:

1. To the host that set it; with a domain that begins with a dot, to hosts below that, too.
2. To its path and to what is below it.
3. If it is ``secure``, over https alone.
4. Not after its end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tenire.browser.urls import host_of

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["cookies_for"]


def cookies_for(state: Mapping[str, Any], url: str, now: float) -> str:
    """Return the header ``Cookie`` of a request, or an empty text if no cookie is for it.

    Args:
        state: What is kept of a session.
        url: The address that is asked, in its normal form.
        now: Seconds since the epoch.
    """
    fitting = [cookie for cookie in state.get("cookies", ()) if _is_for(cookie, url, now)]
    fitting.sort(key=lambda cookie: -len(cookie["path"]))
    return "; ".join(f"{cookie['name']}={cookie['value']}" for cookie in fitting)


def _is_for(cookie: Mapping[str, Any], url: str, now: float) -> bool:
    if cookie.get("partitionKey"):
        return False  # it is only for what another site shows inside of it
    if cookie.get("secure") and not url.startswith("https:"):
        return False
    if 0 <= cookie.get("expires", -1) <= now:  # below 0: with its browser
        return False
    host, domain = host_of(url), cookie["domain"].strip("[]").lower()
    if host != domain.removeprefix(".") and not (domain.startswith(".") and host.endswith(domain)):
        return False
    path, below = urlsplit(url).path, cookie["path"]
    return bool(path == below or path.startswith(below if below.endswith("/") else f"{below}/"))
