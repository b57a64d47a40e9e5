from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tenire.core.stage_sizes import FIRST
from tenire.pipeline.vectorise import UnusableTextError, text_key, vectorise

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from tenire.protocols import Document


class Model:
    """Embeds a text as its length and its number of calls so far."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []

    async def embed(self, texts: list[str]) -> NDArray[np.float32]:
        self.calls.append(texts)
        await asyncio.sleep(0)
        return np.array([[len(text), ord(text[0])] for text in texts], np.float32)


def rows(
    model: Model, documents: list[Document], known: Mapping[str, NDArray[np.float32]] | None = None
) -> NDArray[np.float32] | None:
    return asyncio.run(vectorise(documents, known=known or {}, embed=model.embed))


def test_rows_stand_in_the_order_of_the_passages(document: Callable[..., Document]) -> None:
    found = rows(Model(), [document("/a", "cccc a"), document("/b", "bb ddd")])
    assert found is not None
    assert found.dtype == np.float32
    assert found.tolist() == [[4, ord("c")], [1, ord("a")], [2, ord("b")], [3, ord("d")]]


def test_equal_texts_are_embedded_once(document: Callable[..., Document]) -> None:
    model = Model()
    found = rows(model, [document("/a", "x y x"), document("/b", "y")])
    assert found is not None
    assert len(found) == 4
    assert [sorted(call) for call in model.calls] == [["x", "y"]]


def test_what_is_known_is_not_embedded(document: Callable[..., Document]) -> None:
    model = Model()
    found = rows(model, [document("/a", "x y")], {text_key("x"): np.array([7, 7], np.float32)})
    assert found is not None
    assert found.tolist() == [[7, 7], [1, ord("y")]]
    assert model.calls == [["y"]]


def test_slices_hold_texts_of_about_equal_length(document: Callable[..., Document]) -> None:
    model = Model()
    words = [("x" * (1 + number % 9)) + str(number) for number in range(2 * FIRST.slice + 5)]
    rows(model, [document("/a", " ".join(words))])
    assert [len(call) for call in model.calls] == [87, 87, 87]
    lengths = [len(text) for call in model.calls for text in call]
    assert lengths == sorted(lengths)


def test_no_passages_need_no_model(document: Callable[..., Document]) -> None:
    model = Model()
    assert rows(model, [document("/a", "")]) is None
    assert model.calls == []


def test_a_text_with_lone_surrogates_has_a_key() -> None:
    assert text_key("\udcff") != text_key("\udcfe")


def test_a_slice_that_fails_stops_the_others(document: Callable[..., Document]) -> None:
    ended: list[str] = []

    async def embed(texts: list[str]) -> NDArray[np.float32]:
        if "00000" in texts:
            raise ValueError("no model")
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("stopped")
        raise AssertionError

    words = " ".join(f"{number:05}" for number in range(FIRST.slice + 1))
    with pytest.raises(ValueError, match="no model"):
        asyncio.run(vectorise([document("/a", words)], known={}, embed=embed))
    assert ended == ["stopped"]


def test_texts_without_a_vector_are_all_named_and_stop_no_slice(document: Callable[..., Document]) -> None:
    embedded: list[str] = []

    async def embed(texts: list[str]) -> NDArray[np.float32]:
        if bad := [text for text in texts if text.endswith("7")]:
            good = {text: np.ones(2, np.float32) for text in texts if text not in bad}
            raise UnusableTextError(f"no vector for {bad[0]}", texts=bad, vectors=good)
        for _ in range(3):
            await asyncio.sleep(0)
        embedded.extend(texts)
        return np.zeros((len(texts), 2), np.float32)

    with pytest.raises(UnusableTextError) as caught:
        asyncio.run(vectorise([document("/a", "5 6 7 8 15 16 17 18 37 38")], known={}, embed=embed, most=2))
    assert caught.value.reasons == {"7": "no vector for 7", "17": "no vector for 17", "37": "no vector for 37"}
    assert sorted(embedded) == ["15", "16", "5", "6"]
    vectors = {text: f"{vector[0]:g} {vector[1]:g}" for text, vector in caught.value.vectors.items()}
    assert vectors == dict.fromkeys(["15", "16", "5", "6"], "0 0") | dict.fromkeys(["18", "38", "8"], "1 1")
