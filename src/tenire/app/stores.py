"""The two kinds of places that a store can be in: a directory, and a database on a server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from tenire.app.config_values import is_dsn
from tenire.vectors.postgres.address import ServerAddress
from tenire.vectors.store_files import read_format

if TYPE_CHECKING:
    from tenire.vectors.postgres.store import PostgresStore
    from tenire.vectors.store import LanceStore

__all__ = ["Built", "OpenStore", "StorePlace", "built_at", "bytes_at", "open_at", "place_of", "shown"]

StorePlace: TypeAlias = Path | ServerAddress
OpenStore: TypeAlias = "LanceStore | PostgresStore"


class Built(NamedTuple):
    """What a store was built with.

    Attributes:
        embedder: Identity of its embedder.
        owner: Id of the home that it belongs to; ``None`` where the store itself does not say.
    """

    embedder: str
    owner: str | None = None


def place_of(store: str) -> StorePlace:
    """Return where a store of this name is.

    Raises:
        ConfigError: If it looks like an address and is none.
    """
    return ServerAddress.of(store) if is_dsn(store) else Path(store)


def shown(place: StorePlace) -> str:
    """Return a place as messages and the ledger may hold it: without a password."""
    return place.shown if isinstance(place, ServerAddress) else str(place)


def built_at(place: StorePlace) -> Built | None:
    """Return what the store in a place was built with, or ``None`` if there is none.

    Raises:
        StoreError: If it cannot be looked at, or is of a newer Tenire.
        MissingExtraError: If it is on a server, and what is needed for that is not installed.
    """
    if isinstance(place, ServerAddress):
        from tenire.vectors.postgres.store import format_at

        found = format_at(place)
        return None if found is None else Built(found.embedder, found.owner)
    stored = read_format(place)
    return None if stored is None else Built(stored.embedder)


def open_at(
    place: StorePlace,
    *,
    dimension: int | None = None,
    embedder: str | None = None,
    owner: str | None = None,
    create: bool = False,
) -> OpenStore:
    """Open a store.

    Args:
        place: Where it is.
        dimension: Length of a vector, to make it or to see that it is the one.
        embedder: Identity of the embedder, likewise.
        owner: Id of the home, likewise; in a directory it is not looked at.
        create: Whether to make it if there is none.

    Raises:
        StoreError: If it cannot be used.
        EmbedderMismatchError: If it was built with another embedder.
    """
    if isinstance(place, ServerAddress):
        from tenire.vectors.postgres.store import PostgresStore

        return PostgresStore(place, dimension=dimension, embedder=embedder, owner=owner, create=create)
    from tenire.vectors.store import LanceStore

    return LanceStore(place, dimension=dimension, embedder=embedder, create=create)


def bytes_at(place: StorePlace) -> int:
    """Return how much room a store takes.

    Raises:
        StoreError: If it is on a server that cannot be asked.
    """
    if isinstance(place, ServerAddress):
        store = open_at(place)
        try:
            return store.sizes()["store_bytes"]
        finally:
            store.close()
    return sum(path.stat().st_size for path in place.rglob("*") if path.is_file())
