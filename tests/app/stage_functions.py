"""Stages that tests use; those for worker processes have to be importable there."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import tenire

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

Item = dict[str, Any]

calls: list[tuple[str, list[Any]]] = []
"""Which stages were called with which ids, in this process."""


def noted(name: str, items: list[Item]) -> None:
    calls.append((name, [item["id"] for item in items]))


@tenire.stage(batch=10)
def upper(items: list[Item]) -> list[Item]:
    noted("upper", items)
    return [{**item, "text": item["text"].upper()} for item in items]


@tenire.stage(batch=7)
async def count(items: list[Item]) -> list[Item]:
    noted("count", items)
    return [{**item, "length": len(item["text"])} for item in items]


def exclaim(items: list[Item]) -> Iterator[Item]:
    noted("exclaim", items)
    for item in items:
        yield {**item, "text": item["text"] + "!"}


async def ask(items: list[Item]) -> AsyncIterator[Item]:
    noted("ask", items)
    for item in items:
        yield {**item, "text": item["text"] + "?"}


@tenire.stage(on="process", batch=4)
def elsewhere(items: list[Item]) -> list[Item]:
    return [{**item, "pid": os.getpid()} for item in items]


@tenire.stage(on="process", batch=8)
def dies_of_seven(items: list[Item]) -> list[Item]:
    if any(item["id"] == 7 for item in items):
        os._exit(3)
    return items


def no_threes(items: list[Item]) -> list[Item]:
    noted("no_threes", items)
    if any(item["id"] == 3 for item in items):
        message = "three is not a number that I like"
        raise ValueError(message)
    return items


def words(items: list[Item]) -> list[list[Item]]:
    return [[{"word": word} for word in item["text"].split()] for item in items]


def odd_ones(items: list[Item]) -> list[Item | None]:
    return [item if item["id"] % 2 else None for item in items]


def too_few(items: list[Item]) -> list[Item]:
    return items[1:]


def endless(items: list[Item]) -> Iterator[Item]:
    while True:
        yield from items


def numbers(items: list[Item]) -> Any:
    return list(range(len(items)))


def nothing(items: list[Item]) -> Any:
    return None


def objects(items: list[Item]) -> Any:
    return [{"it": object()} for _ in items]


def embed_or_fail(name: str, threads: int, texts: list[str]) -> Any:
    """Embed as a pipeline that trains does, with a model that some texts break."""
    from tenire.app.classify_runs import embed_here

    if any("arsenic" in text for text in texts):
        os._exit(3)
    if any("cyanide" in text for text in texts):
        message = "cyanide is nothing for me"
        raise ValueError(message)
    return embed_here(name, threads, texts)
