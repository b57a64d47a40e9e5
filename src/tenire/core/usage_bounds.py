"""What a server can say that we have used, for each way in which it may count.

It may count the output of a call as *reserved*, the most that it asks for, when it arrives; or
as *real*, the input when it arrives and what the reply had when that is ready. And it may
count over a sliding window, with a bucket, or in windows by the clock that begin anew at one
of ``PHASES`` phases. For each of these *ways* a reply finds the server's figure between two
bounds, made only of what is known from here: when calls were sent, and when their replies
came.

1. The low bound holds what has surely arrived by then and surely counts still; the high bound
   all that may have arrived and may count still. What the server says was true some time
   between the sending of the call and the coming of its reply.
2. A call that failed may have been counted or not.
3. Who reserves estimates the input too: that is taken for ``LEAST_INPUT`` to ``MOST_INPUT``
   times what it was. Who counts what was real knows it.
4. Time is divided into slots; whatever is only partly within its slot widens the bounds.
"""

from __future__ import annotations

from itertools import accumulate
from math import floor
from operator import sub
from typing import NamedTuple

__all__ = ["LEAST_INPUT", "MOST_INPUT", "PHASES", "WAYS", "Bounds", "UsageBounds"]

PHASES = 60
WAYS = 2 + PHASES
"""Bucket, sliding, and windows by the clock, by phase."""
LEAST_INPUT, MOST_INPUT = 0.75, 1.25

_SLOTS = 2 * PHASES  # of a window
_LATE = 1 / 4
"""Part of a window; what the server said longer ago says too little."""
_ANY = 10**9
"""Of what is reserved where a request does not say how long its reply may be."""


class Bounds(NamedTuple):
    """For each way the least and the most that the server can say is used.

    Attributes:
        reserved_low: If it counts what was reserved.
        reserved_high: The same.
        real_low: If it counts what was real.
        real_high: The same.
    """

    reserved_low: list[float]
    reserved_high: list[float]
    real_low: list[float]
    real_high: list[float]


class _Slot:
    """Sums of one slot: lows of calls by their sending, highs by their answers."""

    __slots__ = ("real_high", "real_low", "reserved_high", "reserved_low")

    def __init__(self) -> None:
        self.reserved_low = self.reserved_high = 0.0
        self.real_low = self.real_high = 0


_NOTHING = _Slot()


class UsageBounds:
    """What was sent of one metric, as servers may count it.

    Args:
        window: Seconds.

    Attributes:
        open: Units granted to calls that were sent and not answered yet.
    """

    __slots__ = ("_kept", "_slots", "_width", "_window", "open")

    def __init__(self, window: float) -> None:
        self._window = window
        self._width = window / _SLOTS
        self._slots: dict[int, _Slot] = {}
        self._kept = floor(_SLOTS * (1 + _LATE)) + 8  # slots that a look can need
        self.open = 0

    def sent(self, granted: int) -> None:
        """Take in that a call is sent, of so many units at the most."""
        self.open += granted

    def answered(
        self, sent_at: float, now: float, granted: int, *, input_tokens: int, output_tokens: int, reserved: int | None
    ) -> None:
        """Take in what a call really used.

        Args:
            sent_at: When it was sent.
            now: Seconds on a clock that never goes back.
            granted: As for ``sent``.
            input_tokens: That count, 0 for a metric of output only.
            output_tokens: Of the reply.
            reserved: Output that the request allowed, or ``None`` if it did not say.
        """
        self.open -= granted
        sent, ended = self._slot(sent_at), self._slot(now)
        sent.reserved_low += LEAST_INPUT * input_tokens + (reserved or 0)
        ended.reserved_high += MOST_INPUT * input_tokens + (_ANY if reserved is None else reserved)
        sent.real_low += input_tokens + output_tokens
        ended.real_high += input_tokens + output_tokens

    def lost(self, now: float, granted: int) -> None:
        """Take in that a call has ended, and that nobody knows what it used."""
        self.open -= granted
        ended = self._slot(now)
        ended.reserved_high += MOST_INPUT * granted
        ended.real_high += granted

    def look(self, sent_at: float, now: float, limit: int, margin: float) -> Bounds | None:
        """Return what the server can have said in a reply, or ``None`` if it took too long.

        Args:
            sent_at: When the call was sent.
            now: When its reply came.
            limit: Units in one window.
            margin: By how much the time on the way varies, seconds.
        """
        if now - sent_at > _LATE * self._window:
            return None
        width, newest = self._width, floor(now / self._width)
        self._forget(newest - self._kept)
        slots = [self._slots.get(newest - back, _NOTHING) for back in range(self._kept)]
        # Of the newest 0, 1, 2, … slots together.
        reserved_low = list(accumulate((slot.reserved_low for slot in slots), initial=0.0))
        reserved_high = list(accumulate((slot.reserved_high for slot in slots), initial=float(self.open)))
        real_low = list(accumulate((float(slot.real_low) for slot in slots), initial=0.0))
        real_high = list(accumulate((float(slot.real_high) for slot in slots), initial=float(self.open)))
        at = floor(sent_at / width)
        # What was sent about then may not have arrived before this call; of real output, what was not ready.
        unsure = reserved_low[newest - floor((sent_at - margin) / width) + 1]
        reserved_low = [max(0.0, low - unsure) for low in reserved_low]
        unsure = real_high[newest - at + 1] - self.open
        real_low = [max(0.0, low - unsure) for low in real_low]

        back = range(self._kept + 1)
        gone = [limit / _SLOTS * place for place in back]  # what a bucket takes back in so many slots
        early = newest - at + 2
        lowest = [_SLOTS, *(max(0, (newest - 2 * phase) % _SLOTS - 1) for phase in range(PHASES))]
        highest = [early + _SLOTS - 1, *(early + 1 + (at - 2 - 2 * phase) % _SLOTS for phase in range(PHASES))]

        def low(sums: list[float]) -> list[float]:
            values = [sums[place] for place in lowest]
            return [max(map(sub, sums, gone)), *values]

        def high(sums: list[float]) -> list[float]:
            values = [sums[place] for place in highest]
            return [max(sums[place] - gone[max(0, place - early)] for place in back), *values]

        return Bounds(low(reserved_low), high(reserved_high), low(real_low), high(real_high))

    def _slot(self, at: float) -> _Slot:
        index = floor(at / self._width)
        slot = self._slots.get(index)
        if slot is None:
            slot = self._slots[index] = _Slot()
            self._forget(index - 2 * self._kept)
        return slot

    def _forget(self, oldest: int) -> None:
        slots = self._slots
        if len(slots) > 2 * self._kept:
            for index in [index for index in slots if index < oldest]:
                del slots[index]
