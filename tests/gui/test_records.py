from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tenire.gui.binding import QtCore, QtGui
from tenire.gui.records import SORT_ROLE, Column, RecordsModel, plain_tip

COLUMNS = (
    Column[int]("Name", lambda value: f"value {value}"),
    Column[int](
        "Number", lambda value: f"{value:,}", lambda value: value, number=True, tip=lambda value: f"tip {value}"
    ),
)


def shown(model: RecordsModel[int]) -> list[tuple[object, object]]:
    return [(model.data(model.index(row, 0)), model.data(model.index(row, 1))) for row in range(model.rowCount())]


tables = st.dictionaries(st.integers(0, 9), st.integers(0, 2))


@given(tables, tables)
def test_the_model_shows_what_it_was_given_and_persistent_indexes_follow_their_records(
    old: dict[int, int], new: dict[int, int]
) -> None:
    model = RecordsModel(COLUMNS)
    model.update(old)
    indexes = {key: QtCore.QPersistentModelIndex(model.index(row, 0)) for row, key in enumerate(old)}
    model.update(new)
    assert shown(model) == [(f"value {value}", f"{value:,}") for value in new.values()]
    for key, index in indexes.items():
        assert index.isValid() == (key in new)
        if key in new:
            assert index.row() == list(new).index(key)


def test_only_what_has_changed_is_told() -> None:
    model = RecordsModel(COLUMNS)
    told: list[object] = []
    model.rowsInserted.connect(lambda _parent, first, last: told.append(("in", first, last)))
    model.rowsRemoved.connect(lambda _parent, first, last: told.append(("out", first, last)))
    model.dataChanged.connect(lambda first, last, _roles: told.append(("changed", first.row(), last.row())))
    model.modelReset.connect(lambda: told.append("reset"))
    model.layoutChanged.connect(lambda *_: told.append("moved"))
    model.update({"a": 1, "b": 2, "c": 3})
    model.update({"a": 1, "b": 2, "c": 3})
    model.update({"a": 1, "b": 5, "c": 6})
    model.update({"a": 1, "c": 6})
    model.update({"c": 6, "a": 1, "d": 4})
    assert told == [("in", 0, 2), ("changed", 1, 2), ("out", 1, 1), "moved", ("in", 2, 2)]


def test_by_cell_only_what_looks_different_is_told_where_that_is_little() -> None:
    wide = (
        *COLUMNS, Column[int]("Half", lambda value: str(value // 2)), Column[int]("Sign", lambda value: str(value > 0)),
        Column[int]("Icon", lambda _: "", data={SORT_ROLE + 5: lambda value: value > 9}),
        Column[int]("Hidden", lambda _: "", lambda value: value > 99),
    )  # fmt: skip
    model = RecordsModel(wide, by_cell=True)
    told: list[tuple[int, int, int, int]] = []
    model.dataChanged.connect(
        lambda first, last, _roles: told.append((first.row(), first.column(), last.row(), last.column()))
    )
    model.update({"a": 2, "b": 4})
    model.update({"a": 2, "b": 5})
    assert told == [(1, 0, 1, 0), (1, 1, 1, 1)]
    told.clear()
    model.update({"a": 3, "b": 10})
    assert told == [(0, 0, 0, 0), (0, 1, 0, 1), *((1, column, 1, column) for column in (0, 1, 2, 4))]
    told.clear()
    model.update({"a": 300, "b": 10})
    assert told == [(0, 0, 0, 5)], "most of it"
    assert shown(model) == [("value 300", "300"), ("value 10", "10")]


def test_who_is_told_of_a_change_may_bring_the_next_one() -> None:
    model = RecordsModel(COLUMNS)
    newer = {2: 2, 4: 4, 3: 30}

    def come(*_: object) -> None:
        if model.rowCount() == 1:  # the first of two steps is done
            model.update({9: 9})
            model.update(newer)

    model.update({1: 1, 3: 3})
    model.rowsRemoved.connect(come)
    model.update({2: 2, 3: 3, 5: 5})
    assert shown(model) == [(f"value {value}", f"{value:,}") for value in newer.values()]


def test_numbers_stand_to_the_right_and_are_sorted_as_numbers() -> None:
    model = RecordsModel(COLUMNS)
    model.update({"a": 1200})
    index = model.index(0, 1)
    assert model.data(index) == "1,200"
    assert model.data(index, SORT_ROLE) == 1200
    right = QtCore.Qt.AlignmentFlag.AlignRight
    assert model.data(index, QtCore.Qt.ItemDataRole.TextAlignmentRole.value) & right
    assert model.headerData(1, QtCore.Qt.Orientation.Horizontal, QtCore.Qt.ItemDataRole.TextAlignmentRole.value) & right
    assert model.data(index, QtCore.Qt.ItemDataRole.ToolTipRole.value) == plain_tip("tip 1200")
    assert model.data(index, QtCore.Qt.ItemDataRole.AccessibleTextRole.value) == "Number: 1,200"
    assert model.headerData(0, QtCore.Qt.Orientation.Horizontal) == "Name"


def test_a_row_is_found_by_its_key_and_the_other_way_round() -> None:
    model = RecordsModel(COLUMNS)
    model.update({number: number for number in range(5)})
    model.update({number: -number for number in reversed(range(2, 8))})
    assert model.row_of(7) == 0
    assert model.row_of(0) == -1
    assert model.key(0) == 7
    assert model.record(0) == -7
    assert model.data(model.index(99, 0)) is None


def test_a_tooltip_shows_markup_as_it_is_written() -> None:
    written = 'a <b>bold</b> & "quoted" name  <img src="x.png">\nof two lines'
    shown = QtGui.QTextDocument()
    shown.setHtml(plain_tip(written))
    assert shown.toPlainText() == written
    assert plain_tip("") == "", "there is nothing to show"
