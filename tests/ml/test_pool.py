"""Models in worker processes: loaded once, asked in batches, and gone when others need the room."""

from __future__ import annotations

import asyncio
import pickle
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tenire import ConcurrencyManager, ConfigError, ModelFileError, PredictionError, Priority
from tenire.ml import KeptModel, ModelPool, ModelRegistry, OnnxModel
from tenire.ml.onnx_graph import OnnxGraph

from . import pool_models as models
from .onnx_bytes import masked, matmul

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path


# Importing it here would start its telemetry.
needs_openvino = pytest.mark.skipif(find_spec("openvino") is None, reason="OpenVINO is not installed")


def in_pool(act: Callable[[ModelPool], Coroutine[Any, Any, None]], memory: int = 1 << 30) -> None:
    async def run() -> None:
        async with ConcurrencyManager(cpu=2, memory=2 << 30) as manager, ModelPool(manager, memory=memory) as pool:
            await act(pool)

    asyncio.run(run())


def test_calls_at_the_same_time_share_a_batch_in_one_process() -> None:
    async def act(pool: ModelPool) -> None:
        pool.add("doubler", models.Doubler)
        await pool.warm_up("doubler")
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(pool.predict("doubler", number)) for number in range(40)]
        results = [task.result() for task in asked]
        assert [double for double, _, _ in results] == [2 * number for number in range(40)]
        assert len({process for _, process, _ in results}) == 1
        assert max(size for _, _, size in results) == 40
        counted = pool.statistics()["doubler"]
        assert (counted.loaded, counted.loads, counted.items, counted.batches) == (True, 1, 40, 1)
        assert counted.memory != 256 << 20, "measured, not thought"

    in_pool(act)


def test_the_item_that_makes_a_batch_fail_is_found_whatever_it_does() -> None:
    async def act(pool: ModelPool) -> None:
        pool.add("doubler", models.Doubler)
        items: list[Any] = [1, 2, "bad", 3, "nan", 4, "memory", 5, "crash", 6]
        found = dict([pair async for pair in pool.map("doubler", items)])
        assert [found[place][0] for place in (0, 1, 3, 5, 7, 9)] == [2, 4, 6, 8, 10, 12]
        assert isinstance(found[2], ValueError)
        assert "no number" in str(found[4])
        assert all(isinstance(found[place], PredictionError) for place in (4, 6, 8))
        assert "for one item" in str(found[8])

    in_pool(act)


def test_what_is_no_number_is_found_inside_of_a_result() -> None:
    nan = float("nan")

    async def act(pool: ModelPool) -> None:
        pool.add("echo", models.Echo)
        sound: list[Any] = [[1.0, 2.0], {"score": (0.5, None)}, "nan", b"", [], complex(1, 2), np.array(["nan"])]
        unsound: list[Any] = [
            [1.0, nan],
            {"score": (0.5, nan)},
            ({"a": [nan]},),
            complex(nan, 1),
            [np.array([1.0, nan])],
        ]
        found = dict([pair async for pair in pool.map("echo", [*sound, *unsound])])
        assert [found[place] for place in range(len(sound) - 1)] == sound[:-1]
        for place in range(len(sound), len(found)):
            assert isinstance(found[place], PredictionError), found[place]
            assert "no number" in str(found[place])

    in_pool(act)


def test_a_model_goes_when_another_needs_the_room_and_comes_back_when_it_is_asked() -> None:
    async def act(pool: ModelPool) -> None:
        for name in ("a", "b"):
            pool.add(name, models.Doubler, memory=600 << 20)
        for name in ("a", "b", "a"):
            assert (await pool.predict(name, 1))[0] == 2
        counts = pool.statistics()
        assert (counts["a"].loads, counts["b"].loads) == (1, 1)  # what was measured is less than was thought
        pool.add("c", models.Doubler, memory=1 << 30)
        await pool.warm_up("c")
        loaded = {name for name, each in pool.statistics().items() if each.loaded}
        assert loaded == {"c"}
        await pool.predict("a", 1)
        assert pool.statistics()["a"].loads == 2

    in_pool(act)


def test_a_model_that_is_being_loaded_keeps_its_room() -> None:
    async def act(pool: ModelPool) -> None:
        for name in ("a", "b"):
            pool.add(name, models.Doubler, memory=600 << 20)
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(pool.predict(name, 1)) for name in ("a", "b", "a")]
        assert [task.result()[0] for task in asked] == [2, 2, 2]
        assert [each.loads for each in pool.statistics().values()] == [1, 1]

    in_pool(act)


def test_a_pinned_model_stays() -> None:
    async def act(pool: ModelPool) -> None:
        pool.add("pinned", models.Doubler, pinned=True)
        pool.add("large", models.Doubler, memory=(1 << 30) - 1)
        await pool.warm_up("pinned")
        waiting = asyncio.ensure_future(pool.warm_up("large"))  # noqa: TID251 - it is cancelled below
        for _ in range(10):
            await asyncio.sleep(0)
        assert not waiting.done()
        waiting.cancel()
        await asyncio.wait([waiting])
        assert (await pool.predict("pinned", 2))[0] == 4
        assert pool.statistics()["pinned"].loads == 1

    in_pool(act)


def test_urgent_items_do_not_wait_behind_many_others() -> None:
    async def act(pool: ModelPool) -> None:
        pool.add("doubler", models.Doubler, most=4)
        await pool.warm_up("doubler")
        order: list[str] = []

        async def ask(what: str, priority: Priority) -> None:
            await pool.predict("doubler", 1, priority=priority)
            order.append(what)

        async with asyncio.TaskGroup() as group:
            for _ in range(40):
                group.create_task(ask("bulk", Priority.LOW))
            group.create_task(ask("urgent", Priority.HIGH))
        assert order.index("urgent") <= 8  # behind the batch that ran, and at most one that was on its way

    in_pool(act)


