"""A confusion matrix as a picture: a row for each right class, a column for each predicted one.

Numbers at the edges are places in the list of classes, which stands beside the picture.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tenire.ml.png import png_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["confusion_picture"]

_DIGITS = (
    "111101101101111", "010110010010111", "111001111100111", "111001111001111", "101101111001001",
    "111100111001111", "111100111101111", "111001001001001", "111101111101111", "111101111001111",
)  # fmt: skip
"""Digits of 3 by 5 dots, row by row."""

_WHITE = np.array([255, 255, 255])
_DARK = np.array([17, 82, 147])
_INK = np.array([34, 34, 34])
_DOT = 2
_MARGIN = 36
_LARGEST = 960


def confusion_picture(confusion: NDArray[np.int64]) -> bytes:
    """Return a PNG file; cells are the darker the larger their share of their row is.

    Args:
        confusion: Rows counted by right class (row) and predicted class (column).
    """
    classes = len(confusion)
    cell = max(1, min(48, _LARGEST // classes))
    shares = confusion / np.maximum(confusion.sum(1, keepdims=True), 1)
    colours = (_WHITE + shares[:, :, None] * (_DARK - _WHITE)).astype(np.uint8)
    cells = colours.repeat(cell, 0).repeat(cell, 1)
    if cell >= 4:  # lines between smaller ones would be all that is seen
        cells[::cell] = cells[:, ::cell] = 225
    side = classes * cell + _MARGIN
    picture = np.full((side, side, 3), 255, np.uint8)
    picture[_MARGIN:, _MARGIN:] = cells
    for place in range(classes):
        middle = _MARGIN + place * cell + cell // 2
        _write(picture, str(place), middle, _MARGIN // 2, cell, _INK)
        _write(picture, str(place), _MARGIN // 2, middle, cell, _INK)
    for row, column in np.argwhere(confusion):
        ink = _WHITE if shares[row, column] > 0.5 else _INK
        x, y = (_MARGIN + place * cell + cell // 2 for place in (column, row))
        _write(picture, str(confusion[row, column]), x, y, cell, ink)
    return png_of(picture)


def _write(picture: NDArray[np.uint8], number: str, x: int, y: int, room: int, ink: NDArray[np.int64]) -> None:
    """Write a number around a point, if there is room for it."""
    width, height = (4 * len(number) - 1) * _DOT, 5 * _DOT
    if width >= room - 2 or height >= room:
        return
    left, top = x - width // 2, y - height // 2
    for place, digit in enumerate(number):
        dots = np.array([mark == "1" for mark in _DIGITS[int(digit)]]).reshape(5, 3).repeat(_DOT, 0).repeat(_DOT, 1)
        start = left + place * 4 * _DOT
        picture[top : top + height, start : start + 3 * _DOT][dots] = ink
