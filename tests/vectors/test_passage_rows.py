from __future__ import annotations

import json
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING

import lancedb
import numpy as np
import pyarrow as pa
import pytest

from tenire.protocols import Place
from tenire.storage.compression import TextCodec
from tenire.vectors.passage_rows import as_rows, place_text, schema

from .conftest import DIMENSION

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tenire.vectors.store import LanceStore

    from .conftest import Maker

    Open = Callable[..., LanceStore]

PLACE = Place(headings=("Setup", "On a \N{SNOWMAN} day"), page=3, lines=(10, 12), section=4)


@pytest.mark.parametrize(
    "place", [Place(), PLACE, replace(PLACE, lines=None), Place(page=1), Place(headings=("\ud800",))]
)
def test_a_place_comes_back(place: Place) -> None:
    text = place_text(place)
    table = pa.table(
        {
            "key": [1],
            "document": ["d"],
            "ordinal": [0],
            "start": [0],
            "stop": [1],
            "text_hash": [b""],
            "text_z": [b""],
            "place": pa.array([text], pa.string()),
        }
    )
    (row,) = as_rows(table)
    # A lone surrogate is no text; the heading stays, with a mark in its place.
    assert row.place == (place if place.headings != ("\ud800",) else Place(headings=("?",)))
    assert (text is None) == (place == Place())


def test_a_hit_says_where_it_stands(open_store: Open, make: Maker) -> None:
    document = make.document("d1", "zebras graze", "ledgers balance")
    first, second = document.passages
    store = open_store()
    store.commit(make.batch("b1", replace(document, passages=(first, replace(second, place=PLACE)))))
    found = {hit.text: hit.place for hit in store.search("zebras ledgers", None, k=5, mode="text")}
    assert found == {"zebras graze": Place(), "ledgers balance": PLACE}


def test_vectors_take_half_of_the_room_and_come_back(open_store: Open, make: Maker, tmp_path: Path) -> None:
    store = open_store()
    document = make.document("d1", "zebras graze", "ledgers balance")
    store.commit(make.batch("b1", document))
    table = lancedb.connect(tmp_path / "store").open_table("passages")
    assert table.schema.field("vector").type == pa.list_(pa.float16(), DIMENSION)
    back = store.vectors_of(["d1"])[sha256(b"zebras graze").hexdigest()]
    assert back.dtype == np.float32
    assert np.allclose(back, make.vector("zebras graze"), atol=1e-3)


def test_a_vector_that_does_not_fit_is_refused(open_store: Open, make: Maker) -> None:
    batch = make.batch("b1", make.document("d1", "zebras graze"))
    assert batch.vectors is not None
    with pytest.raises(ValueError, match="far longer than 1"):
        open_store().commit(replace(batch, vectors=batch.vectors * 1e9))


def test_a_store_of_the_first_format_goes_on_working(open_store: Open, make: Maker, tmp_path: Path) -> None:
    path = tmp_path / "store"
    path.mkdir()
    (path / "format.json").write_text(json.dumps({"embedder": "bag", "dimension": DIMENSION, "format": 1}))
    old = schema(DIMENSION, half=False)
    old = old.remove(old.get_field_index("place"))
    text = "zebras graze"
    row = {
        "key": 0,
        "document": "d1",
        "ordinal": 0,
        "start": 0,
        "stop": len(text),
        "batch": "b1",
        "source": "/docs/d1.txt",
        "text_hash": sha256(text.encode()).digest(),
        "text_z": TextCodec().compress(text),
        "vector": make.vector(text).tolist(),
    }
    lancedb.connect(path).create_table("passages", data=pa.Table.from_pylist([row], old))

    store = open_store()
    (hit,) = store.search("zebras", make.vector("zebras"), k=5, mode="hybrid")
    assert (hit.text, hit.place) == (text, Place())

    new = make.document("d2", "ledgers balance")
    store.commit(make.batch("b2", replace(new, passages=(replace(new.passages[0], place=PLACE),))))
    assert [hit.place for hit in store.search("ledgers", make.vector("ledgers"), k=1, mode="hybrid")] == [PLACE]
    assert [hit.text for hit in open_store().search(text, make.vector(text), k=1, mode="vector")] == [text]
    check = store.check()
    assert (check.passages, check.duplicates, check.unindexed, check.damaged) == ({"d1": 1, "d2": 1}, 0, 0, frozenset())
    assert json.loads((path / "format.json").read_text())["format"] == 1
