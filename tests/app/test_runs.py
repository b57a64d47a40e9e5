from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING, Any

import pytest

from tenire.app.config import ingest_config
from tenire.app.inspect import verify
from tenire.app.runs import arun_config
from tenire.app.search import search
from tenire.errors import ConfigError, HomeBusyError
from tenire.pipeline.files import PathSource
from tenire.storage.home import Home, HomeLock
from tenire.storage.ledger import Ledger

from .conftest import LEDGERS, VOLCANOES, ZEBRAS, write

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tenire.pipeline.progress import PipelineProgress, RunReport

    Run = Callable[..., RunReport]


def counts(progress: PipelineProgress) -> dict[str, int]:
    assert progress.seen == progress.done + progress.unchanged + progress.quarantined
    names = ("seen", "done", "unchanged", "quarantined", "removed", "skipped")
    return {name: count for name in names if (count := getattr(progress, name))}


class Broken(PathSource):
    """A source that breaks off while it is listed."""

    def __init__(self, error: Exception) -> None:
        super().__init__([])
        self._error = error

    def walk(self) -> Iterator[Any]:
        raise self._error


def test_a_home_goes_through_ingest_change_touch_rename_and_removal(tmp_path: Path, ingest: Run) -> None:
    files, home = tmp_path / "files", tmp_path / "home"
    zebras, copy = write(files / "zebras.txt", ZEBRAS), write(files / "deep/copy.txt", ZEBRAS)
    ledgers, bad = write(files / "ledgers.txt", LEDGERS), write(files / "bad.txt", "\0\1\2\3" * 50)
    write(files / "picture.png", "no text")
    first = ingest(files).pipelines["ingest"]
    assert counts(first) == {"seen": 4, "done": 3, "quarantined": 1, "skipped": 1}
    assert first.chunks == 2  # copies share their passages
    assert first.listed
    assert first.bytes_seen == first.bytes_done

    zebras.touch()
    copy.rename(files / "renamed.txt")
    ledgers.write_text(VOLCANOES)
    second = ingest(files).pipelines["ingest"]
    assert counts(second) == {
        "seen": 4, "done": 2, "unchanged": 1, "quarantined": 1, "removed": 1, "skipped": 1,
    }  # fmt: skip
    (hit,) = search(home, "zebras graze", k=1, mode="text").hits
    assert (hit.source, hit.also) == (str(files / "renamed.txt"), [str(zebras)])
    assert all(hit.text != LEDGERS for hit in search(home, "ledger payment", mode="text").hits)

    bad.write_text(LEDGERS)
    zebras.unlink()
    third = ingest(files).pipelines["ingest"]
    assert counts(third) == {"seen": 3, "done": 1, "unchanged": 2, "removed": 1, "skipped": 1}
    report = verify(home)
    assert (report.ok, report.documents, report.chunks) == (True, 3, 3)


def test_ingesting_other_paths_keeps_what_is_there(tmp_path: Path, ingest: Run) -> None:
    one, two = write(tmp_path / "one/a.txt", ZEBRAS), write(tmp_path / "two/b.txt", LEDGERS)
    ingest(one.parent)
    assert counts(ingest(two.parent).pipelines["ingest"]) == {"seen": 1, "done": 1}
    one.unlink()
    assert counts(ingest(two.parent).pipelines["ingest"]) == {"seen": 1, "unchanged": 1}
    assert counts(ingest(one.parent).pipelines["ingest"]) == {"removed": 1}


def test_a_pipeline_whose_source_list_got_shorter_forgets_the_rest(tmp_path: Path, run_toml: Run) -> None:
    write(tmp_path / "one/a.txt", ZEBRAS)
    write(tmp_path / "two/b.txt", LEDGERS)
    head = '[pipelines.p]\nembedder = "static"\nsource = '
    assert counts(run_toml(head + '["one", "two"]').pipelines["p"]) == {"seen": 2, "done": 2}
    assert counts(run_toml(head + '["two"]').pipelines["p"]) == {"seen": 1, "unchanged": 1, "removed": 1}
    assert search(tmp_path / "home", "zebras", mode="text").hits == []


