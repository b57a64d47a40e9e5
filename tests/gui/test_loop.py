from __future__ import annotations

import asyncio
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from tenire.gui.binding import QtCore, QtWidgets
from tenire.gui.qt import async_slot
from tenire.gui.qt.loop import GuiLoop, gui_loop, open_gui_loop

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from .conftest import Until


def test_coroutines_run_in_the_gui_thread_side_by_side(until: Until) -> None:
    seen: list[tuple[str, bool]] = []
    arrived = asyncio.Event()

    async def first() -> None:
        await arrived.wait()
        seen.append(("first", threading.current_thread() is threading.main_thread()))

    async def second() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(0.002))
            group.create_task(asyncio.sleep(0.001))
        seen.append(("second", threading.current_thread() is threading.main_thread()))
        arrived.set()

    loop = gui_loop()
    tasks = [loop.create_task(first()), loop.create_task(second())]
    until(lambda: all(task.done() for task in tasks))
    assert seen == [("second", True), ("first", True)]
    assert gui_loop() is loop


def test_a_timeout_ends_what_takes_too_long(until: Until) -> None:
    async def wait() -> str:
        try:
            async with asyncio.timeout(0.002):
                await asyncio.Event().wait()
        except TimeoutError:
            return "in time"
        return "never"

    task = gui_loop().create_task(wait())
    until(task.done)
    assert task.result() == "in time"


def test_another_thread_can_call_into_it(until: Until) -> None:
    loop = gui_loop()
    seen: list[bool] = []
    thread = threading.Thread(
        target=lambda: loop.call_soon_threadsafe(
            lambda: seen.append(threading.current_thread() is threading.main_thread())
        )
    )
    thread.start()
    thread.join()
    assert seen == []
    until(lambda: seen)
    assert seen == [True]


def test_a_modal_dialog_within_a_coroutine_stops_no_other_one(application: QtWidgets.QApplication) -> None:
    dialog = QtWidgets.QDialog()
    dialog.setAttribute(QtCore.Qt.WidgetAttribute.WA_QuitOnClose, False)
    asked = asyncio.Event()
    seen: list[str] = []

    async def ask() -> None:
        seen.append("asked")
        asked.set()
        dialog.exec()
        seen.append("answered")
        await asyncio.sleep(0)
        seen.append("went on")

    async def work() -> None:
        await asked.wait()
        for step in range(3):
            await asyncio.sleep(0.001)
            seen.append(f"step {step}")
        dialog.accept()

    async def both() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(ask())
            group.create_task(work())
        application.quit()

    # After an application has quit, a dialog opens only within another `exec`.
    task = gui_loop().create_task(both())
    application.exec()
    task.result()
    assert seen == ["asked", "step 0", "step 1", "step 2", "answered", "went on"]


def test_closing_cancels_what_runs_and_lets_it_clean_up() -> None:
    loop = gui_loop()
    seen: list[str] = []

    async def run() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.001)
            seen.append("cleaned up")

    task = loop.create_task(run())
    loop.call_soon(lambda: seen.append("began"))
    QtCore.QCoreApplication.processEvents()
    assert isinstance(loop, GuiLoop)
    loop.close()
    assert seen == ["began", "cleaned up"]
    assert task.cancelled()
    assert open_gui_loop() is None
    with pytest.raises(RuntimeError, match="has quit"):
        loop.call_soon(print)


def test_closing_from_within_a_coroutine_waits_for_its_turn_to_end(until: Until) -> None:
    loop = gui_loop()
    seen: list[object] = []

    async def quit_() -> None:
        assert isinstance(loop, GuiLoop)
        loop.close()
        seen.append(loop.is_closed())
        await asyncio.sleep(3600)

    task = loop.create_task(quit_())
    until(loop.is_closed)
    assert seen == [False]
    assert task.cancelled()


def test_what_would_hold_up_the_window_is_refused_with_the_way_that_does_not(until: Until) -> None:
    async def wrong() -> None:
        with pytest.raises(RuntimeError, match=r"await engine\.submit"):
            await asyncio.to_thread(print)
        with pytest.raises(RuntimeError, match=r"cannot create connection.*await engine\.submit"):
            await asyncio.open_connection("127.0.0.1", 1)

    task = gui_loop().create_task(wrong())
    until(task.done)
    task.result()


def test_another_thread_has_no_such_loop() -> None:
    found: list[BaseException] = []

    def look() -> None:
        try:
            gui_loop()
        except RuntimeError as error:
            found.append(error)

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert "not the GUI thread" in str(found[0])


def test_the_loop_that_runs_here_already_is_taken() -> None:
    async def look() -> bool:
        return gui_loop() is asyncio.get_running_loop()

    assert asyncio.run(look())


def test_an_error_that_nobody_awaits_is_told(until: Until, hooked: list[BaseException]) -> None:
    gui_loop().call_soon(lambda: 1 / 0)
    until(lambda: hooked)
    assert isinstance(hooked[0], ZeroDivisionError)


def test_closing_cancels_once_also_when_it_comes_again_meanwhile(until: Until, hooked: list[BaseException]) -> None:
    loop = gui_loop()
    assert isinstance(loop, GuiLoop)
    seen: list[str] = []

    async def run() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            loop.close()
            await asyncio.sleep(0.001)
            seen.append("cleaned up")

    task = loop.create_task(run())
    QtCore.QCoreApplication.processEvents()
    loop.close()
    assert seen == ["cleaned up"]
    assert task.cancelling() == 1


def test_what_a_slot_raises_while_the_application_quits_is_told(hooked: list[BaseException]) -> None:
    @async_slot
    async def run() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise ValueError("no")

    loop = gui_loop()
    assert isinstance(loop, GuiLoop)
    run()
    QtCore.QCoreApplication.processEvents()
    loop.close()
    assert [str(error) for error in hooked] == ["no"]


def test_an_async_generator_that_is_left_or_still_there_cleans_up(until: Until) -> None:
    seen: list[str] = []

    async def count(name: str) -> AsyncIterator[int]:
        try:
            for number in range(3):
                yield number
        finally:
            await asyncio.sleep(0)
            seen.append(name)

    kept = count("kept")

    async def leave() -> None:
        assert await anext(kept) == 0
        async for _ in count("left"):
            break

    loop = gui_loop()
    assert isinstance(loop, GuiLoop)
    loop.create_task(leave())
    until(lambda: seen)
    loop.close()
    assert seen == ["left", "kept"]
    assert sys.get_asyncgen_hooks() == (None, None)
