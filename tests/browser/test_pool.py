"""Pages through a real Chromium: what comes back, what is refused, and what becomes of a browser that dies."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from tenire.browser import BrowserPool
from tenire.browser.engine import Engine, EngineSettings
from tenire.browser.errors import AddressRefusedError, PageError, PageTimeoutError, PageTooLargeError, RobotsError
from tenire.concurrency import ConcurrencyManager
from tenire.errors import ConfigError

from .site import Request, Response, Site, page

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

PDF = Response(b"%PDF-1.4 not much of one", content_type="application/pdf")
FRAME = '<title>f</title><iframe src="http://127.0.0.2:{port}/inner"></iframe><img src="http://[::1]:{port}/x.png">'


def used(
    work: Callable[[BrowserPool, Site], Awaitable[Any]], site: dict[str, Any], chromium: str, /, **options: Any
) -> Any:
    """Run a test with a site and a pool that may reach it by its address alone."""

    async def main() -> Any:
        async with (
            Site(site) as served,
            BrowserPool(executable=chromium, **{"private": ["127.0.0.1"], "delay": 0, "at_once": 9, **options}) as pool,
        ):
            return await work(pool, served)

    return asyncio.run(main())


def test_a_page_comes_as_its_scripts_made_it(chromium: str) -> None:
    script = "<title>before</title><p id=p></p><script>p.append('made'); document.title = 'after'</script>"

    async def work(pool: BrowserPool, site: Site) -> None:
        plain = await pool.fetch(site.url("/"))
        assert (plain.status, plain.ok, plain.is_html, plain.title, plain.dynamic) == (200, True, True, "hello", False)
        assert plain.links == (site.url("/a"), "https://example.org/b")
        assert plain.headers["etag"] == '"1"'
        made = await pool.fetch(site.url("/script#part"))
        assert (made.title, made.url, made.final_url) == ("after", site.url("/script"), site.url("/script"))
        assert '<p id="p">made</p>' in made.html
        assert (await pool.fetch(site.url("/asks"))).dynamic
        moved = await pool.fetch(site.url("/moved"))
        assert (moved.url, moved.final_url, moved.title) == (site.url("/moved"), site.url("/"), "hello")
        led = await pool.fetch(site.url("/leads"))
        assert (led.final_url, led.title) == (site.url("/"), "hello")
        missing = await pool.fetch(site.url("/missing"))
        assert (missing.status, missing.ok) == (404, False)
        file = await pool.fetch(site.url("/file.pdf"))
        assert (file.content_type, file.is_html, file.html) == ("application/pdf", False, "")
        statistics = pool.statistics()
        assert (statistics.pages, statistics.failed, statistics.generation, statistics.leased) == (7, 0, 1, 0)
        assert statistics.contexts == 1  # one after the other, each in the context of the one before

    home = Response(page("hello", links=("a", "https://example.org/b", "a#c", "mailto:x@y")), headers={"ETag": '"1"'})
    pages = {
        "/": home,
        "/script": script,
        "/asks": "<title>t</title><script>fetch('/a')</script>",
        "/moved": Response(status=302, headers={"Location": "/"}),
        "/leads": "<script>location.href = '/'</script>",
        "/file.pdf": PDF,
    }
    used(work, pages, chromium)


def test_what_cannot_be_had_says_why(chromium: str) -> None:
    async def work(pool: BrowserPool, site: Site) -> None:
        with pytest.raises(PageTooLargeError, match=r"more than max_bytes \(20,000\)"):
            await pool.fetch(site.url("/large"))
        with pytest.raises(PageTooLargeError, match=r"more than max_bytes \(20,000\)"):
            await pool.fetch(site.url("/grows"))
        with pytest.raises(RobotsError, match=r"robots\.txt does not allow it"):
            await pool.fetch(site.url("/private"))
        with pytest.raises(AddressRefusedError, match=r"leads to http://127.*not on the public network") as caught:
            await pool.fetch(site.url("/inside"))
        assert caught.value.hint == 'if it is yours and meant: private=["127.0.0.2"]'
        with pytest.raises(AddressRefusedError, match="not on the public network"):
            await pool.fetch(f"http://127.0.0.2:{site.port}/")
        with pytest.raises(PageError, match="expected the address of a page"):
            await pool.fetch("file:///etc/passwd")
        with pytest.raises(PageTimeoutError, match=r"was not there within 0\.05 s"):
            await pool.fetch(site.url("/never"), timeout=0.05)
        with pytest.raises(ConfigError, match="wait_until must be"):
            await pool.fetch(site.url("/"), wait_until="ever")
        # After all that, the next page is as good as the first.
        assert (await pool.fetch(site.url("/"))).title == "hello"
        framed = await pool.fetch(site.url("/frame"))
        assert framed.title == "f"
        assert pool.statistics().refused >= 2
        assert pool.statistics().lost == 0
        assert "/inner" not in site.asked

    def inside(request: Request) -> Response:
        return Response(
            status=302, headers={"Location": f"http://127.0.0.2:{request.headers['host'].split(':')[1]}/inner"}
        )

    def frame(request: Request) -> Response:
        return Response(FRAME.format(port=request.headers["host"].split(":")[1]))

    pages = {
        "/robots.txt": Response("User-agent: *\nDisallow: /private\n", content_type="text/plain"),
        "/": page("hello"),
        "/private": page("private"),
        "/large": page("large", "x" * 20_000),
        "/grows": "<title>g</title><script>document.write('x'.repeat(30000))</script>",
        "/inside": inside,
        "/inner": page("inner"),
        "/frame": frame,
        "/never": "<title>n</title><script>while (true);</script>",
    }
    used(work, pages, chromium, max_bytes=20_000)


def test_no_word_of_the_environment_lets_a_page_reach_this_machine(
    chromium: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(pool: BrowserPool, site: Site) -> None:
        with pytest.raises(AddressRefusedError, match="not on the public network"):
            await pool.fetch(site.url("/inside"))
        assert pool.statistics().refused >= 1

    def inside(request: Request) -> Response:
        return Response(status=302, headers={"Location": f"http://127.0.0.2:{request.headers['host'].split(':')[1]}/"})

    monkeypatch.setenv("PLAYWRIGHT_DISABLE_FORCED_CHROMIUM_PROXIED_LOOPBACK", "1")
    used(work, {"/inside": inside}, chromium)


@pytest.mark.parametrize(
    ("root", "allowed", "expected"), [(False, True, [True]), (False, False, [True, False]), (True, False, [False])]
)
def test_a_browser_has_its_sandbox_wherever_it_can_have_one(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, root: bool, allowed: bool, expected: list[bool]
) -> None:
    error = pytest.importorskip("playwright.async_api", reason="the extra browser is not installed").Error
    asked: list[Any] = []

    async def launch(**options: Any) -> object:
        asked.append(options.get("chromium_sandbox"))
        if asked[-1] and not allowed:
            raise error("No usable sandbox!")
        return object()

    async def start(_: object) -> Any:
        return SimpleNamespace(chromium=SimpleNamespace(launch=launch))

    monkeypatch.setattr("tenire.browser.engine._Driver.start", start)
    monkeypatch.setattr("tenire.browser.engine.is_root", lambda: root)
    asyncio.run(Engine.start(EngineSettings("browser", 1, True)))
    assert asked == expected
    assert ("sandbox" in caplog.text) == (len(expected) == 2)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere root may have one")
def test_where_a_browser_can_have_no_sandbox_its_pages_come_all_the_same(
    chromium: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(pool: BrowserPool, site: Site) -> None:
        assert (await pool.fetch(site.url("/"))).title == "hello"

    monkeypatch.setattr("tenire.browser.engine.is_root", lambda: False)  # root who tries it all the same gets none
    used(work, {"/": page("hello")}, chromium)


def test_a_page_that_leads_to_a_forbidden_one_is_not_read(chromium: str, tmp_path: Path) -> None:
    async def work(pool: BrowserPool, site: Site) -> None:
        for path in ("/moved", "/leads"):
            with pytest.raises(RobotsError, match=r"leads on: .*/private is not read: .* does not allow it") as caught:
                await pool.fetch(site.url(path))
            assert (caught.value.url, caught.value.temporary) == (site.url(path), False)
        with pytest.raises(RobotsError, match="leads on"):
            await pool.look(site.url("/moved"))
        with pytest.raises(RobotsError, match="leads on"):
            await pool.screenshot(site.url("/moved"), tmp_path / "picture.png")
        assert not (tmp_path / "picture.png").exists()
        assert (await pool.fetch(site.url("/allowed"))).title == "hello"
        assert pool.statistics().failed == 3
        # Whoever clicks through a login is led where it leads.
        async with pool.page(site.url("/moved")) as lent:
            assert await lent.title() == "private"

    pages = {
        "/robots.txt": Response("User-agent: *\nDisallow: /private\n", content_type="text/plain"),
        "/": page("hello"),
        "/private": page("private"),
        "/moved": Response(status=302, headers={"Location": "/private"}),
        "/allowed": Response(status=302, headers={"Location": "/"}),
        "/leads": "<script>location.href = '/private'</script>",
    }
    used(work, pages, chromium)


def test_a_page_that_cannot_be_lent_says_why_and_a_dead_browser_is_replaced_first(chromium: str) -> None:
    async def work(pool: BrowserPool, site: Site) -> None:
        with pytest.raises(AddressRefusedError, match="not on the public network"):
            async with pool.page(f"http://127.0.0.2:{site.port}/"):
                pytest.fail("it was lent")
        for url in (site.url("/"), None):
            for pid in pool.pids:
                os.kill(pid, signal.SIGKILL)
            async with pool.page(url) as lent:
                await lent.goto(site.url("/"))
                assert await lent.title() == "hello"
        assert pool.statistics().leased == 0

    used(work, {"/": page("hello")}, chromium)


def test_files_and_pictures_are_brought_whole_or_not_at_all(chromium: str, tmp_path: Path) -> None:
    async def work(pool: BrowserPool, site: Site) -> None:
        shown, downloaded = tmp_path / "shown.txt", tmp_path / "file.pdf"
        assert await pool.download(site.url("/shown.txt"), shown) == shown
        assert shown.read_bytes() == b"some text"
        await pool.download(site.url("/file.pdf"), downloaded)
        assert downloaded.read_bytes() == PDF.body
        with pytest.raises(PageTooLargeError):
            await pool.download(site.url("/large.pdf"), downloaded)
        with pytest.raises(PageError, match="answers 404"):
            await pool.download(site.url("/missing"), downloaded)
        assert downloaded.read_bytes() == PDF.body
        picture = await pool.screenshot(site.url("/"), tmp_path / "page.png")
        assert picture.startswith(b"\x89PNG")
        assert (tmp_path / "page.png").read_bytes() == picture

    pages = {
        "/": page("hello", "in a picture"),
        "/shown.txt": Response("some text", content_type="text/plain"),
        "/file.pdf": PDF,
        "/large.pdf": Response(b"%PDF" + b"x" * 5000, content_type="application/pdf"),
    }
    used(work, pages, chromium, max_bytes=5000)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["file.pdf", "page.png", "shown.txt"]


def test_a_session_stays_logged_in_and_nobody_else_is(chromium: str, tmp_path: Path) -> None:
    def account(request: Request) -> Response:
        return Response(page("in" if "login=ada" in request.headers.get("cookie", "") else "out"))

    async def log_in(pool: BrowserPool, site: Site) -> None:
        assert (await pool.fetch(site.url("/account"), session="shop")).title == "out"
        async with pool.page(site.url("/login"), session="shop") as form:
            await form.click("button")
        assert (await pool.fetch(site.url("/account"), session="shop")).title == "in"
        assert (await pool.fetch(site.url("/account"))).title == "out"
        assert (await pool.fetch(site.url("/account"), session="other")).title == "out"

    async def return_later(pool: BrowserPool, site: Site) -> None:
        assert (await pool.fetch(site.url("/account"), session="shop")).title == "in"
        await pool.forget("shop")

    form = "<title>l</title><button onclick=\"document.cookie = 'login=ada; max-age=1000'\">log in</button>"
    pages = {"/account": account, "/login": form}
    used(log_in, pages, chromium, home=tmp_path)
    if os.name == "posix":
        assert (tmp_path / "sessions" / "shop.json").stat().st_mode & 0o777 == 0o600
    used(return_later, pages, chromium, home=tmp_path)
    assert not (tmp_path / "sessions" / "shop.json").exists()


@pytest.mark.skipif(os.name != "posix", reason="processes are killed with SIGKILL")
def test_neither_a_browser_nor_a_driver_that_is_killed_loses_a_page(chromium: str) -> None:
    """The small version of ``scripts/crawl_proof.py``."""

    async def work(pool: BrowserPool, site: Site) -> list[int]:
        done: list[str] = []

        async def one(number: int) -> None:
            fetched = await pool.fetch(site.url(f"/?{number}"))
            assert (fetched.title, fetched.ok) == ("hello", True)
            done.append(fetched.url)

        killed: list[int] = []
        for which in (0, 1):  # the driver, then the browser
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(one(20 * which + number)) for number in range(20)]
                await tasks[4]
                killed += pool.pids
                os.kill(pool.pids[which], signal.SIGKILL)
        assert sorted(done) == sorted({site.url(f"/?{number}") for number in range(40)})
        statistics = pool.statistics()
        assert (statistics.pages, statistics.failed, statistics.lost, statistics.generation) == (40, 0, 2, 3)
        assert statistics.leased == 0
        return killed

    for pid in used(work, {"/": page("hello")}, chromium):
        assert not _runs(pid)


def _runs(pid: int) -> bool:
    with contextlib.suppress(psutil.Error):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


def test_a_page_that_crashes_is_tried_once_more_and_takes_nobody_with_it(chromium: str) -> None:
    async def work(pool: BrowserPool, site: Site) -> None:
        async with asyncio.TaskGroup() as group:
            others = [group.create_task(pool.fetch(site.url(f"/?{number}"))) for number in range(10)]
            with pytest.raises(PageError, match="it crashed 2 times"):
                # By its address, which the pool takes for no page's: nothing else crashes so surely.
                await pool._trying.use("chrome://crash", None, _crash, pool._settings(None))
        assert [other.result().title for other in others] == ["hello"] * 10
        assert (pool.statistics().crashed, pool.statistics().lost) == (2, 0)

    used(work, {"/": page("hello")}, chromium, robots=False)


async def _crash(leased: Any, _traffic: Any) -> None:
    await leased.page.goto("chrome://crash")


def test_contexts_and_browsers_are_replaced_when_they_are_worn(chromium: str) -> None:
    async def work(pool: BrowserPool, site: Site) -> None:
        generations = [(await pool.fetch(site.url(f"/?{number}"))).generation for number in range(7)]
        assert generations == [1, 1, 1, 1, 2, 2, 2]
        statistics = pool.statistics()
        # 2 pages a context, 4 a browser: 2 + 2, then 2 + 1.
        assert (statistics.contexts, statistics.generation, statistics.lost) == (4, 2, 0)

    used(work, {"/": page("hello")}, chromium, uses=2, wear=4, pages=1)


def test_pages_take_their_turn_in_the_engine(chromium: str) -> None:
    async def work(site: Site) -> None:
        async with (
            ConcurrencyManager(cpu=1, memory=64 << 20) as manager,
            BrowserPool(
                executable=chromium, private=["127.0.0.1"], delay=0, at_once=9, manager=manager, page_memory=40 << 20
            ) as pool,
        ):
            most = 0
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(pool.fetch(site.url(f"/?{number}"))) for number in range(6)]
                for task in tasks:
                    await task
                    most = max(most, pool.statistics().leased)
            assert most <= 1  # there is memory for one
            assert pool.statistics().pages == 6

    async def main() -> None:
        async with Site({"/": page("hello")}) as site:
            await work(site)

    asyncio.run(main())


def test_whatever_is_cancelled_nothing_is_left(chromium: str) -> None:
    async def work(pool: BrowserPool, site: Site) -> None:
        await pool.fetch(site.url("/"))
        tasks = [asyncio.create_task(pool.fetch(site.url(f"/?{number}"))) for number in range(8)]
        await tasks[0]
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        assert (await pool.fetch(site.url("/"))).title == "hello"
        assert pool.statistics().leased == 0

    used(work, {"/": page("hello")}, chromium)


def test_a_pool_that_is_not_open_says_so() -> None:
    with pytest.raises(ConfigError, match="the pool is not open"):
        asyncio.run(BrowserPool().fetch("http://example.org/"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pages": 0}, "pages must be a positive whole number, got 0"),
        ({"uses": 1.5}, r"uses must be a positive whole number, got 1\.5"),
        ({"delay": -1}, "delay must be a number of seconds, 0 or more, got -1"),
        ({"timeout": 0}, "timeout must be above 0, got 0"),
        ({"private": "10.0.0.1"}, "private must be a list"),
    ],
)
def test_an_impossible_argument_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        BrowserPool(**options)
