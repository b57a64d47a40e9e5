"""Web pages as documents: from a configuration to hits, and what a later run makes of what has changed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from tests.browser.site import Request, Response, Site, page

from tenire.app.config import load_config
from tenire.app.config_tables import PageSettings
from tenire.app.inspect import failed, retry, verify
from tenire.app.runs import arun_config
from tenire.app.search import Store
from tenire.browser import find_chromium
from tenire.errors import ConfigError, MissingExtraError

if TYPE_CHECKING:
    from pathlib import Path

    from tenire.pipeline.progress import PipelineProgress

CONFIG = """
[pipelines.web]
source = {{ urls = "urls.txt", depth = 1, delay_s = 0, at_once = 9, private = ["127.0.0.1"] }}
embedder = "static"
"""


@pytest.fixture
def chromium() -> None:
    pytest.importorskip("playwright", reason="the extra browser is not installed")
    try:
        find_chromium()
    except MissingExtraError as error:
        pytest.skip(f"no Chromium is installed ({error.hint})")


def tagged(text: str, tag: str) -> Any:
    def answer(request: Request) -> Response:
        if request.headers.get("if-none-match") == f'"{tag}"':
            return Response(status=304)
        return Response(page(tag, text), headers={"ETag": f'"{tag}"'})

    return answer


async def run(folder: Path) -> PipelineProgress:
    config = await asyncio.to_thread(load_config, folder / "tenire.toml")
    report = await arun_config(config)
    assert not report.failed, report.failed
    return report.pipelines["web"]


def counts(progress: PipelineProgress) -> tuple[int, int, int, int, int]:
    return progress.seen, progress.done, progress.unchanged, progress.quarantined, progress.removed


@pytest.mark.usefixtures("chromium")
def test_pages_are_stored_and_only_what_has_changed_is_read_again(tmp_path: Path) -> None:
    site = Site(
        {
            "/": page("start", "Pages about <b>animals</b>.", ("/tiger", "/heron", "/private")),
            "/tiger": tagged("A tiger is a striped cat that swims well.", "tiger"),
            "/heron": "<title>heron</title><p id=p></p><script>p.append('A bird that stands in the water.')</script>",
            "/robots.txt": Response("User-agent: *\nDisallow: /private\n", content_type="text/plain"),
        }
    )

    async def main() -> None:
        async with site:
            (tmp_path / "urls.txt").write_text(f"# where it begins\n{site.url()}\n")
            (tmp_path / "tenire.toml").write_text(CONFIG.format())
            assert counts(await run(tmp_path)) == (4, 3, 0, 1, 0)
            hits = await asyncio.to_thread(found, "bird that waits in the water")
            assert hits[0].source == site.url("/heron")
            entries = await asyncio.to_thread(failed, tmp_path / ".tenire")
            assert [(entry.source, entry.stage) for entry in entries] == [(site.url("/private"), "read")]
            assert "robots.txt does not allow it" in entries[0].error

            again = await run(tmp_path)
            assert counts(again) == (4, 0, 3, 1, 0)
            assert again.chunks == 0
            assert again.stages[0].name == "fetch"

            site.pages["/tiger"] = tagged("A tiger sleeps for sixteen hours a day.", "tiger 2")
            del site.pages["/heron"]
            assert counts(await run(tmp_path)) == (3, 1, 1, 1, 1)
            hits = await asyncio.to_thread(found, "how long does a tiger sleep")
            assert hits[0].source == site.url("/tiger")
            assert "sixteen hours" in hits[0].text
            assert all(hit.source != site.url("/heron") for hit in hits)
            assert (await asyncio.to_thread(verify, tmp_path / ".tenire")).ok

    def found(query: str) -> Any:
        with Store(tmp_path / ".tenire") as store:
            return store.search(query, k=5).hits

    asyncio.run(main())


@pytest.mark.usefixtures("chromium")
def test_a_page_in_quarantine_is_fetched_again_and_no_other_leaves(tmp_path: Path) -> None:
    site = Site({"/": page("start", "Some words.", ("/later",)), "/later": Response("busy", 503)})

    async def main() -> None:
        async with site:
            (tmp_path / "urls.txt").write_text(site.url())
            (tmp_path / "tenire.toml").write_text(CONFIG.format())
            assert counts(await run(tmp_path)) == (2, 1, 0, 1, 0)
            site.pages["/later"] = page("later", "It came later.")
            result = await asyncio.to_thread(retry, tmp_path / ".tenire", [], all_=True)
            assert result.report is not None
            assert counts(result.report.pipelines["web"]) == (1, 1, 0, 0, 0)
            assert await asyncio.to_thread(failed, tmp_path / ".tenire") == []
            assert counts(await run(tmp_path)) == (2, 0, 2, 0, 0)

    asyncio.run(main())


def configured(folder: Path, source: str) -> Any:
    (folder / "tenire.toml").write_text(f"[pipelines.web]\nsource = {source}\n")
    return load_config(folder / "tenire.toml").pipelines["web"].source


def test_addresses_come_from_a_file_or_stand_in_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "urls.txt").write_text("\n# mine\nhttps://example.org#top\nhttps://example.org/\n")
    assert configured(tmp_path, '{ urls = "urls.txt" }') == PageSettings(("https://example.org/",))
    expected = PageSettings(("https://example.org/a",), depth=2, limit=5, robots=False)
    assert configured(tmp_path, '{ urls = "https://example.org/a", depth = 2, limit = 5, robots = false }') == expected
    urls = ("http://a.example/", "http://b.example/")
    assert configured(tmp_path, '{ urls = ["http://a.example", "http://b.example"] }') == PageSettings(urls)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ('{ urls = "none.txt" }', r"pipelines\.web\.source\.urls names a list that cannot be read"),
        ('{ urls = "empty.txt" }', r"pipelines\.web\.source\.urls names no address"),
        ("{ urls = [] }", r"pipelines\.web\.source\.urls names no address"),
        ('{ urls = ["ftp://x/"] }', "it begins with ftp:"),
        ('{ urls = "https://x/", private = ["10.0.0.1/8"] }', r"pipelines\.web\.source\.private: private must hold"),
        ('{ urls = "https://x/", depht = 1 }', r"unknown field `depht`"),
        ('{ urls = "https://x/", depth = -1 }', r"pipelines\.web\.source must be .*`\$\.depth`"),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, source: str, message: str) -> None:
    (tmp_path / "empty.txt").write_text("# nothing\n")
    with pytest.raises(ConfigError, match=message):
        configured(tmp_path, source)
