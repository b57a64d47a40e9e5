"""Whether a window beside a busy engine goes on painting: the engine in a thread of an application with Qt.

- frame_ms: from one tick of a precise 16 ms timer in the GUI thread to the next, while the engine is
  given 20,000 tasks a second and the window 1,000 updates a second, on 25 widgets.
- tasks_per_s, headless: the tasks that end in a second with the window and without one; of_headless is their ratio.
- painted_ms: from an event of the engine, 100 a second, to the end of the ``paintEvent`` that shows its value.
- emissions: 200,000 events to a slot that sets a text; seconds, and what the process grew by.

``--seconds 10`` is how long each part goes on. There is no screen: Qt paints into memory.

Exits 1 if a figure is not what it must be.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import time
from dataclasses import dataclass

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import itertools

import psutil
from _common import judge

from tenire import ConcurrencyManager
from tenire.gui.binding import QtCore, QtGui, QtWidgets
from tenire.gui.qt import QtEngine

TASKS_PER_S, UPDATES_PER_S, EVENTS_PER_S = 20_000, 1_000, 100
EMISSIONS = 200_000
MOST = {"frame_ms.p99": 25.0, "painted_ms.p99": 50.0}
LEAST = {"of_headless": 0.95}
MOST_GROWN_MIB = 16.0
"""Some 80 bytes for each event: one object that stays for each would be more."""


@dataclass(frozen=True)
class Stamped:
    """An event that knows when it was emitted."""

    at: float


class Painted(QtWidgets.QLabel):
    """Notes how long it took until each value was painted."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[float] = []
        self.took: list[float] = []

    def take(self, event: Stamped) -> None:
        """Show one."""
        self.waiting.append(event.at)
        self.setText(f"{event.at:.6f}")

    def paintEvent(self, event: QtGui.QPaintEvent) -> None:  # noqa: N802 - Qt's name
        """Paint, and see what is on the screen now."""
        super().paintEvent(event)
        now = time.perf_counter()
        self.took += [now - at for at in self.waiting]
        self.waiting.clear()


def part(values: list[float], of: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * of))] if ordered else float("nan")


async def nothing() -> None:
    """Be a task."""


async def pour(manager: ConcurrencyManager, seconds: float) -> float:
    """Give the engine so many tasks a second, in slices of 5 ms; return how many of them ended in a second."""
    began, given, ended = time.perf_counter(), 0, [0]

    def count(_: object) -> None:
        ended[0] += 1

    while (passed := time.perf_counter() - began) < seconds:
        for _ in range(max(0, int(passed * TASKS_PER_S) - given)):
            manager.submit(nothing).add_done_callback(count)
            given += 1
        await asyncio.sleep(0.005)
    return ended[0] / (time.perf_counter() - began)


async def tell(manager: ConcurrencyManager, reporters: list[object], seconds: float) -> None:
    """Report progress and emit events at their rates."""
    began, told, emitted = time.perf_counter(), 0, 0
    while (passed := time.perf_counter() - began) < seconds:
        for _ in range(max(0, int(passed * UPDATES_PER_S) - told)):
            reporters[told % len(reporters)](told % 1000)  # type: ignore[operator]
            told += 1
        if int(passed * EVENTS_PER_S) > emitted:
            emitted += 1
            manager.signals.post(Stamped(time.perf_counter()))
        await asyncio.sleep(0.001)


def frames(application: QtWidgets.QApplication, seconds: float) -> dict[str, object]:
    window = QtWidgets.QWidget()
    grid = QtWidgets.QGridLayout(window)
    bars = [QtWidgets.QProgressBar() for _ in range(25)]
    for number, bar in enumerate(bars):
        bar.setMaximum(1000)
        grid.addWidget(bar, number // 5, number % 5)
    painted = Painted()
    grid.addWidget(painted, 5, 0, 1, 5)
    window.show()
    ticks: list[float] = []
    timer = QtCore.QTimer()
    timer.setTimerType(QtCore.Qt.TimerType.PreciseTimer)
    timer.timeout.connect(lambda: ticks.append(time.perf_counter()))
    rates: list[float] = []
    with QtEngine(cpu=2) as engine:
        engine.signals.of(Stamped).connect(painted.take)
        reporters: list[object] = [engine.reporter(bar.setValue) for bar in bars]

        def poured(rate: float) -> None:
            rates.append(rate)
            application.quit()

        engine.submit(tell, engine.manager, reporters, seconds)
        engine.submit(pour, engine.manager, seconds, on_result=poured)
        timer.start(16)
        application.exec()
    timer.stop()
    between = [(after - before) * 1e3 for before, after in itertools.pairwise(ticks)][10:]
    window.deleteLater()
    return {
        "frame_ms": {
            "p50": round(part(between, 0.5), 1),
            "p99": round(part(between, 0.99), 1),
            "max": round(max(between), 1),
        },
        "painted_ms": {
            "p50": round(part(painted.took, 0.5) * 1e3, 1),
            "p99": round(part(painted.took, 0.99) * 1e3, 1),
            "events": len(painted.took),
        },
        "tasks_per_s": round(rates[0]),
    }


def headless(seconds: float) -> float:
    with ConcurrencyManager.in_thread(cpu=2) as manager:
        return manager.submit(pour, manager, seconds).result()


def emissions(application: QtWidgets.QApplication) -> dict[str, object]:
    label = QtWidgets.QLabel()
    seen = [0]
    memory = psutil.Process().memory_info().rss

    def take(event: Stamped) -> None:
        seen[0] += 1
        label.setText(str(event.at))
        if seen[0] == EMISSIONS:
            application.quit()

    began = time.perf_counter()
    with QtEngine(cpu=2) as engine:
        engine.signals.of(Stamped, policy="block").connect(take)

        def emit() -> None:
            for number in range(EMISSIONS):
                engine.manager.signals.emit(Stamped(number))

        engine.submit(emit)
        application.exec()
    return {
        "emissions": seen[0],
        "seconds": round(time.perf_counter() - began, 1),
        "grown_mib": round((psutil.Process().memory_info().rss - memory) / 2**20, 1),
    }


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=10.0)
    seconds = parser.parse_known_args()[0].seconds
    application = QtWidgets.QApplication([])
    alone = headless(seconds)
    found = frames(application, seconds)
    ratio = round(found["tasks_per_s"] / alone, 3)  # type: ignore[operator]
    within = judge("qt_frames", **found, headless=round(alone), of_headless=ratio, most=MOST, least=LEAST)
    emitted = emissions(application)
    whole = judge("qt_emissions", **emitted, most={"grown_mib": MOST_GROWN_MIB}, least={"emissions": EMISSIONS})
    return 0 if within and whole else 1


if __name__ == "__main__":
    raise SystemExit(main())
