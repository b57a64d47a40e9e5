"""Graphs that are asked about texts, with the tokenizer that belongs to them."""

from __future__ import annotations

import json
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import tenire
from tenire import ConfigError, ModelFileError, PredictionError
from tenire.ml import KeptModel, ModelRegistry, OnnxModel, Tokens, fit_tokens

from .onnx_bytes import lookup, masked
from .tokenizers_file import WORDS, tokenizer

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.skipif(find_spec("tokenizers") is None, reason="tokenizers is not installed"),
    pytest.mark.skipif(find_spec("openvino") is None, reason="OpenVINO is not installed"),
]

TABLE = [[0.0, 0.0], [0.0, 1.0], [3.0, 4.0], [5.0, 0.0], [6.0, 2.0]]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "tokenizer.json").write_bytes(tokenizer())
    (tmp_path / "model.onnx").write_bytes(lookup(TABLE))
    return tmp_path


def model(files: Path, **also: Any) -> Any:
    return OnnxModel(files / "model.onnx", tokenizer=files / "tokenizer.json", **also)()


def test_texts_of_all_lengths_and_pairs_of_them_get_what_each_gets_alone(files: Path) -> None:
    texts: list[Any] = ["bread", "net boat bread", "unheard", ["boat", "bread"], "net boat bread boat"]
    expected = [[3, 4], [6, 4], [0, 1], [5, 4], [6, 4]]
    assert [result.tolist() for result in model(files).predict(texts)] == expected
    assert [model(files).predict([text])[0].tolist() for text in texts] == expected
    (files / "model.onnx").write_bytes(lookup(TABLE, masked=True))
    assert [result.tolist() for result in model(files).predict(texts)] == expected


def test_a_row_for_each_token_becomes_one_of_unit_length(files: Path) -> None:
    (files / "model.onnx").write_bytes(lookup(TABLE, pooled=False, masked=True))
    texts = ["bread", "bread boat net"]
    assert [result.shape for result in model(files).predict(texts)] == [(1, 2), (3, 2)]
    assert np.allclose(model(files, pooling="first").predict(texts), [[0.6, 0.8], [0.6, 0.8]])
    mean = np.array([14, 6]) / np.hypot(14, 6)
    assert np.allclose(model(files, pooling="mean").predict(texts), [[0.6, 0.8], mean])
    assert model(files, most_tokens=2).predict(["bread boat net"])[0].shape == (2, 2)
    with pytest.raises(ConfigError, match="pooling must be one of"):
        model(files, pooling="median")
    (files / "model.onnx").write_bytes(lookup(TABLE))
    with pytest.raises(ModelFileError, match="gives no row for each token"):
        model(files, pooling="mean").predict(texts)


def test_what_does_not_fit_is_refused_before_anything_is_asked(files: Path) -> None:
    (files / "tokenizer.json").write_bytes(tokenizer([*WORDS, "oven"]))
    with pytest.raises(ModelFileError, match=r"knows 6 tokens: .* takes numbers from 0 to 4, got some from 5 to 5"):
        model(files)
    (files / "tokenizer.json").write_bytes(b"{}")
    with pytest.raises(ModelFileError, match="the tokenizer of the model model cannot be read"):
        model(files)
    (files / "tokenizer.json").unlink()
    with pytest.raises(ModelFileError, match=r"tokenizer\.json cannot be read: No such file"):
        model(files)
    (files / "tokenizer.json").write_bytes(tokenizer())
    (files / "model.onnx").write_bytes(masked("attention_mask", mean=True))
    with pytest.raises(ModelFileError, match="takes x, which a tokenizer does not give"):
        model(files)


def test_an_item_that_is_no_text_is_told(files: Path) -> None:
    for item in (3, None, ["one"], ["one", 2]):
        with pytest.raises(PredictionError, match="takes texts, or pairs of them, got"):
            model(files).predict(["bread", item])


