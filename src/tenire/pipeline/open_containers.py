"""Containers that are read a slice at a time, and when their own word may be said.

A container counts as done by a commit of its own. That must come after the commits of all
its members: whoever is killed in between has to find a container that is not done.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AsyncExitStack

    from tenire.protocols import Document, Rejection

__all__ = ["OpenContainer", "OpenContainers"]


class OpenContainer:
    """One container that is being read; see ``OpenContainers.open``."""

    def __init__(self, say: Callable[[OpenContainer, Document | Rejection], None]) -> None:
        self._say = say
        self._under_way = 0
        self._word: Document | Rejection | None = None

    def hold(self, held: AsyncExitStack) -> None:
        """Count a slice as under way until the room that it holds is given back, which is after its commit."""
        self._under_way += 1
        held.callback(self._committed)

    def close(self, word: Document | Rejection) -> None:
        """Note what is to be said of the container, since all of it was read."""
        self._word = word
        self._say_it()

    def _committed(self) -> None:
        self._under_way -= 1
        self._say_it()

    def _say_it(self) -> None:
        if self._word is not None and not self._under_way:
            word, self._word = self._word, None
            self._say(self, word)


class OpenContainers:
    """All containers of a run that are being read.

    Args:
        say: Called with a container's own word once all its members are committed.
    """

    def __init__(self, say: Callable[[Document | Rejection], None]) -> None:
        self._say = say
        self._open: set[OpenContainer] = set()
        self._none = asyncio.Event()
        self._none.set()

    def open(self, held: AsyncExitStack) -> OpenContainer:
        """Begin with a container, of which ``held`` holds the first slice; ``close`` it."""
        container = OpenContainer(self._said)
        container.hold(held)
        self._open.add(container)
        self._none.clear()
        return container

    async def wait_said(self) -> None:
        """Wait until the word of each container was said."""
        await self._none.wait()

    def _said(self, container: OpenContainer, word: Document | Rejection) -> None:
        self._open.discard(container)
        self._say(word)
        if not self._open:
            self._none.set()
