from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

import pytest

from tenire.app.config import load_config
from tenire.app.engines import connected, shown_to, use_cluster
from tenire.app.runs import run_config
from tenire.concurrency import ConcurrencyManager
from tenire.concurrency.pools.engine import Capacity
from tenire.core.tasks import Resources
from tenire.engines import ray_engine
from tenire.errors import ConfigError, MissingExtraError
from tenire.pipeline.embedder_worker import share_embedder

if TYPE_CHECKING:
    from pathlib import Path

    from tenire.app.config import Config
    from tenire.testing import SimLoop


def configuration(folder: Path, engine: str) -> Config:
    (folder / "docs").mkdir(exist_ok=True)
    (folder / "docs/a.txt").write_text("Zebras graze.")
    file = folder / "tenire.toml"
    file.write_text(
        f'[tenire]\nhome = "home"\nengine = {engine}\n[pipelines.a]\nsource = "docs"\nembedder = "static"\n'
    )
    return load_config(file)


def without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_engine, "find_spec", lambda name: None)


def test_without_ray_a_run_on_ray_is_refused_with_the_remedy_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_ray(monkeypatch)
    with pytest.raises(MissingExtraError) as caught:
        run_config(configuration(tmp_path, '"ray"'))
    assert caught.value.hint == 'run: pip install "tenire[ray]"'
    assert sorted(os.listdir(tmp_path)) == ["docs", "tenire.toml"]


def test_who_does_not_use_ray_needs_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_ray(monkeypatch)
    config = configuration(tmp_path, '"local"')

    async def scenario() -> None:
        async with connected(config, cpu=2) as engine, shown_to(engine, tmp_path):
            assert engine is None

    asyncio.run(scenario())
    assert run_config(config).pipelines["a"].done == 1


class Unreachable:
    """Stands for the engine of a cluster that is not there."""

    log: list[str]

    def __init__(self, address: str | None, *, cpu: float | None) -> None:
        self.log.append(f"{address} {cpu}")

    def connect(self) -> None:
        message = "there is no Ray cluster"
        raise ConfigError(message, key="tenire.engine")

    def disconnect(self) -> None:
        self.log.append("left")


@pytest.mark.parametrize(
    ("written", "made"),
    [('{ kind = "ray", address = "10.0.0.1:6379" }', "10.0.0.1:6379 None"), ('"ray"\ncpu = 3', "None 3")],
)
def test_a_cluster_that_is_not_there_is_refused_by_file_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str, made: str
) -> None:
    monkeypatch.setattr(ray_engine, "RayEngine", Unreachable)
    Unreachable.log = []
    with pytest.raises(ConfigError, match=r"tenire\.toml: there is no Ray cluster"):
        run_config(configuration(tmp_path, written))
    assert Unreachable.log == [made, "left"]
    assert sorted(os.listdir(tmp_path)) == ["docs", "tenire.toml"]


def test_what_a_cluster_has_is_shared_out_as_it_changes(sim_loop: SimLoop) -> None:
    class Cluster:
        found = Capacity(2, 1)

        def look(self) -> None:
            self.found = self.coming

        coming = found

        def capacity(self) -> Capacity:
            return self.found

        def processes(self) -> dict[str, int]:
            return {}

    async def main() -> None:
        cluster: Any = Cluster()
        async with ConcurrencyManager(cpu=2, memory=1000, seed=0, clock=sim_loop.clock) as manager:
            use_cluster(cluster, manager)
            share_embedder(manager)
            one = manager.snapshot().resources["embedder"].capacity
            for slots, nodes in ((6, 3), (1, 1), (2, 1)):
                cluster.coming = Capacity(slots, nodes)
                await asyncio.sleep(10)
                resources = manager.snapshot().resources
                assert resources["cpu"].capacity == slots
                assert resources["embedder"].capacity == one * nodes
            whole = manager.submit(asyncio.sleep, 0, needs=Resources(cpu=6))
            await asyncio.wait_for(whole, 60)  # it is not refused: it runs when nothing else does
            manager.thread_pool._elsewhere = None

    sim_loop.run_until_complete(main())
