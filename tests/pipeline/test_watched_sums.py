"""What is shown of a pipeline that goes on: the sum of its rounds."""

from __future__ import annotations

from dataclasses import fields

import pytest

from tenire.pipeline.progress import PipelineProgress, StageProgress
from tenire.pipeline.watching.sums import Sums


def progress(**counts: object) -> PipelineProgress:
    return PipelineProgress("p", **counts)  # type: ignore[arg-type]


def test_a_round_over_changes_is_added_as_it_is_and_once() -> None:
    shown = progress(seen=10, done=9, quarantined=1, rejected={"read": 1}, chunks=20, calls=5)
    part = progress(seen=3, done=1, unchanged=1, quarantined=1, rejected={"read": 1}, chunks=4, removed=2, calls=7)
    part.stages = [StageProgress("prepare")]
    sums = Sums(shown, part, None)
    for _ in range(2):
        sums.update()
    assert (shown.seen, shown.done, shown.unchanged, shown.quarantined) == (13, 10, 1, 2)
    assert (shown.chunks, shown.removed, shown.rejected) == (24, 2, {"read": 2})
    assert shown.calls == 5  # of what calls cost, somebody else keeps the sum
    assert shown.stages is part.stages


@pytest.mark.parametrize(("quarantined", "new"), [(4, 2), (2, 0), (1, 0)])
def test_of_a_round_over_everything_only_what_is_new_is_added(quarantined: int, new: int) -> None:
    shown = progress(seen=10, done=8, quarantined=2)
    part = progress(seen=12, done=1, unchanged=11 - quarantined, quarantined=quarantined, removed=1)
    Sums(shown, part, 2).update()
    assert (shown.seen, shown.done, shown.unchanged, shown.quarantined) == (11 + new, 9, 0, 2 + new)
    assert shown.seen == shown.done + shown.unchanged + shown.quarantined
    assert shown.removed == 1


def test_no_counter_is_forgotten() -> None:
    kept_by_others = {"calls", "retries", "cached_calls", "cost_usd", "guessed_usd"}
    kept_by_others |= {"input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens"}
    about_the_moment = {"name", "unit", "state", "listed", "error", "paused", "stages"}
    part = progress()
    for field in fields(part):
        if field.name not in kept_by_others | about_the_moment:
            setattr(part, field.name, {"x": 3} if isinstance(getattr(part, field.name), dict) else 3)
    shown = progress()
    Sums(shown, part, None).update()
    assert shown == part
