"""Where the stages of a run are carried out: here, or on a cluster."""

from __future__ import annotations

import secrets
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from tenire.app.refusals import about
from tenire.concurrency.blocking import run_blocking
from tenire.concurrency.unbroken import unbroken
from tenire.pipeline.embedder_worker import share_embedder_again

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tenire.app.config import Config
    from tenire.concurrency.manager import ConcurrencyManager
    from tenire.engines.ray_engine import RayEngine

__all__ = ["connected", "shown_to", "use_cluster"]

_FOLLOW_S = 2.0
"""Seconds between two looks at what the cluster has."""

_WITNESS = "engine.witness"
"""In the home while a cluster works for it: by that a node shows that it sees the same home."""


@asynccontextmanager
async def connected(config: Config, *, cpu: float) -> AsyncIterator[RayEngine | None]:
    """Connect what is to run the stages, while the block runs; ``None`` if this machine does.

    Args:
        config: The configuration.
        cpu: CPU slots to share out on this machine.

    Raises:
        MissingExtraError: If what the configuration asks for is not installed.
        ConfigError: If there is no cluster where the configuration says, or none can be started.
    """
    asked = config.tenire.engine
    if asked.kind == "local":
        yield None
        return
    from tenire.engines.ray_engine import RayEngine

    # Making one looks at the working directory.
    engine = await run_blocking(RayEngine, asked.address, cpu=cpu if asked.address is None else config.tenire.cpu)
    try:
        with about(config):
            await run_blocking(engine.connect)
        yield engine
    finally:
        await unbroken(run_blocking(engine.disconnect))


def use_cluster(engine: RayEngine, manager: ConcurrencyManager) -> None:
    """Run stages on a cluster, and share out what it has at each time; on the loop's thread."""
    manager.thread_pool.use(engine)
    shared = engine.capacity()

    def follow() -> None:
        nonlocal shared
        engine.look()  # found at the next look
        before, shared = shared, engine.capacity()
        if shared != before:
            manager.control.resize(shared.cpu)
            share_embedder_again(manager)

    manager.control.every(_FOLLOW_S, follow, longest=_FOLLOW_S)


@asynccontextmanager
async def shown_to(engine: RayEngine | None, home: Path) -> AsyncIterator[None]:
    """Have every worker of a cluster look whether it sees the home, while the block runs."""
    if engine is None:
        yield
        return
    witness, word = home / _WITNESS, secrets.token_hex(16)
    await run_blocking(witness.write_text, word, encoding="ascii")
    engine.show((str(witness), word))
    try:
        yield
    finally:
        await unbroken(run_blocking(witness.unlink, missing_ok=True))
