"""What a ``robots.txt`` allows, as RFC 9309 says.

1. The groups that name the reader count, all of them together; if none does, those for ``*``.
2. The longest rule that fits an address decides; of two that are as long, the one that allows.
   An address that no rule fits is allowed.
3. In a rule ``*`` stands for any characters, and ``$`` at its end for the end of the address.
4. A line that is not understood changes nothing, nor does an empty one: no group ends there.

The standard library's parser takes the first rule that fits and the first group, knows no ``*``,
ends groups at empty lines, and overlooks a first line with a byte order mark. So it reads
pages that their hosts forbid.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["RobotsRules"]

_LINES = re.compile(r"\r\n|\r|\n")
_TOKEN = re.compile(r"[A-Za-z_-]+")
_ESCAPE = re.compile("%[0-9A-Fa-f]{2}")
_UNRESERVED = re.compile(r"[A-Za-z0-9._~-]")
_EVERYBODY = "*"
_AGENT = ("user-agent", "useragent")
_RULES = ("allow", "disallow", "crawl-delay")


@dataclass(frozen=True, slots=True)
class _Rule:
    pattern: str
    allows: bool


class RobotsRules:
    """The rules of one host for one reader.

    Args:
        text: The file.
        agent: The reader's name: letters, ``_`` and ``-``.

    Attributes:
        delay: Seconds that the host wants between two visits; 0 if it says nothing.
    """

    def __init__(self, text: str, agent: str) -> None:
        groups = list(_groups(text))
        mine = [found for agents, found in groups if agent.lower() in agents]
        others = [found for agents, found in groups if _EVERYBODY in agents]
        lines = [line for group in mine or others for line in group]
        self._rules = [_Rule(_same(value), name == "allow") for name, value in lines if name != "crawl-delay" and value]
        self.delay = max((_seconds(value) for name, value in lines if name == "crawl-delay"), default=0.0)

    def allows(self, path: str) -> bool:
        """Return whether an address may be read.

        Args:
            path: Its path, and its query after a ``?``.
        """
        path = _same(path)
        fitting = ((len(rule.pattern), rule.allows) for rule in self._rules if _fits(rule.pattern, path))
        return max(fitting, default=(0, True))[1]


def _groups(text: str) -> Iterator[tuple[list[str], list[tuple[str, str]]]]:
    """Yield the names of each group's readers, and its lines."""
    agents: list[str] = []
    lines: list[tuple[str, str]] = []
    for line in _LINES.split(text.removeprefix("\ufeff")):
        name, _, value = line.partition("#")[0].partition(":")
        name, value = name.strip().lower(), value.strip()
        if name in _AGENT:
            if lines:
                yield agents, lines
                agents, lines = [], []
            token = _TOKEN.match(value)
            agents.append(token[0].lower() if token else value)
        elif name in _RULES and agents:
            lines.append((name, value))
    yield agents, lines


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        return 0.0
    return max(0.0, seconds) if math.isfinite(seconds) else 0.0


def _same(path: str) -> str:
    """Return an address in the one form in which it is compared: escaped where it has to be, and only there."""

    def unescaped(found: re.Match[str]) -> str:
        character = chr(int(found[0][1:], 16))
        return character if _UNRESERVED.fullmatch(character) else found[0].upper()

    return quote(_ESCAPE.sub(unescaped, path), safe="!#$%&'()*+,/:;=?@[]~", errors="replace")


def _fits(pattern: str, path: str) -> bool:
    """Return whether an address begins as a rule says.

    Each piece is looked for where it comes first, which finds a way if there is one, in one pass.
    """
    whole = pattern.endswith("$")
    first, *rest = pattern.removesuffix("$").split("*")
    if not path.startswith(first):
        return False
    if not rest:
        return not whole or path == first
    at = len(first)
    *middle, last = rest
    for piece in middle:
        at = path.find(piece, at)
        if at < 0:
            return False
        at += len(piece)
    return path.endswith(last) and len(path) - len(last) >= at if whole else path.find(last, at) >= 0
