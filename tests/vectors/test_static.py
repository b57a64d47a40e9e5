from __future__ import annotations

import socket
import tracemalloc
from typing import NoReturn

import numpy as np
import pytest

from tenire.vectors import static

ODD = ["", " ", "\x00", "\ud800 lone", "你好，世界", "🎉" * 50, "x" * 300_000, "汉" * 70_000, "plain words"]


@pytest.fixture(scope="module")
def embedder() -> static.StaticVectors:
    return static.StaticVectors()


def test_every_string_gets_a_unit_vector(embedder: static.StaticVectors) -> None:
    vectors = embedder.embed(ODD)
    assert vectors.shape == (len(ODD), 256)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_no_texts_give_no_rows(embedder: static.StaticVectors) -> None:
    assert embedder.embed([]).shape == (0, 256)


def test_something_else_than_a_string_is_refused(embedder: static.StaticVectors) -> None:
    with pytest.raises(TypeError, match="got int"):
        embedder.embed([3])  # type: ignore[list-item]


def test_a_vector_does_not_depend_on_its_neighbours(embedder: static.StaticVectors) -> None:
    texts = [f"text number {number} about threads" for number in range(50)]
    alone = np.concatenate([embedder.embed([text]) for text in texts])
    assert np.allclose(embedder.embed(texts), alone, atol=1e-6)


def test_counting_tokens_gives_the_same_vector_as_adding_them(
    embedder: static.StaticVectors, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = ["the quick brown fox " * 20]
    added = embedder.embed(texts)
    monkeypatch.setattr(static, "_MANY_TOKENS", 0)
    assert np.allclose(embedder.embed(texts), added, atol=1e-6)


def test_related_texts_are_closer_than_unrelated_ones(embedder: static.StaticVectors) -> None:
    query, near, far = embedder.embed(
        ["how to open a file for reading", "opening files and reading them", "the weather in the mountains"]
    )
    assert query @ near > query @ far + 0.1


def test_texts_are_handled_in_groups_of_bounded_size() -> None:
    texts = ["x" * (number * 997 % 60_000) for number in range(300)]
    groups = list(static._groups(texts))
    assert [text for group in groups for text in group] == texts
    assert max(sum(map(len, group)) for group in groups) <= 131_072
    assert len(groups) < 100


def test_one_huge_text_takes_bounded_memory(embedder: static.StaticVectors) -> None:
    # 65,536 characters of three tokens each: their vectors alone would be 200 MB.
    tracemalloc.start()
    embedder.embed(["\u13a0" * 1_000_000])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64 << 20


def test_loading_and_embedding_never_connect(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> NoReturn:
        pytest.fail("tried to reach the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert static.StaticVectors().embed(["offline"]).shape == (1, 256)
