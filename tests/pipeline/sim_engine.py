"""A documents pipeline on virtual time: the real engine and ledger, with faked pools, reader and model.

Functions for threads and worker processes run on the loop at the moment at which
the seed lets them finish. A wait that can never end is a ``SimDeadlockError`` at once.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from tests.simulation.pools import SimPools

from tenire.concurrency import ConcurrencyManager, manager, submit
from tenire.pipeline.document_recipe import DocumentRecipe
from tenire.pipeline.document_run import DocumentRun
from tenire.pipeline.home_session import HomeSession
from tenire.pipeline.progress import PipelineProgress
from tenire.protocols import Document, Passage, Rejection, SourceFile, StopSign
from tenire.storage.home import Home

from .conftest import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    import pytest
    from numpy.typing import NDArray

    from tenire.concurrency.handle import Handle
    from tenire.testing import SimLoop


class Pools(SimPools):
    """``model_s`` says how much longer than other functions the model takes."""

    model_s = 0.0

    def extra_s(self, handle: Handle[Any]) -> float:
        return 0.0 if handle.worker is None else self.model_s


@dataclass
class Files:
    """A source in memory. ``texts``: what each path holds; ``None`` for a file that is listed but gone."""

    texts: dict[str, str | None]
    size: int | None = None
    mtimes: dict[str, int] = field(default_factory=dict)

    def listed(self, path: str) -> SourceFile:
        text = self.texts[path]
        size = len(text or "") if self.size is None else self.size
        return SourceFile(path, size, self.mtimes.get(path, 1))

    def walk(self) -> Iterator[SourceFile | Rejection]:
        for path in self.texts:
            yield self.listed(path)

    def covers(self, path: str) -> bool:
        return True

    def prepare(self, files: list[SourceFile], known: Mapping[str, str]) -> list[Any]:
        return [self._prepared(file) for file in files]

    def _prepared(self, file: SourceFile) -> Document | Rejection:
        text = self.texts.get(file.path)
        if text is None:
            return Rejection(file, "read", "the file vanished after it was listed")
        if text.startswith("BAD"):
            return Rejection(file, "validate", "expected text", content_hash=text)
        passages = tuple(Passage(number, 0, len(word), word) for number, word in enumerate(text.split()))
        return Document(f"id of {text[:20]!r}", file, text, "", len(text), passages)


class SimStore(MemoryStore):
    """The rest of what a run asks of a store."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.long = False

    def vectors_of(self, documents: list[str]) -> dict[str, Any]:
        self.asked += documents
        return {}

    def optimise(
        self,
        *,
        idle: bool = False,
        ended: bool = False,
        stop: StopSign | None = None,
        before_long: Callable[[], object] | None = None,
    ) -> bool:
        if ended and before_long is not None and self.long:
            before_long()
        return False

    def compact(self) -> tuple[int, int]:
        return 0, 0

    def close(self) -> None:
        pass


def embed(texts: list[str]) -> NDArray[np.float32]:
    return np.zeros((len(texts), 2), np.float32)


class Engine:
    """The real engine on a virtual loop, with a home in ``path``."""

    def __init__(self, loop: SimLoop, path: Path, store: Any, *, cpu: float = 2, memory: int = 1 << 30) -> None:
        self.loop = loop
        self.store = store
        self.session = HomeSession(Home(path / "home"), lambda: store, clock=loop.clock)
        self.manager = ConcurrencyManager(cpu=cpu, memory=memory, seed=0, clock=loop.clock)
        self.progress: dict[str, PipelineProgress] = {}

    async def __aenter__(self) -> Engine:
        await self.manager.__aenter__()
        self.manager.orchestrator.register_resource("embedder", 2)
        return self

    async def __aexit__(self, *exception: Any) -> None:
        await self.manager.__aexit__(*exception)

    def run(self, name: str, files: Files, *, recipe: str = "r1") -> DocumentRun:
        self.progress[name] = PipelineProgress(name)
        return DocumentRun(
            name,
            manager=self.manager,
            session=self.session,
            source=files,
            owns_all=True,
            recipe=DocumentRecipe(recipe, files.prepare, embed, "sim/2", **self.recipe_of(files)),
            progress=self.progress[name],
            clock=self.loop.clock,
        )

    def recipe_of(self, files: Any) -> dict[str, Any]:
        """What else the recipe for these files says."""
        return {}

    def check_nothing_is_held(self) -> None:
        admission = self.manager.orchestrator.scheduler.admission
        assert list(admission.free) == list(admission.capacity)


@contextmanager
def sim_pools(monkeypatch: pytest.MonkeyPatch, **attributes: Any) -> Iterator[None]:
    """Let engines made in this block have faked pools."""
    pools = type("Pools", (Pools,), attributes)
    with monkeypatch.context() as patch:
        patch.setattr(manager, "ThreadPoolManager", pools)
        # Nothing is sent anywhere, so a test's own local functions will do.
        patch.setattr(submit, "check_sendable", lambda fn: None)
        yield
