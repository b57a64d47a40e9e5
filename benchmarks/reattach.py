"""What a kill -9 of window or engine costs the other one.

- window_killed: a window process follows an engine and is killed. Items that the engine works through in a second
  before and after, the longest time without one, and how many of all are lost or came out twice in the end.
- engine_killed: the engine is killed and started again, ``--kills`` times. gone_s: from the kill until the window says
  so; answers_s: from the start of the new engine's process until its socket takes a connection, which the window has
  no part in; reattached_s: from then, and shown_s: from the start of the process, until the window shows that engine's
  rows. The window is one of this process, so that what it shows can be read.

There is no screen: Qt paints into memory. Engines start from compiled bytecode, as installed ones do; the first start,
which nobody times, makes it.

Exits 1 if an item is lost or comes out twice, if the engine works slower by a fifth once its window is gone, or if
the window takes longer to attach again than it must.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from _common import judge, spread

ENGINE = """
import sys, threading, time
import tenire

@tenire.stage(on="thread", batch=1)
def wait(items):
    threading.Event().wait(0.02)
    with open("worked.txt", "a") as worked:
        worked.write(f"{time.perf_counter()}\\n")
    return items

if __name__ == "__main__":
    tenire.run(
        tenire.Pipeline("slow", source=[{"id": n} for n in range(int(sys.argv[2]))], stages=[wait], sink="out.jsonl"),
        home=sys.argv[1],
    )
"""
WINDOW_KILLED = {"most": {"engine_status": 0, "lost": 0, "twice": 0}, "least": {"of_before": 0.8}}
ENGINE_KILLED = {"most": {"reattached_s.max": 1.0}}

_LOOK_S = 0.002
_AROUND_S = 2.0


def engine(folder: Path, items: int) -> subprocess.Popen[bytes]:
    script = folder / "engine.py"
    script.write_text(ENGINE, encoding="utf-8")
    return subprocess.Popen(
        [sys.executable, str(script), str(folder / "home"), str(items)], cwd=folder,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def window_killed(folder: Path, items: int) -> dict[str, object]:
    worked, out = folder / "worked.txt", folder / "out.jsonl"
    running = engine(folder, items)
    window = subprocess.Popen(
        [sys.executable, "-m", "tenire.gui.window", str(folder / "home"), "--parent"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert window.stdout is not None
    while json.loads(window.stdout.readline())["state"] != "ready":
        pass
    while not worked.exists():
        time.sleep(_LOOK_S)
    time.sleep(_AROUND_S + 1.0)
    killed = time.perf_counter()
    window.kill()
    window.wait()
    status = running.wait(120)
    ids = [json.loads(line)["id"] for line in out.read_text(encoding="utf-8").splitlines()]
    times = sorted(float(line) for line in worked.read_text(encoding="utf-8").splitlines())
    before = [at for at in times if killed - _AROUND_S <= at < killed]
    after = [at for at in times if killed <= at < killed + _AROUND_S]
    return {
        "items_per_s": {"before": round(len(before) / _AROUND_S, 1), "after": round(len(after) / _AROUND_S, 1)},
        "of_before": round(len(after) / len(before), 3) if before else float("nan"),
        "longest_gap_ms": {
            name: round(max(late - early for early, late in itertools.pairwise(part)) * 1e3, 1)
            for name, part in (("before", before), ("after", [*before[-1:], *after]))
        },
        "engine_status": status,
        "lost": items - len(set(ids)),
        "twice": len(ids) - len(set(ids)),
    }


def answering(path: Path, pid: int, found: list[float]) -> None:
    """Note when the engine of this process takes a connection: the socket of the one before it is still there."""
    while not found:
        try:
            with socket.socket(socket.AF_UNIX) as way:
                way.connect(str(path))
                if peer(way) == pid:
                    found.append(time.perf_counter())
        except OSError:
            pass
        time.sleep(_LOOK_S)


def peer(way: socket.socket) -> int:
    return int.from_bytes(way.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)[:4], sys.byteorder)


def engine_killed(folder: Path, kills: int) -> dict[str, object]:
    from tenire.gui.binding import QtCore, QtWidgets
    from tenire.gui.qt.frames import Frames
    from tenire.gui.window.feeding import FeedThread
    from tenire.gui.window.theme import DARK, apply
    from tenire.gui.window.window import MonitorWindow

    home = folder / "home"
    application = QtWidgets.QApplication([])
    apply(application, DARK)
    pace = Frames()
    shown: list[tuple[float, object]] = []

    def show(view: object) -> None:
        window.show_view(view)  # type: ignore[arg-type]
        window.repaint()
        shown.append((time.perf_counter(), view))

    def until(condition: object) -> float:
        while True:
            if shown and condition(shown[-1][1]):  # type: ignore[operator]
                return shown[-1][0]
            timer = QtCore.QTimer()
            timer.setSingleShot(True)
            timer.start(100)
            application.processEvents(QtCore.QEventLoop.ProcessEventsFlag.WaitForMoreEvents)

    feed = FeedThread(home, lambda view: pace.put("view", show, view))
    window = MonitorWindow(home, feed, DARK)
    window.show()
    feed.start()
    gone, answers, reattached, whole = [], [], [], []
    running = engine(folder, 1_000_000)
    try:
        until(lambda view: view.attached and "slow" in view.pipelines)
        for _ in range(kills):
            until(lambda view: view.attached and view.engine is not None)
            killed = time.perf_counter()
            running.kill()
            gone.append(until(lambda view: view.link == "gone") - killed)
            running.wait()
            began = time.perf_counter()
            running = engine(folder, 1_000_000)
            pid, found = running.pid, []
            looking = threading.Thread(target=answering, args=(home / "control.sock", pid, found), daemon=True)
            looking.start()
            at = until(
                lambda view, pid=pid: view.attached and view.engine is not None and view.engine.pid == pid
                and "slow" in view.pipelines
            )  # fmt: skip
            looking.join(10)
            answers.append(found[0] - began)
            reattached.append(at - found[0])
            whole.append(at - began)
    finally:
        feed.stop()
        pace.close()
        running.kill()
        running.wait()
    return {
        "kills": kills,
        "gone_s": spread(gone),
        "answers_s": spread(answers),
        "reattached_s": spread(reattached),
        "shown_s": spread(whole),
    }


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--items", type=int, default=3_000)
    options = parser.parse_known_args()[0]
    within = []
    for name, measure, count, must in (
        ("reattach_window_killed", window_killed, options.items, WINDOW_KILLED),
        ("reattach_engine_killed", engine_killed, options.kills, ENGINE_KILLED),
    ):
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            os.environ["TENIRE_STATE"] = str(folder / "state")
            os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
            os.environ["PYTHONPYCACHEPREFIX"] = str(folder / "bytecode")
            within.append(judge(name, **measure(folder, count), **must))
    return 0 if all(within) else 1


if __name__ == "__main__":
    raise SystemExit(main())
