"""Battery and heat, where the machine has them and shows them."""

from __future__ import annotations

from pathlib import Path

from tenire.observe.machine import read_battery

__all__ = ["HeatMeter", "battery_signal"]

_NEARLY_EMPTY = 20.0
"""Per cent of charge."""

_SLOWS_DOWN = frozenset({"passive", "hot", "critical"})


def battery_signal(root: Path = Path("/")) -> float | None:
    """Return 0 on mains, 1 while the battery is used, 2 when it is nearly empty; ``None`` without one.

    Args:
        root: What ``sys`` is below of; for tests.
    """
    supplies = root / "sys/class/power_supply"
    if supplies.is_dir() and not any("bat" in supply.name.lower() for supply in supplies.iterdir()):
        return None  # psutil, which is dear to load, would find none either
    battery = read_battery()
    if battery is None or battery.plugged is None:
        return None
    if battery.plugged:
        return 0.0
    return 2.0 if battery.percent <= _NEARLY_EMPTY else 1.0


class HeatMeter:
    """Watches the temperature of each zone that has one at which the machine slows itself down.

    Linux only; elsewhere there is nothing to be seen without rights or a program of
    its own.

    Args:
        root: What ``sys`` is below of; for tests.
    """

    def __init__(self, root: Path = Path("/")) -> None:
        self._zones: list[tuple[Path, int]] = []
        for zone in sorted((root / "sys/class/thermal").glob("thermal_zone*")):
            limit = min(_trips(zone), default=None)
            if limit is not None:
                self._zones.append((zone / "temp", limit))

    def sample(self) -> float | None:
        """Return the temperature as a share of that limit, the worst zone's; ``None`` without one."""
        shares = [temperature / limit for path, limit in self._zones if (temperature := _number(path)) is not None]
        return max(shares, default=None)


def _trips(zone: Path) -> list[int]:
    """Return the temperatures at which this zone slows down or stops the machine, thousandths of °C."""
    trips = []
    for kind in zone.glob("trip_point_*_type"):
        temperature = _number(kind.with_name(kind.name.replace("_type", "_temp")))
        # Firmware writes 0 or less for "none".
        if temperature is not None and temperature > 0 and _text(kind) in _SLOWS_DOWN:
            trips.append(temperature)
    return trips


def _number(path: Path) -> int | None:
    text = _text(path)
    return int(text) if text.removeprefix("-").isdigit() else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:  # a sensor that sleeps, or is gone
        return ""
