"""The page in a real browser: what a person sees, and does with keys alone."""

from __future__ import annotations

import asyncio
import shutil
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.app.conftest import write

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    import aiohttp
    from playwright.async_api import Page

    from tenire.dashboard import Dashboard

    Scenario = Callable[[Page, Dashboard], Awaitable[Any]]

PATHS = ("/usr/lib/chromium/chromium-headless-shell", "/usr/lib/chromium/chromium")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"]
PATIENCE_MS = 120_000
"""Worker processes have the lowest priority: beside two busy programs on two cores their start alone takes 25 s."""


def chromium() -> str | None:
    found = next((path for path in PATHS if Path(path).exists()), None)
    return found or shutil.which("chromium") or shutil.which("google-chrome")


@pytest.fixture
def browsed(served: Callable[..., Any]) -> Callable[..., Any]:
    """Runs a scenario with the page open; whatever the browser complains about fails the test."""
    api = pytest.importorskip("playwright.async_api")
    path = chromium()
    if path is None:
        pytest.skip("there is no Chromium: apt-get install chromium-headless-shell")

    def run(scenario: Scenario, *, running: bool = True, width: int = 1200, scheme: str = "light") -> Any:
        complaints: list[str] = []

        async def with_page(dashboard: Dashboard, _: aiohttp.ClientSession) -> Any:
            async with api.async_playwright() as playwright:
                browser = await playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
                context = await browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
                context.set_default_timeout(PATIENCE_MS)
                page = await context.new_page()
                page.on("console", lambda message: complaints.append(message.text))
                page.on("pageerror", lambda error: complaints.append(str(error)))
                try:
                    await page.goto(dashboard.address)
                    return await scenario(page, dashboard)
                finally:
                    await browser.close()

        done = served(with_page, running=running)
        assert complaints == []
        return done

    return run


async def free(page: Page, dashboard: Dashboard, *pipelines: str) -> None:
    """Let pipelines go on, so that the run ends."""
    for name in pipelines:
        await dashboard.feed.actions.resume(name)


async def hold(dashboard: Dashboard, *pipelines: str) -> None:
    """Let all pipelines go on but these; all are held back at first."""
    for name in {"one", "two"}.difference(pipelines):
        await dashboard.feed.actions.resume(name)


def test_a_run_is_watched_and_steered_with_keys_alone(browsed: Any) -> None:
    async def scenario(page: Page, dashboard: Dashboard) -> None:
        await hold(dashboard, "two")
        assert "token" not in page.url
        await page.get_by_role("button", name="Resume two").wait_for()
        await page.keyboard.press("Tab")
        assert await page.evaluate("document.activeElement.textContent") == "Skip to the pipelines"
        await page.get_by_role("combobox", name="Priority of two").focus()
        await page.keyboard.press("ArrowDown")
        await page.get_by_text("two has priority low now").first.wait_for()
        weight = page.get_by_role("spinbutton", name="Weight of two")
        await weight.focus()
        await page.keyboard.press("Control+a")
        await page.keyboard.type("2.5")
        await page.keyboard.press("Enter")
        await page.get_by_text("two has weight 2.5 now").first.wait_for()

        await page.get_by_text("1 in quarantine").first.wait_for()
        await page.locator('[role=progressbar][aria-label="Progress of one"][aria-valuenow="100"]').wait_for()
        await page.get_by_text("b.pdf", exact=True).wait_for()
        await page.get_by_text("1 try, the last at ").wait_for()
        assert await page.inner_text("#load") == dashboard.feed.view.engine.level
        tops = [await page.locator(each).bounding_box() for each in ("#events", "#quarantine")]
        assert tops[0]["y"] == tops[1]["y"], "lists that stand side by side begin side by side"
        await page.get_by_role("button", name="Why is").focus()
        await page.keyboard.press("Enter")
        await page.locator("#dialog-text", has_text="b.pdf").wait_for()
        await page.keyboard.press("Escape")

        await page.evaluate("document.activeElement.blur()")
        await page.keyboard.press("/")
        await page.keyboard.type("zebras")
        await page.keyboard.press("Enter")
        assert await page.locator("mark").first.inner_text() == "Zebras"

        await page.get_by_role("button", name="Try").last.focus()
        await page.keyboard.press("Enter")
        await page.get_by_text("1 item will be tried again by the next run").first.wait_for()

        await page.get_by_role("button", name="Cancel two").focus()
        await page.keyboard.press("Enter")
        await page.get_by_role("dialog").wait_for()
        await page.keyboard.press("Escape")  # no harm done
        await page.get_by_role("button", name="Resume two").focus()
        await page.keyboard.press("Enter")

    browsed(scenario)


