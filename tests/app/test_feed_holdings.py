"""What is shown once an engine is gone: what the ledger knows, and what was told last."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tenire.app.feed.holdings import read_holdings
from tenire.app.published import Published, PublishedPipeline, PublishedTask
from tenire.storage.home import Home
from tenire.storage.ledger import Ledger

if TYPE_CHECKING:
    from pathlib import Path

    from tenire.testing import ManualClock


def told(at: float, state: str) -> Published:
    task = PublishedTask("t1", "running", "embed", "it runs")
    docs = PublishedPipeline({"state": state, "done": 7}, 2, 30, [task], priority="low", weight=2.5, finished=7)
    return Published(7, at, "normal", None, 2, 30, {"docs": docs})


def shown(home: Home, engine: Published | None) -> dict[str, tuple[str, int]]:
    pipelines = read_holdings(home, running=False).after(engine)
    assert all((each.running, each.queued, each.tasks) == (0, 0, []) for each in pipelines.values())
    return {name: (each.state, each.finished) for name, each in pipelines.items()}


@pytest.mark.parametrize("state", ["waiting", "running", "paused"])
def test_a_run_that_the_ledger_does_not_know_was_interrupted(
    tmp_path: Path, manual_clock: ManualClock, state: str
) -> None:
    home = Home(tmp_path)
    assert shown(home, told(manual_clock.wall(), state)) == {"docs": ("interrupted", 7)}, "there is no ledger"
    with Ledger.open(home, clock=manual_clock) as ledger:
        assert shown(home, told(manual_clock.wall(), state)) == {"docs": ("interrupted", 7)}
        run = ledger.runs.start("docs")
        assert shown(home, told(manual_clock.wall(), state)) == {"docs": ("interrupted", 7)}
        ledger.runs.finish(run, "done", {"done": 5})
        manual_clock.advance(60.0)
        assert shown(home, told(manual_clock.wall(), state)) == {"docs": ("interrupted", 7)}, "it was another run"
    docs = read_holdings(home, running=False).after(told(manual_clock.wall(), state))["docs"]
    assert (docs.priority, docs.weight) == ("low", 2.5), "what was asked of it is known"


def test_what_became_of_a_run_after_it_was_told_of_last_is_in_the_ledger(
    tmp_path: Path, manual_clock: ManualClock
) -> None:
    home = Home(tmp_path)
    with Ledger.open(home, clock=manual_clock) as ledger:
        run = ledger.runs.start("docs")
        other = ledger.runs.start("other")
        last = told(manual_clock.wall(), "running")
        manual_clock.advance(0.05)
        ledger.runs.finish(run, "cancelled", {"done": 8})
        ledger.runs.finish(other, "done", {"done": 1})
    assert shown(home, last) == {"docs": ("cancelled", 8), "other": ("done", 1)}
    assert shown(home, None) == {"docs": ("cancelled", 8), "other": ("done", 1)}, "nobody told anything"


@pytest.mark.parametrize("state", ["done", "failed", "cancelled"])
def test_a_run_that_was_told_to_have_ended_stays_as_it_ended(
    tmp_path: Path, manual_clock: ManualClock, state: str
) -> None:
    # One that waited for a pipeline that failed has failed too, and never came into the ledger.
    assert shown(Home(tmp_path), told(manual_clock.wall(), state)) == {"docs": (state, 7)}


def test_a_pipeline_that_only_watched_its_files_was_not_interrupted(tmp_path: Path, manual_clock: ManualClock) -> None:
    home = Home(tmp_path)
    with Ledger.open(home, clock=manual_clock) as ledger:
        ledger.runs.finish(ledger.runs.start("docs"), "done", {"done": 3})
    manual_clock.advance(60.0)
    assert shown(home, told(manual_clock.wall(), "watching")) == {"docs": ("done", 3)}
