"""Reclaims the room that a home can do without, and brings its index up to date."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from tenire.app.place import kept_store, open_recorded_store
from tenire.app.stores import built_at, bytes_at
from tenire.clock import SYSTEM_CLOCK
from tenire.concurrency.compactor import Stop
from tenire.pipeline.home_session import HomeSession
from tenire.storage.home import Home

if TYPE_CHECKING:
    from pathlib import Path

    from tenire.app.stores import StorePlace

__all__ = ["Compacted", "compact"]


@dataclass(frozen=True, slots=True)
class Compacted:
    """What was reclaimed.

    Attributes:
        before_bytes: Bytes of ledger and store on disk before.
        after_bytes: The same afterwards; may be more, where an index was built.
        chunks: Passages in the store.
        indexed: Those of them in the vector index; 0 where there are so few that none is needed.
        seconds: How long it took.
    """

    before_bytes: int
    after_bytes: int
    chunks: int
    indexed: int
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """Return the object that ``tenire compact --json`` prints."""
        return asdict(self)


def compact(home: Path) -> Compacted:
    """Tidy up a home that no engine runs on: searches go on meanwhile.

    Raises:
        StoreError: If there is no home, or it cannot be written.
        HomeBusyError: If an engine runs on this home; it tidies up by itself when it has nothing to do.
    """
    place = Home(home)
    place.require()
    started = SYSTEM_CLOCK.now()
    chunks = indexed = 0
    with HomeSession(place, lambda: open_recorded_store(place), clock=SYSTEM_CLOCK) as session:
        session.recover()
        path = kept_store(place, session.ledger)
        path = None if path is None or built_at(path) is None else path
        before = _bytes(place, path)
        if path is not None:
            store = session.open_store()
            chunks, indexed = store.compact()
        session.tidy_ledger(Stop())
        after = _bytes(place, path)
    return Compacted(before, after, chunks, indexed, round(SYSTEM_CLOCK.now() - started, 3))


def _bytes(home: Home, store: StorePlace | None) -> int:
    ledger = sum(file.stat().st_size for file in home.path.glob("ledger.db*") if file.is_file())
    return ledger + (0 if store is None else bytes_at(store))
