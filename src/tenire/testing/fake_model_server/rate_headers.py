"""What replies say of limits, in each provider's own words."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tenire.testing.fake_model_server.quotas import Quotas, Refusal
    from tenire.testing.fake_model_server.settings import HeaderDialect

__all__ = ["go_duration", "rate_headers", "retry_headers", "try_again"]

_THOUSAND = 1000


def go_duration(seconds: float) -> str:
    """Write a duration as Go does: ``12ms``, ``1.5s``, ``6m0s``."""
    seconds = max(0.0, seconds)
    if seconds == 0:
        return "0s"
    if seconds < 1:
        return f"{math.ceil(seconds * 1000)}ms"
    minutes, rest = divmod(round(seconds, 3), 60)
    hours, minutes = divmod(int(minutes), 60)
    text = f"{rest:.3f}".rstrip("0").rstrip(".") + "s"
    if hours:
        return f"{hours}h{minutes}m{text}"
    return f"{minutes}m{text}" if minutes else text


def rate_headers(dialect: HeaderDialect, quotas: Quotas, now: float, wall: float) -> bytes:
    """Return header lines that tell the limits.

    Args:
        dialect: Whose words.
        quotas: What is told.
        now: Seconds, as the quotas count them.
        wall: The same moment, seconds since the epoch.
    """
    if dialect == "none":
        return b""
    lines: list[str] = []
    for metric, meter in quotas.meters.items():
        left = max(0, math.floor(meter.remaining(now) + 1e-6))
        if dialect == "anthropic":
            name = f"anthropic-ratelimit-{metric.replace('_', '-')}"
            # Tokens are told in thousands only.
            shown = left if metric == "requests" else round(left / _THOUSAND) * _THOUSAND
            full = datetime.fromtimestamp(math.ceil(wall + meter.full_at(now) - now), UTC)
            lines += [
                f"{name}-limit: {meter.limit}", f"{name}-remaining: {shown}", f"{name}-reset: {full:%Y-%m-%dT%H:%M:%SZ}"
            ]  # fmt: skip
        elif metric not in ("requests", "tokens"):
            continue  # neither of the others speaks of them
        elif dialect == "azure":
            lines += [f"x-ratelimit-limit-{metric}: -1", f"x-ratelimit-remaining-{metric}: {left}"]
        else:
            reset = go_duration(meter.full_at(now) - now)
            lines += [
                f"x-ratelimit-limit-{metric}: {meter.limit}", f"x-ratelimit-remaining-{metric}: {left}",
                f"x-ratelimit-reset-{metric}: {reset}",
            ]  # fmt: skip
    return "".join(f"{line}\r\n" for line in lines).encode()


def retry_headers(dialect: HeaderDialect, seconds: float) -> bytes:
    """Return header lines that say when to come again."""
    whole = max(1, math.ceil(seconds))
    if dialect == "anthropic":
        return b"retry-after: %d\r\nx-should-retry: true\r\n" % whole
    return b"retry-after: %d\r\nretry-after-ms: %d\r\n" % (whole, max(1, math.ceil(seconds * 1000)))


def try_again(refusal: Refusal, now: float) -> str:
    """Say in words how much room was missing."""
    used = f"Limit {refusal.limit}, Used {refusal.used}, Requested {refusal.asked}."
    if math.isinf(refusal.ready_at):
        return f"Request too large for {refusal.metric} per window: {used} It must be reduced to run successfully."
    wait = go_duration(refusal.ready_at - now)
    return f"Rate limit reached on {refusal.metric} per window: {used} Please try again in {wait}."
