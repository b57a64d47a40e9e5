"""Where a home keeps its passages, and with which embedder: decided once, then kept.

The first run that stores something writes both into the ledger; from then on
they hold for every run, search and check of that home.
"""

from __future__ import annotations

import json
import os
import uuid
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from tenire.app.remote_embedder import is_remote
from tenire.app.stores import built_at, open_at, place_of, shown
from tenire.errors import ConfigError, EmbedderMismatchError, MissingExtraError, StoreError
from tenire.storage.home import HomeLock
from tenire.storage.ledger import Ledger
from tenire.vectors.embedding import embed_texts, embedder_identity, resolve_embedder
from tenire.vectors.postgres.address import ServerAddress
from tenire.vectors.store_files import TEXT_INDEX

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from tenire.app.stores import Built, OpenStore, StorePlace
    from tenire.storage.home import Home

__all__ = [
    "Place", "choose_place", "drop_text_index", "kept_store", "open_recorded_store", "recorded_embedder",
    "recorded_place", "require_documents_extra",
]  # fmt: skip

STORE_KEY = "store"
EMBEDDER_KEY = "embedder"
UPGRADE_KEY = "embedder_upgrade"
IDENTITY_KEY = "embedder_identity"
ID_KEY = "id"
OWN_STORE = "lancedb"

_NEEDED = ("lancedb", "pyarrow", "numpy", "zstandard", "resiliparse", "semantic_text_splitter", "kreuzberg")
_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class Place:
    """A home's store and its embedder.

    Attributes:
        home: The home.
        store: Directory of the store, or its address.
        embedder: Name of the embedder: ``minilm``, ``static`` or ``openai:MODEL``.
        identity: What the store remembers of it; ends with ``/dimension``. Empty as
            long as nobody has asked a server for the dimension of its vectors.
        replaces: Identity of the embedder that the store was built with, if it is to go
            over to this one; otherwise empty.
    """

    home: Home
    store: StorePlace
    embedder: str
    identity: str
    replaces: str = ""

    def open_store(self) -> OpenStore:
        """Open the store, making it if there is none.

        Raises:
            StoreError: If it cannot be used.
        """
        owner = _id_of(self.home) or ""
        if self.replaces:
            return open_at(self.store, owner=owner)
        dimension = int(self.identity.rpartition("/")[2])
        return open_at(self.store, dimension=dimension, embedder=self.identity, owner=owner, create=True)

    def with_dimension(self, dimension: int) -> Place:
        """Return the place once the dimension of a server's vectors is known."""
        return replace(self, identity=f"{self.embedder}/{dimension}")

    def embed(self, threads: int) -> Callable[[list[str]], NDArray[np.float32]]:
        """Return the function that embeds texts in a worker process; for embedders on this machine."""
        return partial(embed_texts, self.embedder, threads=threads, cache=None)

    def record_upgrade(self, ledger: Ledger) -> None:
        """Say in the ledger whose identity it is that the store will name, before it does."""
        ledger.remember(UPGRADE_KEY, json.dumps({"embedder": self.embedder, "identity": self.identity}))

    def record(self, ledger: Ledger) -> None:
        """Keep the decision in the ledger; as long as nothing is stored, a later one replaces it."""
        # The home's own store moves with it, and a copy of the home must not write to the original.
        store = OWN_STORE if self.store == self.home.store_path else shown(self.store)
        for key, value in ((STORE_KEY, store), (EMBEDDER_KEY, self.embedder), (IDENTITY_KEY, self.identity)):
            if value and ledger.setting(key) != value:
                ledger.remember(key, value)
        if store != OWN_STORE:
            self._mark(ledger)

    def _mark(self, ledger: Ledger) -> None:
        """Have a store outside the home say whose it is; one on a server is told when it is made."""
        identity = ledger.setting(ID_KEY)
        if identity is None:
            identity = uuid.uuid4().hex
            ledger.remember(ID_KEY, identity)
        if isinstance(self.store, ServerAddress):
            return
        owner = _owner_file(self.store)
        if os.path.exists(owner):
            return
        try:
            self.store.mkdir(parents=True, exist_ok=True)
            owner.write_text(f"{identity}\n", encoding="ascii")
        except OSError as error:
            message = f"cannot write to the store {self.store}: {error.strerror}"
            raise StoreError(message, hint="name a writable directory with --store") from error


