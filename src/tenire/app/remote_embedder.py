"""Embedders on a server: ``openai:MODEL``, and how a home remembers where it is.

A home keeps the address of the server and the name of the variable that holds the key,
never the key, so that a search needs no configuration.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec

from tenire.app.config_schema import QuotaSettings
from tenire.errors import CallTimeoutError, ModelError
from tenire.pipeline.vectorise import UnusableTextError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from tenire.llm.client import ChatClient
    from tenire.storage.home import Home
    from tenire.storage.ledger import Ledger

__all__ = ["PREFIX", "EmbedderServer", "RemoteEmbedder", "embed_with", "is_remote", "model_of"]

PREFIX = "openai:"
_KEY = "embedder_server"
_SEARCH_S = 60.0  # somebody sits and waits for it


def is_remote(embedder: str) -> bool:
    """Return whether an embedder's name stands for one on a server."""
    return embedder.startswith(PREFIX)


def model_of(embedder: str) -> str:
    """Return the model's name at the provider."""
    return embedder.removeprefix(PREFIX)


class EmbedderServer(msgspec.Struct, frozen=True):
    """Where an embedder is.

    Attributes:
        base_url: Of the API.
        api_key_env: The variable that holds the key, or ``None``.
        api_version: Of Azure's API, or ``None``.
    """

    base_url: str
    api_key_env: str | None = None
    api_version: str | None = None

    @classmethod
    def of(cls, settings: QuotaSettings) -> EmbedderServer:
        """Return the server of a quota."""
        return cls(settings.base_url, settings.api_key_env, settings.api_version)

    @classmethod
    def recorded(cls, ledger: Ledger) -> EmbedderServer | None:
        """Return the one that a home has recorded, or ``None``."""
        text = ledger.setting(_KEY)
        return None if text is None else msgspec.json.decode(text, type=cls)

    def record(self, ledger: Ledger) -> None:
        """Keep it in the ledger."""
        text = msgspec.json.encode(self).decode()
        if ledger.setting(_KEY) != text:
            ledger.remember(_KEY, text)

    def settings(self) -> QuotaSettings:
        """Return it as a quota of which nothing else is known."""
        return QuotaSettings(base_url=self.base_url, api_key_env=self.api_key_env, api_version=self.api_version)


class RemoteEmbedder:
    """Embeds queries with a model on a server; blocks, so not on an event loop.

    Args:
        home: Where vectors and spending are kept.
        name: The embedder.
        server: Where it is.
        identity: What the store remembers of it; ends with ``/dimension``.
    """

    def __init__(self, home: Home, name: str, server: EmbedderServer, identity: str) -> None:
        self.name = name
        self.identity = identity
        self._home = home
        self._server = server

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        return int(self.identity.rpartition("/")[2])

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return an array of shape ``(len(texts), dimension)``, rows of unit length.

        Raises:
            TenireError: If the server gives no vectors.
        """
        return asyncio.run(self._embed(list(texts)))

    async def _embed(self, texts: list[str]) -> NDArray[np.float32]:
        from tenire.llm.client import ChatClient

        async with ChatClient(
            model_of(self.name),
            base_url=self._server.base_url,
            api_key_env=self._server.api_key_env,
            api_version=self._server.api_version,
            home=self._home.path,
            pipeline="search",
            timeout=30.0,
            retry=3,
        ) as client:
            return await embed_with(client, texts, deadline=_SEARCH_S)


async def embed_with(client: ChatClient, texts: list[str], *, deadline: float | None = None) -> NDArray[np.float32]:
    """Return an array of one row a text, rows of unit length.

    Args:
        client: Of the model.
        texts: Any strings.
        deadline: Seconds for all of it; without one an outage of the server is waited for.

    Raises:
        UnusableTextError: If there are no vectors for some, for what is in them.
        TenireError: If it gives no vectors.
    """
    try:
        return _unit(await client.embed(texts, deadline=deadline))
    except CallTimeoutError as error:
        error.hint = (
            "is the embedder's server up? What it answers, if it says that it is down, is in the log tenire.llm"
        )
        raise
    except ModelError as error:
        if not error.texts:
            raise
        good = {texts[place]: vector for place, vector in error.vectors.items()}
        vectors = dict(zip(good, _unit(list(good.values())), strict=True))
        raise UnusableTextError(str(error), texts=[texts[place] for place in error.texts], vectors=vectors) from error


def _unit(numbers: list[Any]) -> NDArray[np.float32]:
    import numpy as np

    vectors = np.asarray(numbers, dtype=np.float32)
    if not numbers:
        return vectors
    # A text of which a model says nothing gets some direction: nothing is compared with a vector without one.
    vectors[~vectors.any(axis=1)] = 1.0
    # Most providers send unit vectors; the store counts on it.
    unit: NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit
