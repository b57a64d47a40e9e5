"""What the pages read: whole, or only what is new, and made once for all of them."""

from __future__ import annotations

import json
from typing import Any

from msgspec.structs import replace

from tenire.app.feed import Happened, Quarantined, Rate, Sample, View
from tenire.app.published import Published, PublishedPipeline
from tenire.dashboard.messages import Messages

EVENTS = tuple(Happened(number, 1.0, "engine", "", f"event {number}") for number in range(1, 4))
SAMPLES = tuple(Sample(float(number), None, 0, 0, 0.0, 0, 0.0) for number in range(3))
DOCS = PublishedPipeline({"state": "running", "done": 3}, 1, 2, [], finished=3, reached=30, total=60, listed=True)
ENGINE = Published(1, 2.0, "normal", 0.5, 1, 2, {"docs": DOCS})
FIRST = View(
    7, "/home", "attached", 1.0, pipelines={"docs": DOCS}, engine=ENGINE,
    rates={"docs": Rate(1.5, 0.5, 3.0)}, events=EVENTS[:1], samples=SAMPLES[:1],
)  # fmt: skip
SECOND = replace(FIRST, number=8, events=EVENTS, samples=SAMPLES[:2])


def read(message: bytes) -> dict[str, Any]:
    head, data, *rest = message.decode().split("\n")
    assert rest == ["", ""]
    facts: dict[str, Any] = json.loads(data.removeprefix("data: "))
    assert head == f"id: {facts['number']}"
    return facts


def test_the_first_message_is_whole() -> None:
    told = read(Messages().of(FIRST, 0))
    assert (told["whole"], told["link"], told["engine"]["load"]) == (True, "attached", 0.5)
    assert "pipelines" not in told["engine"], "they are told once"
    docs = told["pipelines"]["docs"]
    assert (docs["state"], docs["fraction"], docs["totals"]["done"]) == ("running", 0.5, 3)
    assert told["rates"]["docs"] == {"speed": 1.5, "items": 0.5, "left": 3.0}
    assert [event["number"] for event in told["events"]] == [1]


def test_who_has_the_one_before_gets_what_is_new() -> None:
    messages = Messages()
    messages.of(FIRST, 0)
    told = read(messages.of(SECOND, 7))
    assert told["whole"] is False
    assert "tasks" not in told["pipelines"]["docs"], "they have not changed"
    assert [event["number"] for event in told["events"]] == [2, 3]
    assert [sample["at"] for sample in told["samples"]] == [1.0]
    assert "quarantine" not in told, "it has not changed"
    item = Quarantined("q1", "docs", "a.pdf", "read", "broken", 1, 3.0, False)
    third = read(messages.of(replace(SECOND, number=9, quarantine=(item,)), 8))
    assert [entry["id"] for entry in third["quarantine"]] == ["q1"]
    assert "events" not in third
    assert "samples" not in third


def test_all_samples_that_came_with_a_view_are_told() -> None:
    messages = Messages()
    messages.of(FIRST, 0)
    told = read(messages.of(replace(FIRST, number=8, samples=SAMPLES), 7))
    assert [sample["at"] for sample in told["samples"]] == [1.0, 2.0]
    earlier = replace(SAMPLES[0], at=-3600.0)  # the clock on the wall was put back
    told = read(messages.of(replace(FIRST, number=9, samples=(*SAMPLES, earlier)), 8))
    assert [sample["at"] for sample in told["samples"]] == [-3600.0]
    told = read(messages.of(replace(FIRST, number=10, samples=(*SAMPLES, earlier)[:]), 9))
    assert "samples" not in told or told["samples"] == [], "each once"


def test_who_missed_one_gets_the_whole_again() -> None:
    messages = Messages()
    messages.of(FIRST, 0)
    assert read(messages.of(SECOND, 6))["whole"] is True


def test_a_message_is_made_once_for_all_pages() -> None:
    messages = Messages()
    messages.of(FIRST, 0)
    assert messages.of(SECOND, 7) is messages.of(SECOND, 7)
    assert messages.of(SECOND, 0) is messages.of(SECOND, 3)


def test_names_that_are_no_text_can_be_sent() -> None:
    item = Quarantined("q1", "docs", "\udcff.pdf", "read", "broken", 1, 3.0, False)
    told = read(Messages().of(replace(FIRST, quarantine=(item,)), 0))
    assert told["quarantine"][0]["source"] == "\udcff.pdf"
