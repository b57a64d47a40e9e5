"""The event stream: what happens, to any number of pages, as fast as each can take it.

1. A page gets the latest view when it has taken the one before: nothing queues up.
2. A page that goes away, and the end of the dashboard, end the stream.
3. While no page is open the engine is looked at once a second only.
4. A view is framed as a chunk of HTTP/1.1 once for all pages, and written to each
   connection: the server would do that for each anew, two hundred times a second with
   twenty pages. A page that has not taken all goes through the server, which waits for it.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from tenire.app.feed.feed import PERIOD_S
from tenire.dashboard.messages import Messages

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping
    from typing import Any

    from tenire.app.feed import Feed

    Scope = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
    Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

__all__ = ["CONNECTION", "MOST_PAGES", "Stream"]

CONNECTION = "tenire.connection"
"""Where in the state of a request its connection is found, an ``asyncio.Transport``; may be missing."""

MOST_PAGES = 100
"""Pages at a time."""

_UNSEEN_PERIOD_S = 1.0
_HEAD = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"x-accel-buffering", b"no")]


class Stream:
    """Sends views to pages.

    Args:
        feed: Where they come from.

    Attributes:
        pages: Pages that are open now.
    """

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._messages = Messages()
        self._sending: set[asyncio.Task[None]] = set()
        self._ended = False
        self.pages = 0
        feed.period = _UNSEEN_PERIOD_S

    @property
    def full(self) -> bool:
        """Whether no more pages are taken."""
        return self._ended or self.pages >= MOST_PAGES

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Be one page's stream, until either side ends."""
        await send({"type": "http.response.start", "status": 200, "headers": _HEAD})
        self.pages += 1
        self._feed.period = PERIOD_S
        sending = asyncio.get_running_loop().create_task(self._send(scope, send), name="tenire dashboard: page")
        self._sending.add(sending)
        leaving = asyncio.get_running_loop().create_task(_left(receive), name="tenire dashboard: page left")
        try:
            await asyncio.wait([sending, leaving], return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.pages -= 1
            if not self.pages:
                self._feed.period = _UNSEEN_PERIOD_S
            self._sending.discard(sending)
            for task in (sending, leaving):
                task.cancel()
            await asyncio.wait([sending, leaving])
        if not sending.cancelled() and (error := sending.exception()) is not None:
            raise error
        if self._ended:
            with contextlib.suppress(OSError):
                await send({"type": "http.response.body", "body": b"", "more_body": False})

    def end(self) -> None:
        """End all streams."""
        self._ended = True
        for task in tuple(self._sending):
            task.cancel()

    async def _send(self, scope: Scope, send: Send) -> None:
        known, messages = 0, self._messages
        # Older versions have no chunks.
        connection = scope.get("state", {}).get(CONNECTION) if scope["http_version"] == "1.1" else None
        while True:
            view = await self._feed.newer(known)
            message = messages.of(view, known)
            if connection is None or connection.is_closing() or connection.get_write_buffer_size():
                await send({"type": "http.response.body", "body": message, "more_body": True})
            else:
                connection.write(messages.chunk(message))
            known = view.number


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
