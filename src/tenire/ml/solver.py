"""Multinomial logistic regression, one pass over the rows at a time.

Minimises the weighted mean of the logarithmic losses plus ``strength / 2`` times the squares of
all coefficients, as scikit-learn's ``LogisticRegression`` does, by L-BFGS (Nocedal and Wright,
*Numerical Optimization*, algorithm 7.5) with the line search of Lewis and Overton (*Nonsmooth
optimization via quasi-Newton methods*, 2013). Unlike that class, it can be stopped after each
step, and goes on from its state to the same result, bit for bit.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

__all__ = ["SolverState", "softmax", "step"]

_HISTORY = 6
_TRIES = 25
_DECREASE, _CURVATURE = 1e-4, 0.9


def softmax(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return probabilities, shape ``(n, k)``, of scores of the same shape."""
    shifted = np.exp(scores - scores.max(1, keepdims=True))
    chances: NDArray[np.float64] = shifted / shifted.sum(1, keepdims=True)
    return chances


@dataclass(slots=True)
class SolverState:
    """All that the next step depends on.

    Attributes:
        point: Coefficients with intercepts behind them, shape ``(k, d + 1)``.
        value: Of the objective there; infinite before the first step.
        slope: Its gradient there.
        moves: The last moves of the point, the newest last.
        turns: How the gradient turned with each of them.
        flat: Whether the objective cannot get less any more.
    """

    point: NDArray[np.float64]
    value: float = float("inf")
    slope: NDArray[np.float64] | None = None
    moves: list[NDArray[np.float64]] = field(default_factory=list)
    turns: list[NDArray[np.float64]] = field(default_factory=list)
    flat: bool = False

    def arrays(self) -> dict[str, Any]:
        """Return it as arrays, by name."""
        none = np.zeros((0, *self.point.shape))
        return {
            "point": self.point,
            "value": np.array(self.value),
            "slope": none if self.slope is None else self.slope,
            "moves": np.array(self.moves) if self.moves else none,
            "turns": np.array(self.turns) if self.turns else none,
            "flat": np.array(self.flat),
        }

    @classmethod
    def of(cls, arrays: Any) -> SolverState:
        """Return what ``arrays`` has made of one."""
        slope = arrays["slope"]
        return cls(
            arrays["point"], float(arrays["value"]), slope if slope.ndim == arrays["point"].ndim else None,
            list(arrays["moves"]), list(arrays["turns"]), bool(arrays["flat"]),
        )  # fmt: skip


def step(
    state: SolverState, objective: Callable[[NDArray[np.float64]], tuple[float, NDArray[np.float64]]], *, least: float
) -> None:
    """Make one step; sets ``flat`` if there is none to be made.

    Args:
        state: Is changed.
        objective: Returns its value and gradient at a point.
        least: The largest entry of a gradient that counts as none.
    """
    if state.slope is None:
        state.value, state.slope = objective(state.point)
    value, slope = state.value, state.slope
    if np.abs(slope).max() <= least:
        state.flat = True
        return
    direction = _direction(state, slope)
    downhill = float((direction * slope).sum())
    length = 1.0 if state.moves else 1.0 / max(1.0, float(np.linalg.norm(slope)))
    low, high = 0.0, float("inf")
    for _ in range(_TRIES):
        move = length * direction
        found, turned = objective(state.point + move)
        if not found <= value + _DECREASE * length * downhill:
            high = length
        elif float((turned * direction).sum()) < _CURVATURE * downhill:
            low = length
        else:
            break
        length = (low + high) / 2 if high < float("inf") else 2 * low
    if not found < value:  # as close as numbers of 64 bits come
        state.flat = True
        return
    turn = turned - slope
    if float((move * turn).sum()) > 0:
        state.moves = [*state.moves, move][-_HISTORY:]
        state.turns = [*state.turns, turn][-_HISTORY:]
    state.point, state.value, state.slope = state.point + move, found, turned


def _direction(state: SolverState, slope: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return where to go: the gradient, bent by what the last moves have shown."""
    rest = -slope
    shares = []
    for move, turn in zip(reversed(state.moves), reversed(state.turns), strict=True):
        share = float((move * rest).sum()) / float((move * turn).sum())
        rest = rest - share * turn
        shares.append(share)
    if state.moves:
        move, turn = state.moves[-1], state.turns[-1]
        rest = rest * (float((move * turn).sum()) / float((turn * turn).sum()))
    for move, turn, share in zip(state.moves, state.turns, reversed(shares), strict=True):
        rest = rest + (share - float((turn * rest).sum()) / float((move * turn).sum())) * move
    return rest
