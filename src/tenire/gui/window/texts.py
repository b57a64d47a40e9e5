"""Numbers as people read them."""

from __future__ import annotations

from datetime import UTC, datetime

from tenire.clock import SYSTEM_CLOCK
from tenire.core.load import Reading

__all__ = ["ABSENT", "amount", "clock_time", "count", "load_level", "money", "per_second", "percent", "size", "span"]

ABSENT = "–"
"""What stands where there is no value."""

_UNITS = ("B", "kB", "MB", "GB", "TB")


def count(number: float) -> str:
    """Return a whole number: ``12,345``."""
    return f"{number:,.0f}"


def percent(part: float | None) -> str:
    """Return a part of one: ``41 %``; never 100 before it is all."""
    if part is None:
        return ABSENT
    return "100 %" if part >= 1 else f"{min(99, int(part * 100))} %"


def size(number: float) -> str:
    """Return bytes, in powers of 1000 as everywhere: ``1.5 GB``."""
    for unit in _UNITS:
        if number < 1000 or unit == _UNITS[-1]:
            break
        number /= 1000
    return f"{number:.0f} {unit}" if number >= 100 or unit == "B" else f"{number:.1f} {unit}"


def load_level(index: float) -> str:
    """Return what a load means: its scale has a quarter for each level, and is no share of anything."""
    return Reading(index).level.name.lower()


def span(seconds: float | None) -> str:
    """Return a duration: ``42 s``, ``3 min``, ``2.1 h``."""
    if seconds is None:
        return ABSENT
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours = seconds / 3600
    return f"{hours:.1f} h" if hours < 48 else f"{hours / 24:.0f} d"


def money(usd: float) -> str:
    """Return dollars: ``$1.20``, ``$0.0017``; a dash for nothing."""
    if not usd:
        return ABSENT
    return f"${usd:,.2f}" if usd >= 1 else f"${usd:.4f}"


def per_second(number: float) -> str:
    """Return how many a second: ``12.3/s``, ``1,200/s``; a dash for none."""
    if not number:
        return ABSENT
    return f"{number:,.0f}/s" if number >= 100 else f"{number:.1f}/s"


def amount(resource: str, number: float) -> str:
    """Return an amount of a resource: bytes of memory, slots of others."""
    if "memory" in resource:
        return size(number)
    return count(number) if number >= 1000 else f"{number:.4g}"


def clock_time(at: float, *, now: float | None = None) -> str:
    """Return when it was, as a clock on the wall shows it; of another day with the date.

    Args:
        at: Seconds since the epoch.
        now: What time it is, the same.
    """
    then, today = (
        datetime.fromtimestamp(each, UTC).astimezone() for each in (at, SYSTEM_CLOCK.wall() if now is None else now)
    )
    return then.strftime("%H:%M:%S" if then.date() == today.date() else "%Y-%m-%d %H:%M")
