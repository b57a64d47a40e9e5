"""The library that calls go through: aiohttp, which is optional."""

from __future__ import annotations

from tenire.errors import MissingExtraError

try:
    import aiohttp
except ModuleNotFoundError as error:
    raise MissingExtraError("calling a model over HTTP", extra="llm", missing=error.name or "aiohttp") from error

__all__ = ["aiohttp"]
