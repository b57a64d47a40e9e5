"""What the headers of a reply say about limits, in one form for all providers.

======================================================== ===================================
header                                                   its value
======================================================== ===================================
``x-ratelimit-{limit,remaining,reset}-{METRIC}``         OpenAI, Azure, Groq, vLLM gateways
``x-ratelimit-…-{METRIC}-minute``                        Cerebras, Mistral
``anthropic-ratelimit-{METRIC}-{limit,remaining,reset}`` Anthropic; tokens to the nearest
                                                         thousand
``retry-after-ms``, ``retry-after``                      milliseconds; seconds or a date
======================================================== ===================================

1. A time is a number of seconds, a duration as Go writes it (``6m0s``, ``12ms``), or a
   date of RFC 3339; a date is compared with the server's own clock where it sent one,
   since ours may be wrong.
2. A limit of 0 or less and a remainder below 0 mean "unknown": Azure sends them. So does a
   limit that nobody can spend: who has none may send the largest number that he knows.
3. What cannot be understood is left out, and so are limits of a day. Groq, and OpenAI for
   small accounts, announce one under the name of the minute's; what gives it away is that
   it takes longer than ``LONGEST_RESET_S`` to come back.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from math import isfinite
from typing import TYPE_CHECKING, NamedTuple

from tenire.clock import SYSTEM_CLOCK
from tenire.core.rate_report import METRICS, MetricReport, RateReport
from tenire.core.rate_window import UNLIMITED
from tenire.resilience.retry_after import retry_after

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["LONGEST_RESET_S", "rate_report", "seconds_until"]

LONGEST_RESET_S = 150.0
"""Seconds after which the limit of a minute is back for certain, however it is counted."""

_NEAREST_THOUSAND = 500
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ns": 1e-9}
_DURATION = re.compile(r"(?:\d+(?:\.\d*)?|\.\d+)(?:h|ms|m|us|µs|μs|ns|s)")
_PART = re.compile(r"([\d.]+)(\D+)")
_EPOCH_S = 1e9  # what is larger is a moment, not a length of time: in seconds, or
_EPOCH_MS = 1e11  # in milliseconds
_LONGEST_TEXT = 64


def _known_headers() -> dict[str, tuple[str, str]]:
    known = {}
    for metric in METRICS:
        name = metric.replace("_", "-")
        for field in ("limit", "remaining", "reset"):
            known[f"x-ratelimit-{field}-{name}"] = (metric, field)
            known[f"x-ratelimit-{field}-{name}-minute"] = (metric, field)
            known[f"anthropic-ratelimit-{name}-{field}"] = (metric, field)
    return known


_SAYS_WHEN = "when to come back"
_KNOWN = _known_headers() | {"retry-after": (_SAYS_WHEN, ""), "retry-after-ms": (_SAYS_WHEN, "")}


class _Places(NamedTuple):
    """Where a server says what of one metric: places among its headers, or ``None`` where it does not."""

    metric: str
    rounding: int
    limit: int | None
    remaining: int | None
    reset: int | None


@lru_cache(maxsize=256)
def _places(names: tuple[str, ...]) -> tuple[tuple[_Places, ...], bool]:
    """Return which headers say what, and whether any says when to come back.

    A server sends the same ones with each reply, so this is looked up once.
    """
    found: dict[str, dict[str, int]] = {}
    rounding: dict[str, int] = {}
    spoken = False
    for place, name in enumerate(names):
        lower = name.lower()
        metric, field = _KNOWN.get(lower, ("", ""))
        if metric == _SAYS_WHEN:
            spoken = True
        elif metric:
            rounded = lower.startswith("anthropic") and metric != "requests"
            rounding.setdefault(metric, _NEAREST_THOUSAND if rounded else 0)
            # Mistral's and others' limits of a minute stand beside those of a month: the first counts.
            found.setdefault(metric, {}).setdefault(field, place)
    places = [
        _Places(metric, rounding[metric], at.get("limit"), at.get("remaining"), at.get("reset"))
        for metric, at in found.items()
    ]
    return tuple(places), spoken


def rate_report(headers: Mapping[str, str], wall: Callable[[], float] = SYSTEM_CLOCK.wall) -> RateReport | None:
    """Return what headers say about limits, or ``None`` if they say nothing.

    Args:
        headers: Of a reply; names in any mixture of capitals.
        wall: Tells seconds since the epoch, for dates where the server does not tell its own time.
    """
    places, spoken = _places(tuple(headers))
    if not places and not spoken:
        return None
    values = tuple(headers.values())
    server_time = _server_time(headers, wall)
    metrics = {each.metric: report for each in places if (report := _metric(each, values, server_time))}
    wait = retry_after(headers, server_time) if spoken else None
    return RateReport(metrics, wait) if metrics or wait is not None else None


def _metric(places: _Places, values: tuple[str, ...], wall: Callable[[], float]) -> MetricReport | None:
    limit = None if places.limit is None else _whole(values[places.limit])
    remaining = None if places.remaining is None else _whole(values[places.remaining])
    reset = None if places.reset is None else seconds_until(values[places.reset], wall)
    if reset is not None and reset > LONGEST_RESET_S:
        return None
    if limit is not None and not 0 < limit < UNLIMITED:
        limit = None
    if remaining is not None and remaining < 0:
        remaining = None
    if limit is None and remaining is None and reset is None:
        return None
    return MetricReport(limit, remaining, places.rounding, reset)


def _whole(text: str) -> int | None:
    if len(text) > _LONGEST_TEXT:
        return None
    try:
        return int(text)
    except ValueError:
        pass
    try:
        number = float(text.replace(",", ""))
    except ValueError:
        return None
    return int(number) if isfinite(number) else None


def seconds_until(text: str, wall: Callable[[], float]) -> float | None:
    """Return the seconds that a text stands for, or until the moment that it names.

    Returns:
        0 for a moment in the past, ``None`` for what cannot be understood.
    """
    stripped = text.strip()
    if not stripped or len(stripped) > _LONGEST_TEXT:
        return None
    if stripped[-1] in "hms":
        return _duration(stripped)
    try:
        number = float(stripped)
    except ValueError:
        return _until_date(stripped, wall)
    if not isfinite(number) or number < 0:
        return None
    if number >= _EPOCH_MS:
        number /= 1000
    return max(0.0, number - wall()) if number >= _EPOCH_S else number


@lru_cache(maxsize=1024)
def _duration(text: str) -> float | None:
    parts = _DURATION.findall(text)
    if "".join(parts) != text:
        return None
    seconds = 0.0
    for part in parts:
        number, unit = _PART.fullmatch(part).groups()  # type: ignore[union-attr]  # made of nothing else
        seconds += float(number) * _UNITS[unit]
    return seconds if isfinite(seconds) else None


def _until_date(text: str, wall: Callable[[], float]) -> float | None:
    try:
        moment = datetime.fromisoformat(text)
        aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
        return max(0.0, aware.timestamp() - wall())
    except (ValueError, OverflowError, OSError):
        return None


def _server_time(headers: Mapping[str, str], wall: Callable[[], float]) -> Callable[[], float]:
    """Return a function that tells the server's time, or ours if it does not say."""

    def now() -> float:
        said = headers.get("date") or headers.get("Date")
        return wall() if said is None else _epoch(said) or wall()

    return now


@lru_cache(maxsize=8)
def _epoch(date: str) -> float | None:
    try:
        return parsedate_to_datetime(date).timestamp()
    except (ValueError, OverflowError, OSError):
        return None
