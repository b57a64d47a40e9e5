"""Components that live as long as the engine, and what keeps them alive."""

from __future__ import annotations

from tenire.concurrency.supervisor.child import Child, ChildStatistics, ComponentChanged, Life
from tenire.concurrency.supervisor.supervisor import Supervisor

__all__ = ["Child", "ChildStatistics", "ComponentChanged", "Life", "Supervisor"]
