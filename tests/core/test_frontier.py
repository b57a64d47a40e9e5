"""A crawl in random order, against one that goes page by page."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenire.core.frontier import Frontier

if TYPE_CHECKING:
    from tenire.core.frontier import Visit

PAGES = [f"p{number}" for number in range(12)]
SITES = st.dictionaries(st.sampled_from(PAGES), st.lists(st.sampled_from(PAGES), max_size=5))


def plain(site: dict[str, list[str]], starts: list[str], depth: int, limit: int) -> list[tuple[str, int]]:
    """Visit level by level, one page after the other."""
    seen = list(dict.fromkeys(starts))[:limit]
    level, found = seen[:], [(page, 0) for page in seen]
    for deeper in range(1, depth + 1):
        following: list[str] = []
        for page in level:
            for link in site.get(page, []):
                if link not in seen and len(seen) < limit:
                    seen.append(link)
                    following.append(link)
        found += [(page, deeper) for page in following]
        level = following
    return found


@given(
    site=SITES,
    starts=st.lists(st.sampled_from(PAGES), max_size=4),
    depth=st.integers(0, 3),
    limit=st.integers(1, 15),
    data=st.data(),
)
def test_the_pages_and_their_depths_are_the_same_in_whichever_order_they_are_done(
    site: dict[str, list[str]], starts: list[str], depth: int, limit: int, data: st.DataObject
) -> None:
    frontier = Frontier(starts, depth=depth, limit=limit)
    under_way: list[Visit] = []
    came: list[Visit] = []
    while not frontier.is_over:
        frontier.check()
        if data.draw(st.booleans()) and (visit := frontier.take()) is not None:
            under_way.append(visit)
            came.append(visit)
        elif under_way:
            visit = under_way.pop(data.draw(st.integers(0, len(under_way) - 1)))
            frontier.done(visit, site.get(visit.url, []))
    assert [(visit.url, visit.depth) for visit in came] == plain(site, starts, depth, limit)
    assert frontier.known == len(came)


def test_what_is_beyond_the_limit_is_counted() -> None:
    frontier = Frontier(["a", "b", "c", "c"], depth=0, limit=1)
    assert frontier.left_out == 2


@pytest.mark.parametrize(("led_to", "first"), [("a", True), ("b", False), ("new", True)])
def test_an_address_that_leads_to_a_known_one_needs_no_second_visit(led_to: str, *, first: bool) -> None:
    frontier = Frontier(["a", "b"], depth=0, limit=9)
    visit = frontier.take()
    assert visit is not None
    assert frontier.led_to(visit, led_to) is first
    assert frontier.led_to(visit, led_to) is (led_to == "a")


def test_links_come_in_the_order_of_their_pages_not_in_that_in_which_these_were_done() -> None:
    frontier = Frontier(["a", "b"], depth=1, limit=3)
    first, second = frontier.take(), frontier.take()
    assert first is not None
    assert second is not None
    frontier.done(second, ["of b"])
    frontier.done(first, ["of a"])
    third = frontier.take()
    assert third is not None
    assert (third.url, frontier.left_out) == ("of a", 1)
