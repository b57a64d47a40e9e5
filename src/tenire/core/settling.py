"""When a file that changes has come to rest, so that it is read once and whole.

::

              changed                 the same twice, REST apart
    unknown ───────────► looked at ───────────────────────────────► ready ──► taken
                         │  ▲   │            or LONGEST after its first change
                         └──┘   └──────────────────────────────────►
                     something else

1. A path is looked at as soon as it changes, and again ``rest`` later. If both looks saw
   the same, it is ready; otherwise it is looked at once more, ``rest`` later.
2. A path that never rests, as a log does, is ready ``longest`` after its first change.
3. At most ``most`` paths are kept. With more, all of them are forgotten and
   *everything* is to be looked through; that is ready once nothing has changed for
   ``rest``, or ``longest`` after the first change.
4. What is taken is forgotten. A path that changes afterwards begins anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

__all__ = ["LONGEST_S", "MOST", "REST_S", "Settled", "Settling"]

REST_S = 0.5
LONGEST_S = 30.0
MOST = 10_000

_UNSEEN = object()


class Settled(NamedTuple):
    """What has come to rest.

    Attributes:
        paths: Paths, sorted.
        everything: Whether everything is to be looked through; then there are no paths.
    """

    paths: tuple[str, ...] = ()
    everything: bool = False

    def __bool__(self) -> bool:
        return bool(self.paths) or self.everything


@dataclass(slots=True)
class _Waiting:
    first: float
    look_at: float
    facts: object = _UNSEEN


class Settling:
    """Paths that have changed and are not at rest yet.

    Args:
        rest: Seconds for which a path must stay the same.
        longest: Seconds after which a path is ready in any case.
        most: Paths that are kept at the most.
    """

    def __init__(self, *, rest: float = REST_S, longest: float = LONGEST_S, most: int = MOST) -> None:
        self._rest = rest
        self._longest = longest
        self._most = most
        self._waiting: dict[str, _Waiting] = {}
        self._ready: set[str] = set()
        self._all_from: float | None = None
        self._all_at = 0.0

    def changed(self, paths: Iterable[str], now: float) -> None:
        """Take in paths that have changed.

        Args:
            paths: The paths; those that are known already go on as they are.
            now: Seconds on a clock that never goes back.
        """
        for path in paths:
            if self._all_from is not None:
                self._all_at = min(now + self._rest, self._all_from + self._longest)
            elif path not in self._waiting:
                self._ready.discard(path)
                self._waiting[path] = _Waiting(now, now)
                if len(self._waiting) + len(self._ready) > self._most:
                    self.lost_track(now)

    def lost_track(self, now: float) -> None:
        """Have everything looked through: it is not known what has changed."""
        if self._all_from is None:
            self._all_from = now
        self._all_at = min(now + self._rest, self._all_from + self._longest)
        self._waiting.clear()
        self._ready.clear()

    def due(self, now: float) -> list[str]:
        """Return the paths to look at now; ``looked`` takes what was seen."""
        return [path for path, waiting in self._waiting.items() if waiting.look_at <= now]

    def looked(self, path: str, facts: Hashable, now: float) -> None:
        """Take in what is at a path.

        Args:
            path: A path that was due.
            facts: Whatever tells one state of it from another; ``None`` if there is nothing.
            now: Seconds on the same clock.
        """
        waiting = self._waiting.get(path)
        if waiting is None:
            return
        if waiting.facts == facts or now >= waiting.first + self._longest:
            del self._waiting[path]
            self._ready.add(path)
            return
        waiting.facts = facts
        waiting.look_at = min(now + self._rest, waiting.first + self._longest)

    def next_at(self) -> float | None:
        """Return when there is something to look at or to take, or ``None`` if nothing has changed."""
        if self._all_from is not None:
            return self._all_at
        if self._ready:
            return 0.0
        return min((waiting.look_at for waiting in self._waiting.values()), default=None)

    def take(self, now: float) -> Settled:
        """Return what is at rest, and forget it."""
        if self._all_from is not None:
            if now < self._all_at:
                return Settled()
            self._all_from = None
            return Settled(everything=True)
        paths = tuple(sorted(self._ready))
        self._ready.clear()
        return Settled(paths)

    def check(self) -> None:
        """Verify the rules; for tests."""
        assert len(self._waiting) + len(self._ready) <= self._most
        assert not self._ready.intersection(self._waiting)
        if self._all_from is not None:
            assert not self._waiting
            assert not self._ready
            assert self._all_from <= self._all_at <= self._all_from + self._longest
        for waiting in self._waiting.values():
            assert waiting.first <= waiting.look_at <= waiting.first + self._longest
