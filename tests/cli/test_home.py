from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from tenire.app.inspect import LeftOut, Verified
from tenire.pipeline.progress import PipelineProgress, RunReport
from tenire.pipeline.verify import VerifyReport
from tenire.storage.filtered import FilteredSource

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.cli.conftest import App, Run

    Tenire = Callable[..., Run]


@dataclass(frozen=True)
class Item:
    id: str
    pipeline: str
    source: str
    stage: str
    error: str
    attempts: int
    rule: str = ""


@dataclass(frozen=True)
class Retried:
    requeued: int
    report: RunReport | None
    left: dict[str, LeftOut] = field(default_factory=dict)


STATUS = {
    "running": False,
    "pipelines": {"docs": {"seen": 5, "done": 4, "unchanged": 0, "quarantined": 1, "state": "done", "seconds": 2.0}},
    "documents": 4,
    "chunks": 1234,
    "store_bytes": 2_500_000,
    "text_bytes": 900_000,
    "text_stored_bytes": 200_000,
}


def test_status_shows_what_the_home_holds(tenire: Tenire, app: App) -> None:
    app.put("inspect", status=lambda home: STATUS)
    shown = tenire("status")
    assert shown.code == 0
    assert "4 documents, 1,234 passages" in shown.out
    assert "store 2.5 MB, text 900.0 kB, kept in 200.0 kB" in shown.out
    assert "docs" in shown.out
    assert tenire("status", "--json").last == STATUS


def test_status_shows_how_much_of_a_quota_is_used(tenire: Tenire, app: App) -> None:
    used = {
        "metrics": {"requests": {"spent": 480, "limit": 500}, "output_tokens": {"spent": 7_000, "limit": None}},
        "in_flight": 12, "slots": 16, "waiting": 1_040, "refused": 1, "pause": 2,
    }  # fmt: skip
    app.put("inspect", status=lambda home: STATUS | {"quotas": {"main": used}})
    assert (
        "quota main: requests 480/500, output tokens 7,000 in a minute; 12 of 16 calls under way, 1,040 waiting, "
        "1 refused, paused by the provider for 2 s"
    ) in tenire("status").out
    quiet = used | {"refused": 0, "pause": 0}
    app.put("inspect", status=lambda home: STATUS | {"quotas": {"main": quiet}})
    assert "1,040 waiting\n" in tenire("status").out


def test_failed_lists_the_quarantine_with_reasons(tenire: Tenire, app: App) -> None:
    items = [Item("q1", "docs", "/a/\x1b[31m.pdf", "cleanse", "PDF is not supported\nby this version", 2)]
    app.put("inspect", failed=lambda home: items)
    shown = tenire("failed")
    assert shown.code == 0
    lines = shown.out.splitlines()
    assert lines[0] == "q1  /a/\\x1b[31m.pdf  (docs, cleanse, 2 attempts)"
    assert lines[1] == "    PDF is not supported\\nby this version"
    entry = tenire("failed", "--json").last["failed"][0]
    assert set(entry) == {"id", "pipeline", "source", "stage", "error", "attempts", "rule"}


def test_an_empty_quarantine_says_so(tenire: Tenire, app: App) -> None:
    app.put("inspect", failed=lambda home: [])
    assert tenire("failed").out == "nothing is in quarantine\n"
    assert tenire("failed", "--json").last == {"failed": []}


@pytest.mark.parametrize(("words", "asked"), [(("a", "b"), (["a", "b"], False)), (("--all",), ([], True))])
def test_retry_tries_again_what_was_named(
    tenire: Tenire, app: App, words: tuple[str, ...], asked: tuple[list[str], bool]
) -> None:
    seen = []

    def retry(home: Path, ids: Sequence[str], all_: bool, on_lost: object) -> Retried:
        seen.append((ids, all_))
        return Retried(1, RunReport({"docs": PipelineProgress("docs", state="done", seen=1, quarantined=1)}, 1.0, 9.0))

    app.put("inspect", retry=retry)
    ran = tenire("retry", *words, "--json")
    assert seen == [asked]
    assert ran.code == 3, "it is still in quarantine"
    assert ran.last["requeued"] == 1
    assert ran.last["pipelines"]["docs"]["quarantined"] == 1
    assert "1 item tried again" in tenire("retry", *words).out


def test_a_retry_with_nothing_to_do_is_done(tenire: Tenire, app: App) -> None:
    app.put("inspect", retry=lambda home, ids, all_, on_lost: Retried(0, None))
    ran = tenire("retry", "--all", "--json")
    assert ran.code == 0
    assert ran.last == {"requeued": 0, "pipelines": {}, "seconds": 0.0, "peak_rss_mib": 0.0}


@pytest.mark.parametrize("report", [None, RunReport({"docs": PipelineProgress("docs", state="done")}, 1.0, 9.0)])
def test_a_retry_says_what_it_left_and_why(tenire: Tenire, app: App, report: RunReport | None) -> None:
    left = {"old": LeftOut(2, 'no pipeline is named "old" any more', "give it that name again")}
    app.put("inspect", retry=lambda home, ids, all_, on_lost: Retried(1, report, left))
    ran = tenire("retry", "--all", "--json")
    assert ran.code == 3
    assert ran.last["left"]["old"]["entries"] == 2
    assert (
        'note: 2 items of pipeline old left in quarantine: no pipeline is named "old" any more '
        "(give it that name again)"
    ) in tenire("retry", "--all").err


