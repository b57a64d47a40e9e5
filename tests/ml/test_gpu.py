"""A GPU is found where programs can use one, and its memory is shared out like all other memory."""

from __future__ import annotations

import importlib.machinery
import sys
from dataclasses import dataclass, replace
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tenire import ConcurrencyManager
from tenire.concurrency import manager as manager_module
from tenire.concurrency import submit
from tenire.ml import KeptModel, ModelPool, ModelRegistry, OnnxModel, gpu_memory, serving
from tenire.ml import pool as pool_module
from tenire.ml.gpu import CONTEXT_BYTES, CUDA, GPU_MEMORY, Gpu, find_gpu, onnx_providers
from tenire.ml.onnx_graph import OnnxGraph
from tenire.ml.plain import PlainModel

from .pool_models import Doubler
from .test_copies import Workers

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tenire.testing import SimLoop

CPU = "CPUExecutionProvider"


class Session:
    """Stands in for one of ONNX Runtime: doubles what it is given."""

    opened: list[Any]
    works: bool

    def __init__(self, data: bytes, options: Any, providers: list[Any]) -> None:
        Session.opened = providers
        names = [each if isinstance(each, str) else each[0] for each in providers]
        self._providers = names if Session.works else [CPU]

    def get_providers(self) -> list[str]:
        return self._providers

    def get_inputs(self) -> list[Any]:
        return [SimpleNamespace(name="x", shape=["n", 1], type="tensor(float)")]

    def get_outputs(self) -> list[Any]:
        return [SimpleNamespace(name="y", shape=["n", 1])]

    def run(self, names: list[str], inputs: dict[str, Any]) -> list[Any]:
        return [2 * inputs["x"]]


