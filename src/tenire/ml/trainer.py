"""Training, cut into slices: each goes on where the last one ended, and ends at a checkpoint.

::

    state.npz ──► passes, until the time of a slice is over ──► state.npz ──► … ──► over

    searching ──nothing got better──► with all rows ──as many passes as the best took──► over

1. A pass goes through the same rows in the same pieces, on one thread, and depends on the state
   alone. So where slices end, how long they take and how often one is lost changes no bit of
   the result.
2. A checkpoint is written under another name and renamed: it is whole, or the one before.
3. Where some rows are put aside, the search ends after ``PATIENCE`` passes without less loss on them. From
   the best pass on, training then goes on with those rows, too: they are too good to be only looked at, and
   the pass with the least loss is seldom the one that is right most often (Goodfellow, Bengio and
   Courville, *Deep Learning*, 7.8).
4. Otherwise it goes on until nothing is left to gain.

Runs in a worker process.
"""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tenire.clock import SYSTEM_CLOCK
from tenire.ml.classifier import LinearClassifier
from tenire.ml.evaluation import Evaluation
from tenire.ml.matrix import TrainingRows
from tenire.ml.plans import Slice
from tenire.ml.solver import SolverState, softmax, step
from tenire.ml.uses import TRAINING, VALIDATION

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from tenire.ml.plans import TrainingPlan

__all__ = ["PATIENCE", "advance", "evaluate", "result"]

PATIENCE = 10
_BETTER = 1e-5
_FLAT = 1e-5
_PIECE_ROWS = 4096
_STRENGTH = 10.0  # as C of a logistic regression: what unit vectors of text want
_LEAST = 1e-15  # a probability of zero would have an infinite loss
_STATE = "state.npz"


@dataclass(slots=True)
class _State:
    """All that the next pass depends on."""

    solver: SolverState
    best: NDArray[np.float64]
    epoch: int = 0
    stale: int = 0
    loss: float = float("nan")
    accuracy: float = float("nan")
    best_loss: float = float("inf")
    best_epoch: int = 0
    left: int = -1
    """Passes to be made with all rows; negative while it searches."""

    def save(self, folder: Path) -> None:
        new = folder / f"{_STATE}.new"
        numbers = np.array(
            [self.epoch, self.stale, self.loss, self.accuracy, self.best_loss, self.best_epoch, self.left]
        )
        with new.open("wb") as file:
            np.savez(file, best=self.best, numbers=numbers, **self.solver.arrays())
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, folder / _STATE)

    @classmethod
    def load(cls, folder: Path) -> _State:
        with np.load(folder / _STATE, allow_pickle=False) as kept:
            epoch, stale, loss, accuracy, best_loss, best_epoch, left = kept["numbers"].tolist()
            state = cls(SolverState.of(kept), kept["best"], int(epoch), int(stale), loss, accuracy, best_loss)
            state.best_epoch, state.left = int(best_epoch), int(left)
            return state


def advance(folder: str, plan: TrainingPlan, seconds: float, now: Callable[[], float] = SYSTEM_CLOCK.now) -> Slice:
    """Train for some time, and write a checkpoint.

    Args:
        folder: Where the rows and the state are.
        plan: What is trained.
        seconds: How long; one pass is made in any case.
        now: The clock.
    """
    began = now()
    rows = TrainingRows.open(Path(folder))
    if (Path(folder) / _STATE).is_file():
        state = _State.load(Path(folder))
    else:
        start = np.zeros((plan.classes, rows.dimension + 1))
        state = _State(SolverState(start), start)
    trainee = _Trainee(plan, rows, state)
    with _one_thread():
        while not trainee.over:
            trainee.learn()
            if now() - began >= seconds:
                break
    state.save(Path(folder))
    return Slice(state.epoch, state.loss, state.accuracy, trainee.over)


