from __future__ import annotations

import gc
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tenire.errors import StoreError
from tenire.pipeline.progress import PipelineProgress, RunReport

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import App, Run

    from tenire.app.config import Config

    Tenire = Callable[..., Run]


OnStart = Callable[[dict[str, PipelineProgress]], None]
OnLost = Callable[[float], None]


@dataclass
class Engine:
    """What the stand-in for the engine was asked, and what it answers."""

    pipelines: list[PipelineProgress]
    interrupt: bool = False
    config: Config | None = None
    only: Sequence[str] = ()
    watch: bool = False
    beside: object = None
    lost_usd: float = 0.0

    def run_config(
        self,
        config: Config,
        *,
        only: Sequence[str] = (),
        on_start: OnStart | None = None,
        on_lost: OnLost | None = None,
        watch: bool = False,
        beside: object = None,
    ) -> RunReport:
        self.config, self.only, self.watch, self.beside = config, only, watch, beside
        progress = {pipeline.name: pipeline for pipeline in self.pipelines}
        if on_lost is not None:
            on_lost(self.lost_usd)
        if on_start is not None:
            on_start(progress)
        if self.interrupt:
            raise KeyboardInterrupt
        return RunReport(progress, 12.345, 512.34, self.lost_usd)


def engine(app: App, *pipelines: PipelineProgress, interrupt: bool = False) -> Engine:
    fake = Engine(list(pipelines), interrupt)
    app.put("runs", run_config=fake.run_config)
    return fake


def done(name: str = "ingest", **counters: object) -> PipelineProgress:
    facts: dict[str, object] = {"state": "done", "seen": 3, "done": 3, "chunks": 12, "listed": True, "seconds": 1.5}
    return PipelineProgress(name, **(facts | counters))  # type: ignore[arg-type]


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    return folder


def test_ingest_prints_its_totals_and_the_json_of_the_contract(tenire: Tenire, app: App, docs: Path) -> None:
    fake = engine(app, done(unchanged=0))
    ran = tenire("ingest", "docs", "--embedder", "static", "--home", "h")
    assert ran.code == 0
    assert "ingest" in ran.out
    assert "peak memory 512 MiB" in ran.out
    assert fake.config is not None
    assert list(fake.config.pipelines) == ["ingest"]
    report = tenire("ingest", "docs", "--json").last
    assert set(report) == {"pipelines", "seconds", "peak_rss_mib"}
    totals = {"seen", "done", "unchanged", "quarantined", "removed", "skipped", "seconds", "calls", "cached_calls"}
    assert set(report["pipelines"]["ingest"]) >= totals | {"input_tokens", "output_tokens", "cost_usd", "chunks"}
    assert not (docs.parent / "h").exists()


@pytest.mark.parametrize(("quarantined", "code"), [(0, 0), (2, 3)])
def test_a_cancelled_pipeline_is_named_and_counts_by_what_was_kept(
    tenire: Tenire, app: App, docs: Path, quarantined: int, code: int
) -> None:
    engine(app, done("one", quarantined=quarantined), done("two", state="cancelled"))
    ran = tenire("ingest", "docs")
    assert ran.code == code
    assert "note: pipeline two was cancelled; everything finished is kept\n" in ran.err
    assert "pipeline one was" not in ran.err


def test_items_in_quarantine_are_exit_code_3(tenire: Tenire, app: App, docs: Path) -> None:
    engine(app, done(quarantined=2))
    ran = tenire("ingest", "docs")
    assert ran.code == 3
    assert "2 items are in quarantine" in ran.err
    assert tenire("ingest", "docs", "--json").code == 3


def test_a_failed_pipeline_is_exit_code_1_whatever_is_in_quarantine(tenire: Tenire, app: App, docs: Path) -> None:
    engine(app, done(state="failed", quarantined=2, error="the disk is full"))
    ran = tenire("ingest", "docs", "--json")
    assert ran.code == 1
    assert "pipeline ingest failed: the disk is full" in ran.err
    assert ran.last["pipelines"]["ingest"]["error"] == "the disk is full"


@pytest.mark.parametrize("words", [(), ("--json",)])
def test_an_interrupt_prints_the_totals_so_far_and_is_130(
    tenire: Tenire, app: App, docs: Path, words: tuple[str, ...]
) -> None:
    engine(app, done(state="cancelled", done=2), interrupt=True)
    ran = tenire("ingest", "docs", *words)
    assert ran.code == 130
    assert "everything finished is kept" in ran.err
    if words:
        assert ran.last["pipelines"]["ingest"]["done"] == 2
        assert ran.last["interrupted"] is True
        assert ran.last["peak_rss_mib"] > 0
    else:
        assert "ingest" in ran.out


@pytest.mark.parametrize("interrupt", [True, False])
def test_what_was_charged_for_lost_calls_is_told_however_the_run_ends(
    tenire: Tenire, app: App, docs: Path, interrupt: bool
) -> None:
    fake = engine(app, done(), interrupt=interrupt)
    assert "lost_usd" not in tenire("ingest", "docs", "--json").last
    fake.lost_usd = 0.002
    ran = tenire("ingest", "docs", "--json")
    assert ran.code == (130 if interrupt else 0)
    assert ran.last["lost_usd"] == 0.002


