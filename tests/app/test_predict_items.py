"""Real runs of pipelines that ask a model of any kind: an ONNX graph, or an object that was let in."""

from __future__ import annotations

import json
import pickle
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import pytest

from tenire.app.inspect import failed
from tenire.errors import ConfigError
from tenire.ml import ModelRegistry

from ..ml.onnx_bytes import lookup, matmul
from ..ml.tokenizers_file import tokenizer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tenire.pipeline.progress import RunReport

PREDICT = """
[pipelines.scores]
recipe = "predict"
model = "scorer"
output = "scores.jsonl"
"""


def outputs(path: Path) -> dict[Any, Any]:
    lines = [json.loads(line) for line in (path / "scores.jsonl").read_text("utf-8").splitlines()]
    assert all(set(line) == {"id", "output"} for line in lines)
    assert len({line["id"] for line in lines}) == len(lines)
    return {line["id"]: line["output"] for line in lines}


def keep(tmp_path: Path, model: Any) -> None:
    file = tmp_path / "model.pkl"
    file.write_bytes(pickle.dumps(model))
    ModelRegistry(tmp_path / "home").add("scorer", file, allow_pickle=True)


@pytest.mark.skipif(find_spec("openvino") is None and find_spec("onnxruntime") is None, reason="nothing runs ONNX")
def test_a_graph_is_given_a_field_and_a_row_that_it_cannot_take_goes_to_quarantine(
    tmp_path: Path, run_toml: Callable[..., RunReport]
) -> None:
    (tmp_path / "scorer.onnx").write_bytes(matmul([[1.0, 0.0], [0.0, 2.0]]))
    ModelRegistry(tmp_path / "home").add("scorer", tmp_path / "scorer.onnx")
    rows: list[dict[str, Any]] = [{"id": number, "vector": [number, 1]} for number in range(300)]
    rows += [{"id": "long", "vector": [1, 2, 3]}, {"id": "none", "vector": None}, {"id": "words", "vector": ["a", "b"]}]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    table = PREDICT + 'source = "rows.jsonl"\ninput = "vector"\n'
    run = run_toml(table).pipelines["scores"]
    assert (run.state, run.seen, run.done, run.quarantined) == ("done", 303, 300, 3)
    assert outputs(tmp_path) == {number: [float(number), 2.0] for number in range(300)}
    reasons = {str(entry.source).partition("#")[2]: entry.error for entry in failed(tmp_path / "home")}
    assert "takes arrays of the shape (2), got one of the shape (3,) (look at the field" in reasons["long"]
    assert "expected something in the field vector, got nothing" in reasons["none"]
    assert "no numbers: ['a', 'b']" in reasons["words"]
    again = run_toml(table).pipelines["scores"]
    assert (again.unchanged, again.done, again.quarantined) == (300, 0, 3)


@pytest.mark.skipif(find_spec("openvino") is None or find_spec("tokenizers") is None, reason="nothing runs it")
def test_a_graph_with_its_tokenizer_is_asked_about_a_text_or_about_two_as_a_pair(
    tmp_path: Path, run_toml: Callable[..., RunReport]
) -> None:
    (tmp_path / "tokenizer.json").write_bytes(tokenizer())
    (tmp_path / "scorer.onnx").write_bytes(lookup([[0.0], [1.0], [2.0], [3.0], [4.0]]))
    files = tmp_path / "scorer.onnx", tmp_path / "tokenizer.json"
    ModelRegistry(tmp_path / "home").add("scorer", files[0], tokenizer=files[1])
    rows = [{"id": 1, "text": "bread", "other": "net"}, {"id": 2, "text": "boat", "other": " "}, {"id": 3, "text": 4}]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    table = PREDICT + 'source = "rows.jsonl"\n'

    def refused() -> dict[str, str]:
        return {str(entry.source).partition("#")[2]: entry.error for entry in failed(tmp_path / "home")}

    assert run_toml(table).pipelines["scores"].done == 2
    assert outputs(tmp_path) == {1: [2.0], 2: [3.0]}
    assert "takes texts, or pairs of them, got 4" in refused()["3"]
    assert run_toml(table + 'columns = ["text", "other"]\n').pipelines["scores"].quarantined == 2
    assert outputs(tmp_path) == {1: [4.0]}
    assert refused() == {
        "2": "line 2: expected a text in the field other, got ' '",
        "3": "line 3: expected a text in the field text, got 4",
    }


