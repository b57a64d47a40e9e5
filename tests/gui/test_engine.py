from __future__ import annotations

import asyncio
import logging
import sys
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import pytest

from tenire.errors import ConfigError, RejectedError
from tenire.gui.binding import QtCore, QtWidgets, Signal
from tenire.gui.qt import QtEngine, async_slot
from tenire.gui.qt.failures import report
from tenire.gui.qt.switch_interval import QUICK_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tenire.concurrency.signals import Signals

    from .conftest import DuringExec, Until


@pytest.fixture
def engine(application: QtWidgets.QApplication) -> Iterator[QtEngine]:
    with QtEngine(cpu=2, memory=1 << 20) as made:
        yield made


def count(report: Callable[[int], object], to: int) -> int:
    for number in range(1, to + 1):
        report(number)
    return to


async def wait_long() -> None:
    await asyncio.Event().wait()


def test_results_and_progress_come_into_the_gui_thread(engine: QtEngine, until: Until) -> None:
    bar = QtWidgets.QProgressBar()
    bar.setMaximum(500)
    seen: list[tuple[object, bool]] = []

    def arrived(value: object) -> None:
        seen.append((value, threading.current_thread() is threading.main_thread()))

    engine.submit(count, engine.reporter(bar.setValue), 500, on_result=arrived)
    until(lambda: seen)
    assert seen == [(500, True)]
    assert bar.value() == 500


