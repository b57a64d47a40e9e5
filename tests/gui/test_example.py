from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tenire.gui.binding import QtCore, QtWidgets
from tenire.gui.qt import QtEngine

if TYPE_CHECKING:
    from collections.abc import Callable

    from .conftest import Until

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "qt_two_pipelines.py"


@pytest.fixture
def example() -> Any:
    pytest.importorskip("PySide6.QtWidgets", reason="the example is for PySide6")
    spec = importlib.util.spec_from_file_location("qt_two_pipelines", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def folder(tmp_path: Path) -> str:
    for number in range(20):
        (tmp_path / f"{number}.txt").write_text(f"pipelines {number % 5} interpreter pipelines", encoding="utf-8")
    return str(tmp_path)


def test_both_pipelines_run_and_show_what_came_out(example: Any, folder: str, until: Until) -> None:
    with QtEngine(cpu=2) as engine:
        window = example.Window(engine, folder)
        window.show()
        for job in window.jobs:
            job.begin.click()
        until(lambda: all(job.outcome.text() not in ("not started", "running") for job in window.jobs))
        assert [job.outcome.text() for job in window.jobs] == ["pipelines, interpreter", "15 copies"]
        until(lambda: all(job.bar.value() == 20 for job in window.jobs))
        table = window.findChild(QtWidgets.QTableView).model()
        until(lambda: {table.key(row) for row in range(table.rowCount())} >= {"words", "copies"})
        window.deleteLater()


def test_one_that_is_cancelled_says_so(example: Any, folder: str, until: Until) -> None:
    def for_ever(_files: list[Path], report: Callable[[int], object]) -> str:
        report(1)
        example.tenire.cancel_token().wait()
        return "never"

    with QtEngine(cpu=2) as engine:
        job = example.Job(engine, "slow", for_ever, folder)
        job.begin.click()
        until(job.cancel.isEnabled)
        job.cancel.click()
        until(lambda: job.outcome.text() != "running")
        assert job.outcome.text() == "cancelled"
        job.deleteLater()


def test_closing_the_window_ends_the_program_with_work_pending(
    example: Any, folder: str, monkeypatch: pytest.MonkeyPatch, hooked: list[BaseException]
) -> None:
    class Window(example.Window):  # type: ignore[misc, name-defined]
        def showEvent(self, event: object) -> None:  # noqa: N802 - Qt's name
            super().showEvent(event)
            for job in self.jobs:
                job.begin.click()
            QtCore.QTimer.singleShot(0, self.close)

    monkeypatch.setattr(example, "Window", Window)
    assert example.main(folder) == 0
    assert hooked == []
