"""An application that has a loop of qasync's: slots, signals, failures and the end, beside the engine."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from tenire.gui.binding import QtCore, QtWidgets, Signal
from tenire.gui.qt import QtEngine, async_slot, emitted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

qasync = pytest.importorskip("qasync", reason="qasync is not installed")

pytestmark = pytest.mark.blocking_allowed("qasync's loop runs yet while the application quits, and the engine with it")

_LONGEST_S = 60.0


class Sender(QtCore.QObject):
    sent = Signal(int)


@pytest.fixture
def run(application: QtWidgets.QApplication) -> Iterator[Callable[[Any], Any]]:
    with qasync.QEventLoop(application) as loop:

        async def bounded(coroutine: Any) -> Any:
            async with asyncio.timeout(_LONGEST_S):
                return await coroutine

        yield lambda coroutine: loop.run_until_complete(bounded(coroutine))


def test_results_progress_and_signals_of_the_engine_can_be_awaited(run: Callable[[Any], Any]) -> None:
    bar = QtWidgets.QProgressBar()
    bar.setMaximum(500)
    sender = Sender()
    button = QtWidgets.QPushButton()
    seen: list[object] = []
    all_seen = asyncio.Event()

    def work(report: Callable[[int], object]) -> str:
        for number in range(501):
            report(number)
        return "done"

    @async_slot
    async def clicked() -> None:
        seen.append(asyncio.get_running_loop())
        seen.append(await engine.submit(work, engine.reporter(bar.setValue)))
        all_seen.set()

    async def main() -> None:
        button.click()
        await all_seen.wait()
        assert seen == [asyncio.get_running_loop(), "done"]
        while bar.value() < 500:  # progress is painted with the next frame
            await emitted(bar.valueChanged)
        QtCore.QTimer.singleShot(0, lambda: sender.sent.emit(7))
        assert await emitted(sender.sent) == 7

    button.clicked.connect(clicked)
    with QtEngine(cpu=2, memory=1 << 20) as engine:
        run(main())


def test_a_slot_ends_with_its_widget_and_what_one_raises_is_told(
    run: Callable[[Any], Any], hooked: list[BaseException]
) -> None:
    class Widget(QtWidgets.QWidget):
        @async_slot
        async def wait(self) -> None:
            await asyncio.Event().wait()

        @async_slot
        async def fail(self) -> None:
            await asyncio.sleep(0)
            raise ValueError("no")

    async def main() -> None:
        widget = Widget()
        failing, waiting = widget.fail(), widget.wait()
        await asyncio.wait([failing])
        widget.deleteLater()
        QtCore.QCoreApplication.sendPostedEvents(widget, QtCore.QEvent.Type.DeferredDelete.value)
        await asyncio.wait([waiting])
        assert waiting.cancelled()

    run(main())
    assert [str(error) for error in hooked] == ["no"]


def test_work_that_is_pending_at_the_end_is_cancelled_and_cleans_up(run: Callable[[Any], Any]) -> None:
    cleaned: list[int] = []

    async def work(began: Callable[[int], object]) -> None:
        try:
            began(1)
            await asyncio.Event().wait()
        finally:
            cleaned.append(1)

    async def main() -> None:
        begun = asyncio.Event()
        engine.submit(work, engine.reporter(lambda _: begun.set()))
        await begun.wait()

    with QtEngine(cpu=2, memory=1 << 20) as engine:
        run(main())  # at its end the application quits
        assert cleaned == [1]