def test_the_collector_rests_while_an_interrupted_run_ends_and_not_longer(tenire: Tenire, app: App, docs: Path) -> None:
    collects: list[bool] = []

    def run_config(config: Config, *, on_start: OnStart, **options: object) -> RunReport:
        on_start({"ingest": done()})
        collects.append(gc.isenabled())
        try:
            signal.raise_signal(signal.SIGINT)
        finally:
            collects.append(gc.isenabled())
        raise AssertionError("expected KeyboardInterrupt")

    app.put("runs", run_config=run_config)
    assert tenire("ingest", "docs").code == 130
    assert collects == [True, False]
    assert gc.isenabled()


def test_a_run_that_is_refused_tells_why(tenire: Tenire, app: App, docs: Path) -> None:
    def run_config(config: Config, **options: object) -> RunReport:
        raise StoreError("the store is broken", hint="mend it")

    app.put("runs", run_config=run_config)
    ran = tenire("ingest", "docs")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == "error: the store is broken\nhint: mend it\n"


@pytest.mark.parametrize("command", [("ingest", "docs"), ("run",)])
def test_watch_is_passed_on(tenire: Tenire, app: App, docs: Path, command: tuple[str, ...]) -> None:
    (docs.parent / "tenire.toml").write_text('[pipelines.ingest]\nsource = "docs"\n')
    fake = engine(app, done(state="cancelled"), interrupt=True)
    assert tenire(*command, "--watch").code == 130
    assert fake.watch is True
    assert tenire(*command).code == 130
    assert fake.watch is False


def test_run_reads_tenire_toml_and_passes_only_on(tenire: Tenire, app: App, docs: Path) -> None:
    (docs.parent / "tenire.toml").write_text('[pipelines.a]\nsource = "docs"\n[pipelines.b]\nsource = "docs"\n')
    fake = engine(app, done("b"))
    assert tenire("run", "--only", "b").code == 0
    assert list(fake.only) == ["b"]
    ran = tenire("run", "--only", "c")
    assert ran.code == 2
    assert 'no pipeline is named "c"' in ran.err


def test_the_home_of_the_command_line_goes_before_the_files(
    tenire: Tenire, app: App, docs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (docs.parent / "tenire.toml").write_text('[tenire]\nhome = "own"\n[pipelines.a]\nsource = "docs"\n')
    fake = engine(app, done("a"))
    homes = []
    for words in (("run",), ("run", "--home", "given")):
        tenire(*words)
        assert fake.config is not None
        homes.append(fake.config.tenire.home.name)
    monkeypatch.setenv("TENIRE_HOME", "variable")
    tenire("run")
    assert fake.config is not None
    assert [*homes, fake.config.tenire.home.name] == ["own", "given", "variable"]


def test_progress_is_plain_lines_on_a_pipe_and_nothing_when_quiet(tenire: Tenire, app: App, docs: Path) -> None:
    engine(app, done())
    ran = tenire("ingest", "docs")
    assert ran.err.startswith("tenire: ")
    assert "ingest done, 3/3 files, 12 passages" in ran.err
    assert "\x1b" not in ran.err
    assert tenire("ingest", "docs", "--quiet").err == ""


def test_several_pipelines_have_their_sums(tenire: Tenire, app: App, docs: Path) -> None:
    (docs.parent / "tenire.toml").write_text('[pipelines.a]\nsource = "docs"\n[pipelines.b]\nsource = "docs"\n')
    engine(app, done("a", chunks=1000), done("b", chunks=234))
    rows = [line.split() for line in tenire("run").out.splitlines()]
    assert rows[0] == [
        "pipeline", "seen", "done", "unchanged", "quarantined", "removed", "skipped", "chunks", "seconds",
    ]  # fmt: skip
    assert rows[3] == ["all", "6", "6", "0", "0", "0", "0", "1,234"]


def test_a_picture_of_the_display_can_be_recorded(tenire: Tenire, app: App, docs: Path) -> None:
    engine(app, done())
    assert tenire("ingest", "docs", "--record", "p.svg", "--quiet").code == 0
    picture = (docs.parent / "p.svg").read_text(encoding="utf-8")
    assert picture.startswith("<svg")
    assert "ingest" in picture
    assert "url(http" not in picture.replace('"', "").replace("'", ""), "a picture loads nothing from the web"
    ran = tenire("ingest", "docs", "--record", "no/p.svg")
    assert ran.code == 2


@pytest.mark.parametrize("interrupt", [False, True])
def test_a_report_is_written_also_of_a_run_that_was_interrupted(
    tenire: Tenire, app: App, docs: Path, interrupt: bool
) -> None:
    engine(app, done(), interrupt=interrupt)
    ran = tenire("ingest", "docs", "--report", "run-report.html", "--quiet", "--json")
    assert ran.code == (130 if interrupt else 0)
    assert "Run report" in docs.with_name("run-report.html").read_text()


@pytest.mark.parametrize("place", ["no/report.html", "docs"])
def test_a_report_that_cannot_be_written_is_refused_before_anything_starts(
    tenire: Tenire, app: App, docs: Path, place: str
) -> None:
    fake = engine(app, done())
    ran = tenire("ingest", "docs", "--report", place)
    assert ran.code == 2
    assert f'--report must be a file in a directory that exists, got "{place}"' in ran.err
    assert fake.config is None
