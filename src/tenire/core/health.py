"""Which components are unhealthy, whose pipelines therefore start nothing.

A worker that dies at once each time it is started must not be started again and
again at full speed by all the work that waits for it.

::

    healthy ──LIMIT failures in a row──► unhealthy ──pause is over──► on trial
       ▲                                     ▲                          │
       └───────────────────────── success ───┼──────────────────────────┤
                                             └──────── failure ─────────┘

1. A success makes a component healthy and forgets its failures; also one of work that had
   begun before the pause, and is over within it.
2. The pause doubles with each failed trial, from ``PAUSE_S`` up to ``LONGEST_PAUSE_S``.
3. While it is unhealthy, and only then, its pipelines are suspended; on trial they run.
4. What is supervised is unhealthy from each failure until it is up again, and has
   the pipelines that it was said to serve.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["LIMIT", "LONGEST_PAUSE_S", "PAUSE_S", "Health"]

LIMIT = 3
PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0


class _Component:
    __slots__ = ("failures", "pipelines", "until")

    def __init__(self) -> None:
        self.failures = 0
        self.pipelines: set[str] = set()
        self.until: float | None = None


class Health:
    """The components that have failed lately."""

    __slots__ = ("_components",)

    def __init__(self) -> None:
        self._components: dict[str, _Component] = {}

    def failed(self, component: str, pipeline: str, now: float) -> float | None:
        """Take in a failure, and for which pipeline it worked.

        Returns:
            Until when its pipelines are suspended, or ``None`` if they are not.
        """
        state = self._components.setdefault(component, _Component())
        state.failures += 1
        state.pipelines.add(pipeline)
        if state.failures < LIMIT:
            return None
        state.until = now + min(LONGEST_PAUSE_S, PAUSE_S * 2.0 ** (state.failures - LIMIT))
        return state.until

    def fell(self, component: str, pipelines: Iterable[str]) -> None:
        """Take in that something supervised is not up any more, and which pipelines need it."""
        state = self._components.setdefault(component, _Component())
        state.failures = max(state.failures, LIMIT)
        state.pipelines.update(pipelines)
        state.until = float("inf")

    def ailing(self, pipeline: str) -> str | None:
        """Return an unhealthy component that a pipeline needs, or ``None``."""
        for name, state in self._components.items():
            if state.until is not None and pipeline in state.pipelines:
                return name
        return None

    def worked(self, component: str) -> set[str]:
        """Take in a success; return the pipelines that it had failed for, which may run again."""
        state = self._components.pop(component, None)
        return set() if state is None else state.pipelines

    def tried(self, component: str, now: float) -> bool:
        """Return whether a component's pause is over; then it is on trial."""
        state = self._components.get(component)
        if state is None or state.until is None or now < state.until:
            return False
        state.until = None
        return True

    def pipelines(self, component: str) -> set[str]:
        """Return the pipelines that a component has failed for."""
        state = self._components.get(component)
        return set() if state is None else set(state.pipelines)

    def check(self) -> None:
        """Verify the rules."""
        for state in self._components.values():
            assert state.failures > 0
            assert state.pipelines or state.until == float("inf")
            assert state.until is None or state.failures >= LIMIT
