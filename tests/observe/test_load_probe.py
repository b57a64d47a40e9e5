from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tenire.clock import SYSTEM_CLOCK
from tenire.core.load import MACHINE, OWN, QUEUE
from tenire.observe.load_probe import LoadProbe
from tenire.observe.processor import ProcessorUse

if TYPE_CHECKING:
    from pathlib import Path


def probe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, waiting: float | None, use: ProcessorUse | None
) -> LoadProbe:
    made = LoadProbe(tmp_path)
    shares = {} if waiting is None else {"cpu_some": waiting}
    monkeypatch.setattr(made._pressure, "sample", lambda now: dict(shares))
    monkeypatch.setattr(made._processor, "sample", lambda now, workers: use)
    return made


def test_the_wait_for_the_processor_is_charged_by_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use = ProcessorUse(own=3.0, foreign=1.0, usable=4.0)
    sample = probe(tmp_path, monkeypatch, waiting=0.8, use=use).sample(0.0)
    assert sample.signals["cpu_pressure"] == pytest.approx(0.2)
    assert sample.signals["foreign_cpu"] == 0.25
    assert (sample.foreign, sample.cores) == (1.0, 4.0)


def test_a_machine_that_we_saturate_alone_is_no_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use = ProcessorUse(own=4.0, foreign=0.0, usable=4.0)
    sample = probe(tmp_path, monkeypatch, waiting=1.0, use=use).sample(0.0)
    assert sample.signals["cpu_pressure"] == sample.signals["foreign_cpu"] == 0.0


@pytest.mark.parametrize(
    ("waiting", "use"), [(0.5, None), (None, ProcessorUse(1.0, 1.0, 2.0)), (0.5, ProcessorUse(0, 0, 2))]
)
def test_what_cannot_be_seen_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, waiting: float | None, use: ProcessorUse | None
) -> None:
    sample = probe(tmp_path, monkeypatch, waiting=waiting, use=use).sample(0.0)
    assert "cpu_pressure" not in sample.signals
    assert ("foreign_cpu" in sample.signals) == (use is not None)
    assert sample.foreign == (use.foreign if use is not None else None)


def test_battery_and_heat_are_read_seldom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[float] = []
    monkeypatch.setattr("tenire.observe.load_probe.battery_signal", lambda root: reads.append(0) or 1.0)
    made = probe(tmp_path, monkeypatch, waiting=None, use=None)
    samples = [made.sample(float(now)) for now in range(31)]
    assert len(reads) == 3
    assert {sample.signals["battery"] for sample in samples} == {1.0}


def test_this_machine_can_be_looked_at_and_every_signal_has_its_thresholds() -> None:
    made = LoadProbe()
    made.sample(SYSTEM_CLOCK.now())
    signals = made.sample(SYSTEM_CLOCK.now()).signals
    known = MACHINE.keys() | OWN.keys() | QUEUE.keys()
    assert {"memory_used", "foreign_cpu"} <= signals.keys()
    assert signals.keys() - known <= {"cpu_full", "io_some"}  # looked at, but not judged