def test_a_task_says_why_it_waits_and_focus_stays_where_it_is(browsed: Any) -> None:
    async def scenario(page: Page, dashboard: Dashboard) -> None:
        await hold(dashboard, "one", "two")
        await page.get_by_role("button", name="Resume two").wait_for()
        pause = page.get_by_role("button", name="Resume one")
        await pause.focus()
        seen = dashboard.feed.view.number
        await dashboard.feed.newer(seen + 3)
        assert await page.evaluate("document.activeElement.getAttribute('aria-label')") == "Resume one"
        await page.locator("details:visible summary").first.click()
        task = page.get_by_role("button", name="Why t").first
        await task.click()
        text = page.locator("#dialog-text")
        await text.wait_for()
        assert "of pipeline one" in await text.inner_text()
        await page.keyboard.press("Escape")
        await free(page, dashboard, "one", "two")

    browsed(scenario)


def test_any_task_can_be_asked_about_by_its_id_shown_or_not(browsed: Any) -> None:
    async def scenario(page: Page, dashboard: Dashboard) -> None:
        await hold(dashboard, "one", "two")
        await page.get_by_role("button", name="Resume two").wait_for()
        task = dashboard.feed.view.pipelines["two"].tasks[0].id
        assert await page.get_by_role("button", name=f"Why {task}?").count() == 0
        await page.get_by_label("Id of a task").fill(f" {task} ")
        await page.keyboard.press("Enter")
        text = page.locator("#dialog-text")
        await text.wait_for()
        assert f"{task} " in await text.inner_text()
        assert "of pipeline two" in await text.inner_text()
        await page.keyboard.press("Escape")
        await free(page, dashboard, "one", "two")

    browsed(scenario)


def test_the_whole_run_is_ended_after_a_question(browsed: Any) -> None:
    async def scenario(page: Page, dashboard: Dashboard) -> None:
        await hold(dashboard, "one", "two")
        await page.get_by_role("button", name="Resume two").wait_for()
        end = page.locator("#end-run")
        await end.click()
        assert "2 pipelines would be cancelled" in await page.inner_text("#dialog-text")
        await page.keyboard.press("Escape")  # no harm done
        assert await page.get_by_role("button", name="Resume two").count() == 1
        await end.click()
        await page.locator("#dialog-yes").click()
        await page.get_by_text("the run has ended; everything finished is kept").first.wait_for()
        await end.wait_for(state="hidden")

    browsed(scenario)


def test_names_and_texts_never_become_markup(browsed: Any, tmp_path: Path) -> None:
    attack = "<img src=x onerror=alert(1)>"
    write(tmp_path / "one" / f"{attack.replace('/', '')}.pdf", f"%PDF-1.4 {attack}")
    write(tmp_path / "one" / "invoice\u202ecod.pdf", "%PDF-1.4 turned round")
    write(tmp_path / "one" / "page.txt", f"Zebras said {attack} to <b>everybody</b> on the plains of Africa.")

    async def scenario(page: Page, dashboard: Dashboard) -> None:
        await hold(dashboard, "two")
        await page.get_by_text(f"{attack}.pdf").first.wait_for()
        await page.get_by_text("invoice\\u202ecod.pdf", exact=True).wait_for()
        await page.fill("#query", "everybody")
        await page.keyboard.press("Enter")
        await page.get_by_text(f"Zebras said {attack}").first.wait_for()
        assert await page.locator("main img").count() == 0
        assert await page.locator("main b").count() == 0
        await free(page, dashboard, "two")

    browsed(scenario)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone_nothing_is_cut_off_and_everything_has_a_name(browsed: Any, scheme: str) -> None:
    async def scenario(page: Page, dashboard: Dashboard) -> None:
        await hold(dashboard, "two")
        await page.get_by_role("button", name="Resume two").wait_for()
        assert await page.evaluate("document.documentElement.scrollWidth") <= 390
        assert await page.evaluate(NAMELESS) == []
        assert await page.evaluate(SMALL) == [], "fingers need room"
        assert await page.evaluate(CONTRAST) == []
        await free(page, dashboard, "two")

    browsed(scenario, width=390, scheme=scheme)