def test_an_error_reaches_who_asked_for_it_or_the_hook(
    application: QtWidgets.QApplication, until: Until, hooked: list[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise ValueError("no")

    seen: list[BaseException] = []
    failed: list[BaseException] = []
    with caplog.at_level(logging.CRITICAL, logger="tenire.gui"), QtEngine(cpu=1) as engine:
        engine.slot_failed.connect(failed.append)
        engine.submit(fail, on_error=seen.append)
        engine.submit(fail, on_result=seen.append)
        until(lambda: seen and hooked)
    assert [str(error) for error in (*seen, *hooked, *failed)] == ["no", "no", "no"]


def test_what_a_plain_slot_raises_is_told_logged_and_handed_on(
    application: QtWidgets.QApplication, hooked: list[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    class Sender(QtCore.QObject):
        sent = Signal()

    sender = Sender()
    sender.sent.connect(lambda: 1 / 0)
    failed: list[BaseException] = []
    before = sys.excepthook
    with QtEngine(cpu=1) as engine:
        engine.slot_failed.connect(failed.append)
        sender.sent.emit()
    assert len(failed) == len(hooked) == 1
    assert "a slot failed: ZeroDivisionError" in caplog.text
    assert sys.excepthook is before


def test_who_is_told_of_failures_may_fail(
    application: QtWidgets.QApplication, hooked: list[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    told: list[str] = []

    def fail_again(error: BaseException) -> None:
        told.append(str(error))
        raise LookupError("second")

    with caplog.at_level(logging.CRITICAL, logger="tenire.gui"), QtEngine(cpu=1) as engine:
        engine.slot_failed.connect(fail_again)
        for _ in range(2):
            report(ValueError("first"))
    assert told == ["first", "first"]
    assert [str(error) for error in hooked] == ["second", "first", "second", "first"]


def test_all_who_wait_for_a_task_are_called(engine: QtEngine, until: Until) -> None:
    seen: list[str] = []
    handle = engine.submit(print_nothing, 1, on_result=lambda _: seen.append("result"))
    engine.when_done(handle, lambda _: seen.append("first"))
    engine.when_done(handle, lambda _: seen.append("second"))
    until(lambda: len(seen) == 3)
    assert seen == ["result", "first", "second"]


def test_a_callback_of_something_that_is_gone_is_not_called(
    engine: QtEngine, until: Until, hooked: list[BaseException]
) -> None:
    class Window(QtWidgets.QLabel):
        def show_error(self, error: BaseException) -> None:
            self.setText(str(error))

    window, go_on = Window(), threading.Event()
    ended: list[object] = []

    def fail() -> None:
        go_on.wait(60)
        raise ValueError("no")

    handle = engine.submit(fail, on_result=ended.append, on_error=window.show_error)
    window.deleteLater()
    QtCore.QCoreApplication.sendPostedEvents(window, QtCore.QEvent.Type.DeferredDelete.value)
    go_on.set()
    engine.when_done(handle, ended.append)
    until(lambda: ended)
    assert ended == [handle]
    assert hooked == []


def test_an_async_slot_awaits_the_engine_and_its_end_cancels_what_it_awaits(engine: QtEngine, until: Until) -> None:
    class Widget(QtWidgets.QWidget):
        @async_slot
        async def run(self) -> int:
            return await engine.submit(count, print_nothing, 3)

        @async_slot
        async def wait(self) -> None:
            await handle

    handle = engine.submit(wait_long)
    widget = Widget()
    quick, slow = widget.run(), widget.wait()
    until(quick.done)
    assert quick.result() == 3
    widget.deleteLater()
    QtCore.QCoreApplication.sendPostedEvents(widget, QtCore.QEvent.Type.DeferredDelete.value)
    until(lambda: slow.done() and handle.done())
    assert slow.cancelled()
    assert handle.cancelled()


def print_nothing(number: int) -> None:
    del number


def test_work_goes_on_while_a_modal_dialog_is_open(engine: QtEngine, during_exec: DuringExec) -> None:
    dialog = QtWidgets.QDialog()
    answers: list[int] = []

    def ask() -> None:
        engine.submit(count, print_nothing, 1_000, on_result=lambda _: dialog.accept())
        answers.append(dialog.exec())

    during_exec(ask)
    assert answers == [QtWidgets.QDialog.DialogCode.Accepted.value]


@dataclass(frozen=True)
class Happened:
    number: int


def test_events_of_the_engine_are_qt_signals_and_the_other_way_round(engine: QtEngine, until: Until) -> None:
    class Window(QtCore.QObject):
        asked = Signal(int)

        def __init__(self) -> None:
            super().__init__()
            self.all: list[int] = []
            self.newest: list[int] = []

        def note(self, event: Happened) -> None:
            self.all.append(event.number)

        def note_newest(self, event: Happened) -> None:
            self.newest.append(event.number)

    window = Window()
    engine.signals.of(Happened).connect(window.note)
    engine.signals.of(Happened, policy="latest").connect(window.note_newest)
    engine.signals.forward(window.asked, Happened)

    def emit() -> None:
        for number in range(300):
            engine.manager.signals.post(Happened(number))

    engine.submit(emit)
    until(lambda: len(window.all) == 300 and window.newest[-1:] == [299])  # which may come a frame later
    assert window.all == list(range(300))
    window.asked.emit(-1)
    until(lambda: len(window.all) == 301)
    assert window.all[-1] == -1
    assert engine.signals.dropped == 0


def test_models_follow_pipelines_and_tasks(engine: QtEngine, until: Until) -> None:
    pipelines, tasks = engine.pipelines_model(), engine.tasks_model()
    view = QtWidgets.QTableView()
    view.setModel(tasks)
    handle = engine.submit(wait_long, pipeline="slow", name="sleeper")
    until(lambda: tasks.rowCount())
    assert [tasks.data(tasks.index(0, column)) for column in range(3)] == ["sleeper", "slow", "running"]
    until(lambda: pipelines.row_of("slow") >= 0)
    assert pipelines.record(pipelines.row_of("slow")).running == 1
    handle.cancel()
    until(lambda: not tasks.rowCount())
    until(lambda: pipelines.record(pipelines.row_of("slow")).cancelled == 1)


def test_quitting_cancels_what_has_not_ended_and_lets_it_clean_up(application: QtWidgets.QApplication) -> None:
    cleaned: list[str] = []
    running = threading.Event()

    async def work() -> None:
        running.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned.append("engine")

    class Widget(QtWidgets.QWidget):
        @async_slot
        async def wait(self) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                cleaned.append("slot")

    with QtEngine(cpu=1) as engine:
        states: list[str] = []
        engine.state_changed.connect(states.append)
        widget = Widget()
        widget.wait()
        for _ in range(50):
            engine.submit(work)
        assert running.wait(60)
        QtCore.QTimer.singleShot(0, application.quit)
        application.exec()
        assert engine.state == "stopped"
        with pytest.raises(RejectedError):
            engine.submit(print)
    assert sorted(set(cleaned)) == ["engine", "slot"]
    assert cleaned.count("slot") == 1
    assert states == ["stopping", "stopped"]


def test_quitting_from_within_an_async_slot_ends_that_one_too(application: QtWidgets.QApplication) -> None:
    ended: list[str] = []

    @async_slot
    async def leave() -> None:
        application.quit()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("left")

    with QtEngine(cpu=1) as engine:
        QtCore.QTimer.singleShot(0, leave)
        application.exec()
        assert engine.state == "stopped"
    assert ended == ["left"]


def test_work_is_waited_for_where_that_is_asked(application: QtWidgets.QApplication, until: Until) -> None:
    seen: list[object] = []
    go_on = threading.Event()
    with QtEngine(cpu=1, on_quit="wait") as engine:
        engine.submit(go_on.wait, 60, on_result=seen.append)
        threading.Timer(0.05, go_on.set).start()
    assert seen == [True]


@pytest.mark.parametrize("on_quit", ["wait", "cancel"])
def test_all_events_come_though_the_work_waits_for_that_while_the_engine_ends(
    application: QtWidgets.QApplication, monkeypatch: pytest.MonkeyPatch, on_quit: Literal["wait", "cancel"]
) -> None:
    monkeypatch.setattr("tenire.gui.qt.signals._CAPACITY", 5)
    seen: list[int] = []
    began = threading.Event()

    async def emit(signals: Signals) -> None:
        try:
            began.set()
            await asyncio.sleep(3600 if on_quit == "cancel" else 0)
        finally:
            for number in range(50):
                await signals.aemit(Happened(number))

    def note(event: Happened) -> None:
        seen.append(event.number)

    with QtEngine(cpu=1, on_quit=on_quit) as engine:
        engine.signals.of(Happened, policy="block").connect(note)
        engine.submit(emit, engine.manager.signals)
        assert began.wait(60)
    assert seen == list(range(50))


def test_an_engine_ends_with_its_parent(application: QtWidgets.QApplication, hooked: list[BaseException]) -> None:
    parent = QtWidgets.QWidget()
    engine = QtEngine(parent, cpu=1)
    before = sys.getswitchinterval(), sys.excepthook
    engine.start()
    handle = engine.submit(wait_long)
    parent.deleteLater()
    QtCore.QCoreApplication.sendPostedEvents(parent, QtCore.QEvent.Type.DeferredDelete.value)
    assert handle.cancelled()
    assert (sys.getswitchinterval(), sys.excepthook) == before
    assert hooked == []


def test_an_engine_starts_in_no_other_thread(application: QtWidgets.QApplication) -> None:
    found: list[str] = []

    def start() -> None:
        try:
            QtEngine(cpu=1).start()
        except RuntimeError as error:
            found.append(str(error))

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert "an engine started in the thread" in found[0]


def test_an_error_that_is_told_at_the_end_is_not_said_to_be_told_to_nobody(
    application: QtWidgets.QApplication, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise ValueError("no")

    seen: list[BaseException] = []
    with QtEngine(cpu=1, on_quit="wait") as engine:
        engine.submit(fail, on_error=seen.append)
    assert [str(error) for error in seen] == ["no"]
    assert "nobody awaited" not in caplog.text


def test_threads_are_switched_quickly_only_while_an_engine_has_windows(application: QtWidgets.QApplication) -> None:
    before = sys.getswitchinterval()
    with QtEngine(cpu=1):
        assert sys.getswitchinterval() == pytest.approx(QUICK_S)
        with QtEngine(cpu=1):
            pass
        assert sys.getswitchinterval() == pytest.approx(QUICK_S)
    assert sys.getswitchinterval() == before


def test_an_engine_starts_once_and_says_so(application: QtWidgets.QApplication) -> None:
    engine = QtEngine(cpu=1)
    with pytest.raises(RejectedError, match="has not started"):
        engine.submit(print)
    engine.start()
    engine.stop()
    engine.stop()
    with pytest.raises(RejectedError, match="stopped; make a new one"):
        engine.start()
    with pytest.raises(ConfigError, match="cancel or wait"):
        QtEngine(on_quit="kill")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="cpu"):
        QtEngine(cpu=-1)


class PumpedLoop(asyncio.SelectorEventLoop):
    """As qasync's: it runs for the whole of ``application.exec()``, and Qt's events come between its turns."""

    def __init__(self, application: QtWidgets.QApplication) -> None:
        super().__init__()
        self._application = application

    def run_with_qt(self, coroutine: object) -> None:
        async def pump() -> None:
            while not task.done():
                self._application.processEvents()
                await asyncio.sleep(0.001)

        task = self.create_task(coroutine)  # type: ignore[arg-type]
        self.run_until_complete(pump())
        task.result()


def test_slots_run_on_a_loop_that_the_application_has(engine: QtEngine) -> None:
    sender = QtWidgets.QPushButton()
    seen: list[object] = []
    all_seen = asyncio.Event()

    @async_slot
    async def clicked() -> None:
        seen.append(asyncio.get_running_loop())
        seen.append(await engine.submit(count, print_nothing, 7))
        all_seen.set()

    async def main() -> None:
        sender.click()
        await all_seen.wait()

    sender.clicked.connect(clicked)
    application = QtWidgets.QApplication.instance()
    assert isinstance(application, QtWidgets.QApplication)
    loop = PumpedLoop(application)
    try:
        loop.run_with_qt(main())
    finally:
        loop.close()
    assert seen == [loop, 7]