def test_columns_of_a_table_are_numbers_and_results_are_measured_where_the_right_one_is_known(
    tmp_path: Path, run_toml: Callable[..., RunReport]
) -> None:
    linear = pytest.importorskip("sklearn.linear_model")
    keep(tmp_path, linear.LinearRegression().fit([[0, 0], [1, 0], [0, 1]], [0.0, 1.0, 10.0]))
    (tmp_path / "rows.csv").write_text("id,tens,ones,label\na,2,3,24\nb,4,1,41\nc,x,1,\n")
    run = run_toml(PREDICT + 'source = "rows.csv"\ncolumns = ["ones", "tens"]\n').pipelines["scores"]
    assert (run.done, run.quarantined) == (2, 1)
    assert {name: round(value, 6) for name, value in outputs(tmp_path).items()} == {"a": 23.0, "b": 41.0}
    totals = run.totals()
    assert (totals["mean_absolute_error"], totals["labelled_rows"]) == (0.5, 2)
    assert totals["root_mean_squared_error"] == round(0.5**0.5, 6)
    (entry,) = failed(tmp_path / "home")
    assert entry.error == "line 4: expected a number in the field tens, got 'x'"


def test_a_model_that_tells_classes_is_measured_as_one_and_another_order_of_columns_asks_anew(
    tmp_path: Path, run_toml: Callable[..., RunReport]
) -> None:
    tree = pytest.importorskip("sklearn.tree")
    keep(tmp_path, tree.DecisionTreeClassifier().fit([[0, 1], [1, 0]], [7, 9]))
    (tmp_path / "rows.csv").write_text("id,x,y,label\na,0,1,7\nb,1,0,7\n")
    table = PREDICT + 'source = "rows.csv"\ncolumns = ["x", "y"]\n'
    assert run_toml(table).pipelines["scores"].totals()["accuracy"] == 0.5
    assert outputs(tmp_path) == {"a": 7, "b": 9}
    run = run_toml(table.replace('"x", "y"', '"y", "x"')).pipelines["scores"]
    assert (run.done, outputs(tmp_path)) == (2, {"a": 9, "b": 7})


def test_what_a_model_is_given_has_to_be_plain_before_anything_starts(
    tmp_path: Path, run_toml: Callable[..., RunReport]
) -> None:
    (tmp_path / "rows.csv").write_text("id,x,label\na,0,1\n")
    (tmp_path / "none.onnx").write_bytes(b"")
    ModelRegistry(tmp_path / "home").add("scorer", tmp_path / "none.onnx")
    table = PREDICT + 'source = "rows.csv"\n'
    with pytest.raises(ConfigError, match="either input or columns"):
        run_toml(table + 'input = "x"\ncolumns = ["x"]\n')
    with pytest.raises(ConfigError, match=r"pipelines\.scores\.columns needs the field z, but the rows"):
        run_toml(table + 'columns = ["x", "z"]\n')
    settings = {"features": "hashing", "embedder": "", "identity": "hashing"}
    ModelRegistry(tmp_path / "home").save("scorer", {"head.npz": b""}, kind="classifier", settings=settings)
    with pytest.raises(ConfigError, match="labels texts, which are in one field"):
        run_toml(table + 'columns = ["x"]\n')


def test_a_model_that_cannot_be_loaded_ends_the_pipeline_and_not_its_rows(
    tmp_path: Path, run_toml: Callable[..., RunReport]
) -> None:
    keep(tmp_path, 3)
    (tmp_path / "rows.csv").write_text("id,x\na,0\nb,1\n")
    run = run_toml(PREDICT + 'source = "rows.csv"\ncolumns = ["x"]\n').pipelines["scores"]
    assert (run.state, run.quarantined) == ("failed", 0)
    assert "a model is an object with predict" in str(run.error)
