"""Metrics as text, in the form that Prometheus and compatible collectors read.

Source: "Exposition formats", version 0.0.4, Prometheus documentation.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tenire.observe.metrics import Family

__all__ = ["CONTENT_TYPE", "prometheus_text"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_PREFIX = "tenire_"


def prometheus_text(families: Iterable[Family]) -> str:
    """Return metrics as the text of one answer; see ``CONTENT_TYPE``.

    Args:
        families: What ``Metrics.collect`` returned.
    """
    return "".join(line + "\n" for family in families for line in _lines(family))


def _lines(family: Family) -> Iterator[str]:
    name = _PREFIX + family.name
    about = _text(family.about).replace("\n", r"\n")
    yield f"# HELP {name} {about}"
    yield f"# TYPE {name} {family.kind}"
    for sample in family.samples:
        if sample.count is None:
            yield f"{name}{_labels(sample.labels)} {_number(sample.value)}"
            continue
        for q, value in sample.quantiles:
            labels = _labels((*sample.labels, ("quantile", f"{q:g}")))
            yield f"{name}{labels} {_number(math.nan if value is None else value)}"
        yield f"{name}_sum{_labels(sample.labels)} {_number(sample.value)}"
        yield f"{name}_count{_labels(sample.labels)} {sample.count}"


def _labels(labels: tuple[tuple[str, str], ...]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{key}="{_escaped(value)}"' for key, value in labels) + "}"


def _escaped(value: str) -> str:
    return _text(value).replace('"', r"\"").replace("\n", r"\n")


def _text(value: str) -> str:
    # A lone surrogate, of a name that is no text, would cost the whole answer: it cannot be sent as UTF-8.
    return value.encode(errors="backslashreplace").decode().replace("\\", r"\\")


def _number(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return repr(int(value)) if value == int(value) and abs(value) < 2**53 else repr(value)
