"""What an engine tidies up of its home while nobody needs it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenire.app.stores import bytes_at
from tenire.concurrency.compactor import CompactionStep

if TYPE_CHECKING:
    from tenire.app.stores import StorePlace
    from tenire.concurrency.manager import ConcurrencyManager
    from tenire.pipeline.home_session import HomeSession
    from tenire.protocols import StopSign

__all__ = ["QUIET_S", "tidy_in_idle_periods"]

QUIET_S = 20.0
_EVERY_S = 300.0


def tidy_in_idle_periods(manager: ConcurrencyManager, session: HomeSession, store: StorePlace | None) -> None:
    """Have store and ledger tidied up whenever the engine has nothing to do.

    Args:
        manager: The engine.
        session: Its hold on the home, which lasts longer than the engine.
        store: Where the store is; ``None`` if the home has none.
    """

    def tidy_store(stop: StopSign) -> int:
        assert store is not None
        before = bytes_at(store)
        return max(0, before - bytes_at(store)) if session.tidy_store(stop) else 0

    steps = {"ledger": session.tidy_ledger} | ({"store": tidy_store} if store is not None else {})
    for name, run in steps.items():
        manager.compactor.add(CompactionStep(name, run, every=_EVERY_S, quiet=QUIET_S))
