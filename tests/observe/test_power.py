from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tenire.observe.machine import Battery
from tenire.observe.power import HeatMeter, battery_signal

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("battery", "signal"),
    [
        (None, None), (Battery(50.0, None), None), (Battery(10.0, plugged=True), 0.0),
        (Battery(21.0, plugged=False), 1.0), (Battery(20.0, plugged=False), 2.0),
    ],
)  # fmt: skip
def test_a_battery_counts_while_it_is_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, battery: Battery | None, signal: float | None
) -> None:
    monkeypatch.setattr("tenire.observe.power.read_battery", lambda: battery)
    assert battery_signal(tmp_path) == signal  # a system without that folder
    supplies = tmp_path / "sys/class/power_supply"
    (supplies / "AC").mkdir(parents=True)
    assert battery_signal(tmp_path) is None
    (supplies / "BAT0").mkdir()
    assert battery_signal(tmp_path) == signal


def zone(root: Path, number: int, temperature: str, **trips: str) -> None:
    folder = root / f"sys/class/thermal/thermal_zone{number}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "temp").write_text(temperature + "\n")
    for place, (kind, limit) in enumerate(trips.items()):
        (folder / f"trip_point_{place}_type").write_text(kind + "\n")
        (folder / f"trip_point_{place}_temp").write_text(limit + "\n")


def test_heat_is_measured_against_the_lowest_temperature_that_slows_the_machine(tmp_path: Path) -> None:
    zone(tmp_path, 0, "80000", critical="105000", passive="100000", active="50000")
    assert HeatMeter(tmp_path).sample() == pytest.approx(0.8)


def test_the_worst_zone_counts(tmp_path: Path) -> None:
    zone(tmp_path, 0, "50000", passive="100000")
    zone(tmp_path, 1, "90000", hot="90000")
    assert HeatMeter(tmp_path).sample() == 1.0


@pytest.mark.parametrize("trips", [{}, {"active": "50000"}, {"passive": "0"}, {"critical": "-274000"}, {"hot": "?"}])
def test_a_zone_without_such_a_temperature_says_nothing(tmp_path: Path, trips: dict[str, str]) -> None:
    zone(tmp_path, 0, "80000", **trips)
    assert HeatMeter(tmp_path).sample() is None


def test_a_sensor_that_sleeps_is_passed_over(tmp_path: Path) -> None:
    zone(tmp_path, 0, "80000", passive="100000")
    zone(tmp_path, 1, "10000", passive="100000")
    meter = HeatMeter(tmp_path)
    (tmp_path / "sys/class/thermal/thermal_zone0/temp").unlink()
    assert meter.sample() == pytest.approx(0.1)


def test_without_sensors_there_is_no_signal(tmp_path: Path) -> None:
    assert HeatMeter(tmp_path).sample() is None
