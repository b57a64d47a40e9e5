from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tenire.clock import SYSTEM_CLOCK
from tenire.pipeline import model_worker
from tenire.pipeline.home_session import HomeSession
from tenire.pipeline.vector_memos import VectorMemos
from tenire.pipeline.vectorise import text_key
from tenire.storage.home import Home
from tenire.testing import SimLoop

from . import sim_engine
from .sim_engine import Engine, Files, SimStore, sim_pools

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray


@pytest.fixture
def session(tmp_path: Path) -> Iterator[HomeSession]:
    with HomeSession(Home(tmp_path / "home"), SimStore, clock=SYSTEM_CLOCK) as session:
        yield session


def test_vectors_come_back_bit_by_bit_for_their_model_only_until_they_are_forgotten(session: HomeSession) -> None:
    vectors = np.random.default_rng(1).standard_normal((3, 5)).astype(np.float32)
    VectorMemos(session, "m1").keep(["a", "b", "c"], vectors)
    memos = VectorMemos(session, "m1")  # as the next run would
    found = memos.recall(["a", "c", "unknown"])
    assert set(found) == {text_key("a"), text_key("c")}
    assert found[text_key("c")].tobytes() == vectors[2].tobytes()
    assert VectorMemos(session, "m2").recall(["a"]) == {}
    memos.forget(["a", "unknown"])
    assert set(memos.recall(["a", "b"])) == {text_key("b")}
    session.forget_all()
    assert VectorMemos(session, "m1").recall(["b"]) == {}


def test_a_run_that_broke_off_hands_what_the_model_computed_to_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedded: list[str] = []

    def embed(texts: list[str]) -> NDArray[np.float32]:
        embedded.extend(texts)
        return np.ones((len(texts), 2), np.float32)

    monkeypatch.setattr(sim_engine, "embed", embed)
    monkeypatch.setattr(model_worker, "WORTH_KEEPING_S", 0.0)
    store = SimStore()
    files = Files({"/long": " ".join(f"word{number}" for number in range(400))})

    def run(stop_after: int | None) -> tuple[int, bool]:
        async def main() -> int:
            async with engine, engine.session:
                task = asyncio.create_task(engine.run("p", files).run())
                while stop_after is not None and len(embedded) < stop_after:  # noqa: ASYNC110 - virtual time
                    await asyncio.sleep(0.001)
                if stop_after is not None:
                    await asyncio.sleep(0.3)  # virtual: what was computed is written
                    task.cancel()
                await asyncio.wait([task])
                assert stop_after is not None or task.exception() is None
                return engine.progress["p"].chunks

        with sim_pools(monkeypatch, model_s=1.0), SimLoop(3) as loop:
            engine = Engine(loop, tmp_path, store)
            chunks = loop.run_until_complete(main())
        with HomeSession(Home(tmp_path / "home"), lambda: store, clock=SYSTEM_CLOCK) as session:
            return chunks, session.has_memos("sim/2")

    broken = run(stop_after=128)
    before = len(embedded)
    assert broken == (0, True)
    assert 128 <= before < 400
    assert run(stop_after=None) == (400, False)
    again = len(embedded) - before
    assert again <= 400 - 128, "the first slice was computed twice"