@pytest.fixture
def plant(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def plant(*providers: str, works: bool = True) -> None:
        module: Any = ModuleType("onnxruntime")
        module.__spec__ = importlib.machinery.ModuleSpec("onnxruntime", None)
        module.get_available_providers = lambda: list(providers)
        module.SessionOptions = SimpleNamespace
        module.InferenceSession = Session
        monkeypatch.setitem(sys.modules, "onnxruntime", module)
        monkeypatch.setattr(Session, "works", works, raising=False)

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return plant


def driver(folder: Path, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    script = folder / "nvidia-smi"
    script.write_text(f"#!/bin/sh\n{says}\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")


def test_a_gpu_is_there_if_the_runtime_can_use_it_and_the_driver_knows_it(
    plant: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver(
        tmp_path,
        'case "$*" in *--id=0*) echo "Large, with a comma, 8192";; *--id=3*) echo "Third, 1";; esac',
        monkeypatch,
    )
    plant(CUDA, CPU)
    assert onnx_providers() == [CUDA, CPU]
    assert find_gpu() == Gpu("Large, with a comma", 8 << 30)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,0")
    assert find_gpu() == Gpu("Third", 1 << 20)
    for hidden in ("", "-1"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
        assert find_gpu() is None
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    plant(CPU)
    assert find_gpu() is None


@pytest.mark.parametrize("says", ["exit 9", "echo 'No devices were found'", "kill -9 $$"])
def test_without_a_driver_that_answers_there_is_none(
    says: str, plant: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(CUDA, CPU)
    driver(tmp_path, says, monkeypatch)
    assert find_gpu() is None
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    assert find_gpu() is None


def test_without_a_runtime_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert onnx_providers() == []
    assert find_gpu() is None


def test_a_graph_takes_no_more_of_it_than_was_set_aside(plant: Callable[..., None]) -> None:
    plant(CUDA, CPU)
    graph = OnnxGraph(b"", "double", 1, gpu_memory=CONTEXT_BYTES + 1000)
    assert graph.on_gpu
    (name, limits), other = Session.opened
    assert (name, other, limits["gpu_mem_limit"]) == (CUDA, CPU, 1000)
    assert [float(result[0]) for result in graph.predict([np.ones(1), [3.0]])] == [2.0, 6.0]
    assert not OnnxGraph(b"", "double", 1).on_gpu
    assert Session.opened == [CPU]
    plant(CUDA, CPU, works=False)
    assert not OnnxGraph(b"", "double", 1, gpu_memory=1 << 30).on_gpu, "the runtime has fallen back"
    plant(CPU)
    assert not OnnxGraph(b"", "double", 1, gpu_memory=1 << 30).on_gpu
    assert Session.opened == [CPU]


def test_what_a_graph_wants_of_it_follows_from_its_file(plant: Callable[..., None], tmp_path: Path) -> None:
    plant(CUDA, CPU)
    file = tmp_path / "model.onnx"
    file.write_bytes(bytes(1000))
    assert OnnxModel(file).gpu_wanted() == CONTEXT_BYTES + 3000
    assert [OnnxModel(file, gpu_memory=said).gpu_wanted() for said in (0, 7)] == [0, 7]
    assert OnnxModel(tmp_path / "missing.onnx").gpu_wanted() == 0
    registry = ModelRegistry(tmp_path / "home")
    registry.add("graph", file)
    registry.save("numbers", {"a.npz": b"12345"}, kind="arrays")
    kept = KeptModel(tmp_path / "home", "graph")
    assert kept.gpu_wanted() == CONTEXT_BYTES + 3000
    assert KeptModel(tmp_path / "home", "numbers").gpu_wanted() == 0
    assert KeptModel(tmp_path / "home", "none").gpu_wanted() == 0
    assert PlainModel(kept).gpu_wanted() == CONTEXT_BYTES + 3000
    assert not PlainModel(kept)().on_gpu
    loaded = PlainModel(kept).on_gpu(2 << 30)()
    assert (loaded.on_gpu, loaded.predict([[1.0]])) == (True, [[2.0]])


@dataclass(frozen=True)
class OnGpu:
    """A factory of a model that wants 600 bytes of a GPU."""

    works: bool = True
    memory: int = 0

    def gpu_wanted(self) -> int:
        return 600

    def on_gpu(self, memory: int) -> OnGpu:
        return replace(self, memory=memory)

    def __call__(self) -> Any:
        model: Any = Doubler()
        model.on_gpu = bool(self.memory) and self.works
        return model


def in_pool(
    loop: SimLoop, monkeypatch: pytest.MonkeyPatch, found: Gpu | None, *models: OnGpu, room: int = 1000
) -> tuple[list[int], list[int], list[int]]:
    """Ask each model once; return what they have of the GPU, what is free of it then, and at the end."""
    monkeypatch.setattr(manager_module, "ThreadPoolManager", Workers)
    for module in (submit, pool_module):
        monkeypatch.setattr(module, "check_sendable", lambda fn: None)
    monkeypatch.setattr(serving, "limit_threads", lambda threads: None)
    monkeypatch.setattr(serving, "_loaded", {})
    monkeypatch.setattr(gpu_memory, "_may_be_there", lambda: True)
    looked: list[int] = []

    def look() -> Gpu | None:
        looked.append(1)
        return found

    monkeypatch.setattr(gpu_memory, "find_gpu", look)

    async def main() -> tuple[list[int], list[int], list[int]]:
        engine = ConcurrencyManager(cpu=2, memory=2000, seed=0, clock=loop.clock)
        async with engine:
            admission = engine.orchestrator.scheduler.admission

            def free() -> list[int]:
                index = admission.index_of(GPU_MEMORY)
                return [] if index is None else [admission.free[index]]

            async with ModelPool(engine, memory=room) as pool:
                for number, factory in enumerate(models):
                    pool.add(f"m{number}", factory, memory=300)
                for number, _ in enumerate(models):
                    assert (await pool.predict(f"m{number}", 4))[0] == 8
                held = [each.gpu_memory for each in pool.statistics().values()]
                between = free()
            assert len(looked) == 1, "asked once"
            return held, between, free()

    return loop.run_until_complete(main())


def test_its_memory_is_set_aside_while_a_model_is_loaded_and_the_next_one_runs_on_the_processor(
    sim_loop: SimLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = Gpu("small", 1000)
    assert in_pool(sim_loop, monkeypatch, found, OnGpu(), OnGpu()) == ([600, 0], [400], [1000])


def test_a_model_that_goes_gives_its_part_of_it_to_the_next_one(
    sim_loop: SimLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = Gpu("small", 1000)
    assert in_pool(sim_loop, monkeypatch, found, OnGpu(), OnGpu(), room=500) == ([0, 600], [400], [1000])


def test_a_model_that_fell_back_to_the_processor_has_none_of_it(
    sim_loop: SimLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = Gpu("small", 1000)
    models = (OnGpu(works=False), OnGpu())
    assert in_pool(sim_loop, monkeypatch, found, *models) == ([0, 600], [400], [1000])


def test_without_one_models_run_on_the_processor(sim_loop: SimLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    assert in_pool(sim_loop, monkeypatch, None, OnGpu(), OnGpu()) == ([0, 0], [], [])
