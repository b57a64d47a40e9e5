"""How many copies of a model are worth having, and which of them an item goes to.

1. An item goes to the first copy that has less than a full batch to do, so that batches stay
   full and later copies get nothing while earlier ones can do it; where all are full, to the one that
   has least.
2. One more is worth loading once all have had a full batch to do for twice as long as loading one
   takes, and for ``LEAST_S`` at the least; time in which they had not counts against that.
3. One that has brought less than ``PAYS`` is given up again, and no other one is tried: what
   limits the model is something that copies share.
4. A copy but the first that had nothing to do for ``IDLE_S`` goes.
"""

from __future__ import annotations

__all__ = ["IDLE_S", "LEAST_S", "PAYS", "Replicas"]

IDLE_S = 30.0
LEAST_S = 1.0
PAYS = 1.15
"""Items a second with one more copy, over those without, that make it worth its memory."""

_AT_ONCE_S = 0.001
"""Items of one batch end within this time of each other."""

_JUDGED = 8
"""Full batches a copy after which it is plain what one more has brought."""


class Replicas:
    """Decides for one model; whoever owns the copies loads and drops them. Numbers count from 0.

    Args:
        most: Copies that there may be.
        batch: Items of a full batch.

    Attributes:
        most: As given, or fewer once one more did not pay.
        loading: Whether one more is being loaded.

    Raises:
        ValueError: If a number is not positive.
    """

    __slots__ = (
        "_batch", "_before", "_doing", "_done", "_full_s", "_last", "_leaving", "_load_s", "_pressed", "_used",
        "_were_full", "loading", "most",
    )  # fmt: skip

    def __init__(self, *, most: int, batch: int) -> None:
        if most < 1 or batch < 1:
            raise ValueError(f"copies and items of a batch must be positive numbers, got {most!r} and {batch!r}")
        self.most = most
        self.loading = False
        self._batch = batch
        self._doing = [0]
        self._used = [0.0]  # when each was last given something, or done with it
        self._last = 0.0
        self._load_s = 0.0
        self._pressed = 0.0  # seconds for which all had enough to do, less those for which they had not
        self._full_s, self._done = 0.0, 0  # the former since the last change, and items done in it
        self._before = 0.0  # items a second without the newest copy; 0 where it has been judged
        self._were_full = False
        self._leaving = False  # whether the newest copy was judged, and brought too little

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._doing)

    def begin(self, now: float) -> int:
        """Return the copy that the next item goes to."""
        self._pass(now)
        doing = self._doing[:-1] if self._leaving else self._doing
        number = next((number for number, items in enumerate(doing) if items < self._batch), None)
        if number is None:
            number = min(range(len(doing)), key=doing.__getitem__)
        self._doing[number] += 1
        self._used[number] = now
        return number

    def end(self, number: int, now: float) -> None:
        """Record that a copy is through with an item, whatever came of it."""
        self._done += self._pass(now)
        self._doing[number] -= 1
        self._used[number] = now
        if self._before and not self._leaving and self._done >= _JUDGED * self._batch * len(self):
            if self._done < PAYS * self._before * self._full_s:
                self._leaving = True
                self.most = len(self) - 1
            self._changed()

    def loaded_in(self, seconds: float) -> None:
        """Record how long it takes to load one."""
        self._load_s = max(self._load_s, seconds)

    def wants_more(self, now: float) -> bool:
        """Return whether one more is worth loading; ``more`` or ``no_more`` must follow if it is."""
        self._pass(now)
        if self.loading or self._before or self._leaving or len(self) >= self.most:
            return False
        self.loading = self._pressed >= max(LEAST_S, 2 * self._load_s)
        return self.loading

    def more(self, now: float) -> None:
        """Record that one more is loaded."""
        self._pass(now)
        self.loading = False
        before = self._done / self._full_s if self._full_s else 0.0
        self._doing.append(0)
        self._used.append(now)
        self._changed()
        self._before = before

    def no_more(self) -> None:
        """Record that one more could not be loaded now; it is tried again after as much work."""
        self.loading = False
        self._pressed = 0.0

    def going(self, now: float) -> int | None:
        """Return the copy that goes, the last one, if it does; it is forgotten."""
        self._pass(now)
        last = len(self) - 1
        if last < 1 or self._doing[last] or not (self._leaving or now - self._used[last] >= IDLE_S):
            return None
        self._leaving = False
        self._doing.pop()
        self._used.pop()
        self._changed()
        return last

    def _changed(self) -> None:
        """Begin to measure anew."""
        self._before = self._pressed = self._full_s = 0.0
        self._done = 0

    def _pass(self, now: float) -> bool:
        """Count the time until now; return whether all had enough to do in it."""
        passed, self._last = now - self._last, now
        full = all(items >= self._batch for items in self._doing)
        if full:
            self._full_s += passed
        self._pressed = max(0.0, self._pressed + (passed if full else -passed))
        if passed > _AT_ONCE_S:
            self._were_full = full
        return self._were_full

    def check(self) -> None:
        """Verify the rules."""
        assert len(self._doing) == len(self._used) >= 1
        assert all(items >= 0 for items in self._doing)
        assert len(self) <= self.most + self._leaving
        assert self._done == 0 or self._full_s >= 0