def require_documents_extra() -> None:
    """Check that everything is installed that the documents pipeline needs.

    Raises:
        MissingExtraError: Names what is missing and the command that installs it.
    """
    missing = [package for package in _NEEDED if find_spec(package) is None]
    if missing:
        raise MissingExtraError("the documents pipeline", extra="data", missing=", ".join(missing))


def choose_place(home: Home, *, store: str, embedder: str, upgrade: bool = False) -> Place:
    """Decide where passages go and who embeds them; reads, but changes nothing.

    Args:
        home: The home; it need not exist.
        store: A directory, an address, or ``OWN_STORE``.
        embedder: An embedder's name, or ``auto`` for the home's own.
        upgrade: Whether a store that was built with another embedder may go over to this one.

    Raises:
        ConfigError: If the home already keeps its passages elsewhere, or cannot go over
            to an embedder on a server.
        EmbedderMismatchError: If they were embedded by another embedder.
        StoreError: If the home has passages but its store is gone.
    """
    _require_directory(home.path, key="home", what="the home")
    kept, kept_embedder, passages = _recorded(home)
    path = (None if store == OWN_STORE else place_of(store)) or kept or home.store_path
    if isinstance(path, Path):
        _require_directory(path, key="store", what="the store")
    moved = kept is not None and path != kept and passages > 0
    # A server may go by another name; what is there says whose it is.
    if moved and not isinstance(path, ServerAddress):
        raise _elsewhere(home, kept, path)
    stored = built_at(path)
    if path != home.store_path:
        _require_own(home, path, stored)
    if moved and stored is None:
        raise _elsewhere(home, kept, path)
    if stored is None and passages:
        counted = f"{passages:,} passage{'s' if passages > 1 else ''}"
        message = f"the store at {shown(path)} is gone, but the ledger lists {counted} in it"
        raise StoreError(message, hint="put it back, or run: tenire verify --repair, and then ingest again")
    asked_name = embedder if embedder != "auto" or kept_embedder is None else kept_embedder
    if is_remote(asked_name):
        found = stored.embedder if stored is not None else ""
        # Its dimension is part of what the store remembers, and only the server knows it.
        name, identity = asked_name, found if found.rpartition("/")[0] == asked_name else ""
    else:
        name = resolve_embedder(asked_name)
        identity = embedder_identity(name)
    if stored is not None and stored.embedder != identity:
        wanted = identity or name
        message = f"the store at {shown(path)} was built with the embedder {stored.embedder}, not with {wanted}"
        if upgrade and not is_remote(name):
            return Place(home, path, name, identity, replaces=stored.embedder)
        if upgrade:
            message = f"a store cannot go over to {name}, an embedder on a server"
            raise ConfigError(message, key="embedder", hint="ingest into another home with --home")
        other = "home and database" if isinstance(path, ServerAddress) else "home with --home"
        hint = f"use the same embedder, embed all again with --upgrade-embedder, or name another {other}"
        raise EmbedderMismatchError(message, stored=stored.embedder, asked=wanted, hint=hint)
    return Place(home, path, name, identity)


def _elsewhere(home: Home, kept: StorePlace | None, asked: StorePlace) -> ConfigError:
    assert kept is not None
    message = f"the home {home.path} keeps its passages in {shown(kept)}, not in {shown(asked)}"
    return ConfigError(message, key="store", hint="leave the store out, or name another home with --home")


def _require_own(home: Home, path: StorePlace, stored: Built | None) -> None:
    """Refuse a store outside the home that another home keeps its passages in.

    Each of the two would take the other's passages for orphans.
    """
    owner = None if stored is None else stored.owner
    if isinstance(path, Path) and os.path.exists(_owner_file(path)):
        owner = _owner_file(path).read_text(encoding="ascii", errors="replace").strip()
    if owner is not None and owner != _id_of(home):
        message = f"the store {shown(path)} belongs to another home, and {home.path} cannot share it"
        hint = "name another directory or database, or use that home with --home"
        raise ConfigError(message, key="store", hint=hint)


def _id_of(home: Home) -> str | None:
    if not Ledger.exists(home):
        return None
    with Ledger.read(home) as ledger:
        return ledger.setting(ID_KEY)


def _owner_file(path: Path) -> Path:
    return path / "owner"


def _require_directory(path: Path, *, key: str, what: str) -> None:
    """Refuse a place that can never be a directory, since it or a part of it is a file."""
    for part in (path, *path.parents):
        if os.path.lexists(part):
            if os.path.isdir(part):
                return
            message = f"{what} must be a directory, but {part} is none (got {path})"
            raise ConfigError(message, key=key, hint="name another directory")


