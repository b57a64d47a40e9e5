"""The process of the window: ``python -m tenire.gui.window HOME [--theme …] [--screenshot FILE --exit-after S]``.

Its parent started it, and hears on its stdout, a line of JSON each, what becomes of it:
``ready`` (the first frame is painted), ``hidden``, ``shown``, ``closed``. It ends when
its stdin does, so it never outlives its parent. Ctrl-C is the parent's.
"""

from __future__ import annotations

import argparse
import json
import linecache
import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from tenire.clock import SYSTEM_CLOCK
from tenire.gui.binding import QtCore, QtWidgets
from tenire.gui.qt.frames import Frames
from tenire.gui.qt.loop import open_gui_loop
from tenire.gui.qt.switch_interval import calm, hurry
from tenire.gui.qt.waker import Waker
from tenire.gui.window.feeding import FeedThread
from tenire.gui.window.kept import Keeper, keep, restore
from tenire.gui.window.theme import THEMES, apply, wanted
from tenire.gui.window.window import MonitorWindow

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]


def main(words: Sequence[str]) -> int:
    """Show the window until it is closed."""
    _forget_sources()
    options = _options(words)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    application = QtWidgets.QApplication(["tenire"])
    application.setApplicationName("Tenire")
    theme = wanted(options.theme)
    apply(application, theme)
    frames = Frames()
    began = SYSTEM_CLOCK.now()

    def on_view(view: object) -> None:
        frames.put("view", window.show_view, view)

    feed = FeedThread(options.home, on_view)
    window = MonitorWindow(options.home, feed, theme)
    window.tabs.setCurrentIndex(options.tab)
    if options.screenshot is None:
        restore(window, options.home)
        Keeper(window, options.home)
    window.show()
    hurry()
    feed.start()

    def ready() -> None:
        _forget_sources()
        tell("ready", seconds=round(SYSTEM_CLOCK.now() - began, 3))
        # Not before: one that is about to be shown for the first time is not there yet.
        window.visible_changed.connect(lambda visible: tell("shown" if visible else "hidden"))

    # What the first turn of the event loop paints is the first frame.
    QtCore.QTimer.singleShot(0, ready)
    leave = Waker(application.quit)
    if options.parent:
        threading.Thread(target=_wait_for_the_end_of_stdin, args=(leave,), name="tenire parent", daemon=True).start()
    if options.exit_after is not None:
        QtCore.QTimer.singleShot(round(options.exit_after * 1000), application.quit)
    code = application.exec()
    if options.screenshot is not None:
        frames.flush()
        if not window.grab().save(str(options.screenshot)):
            tell("failed", error=f"the picture cannot be written: {options.screenshot}")
            code = 1
    else:
        keep(window, options.home)
    loop = open_gui_loop()
    if loop is not None:
        loop.close()
    feed.stop()
    frames.close()
    calm()
    tell("closed")
    return int(code)


def _forget_sources() -> None:
    """Give back 6 MB: PySide6 reads the source of every module that is imported after it, which Python then keeps."""
    linecache.clearcache()


def tell(state: str, **facts: object) -> None:
    """Tell the parent; if there is none any more, nobody hears it."""
    try:
        print(json.dumps({"state": state, **facts}), flush=True)  # noqa: T201 - this is the way to the parent
    except OSError:
        sys.stdout = None


def _wait_for_the_end_of_stdin(leave: Waker) -> None:
    # Not by sys.stdin: a thread that holds its lock for ever would end the interpreter by force.
    while os.read(0, 1024):
        pass
    leave.wake()


def _options(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tenire.gui.window")
    parser.add_argument("home", type=Path)
    parser.add_argument("--theme", choices=THEMES, default="auto")
    parser.add_argument("--tab", type=int, default=0)
    parser.add_argument("--screenshot", type=Path)
    parser.add_argument("--exit-after", type=float)
    parser.add_argument("--parent", action="store_true")
    return parser.parse_args(words)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
