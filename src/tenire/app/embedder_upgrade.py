"""Has a store's passages embedded again by another embedder, while searches go on with the old one."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any

from tenire.pipeline.embedder_worker import EMBEDDER, IF_KILLED, embedding_needs

if TYPE_CHECKING:
    from collections.abc import Callable

    from tenire.app.place import Place
    from tenire.app.recipe_runs import Engine
    from tenire.concurrency.handle import Handle

__all__ = ["upgrade_embedder"]

_log = logging.getLogger("tenire.upgrade")


async def upgrade_embedder(engine: Engine, place: Place, threads: int) -> int:
    """Embed what the store has with the place's embedder, and switch to it.

    Cut off, it goes on the next time where it was.

    Args:
        engine: The engine, which holds the home.
        place: Where the passages are; its embedder is on this machine.
        threads: Threads for the model.

    Returns:
        How many passages were embedded.

    Raises:
        TenireError: If it cannot be done; then the store is what it was.
    """
    manager, session = engine.manager, engine.session

    def on_thread(step: str, fn: Callable[..., Any], *args: Any) -> Handle[Any]:
        return manager.submit(session.within, fn, *args, on="thread", name=f"upgrade embedder: {step}")

    dimension = int(place.identity.rpartition("/")[2])
    store = await on_thread("open", session.open_store)
    await on_thread("record", partial(place.record_upgrade, session.ledger))
    upgrade = await on_thread("begin", partial(store.upgrade, dimension=dimension, embedder=place.identity))
    left = await on_thread("count", upgrade.begin)
    _log.info("%s passages get vectors of %s", left, place.embedder)
    while texts := await on_thread("read", upgrade.texts):
        vectors = await manager.submit(
            place.embed(threads), texts, on="anywhere", worker=EMBEDDER, retry=IF_KILLED,
            needs=embedding_needs(), name="upgrade embedder: embed",
        )  # fmt: skip
        await on_thread("write", upgrade.add, vectors)
    await on_thread("switch", upgrade.switch)
    await on_thread("record", partial(place.record, session.ledger))
    return int(left)
