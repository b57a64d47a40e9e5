"""The page that shows a running engine in a browser: ``tenire dashboard``.

``Dashboard`` serves it from any asyncio loop::

    async with Dashboard(home, port=0) as dashboard:
        print(dashboard.address)    # with the token
        await dashboard.wait_ended()

- ``access`` decides who gets in; nothing else of a request is looked at before.
- ``messages`` turns views of the feed into what the page reads, once for all pages.
- ``stream`` sends them; a slow page skips some.
- ``commands`` reads what the page asks for and calls the feed's actions.
- ``application`` puts these behind addresses, ``server`` lets them run and end.
- ``component`` has an engine serve it from its own loop, as one of its components.

It needs the extra ``dashboard``; importing this package does not.
"""

from __future__ import annotations

from tenire.dashboard.component import beside_engine
from tenire.dashboard.server import DEFAULT_PORT, Dashboard, require_packages

__all__ = ["DEFAULT_PORT", "Dashboard", "beside_engine", "require_packages"]
