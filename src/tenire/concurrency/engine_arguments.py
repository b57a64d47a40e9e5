"""What an engine and its parts may be made of; an impossible argument is refused before anything starts."""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING, Any

from tenire.core.tasks import CPU_UNIT, is_number
from tenire.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["check_arguments", "check_fields", "check_home", "is_seconds"]

_MOST_SLOTS = 1_000_000


def check_arguments(*, home: Any, cpu: Any, memory: Any, worker_memory: Any, spill: Any) -> None:
    """Check what ``ConcurrencyManager`` is given; ``None`` is always possible.

    Raises:
        ConfigError: If an argument is impossible.
    """
    if cpu is not None and (not is_number(cpu) or not 1 / CPU_UNIT <= cpu <= _MOST_SLOTS):
        message = f"cpu must be a positive number of slots, from {1 / CPU_UNIT:g} to {_MOST_SLOTS:,}, got {cpu!r}"
        raise ConfigError(message, key="cpu")
    for name, size in (("memory", memory), ("worker_memory", worker_memory)):
        if size is not None and (not is_number(size) or not 1 <= size < float("inf")):
            message = f"{name} must be a positive number of bytes, got {size!r}"
            raise ConfigError(message, key=name)
    if spill is not None and (not is_number(spill) or not 0 <= spill < float("inf")):
        message = f"spill must be a number of bytes from 0, got {spill!r}"
        raise ConfigError(message, key="spill")
    check_home(home)


def check_home(home: Any) -> None:
    """See that a home is the path of a directory, or ``None``.

    Raises:
        ConfigError: If it is not. An empty text would be the current directory.
    """
    if home is not None and (not isinstance(home, (str, PathLike)) or home == ""):
        message = f"home must be the path of a directory, got {home!r}"
        raise ConfigError(message, key="home")


def is_seconds(value: Any) -> bool:
    """Return whether a value is a number of seconds, 0 or more."""
    return is_number(value) and 0 <= value < float("inf")


def check_fields(part: Any, fields: Iterable[tuple[str, bool, str]]) -> None:
    """See that the fields of a part are possible.

    Args:
        part: An object with a ``name``.
        fields: Of each its name, whether it is possible, and what it must be.

    Raises:
        ConfigError: If one is not.
    """
    for name, possible, expected in fields:
        if not possible:
            message = f"{name} must be {expected}, got {getattr(part, name)!r} (component {part.name!r})"
            raise ConfigError(message, key=name)
