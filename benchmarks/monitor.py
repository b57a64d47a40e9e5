"""The monitor window, a process of its own: how soon it is there, what it costs, and whether it goes on painting.

- start_s: from the start of its process until its first frame is painted, the median of five; interpreter included.
- pss_mib, idle_cpu: what it holds after that (what it shares counts in parts), and its part of a core while nothing
  happens.
- painted_ms: from the click that pauses or resumes a pipeline of another process until the table that shows it so has
  been painted: the way there, the engine's part, the way back and the frame.
- frame_ms: from one tick of a precise 16 ms timer to the next in its GUI thread, while two pipelines of another process
  keep all cores busy and it follows them.

``--seconds 10`` is how long each of these goes on. There is no screen: Qt paints into memory.

Exits 1 if a figure is not what it must be.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import itertools

import psutil
from _common import judge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tenire.app.feed import View
    from tenire.gui.window.feeding import FeedThread
    from tenire.gui.window.window import MonitorWindow

MOST = {"start_s": 1.0, "pss_mib": 90e6 / 2**20, "idle_cpu": 0.005}
MOST_PAINTED = {"painted_ms.p99": 50.0}
MOST_BUSY = {"frame_ms.p99": 33.0}
BETWEEN_MS = 113
"""Between two clicks: no multiple of a frame or of a look, so that they come at any time of them."""

CALM = """
import asyncio, sys
import tenire

@tenire.stage(batch=1)
async def wait(items):
    await asyncio.sleep(0.05)
    return items

if __name__ == "__main__":
    items = [{"id": n} for n in range(100_000)]
    tenire.run(tenire.Pipeline("calm", source=items, stages=[wait], sink="calm.jsonl"), home=sys.argv[1], cpu=2)
"""

ENGINE = """
import sys, time
import tenire

@tenire.stage(on="process", batch=1)
def burn(items):
    until = time.process_time() + 0.2
    while time.process_time() < until:
        sum(range(1000))
    return items

if __name__ == "__main__":
    tenire.run(
        *(tenire.Pipeline(name, source=[{"id": n} for n in range(100_000)], stages=[burn], sink=f"{name}.jsonl")
          for name in ("left", "right")),
        home=sys.argv[1], cpu=int(sys.argv[2]),
    )