def test_on_a_phone_the_longest_path_of_a_hit_is_not_cut_off(browsed: Any, tmp_path: Path) -> None:
    write(tmp_path / "one" / f"{'long_' * 30}.txt", "Giraffes walk over the plains of Africa.")

    async def scenario(page: Page, dashboard: Dashboard) -> None:
        await hold(dashboard, "two")
        await page.locator('[role=progressbar][aria-label="Progress of one"][aria-valuenow="100"]').wait_for()
        await page.fill("#query", "giraffes")
        await page.keyboard.press("Enter")
        await page.locator("#hits .note", has_text="long_").first.wait_for()
        assert await page.evaluate("document.documentElement.scrollWidth") <= 390
        await free(page, dashboard, "two")

    browsed(scenario, width=390)


def test_without_an_engine_the_page_says_so_and_goes_on_by_itself(browsed: Any, tmp_path: Path) -> None:
    async def scenario(page: Page, dashboard: Dashboard) -> None:
        await page.get_by_text("no engine is running").first.wait_for()
        await page.get_by_text("Nothing has run here yet").wait_for()

        from tenire.app.config import load_config
        from tenire.app.runs import arun_config

        @asynccontextmanager
        async def held(_: object) -> AsyncIterator[None]:  # or the run may be over before the page has seen it
            await dashboard.feed.actions.pause("two")
            yield

        config = await asyncio.to_thread(load_config, tmp_path / "tenire.toml")
        running = asyncio.create_task(arun_config(config, beside=held))
        await page.get_by_text("running, pid").wait_for()
        await free(page, dashboard, "two")
        await running
        await page.get_by_text("no engine", exact=True).wait_for()
        assert await page.get_by_role("progressbar", name="Progress of one").count() == 1
        await dashboard.__aexit__(None, None, None)
        await page.get_by_text("dashboard gone").wait_for()

    browsed(scenario, running=False)


NAMELESS = """[...document.querySelectorAll('button, input, select, [role=progressbar]')].filter((e) =>
  e.checkVisibility() && !(e.ariaLabel || e.textContent.trim() || e.labels?.length)).map((e) => e.outerHTML)"""
SMALL = """[...document.querySelectorAll('button:not(.link), select')].filter((e) =>
  e.checkVisibility() && e.getBoundingClientRect().height < 38).map((e) => e.outerHTML)"""
CONTRAST = """(() => {
  const parse = (text) => { const n = text.match(/[\\d.]+/g).map(Number); return n.length === 3 ? [...n, 1] : n; };
  const linear = (v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const light = (c) => [0.2126, 0.7152, 0.0722].reduce((sum, part, i) => sum + part * linear(c[i] / 255), 0);
  const ground = (e) => {
    for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor); if (c[3] === 1) return c; }
    return [255, 255, 255, 1];
  };
  const says = (e) => [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
  const faint = [];
  for (const e of document.querySelectorAll('body *')) {
    if (!e.checkVisibility() || e.disabled || !says(e)) continue;
    const [a, b] = [light(parse(getComputedStyle(e).color)), light(ground(e))].sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 4.5) faint.push(e.outerHTML.slice(0, 120));
  }
  return faint;
})()"""
"""Texts that stand out from their ground less than the accessibility guidelines ask (4.5:1)."""


MOVED = """() => {
  const sample = (at) => ({ at, load: 0, running: 0, queued: 0, cpu: 0, resident: 1, items: at < 10 ? 5 : 0 });
  const shown = [], whole = { ...state.now, whole: true, events: [], quarantine: [] };
  take({ ...whole, samples: [...Array(300).keys()].map(sample) });
  shown.push($('speed-curve').lastChild.getAttribute('points'));
  take({ ...state.now, whole: false, samples: [sample(300)] });
  shown.push($('speed-curve').lastChild.getAttribute('points'));
  return shown;
}"""


