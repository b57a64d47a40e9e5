"""Requests without a browser, what hosts allow, and whose turn it is."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tenire.browser.addresses import Addresses
from tenire.browser.errors import AddressRefusedError, PageError, PageTooLargeError, RobotsError
from tenire.browser.looking import Answer, Looking
from tenire.browser.manners import Manners
from tenire.browser.robots import Robots
from tenire.clock import SYSTEM_CLOCK
from tenire.errors import TenireError

from .site import Request, Response, Site, page

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tenire.testing import SimLoop


def looked(
    site: Site, path: str, *, private: Sequence[str] = ("127.0.0.1",), max_bytes: int = 1 << 20, cut: bool = False,
    headers: dict[str, str] | None = None,
) -> Answer:  # fmt: skip
    async def main() -> Answer:
        async with site, Looking(Addresses(private), user_agent=None, timeout=30.0) as looking:
            return await looking.get(site.url(path), max_bytes=max_bytes, headers=headers, cut=cut)

    return asyncio.run(main())


def test_an_answer_comes_with_its_headers() -> None:
    site = Site({"/": Response("hello", headers={"ETag": '"1"'})})
    answer = looked(site, "/", headers={"If-None-Match": '"0"'})
    assert (answer.status, answer.body, answer.headers["etag"], answer.content_type) == (
        200,
        b"hello",
        '"1"',
        "text/html",
    )
    assert site.requests[0].headers["if-none-match"] == '"0"'
    assert site.requests[0].headers["user-agent"] == "Tenire"


def test_redirects_are_followed() -> None:
    site = Site({"/a": Response(status=302, headers={"Location": "b#c"}), "/b": "there"})
    answer = looked(site, "/a")
    assert answer.body == b"there"
    assert answer.url == site.url("/b")


def test_each_address_that_a_redirect_leads_to_gets_its_own_cookies_only() -> None:
    def cookies(url: str) -> str:
        return {site.url("/a"): "a=1", site.url("/c"): "c=1"}.get(url, "")

    async def main() -> Answer:
        async with site, Looking(Addresses(["127.0.0.1"]), user_agent=None, timeout=30.0) as looking:
            return await looking.get(site.url("/a"), max_bytes=1 << 20, headers={"X-Mine": "1"}, cookies=cookies)

    site = Site(
        {
            "/a": Response(status=302, headers={"Location": "/b", "Set-Cookie": "set=1"}),
            "/b": Response(status=302, headers={"Location": "/c"}),
            "/c": "there",
        }
    )
    assert asyncio.run(main()).body == b"there"
    assert [request.headers.get("cookie") for request in site.requests] == ["a=1", None, "c=1"]
    assert [request.headers.get("x-mine") for request in site.requests] == ["1", "1", "1"]


@pytest.mark.parametrize(
    "target",
    ["http://localhost:{port}/", "http://127.0.0.2:{port}/", "http://[::1]:{port}/", "http://2130706434:{port}/"],
)
def test_a_redirect_to_what_is_not_to_be_reached_is_refused(target: str) -> None:
    site = Site()
    site.pages["/"] = lambda _: Response(status=302, headers={"Location": target.format(port=site.port)})
    with pytest.raises(AddressRefusedError, match="not on the public network") as caught:
        looked(site, "/", private=["127.0.0.1/32"] if "localhost" not in target else [])
    assert "private=" in str(caught.value.hint)


def test_a_redirect_to_a_name_is_judged_by_what_the_name_means() -> None:
    site = Site()
    site.pages["/"] = lambda _: Response(status=302, headers={"Location": f"http://localhost:{site.port}/there"})
    site.pages["/there"] = "there"
    assert looked(site, "/", private=["127.0.0.1"]).body == b"there"


def test_a_circle_of_redirects_comes_to_an_end() -> None:
    with pytest.raises(PageError, match="10 redirects"):
        looked(Site({"/": Response(status=302, headers={"Location": "/"})}), "/")


def test_what_is_too_large_is_refused_or_cut() -> None:
    with pytest.raises(PageTooLargeError, match=r"more bytes than max_bytes \(4\)"):
        looked(Site({"/": "hello"}), "/", max_bytes=4)
    assert looked(Site({"/": "hello"}), "/", max_bytes=4, cut=True).body == b"hell"


def test_a_host_that_is_not_there_is_said_so() -> None:
    async def main() -> None:
        async with Looking(Addresses(["127.0.0.1"]), user_agent=None, timeout=30.0) as looking:
            await looking.get("http://127.0.0.1:1/", max_bytes=1)

    with pytest.raises(PageError, match="cannot be had"):
        asyncio.run(main())


ROBOTS = (
    "User-agent: *\nDisallow: /private\nCrawl-delay: 7\n\nUser-agent: tenire\nDisallow: /not-tenire\nCrawl-delay: 2\n"
)


def required(site: Site, *paths: str) -> list[float | str]:
    async def main() -> list[float | str]:
        found: list[float | str] = []
        async with site, Looking(Addresses(["127.0.0.1"]), user_agent=None, timeout=30.0) as looking:
            robots = Robots(looking, SYSTEM_CLOCK)
            for path in paths:
                try:
                    found.append(await robots.require(site.url(path)))
                except TenireError as error:
                    found.append(type(error).__name__)
        return found

    return asyncio.run(main())


def test_what_a_host_allows_is_asked_once() -> None:
    site = Site({"/robots.txt": Response(ROBOTS, content_type="text/plain")})
    assert required(site, "/a", "/not-tenire/x", "/private") == [2.0, "RobotsError", 2.0]
    assert site.asked == {"/robots.txt": 1}


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Response("", 404), 0.0),
        (Response("", 403), 0.0),
        (Response("", 500), "RobotsError"),
        (Response("", 429), "RobotsError"),
    ],
)
def test_without_rules_all_is_allowed_and_with_a_failing_host_nothing(answer: Response, expected: float | str) -> None:
    site = Site({"/robots.txt": answer})
    assert required(site, "/a", "/b") == [expected, expected]
    assert site.asked == {"/robots.txt": 1}


def test_many_who_ask_at_once_ask_the_host_once() -> None:
    async def main() -> None:
        async with site, Looking(Addresses(["127.0.0.1"]), user_agent=None, timeout=30.0) as looking:
            robots = Robots(looking, SYSTEM_CLOCK)
            async with asyncio.TaskGroup() as group:
                for number in range(20):
                    group.create_task(robots.require(site.url(f"/{number}")))

    site = Site()
    asyncio.run(main())
    assert site.asked == {"/robots.txt": 1}


def test_a_refusal_says_what_can_be_done_about_it() -> None:
    async def main() -> None:
        async with site, Looking(Addresses(["127.0.0.1"]), user_agent=None, timeout=30.0) as looking:
            await Robots(looking, SYSTEM_CLOCK).require(site.url("/not-tenire"))

    site = Site({"/robots.txt": ROBOTS})
    with pytest.raises(RobotsError, match=r"robots\.txt does not allow it") as caught:
        asyncio.run(main())
    assert caught.value.hint == "if the host is yours: robots=False"


@pytest.mark.parametrize(("seconds", "expected"), [(1.0, [0.0, 2.0, 4.0]), (5.0, [0.0, 5.0, 10.0])])
def test_a_host_gets_its_pauses_and_others_need_not_wait(
    sim_loop: SimLoop, seconds: float, expected: list[float]
) -> None:
    manners = Manners(delay=2.0, at_once=1, robots=None, clock=sim_loop.clock)
    began: dict[str, list[float]] = {"a": [], "b": []}

    async def one(host: str, start: float) -> None:
        async with manners.turn(f"http://{host}/"):
            began[host].append(sim_loop.clock.now() - start)
            await asyncio.sleep(seconds)

    async def main() -> None:
        start = sim_loop.clock.now()
        async with asyncio.TaskGroup() as group:
            for host in "aaab":
                group.create_task(one(host, start))

    sim_loop.run_until_complete(main())
    assert began == {"a": expected, "b": [0.0]}


def test_a_busy_host_is_left_alone(sim_loop: SimLoop) -> None:
    manners = Manners(delay=0.0, at_once=1, robots=None, clock=sim_loop.clock)

    async def main() -> list[float]:
        waited = []
        for status, retry_after in (
            (200, ""),
            (429, "3"),
            (503, "Wed, 21 Oct 2026 07:28:00 GMT"),
            (503, "1e9"),
            (503, "inf"),
        ):
            manners.note("http://a/", status, retry_after)
            start = sim_loop.clock.now()
            async with manners.turn("http://a/"):
                waited.append(sim_loop.clock.now() - start)
        return waited

    assert sim_loop.run_until_complete(main()) == [0.0, 3.0, 30.0, 60.0, 0.0]


def test_who_gives_up_waiting_leaves_the_turn_to_others(sim_loop: SimLoop) -> None:
    manners = Manners(delay=0.0, at_once=1, robots=None, clock=sim_loop.clock)

    async def main() -> None:
        async def wait() -> None:
            async with manners.turn("http://a/"):
                pass

        async with manners.turn("http://a/"):
            first, second = asyncio.create_task(wait()), asyncio.create_task(wait())
            await asyncio.sleep(1)
            first.cancel()
        await second
        assert first.cancelled()

    sim_loop.run_until_complete(main())


def test_a_request_can_be_answered_by_a_function() -> None:
    def answer(request: Request) -> Response:
        return Response(page(request.path))

    assert b"<title>/</title>" in looked(Site({"/": answer}), "/").body
