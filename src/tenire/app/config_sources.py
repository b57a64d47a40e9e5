"""What a ``source`` means that names a file in which it is written."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from pathlib import Path

    from tenire.app.config_reading import Reader
    from tenire.app.config_tables import ListSettings, PageSettings

__all__ = ["addressed", "listed"]


def listed(reader: Reader, settings: ListSettings, key: str, base: Path) -> tuple[str, ...]:
    """Return the paths that a file lists, absolute.

    Raises:
        ConfigError: If it cannot be read, or lists none.
    """
    path = _absolute(base, settings.list)
    found = tuple(_absolute(os.path.dirname(path), line) for line in _lines(reader, path, key) if line.strip())
    if not found:
        message = f"{key} names a list without a path: {path}"
        raise reader.error(message, key, hint="a path on each line; an empty list would remove everything")
    return found


def addressed(reader: Reader, settings: PageSettings, key: str, base: Path) -> PageSettings:
    """Return the same with the addresses that are meant.

    Raises:
        ConfigError: If they cannot be read, or one of them is none.
    """
    from tenire.browser.addresses import Addresses
    from tenire.browser.errors import PageError
    from tenire.browser.urls import normal
    from tenire.errors import ConfigError

    urls: Any = settings.urls
    if isinstance(urls, str):
        lines = [urls] if "://" in urls else _lines(reader, _absolute(base, urls), f"{key}.urls")
        urls = tuple(line.strip() for line in lines if line.strip() and not line.strip().startswith("#"))
    if not urls:
        message = f"{key}.urls names no address: {settings.urls!r}"
        raise reader.error(message, f"{key}.urls", hint="an address on each line; without one all pages would leave")
    try:
        addresses = tuple(dict.fromkeys(normal(url) for url in urls))
    except PageError as error:
        raise reader.error(f"{key}.urls: {error}", f"{key}.urls") from error
    try:
        Addresses(settings.private)
    except ConfigError as error:
        raise reader.error(f"{key}.private: {error}", f"{key}.private") from error
    return msgspec.structs.replace(settings, urls=addresses)


def _lines(reader: Reader, path: str, key: str) -> list[str]:
    try:
        with open(path, "rb") as file:
            return os.fsdecode(file.read()).splitlines()
    except (OSError, ValueError) as error:
        message = f"{key} names a list that cannot be read: {path} ({getattr(error, 'strerror', None) or error})"
        raise reader.error(message, key) from error


def _absolute(base: str | Path, written: str) -> str:
    return os.path.abspath(os.path.join(base, os.path.expanduser(written)))