TASKS = """() => {
  const sample = (at) => ({ at, load: 0, running: 4, queued: at < 10 ? 8 : 0, cpu: 0, resident: 1, items: 0 });
  const engine = { ...state.now.engine, workers: { processes: 2, threads: 3, threads_busy: 1 } };
  take({ ...state.now, whole: true, engine, events: [], quarantine: [], samples: [...Array(20).keys()].map(sample) });
  const heights = (line) => line.getAttribute('points').split(' ').map((point) => +point.split(',')[1]);
  const [waiting, , running] = $('tasks-curve').children;
  return [heights(running), heights(waiting), $('cpu-note').textContent, $('tasks-note').title];
}"""


def test_it_has_curves_of_the_tasks_that_run_and_that_wait_and_tells_busy_threads(browsed: Any) -> None:
    async def scenario(page: Page, _: Dashboard) -> Any:
        await page.get_by_text("running, pid").first.wait_for()
        return await page.evaluate(TASKS)

    running, waiting, workers, dashed = browsed(scenario)
    assert running == [15.0] * 20, "half as high as most wait"
    assert waiting == [1.5] * 10 + [28.5] * 10
    assert workers == "2 worker processes, 1 busy thread"
    assert "wait" in dashed


def test_a_curve_goes_on_though_its_last_value_stays(browsed: Any) -> None:
    async def scenario(page: Page, _: Dashboard) -> list[str]:
        await page.get_by_text("No engine is running").first.wait_for()
        shown: list[str] = await page.evaluate(MOVED)
        return shown

    before, after = ([point.split(",")[1] for point in shown.split()] for shown in browsed(scenario, running=False))
    assert len(before) == len(after) == 300
    assert before[1:] == after[:-1], "by one second"
    assert before != after


def test_what_the_engine_shares_out_and_how_its_components_fare_can_be_read(browsed: Any) -> None:
    async def scenario(page: Page, dashboard: Dashboard) -> str:
        await hold(dashboard, "two")
        await page.locator("#engine-summary").wait_for()  # hidden, it cannot have the focus
        await page.locator("#engine-summary").focus()
        await page.keyboard.press("Enter")
        rows = page.locator("#engine-details tbody tr")
        await rows.filter(has_text="channel").wait_for()
        await rows.filter(has_text="memory").first.wait_for()
        told: str = await rows.filter(has_text="channel").inner_text()
        await free(page, dashboard, "two")
        return told

    assert browsed(scenario).split()[:3] == ["channel", "healthy", "0"]


TOLD = """() => {
  const dead = { totals: { state: 'interrupted' }, state: 'interrupted', fraction: null, running: 0, queued: 0,
    tasks: [], stages: [], priority: '', weight: 1, unit: 'row', finished: 0, expected: 0, breaker: '' };
  const metrics = { tokens: { spent: 1, limit: 9 } };
  const quota = { metrics, in_flight: 0, slots: 1, waiting: 0, refused: 0, pause: 0 };
  const engine = { pid: 1, level: 'normal', load: 0.1, running: 0, queued: 0, workers: {}, resident: 0, components: {},
    resources: { cpu: { held: 0, capacity: 1 }, 'main/tokens': { held: 8, capacity: 9 } }, quotas: { main: quota } };
  take({ ...state.now, whole: false, link: 'attached', engine, pipelines: { dead } });
  $('engine-details').open = true;
  showEngine();
  return [$('engine-details').querySelector('tbody').textContent, $('cost').textContent, $('cost-note').textContent];
}"""


def test_no_number_contradicts_another_one_or_stands_for_what_is_not_known(browsed: Any) -> None:
    async def scenario(page: Page, _: Dashboard) -> list[str]:
        await page.get_by_text("No engine is running").first.wait_for()
        told: list[str] = await page.evaluate(TOLD)
        return told

    shared, cost, note = browsed(scenario, running=False)
    assert shared == "cpu01", "a quota is told of as one"
    assert (cost, note) == ("–", "a run was killed, and told nothing")