"""


class Followed(NamedTuple):
    """A window, and what feeds it."""

    window: MonitorWindow
    feed: FeedThread


def start(home: Path) -> tuple[subprocess.Popen[str], float]:
    """Start a window; return it and the seconds until its first frame."""
    began = time.perf_counter()
    window = subprocess.Popen(
        [sys.executable, "-m", "tenire.gui.window", str(home), "--parent"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert window.stdout is not None
    while json.loads(window.stdout.readline())["state"] != "ready":
        pass
    return window, time.perf_counter() - began


def close(window: subprocess.Popen[str]) -> None:
    assert window.stdin is not None
    window.stdin.close()
    window.wait(30)


def cost(home: Path, seconds: float) -> dict[str, float]:
    took = []
    for _ in range(4):
        window, once = start(home)
        took.append(once)
        close(window)
    window, once = start(home)
    process = psutil.Process(window.pid)
    time.sleep(3.0)  # the fonts and the first views
    before = sum(process.cpu_times()[:2])
    time.sleep(seconds)
    used = (sum(process.cpu_times()[:2]) - before) / seconds
    memory = process.memory_full_info()
    close(window)
    held = getattr(memory, "pss", memory.rss)
    return {
        "start_s": round(statistics.median([*took, once]), 2),
        "pss_mib": round(held / 2**20, 1),
        "idle_cpu": round(used, 4),
    }


@contextlib.contextmanager
def followed(home: Path, folder: Path, program: str, on_shown: Callable[[View], object]) -> Iterator[Followed]:
    """Run a program that runs an engine, and a window in this process that follows it; tell each view once it shows."""
    from tenire.gui.qt.frames import Frames
    from tenire.gui.window.feeding import FeedThread
    from tenire.gui.window.theme import DARK
    from tenire.gui.window.window import MonitorWindow

    script = folder / "engine.py"
    script.write_text(program, encoding="utf-8")
    engine = subprocess.Popen([sys.executable, str(script), str(home), str(os.cpu_count() or 1)], cwd=folder)
    pace = Frames()

    def show(view: View) -> None:
        window.show_view(view)
        on_shown(view)

    feed = FeedThread(home, lambda view: pace.put("view", show, view))
    window = MonitorWindow(home, feed, DARK)
    window.show()
    feed.start()
    try:
        yield Followed(window, feed)
    finally:
        feed.stop()
        pace.close()
        window.hide()
        engine.kill()
        engine.wait()


def painted(application: Any, home: Path, folder: Path, seconds: float) -> dict[str, object]:
    from tenire.gui.binding import QtCore

    clicked: list[float] = []  # when, while it is not painted
    shown, took = [False], list[float]()
    states: list[str] = ["running"]
    up: list[Callable[[], None]] = []  # what to begin with once the engine is up

    def on_shown(view: View) -> None:
        pipeline = view.pipelines.get("calm")
        if up and pipeline is not None and pipeline.totals["done"]:
            up.pop()()  # it is at work: now
        shown[0] = pipeline is not None and pipeline.totals["state"] == states[-1]

    class Paints(QtCore.QObject):
        def eventFilter(self, _: object, event: Any) -> bool:  # noqa: N802 - Qt's name
            if event.type() == QtCore.QEvent.Type.Paint and clicked and shown[0]:
                QtCore.QTimer.singleShot(0, now_painted)  # after it
            return False

    def now_painted() -> None:
        if clicked:
            took.append((time.perf_counter() - clicked.pop()) * 1e3)

    with followed(home, folder, CALM, on_shown) as (window, feed):

        def click() -> None:
            if clicked:
                return  # not painted yet: it counts for as long as it takes
            states.append("paused" if states[-1] == "running" else "running")
            shown[0] = False
            clicked.append(time.perf_counter())
            feed.act(feed.actions.pause if states[-1] == "paused" else feed.actions.resume, "calm")

        paints, timer = Paints(), QtCore.QTimer()
        window.pipelines.viewport().installEventFilter(paints)
        timer.setTimerType(QtCore.Qt.TimerType.PreciseTimer)
        timer.timeout.connect(click)

        def begin() -> None:
            timer.start(BETWEEN_MS)
            QtCore.QTimer.singleShot(round(seconds * 1000), application.quit)

        up.append(begin)
        application.exec()
        timer.stop()
        window.pipelines.viewport().removeEventFilter(paints)
    took += [(time.perf_counter() - at) * 1e3 for at in clicked]
    return {"painted_ms": spread_of(took), "clicks": len(took)}


def spread_of(values: list[float]) -> dict[str, float]:
    ordered = sorted(values)
    return {
        "p50": round(statistics.median(ordered), 1),
        "p99": round(ordered[int(len(ordered) * 0.99)], 1),
        "max": round(ordered[-1], 1),
    }


def frames(application: Any, home: Path, folder: Path, seconds: float) -> dict[str, object]:
    from tenire.gui.binding import QtCore

    views, ticks = [0], list[float]()

    def on_shown(_: View) -> None:
        views[0] += 1

    with followed(home, folder, ENGINE, on_shown):
        timer = QtCore.QTimer()
        timer.setTimerType(QtCore.Qt.TimerType.PreciseTimer)
        timer.timeout.connect(lambda: ticks.append(time.perf_counter()))

        def begin() -> None:
            views[0] = 0
            timer.start(16)
            QtCore.QTimer.singleShot(round(seconds * 1000), application.quit)

        QtCore.QTimer.singleShot(8000, begin)  # until the engine is up and at work
        application.exec()
    between = [(after - before) * 1e3 for before, after in itertools.pairwise(ticks)]
    return {"frame_ms": spread_of(between), "views_per_s": round(views[0] / seconds, 1)}


def qt() -> Any:
    from tenire.gui.binding import QtWidgets
    from tenire.gui.window.theme import DARK, apply

    application = QtWidgets.QApplication([])
    apply(application, DARK)
    return application


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=10.0)
    seconds = parser.parse_known_args()[0].seconds
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["TENIRE_STATE"] = str(folder / "state")
        light = judge("monitor", **cost(folder / "home", seconds), most=MOST)
        application = qt()
        quick = judge(
            "monitor_painted", **painted(application, folder / "calm", folder, 2 * seconds), most=MOST_PAINTED
        )
        smooth = judge("monitor_busy", **frames(application, folder / "home", folder, seconds), most=MOST_BUSY)
    return 0 if light and quick and smooth else 1


if __name__ == "__main__":
    raise SystemExit(main())
