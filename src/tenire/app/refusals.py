"""Refusals of what a configuration asks for, with the file and the key that asks for it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from tenire.errors import ConfigError, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tenire.app.config_schema import Config

__all__ = ["about"]


@contextmanager
def about(config: Config, key: str | None = None) -> Iterator[None]:
    """Put the configuration's file, and the key, before what a refusal in the block says.

    Args:
        config: The configuration; without a file nothing is added.
        key: The dotted key, or ``None`` if the refusal names it.

    Raises:
        ConfigError: The same refusal.
    """
    try:
        yield
    except MissingExtraError:
        raise
    except ConfigError as error:
        if config.file is None:
            raise
        place = config.file if key is None else f"{config.file}: {key}"
        raise ConfigError(f"{place}: {error}", file=config.file, key=key or error.key, hint=error.hint) from error