@pytest.mark.parametrize("lost", [[], [0.0], [0.002, 0.0]])
def test_what_was_charged_for_lost_calls_is_told_by_an_interrupted_retry(
    tenire: Tenire, app: App, lost: list[float]
) -> None:
    def retry(home: Path, ids: Sequence[str], all_: bool, on_lost: Callable[[float], None]) -> Retried:
        for usd in lost:  # one a run
            on_lost(usd)
        raise KeyboardInterrupt

    app.put("inspect", retry=retry)
    ran = tenire("retry", "--all", "--json")
    assert ran.code == 130
    assert ran.last["error"]["type"] == "KeyboardInterrupt"
    assert ran.last.get("lost_usd") == (0.002 if sum(lost) else None)


def test_verify_fails_when_ledger_and_store_do_not_agree(tenire: Tenire, app: App) -> None:
    agreed_report = VerifyReport(True, 10, 1234, missing=0, orphans=0, duplicates=0)
    app.put("inspect", verify=lambda home: agreed_report)
    agreed = tenire("verify")
    assert agreed.code == 0
    assert "agree: 10 documents, 1,234 passages" in agreed.out
    details = ("document d1 has 2 of 5 passages in the store",)
    broken_report = VerifyReport(False, 10, 1234, missing=3, orphans=0, duplicates=0, damaged=1, details=details)
    app.put("inspect", verify=lambda home: broken_report)
    told = tenire("verify")
    assert told.code == 1
    assert "damaged documents 1" in told.out
    assert details[0] in told.out
    assert "tenire verify --repair" in told.out
    broken = tenire("verify", "--json")
    assert broken.code == 1
    assert broken.last == {
        "ok": False, "documents": 10, "chunks": 1234, "missing": 3, "orphans": 0, "duplicates": 0,
    }  # fmt: skip


def test_a_repair_says_what_the_next_run_stores_again(tenire: Tenire, app: App) -> None:
    report = VerifyReport(True, 8, 1000, missing=0, orphans=0, duplicates=0)
    app.put("inspect", repair=lambda home: Verified(report, 2))
    mended = tenire("verify", "--repair")
    assert mended.code == 0
    assert "2 sources are stored again by the next run" in mended.out
    assert tenire("verify", "--repair", "--json").last["forgotten"] == 2
    app.put("inspect", repair=lambda home: Verified(report, 2, Path("/home/store.damaged1")))
    assert "it is now /home/store.damaged1" in tenire("verify", "--repair").out
    assert tenire("verify", "--repair", "--json").last["set_aside"] == "/home/store.damaged1"
    assert "text index" not in mended.out
    app.put("inspect", repair=lambda home: Verified(report, indexed=True))
    assert "the text index was damaged, and was made anew" in tenire("verify", "--repair").out


def test_doctor_tells_checks_remedies_and_a_verdict(tenire: Tenire, monkeypatch: pytest.MonkeyPatch) -> None:
    from tenire.app import doctor

    monkeypatch.setattr(doctor, "_version", lambda _: "1.0")
    monkeypatch.setattr(doctor, "_weights", lambda: "some-weights")
    told = tenire("doctor")
    assert told.code == 0
    assert "full-text search" in told.out
    assert "ready to ingest and search" in told.out
    monkeypatch.setattr(doctor, "_version", lambda name: None if name == "lancedb" else "1.0")
    told = tenire("doctor")
    assert told.code == 1
    assert "→ run: pip install" in told.out
    checks = tenire("doctor", "--json").last["checks"]
    assert {"name": "store", "state": "missing"}.items() <= next(c for c in checks if c["name"] == "store").items()


def test_failed_lists_what_was_filtered(tenire: Tenire, app: App) -> None:
    items = [FilteredSource("docs", "/d/me\x1bnu.html", "repeated_lines", "expected at most 0.2, got 0.9")]
    app.put("inspect", filtered=lambda home: items)
    assert tenire("failed", "--filtered").out == (
        "/d/me\\x1bnu.html  (docs, repeated_lines)\n    expected at most 0.2, got 0.9\n"
    )
    entry = {"pipeline": "docs", "source": "/d/me\x1bnu.html", "rule": "repeated_lines", "reason": items[0].reason}
    assert tenire("failed", "--filtered", "--json").last == {"filtered": [entry]}
    app.put("inspect", filtered=lambda home: [])
    assert tenire("failed", "--filtered").out == "nothing was filtered\n"


def test_compact_tells_what_it_reclaimed(tenire: Tenire, app: App) -> None:
    done = SimpleNamespace(before_bytes=5_000_000, after_bytes=2_000_000, chunks=90_000, indexed=89_000, seconds=1.0)
    done.as_json = lambda: {name: value for name, value in vars(done).items() if name != "as_json"}
    app.put("compaction", compact=lambda home: done)
    told = tenire("compact")
    assert told.code == 0
    assert told.out.splitlines() == [
        "5.0 MB before, 2.0 MB now",
        "89,000 of 90,000 passages in the vector index",
    ]
    assert tenire("compact", "--json").last["after_bytes"] == 2_000_000
    done.indexed = 0
    assert "index" not in tenire("compact").out
