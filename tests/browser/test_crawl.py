"""A crawl of a local site: what is kept, what is asked for again, and what leaves."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from tenire.browser import BrowserPool, Crawl, CrawlResult
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
