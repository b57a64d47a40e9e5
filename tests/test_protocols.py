"""Records that travel between processes."""

from __future__ import annotations

import copy
import pickle

import pytest

from tenire.protocols import Document, Passage, Place, SourceFile

PLACE = Place(("One", "Two"), 3, (4, 5), 6)


@pytest.mark.parametrize("passage", [Passage(0, 1, 2, "x"), Passage(1, 2, 5, "two", PLACE)])
def test_a_passage_comes_back_equal_and_small(passage: Passage) -> None:
    document = Document("id", SourceFile("/a", 1, 2), "hash", "", 3, (passage,))
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        assert pickle.loads(pickle.dumps(document, protocol)) == document
    assert copy.deepcopy(passage) == passage
    # Its values and its class, by reference: no names of fields.
    assert b"ordinal" not in pickle.dumps(passage, 5)