def test_a_pipeline_that_fails_leaves_the_others_alone_and_stops_those_after_it(
    tmp_path: Path, run_toml: Run, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path / "one/a.txt", ZEBRAS)
    text = "\n".join(
        f'[pipelines.{name}]\nembedder = "static"\nsource = "one"\nafter = {after}'
        for name, after in [("gone", []), ("good", []), ("later", ["gone"]), ("last", ["later"]), ("bug", ["good"])]
    )
    missing = ConfigError("one does not exist", hint="look for it")
    with caplog.at_level(logging.CRITICAL, "tenire.runs"):
        report = run_toml(text, sources={"gone": Broken(missing), "bug": Broken(ZeroDivisionError("oh"))})
    assert set(report.failed) == {"gone", "later", "last", "bug"}
    assert report.pipelines["gone"].error == "one does not exist (look for it)"
    assert report.pipelines["later"].error == "it runs after gone, which failed"
    assert report.pipelines["last"].error == "it runs after later, which failed"
    assert report.pipelines["bug"].error == "ZeroDivisionError: oh"
    assert counts(report.pipelines["good"]) == {"seen": 1, "done": 1}
    assert report.as_json()["pipelines"]["gone"]["state"] == "failed"


def test_pipelines_run_in_the_order_of_after_and_share_documents(tmp_path: Path, run_toml: Run) -> None:
    write(tmp_path / "one/a.txt", ZEBRAS)
    head = 'embedder = "static"\nsource = "one"\n'
    report = run_toml(f'[pipelines.b]\n{head}after = ["a"]\n[pipelines.a]\n{head}')
    # Whoever comes second finds the passages there.
    assert (report.pipelines["a"].chunks, report.pipelines["b"].chunks) == (1, 0)
    assert counts(report.pipelines["b"]) == {"seen": 1, "done": 1}
    assert verify(tmp_path / "home").documents == 2


def test_only_the_pipelines_that_are_named_run(tmp_path: Path, run_toml: Run) -> None:
    write(tmp_path / "one/a.txt", ZEBRAS)
    head = 'embedder = "static"\nsource = "one"\n'
    report = run_toml(f'[pipelines.b]\n{head}after = ["a"]\n[pipelines.a]\n{head}', only=["b"])
    assert set(report.pipelines) == {"b"}


def test_a_busy_home_is_refused_with_the_pid_and_nothing_is_touched(tmp_path: Path, ingest: Run) -> None:
    write(tmp_path / "one/a.txt", ZEBRAS)
    home = Home(tmp_path / "home")
    with HomeLock(home):
        before = sorted(path.name for path in home.path.iterdir())
        with pytest.raises(HomeBusyError, match="another engine"):
            ingest(tmp_path / "one")
        assert sorted(path.name for path in home.path.iterdir()) == before


def test_a_refused_run_writes_nothing(tmp_path: Path, ingest: Run) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        ingest(tmp_path / "missing")
    assert not (tmp_path / "home").exists()


def test_a_cancelled_run_gives_the_home_back_and_the_next_one_completes_it(tmp_path: Path, ingest: Run) -> None:
    write(tmp_path / "one/a.txt", ZEBRAS)
    config = ingest_config([str(tmp_path / "one")], home=tmp_path / "home", embedder="static")
    live: dict[str, PipelineProgress] = {}

    async def main() -> None:
        def started(pipelines: dict[str, PipelineProgress]) -> None:
            live.update(pipelines)
            asyncio.get_running_loop().call_soon(running.cancel)

        running = asyncio.create_task(arun_config(config, on_start=started))
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(main())
    assert live["ingest"].state in ("waiting", "cancelled")
    assert counts(ingest(tmp_path / "one").pipelines["ingest"]) == {"seen": 1, "done": 1}


def test_a_run_remembers_what_a_retry_needs(tmp_path: Path, run_toml: Run) -> None:
    (tmp_path / "one").mkdir()
    run_toml('[pipelines.p]\nembedder = "static"\nsource = "one"\nmax_file = "1MiB"\nweight = 3\npriority = "low"')
    with Ledger.read(Home(tmp_path / "home")) as ledger:
        remembered = json.loads(ledger.setting("pipeline:p") or "")
    assert remembered == {"max_file": 1 << 20, "priority": "low", "weight": 3}
