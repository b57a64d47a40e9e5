from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tenire.concurrency.pools import background
from tenire.errors import ConfigError, MissingExtraError
from tenire.vectors import embedding, weights


def test_auto_is_minilm_when_its_parts_are_installed() -> None:
    assert embedding.resolve_embedder("auto") == "minilm"


def test_auto_is_static_without_openvino(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding, "is_installed", lambda package: package != "openvino")
    assert embedding.resolve_embedder("auto") == "static"


def test_auto_is_static_without_the_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding, "find_minilm", lambda: None)
    assert embedding.resolve_embedder("auto") == "static"


def test_auto_without_any_model_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding, "find_minilm", lambda: None)
    monkeypatch.setattr(embedding, "find_static", lambda: None)
    with pytest.raises(MissingExtraError) as caught:
        embedding.resolve_embedder("auto")
    assert caught.value.hint == 'run: pip install "tenire[data]"'


@pytest.mark.parametrize(("wrong", "right"), [("minilmm", "minilm"), ("Static", "static"), ("aut", "auto")])
def test_an_unknown_name_is_refused_with_the_nearest_one(wrong: str, right: str) -> None:
    with pytest.raises(ConfigError) as caught:
        embedding.load_embedder(wrong)
    assert repr(wrong) in str(caught.value)
    assert repr(right) in str(caught.value.hint)


def test_a_server_embedder_is_refused_naming_what_there_is() -> None:
    with pytest.raises(
        ConfigError, match="on a server and cannot be loaded here; those that can: auto, minilm, static"
    ):
        embedding.load_embedder("openai:text-embedding-3-small")


def test_threads_must_be_positive() -> None:
    with pytest.raises(ConfigError, match="positive whole number, got 0"):
        embedding.load_embedder("static", threads=0)


def test_the_identity_is_that_of_the_loaded_embedder() -> None:
    loaded = embedding.load_embedder("static")
    assert embedding.embedder_identity("static") == loaded.identity
    assert loaded.identity.endswith(f"/{loaded.dimension}")
    assert embedding.embedder_identity("auto") == embedding.embedder_identity("minilm")


def test_a_worker_loads_a_model_once() -> None:
    embedding._loaded.cache_clear()
    first = embedding.embed_texts("static", ["one"], None, None)
    second = embedding.embed_texts("static", ["one"], None, None)
    assert (first == second).all()
    assert embedding._loaded.cache_info().misses == 1


def test_in_a_worker_its_tokenizer_has_the_threads_of_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "_limits", ("RAYON_NUM_THREADS",))
    monkeypatch.setenv("RAYON_NUM_THREADS", "1")
    embedding._loaded.cache_clear()
    embedding.embed_texts("static", ["one"], 3, None)
    assert os.environ["RAYON_NUM_THREADS"] == "3"


def test_asking_for_an_identity_loads_no_model_library() -> None:
    code = (
        "import sys, tenire.vectors; before = 'numpy' in sys.modules; tenire.vectors.embedder_identity('auto');"
        "print(before, [m for m in ('openvino', 'tokenizers', 'lancedb', 'wordllama') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False []"


def test_a_package_without_the_files_is_not_taken_for_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "_MINILM_PLACES", (("json", "model"), ("no_such_package_here", "model")))
    assert weights.find_minilm() is None
