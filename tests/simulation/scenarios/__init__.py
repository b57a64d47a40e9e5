"""Bad days of a whole engine, in virtual time: each is drawn from a seed and must end well."""

from __future__ import annotations

from tests.simulation.scenarios import calls, clocks, components, crowds, documents, endings, machine, waiting, workers
from tests.simulation.scenarios.stage import SCENARIOS, Scenario, play

__all__ = ["SCENARIOS", "Scenario", "play"]

_MODULES = (calls, clocks, components, crowds, documents, endings, machine, waiting, workers)
"""Importing them is what fills ``SCENARIOS``."""
