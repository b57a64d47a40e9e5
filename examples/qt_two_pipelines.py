"""Two pipelines beside a window: progress, results, cancel; the window never waits for them.

Run: ``pip install "tenire[gui]"``, then ``python examples/qt_two_pipelines.py [FOLDER]``.
"""

from __future__ import annotations

import asyncio
import collections
import hashlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtWidgets import (
    QApplication,
    QGridLayout,
    QLabel,
    QMessageBox,
    QProgressBar,
    QPushButton,
    QTableView,
    QVBoxLayout,
    QWidget,
)

import tenire
from tenire.gui.qt import QtEngine, async_slot

if TYPE_CHECKING:
    from collections.abc import Callable

    from PySide6.QtGui import QCloseEvent


def list_files(folder: str) -> list[Path]:
    """Return the files below a folder."""
    return sorted(path for path in Path(folder).rglob("*") if path.is_file() and not path.is_symlink())


def count_words(files: list[Path], report: Callable[[int], object]) -> str:
    """Return the commonest long words of some files."""
    words: collections.Counter[str] = collections.Counter()
    for number, file in enumerate(files, 1):
        words.update(word.lower() for word in file.read_text("utf-8", "replace").split() if len(word) > 6)
        report(number)
        tenire.cancel_token().check()
    return ", ".join(word for word, _ in words.most_common(3)) or "no words"


def find_copies(files: list[Path], report: Callable[[int], object]) -> str:
    """Return how many of some files are copies of others."""
    seen: set[bytes] = set()
    for number, file in enumerate(files, 1):
        seen.add(hashlib.sha256(file.read_bytes()).digest())
        report(number)
        tenire.cancel_token().check()
    return f"{len(files) - len(seen)} copies"


class Job(QWidget):
    """One pipeline: a bar, what came out, and two buttons."""

    def __init__(self, engine: QtEngine, name: str, work: Callable[..., str], folder: str) -> None:
        super().__init__()
        self.engine, self.name, self.work, self.folder = engine, name, work, folder
        self.bar = QProgressBar()
        self.bar.setAccessibleName(f"Progress of {name}")
        self.outcome = QLabel("not started")
        self.begin, self.cancel = QPushButton("&Start"), QPushButton("&Cancel")
        self.cancel.setEnabled(False)
        grid = QGridLayout(self)
        grid.addWidget(QLabel(f"<b>{name}</b>"), 0, 0)
        grid.addWidget(self.bar, 0, 1)
        grid.addWidget(self.begin, 0, 2)
        grid.addWidget(self.cancel, 0, 3)
        grid.addWidget(self.outcome, 1, 1, 1, 3)
        self.handle: tenire.Handle[str] | None = None
        self.begin.clicked.connect(self.run)
        self.cancel.clicked.connect(self.give_up)

    @async_slot(again="ignore")
    async def run(self) -> None:
        """List the files, work through them on the engine, and show what came out."""
        self.begin.setEnabled(False)
        self.outcome.setText("running")
        try:
            files = await self.engine.submit(list_files, self.folder, pipeline=self.name)
            self.bar.setRange(0, max(1, len(files)))
            self.handle = self.engine.submit(
                self.work, files, self.engine.reporter(self.bar.setValue), pipeline=self.name
            )
            self.cancel.setEnabled(True)
            self.outcome.setText(await self.handle)
        except asyncio.CancelledError:
            self.outcome.setText("cancelled")
            raise
        finally:
            self.cancel.setEnabled(False)
            self.begin.setEnabled(True)

    def give_up(self) -> None:
        """Cancel what runs."""
        if self.handle is not None:
            self.handle.cancel()


class Window(QWidget):
    """Two jobs, and what the engine does with them."""

    def __init__(self, engine: QtEngine, folder: str) -> None:
        super().__init__()
        self.setWindowTitle("Two pipelines")
        self.jobs = [Job(engine, "words", count_words, folder), Job(engine, "copies", find_copies, folder)]
        table = QTableView()
        table.setAccessibleName("Pipelines")
        table.setModel(engine.pipelines_model(table))
        table.setColumnHidden(7, True)
        about = QPushButton("&About")
        about.clicked.connect(lambda: QMessageBox.about(self, "Two pipelines", "While this is open, work goes on."))
        column = QVBoxLayout(self)
        for job in self.jobs:
            column.addWidget(job)
        column.addWidget(table)
        column.addWidget(about)
        self.resize(820, 420)

    def closeEvent(self, event: QCloseEvent) -> None:  # noqa: N802 - Qt's name
        """Quit: what runs is cancelled, and cleans up."""
        QApplication.quit()
        event.accept()


def main(folder: str) -> int:
    """Show the window until it is closed."""
    application = QApplication.instance() or QApplication(sys.argv)
    with QtEngine(cpu=2) as engine:
        window = Window(engine, folder)
        window.show()
        return int(application.exec())


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1] if len(sys.argv) > 1 else "."))
