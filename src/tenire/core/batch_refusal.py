"""What to do when a provider does not take a batch.

=========================  =============================================================
it says                    then
=========================  =============================================================
too large                  two halves, each a batch; one line alone is given up
too much at once           wait: others that are under way make room when they end; with
                           none of ours under way, and after two tries, two halves
no answer, its own fault   wait, and give up after so many tries
anything else              give up
=========================  =============================================================

Whatever happens, it ends: tries are counted, and halves have fewer lines.
"""

from __future__ import annotations

from enum import Enum

__all__ = ["MOST_TRIES", "Refusal", "Step", "after_refusal"]

MOST_TRIES = 8
"""Tries to hand over one batch while nothing else of ours is under way."""

_BEFORE_HALVES = 2


class Refusal(Enum):
    """Why a batch was not taken."""

    TOO_LARGE = "too large"
    TOO_MUCH = "too much at once"
    FAILED = "failed"
    FINAL = "final"


class Step(Enum):
    """What to do then."""

    WAIT = "wait"
    HALVE = "halve"
    GIVE_UP = "give up"


def after_refusal(why: Refusal, *, lines: int, tries: int, others: int) -> Step:
    """Return what to do with a batch that was not taken.

    Args:
        why: What the provider says.
        lines: Of the batch.
        tries: How often it was handed over, this time included; not counting those that met
            others under way.
        others: Batches of ours that the provider works on.
    """
    if why is Refusal.FINAL:
        return Step.GIVE_UP
    if why is Refusal.TOO_LARGE:
        return Step.HALVE if lines > 1 else Step.GIVE_UP
    if why is Refusal.TOO_MUCH:
        if others:
            return Step.WAIT
        if lines > 1 and tries >= _BEFORE_HALVES:
            return Step.HALVE
    return Step.WAIT if tries < MOST_TRIES else Step.GIVE_UP
