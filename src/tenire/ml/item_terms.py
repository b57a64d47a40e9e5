"""What a model of any kind is given of a row: the value of one field, or the numbers or texts of several."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from tenire.pipeline.rows.recipe import RowError
from tenire.pipeline.stages.records import hash_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from tenire.pipeline.rows.records import Row

__all__ = ["ItemTerms"]


class ItemTerms:
    """See ``pipeline.rows.recipe.RowTerms``.

    Args:
        model: Name and version of the model.
        key: The setting that names the fields, for messages.
        field: The field whose value the model is given.
        columns: Fields whose numbers it is given instead, as a list in this order; empty for none.
        texts: Whether it is a model of texts.
    """

    policy = ""

    def __init__(
        self, model: str, key: str, *, field: str = "text", columns: tuple[str, ...] = (), texts: bool = False
    ) -> None:
        self.model = model
        self.key = key
        self.fields = columns or (field,)
        self.texts = texts
        self._columns = columns
        self._read: Callable[[Row, str], Any] = _text if texts else _number

    def request(self, row: Row) -> str:
        """Return a hash of model and item.

        Raises:
            RowError: If a field is missing, or a column holds no number, or no text.
        """
        return hash_of(self.model, ",".join(self._columns), json.dumps(self.item(row), sort_keys=True))

    def item(self, row: Row) -> Any:
        """Return what the model is given of a row.

        Raises:
            RowError: As ``request``.
        """
        if self._columns:
            return [self._read(row, field) for field in self._columns]
        (field,) = self.fields
        value = row.fields.get(field)
        if value is None:
            message = f"{row.place}: expected something in the field {field}, got nothing"
            raise RowError(message, stage="read")
        return value


def _text(row: Row, field: str) -> str:
    value = row.fields.get(field)
    if isinstance(value, str) and value.strip():
        return value
    shown = "nothing" if value is None else f"{value!r:.40}"
    message = f"{row.place}: expected a text in the field {field}, got {shown}"
    raise RowError(message, stage="read")


def _number(row: Row, field: str) -> float:
    value = row.fields.get(field)
    try:
        if isinstance(value, str | int | float):  # tables in text hold numbers as texts
            number = float(value)
            if math.isfinite(number):
                return number
    except (ValueError, OverflowError):
        pass
    shown = "nothing" if value is None else f"{value!r:.40}"
    message = f"{row.place}: expected a number in the field {field}, got {shown}"
    raise RowError(message, stage="read")
