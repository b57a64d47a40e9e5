"""Which models stay loaded where not all of them fit.

1. Models that are loaded have no more bytes together than there is room, unless one alone
   has more: then it is the only one.
2. To make room, the one that was used longest ago goes first. One that is pinned, or at
   work, does not go.
3. The same goes for what others lack: so many go as have that, and none that is spared.
4. A model that would fit only if such a one went has to wait: nothing goes for it meanwhile.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Container

__all__ = ["ModelRoom"]


@dataclass(slots=True)
class _Loaded:
    size: int
    pinned: bool
    using: int = 0


class ModelRoom:
    """Decides which models are loaded; whoever owns them loads and drops them.

    Args:
        capacity: Bytes that all of them may have together.

    Attributes:
        capacity: As given.
        evicted: Models that went to make room.

    Raises:
        ValueError: If the capacity is not positive.
    """

    __slots__ = ("_loaded", "capacity", "evicted")

    def __init__(self, capacity: int) -> None:
        if capacity <= 0:
            raise ValueError(f"the capacity must be a positive number of bytes, got {capacity!r}")
        self.capacity = capacity
        self.evicted = 0
        self._loaded: OrderedDict[str, _Loaded] = OrderedDict()  # the one that was used longest ago first

    @property
    def used(self) -> int:
        """Bytes of all that are loaded."""
        return sum(loaded.size for loaded in self._loaded.values())

    def __contains__(self, name: str) -> bool:
        return name in self._loaded

    def admit(self, name: str, size: int, *, pinned: bool) -> list[str] | None:
        """Take in a model that is not loaded.

        Returns:
            The models to drop first, in order; ``None`` if it has to wait until one is not used any more.
        """
        others = self._loaded
        going: list[str] = []
        left = self.used
        for other, loaded in others.items():
            if left + size <= self.capacity:
                break
            if not loaded.pinned and not loaded.using:
                going.append(other)
                left -= loaded.size
        if left + size > self.capacity and len(going) < len(others):
            return None
        for other in going:
            del others[other]
        self.evicted += len(going)
        others[name] = _Loaded(size, pinned)
        return going

    def give_way(self, size: int, *, spared: Container[str]) -> list[str]:
        """Return the models to drop so that others get ``size`` bytes, or as much of it as these have.

        Args:
            size: Bytes.
            spared: Names of models that stay.
        """
        going: list[str] = []
        for name, loaded in self._loaded.items():
            if size <= 0:
                break
            if not loaded.pinned and not loaded.using and name not in spared:
                going.append(name)
                size -= loaded.size
        for name in going:
            del self._loaded[name]
        self.evicted += len(going)
        return going

    def use(self, name: str) -> None:
        """Note that a loaded model is at work once more."""
        self._loaded[name].using += 1
        self._loaded.move_to_end(name)

    def done(self, name: str) -> None:
        """Note that one of its uses is over."""
        self._loaded[name].using -= 1

    def measured(self, name: str, size: int) -> None:
        """Note what a loaded model really takes."""
        self._loaded[name].size = size

    def forget(self, name: str) -> None:
        """Note that a model is not loaded any more."""
        self._loaded.pop(name, None)

    def check(self) -> None:
        """Verify the rules."""
        assert all(loaded.using >= 0 and loaded.size >= 0 for loaded in self._loaded.values())
