from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from tenire.gui.binding import QtCore, QtWidgets
from tenire.gui.qt.frames import Frames

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tenire.testing import ManualClock

    from .conftest import Until


FRAME = 60.0
"""So long that no frame comes before ``next_frame``, however slow the machine is."""


@pytest.fixture
def frames(manual_clock: ManualClock) -> Iterator[Frames]:
    made = Frames(clock=manual_clock, frame=FRAME)
    yield made
    made.close()


def next_frame(frames: Frames, clock: ManualClock) -> None:
    (timer,) = frames.findChildren(QtCore.QTimer)
    assert timer.isActive()
    assert timer.interval() <= FRAME * 1000
    clock.advance(FRAME)
    timer.start(0)


def test_the_first_value_comes_at_once_and_the_next_one_a_frame_later(
    frames: Frames, manual_clock: ManualClock, until: Until
) -> None:
    seen: list[int] = []
    frames.put("key", seen.append, 1)
    until(lambda: seen)
    frames.put("key", seen.append, 2)
    frames.put("key", seen.append, 3)
    QtCore.QCoreApplication.processEvents()
    assert seen == [1]
    next_frame(frames, manual_clock)
    until(lambda: len(seen) > 1)
    assert seen == [1, 3]


def test_each_key_has_a_newest_value_and_they_come_in_order(frames: Frames, until: Until) -> None:
    seen: list[tuple[str, int]] = []
    for number in range(3):
        for name in "ab":
            frames.put(name, lambda *pair: seen.append(pair), name, number)
    until(lambda: seen)
    assert seen == [("a", 2), ("b", 2)]


def test_values_come_from_any_thread_into_the_gui_thread(frames: Frames, until: Until) -> None:
    seen: list[tuple[int, int]] = []
    report = frames.reporter(lambda number: seen.append((number, threading.get_ident())))

    def work() -> None:
        for number in range(1_000):
            report(number)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    until(lambda: seen)
    assert seen == [(999, threading.get_ident())]
    assert frames.rounds == 1


def test_one_call_that_fails_is_told_and_the_others_come(
    frames: Frames, until: Until, hooked: list[BaseException]
) -> None:
    seen: list[int] = []
    frames.put("bad", lambda: 1 / 0)
    frames.put("good", seen.append, 1)
    until(lambda: seen)
    assert [type(error) for error in hooked] == [ZeroDivisionError]


def test_a_round_that_takes_too_long_leaves_the_rest_for_the_next_frame(
    frames: Frames, manual_clock: ManualClock, until: Until
) -> None:
    seen: list[str] = []

    def slow(name: str) -> None:
        seen.append(name)
        manual_clock.advance(0.005)

    for name in "abcd":
        frames.put(name, slow, name)
    until(lambda: seen)
    assert seen == ["a", "b"]
    frames.put("c", slow, "newer c")
    next_frame(frames, manual_clock)
    until(lambda: len(seen) > 2)
    assert seen == ["a", "b", "newer c", "d"]


def test_nothing_old_comes_after_something_newer_though_a_call_opens_a_dialog(
    frames: Frames, manual_clock: ManualClock, until: Until
) -> None:
    seen: list[int] = []

    def ask() -> None:
        frames.put("bar", seen.append, 10)
        QtCore.QCoreApplication.processEvents()
        next_frame(frames, manual_clock)
        until(lambda: seen)

    frames.put("dialog", ask)
    frames.put("bar", seen.append, 5)
    until(lambda: frames.rounds >= 2)
    frames.flush()
    assert seen == [10]


def test_a_method_of_something_that_is_gone_is_not_called(
    frames: Frames, until: Until, hooked: list[BaseException]
) -> None:
    bar = QtWidgets.QProgressBar()
    report = frames.reporter(bar.setValue)
    report(5)
    bar.deleteLater()
    QtCore.QCoreApplication.sendPostedEvents(bar, QtCore.QEvent.Type.DeferredDelete.value)
    rounds = frames.rounds
    until(lambda: frames.rounds > rounds)
    assert hooked == []


def test_there_is_no_timer_while_nothing_happens(frames: Frames, until: Until) -> None:
    seen: list[int] = []
    frames.put("key", seen.append, 1)
    until(lambda: seen)
    assert not [timer for timer in frames.findChildren(QtCore.QTimer) if timer.isActive()]
