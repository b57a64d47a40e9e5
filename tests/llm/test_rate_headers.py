from __future__ import annotations

import math
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenire.core.rate_report import MetricReport, RateReport
from tenire.core.rate_window import UNLIMITED
from tenire.llm.rate_headers import rate_report, seconds_until

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC).timestamp()
NAMES = [
    "x-ratelimit-limit-requests", "X-RateLimit-Remaining-Tokens", "x-ratelimit-reset-tokens",
    "anthropic-ratelimit-input-tokens-remaining", "anthropic-ratelimit-tokens-reset", "retry-after",
    "retry-after-ms", "date",
]  # fmt: skip


def noon() -> float:
    return NOON


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1s", 1.0),
        ("6m0s", 360.0),
        ("12ms", 0.012),
        ("1h2m3.5s", 3723.5),
        ("500µs", 0.0005),
        ("500us", 0.0005),
        ("20ns", 2e-8),
        ("0s", 0.0),
        ("2.5", 2.5),
        ("0", 0.0),
        ("2026-11-26T12:00:30Z", 30.0),
        ("2026-11-26T14:00:30.5+02:00", 30.5),
        ("2026-11-26T12:00:07", 7.0),
        ("2026-11-26T11:00:00Z", 0.0),
        (str(int(NOON) + 9), 9.0),
        (str((int(NOON) + 9) * 1000), 9.0),
        ("-1", None),
        ("nan", None),
        ("inf", None),
        ("", None),
        ("soon", None),
        ("3 days", None),
        ("1x2s", None),
        ("s", None),
        ("9" * 500, None),
    ],
)
def test_a_time_is_read_in_each_of_its_forms(text: str, seconds: float | None) -> None:
    found = seconds_until(text, noon)
    assert found == (None if seconds is None else pytest.approx(seconds))


def test_the_headers_of_openai() -> None:
    headers = {
        "X-RateLimit-Limit-Requests": "5000",
        "x-ratelimit-limit-tokens": "160000",
        "x-ratelimit-remaining-requests": "4999",
        "x-ratelimit-remaining-tokens": "159976",
        "x-ratelimit-reset-requests": "12ms",
        "x-ratelimit-reset-tokens": "8ms",
        "content-type": "application/json",
    }
    assert rate_report(headers, noon) == RateReport(
        {
            "requests": MetricReport(5000, 4999, 0, 0.012),
            "tokens": MetricReport(160_000, 159_976, 0, 0.008),
        }
    )


def test_the_headers_of_anthropic_are_rounded_and_dated_by_the_servers_clock() -> None:
    headers = {
        "Date": "Thu, 26 Nov 2026 13:00:00 GMT",  # an hour ahead of ours
        "anthropic-ratelimit-requests-limit": "50",
        "anthropic-ratelimit-requests-remaining": "49",
        "anthropic-ratelimit-requests-reset": "2026-11-26T13:00:02Z",
        "anthropic-ratelimit-input-tokens-limit": "40000",
        "anthropic-ratelimit-input-tokens-remaining": "39000",
        "anthropic-ratelimit-output-tokens-remaining": "8000",
        "retry-after": "7",
    }
    report = rate_report(headers, noon)
    assert report is not None
    assert report.retry_after == 7.0
    assert report.metrics == {
        "requests": MetricReport(50, 49, 0, 2.0),
        "input_tokens": MetricReport(40_000, 39_000, 500, None),
        "output_tokens": MetricReport(None, 8000, 500, None),
    }


def test_unknown_values_are_left_out() -> None:
    azure = {"x-ratelimit-limit-requests": "-1", "x-ratelimit-remaining-requests": "-1"}
    assert rate_report(azure, noon) is None
    assert rate_report({"x-ratelimit-limit-tokens": "0", "x-ratelimit-remaining-tokens": "0"}, noon) == RateReport(
        {"tokens": MetricReport(None, 0)}
    )
    assert rate_report({"x-ratelimit-limit-requests-day": "100"}, noon) is None
    assert rate_report({"retry-after": "0"}, noon) is None
    assert rate_report({}, noon) is None


@pytest.mark.parametrize("limit", [str(2**64 - 1), str(2**63 - 1), "9" * 40, "1e300"])
def test_a_limit_that_nobody_can_spend_is_none(limit: str) -> None:
    headers = {"x-ratelimit-limit-tokens": limit, "x-ratelimit-remaining-tokens": "5"}
    assert rate_report(headers, noon) == RateReport({"tokens": MetricReport(None, 5)})
    assert rate_report({"x-ratelimit-limit-tokens": limit}, noon) is None


@pytest.mark.parametrize(("reset", "is_said"), [("6m0s", False), ("7h12m", False), ("2m30s", True), ("59.5s", True)])
def test_the_limit_of_a_day_is_not_taken_for_that_of_a_minute(reset: str, is_said: bool) -> None:
    headers = {
        "x-ratelimit-limit-requests": "14400",
        "x-ratelimit-remaining-requests": "9000",
        "x-ratelimit-reset-requests": reset,
        "x-ratelimit-limit-tokens": "6000",
    }
    report = rate_report(headers, noon)
    assert report is not None
    assert ("requests" in report.metrics) == is_said
    assert report.metrics["tokens"].limit == 6000


def test_milliseconds_go_before_seconds_and_a_date_is_a_time_too() -> None:
    assert rate_report({"retry-after": "2", "retry-after-ms": "1250"}, noon) == RateReport({}, 1.25)
    assert rate_report({"retry-after": "Thu, 26 Nov 2026 12:00:10 GMT"}, noon) == RateReport({}, 10.0)


@given(st.dictionaries(st.sampled_from(NAMES), st.text(max_size=30) | st.from_regex(r"-?\d{1,30}(\.\d+)?(ms|s|m|h)?")))
def test_no_header_is_too_strange(headers: dict[str, str]) -> None:
    report = rate_report(headers, noon)
    if report is None:
        return
    assert report.retry_after is None or 0 < report.retry_after < math.inf
    for metric in report.metrics.values():
        assert metric.limit is None or 0 < metric.limit < UNLIMITED
        assert metric.remaining is None or metric.remaining >= 0
        assert metric.reset_s is None or 0 <= metric.reset_s < math.inf
