from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest

from tenire.errors import ConfigError
from tenire.gui.binding import BINDING, QtCore, QtWidgets, Signal
from tenire.gui.qt import async_slot, emitted
from tenire.gui.qt.loop import gui_loop
from tenire.testing import cancel_sweep

if TYPE_CHECKING:
    from .conftest import Until


class Sender(QtCore.QObject):
    nothing = Signal()
    one = Signal(int)
    two = Signal(int, str)


class Widget(QtWidgets.QWidget):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[object] = []
        self.go_on = asyncio.Event()

    @async_slot
    async def take_none(self) -> None:
        self.seen.append(())

    @async_slot
    async def take_one(self, number: int) -> None:
        self.seen.append(number)

    @async_slot
    async def wait(self) -> None:
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.seen.append("cancelled")
            raise

    @async_slot
    async def touch_at_the_end(self) -> None:
        try:
            await self.go_on.wait()
        finally:
            self.setEnabled(True)

    @async_slot(again="ignore")
    async def once(self) -> None:
        self.seen.append("began")
        await self.go_on.wait()

    @async_slot(again="restart")
    async def latest(self, number: int) -> None:
        await self.go_on.wait()
        self.seen.append(number)

    @async_slot
    async def fail(self) -> None:
        await asyncio.sleep(0)
        raise ValueError("no")


def delete(thing: QtCore.QObject) -> None:
    thing.deleteLater()
    QtCore.QCoreApplication.sendPostedEvents(thing, QtCore.QEvent.Type.DeferredDelete.value)


def test_a_slot_gets_as_many_arguments_as_it_takes(until: Until) -> None:
    sender, widget = Sender(), Widget()
    free: list[object] = []

    @async_slot
    async def none_at_all() -> None:
        free.append("called")

    @async_slot
    async def all_of_them(*values: object) -> None:
        free.append(values)

    sender.nothing.connect(widget.take_none)
    sender.one.connect(widget.take_none)
    sender.two.connect(widget.take_one)
    sender.two.connect(none_at_all)
    sender.two.connect(all_of_them)
    sender.nothing.emit()
    sender.one.emit(1)
    sender.two.emit(2, "x")
    until(lambda: len(widget.seen) == 3 and len(free) == 2)
    assert widget.seen == [(), (), 2]
    assert free == ["called", (2, "x")]


def test_a_slot_can_be_called_and_awaited(until: Until) -> None:
    @async_slot
    async def inner(number: int) -> int:
        return number + 1

    @async_slot
    async def outer() -> int:
        return await inner(1) + 1

    task = outer()
    until(task.done)
    assert task.result() == 3


def test_a_slot_ends_with_its_widget(until: Until) -> None:
    widget = Widget()
    seen = widget.seen
    task = widget.wait()
    QtCore.QCoreApplication.processEvents()
    delete(widget)
    until(task.done)
    assert task.cancelled()
    assert seen == ["cancelled"]


def test_touching_a_widget_that_is_gone_while_cleaning_up_is_no_error(
    until: Until, hooked: list[BaseException]
) -> None:
    widget = Widget()
    task = widget.touch_at_the_end()
    QtCore.QCoreApplication.processEvents()
    delete(widget)
    until(task.done)
    assert isinstance(task.exception(), RuntimeError)
    assert hooked == []


def test_what_a_slot_raises_is_told(until: Until, hooked: list[BaseException]) -> None:
    widget = Widget()
    widget.fail()
    until(lambda: hooked)
    assert [str(error) for error in hooked] == ["no"]


def test_what_a_slot_raises_is_told_once_or_not_at_all_where_somebody_awaits_it(
    until: Until, hooked: list[BaseException]
) -> None:
    widget = Widget()
    ended: list[str] = []

    @async_slot
    async def hand_on() -> None:
        await widget.fail()

    @async_slot
    async def mend() -> None:
        try:
            await widget.fail()
        except ValueError:
            ended.append("mended")

    hand_on()
    until(lambda: hooked)
    mend()
    until(lambda: ended)
    for _ in range(5):  # turns in which it would be told
        QtCore.QCoreApplication.processEvents()
    assert [str(error) for error in hooked] == ["no"]


