"""What a stage returned, checked: one result for each item, in their order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

from tenire.pipeline.stages.records import record_of

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["WrongResultsError", "checked"]

_RESULTS = "a dict, a text, a list of those, or None"


class WrongResultsError(Exception):
    """A stage returned what no stage may: that is wrong with the stage, not with an item."""


def checked(results: Any, items: Sequence[Mapping[str, Any]]) -> list[list[bytes]]:
    """Return for each item the lines that it becomes; none if it leaves.

    Args:
        results: What the stage returned.
        items: What it was given.

    Raises:
        WrongResultsError: Says what was expected, and what came.
    """
    if not isinstance(results, Iterable) or isinstance(results, str | bytes | Mapping):
        message = f"expected a list with one result for each item, got {_shown(results)}"
        raise WrongResultsError(message)
    found = list(islice(results, len(items) + 1))  # or one that never ends would take all memory
    if len(found) != len(items):
        got = "more" if len(found) > len(items) else str(len(found))
        message = f"expected one result for each of {len(items)} items, got {got}; None says that an item leaves"
        raise WrongResultsError(message)
    return [_lines(result, item["id"]) for result, item in zip(found, items, strict=True)]


def _lines(result: Any, identity: str | int) -> list[bytes]:
    if result is None:
        return []
    if isinstance(result, list | tuple):
        return [_line(each, f"{identity}#{number}", identity) for number, each in enumerate(result)]
    return [_line(result, identity, identity)]


def _line(result: Any, identity: str | int, item: str | int) -> bytes:
    if isinstance(result, str):
        result = {"text": result}
    if not isinstance(result, Mapping):
        message = f"expected {_RESULTS} for the item {item!r:.40}, got {_shown(result)}"
        raise WrongResultsError(message)
    try:
        return record_of(identity, result)
    except (TypeError, ValueError) as error:
        message = f"expected what JSON can hold for the item {item!r:.40}: {error}"
        raise WrongResultsError(message) from error


def _shown(value: Any) -> str:
    return "None" if value is None else f"{type(value).__name__} {value!r:.60}"
