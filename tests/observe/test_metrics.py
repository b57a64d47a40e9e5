from __future__ import annotations

import threading

import pytest

from tenire.core.quantiles import QuantileSketch
from tenire.errors import ConfigError
from tenire.observe.metrics import OTHER, SERIES, Family, Metrics, Sample


def family(metrics: Metrics, name: str) -> Family:
    return next(each for each in metrics.collect() if each.name == name)


def test_counters_and_gauges_are_told_by_their_labels() -> None:
    metrics = Metrics()
    ended = metrics.counter("ended_total", "Tasks that ended.", ("pipeline", "state"))
    ended.add(1, "docs", "done")
    ended.add(2, "docs", "done")
    ended.add(1, "docs", "failed")
    metrics.gauge("slots", "CPU slots now.").set(3.5)
    assert family(metrics, "ended_total").samples == (
        Sample((("pipeline", "docs"), ("state", "done")), 3),
        Sample((("pipeline", "docs"), ("state", "failed")), 1),
    )
    assert family(metrics, "slots") == Family("slots", "gauge", "CPU slots now.", (Sample((), 3.5),))


def test_a_summary_tells_count_sum_and_quantiles_within_one_percent() -> None:
    metrics = Metrics()
    wait = metrics.summary("wait_seconds", "Wait in the queue, seconds.", ("pipeline",))
    for value in range(1, 101):
        wait.observe(value, "docs")
    wait.observe(7.0, "other", times=3)
    first, second = family(metrics, "wait_seconds").samples
    assert (first.count, first.value, second.count, second.value) == (100, 5050, 3, 21)
    assert dict(first.quantiles)[0.5] == pytest.approx(50, rel=0.01)
    assert dict(first.quantiles)[0.99] == pytest.approx(99, rel=0.01)
    assert wait.merged().count == 103
    assert isinstance(wait.merged(), QuantileSketch)


def test_labels_that_never_repeat_do_not_fill_the_memory() -> None:
    metrics = Metrics()
    counter, summary = metrics.counter("a_total", "", ("name",)), metrics.summary("b_seconds", "", ("name",))
    for number in range(3 * SERIES):
        counter.add(1, f"n{number}")
        summary.observe(1.0, f"n{number}")
    for name in ("a_total", "b_seconds"):
        samples = family(metrics, name).samples
        assert len(samples) == SERIES
        assert sum(sample.value for sample in samples) == 3 * SERIES
        assert samples[-1].labels == (("name", OTHER),)
    counter.add(1, "n0")
    assert family(metrics, "a_total").samples[0].value == 2, "those that are known go on"


def test_the_same_name_is_the_same_metric_and_never_another_one() -> None:
    metrics = Metrics()
    assert metrics.counter("a_total", "") is metrics.counter("a_total", "")
    with pytest.raises(ConfigError, match=r"counter with the labels \(\) already, asked for a gauge"):
        metrics.gauge("a_total", "")
    with pytest.raises(ConfigError, match="labels"):
        metrics.counter("a_total", "", ("pipeline",))


@pytest.mark.parametrize("name", ["A_total", "a-b_total", "", "1_total", "a_total\n"])
def test_impossible_names_are_refused(name: str) -> None:
    with pytest.raises(ConfigError):
        Metrics().counter(name, "")


def test_what_a_metric_cannot_take_is_refused_and_changes_nothing() -> None:
    metrics = Metrics()
    counter, wait = metrics.counter("a_total", "", ("name",)), metrics.summary("wait_seconds", "")
    with pytest.raises(ConfigError, match="only grows"):
        counter.add(-1, "x")
    with pytest.raises(ConfigError, match="labels"):
        counter.add(1)
    with pytest.raises(ConfigError, match="_total"):
        metrics.counter("count", "")
    with pytest.raises(ConfigError):
        wait.observe(float("nan"))
    assert family(metrics, "a_total").samples == ()


def test_gauges_that_are_read_late_are_read_before_each_look() -> None:
    metrics, looks = Metrics(), []
    gauge = metrics.gauge("looks", "")
    metrics.before_collecting(lambda: (looks.append(1), gauge.set(len(looks))))
    metrics.collect()
    assert family(metrics, "looks").samples[0].value == 2


def test_no_count_is_lost_between_threads() -> None:
    metrics = Metrics()
    counter = metrics.counter("a_total", "")

    def count() -> None:
        for _ in range(5_000):
            counter.add(1)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert family(metrics, "a_total").samples[0].value == 20_000