def recorded_place(home: Home) -> tuple[StorePlace, str]:
    """Return the store and the embedder's name that a home has recorded.

    Raises:
        StoreError: If there is no home, or nothing was stored yet.
    """
    home.require()
    store, embedder, _ = _recorded(home)
    if store is None or embedder is None:
        message = f"the home at {home.path} holds no documents yet"
        raise StoreError(message, hint="run: tenire ingest PATH")
    return store, embedder


def recorded_embedder(home: Home) -> str | None:
    """Return the name of the embedder that a home has recorded, or ``None``; the home need not exist."""
    return _recorded(home)[1]


def _recorded(home: Home) -> tuple[StorePlace | None, str | None, int]:
    if not Ledger.exists(home):
        return None, None, 0
    with Ledger.read(home) as ledger:
        store = kept_store(home, ledger)
        return store, _embedder_of(ledger, store), ledger.totals().chunks


def _embedder_of(ledger: Ledger, store: StorePlace | None) -> str | None:
    """Return the name of the store's embedder; also if an engine was killed just after the store got another one."""
    name, upgrade = ledger.setting(EMBEDDER_KEY), ledger.setting(UPGRADE_KEY)
    if upgrade is None or store is None:
        return name
    begun, stored = json.loads(upgrade), built_at(store)
    return str(begun["embedder"]) if stored is not None and stored.embedder == begun["identity"] else name


def kept_store(home: Home, ledger: Ledger) -> StorePlace | None:
    """Return where a home keeps its passages, or ``None`` if nothing was decided yet."""
    store = ledger.setting(STORE_KEY)
    return home.store_path if store == OWN_STORE else place_of(store) if store else None


def open_recorded_store(home: Home, *, make: bool = False) -> OpenStore:
    """Open the store that a home has recorded.

    Args:
        home: The home.
        make: Whether to make it anew if it is gone.

    Raises:
        StoreError: If nothing was stored yet, or the store is gone or cannot be used.
    """
    path, embedder = recorded_place(home)
    if built_at(path) is not None:
        return open_at(path, owner=_id_of(home))
    if make:
        with Ledger.read(home) as ledger:
            identity = ledger.setting(IDENTITY_KEY) if is_remote(embedder) else embedder_identity(embedder)
        if identity:
            return Place(home, path, embedder, identity).open_store()
    if not _recorded(home)[2]:
        # It is made for the first file that can be read: there was none so far, or all have left.
        message = f"the home at {home.path} holds no passages yet"
        raise StoreError(message, hint="run: tenire ingest PATH")
    message = f"the store at {shown(path)} is gone"
    raise StoreError(message, hint="put it back, or run: tenire verify --repair, and then ingest again")


def set_store_aside(home: Home) -> Path | None:
    """Give a store that cannot be read another name, and return its path; ``None`` if its disk is to blame.

    That is so if one of its files cannot be read, or none of them is there.

    Raises:
        StoreError: If it cannot be renamed.
        HomeBusyError: If an engine runs on this home.
    """
    with HomeLock(home), Ledger.read(home) as ledger:
        path = kept_store(home, ledger)
        if not isinstance(path, Path) or not _whole_on_disk(path):
            return None
        number = next(number for number in count(1) if not os.path.lexists(f"{path}.damaged{number}"))
        try:
            return path.rename(f"{path}.damaged{number}")
        except OSError as error:
            message = f"cannot set the damaged store {path} aside: {error}"
            raise StoreError(message, hint=f"move {path} away, then run: tenire verify --repair") from error


def drop_text_index(home: Home, damaged: str) -> bool:
    """Delete the text index of a home's store, which is made again from the passages; return whether it was that file.

    Args:
        home: The home.
        damaged: The file that is to go, unless it is another one.

    Raises:
        StoreError: If it cannot be deleted.
        HomeBusyError: If an engine runs on this home.
    """
    with HomeLock(home), Ledger.read(home) as ledger:
        store = kept_store(home, ledger)
        if not isinstance(store, Path) or Path(damaged) != store / TEXT_INDEX:
            return False
        try:
            for suffix in ("-wal", "-shm", ""):
                Path(f"{damaged}{suffix}").unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(
                f"cannot delete {damaged}: {error}", hint="delete it, and run: tenire verify --repair"
            ) from error
        return True


def _whole_on_disk(folder: Path) -> bool:
    try:
        for path in folder.rglob("*"):
            if path.is_file():
                with path.open("rb") as file:
                    while file.read(_PIECE):
                        pass
    except OSError:
        return False
    return folder.is_dir()