def test_what_cannot_be_loaded_says_why() -> None:
    async def act(pool: ModelPool) -> None:
        pool.add("broken", models.broken)
        pool.add("nothing", models.nothing)
        pool.add("short", models.Short)
        with pytest.raises(ModelFileError, match="cannot be loaded: OSError: no such weights"):
            await pool.predict("broken", 1)
        with pytest.raises(ModelFileError, match="is a int"):
            await pool.predict("nothing", 1)
        with pytest.raises(PredictionError, match="a result for each of 1 items, got 0"):
            await pool.predict("short", 1)
        with pytest.raises(ConfigError, match="there is no model 'other'"):
            await pool.predict("other", 1)
        with pytest.raises(ConfigError, match="there is a model 'short' already"):
            pool.add("short", models.Short)
        with pytest.raises(ConfigError, match="threads must be"):
            pool.add("none", models.Short, threads=0)
        assert not pool.statistics()["broken"].loaded

    in_pool(act)


@needs_openvino
def test_a_graph_in_a_file_is_run_and_refuses_what_does_not_fit(tmp_path: Path) -> None:
    (tmp_path / "double.onnx").write_bytes(matmul([[2.0, 0.0], [0.0, 3.0]]))
    (tmp_path / "damaged.onnx").write_bytes(b"no graph")

    async def act(pool: ModelPool) -> None:
        pool.add("double", OnnxModel(tmp_path / "double.onnx"))
        pool.add("damaged", OnnxModel(tmp_path / "damaged.onnx"))
        pool.add("missing", OnnxModel(tmp_path / "missing.onnx"))
        items: list[Any] = [[1.0, 1.0], [1.0, 2.0, 3.0], [4.0, 5.0], [float("nan"), 1.0]]
        found = dict([pair async for pair in pool.map("double", items)])
        assert [found[place].tolist() for place in (0, 2)] == [[2.0, 3.0], [8.0, 15.0]]
        assert "takes arrays of the shape (2), got one of the shape (3,)" in str(found[1])
        assert "NaN" in str(found[3])
        with pytest.raises(ModelFileError, match="no graph in the ONNX format"):
            await pool.warm_up("damaged")
        with pytest.raises(ModelFileError, match="cannot be read"):
            await pool.warm_up("missing")

    in_pool(act)


def _graph(data: bytes) -> Any:
    return OnnxGraph(data, "scorer", 1)


def _pair(other: str, *numbers: float, counts: float = 1) -> dict[str, list[float]]:
    return {"x": list(numbers), other: [counts] * len(numbers)}


@needs_openvino
def test_items_of_different_lengths_get_what_each_gets_alone() -> None:
    graph = _graph(masked("weights", mean=True))
    items = [_pair("weights", 1, 2, 3), _pair("weights", 4), _pair("weights", 5, 6, 7), _pair("weights", 8, 10)]
    assert [float(result) for result in graph.predict(items)] == [2, 4, 6, 9]
    assert [float(graph.predict([item])[0]) for item in items] == [2, 4, 6, 9]
    assert graph.predict([]) == []


@needs_openvino
def test_a_graph_with_a_mask_takes_all_lengths_at_once_and_what_was_filled_up_is_cut_off() -> None:
    items = [_pair("attention_mask", 1, 2, 3), _pair("attention_mask", 4)]
    assert [row.tolist() for row in _graph(masked("attention_mask", mean=False)).predict(items)] == [[1, 2, 3], [4]]
    # The mean of this graph takes no care of the mask, and so shows that the second one has three places.
    found = _graph(masked("attention_mask", mean=True)).predict(items)
    assert [float(result) for result in found] == pytest.approx([2, 4 / 3])
    assert _graph(masked("attention_mask", mean=True)).predict([]) == []


@needs_openvino
def test_what_a_graph_with_several_inputs_is_not_given_is_told() -> None:
    graph = _graph(masked("weights", mean=True))
    with pytest.raises(PredictionError, match=r"dicts with arrays for x, weights, got a dict with x$"):
        graph.predict([{"x": [1.0]}])
    with pytest.raises(PredictionError, match="got a list"):
        graph.predict([[1.0]])
    with pytest.raises(PredictionError, match=r"of the shape \(any\) as weights, got one of the shape \(1, 1\)"):
        graph.predict([{"x": [1.0], "weights": [[1.0]]}])


@needs_openvino
def test_models_of_a_home_are_checked_and_asked(tmp_path: Path) -> None:
    from sklearn.linear_model import LogisticRegression

    plain = LogisticRegression().fit(np.array([[0.0], [1.0]]), np.array([0, 1]))
    (tmp_path / "plain.pkl").write_bytes(pickle.dumps(plain))
    (tmp_path / "double.onnx").write_bytes(matmul([[2.0]]))
    registry = ModelRegistry(tmp_path / "home")
    registry.add("plain", tmp_path / "plain.pkl", allow_pickle=True)
    registry.add("double", tmp_path / "double.onnx")
    registry.save("numbers", {"model.npz": b""}, kind="arrays")

    async def act(pool: ModelPool) -> None:
        for name in ("plain", "double", "numbers"):
            pool.add(name, KeptModel(tmp_path / "home", name))
        assert [await pool.predict("plain", [value]) for value in (-1.0, 2.0)] == [0, 1]
        assert (await pool.predict("double", [4.0])).tolist() == [8.0]
        with pytest.raises(ModelFileError, match="no more than numbers"):
            await pool.predict("numbers", [1.0])

    in_pool(act)
