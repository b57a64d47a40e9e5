"""Items that come from Python: a list, a generator, an asynchronous one, or a function that makes one.

Only some hundred items are held at a time. What an item is, is told by ``row_of``.
"""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from tenire.errors import ConfigError, PipelineError, TenireError
from tenire.pipeline.rows.lines import item_of
from tenire.pipeline.rows.records import BrokenRow, Row, content_hash, row_or_broken
from tenire.pipeline.stages.records import record_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["FETCHED", "AsyncItems", "Items", "items_of", "row_of"]

FETCHED = 64
"""Items that are waited for at a time where each has to be waited for."""


def row_of(item: Any, *, source: str, number: int) -> Row | BrokenRow:
    """Return the row that an item is.

    Args:
        item: A ``dict``; a text, which becomes ``{"text": …}``; or a dataclass or the like with
            what JSON can hold. Its ``id`` names it; one without gets the hash of its content.
        source: What its source is called.
        number: Its place there, from 1.
    """
    place = f"item {number}"
    fields = {"text": item} if isinstance(item, str) else item
    try:
        plain = dict(fields) if isinstance(fields, Mapping) else msgspec.to_builtins(fields)
        if not isinstance(plain, dict):
            raise TypeError(f"a dict or a text, got {type(item).__name__}")  # noqa: TRY301
        record = record_of("", plain)
        read = item_of(record) | {"id": plain.get("id")}
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        told = f"{place}: expected {error}" if str(error).startswith("a dict") else f"{place}: expected JSON: {error}"
        return BrokenRow(source, place, told, content_hash(f"{type(item).__name__} {told}"), 0)
    return row_or_broken(read, file=source, place=place, size=len(record))


def items_of(source: Any, name: str) -> Items | AsyncItems:
    """Return the rows of an iterable, an asynchronous one, or a function that makes one.

    Args:
        source: The iterable or the function.
        name: What it is called in messages: the pipeline.

    Raises:
        ConfigError: If it is none of these.
    """
    if isinstance(source, AsyncIterable) or inspect.isasyncgenfunction(source):
        return AsyncItems(source, name)
    if isinstance(source, Iterable) or (callable(source) and not inspect.iscoroutinefunction(source)):
        return Items(source, name)
    message = f"source must be paths, or items one can go through, got {type(source).__name__} {source!r:.60}"
    raise ConfigError(message, key="source", hint="a list or a generator of dicts, or a function that makes one")


class Items:
    """Rows from an iterable.

    Args:
        source: The iterable, or a function without arguments that returns one.
        name: What it is called in messages: the pipeline.
    """

    def __init__(self, source: Iterable[Any] | Callable[[], Iterable[Any]], name: str) -> None:
        self._source = source
        self._name = name
        # A generator is its own iterator: going through it a second time finds nothing.
        self.repeatable = callable(source) or iter(source) is not source

    def rows(self) -> Iterator[Row | BrokenRow]:
        """Yield all items as rows.

        Raises:
            PipelineError: What the source raised.
        """
        number = 0
        try:
            for item in self._source() if callable(self._source) else self._source:
                number += 1
                yield row_of(item, source=self._name, number=number)
        except TenireError:
            raise
        except Exception as error:
            raise _broken_off(self._name, number, error) from error

    def sizes(self) -> Iterator[int]:
        """Go through all items once more; see ``Rows``."""
        return (0 for _ in (self._source() if callable(self._source) else self._source))

    def require_fields(self, fields: Sequence[str], key: str) -> None:
        """Check nothing: what an item has is only seen when its turn comes."""

    async def fetch(self) -> None:
        """Do nothing: items come where rows are asked for."""


class AsyncItems:
    """Rows from an asynchronous iterable, which is gone through once, on the loop.

    Args:
        source: The iterable, or a function without arguments that returns one.
        name: What it is called in messages: the pipeline.
    """

    repeatable = False

    def __init__(self, source: AsyncIterable[Any] | Callable[[], AsyncIterable[Any]], name: str) -> None:
        self._source = source
        self._name = name
        self._iterator: AsyncIterator[Any] | None = None
        self._fetched: deque[Row | BrokenRow] = deque()
        self._number = 0
        self._over = False

    def rows(self) -> Iterator[Row | BrokenRow]:
        """Return an iterator that ends where nothing more was fetched, and goes on once there is."""
        return _Taking(self._fetched)

    def sizes(self) -> Iterator[int]:
        """Yield nothing; see ``Rows``."""
        return iter(())

    def require_fields(self, fields: Sequence[str], key: str) -> None:
        """Check nothing: what an item has is only seen when its turn comes."""

    async def fetch(self) -> None:
        """Wait for some more items, or the end of them.

        Raises:
            PipelineError: What the source raised.
        """
        if self._iterator is None:
            self._iterator = aiter(self._source() if callable(self._source) else self._source)
        try:
            while len(self._fetched) < FETCHED and not self._over:
                try:
                    item = await anext(self._iterator)
                except StopAsyncIteration:
                    self._over = True
                else:
                    self._number += 1
                    self._fetched.append(row_of(item, source=self._name, number=self._number))
        except TenireError:
            raise
        except Exception as error:
            raise _broken_off(self._name, self._number, error) from error


class _Taking(Iterator["Row | BrokenRow"]):
    def __init__(self, rows: deque[Row | BrokenRow]) -> None:
        self._rows = rows

    def __next__(self) -> Row | BrokenRow:
        if not self._rows:
            raise StopIteration
        return self._rows.popleft()


def _broken_off(name: str, number: int, error: Exception) -> PipelineError:
    message = f"the source broke off after {number:,} items: {type(error).__name__}: {error}"
    hint = "everything finished is kept, and nothing was removed; run again once it can be read"
    return PipelineError(message, pipeline=name, stage="source", hint=hint)
