"""The table of pipelines: its numbers are whole, or not in sight.

Its columns of numbers grow with what they hold, and do not shrink again: columns that move
with each number are hard to read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text
from textual.coordinate import Coordinate
from textual.widgets import DataTable

from tenire.cli.top.rows import COLUMNS, MOST, NUMBERS, fitted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Pipelines"]


class Pipelines(DataTable[Text]):
    """Shows rows, and changes only cells that are different."""

    def __init__(self) -> None:
        super().__init__(id="pipelines", cursor_type="row", zebra_stripes=True)
        self._known: dict[tuple[str, int], Text] = {}
        self._needed = [width for _, width in COLUMNS]
        for heading, width in COLUMNS:
            label = Text(heading, justify="right" if heading in NUMBERS else "left")
            self.add_column(label, width=width, key=heading or "bar")

    def put(self, rows: Mapping[str, Sequence[Text]]) -> None:
        """Show these rows, by the names of their pipelines."""
        if {key.value for key in self.rows} != set(rows):
            self.clear()
            self._known.clear()
            for name, cells in rows.items():
                self.add_row(*cells, key=name)
        columns = list(self.columns)
        for name, cells in rows.items():
            for at, cell in enumerate(cells):
                if self._known.get((name, at)) != cell:
                    self._known[name, at] = cell
                    self.update_cell(name, columns[at], cell)
                    if COLUMNS[at][0] in NUMBERS:
                        self._needed[at] = max(self._needed[at], min(MOST, cell.cell_len))
        self.fit()

    def on_resize(self) -> None:
        """Fit the columns into the terminal."""
        self.fit()

    def watch_show_vertical_scrollbar(self) -> None:
        """Fit them beside the scroll bar, or where it was: it comes and goes without a resize."""
        self.fit()

    def fit(self) -> None:
        """Give the columns their widths."""
        widths = fitted(self._needed, self.scrollable_content_region.width)
        changed = False
        for column, width in zip(self.columns.values(), widths, strict=True):
            changed = changed or column.width != width
            column.width = width
        if changed and self.row_count:
            first = Coordinate(0, 0)
            self.update_cell_at(first, self.get_cell_at(first), update_width=True)  # has it measure itself again
