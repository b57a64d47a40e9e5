"""Which page of a crawl comes next.

1. Level by level: no page comes before all pages of a smaller depth were visited. So the
   pages of a crawl, and their depths, are the same however long each of them takes.
2. Each address comes once, however many pages lead to it.
3. No page is deeper than ``depth``: the pages that were named are 0, what they lead to is 1.
4. At most ``limit`` pages come, those of a level in the order of the pages that lead to
   them. What does not come is counted.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Frontier", "Visit"]


@dataclass(frozen=True, slots=True)
class Visit:
    """One page to be visited.

    Attributes:
        url: Its address.
        depth: How many links lead to it from a page that was named.
        number: Its place among all that come, from 0.
    """

    url: str
    depth: int
    number: int


class Frontier:
    """The addresses of one crawl.

    Args:
        urls: The pages that were named.
        depth: Most links that are followed from one of them.
        limit: Most pages.

    Attributes:
        left_out: Addresses that were beyond the limit.
    """

    def __init__(self, urls: Iterable[str], *, depth: int, limit: int) -> None:
        self._depth = depth
        self._limit = limit
        self._known: set[str] = set()
        self._waiting: deque[Visit] = deque()
        self._under_way: set[int] = set()
        self._links: dict[int, tuple[str, ...]] = {}
        self._numbers = 0
        self.left_out = 0
        self._add(urls, 0)

    @property
    def is_over(self) -> bool:
        """Whether every page has been visited."""
        return not self._waiting and not self._under_way

    @property
    def known(self) -> int:
        """Pages that came, or will come as far as is known."""
        return self._numbers

    def leads_on(self, visit: Visit) -> bool:
        """Return whether the links of a page will be followed."""
        return visit.depth < self._depth

    def take(self) -> Visit | None:
        """Take the next page; ``None`` while none may come yet."""
        if not self._waiting:
            return None
        visit = self._waiting.popleft()
        self._under_way.add(visit.number)
        return visit

    def led_to(self, visit: Visit, url: str) -> bool:
        """Note that an address led to another one; return whether it is the first to lead there.

        What comes, or came, under its own address needs no second visit.
        """
        if url == visit.url:
            return True
        if url in self._known:
            return False
        self._known.add(url)
        return True

    def done(self, visit: Visit, links: Iterable[str] = ()) -> None:
        """Note that a page was visited, and what it leads to."""
        self._under_way.remove(visit.number)
        if self.leads_on(visit):
            self._links[visit.number] = tuple(link for link in links if link not in self._known)
        if self.is_over and self._links:
            found, self._links = self._links, {}
            self._add((url for number in sorted(found) for url in found[number]), visit.depth + 1)

    def _add(self, urls: Iterable[str], depth: int) -> None:
        beyond: set[str] = set()
        for url in urls:
            if url in self._known:
                continue
            if self._numbers >= self._limit:
                beyond.add(url)
                continue
            self._known.add(url)
            self._waiting.append(Visit(url, depth, self._numbers))
            self._numbers += 1
        self.left_out += len(beyond)

    def check(self) -> None:
        """Verify the rules."""
        assert self._numbers <= self._limit
        assert len({visit.depth for visit in self._waiting}) <= 1
        assert all(visit.depth <= self._depth for visit in self._waiting)
        assert len(self._known) >= self._numbers
        assert not self._links or self._waiting or self._under_way
