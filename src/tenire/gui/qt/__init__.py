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
"""

from __future__ import annotations

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