def test_a_slot_takes_keywords_where_it_is_called(until: Until) -> None:
    widget = Widget()
    widget.take_one(number=5)
    until(lambda: widget.seen)
    assert widget.seen == [5]


def test_a_slot_starts_in_no_other_thread_also_where_a_loop_runs_there() -> None:
    widget = Widget()
    found: list[str] = []

    async def call() -> None:
        try:
            widget.take_none()
        except RuntimeError as error:
            found.append(str(error))

    thread = threading.Thread(target=lambda: asyncio.run(call()), name="of an engine")
    thread.start()
    thread.join()
    assert "in the thread 'of an engine', which is not the GUI thread; from there emit a signal" in found[0]
    assert widget.seen == []


def test_a_signal_that_comes_again_starts_another_one_unless_the_slot_says_otherwise(until: Until) -> None:
    widget = Widget()
    first, second = widget.once(), widget.once()
    assert first is second
    tasks = [widget.latest(1), widget.latest(2), widget.latest(3)]
    QtCore.QCoreApplication.processEvents()
    widget.go_on.set()
    until(lambda: first.done() and all(task.done() for task in tasks))
    assert widget.seen == ["began", 3]
    assert [task.cancelled() for task in tasks] == [True, True, False]


def test_a_slot_of_one_widget_does_not_count_for_another() -> None:
    one, other = Widget(), Widget()
    assert one.once() is not other.once()


def test_only_a_coroutine_function_can_be_an_async_slot() -> None:
    with pytest.raises(ConfigError, match="async def"):
        async_slot(lambda: None)  # type: ignore[arg-type, return-value]
    with pytest.raises(ConfigError, match="run, ignore, restart, got 'queue'"):
        async_slot(again="queue")  # type: ignore[call-overload]


def test_a_signal_can_be_awaited(until: Until) -> None:
    sender = Sender()
    seen: list[object] = []

    async def wait() -> None:
        seen.append(await emitted(sender.nothing))
        seen.append(await emitted(sender.one))
        seen.append(await emitted(sender.two, sender=sender))

    task = gui_loop().create_task(wait())
    QtCore.QCoreApplication.processEvents()
    sender.nothing.emit()
    until(lambda: len(seen) == 1)
    QtCore.QCoreApplication.processEvents()
    sender.one.emit(5)
    sender.one.emit(6)
    until(lambda: len(seen) == 2)
    QtCore.QCoreApplication.processEvents()
    sender.two.emit(7, "x")
    until(task.done)
    assert seen == [None, 5, (7, "x")]


def test_who_waits_for_a_signal_of_something_that_goes_is_told(until: Until) -> None:
    sender = Sender()

    async def wait() -> None:
        await emitted(sender.nothing, sender=sender)

    task = gui_loop().create_task(wait())
    QtCore.QCoreApplication.processEvents()
    delete(sender)
    until(task.done)
    assert "destroyed" in str(task.exception())


def test_a_signal_is_let_go_when_nobody_waits_for_it_any_more(until: Until) -> None:
    sender = Sender()

    async def wait() -> None:
        async with asyncio.timeout(0.001):
            await emitted(sender.nothing)

    task = gui_loop().create_task(wait())
    until(task.done)
    assert isinstance(task.exception(), TimeoutError)
    nothing = QtCore.SIGNAL("nothing()") if BINDING == "PySide6" else sender.nothing
    assert sender.receivers(nothing) == 0


def test_a_signal_that_is_awaited_on_any_loop() -> None:
    sender = Sender()

    async def scenario() -> None:
        asyncio.get_running_loop().call_later(0.001, sender.nothing.emit)
        await emitted(sender.nothing)

    def check() -> None:
        nothing = QtCore.SIGNAL("nothing()") if BINDING == "PySide6" else sender.nothing
        assert sender.receivers(nothing) == 0

    assert cancel_sweep(scenario, check=check, loop_factory=asyncio.new_event_loop).runs >= 2
