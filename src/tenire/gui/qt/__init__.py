"""The engine in a Qt application: PySide6, or PyQt6 where that is what the application uses.

- ``QtEngine``: the engine, in a thread of its own; results and progress come to the GUI
  thread, once a frame.
- ``async_slot``: ``async def`` slots, which end with their widget.
- ``emitted``: await a signal.
- ``QtSignals``: the engine's events as Qt signals.
- ``PipelinesModel``, ``TasksModel``: what the engine does, for ``QTableView``.
- ``Frames``: any values, from any thread, at the pace at which a window paints.

Coroutines of slots run in the GUI thread, on the loop that runs there (qasync's, if the
application has one) or else on a small one of Qt's own; work runs on the engine. So a
window never waits for work, nor work for a window: a modal dialog stops nothing.

Names are loaded when they are first used: the monitor window needs a few of them, and no
engine.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tenire.gui.qt.awaiting import emitted
    from tenire.gui.qt.engine import QtEngine
    from tenire.gui.qt.frames import Frames, Reporter
    from tenire.gui.qt.models import PipelineRow, PipelinesModel, TaskRow, TasksModel
    from tenire.gui.qt.signals import QtSignals
    from tenire.gui.qt.slots import async_slot
    from tenire.gui.records import Column, RecordsModel

__all__ = [
    "Column",
    "Frames",
    "PipelineRow",
    "PipelinesModel",
    "QtEngine",
    "QtSignals",
    "RecordsModel",
    "Reporter",
    "TaskRow",
    "TasksModel",
    "async_slot",
    "emitted",
]

_HOMES = {
    "Column": "tenire.gui.records",
    "Frames": "tenire.gui.qt.frames",
    "PipelineRow": "tenire.gui.qt.models",
    "PipelinesModel": "tenire.gui.qt.models",
    "QtEngine": "tenire.gui.qt.engine",
    "QtSignals": "tenire.gui.qt.signals",
    "RecordsModel": "tenire.gui.records",
    "Reporter": "tenire.gui.qt.frames",
    "TaskRow": "tenire.gui.qt.models",
    "TasksModel": "tenire.gui.qt.models",
    "async_slot": "tenire.gui.qt.slots",
    "emitted": "tenire.gui.qt.awaiting",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value
