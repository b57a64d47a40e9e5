from __future__ import annotations

import pytest

from tenire.vectors import minilm, static
from tenire.vectors.fusion import reciprocal_rank_fusion, vector_weight


def test_an_item_that_is_good_in_both_lists_beats_the_best_of_one() -> None:
    fused = reciprocal_rank_fusion([["a", "b", "c"], ["d", "b", "e"]])
    assert fused[0][0] == "b"


def test_scores_are_the_sums_of_the_papers_formula() -> None:
    fused = dict(reciprocal_rank_fusion([["a", "b"], ["b"]], k=60))
    assert fused["a"] == pytest.approx(1 / 61)
    assert fused["b"] == pytest.approx(1 / 62 + 1 / 61)


def test_ties_keep_the_order_in_which_they_appear() -> None:
    assert [item for item, _ in reciprocal_rank_fusion([["x"], ["y"], ["z"]])] == ["x", "y", "z"]


def test_nothing_gives_nothing() -> None:
    assert reciprocal_rank_fusion([]) == []
    assert reciprocal_rank_fusion([[], []]) == []


def test_a_list_may_count_less() -> None:
    rankings = [["a", "b"], ["b", "a"], ["c"]]
    assert reciprocal_rank_fusion(rankings, k=3, weights=(0.4, 1.0, 0.1))[0][0] == "b"
    assert reciprocal_rank_fusion(rankings, k=3, weights=(1.0, 0.4, 0.1))[0][0] == "a"


def test_vectors_of_single_words_count_less_than_words() -> None:
    assert vector_weight(static.IDENTITY) < vector_weight(minilm.IDENTITY) == 1.0
