"""The monitor window, a process of its own: how soon it is there, what it costs, and whether it goes on painting.

- start_s: from the start of its process until its first frame is painted, the median of five; interpreter included.
- pss_mib, idle_cpu: what it holds after that (what it shares counts in parts), and its part of a core while nothing
  happens.
- frame_ms: from one tick of a precise 16 ms timer to the next in its GUI thread, while two pipelines of another process
  keep all cores busy and it follows them.

``--seconds 10`` is how long the last two go on. There is no screen: Qt paints into memory.

Exits 1 if a figure is not what it must be.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import itertools

import psutil
from _common import judge

MOST = {"start_s": 1.0, "pss_mib": 90e6 / 2**20, "idle_cpu": 0.005}
MOST_BUSY = {"frame_ms.p99": 33.0}

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


def frames(home: Path, folder: Path, seconds: float) -> dict[str, object]:
    from tenire.gui.binding import QtCore, QtWidgets
    from tenire.gui.qt.frames import Frames
    from tenire.gui.window.feeding import FeedThread
    from tenire.gui.window.theme import DARK, apply
    from tenire.gui.window.window import MonitorWindow

    script = folder / "engine.py"
    script.write_text(ENGINE, encoding="utf-8")
    engine = subprocess.Popen([sys.executable, str(script), str(home), str(os.cpu_count() or 1)], cwd=folder)
    application = QtWidgets.QApplication([])
    apply(application, DARK)
    pace, views, ticks = Frames(), [0], []

    def on_view(view: object) -> None:
        views[0] += 1
        pace.put("view", window.show_view, view)

    feed = FeedThread(home, on_view)
    window = MonitorWindow(home, feed, DARK)
    window.show()
    feed.start()
    timer = QtCore.QTimer()
    timer.setTimerType(QtCore.Qt.TimerType.PreciseTimer)
    timer.timeout.connect(lambda: ticks.append(time.perf_counter()))

    def begin() -> None:
        views[0] = 0
        timer.start(16)
        QtCore.QTimer.singleShot(round(seconds * 1000), application.quit)

    QtCore.QTimer.singleShot(8000, begin)  # until the engine is up and at work
    try:
        application.exec()
    finally:
        feed.stop()
        pace.close()
        engine.kill()
        engine.wait()
    between = sorted((after - before) * 1e3 for before, after in itertools.pairwise(ticks))
    return {
        "frame_ms": {
            "p50": round(statistics.median(between), 1),
            "p99": round(between[int(len(between) * 0.99)], 1),
            "max": round(between[-1], 1),
        },
        "views_per_s": round(views[0] / seconds, 1),
    }


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=10.0)
    seconds = parser.parse_known_args()[0].seconds
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["TENIRE_STATE"] = str(folder / "state")
        within = judge("monitor", **cost(folder / "home", seconds), most=MOST)
        calm = judge("monitor_busy", **frames(folder / "home", folder, seconds), most=MOST_BUSY)
    return 0 if within and calm else 1


if __name__ == "__main__":
    raise SystemExit(main())
