"""A crawl of a local site: what is kept, what is asked for again, and what leaves."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any, cast

import pytest

from tenire.browser import BrowserPool, Crawl, CrawlResult
from tenire.browser.looking import Answer
from tenire.browser.page import FetchedPage
from tenire.storage.pages import PageShelf

from .site import Request, Response, Site, page


def tagged(text: str, tag: str, links: tuple[str, ...] = ()) -> Any:
    """Return a page that answers 304 to who has it."""

    def answer(request: Request) -> Response:
        if request.headers.get("if-none-match") == f'"{tag}"':
            return Response(status=304)
        return Response(page(text, text, links), headers={"ETag": f'"{tag}"'})

    return answer


def crawled(
    site: Site, folder: Path, chromium: str, *, starts: tuple[str, ...] = ("/",), prune: bool = True, **options: Any
) -> CrawlResult:  # fmt: skip
    async def main() -> CrawlResult:
        async with BrowserPool(executable=chromium, private=["127.0.0.1"], delay=0, at_once=9) as pool:
            crawl = Crawl(pool, shelf, [site.url(path) for path in starts], **{"depth": 2, **options})
            result = await crawl.run()
            if prune:
                await asyncio.to_thread(shelf.keep_only, result.kept)
            return result

    shelf = PageShelf(folder)
    try:
        return asyncio.run(main())
    finally:
        shelf.close()


def served(site: Site, work: Any) -> Any:
    """Run blocking work beside a site; it has to be the same port for the same addresses."""

    async def main() -> Any:
        async with site:
            return await asyncio.to_thread(work)

    return asyncio.run(main())


def paths(site: Site, urls: Any) -> set[str]:
    return {url.removeprefix(site.url("")) for url in urls}


def test_pages_are_followed_kept_and_asked_for_again_only_if_they_may_have_changed(
    chromium: str, tmp_path: Path
) -> None:
    def dynamic(_: Request) -> Response:
        return Response("<title>d</title><script>fetch('/data')</script>", headers={"ETag": '"d"'})

    site = Site(
        {
            "/": tagged(
                "home", "1", ("/a", "/b", "/paper.pdf", "/cat.png", "https://example.org/", "/dynamic", "/alias")
            ),
            "/a": tagged("a", "1", ("/deep", "/")),
            "/b": page("b", "without a tag", ("/gone", "/down")),
            "/deep": tagged("deep", "1", ("/too-deep",)),
            "/alias": Response(status=302, headers={"Location": "/a"}),
            "/dynamic": dynamic,
            "/paper.pdf": Response(b"%PDF-1.4 x", content_type="application/pdf", headers={"ETag": '"p"'}),
            "/cat.png": Response(b"\x89PNG\r\n\x1a\n", content_type="image/png"),
            "/gone": page("gone", "soon"),
            "/down": page("down", "at times"),
        }
    )

    def first_and_again() -> None:
        first = crawled(site, tmp_path, chromium)
        everything = {"/", "/a", "/b", "/deep", "/dynamic", "/paper.pdf", "/gone", "/down"}
        assert paths(site, first.kept) == everything
        assert paths(site, first.skipped) == {"/cat.png"}
        assert not first.refused
        times = {url: Path(kept.file).stat().st_mtime_ns for url, kept in first.kept.items()}
        assert Path(first.kept[site.url("/paper.pdf")].file).suffix == ".pdf"
        site.pages["/a"] = tagged("a, changed", "2", ("/deep",))
        del site.pages["/gone"]
        site.pages["/down"] = Response("busy", 503)
        again = crawled(site, tmp_path, chromium)
        # The one that changed, the one that only a browser can judge, and what leads elsewhere.
        assert again.rendered == 3
        assert paths(site, again.kept) == everything - {"/gone"}
        assert paths(site, again.stale) == {"/down"}
        assert not again.refused
        changed = {url for url, kept in again.kept.items() if Path(kept.file).stat().st_mtime_ns != times[url]}
        assert paths(site, changed) == {"/a"}
        assert "a, changed" in Path(again.kept[site.url("/a")].file).read_text()
        assert len(list(tmp_path.glob("*.*"))) - len(list(tmp_path.glob("pages.db*"))) == len(again.kept)

    served(site, first_and_again)


def test_a_host_that_is_down_loses_nothing_and_a_limit_is_kept(chromium: str, tmp_path: Path) -> None:
    links = tuple(f"/{number}" for number in range(10))
    site = Site({"/": page("home", links=links), **{link: page(link) for link in links}})

    def work() -> None:
        result = crawled(site, tmp_path, chromium, limit=6)
        assert paths(site, result.kept) == {"/", *links[:5]}
        assert result.left_out == 5
        before = dict(site.pages)
        site.pages = {path: Response("down", 500) for path in before}
        down = crawled(site, tmp_path, chromium, limit=6)
        # The host does not even say what may be read; all that was kept stays, and leads where it led.
        assert paths(site, down.kept) == {"/", *links[:5]}
        assert down.rendered == 0

    served(site, work)


def test_what_cannot_be_had_is_refused_with_its_reason(chromium: str, tmp_path: Path) -> None:
    site = Site(
        {
            "/robots.txt": Response("User-agent: *\nDisallow: /private\n", content_type="text/plain"),
            "/": page("home", links=("/private", "/missing", "/forbidden", "/inside")),
            "/forbidden": Response("no", 403),
            "/private": page("private"),
        }
    )
    site.pages["/inside"] = lambda _: Response(status=302, headers={"Location": f"http://127.0.0.2:{site.port}/"})

    def work() -> None:
        result = crawled(site, tmp_path, chromium)
        assert paths(site, result.kept) == {"/"}
        assert paths(site, result.refused) == {"/private", "/missing", "/forbidden", "/inside"}
        reasons = {url.rpartition("/")[2]: reason for url, reason in result.refused.items()}
        assert "robots.txt does not allow it" in reasons["private"]
        assert "answers 404" in reasons["missing"]
        assert "answers 403" in reasons["forbidden"]
        assert "not on the public network" in reasons["inside"]

    served(site, work)


PAPER = "https://example.org/paper.txt"


class Files:
    """A pool in which every address is a file to a browser; without one, it answers as it is told to."""

    def __init__(self, status: int = 200, body: bytes = b"the paper", content_type: str = "text/plain") -> None:
        self.status, self.body, self.content_type = status, body, content_type

    async def fetch(self, url: str, **_: object) -> FetchedPage:
        return FetchedPage(url, url, 200, "text/plain", "", "", (), {})

    async def look(self, url: str, headers: object = None, *, session: str | None = None) -> Answer:
        assert session == "shop" or headers is None
        return Answer(url, self.status, {"content-type": self.content_type}, self.body)


def had(shelf: PageShelf, files: Files, session: str | None) -> CrawlResult:
    return asyncio.run(Crawl(cast("BrowserPool", files), shelf, [PAPER], session=session).run())


@pytest.mark.parametrize("session", [None, "shop"])
@pytest.mark.parametrize("content_type", ["text/plain", "application/json"])
@pytest.mark.parametrize("status", [401, 403, 429, 503])
def test_what_a_host_says_in_place_of_a_file_is_not_kept_as_the_file(
    tmp_path: Path, status: int, content_type: str, session: str | None
) -> None:
    with contextlib.closing(PageShelf(tmp_path)) as shelf:
        result = had(shelf, Files(status, b"slow down", content_type), session)
        assert not result.kept
        assert result.refused == {PAPER: f"{PAPER} answers {status}"}
        assert shelf.get(PAPER) is None


@pytest.mark.parametrize(
    ("files", "stays", "refused"),
    [
        (Files(429, b"slow down"), True, False),
        (Files(503, b"down"), True, False),
        (Files(200, b"<title>log in</title>", "text/html"), True, False),
        (Files(403, b"no"), False, True),
        (Files(404, b"no"), False, False),
    ],
)
def test_a_file_that_was_kept_stays_if_it_cannot_be_had_for_the_moment(
    tmp_path: Path, files: Files, *, stays: bool, refused: bool
) -> None:
    with contextlib.closing(PageShelf(tmp_path)) as shelf:
        kept = had(shelf, Files(), "shop").kept[PAPER]
        result = had(shelf, files, "shop")
        assert (result.kept, set(result.stale)) == (({PAPER: kept}, {PAPER}) if stays else ({}, set()))
        assert (set(result.refused), result.skipped) == ({PAPER} if refused else set(), [])
        assert Path(kept.file).read_bytes() == b"the paper"


def test_a_page_in_place_of_a_file_is_refused_with_its_reason(tmp_path: Path) -> None:
    with contextlib.closing(PageShelf(tmp_path)) as shelf:
        result = had(shelf, Files(200, b"<title>log in</title>", "text/html"), None)
        assert result.refused == {PAPER: f"{PAPER} is a file to a browser, and a page to who asks without one"}
        assert not result.skipped


def test_files_behind_a_login_are_got_with_the_cookies_of_the_session(chromium: str, tmp_path: Path) -> None:
    def guarded(response: Response, otherwise: Response) -> Any:
        return lambda request: response if request.headers.get("cookie") == "login=ada" else otherwise

    to_login = Response(status=302, headers={"Location": "/login"})
    site = Site(
        {
            "/login": Response(page("log in"), headers={"Set-Cookie": "login=ada; HttpOnly"}),
            "/": guarded(Response(page("home", links=("/paper.pdf", "/data.json"))), to_login),
            "/paper.pdf": guarded(Response(b"%PDF-1.4 x", content_type="application/pdf"), to_login),
            "/data.json": guarded(
                Response('{"a": 1}', content_type="application/json"),
                Response('{"error": "who are you?"}', 401, content_type="application/json"),
            ),
        }
    )

    async def main() -> CrawlResult:
        async with site, BrowserPool(executable=chromium, private=["127.0.0.1"], delay=0, at_once=9) as pool:
            async with pool.page(site.url("/login"), session="shop"):
                pass
            assert (await pool.look(site.url("/data.json"))).status == 401  # nobody else is logged in
            assert (await pool.look(site.url("/data.json"), session="other")).status == 401
            return await Crawl(pool, shelf, [site.url("/")], depth=1, session="shop").run()

    with contextlib.closing(PageShelf(tmp_path)) as shelf:
        result = asyncio.run(main())
        assert (result.refused, result.skipped) == ({}, [])
        assert paths(site, result.kept) == {"/", "/paper.pdf", "/data.json"}
        assert Path(result.kept[site.url("/paper.pdf")].file).read_bytes() == b"%PDF-1.4 x"
        assert Path(result.kept[site.url("/data.json")].file).read_bytes() == b'{"a": 1}'