def result(folder: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return coefficients and intercepts of training that is over."""
    best = _State.load(Path(folder)).best
    return best[:, :-1], best[:, -1]


def evaluate(folder: str, part: int) -> Evaluation:
    """Return how good the result is on one part of the rows."""
    return _evaluated(*result(folder), TrainingRows.open(Path(folder)), (part,))


def _evaluated(
    coefficients: NDArray[np.float64], intercepts: NDArray[np.float64], rows: TrainingRows, parts: tuple[int, ...]
) -> Evaluation:
    head = LinearClassifier("in training", coefficients, intercepts, list(range(len(intercepts))))
    found = Evaluation.of(len(head.classes))
    for places in rows.pieces(parts, _PIECE_ROWS):
        chances = head.probabilities(rows.take(places))
        found.add(chances, chances.argmax(1), rows.labels[places])
    return found


def _one_thread() -> AbstractContextManager[Any]:
    """Have sums made in one order: with more threads it depends on how many there are."""
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:  # without scikit-learn; the environment of worker processes says nearly the same
        return nullcontext()
    limits: AbstractContextManager[Any] = threadpool_limits(1)
    return limits


class _Trainee:
    """The solver at one state."""

    def __init__(self, plan: TrainingPlan, rows: TrainingRows, state: _State) -> None:
        self._plan, self._rows, self._state = plan, rows, state
        self._begin()

    def _begin(self) -> None:
        """Take the rows that the state is to learn from, and those that it is judged by."""
        searching = self._state.left < 0
        self._own = (TRAINING,) if searching else (TRAINING, VALIDATION)
        aside = len(self._rows.places((VALIDATION,))) > 0
        self._judged_by = (VALIDATION,) if searching and aside else self._own
        own = self._rows.places(self._own)
        counts = np.bincount(self._rows.labels[own], minlength=self._plan.classes)
        known = counts > 0
        weights = np.where(known, len(own) / (known.sum() * np.maximum(counts, 1)), 0.0)
        self._weights = (weights if self._plan.balanced else np.ones(self._plan.classes)) / max(1, len(own))
        self._strength = 1.0 / (_STRENGTH * max(1, len(own)))

    @property
    def over(self) -> bool:
        state = self._state
        if state.left >= 0:
            return state.left == 0 or state.solver.flat
        return state.solver.flat or state.epoch >= self._plan.epochs or state.stale >= PATIENCE

    def learn(self) -> None:
        """Make one pass, and see whether it was a good one."""
        state = self._state
        step(state.solver, self._objective, least=_FLAT)
        state.epoch += 1
        point = state.solver.point
        found = _evaluated(point[:, :-1], point[:, -1], self._rows, self._judged_by)
        state.loss, state.accuracy = found.loss / max(1, found.rows), found.accuracy or 0.0
        if state.left > 0:
            state.left -= 1
            state.best = point
            return
        if state.loss < state.best_loss - _BETTER or state.best_loss == float("inf"):
            state.best_loss, state.stale, state.best, state.best_epoch = state.loss, 0, point, state.epoch
        else:
            state.stale += 1
        if self.over and self._judged_by == (VALIDATION,):
            state.solver, state.left = SolverState(state.best), state.best_epoch
            self._begin()

    def _objective(self, point: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        coefficients, intercepts = point[:, :-1], point[:, -1]
        value = self._strength / 2 * float((coefficients * coefficients).sum())
        slope = np.zeros_like(point)
        slope[:, :-1] = self._strength * coefficients
        for places in self._rows.pieces(self._own, _PIECE_ROWS):
            inputs, labels = self._rows.take(places).astype(np.float64), self._rows.labels[places]
            chances = softmax(np.asarray(inputs @ coefficients.T) + intercepts)
            weights, right = self._weights[labels], (np.arange(len(labels)), labels)
            value -= float((weights * np.log(np.maximum(chances[right], _LEAST))).sum())
            chances[right] -= 1.0
            chances *= weights[:, None]
            slope[:, :-1] += np.asarray(inputs.T @ chances).T
            slope[:, -1] += chances.sum(0)
        return value, slope
