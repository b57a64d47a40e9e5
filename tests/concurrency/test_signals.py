from __future__ import annotations

import gc
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tenire.concurrency import Signals

if TYPE_CHECKING:
    import pytest


@dataclass(frozen=True)
class Finished:
    name: str


@dataclass(frozen=True)
class Failed:
    name: str


def test_listeners_get_the_events_of_their_type_in_order() -> None:
    signals, seen = Signals(), []
    signals.subscribe(Finished, lambda event: seen.append(("one", event.name)))
    signals.subscribe(Finished, lambda event: seen.append(("two", event.name)))
    signals.subscribe(Failed, lambda event: seen.append(("failed", event.name)))
    assert signals.emit(Finished("a")) == 2
    assert signals.emit(Finished("b")) == 2
    assert signals.emit("nobody listens") == 0
    assert seen == [("one", "a"), ("two", "a"), ("one", "b"), ("two", "b")]


def test_unsubscribing_stops_it_and_may_be_done_twice() -> None:
    signals, seen = Signals(), []
    subscription = signals.subscribe(Finished, seen.append)
    signals.emit(Finished("a"))
    signals.unsubscribe(subscription)
    signals.unsubscribe(subscription)
    assert signals.emit(Finished("b")) == 0
    assert seen == [Finished("a")]


def test_listening_does_not_keep_an_object_alive() -> None:
    class Window:
        def show(self, event: Finished) -> None:
            seen.append(event)

    signals: Signals = Signals()
    seen: list[Finished] = []
    window = Window()
    signals.subscribe(Finished, window.show)
    assert signals.emit(Finished("a")) == 1
    del window
    gc.collect()
    assert signals.emit(Finished("b")) == 0
    assert seen == [Finished("a")]


def test_a_listener_that_fails_is_logged_and_the_others_get_the_event(caplog: pytest.LogCaptureFixture) -> None:
    signals, seen = Signals(), []
    signals.subscribe(Finished, lambda _: 1 / 0)
    signals.subscribe(Finished, seen.append)
    assert signals.emit(Finished("a")) == 2
    assert seen == [Finished("a")]
    assert "a listener of Finished failed" in caplog.text
