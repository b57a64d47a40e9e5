"""The window: pipelines above, and below them curves, tasks, limits, events and the quarantine."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, cast

from tenire.app.feed import LEVELS
from tenire.errors import TenireError
from tenire.gui.binding import QtCore, QtGui, QtWidgets, Signal
from tenire.gui.qt.slots import async_slot
from tenire.gui.window.asking import ask_for, question, show_text
from tenire.gui.window.buttons import button, menu_button
from tenire.gui.window.charts import Charts
from tenire.gui.window.header import Banner, Header
from tenire.gui.window.rows import (
    event_columns,
    limit_columns,
    limits,
    part_columns,
    parts,
    pipeline_columns,
    pipelines,
    quarantine_columns,
    task_columns,
    tasks,
)
from tenire.gui.window.started import StartedRun
from tenire.gui.window.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tenire.app.feed import View
    from tenire.app.published import PublishedPipeline
    from tenire.gui.window.feeding import FeedThread
    from tenire.gui.window.theme import Theme

__all__ = ["MonitorWindow"]

_SAID_MS = 12_000
_WEIGHTS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)


class MonitorWindow(QtWidgets.QMainWindow):
    """Shows the views of a feed, and calls its actions.

    Args:
        home: The home.
        feed: Where actions are called.
        theme: The colours.

    Attributes:
        visible_changed: Signal: whether the window can be seen now.
        placed: Signal: it was moved, or has another size.
    """

    visible_changed = Signal(bool)
    placed = Signal()

    def __init__(self, home: Path, feed: FeedThread, theme: Theme) -> None:
        super().__init__()
        self._home, self._feed = home, feed
        self.setWindowTitle(f"Tenire – {home}")
        self._header, self._banner, self._charts = Header(theme), Banner(), Charts(theme)
        self._banner.start.clicked.connect(self.start_run)
        self.tabs = below = QtWidgets.QTabWidget()
        self._make_tables(theme)
        self._make_actions()
        below.setDocumentMode(True)
        below.tabBar().setDrawBase(False)
        below.setAccessibleName("Details")
        entry_actions = (self._why_any, self._why_entry, self._retry, self._retry_all)
        for title, page in (
            ("&Curves", self._charts),
            ("&Tasks", self._with_buttons(self.tasks, self._why_any, self._why_task)),
            ("&Limits", self.limits),
            ("&Events", self.events),
            ("&Quarantine", self._with_buttons(self.quarantine, *entry_actions)),
            ("C&omponents", self.parts),
        ):
            below.addTab(page, title)
        above = QtWidgets.QWidget()
        column = QtWidgets.QVBoxLayout(above)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(self._buttons())
        column.addWidget(self.pipelines, 1)
        self.split = QtWidgets.QSplitter(QtCore.Qt.Orientation.Vertical)
        self.split.addWidget(above)
        self.split.addWidget(below)
        self.split.setChildrenCollapsible(False)
        self.split.setSizes([260, 340])
        middle = QtWidgets.QWidget()
        whole = QtWidgets.QVBoxLayout(middle)
        whole.setContentsMargins(14, 12, 14, 4)
        whole.setSpacing(10)
        whole.addWidget(self._header)
        whole.addWidget(self._banner)
        whole.addWidget(self.split, 1)
        self.setCentralWidget(middle)
        self.statusBar().setSizeGripEnabled(False)
        self.resize(1400, 820)
        self._enable()

    def _make_tables(self, theme: Theme) -> None:
        nothing = "Nothing here."
        self.pipelines = Table(
            "Pipelines", pipeline_columns(theme), theme, empty="No pipeline yet.",
            widths={1: 11, 2: 12, 3: 19, 4: 6, 5: 7, 6: 4, 7: 4, 8: 4, 9: 5, 10: 7, 11: 8, 12: 6, 13: 4},
        )  # fmt: skip
        self.tasks = Table(
            "Tasks", task_columns(theme), theme, empty="No task waits or runs.", widths={0: 7, 1: 16, 2: 9, 3: 28}
        )
        self.limits = Table("Limits", limit_columns(theme), theme, empty=nothing, widths={0: 18, 1: 18, 2: 26, 3: 24})
        self.events = Table("Events", event_columns(theme), theme, empty="Nothing has happened.", widths={0: 16, 1: 18})
        self.quarantine = Table(
            "Quarantine", quarantine_columns(theme), theme, empty="The quarantine is empty.",
            widths={0: 28, 1: 16, 2: 8, 3: 4, 4: 15}, many=True,
        )  # fmt: skip
        self.parts = Table("Components", part_columns(theme), theme, empty=nothing, widths={0: 24, 1: 12, 2: 7})
        self.pipelines.selectionModel().selectionChanged.connect(lambda *_: self._enable())
        self.quarantine.selectionModel().selectionChanged.connect(lambda *_: self._enable())
        self.tasks.selectionModel().selectionChanged.connect(lambda *_: self._enable())
        self.tasks.doubleClicked.connect(lambda *_: self._why_task.trigger())
        self.quarantine.doubleClicked.connect(lambda *_: self._why_entry.trigger())

    # -- actions ------------------------------------------------------------

    def _make_actions(self) -> None:
        self._pause = self._action("&Pause", "Ctrl+P", lambda: self._order(self._feed.actions.pause))
        self._resume = self._action("&Resume", "Ctrl+R", lambda: self._order(self._feed.actions.resume))
        self._cancel = self._action("&Cancel…", "Ctrl+Del", self.ask_cancel)
        self._end_all = self._action("&End the run…", "Ctrl+Shift+W", self.ask_end)
        self._why_task = self._action("&Why?", "Ctrl+Y", lambda: self._explain(self.tasks.selected()))
        self._why_entry = self._action("W&hy?", "", lambda: self._explain(self.quarantine.selected()))
        self._why_any = self._action("Why, by &id…", "Ctrl+Shift+Y", self.ask_why)
        self._retry = self._action("Try a&gain", "", lambda: self._retry_chosen(self.quarantine.selected()))
        self._retry_all = self._action("Try &all again", "", lambda: self._retry_chosen(None))
        self._close = self._action("Close the window; work goes on", "Ctrl+W", self.close)
        actions = self._feed.actions
        self._levels = [self._action(level, "", partial(self._set, actions.priority, level)) for level in LEVELS]
        self._weights = [
            self._action(f"{weight:g}", "", partial(self._set, actions.weight, weight)) for weight in _WEIGHTS
        ]
        self._weights.append(self._action("&Other…", "", self.ask_weight))
        for number in range(6):
            self._action("", f"Ctrl+{number + 1}", partial(self.tabs.setCurrentIndex, number))
        self.pipelines.setContextMenuPolicy(QtCore.Qt.ContextMenuPolicy.ActionsContextMenu)
        self.pipelines.addActions([self._pause, self._resume, self._cancel])

    def _action(self, text: str, keys: str, call: Callable[[], object]) -> QtGui.QAction:
        action = QtGui.QAction(text, self)
        if keys:
            action.setShortcut(QtGui.QKeySequence(keys))
            action.setToolTip(f"{text.replace('&', '').rstrip('…')} ({keys})")
        action.triggered.connect(lambda *_: call())
        self.addAction(action)
        return action

    def _buttons(self) -> QtWidgets.QHBoxLayout:
        row = QtWidgets.QHBoxLayout()
        title = QtWidgets.QLabel("Pipelines")
        font = title.font()
        font.setBold(True)
        title.setFont(font)
        row.addWidget(title)
        row.addStretch(1)
        for action in (self._pause, self._resume):
            row.addWidget(button(action))
        self._priority_button = menu_button("&Priority", self._levels)
        self._weight_button = menu_button("&Weight", self._weights)
        row.addWidget(self._priority_button)
        row.addWidget(self._weight_button)
        row.addWidget(button(self._cancel))
        row.addSpacing(16)
        row.addWidget(button(self._end_all))
        return row

    def _with_buttons(self, table: Table[Any], *actions: QtGui.QAction) -> QtWidgets.QWidget:
        page = QtWidgets.QWidget()
        column = QtWidgets.QVBoxLayout(page)
        column.setContentsMargins(0, 8, 0, 0)
        column.addWidget(table, 1)
        row = QtWidgets.QHBoxLayout()
        row.addStretch(1)
        for action in actions:
            row.addWidget(button(action))
        column.addLayout(row)
        table.setContextMenuPolicy(QtCore.Qt.ContextMenuPolicy.ActionsContextMenu)
        table.addActions(list(actions))
        return page

    def _chosen(self) -> list[str]:
        return cast("list[str]", self.pipelines.selected()[:1])

    def _enable(self) -> None:
        chosen = self._chosen()
        pipeline = self._view.pipelines.get(chosen[0]) if chosen and self._view is not None else None
        attached = self._view is not None and self._view.attached
        lives = pipeline is not None and attached
        state = pipeline.state if pipeline is not None else ""
        over = pipeline is not None and is_over(pipeline)
        self._pause.setEnabled(lives and not over and state != "paused")
        self._resume.setEnabled(lives and state == "paused")
        for thing in (self._cancel, self._priority_button, self._weight_button):
            thing.setEnabled(lives and not over)
        self._end_all.setEnabled(attached and bool(self._going_on()))
        self._why_task.setEnabled(bool(self.tasks.selected()))
        self._retry.setEnabled(bool(self.quarantine.selected()))
        self._why_entry.setEnabled(bool(self.quarantine.selected()))
        self._retry_all.setEnabled(self._view is not None and self._view.quarantined > 0)

    def ask_cancel(self) -> None:
        """Ask whether the selected pipeline is to be cancelled, and do it."""
        chosen = self._chosen()
        if not chosen:
            return
        box = question(self, f"Cancel {chosen[0]}?", "Everything that it has finished is kept; the others go on.")
        yes = box.addButton("Cancel the pipeline", QtWidgets.QMessageBox.ButtonRole.DestructiveRole)
        box.setDefaultButton(box.addButton("Let it go on", QtWidgets.QMessageBox.ButtonRole.RejectRole))
        yes.clicked.connect(lambda *_: self._act(self._feed.actions.cancel, chosen[0]))
        box.open()

    def ask_weight(self) -> None:
        """Ask for the weight of the selected pipeline, which may be any number above 0."""
        for name in self._chosen():
            pipeline = self._view.pipelines.get(name) if self._view is not None else None
            value = "" if pipeline is None else f"{pipeline.weight:g}"
            ask_for(self, f"Weight of {name}", "A number above 0:", partial(self._weigh, name), value=value)

    def _weigh(self, name: str, text: str) -> None:
        try:
            weight = float(text)
        except ValueError:
            self.say(f"a weight is a number above 0, got {text}")
        else:
            self._act(self._feed.actions.weight, name, weight)

    def _order(self, action: Callable[..., Any]) -> None:
        for name in self._chosen():
            self._act(action, name)

    def _set(self, action: Callable[..., Any], value: object) -> None:
        for name in self._chosen():
            self._act(action, name, value)

    @async_slot
    async def _act(self, action: Callable[..., Any], *arguments: Any) -> None:
        try:
            outcome = await self._feed.act(action, *arguments)
        except TenireError as error:
            self.say(f"{error}" + (f" – {error.hint}" if error.hint else ""))
        else:
            self.say(outcome.text)

    @async_slot
    async def _explain(self, keys: list[str]) -> None:
        if not keys:
            self.say("choose one in the table first")
            return
        try:
            answer = await self._feed.act(self._feed.actions.why, keys[0])
        except TenireError as error:
            self.say(str(error))
            return
        show_text(self, f"Why {answer.id}?", " ".join(answer.paragraph.split("\n")))

    def ask_why(self) -> None:
        """Ask for the id of any task, also one that is not shown, and tell why it is where it is."""
        what = "Id of a task, or of an entry of the quarantine:"
        ask_for(self, "Why?", what, lambda task: self._explain([task]))

    def _retry_chosen(self, keys: list[str] | None) -> None:
        self._act(self._feed.actions.retry, keys)

    def start_run(self) -> None:
        """Choose a configuration file, and run its pipelines in a process of their own."""
        dialog = QtWidgets.QFileDialog(self, "Which pipelines?", "", "Configuration (*.toml)")
        dialog.setAttribute(QtCore.Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.fileSelected.connect(self.run_file)
        dialog.open()

    def run_file(self, file: str) -> None:
        """Run the pipelines of a file on this home; they go on when the window is closed."""
        started = StartedRun(self._home, file, self)
        started.failed.connect(lambda said: show_text(self, "The run has failed", said))
        self.say(f"started: tenire run {file}")

    def ask_end(self) -> None:
        """Ask whether all that runs is to be ended, and whether the window is to be closed then; do it."""
        names = self._going_on()
        box = question(
            self,
            f"End the run? {_some(len(names))} would be cancelled.",
            "Everything that is finished is kept, and the next run goes on from there. "
            "To leave the run alone, just close the window.",
        )
        roles = QtWidgets.QMessageBox.ButtonRole
        end = box.addButton("End the run", roles.DestructiveRole)
        close = box.addButton("End the run and close the window", roles.DestructiveRole)
        box.setDefaultButton(box.addButton("Let it go on", roles.RejectRole))
        end.clicked.connect(lambda *_: self._end(names, False))
        close.clicked.connect(lambda *_: self._end(names, True))
        box.open()

    def _going_on(self) -> list[str]:
        pipelines = {} if self._view is None else self._view.pipelines
        return [name for name, each in pipelines.items() if not is_over(each)]

    @async_slot
    async def _end(self, names: list[str], closing: bool) -> None:
        try:
            outcome = await self._feed.act(self._feed.actions.end, names)
        except TenireError as error:
            self.say(str(error))
            return
        self.say(outcome.text)
        if closing:
            self.close()

    def say(self, text: str) -> None:
        """Show a sentence for a while."""
        self.statusBar().showMessage(text[:1].upper() + text[1:], _SAID_MS)

    # -- views --------------------------------------------------------------

    _view: View | None = None

    def show_view(self, view: View) -> None:
        """Show this."""
        self._view = view
        self._header.show_view(view)
        self._banner.show_view(view)
        self.pipelines.show_records(pipelines(view))
        self.pipelines.select_first()
        self._charts.show_samples(view.samples, live=view.attached)
        self.tasks.show_records(tasks(view))
        self.limits.show_records(limits(view))
        self.events.show_records({(event.number, event.at): event for event in reversed(view.events)})
        self.quarantine.show_records({entry.id: entry for entry in view.quarantine})
        self.parts.show_records(parts(view))
        title = f"&Quarantine ({view.quarantined:,})" if view.quarantined else "&Quarantine"
        if self.tabs.tabText(4) != title:
            self.tabs.setTabText(4, title)
        self._enable()

    # -- what Qt tells ------------------------------------------------------

    def moveEvent(self, event: QtGui.QMoveEvent) -> None:  # noqa: N802 - Qt's name
        """Tell that it was moved."""
        super().moveEvent(event)
        self.placed.emit()

    def resizeEvent(self, event: QtGui.QResizeEvent) -> None:  # noqa: N802 - Qt's name
        """Tell that it has another size."""
        super().resizeEvent(event)
        self.placed.emit()

    def showEvent(self, event: QtGui.QShowEvent) -> None:  # noqa: N802 - Qt's name
        """Tell that it can be seen."""
        super().showEvent(event)
        self.visible_changed.emit(True)

    def hideEvent(self, event: QtGui.QHideEvent) -> None:  # noqa: N802 - Qt's name
        """Tell that it cannot be seen any more, if it is minimised and not closed."""
        super().hideEvent(event)
        if self.isVisible():  # for Qt it stays so while it is minimised
            self.visible_changed.emit(False)


def is_over(pipeline: PublishedPipeline) -> bool:
    """Return whether a pipeline has ended."""
    return pipeline.state in ("done", "failed", "cancelled", "interrupted")


def _some(pipelines: int) -> str:
    return "1 pipeline" if pipelines == 1 else f"{pipelines} pipelines"
