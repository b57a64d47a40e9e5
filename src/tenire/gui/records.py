"""A table of records that is updated by difference."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from tenire.gui.binding import QtCore
from tenire.gui.differences import differences, runs

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping

    Index = QtCore.QModelIndex | QtCore.QPersistentModelIndex

__all__ = ["RECORD_ROLE", "SORT_ROLE", "Column", "RecordsModel", "plain_tip"]

Record = TypeVar("Record")

_Role = QtCore.Qt.ItemDataRole
SORT_ROLE = int(_Role.UserRole.value)
"""What a column is sorted by."""
RECORD_ROLE = SORT_ROLE + 1
"""The whole record of a row."""

_DISPLAY, _TIP, _ALIGN, _SPOKEN = (
    int(role.value)
    for role in (_Role.DisplayRole, _Role.ToolTipRole, _Role.TextAlignmentRole, _Role.AccessibleTextRole)
)
_NOWHERE = QtCore.QModelIndex()
_FEW = 32
"""Rows that are looked at cell by cell."""


def plain_tip(text: str) -> str:
    """Return a text for a tooltip: Qt takes what looks like markup for markup, and names of files may look so."""
    return f"<p style='white-space: pre-wrap'>{escape(text)}</p>" if text else ""


@dataclass(frozen=True)
class Column(Generic[Record]):
    """One column.

    Attributes:
        title: Its heading.
        text: What a cell shows of a record.
        sort: What it is sorted by; default: its text.
        number: Whether it stands to the right, as numbers do.
        tip: What is shown when the pointer rests on it; default: nothing.
        data: Further data, by role.
    """

    title: str
    text: Callable[[Record], str]
    sort: Callable[[Record], Any] | None = None
    number: bool = False
    tip: Callable[[Record], str] | None = None
    data: Mapping[int, Callable[[Record], Any]] | None = None

    def alike(self, one: Record, other: Record) -> bool:
        """Return whether a cell looks the same for both, and is sorted the same."""
        shows = (self.text, *((self.sort,) if self.sort is not None else ()), *(self.data or {}).values())
        return all(show(one) == show(other) for show in shows)


class RecordsModel(QtCore.QAbstractTableModel, Generic[Record]):
    """Shows records, one a row, in the order of the mapping that it was updated with.

    ``update`` tells the views only what has changed: rows that come, go or move, and the
    cells of records that are not equal to what they were.

    Args:
        columns: Its columns.
        parent: With what it ends.
        by_cell: Whether only cells are told that look different, where those are few: of more than one at once Qt's
            views paint all that they show. For views that look at nothing but what columns say.
    """

    def __init__(
        self, columns: tuple[Column[Record], ...], parent: QtCore.QObject | None = None, *, by_cell: bool = False
    ) -> None:
        super().__init__(parent)
        self._by_cell = by_cell
        self.columns = columns
        self._keys: list[Hashable] = []
        self._records: dict[Hashable, Record] = {}
        self._next: Mapping[Any, Record] | None = None
        self._updating = False
        right, left = QtCore.Qt.AlignmentFlag.AlignRight, QtCore.Qt.AlignmentFlag.AlignLeft
        middle = QtCore.Qt.AlignmentFlag.AlignVCenter
        self._right, self._left = right | middle, left | middle

    def update(self, records: Mapping[Any, Record]) -> None:
        """Show these from now on.

        Whoever is told of a change may open a dialog, or call this: the model then stays
        as it is told until that returns, and shows the newest records after it.
        """
        self._next = records
        if self._updating:
            return
        self._updating = True
        try:
            while (newest := self._next) is not None:
                self._next = None
                self._change(newest)
        finally:
            self._updating = False

    def _change(self, records: Mapping[Any, Record]) -> None:
        keys = list(records)
        steps = differences(self._keys, keys)
        for run in steps.removed:
            self.beginRemoveRows(_NOWHERE, run.first, run.last)
            for key in self._keys[run.first : run.last + 1]:
                del self._records[key]
            del self._keys[run.first : run.last + 1]
            self.endRemoveRows()
        if steps.moved:
            self._move([key for key in keys if key in self._records])
        for run in steps.inserted:
            self.beginInsertRows(_NOWHERE, run.first, run.last)
            new = keys[run.first : run.last + 1]
            self._keys[run.first : run.first] = new
            self._records.update((key, records[key]) for key in new)
            self.endInsertRows()
        changed = [row for row, key in enumerate(keys) if records[key] != self._records[key]]
        cells = self._cells(changed, records) if self._by_cell and len(changed) <= _FEW else None
        for row in changed:
            self._records[keys[row]] = records[keys[row]]
        if cells is not None:
            for row, column in cells:
                self.dataChanged.emit(self.index(row, column), self.index(row, column))
            return
        for run in runs(changed):
            self.dataChanged.emit(self.index(run.first, 0), self.index(run.last, len(self.columns) - 1))

    def _cells(self, rows: list[int], records: Mapping[Any, Record]) -> list[tuple[int, int]] | None:
        """Return the cells that are to look different, or ``None`` if those are most."""
        found = [
            (row, number)
            for row in rows
            for number, column in enumerate(self.columns)
            if not column.alike(self._records[self._keys[row]], records[self._keys[row]])
        ]
        return found if 2 * len(found) <= len(rows) * len(self.columns) else None

    def record(self, row: int) -> Record:
        """Return the record of a row."""
        return self._records[self._keys[row]]

    def key(self, row: int) -> Any:
        """Return the key of a row."""
        return self._keys[row]

    def row_of(self, key: Hashable) -> int:
        """Return the row of a key; -1 if there is none."""
        return self._keys.index(key) if key in self._records else -1

    def _move(self, keys: list[Hashable]) -> None:
        self.layoutAboutToBeChanged.emit()
        old = self.persistentIndexList()
        row_of = {key: row for row, key in enumerate(keys)}
        new = [self.index(row_of[self._keys[index.row()]], index.column()) for index in old]
        self._keys = keys
        self.changePersistentIndexList(old, new)
        self.layoutChanged.emit()

    # -- what Qt asks of a model ----------------------------------------------

    def rowCount(self, parent: Index = _NOWHERE) -> int:  # noqa: N802 - Qt's name
        """Return the number of rows."""
        return 0 if parent.isValid() else len(self._keys)

    def columnCount(self, parent: Index = _NOWHERE) -> int:  # noqa: N802 - Qt's name
        """Return the number of columns."""
        return 0 if parent.isValid() else len(self.columns)

    def data(self, index: Index, role: int = _DISPLAY) -> Any:
        """Return what a cell shows."""
        if not index.isValid() or index.row() >= len(self._keys):
            return None
        record = self._records[self._keys[index.row()]]
        column = self.columns[index.column()]
        if role == _DISPLAY:
            return column.text(record)
        if role == _ALIGN:
            return self._right if column.number else self._left
        if role == SORT_ROLE:
            return (column.sort or column.text)(record)
        if role == RECORD_ROLE:
            return record
        if role == _TIP:
            return plain_tip(column.tip(record)) if column.tip is not None else None
        if role == _SPOKEN:
            return f"{column.title}: {column.text(record)}"
        return column.data[role](record) if column.data is not None and role in column.data else None

    def headerData(  # noqa: N802 - Qt's name
        self, section: int, orientation: QtCore.Qt.Orientation, role: int = _DISPLAY
    ) -> Any:
        """Return a heading; it is aligned as its column."""
        if orientation != QtCore.Qt.Orientation.Horizontal or not 0 <= section < len(self.columns):
            return None
        if role == _DISPLAY:
            return self.columns[section].title
        if role == _ALIGN:
            return self._right if self.columns[section].number else self._left
        return None
