"""Batches that are looked at quickly."""

from __future__ import annotations

import pytest

from tenire.llm.batches import asking, handing


@pytest.fixture(autouse=True)
def quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "_LEAST_LOOK_S", 0.001)
    monkeypatch.setattr(asking, "_MOST_LOOK_S", 0.01)
    monkeypatch.setattr(asking, "_LOOK_SPACING_S", 0.0)
    monkeypatch.setattr(handing, "_LISTED_LATE_S", 0.001)
