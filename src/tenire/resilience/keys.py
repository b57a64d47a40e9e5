"""What equal calls have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tenire.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

__all__ = ["key_of"]


def key_of(
    fn: Callable[..., Any],
    name: str,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    own: Callable[..., Hashable] | None,
) -> Hashable:
    """Return the key of a call.

    Arguments are equal if they are of the same type too: ``1``, ``1.0`` and ``True`` may
    well have different results.

    Args:
        fn: The function.
        name: For the error.
        args: What it is called with.
        kwargs: What it is called with.
        own: Makes a key out of the arguments, or ``None``.

    Raises:
        ConfigError: If it cannot be hashed.
    """
    key: tuple[Any, ...]
    if own is not None:
        key = (fn, own(*args, **kwargs))
    else:
        items = sorted(kwargs.items()) if kwargs else ()
        key = (fn, args, tuple(map(type, args)), tuple((word, type(value), value) for word, value in items))
    try:
        hash(key)
    except TypeError as error:
        message = f"the arguments of {name} cannot be told from others: {error}"
        hint = "give guarded(key=…), a function of the arguments that returns a string, a number or a tuple of them"
        raise ConfigError(message, key="key", hint=hint) from error
    return key
