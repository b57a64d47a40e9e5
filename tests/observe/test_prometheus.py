from __future__ import annotations

import math
import re

from tenire.observe.metrics import Family, Metrics, Sample
from tenire.observe.prometheus import prometheus_text

LINE = re.compile(r'[a-z_]+(\{[a-z_]+="([^"\\\n]|\\\\|\\"|\\n)*"(,[a-z_]+="([^"\\\n]|\\\\|\\"|\\n)*")*\})? \S+')


def test_each_kind_is_written_as_the_format_asks() -> None:
    metrics = Metrics()
    metrics.counter("ended_total", "Tasks that ended.", ("state",)).add(3, "done")
    metrics.gauge("slots", "CPU slots.").set(1.5)
    metrics.summary("wait_seconds", "Wait.").observe(2.0, times=4)
    assert prometheus_text(metrics.collect()) == (
        "# HELP tenire_ended_total Tasks that ended.\n"
        "# TYPE tenire_ended_total counter\n"
        'tenire_ended_total{state="done"} 3\n'
        "# HELP tenire_slots CPU slots.\n"
        "# TYPE tenire_slots gauge\n"
        "tenire_slots 1.5\n"
        "# HELP tenire_wait_seconds Wait.\n"
        "# TYPE tenire_wait_seconds summary\n"
        'tenire_wait_seconds{quantile="0.5"} 2\n'
        'tenire_wait_seconds{quantile="0.9"} 2\n'
        'tenire_wait_seconds{quantile="0.99"} 2\n'
        "tenire_wait_seconds_sum 8\n"
        "tenire_wait_seconds_count 4\n"
    )


def test_no_label_breaks_out_of_its_quotes() -> None:
    metrics = Metrics()
    evil = 'a"} 1\nfake_total{x="\\'
    metrics.counter("a_total", "two\nlines \\ more", ("name",)).add(1, evil)
    lines = prometheus_text(metrics.collect()).splitlines()
    assert len(lines) == 3
    assert lines[0] == r"# HELP tenire_a_total two\nlines \\ more"
    assert LINE.fullmatch(lines[2])


def test_a_label_that_is_no_text_can_be_sent() -> None:
    metrics = Metrics()
    metrics.counter("a_total", "not \udcff text", ("name",)).add(1, "p\udcffü")
    about, _, line = prometheus_text(metrics.collect()).encode().decode().splitlines()
    assert about == r"# HELP tenire_a_total not \\udcff text"
    assert line == r'tenire_a_total{name="p\\udcffü"} 1'
    assert LINE.fullmatch(line)


def test_numbers_that_are_none_are_written_in_words() -> None:
    samples = (Sample((), math.nan), Sample((), math.inf), Sample((), -math.inf), Sample((), 2.0**60))
    text = prometheus_text([Family("a", "gauge", "", samples)])
    assert text.splitlines()[2:] == ["tenire_a NaN", "tenire_a +Inf", "tenire_a -Inf", f"tenire_a {2.0**60!r}"]
