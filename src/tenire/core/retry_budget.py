"""How many retries all calls together may spend.

When everything fails, retries multiply the load just when it can be borne least. So
they are paid out of what first tries bring in (finagle's ``RetryBudget``, and the retry
quota of the AWS SDKs): after ``n`` first tries there were at most ``ratio * n + reserve``
retries.

1. ``0 <= balance <= cap``.
2. A first try brings in ``ratio``, a retry costs 1; a retry that cannot be paid is none.
3. It starts with ``reserve``, so that the first calls of a program may be retried too.
"""

from __future__ import annotations

__all__ = ["RetryBudget"]

_UNIT = 1_000_000  # whole numbers: ten times a tenth is one


class RetryBudget:
    """Counts what first tries bring in and retries cost.

    Example:
        >>> budget = RetryBudget(ratio=0.5, reserve=1)
        >>> budget.spend(), budget.spend()
        (True, False)
        >>> budget.earn(), budget.earn(), budget.spend()
        (None, None, True)

    Args:
        ratio: Retries for each first try.
        reserve: Retries to begin with.
        cap: Retries that can be saved up, at least ``reserve``.

    Raises:
        ValueError: If an argument is impossible.
    """

    __slots__ = ("_balance", "_cap", "_ratio")

    def __init__(self, *, ratio: float = 0.1, reserve: float = 10.0, cap: float = 100.0) -> None:
        if not 0 <= ratio < float("inf"):
            raise ValueError(f"ratio must be zero or more retries for each first try, got {ratio!r}")
        if not 0 <= reserve <= cap < float("inf"):
            raise ValueError(f"reserve must be from 0 to cap ({cap!r}), got {reserve!r}")
        self._ratio = round(ratio * _UNIT)
        self._cap = round(cap * _UNIT)
        self._balance = round(reserve * _UNIT)

    @property
    def balance(self) -> float:
        """Retries that can be paid now."""
        return self._balance / _UNIT

    def earn(self) -> None:
        """Take in a first try."""
        self._balance = min(self._cap, self._balance + self._ratio)

    def spend(self) -> bool:
        """Pay for a retry; return whether it could be paid."""
        if self._balance < _UNIT:
            return False
        self._balance -= _UNIT
        return True

    def check(self) -> None:
        """Verify the rules."""
        assert 0 <= self._balance <= self._cap
