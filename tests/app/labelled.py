"""Rows of three topics, made of their words; which they are is told by a seed."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

_TOPICS = {
    "animals": "zebra lion elephant grass river plains herd tree hunting animal bird nest",
    "money": "ledger payment invoice account bank money tax audit balance credit interest loan",
    "earth": "volcano lava ash rock crust magma quake plate mountain eruption crater heat",
}
WORDS = {label: words.split() for label, words in _TOPICS.items()}


def made_up(number: int, *, seed: int, words: int = 8, start: int = 0) -> list[dict[str, Any]]:
    """Return labelled rows."""
    chance = random.Random(seed)
    rows = []
    for place in range(start, start + number):
        label = chance.choice(list(WORDS))
        rows.append({"id": place, "text": " ".join(chance.choices(WORDS[label], k=words)), "label": label})
    return rows


def put(path: Path, rows: list[dict[str, Any]], *, labels: bool = True) -> Path:
    """Write rows as lines of JSON."""
    kept = [row if labels else {name: row[name] for name in ("id", "text")} for row in rows]
    path.write_text("".join(json.dumps(row) + "\n" for row in kept), encoding="utf-8")
    return path
