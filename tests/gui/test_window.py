from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from tenire.app.feed import Happened, Outcome, Quarantined, Rate, Sample, View
from tenire.app.published import (
    Published,
    PublishedComponent,
    PublishedMetric,
    PublishedPipeline,
    PublishedQuota,
    PublishedResource,
    PublishedTask,
)
from tenire.app.why import Answer
from tenire.errors import ChannelError, RejectedError
from tenire.gui.binding import QtCore, QtGui, QtWidgets
from tenire.gui.window import kept
from tenire.gui.window.charts import Chart, nice_top
from tenire.gui.window.feeding import FeedThread
from tenire.gui.window.kept import keep, restore
from tenire.gui.window.rows import _STATES, headline
from tenire.gui.window.started import StartedRun
from tenire.gui.window.texts import clock_time, count, load_level, money, per_second, percent, size, span
from tenire.gui.window.theme import DARK, LIGHT, Theme, apply
from tenire.gui.window.window import MonitorWindow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from .conftest import Until


class Recorder:
    """Stands for a feed: notes what is asked, on the loop that runs here."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.error: Exception | None = None
        self.actions = self

    def __getattr__(self, name: str) -> Callable[..., Any]:
        async def act(*arguments: Any) -> object:
            self.asked.append((name, *arguments))
            if self.error is not None:
                raise self.error
            return Answer("t1", "letters", "waiting", "no", f"{name} was asked", {}) if name == "why" else Outcome(name)

        return act

    def act(self, action: Callable[..., Any], *arguments: Any) -> Any:
        return action(*arguments)


def view(**changes: Any) -> View:
    letters = PublishedPipeline(
        totals={"state": "running", "quarantined": 3, "calls": 1200, "cost_usd": 0.5},
        running=3,
        queued=40,
        tasks=[PublishedTask("t1", "running", "letters: answer", "it runs on the loop", "none")],
        priority="normal",
        weight=2.0,
        unit="row",
        finished=41,
        expected=100,
        reached=41,
        total=100,
        listed=True,
        breaker="closed",
    )
    paused = PublishedPipeline(totals={"state": "paused"}, running=0, queued=0, tasks=[], priority="low")
    engine = Published(
        pid=77,
        at=1_000.0,
        level="high",
        load=0.63,
        running=3,
        queued=40,
        pipelines={},
        reason="other programs use 78% of the processor",
        components={"channel": PublishedComponent("healthy", 0)},
        quotas={"main": PublishedQuota({"tokens": PublishedMetric(199_000, 200_000)}, 3, 64, 12, 1, pause=5)},
        resources={"cpu": PublishedResource(1, 3), "memory": PublishedResource(1 << 20, 1 << 30)},
        resident=512 << 20,
    )
    facts: dict[str, Any] = {
        "number": 1,
        "home": "home",
        "link": "attached",
        "since": 1_000.0,
        "engine": engine,
        "pipelines": {"letters": letters, "notes": paused},
        "rates": {"letters": Rate(12.0, 12.5, 65.0)},
        "events": (Happened(1, 1_000.0, "pipeline", "letters", "letters began"),),
        "quarantine": (Quarantined("q1", "letters", "/a/b/rows.jsonl#7", "answer", "no answer", 3, 1_000.0, False),),
        "quarantined": 1,
        "documents": 1234,
        "samples": tuple(Sample(900.0 + at, 0.5, 3, 40, 0.9, 512 << 20, 12.5) for at in range(100)),
    }
    return View(**facts | changes)


@pytest.fixture
def feed() -> Recorder:
    return Recorder()


@pytest.fixture
def window(application: QtWidgets.QApplication, feed: Recorder, tmp_path: Path) -> Iterator[MonitorWindow]:
    apply(application, DARK)
    made = MonitorWindow(tmp_path, feed, DARK)  # type: ignore[arg-type]
    made.setAttribute(QtCore.Qt.WidgetAttribute.WA_QuitOnClose, False)
    made.show()
    yield made
    made.deleteLater()


def row(table: QtWidgets.QTableView, number: int) -> list[str]:
    model = table.model()
    return [str(model.data(model.index(number, column))) for column in range(model.columnCount())]


def test_pipelines_are_shown_as_people_read_them(window: MonitorWindow) -> None:
    window.show_view(view())
    assert row(window.pipelines, 0) == [
        "letters", "running", "41 %", "41 of 100 rows", "12.5/s", "65 s", "3", "40", "3", "1,200", "$0.5000", "answers",
        "normal", "2",
    ]  # fmt: skip
    assert row(window.tasks, 0) == ["t1", "letters", "running", "answer", "it runs on the loop"]
    assert row(window.limits, 2)[:2] == ["main", "calls under way"]
    assert row(window.limits, 3) == ["main", "tokens a minute", "99 %", "199,000 of 200,000", ""]
    assert "takes calls again in 5 s" in row(window.limits, 2)[4]
    assert row(window.quarantine, 0)[0] == "b/rows.jsonl#7"
    assert row(window.events, 0)[1:] == ["letters", "letters began"]
    assert row(window.parts, 0)[:2] == ["channel", "healthy"]
    assert window.tabs.tabText(4) == "&Quarantine (1)"


def test_what_a_run_that_was_killed_has_done_is_not_called_nothing(window: MonitorWindow) -> None:
    def ended(state: str, finished: int) -> PublishedPipeline:
        return PublishedPipeline({"state": state}, 0, 0, [], finished=finished, expected=finished)

    lines = {"killed": ended("interrupted", 0), "left": ended("interrupted", 1), "empty": ended("done", 0)}
    window.show_view(view(pipelines=lines))
    assert [row(window.pipelines, number)[3] for number in range(3)] == ["–", "1 file", "0 files"]


def test_of_a_pipeline_that_moves_only_what_moved_is_painted(window: MonitorWindow) -> None:
    window.show_view(view())
    told: list[tuple[int, int, int]] = []
    window.pipelines.model().dataChanged.connect(
        lambda first, last, _roles: told.append((first.row(), first.column(), last.column()))
    )
    letters = view().pipelines["letters"]
    window.show_view(view(number=2, pipelines=view().pipelines | {"letters": replace(letters, finished=42)}))
    assert told == [(0, 3, 3)], "how much is done"


def test_every_state_fits_its_column(window: MonitorWindow) -> None:
    lines = {state: PublishedPipeline({"state": state}, 0, 0, []) for state in _STATES}
    window.show_view(view(pipelines=lines))
    table = window.pipelines
    for number in range(len(lines)):
        assert table.sizeHintForIndex(table.model().index(number, 1)).width() <= table.columnWidth(1)


@pytest.mark.parametrize(
    ("finished", "expected", "told"),
    [
        (9_998, 9_999, "9,998 of 9,999 rows"), (11_712, 20_000, "11,712 of 20,000"),
        (1_234_567, 2_000_000, "1,234,567 of 2,000,000"), (2_000_000, 2_000_000, "2,000,000 rows"),
    ],
)  # fmt: skip
def test_however_much_there_is_to_do_it_fits_its_column(
    window: MonitorWindow, finished: int, expected: int, told: str
) -> None:
    line = PublishedPipeline({"state": "running"}, 0, 0, [], unit="row", finished=finished, expected=expected)
    window.show_view(view(pipelines={"letters": line}))
    table = window.pipelines
    index = table.model().index(0, 3)
    assert index.data() == told
    assert " rows" in index.data(QtCore.Qt.ItemDataRole.ToolTipRole)
    assert table.sizeHintForIndex(index).width() <= table.columnWidth(3)


def test_what_is_longest_fits_its_column(window: MonitorWindow) -> None:
    rates = {"letters": Rate(1.0, 1.0, 47.9 * 3600)}
    window.show_view(view(rates=rates))  # of 1970, so that times have their dates
    for table, column in ((window.pipelines, 5), (window.quarantine, 4), (window.events, 0)):
        index = table.model().index(0, column)
        assert table.sizeHintForIndex(index).width() <= table.columnWidth(column), table.accessibleName()


def test_no_name_looks_like_another_one(window: MonitorWindow) -> None:
    evil = "/a/b/invoice\u202excod.exe"
    entry = Quarantined("q1", "letters", evil, "read", "it is \u2066none", 1, 1_000.0, False)
    event = Happened(1, 1_000.0, "pipeline", "letters", f"{evil} is\nbad", "bad")
    window.show_view(view(quarantine=(entry,), events=(event,), home="/home/\u202eme"))
    assert row(window.quarantine, 0)[0] == "b/invoice\\u202excod.exe"
    assert row(window.quarantine, 0)[5] == "it is \\u2066none"
    assert row(window.events, 0)[2] == "/a/b/invoice\\u202excod.exe is\\nbad"
    assert any(label.text() == "/home/\\u202eme" for label in window.findChildren(QtWidgets.QLabel))


def test_what_is_selected_stays_while_views_come(window: MonitorWindow) -> None:
    window.show_view(view())
    assert window.pipelines.selected() == ["letters"]
    window.pipelines.selectRow(1)
    both = view().pipelines
    window.show_view(view(number=2, pipelines={"notes": both["notes"], "new": both["letters"]}))
    assert window.pipelines.selected() == ["notes"]


def buttons(window: MonitorWindow) -> dict[str, QtWidgets.QToolButton]:
    return {button.accessibleName(): button for button in window.findChildren(QtWidgets.QToolButton)}


def test_only_what_can_be_done_is_offered_and_it_is_done(window: MonitorWindow, feed: Recorder, until: Until) -> None:
    window.show_view(view())
    found = buttons(window)
    assert found["Pause"].isEnabled()
    assert not found["Resume"].isEnabled()
    found["Pause"].click()
    until(lambda: feed.asked)
    window.pipelines.selectRow(1)
    assert not found["Pause"].isEnabled()
    found["Resume"].click()
    found["Priority"].menu().actions()[0].trigger()
    found["Weight"].menu().actions()[-2].trigger()
    until(lambda: len(feed.asked) == 4)
    assert feed.asked == [
        ("pause", "letters"), ("resume", "notes"), ("priority", "notes", "critical"), ("weight", "notes", 8.0),
    ]  # fmt: skip
    until(lambda: window.statusBar().currentMessage() == "Weight")


def test_a_weight_may_be_any_number(window: MonitorWindow, feed: Recorder, until: Until) -> None:
    window.show_view(view())
    window.pipelines.selectRow(0)
    for text in ("0.3", "much"):
        buttons(window)["Weight"].menu().actions()[-1].trigger()
        dialog = window.findChildren(QtWidgets.QInputDialog)[-1]
        assert dialog.textValue() == "2"
        dialog.setTextValue(text)
        dialog.accept()
    until(lambda: feed.asked)
    assert feed.asked == [("weight", "letters", 0.3)]


def test_cancelling_asks_first(window: MonitorWindow, feed: Recorder, until: Until) -> None:
    window.show_view(view())
    buttons(window)["Cancel"].click()
    (box,) = window.findChildren(QtWidgets.QMessageBox)
    assert feed.asked == []
    next(button for button in box.buttons() if button.text() == "Cancel the pipeline").click()
    until(lambda: feed.asked)
    assert feed.asked == [("cancel", "letters")]


@pytest.mark.parametrize("closing", [False, True])
def test_a_run_is_ended_only_when_that_was_asked_for(
    window: MonitorWindow, feed: Recorder, until: Until, closing: bool
) -> None:
    window.show_view(view())
    window.close()
    assert feed.asked == [], "closing the window stops nothing"
    window.show()
    buttons(window)["End the run"].click()
    (box,) = window.findChildren(QtWidgets.QMessageBox)
    assert "2 pipelines" in box.text()
    wanted = "End the run and close the window" if closing else "End the run"
    next(button for button in box.buttons() if button.text() == wanted).click()
    until(lambda: window.statusBar().currentMessage() == "End")
    assert feed.asked == [("end", ["letters", "notes"])]
    assert window.isVisible() is not closing
    window.show_view(view(number=2, link="gone", note="no engine is running on home", rates={}))
    assert not buttons(window)["End the run"].isEnabled()


def test_a_window_does_not_close_when_the_run_could_not_be_ended(
    window: MonitorWindow, feed: Recorder, until: Until
) -> None:
    window.show_view(view())
    feed.error = ChannelError("the engine does not answer")
    window.ask_end()
    (box,) = window.findChildren(QtWidgets.QMessageBox)
    next(button for button in box.buttons() if "close" in button.text()).click()
    until(lambda: "does not answer" in window.statusBar().currentMessage())
    assert window.isVisible()


def test_a_run_that_the_window_starts_is_there_and_outlives_it(
    window: MonitorWindow, tmp_path: Path, until: Until
) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text("A lantern stands at the harbour.", encoding="utf-8")
    file = tmp_path / "tenire.toml"
    file.write_text('[pipelines.docs]\nsource = ["docs"]\nembedder = "static"\n', encoding="utf-8")
    codes: list[int] = []
    window.run_file(str(file))
    (started,) = window.findChildren(StartedRun)
    started.ended.connect(codes.append)
    until(lambda: codes)
    assert codes == [0]
    assert window.findChildren(QtWidgets.QMessageBox) == []
    assert (tmp_path / "ledger.db").exists(), "it ran on the window's home"


def test_a_run_that_cannot_begin_says_why(window: MonitorWindow, tmp_path: Path, until: Until) -> None:
    file = tmp_path / "tenire.toml"
    file.write_text('[pipelines.docs]\nsuorce = ["docs"]\n', encoding="utf-8")
    window.run_file(str(file))
    until(lambda: window.findChildren(QtWidgets.QMessageBox))
    (box,) = window.findChildren(QtWidgets.QMessageBox)
    assert box.windowTitle() == "The run has failed"
    assert "suorce" in box.text()
    assert "source" in box.text()


def test_entries_of_the_quarantine_are_tried_again_and_explained(
    window: MonitorWindow, feed: Recorder, until: Until
) -> None:
    window.show_view(view())
    assert not window._why_task.isEnabled(), "no task is chosen"
    window.tasks.selectRow(0)
    assert window._why_task.isEnabled()
    window.tabs.setCurrentIndex(4)
    window.quarantine.selectRow(0)
    page = window.tabs.widget(4)
    found = {button.accessibleName(): button for button in page.findChildren(QtWidgets.QToolButton)}
    found["Try again"].click()
    found["Try all again"].click()
    found["Why?"].click()
    until(lambda: len(feed.asked) == 3)
    assert feed.asked == [("retry", ["q1"]), ("retry", None), ("why", "q1")]
    until(lambda: window.findChildren(QtWidgets.QMessageBox))
    assert window.findChildren(QtWidgets.QMessageBox)[0].text() == "why was asked"


def test_any_task_can_be_asked_about_by_its_id_shown_or_not(
    window: MonitorWindow, feed: Recorder, until: Until
) -> None:
    window.show_view(view())
    for tab in (1, 4):
        window.tabs.setCurrentIndex(tab)
        found = window.tabs.widget(tab).findChildren(QtWidgets.QToolButton)
        next(each for each in found if each.accessibleName() == "Why, by id").click()
    dialogs = window.findChildren(QtWidgets.QInputDialog)
    for dialog, text in zip(dialogs, (" t4711 ", " "), strict=True):
        dialog.setTextValue(text)
        dialog.accept()
    until(lambda: window.findChildren(QtWidgets.QMessageBox))
    assert feed.asked == [("why", "t4711")]
    assert window.findChildren(QtWidgets.QMessageBox)[0].text() == "why was asked"


def test_what_cannot_be_done_is_said_with_the_reason(window: MonitorWindow, feed: Recorder, until: Until) -> None:
    window.show_view(view())
    feed.error = RejectedError("pipeline letters is over", hint="the next run starts it again")
    buttons(window)["Pause"].click()
    until(lambda: "over" in window.statusBar().currentMessage())
    assert window.statusBar().currentMessage() == "Pipeline letters is over – the next run starts it again"


def test_an_engine_that_is_gone_is_said_and_nothing_of_it_can_be_steered(window: MonitorWindow) -> None:
    window.show_view(view())
    banner = next(each for each in window.findChildren(QtWidgets.QFrame) if each.property("role") == "banner")
    assert not banner.isVisible()
    window.show_view(view(number=2, link="gone", note="no engine is running on home", rates={}))
    assert banner.isVisible()
    assert "no engine is running on home" in banner.accessibleName()
    assert not buttons(window)["Pause"].isEnabled()
    assert window.tasks.model().rowCount() == 0
    assert window.pipelines.model().rowCount() == 2
    assert banner.accessibleName().startswith("Since ")
    unknown = PublishedPipeline({"state": "interrupted"}, 0, 0, [])
    window.show_view(view(number=3, link="gone", note="no engine is there", engine=None, pipelines={"old": unknown}))
    assert banner.accessibleName().startswith("No engine is there"), "since when is not known"
    assert row(window.pipelines, 0)[-2:] == ["–", "–"], "nor what its share was"


def test_everything_that_can_be_used_has_a_name_and_can_be_reached_by_keys(window: MonitorWindow) -> None:
    window.show_view(view())
    for kind in (QtWidgets.QTableView, QtWidgets.QToolButton, QtWidgets.QTabWidget):
        for widget in window.findChildren(kind):
            if widget.isVisible():
                assert widget.accessibleName(), widget
    for button in window.findChildren(QtWidgets.QToolButton):
        if button.accessibleName():
            assert button.focusPolicy() & QtCore.Qt.FocusPolicy.TabFocus
    QtGui.QAction.trigger(next(each for each in window.actions() if each.shortcut().toString() == "Ctrl+3"))
    assert window.tabs.currentIndex() == 2


def test_what_asks_first_says_so(window: MonitorWindow) -> None:
    found = buttons(window)
    for name in ("Cancel", "End the run", "Why, by id"):
        assert found[name].text() == f"{name}…"
    assert found["Pause"].text() == "Pause"


def test_no_letter_with_alt_means_two_things(window: MonitorWindow) -> None:
    for shown in (view(), view(number=2, link="gone", note="no engine is there")):
        window.show_view(shown)
        texts = [window.tabs.tabText(number) for number in range(window.tabs.count())]
        texts += [each.text() for each in window.findChildren(QtWidgets.QAbstractButton) if each.isVisible()]
        keys = [key for text in texts if (key := QtGui.QKeySequence.mnemonic(text).toString())]
        assert len(keys) > window.tabs.count(), "buttons have letters too"
        assert sorted(keys) == sorted(set(keys))


def test_a_figure_that_is_not_known_is_told_by_its_name_too(window: MonitorWindow) -> None:
    window.show_view(view(link="gone", note="no engine is there", engine=None, pipelines={}))
    figures = [each for each in window.findChildren(QtWidgets.QFrame) if each.property("role") == "card"]
    names = {each.accessibleName() for each in figures}
    assert len(names) == len(figures)
    assert {"memory: –", "documents: 1,234"} <= names


def test_how_a_window_looked_is_kept(window: MonitorWindow, feed: Recorder, tmp_path: Path) -> None:
    window.tabs.setCurrentIndex(3)
    window.resize(780, 640)
    tables = ("tasks", "limits", "events", "quarantine", "parts")
    wide = [getattr(window, name).columnWidth(0) + 40 for name in tables]
    for name, width in zip(tables, wide, strict=True):
        getattr(window, name).setColumnWidth(0, width)
    keep(window, tmp_path)
    other = MonitorWindow(tmp_path, feed, DARK)  # type: ignore[arg-type]
    restore(other, tmp_path)
    assert other.tabs.currentIndex() == 3
    assert other.height() == window.height() == 640
    assert [getattr(other, name).columnWidth(0) for name in tables] == wide
    other.deleteLater()


def test_columns_that_an_earlier_version_kept_narrow_are_not_restored(
    window: MonitorWindow, feed: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wide = window.pipelines.columnWidth(3)
    window.pipelines.setColumnWidth(3, wide - 20)  # as it was before long counts fit
    with monkeypatch.context() as patch:
        patch.setattr(kept, "_VERSION", "1")
        keep(window, tmp_path)
    other = MonitorWindow(tmp_path, feed, DARK)  # type: ignore[arg-type]
    restore(other, tmp_path)
    assert other.pipelines.columnWidth(3) == wide
    keep(window, tmp_path)
    restore(other, tmp_path)
    assert other.pipelines.columnWidth(3) == wide - 20, "of this version it is"
    other.deleteLater()


def test_time_goes_on_in_a_chart_also_where_nothing_is_known(application: QtWidgets.QApplication) -> None:
    chart = Chart("Load", lambda sample: sample.load, load_level, LIGHT, top=1.0)
    painted: list[None] = []
    chart.update = lambda: painted.append(None)  # type: ignore[method-assign, assignment]
    known = [Sample(900.0 + at, 0.5, 0, 0, 0.0, 1, 0.0) for at in range(100)]
    unknown = [Sample(1_000.0 + at, None, 0, 0, 0.0, 1, 0.0) for at in range(250)]
    for samples in (known, [*known, *unknown], [*known, *unknown]):
        chart.show_samples(samples)
    assert len(painted) == 2, "what is the same is not painted again"
    assert [stretch[0][0] for stretch in chart._stretches()] == [949.0], "what is older than five minutes has left"
    chart.show_samples([*known, *unknown], live=False)
    assert len(painted) == 3, "it does not end now any more"
    chart.deleteLater()


@pytest.mark.parametrize("theme", [DARK, LIGHT], ids=["dark", "light"])
def test_texts_stand_out_from_what_they_stand_on(theme: Theme) -> None:
    for ground in (theme.window, theme.base, theme.stripe):
        for ink in (theme.text, theme.muted, theme.accent, theme.good, theme.warning, theme.bad):
            assert contrast(ink, ground) >= 4.5, (ink, ground)
    assert contrast(theme.text, theme.chosen) >= 4.5


def contrast(one: str, other: str) -> float:
    lights = sorted(luminance(QtGui.QColor(colour)) for colour in (one, other))
    return (lights[1] + 0.05) / (lights[0] + 0.05)


def luminance(colour: QtGui.QColor) -> float:
    parts = [
        value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
        for value in (colour.redF(), colour.greenF(), colour.blueF())
    ]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


def test_numbers_are_short_and_true() -> None:
    assert [percent(part) for part in (None, 0.0, 0.419, 0.9999, 1.0)] == ["–", "0 %", "41 %", "99 %", "100 %"]
    assert [size(number) for number in (0, 999, 1536, 150_000_000, 3e12)] == [
        "0 B", "999 B", "1.5 kB", "150 MB", "3.0 TB",
    ]  # fmt: skip
    assert [span(seconds) for seconds in (None, 42, 200, 7_500, 300_000)] == ["–", "42 s", "3 min", "2.1 h", "3 d"]
    assert [money(usd) for usd in (0, 0.0017, 12.5)] == ["–", "$0.0017", "$12.50"]
    assert [per_second(number) for number in (0, 0.25, 1200)] == ["–", "0.2/s", "1,200/s"]
    assert count(12345) == "12,345"


def test_a_load_is_told_as_its_level_since_it_is_no_share_of_anything() -> None:
    levels = ["normal", "normal", "elevated", "high", "critical", "critical"]
    assert [load_level(index) for index in (0.0, 0.24, 0.25, 0.5, 0.75, 1.0)] == levels
    assert headline(view())["load of the machine"] == "high"


def test_a_time_of_another_day_has_its_date() -> None:
    now = 1_800_000_000.0
    assert clock_time(now, now=now).count(":") == 2
    day, clock = clock_time(now - 3 * 86_400, now=now).split()
    assert day.startswith("2027-01-1")
    assert clock.count(":") == 1


@pytest.mark.parametrize("highest", [0.3, 1, 7, 43, 99, 100, 101, 12_345])
def test_the_top_of_a_curve_is_a_round_number_that_holds_it(highest: float) -> None:
    top = nice_top(highest)
    assert highest <= top <= max(1.0, highest * 2.5)
    assert f"{top:e}"[0] in "125"


def test_the_window_asks_so_often_that_an_event_can_be_painted_within_fifty_milliseconds(tmp_path: Path) -> None:
    feed = FeedThread(tmp_path, lambda _: None)
    assert feed._feed.period + 0.016 <= 0.045, "a look, and a frame: the rest is for its way and for painting"


def test_the_window_waits_for_nothing(window: MonitorWindow, feed: Recorder, until: Until) -> None:
    go_on = asyncio.Event()

    async def slow(*_: Any) -> Outcome:
        await go_on.wait()
        return Outcome("at last")

    feed.pause = slow  # type: ignore[attr-defined]
    window.show_view(view())
    buttons(window)["Pause"].click()
    window.show_view(view(number=2, documents=99))
    assert window.statusBar().currentMessage() == ""
    go_on.set()
    until(lambda: window.statusBar().currentMessage() == "At last")
