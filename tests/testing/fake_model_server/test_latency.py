"""Latencies: the mean is what it says, whatever the shape."""

from __future__ import annotations

import statistics

import pytest

from tenire.testing.fake_model_server.chance import draw
from tenire.testing.fake_model_server.latency import latency


@pytest.mark.parametrize(
    ("what", "mean"),
    [
        (0.25, 0.25), ("constant:2", 2.0), ("uniform:1:3", 2.0), ("exponential:0.5", 0.5), ("lognormal:2:0.5", 2.0),
        ("pareto:1:3", 1.0), (lambda chance: chance, 0.5),
    ],
)  # fmt: skip
def test_the_mean_is_right(what: object, mean: float) -> None:
    quantile = latency(what)  # type: ignore[arg-type]
    drawn = [quantile(draw(7, b"%d" % number, 1).latency) for number in range(20_000)]
    assert statistics.fmean(drawn) == pytest.approx(mean, rel=0.03)
    assert min(drawn) >= 0