def test_a_graph_that_is_given_numbers_of_another_vocabulary_says_so(files: Path) -> None:
    graph = OnnxModel(files / "model.onnx")()
    assert graph.predict([[2, 3]])[0].tolist() == [5.0, 4.0]
    for numbers in ([5], [2, -1]):
        with pytest.raises(PredictionError, match="takes numbers from 0 to 4") as caught:
            graph.predict([numbers])
        assert "another vocabulary" in str(caught.value.hint)


def test_a_home_keeps_the_tokenizer_with_the_graph_and_checks_both(files: Path) -> None:
    registry = ModelRegistry(files / "home")
    settings = {"pooling": "mean", "most_tokens": 1}
    (files / "model.onnx").write_bytes(lookup(TABLE, pooled=False))
    graph, words = files / "model.onnx", files / "tokenizer.json"
    version = registry.add("looker", graph, tokenizer=words, settings=settings)
    found = KeptModel(files / "home", "looker")().predict(["bread boat"])
    assert np.allclose(found, [[0.6, 0.8]])
    with pytest.raises(ConfigError, match="a tokenizer belongs to a graph"):
        registry.add("numbers", files / "numbers.npz", tokenizer=words)
    with (version.folder / "tokenizer.json").open("ab") as file:
        file.write(b" ")
    with pytest.raises(ModelFileError, match="is damaged"):
        KeptModel(files / "home", "looker")()


def test_a_stage_gives_texts_their_tokens_by_what_was_learnt(files: Path) -> None:
    home, sink = files / "home", files / "made.jsonl"
    texts = ["the bread and the boat", "the boat and the bread"] * 20
    version = fit_tokens(home, "pieces", iter(texts), size=300)
    assert fit_tokens(home, "pieces", iter(texts), size=300).label == version.label, "the same texts, the same tokens"
    with pytest.raises(ConfigError, match="knows 256 tokens at least"):
        fit_tokens(home, "pieces", texts, size=255)
    items = [{"id": 1, "text": "the boat", "title": "bread"}, {"id": 2, "text": 7}, {"id": 3, "text": "Öl"}]

    def made(stage: Tokens) -> dict[int, Any]:
        tenire.run(tenire.Pipeline("made", source=items, stages=[stage], sink=str(sink)), home=home)
        lines = map(json.loads, sink.read_text("utf-8").splitlines())
        return {line["id"]: line["tokens"] for line in lines}

    found = made(Tokens("pieces", home=home))
    assert set(found) == {1, 3}, "what is no text goes to quarantine"
    assert found[1] == {"input_ids": found[1]["input_ids"], "attention_mask": [1, 1]}
    assert len(found[3]["input_ids"]) == 3, "what was never seen is told by its bytes"
    ids = found[1]["input_ids"]
    assert made(Tokens("pieces", home=home, inputs=("input_ids",), most=1)) == {
        1: ids[:1],
        3: [found[3]["input_ids"][0]],
    }
    both = made(Tokens("pieces", home=home, pair="title", inputs=("input_ids", "token_type_ids")))
    assert both[1]["input_ids"][:2] == ids
    assert both[1]["token_type_ids"][-1] == 1


def test_what_has_no_tokenizer_gives_no_tokens(files: Path) -> None:
    registry = ModelRegistry(files / "home")
    registry.add("bare", files / "model.onnx")
    registry.add("whole", files / "model.onnx", tokenizer=files / "tokenizer.json")
    with pytest.raises(ConfigError, match="has no tokenizer"):
        Tokens("bare", home=files / "home").as_stage(1)
    with pytest.raises(ConfigError, match="inputs must be some of input_ids"):
        Tokens("whole", home=files / "home", inputs=("ids",)).as_stage(1)
    stage: Any = Tokens("whole", home=files / "home", inputs=("input_ids",)).as_stage(1).function
    assert stage([{"id": 1, "text": "net boat"}]) == [{"id": 1, "text": "net boat", "tokens": [4, 3]}]
