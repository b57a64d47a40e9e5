"""What the thread of a home's replies does, and what it can be asked for.

What has ended comes first, since others may be waiting for it; then what calls are going to
cost, before they are sent; then everything else, in its order.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from tenire.errors import HomeBusyError, StoreError
from tenire.llm.replies import pack, unpack
from tenire.storage.home import Home, HomeLock
from tenire.storage.ledger import Ledger
from tenire.storage.owners import new_owner
from tenire.storage.replies import Began, Finished, Kept, Wanted

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from tenire.clock import Clock
    from tenire.llm.replies import Answer, Vector
    from tenire.storage.spending import Charge, Spent

__all__ = ["Ended", "Expected", "Holding", "Look", "Question", "ReplyServer", "Simple", "Step", "is_claim"]

_PATIENCE_S = 30.0
_PAUSE_S = 0.05

_log = logging.getLogger("tenire.llm")


@dataclass(slots=True, eq=False)
class Ended:
    """A request that needs no more calls: its reply, and what it cost; see ``ReplyTable.finish``.

    Attributes:
        kept: Whether it is in the ledger. To be asked if the thread died before it could say so.
    """

    key: bytes | None
    reply: Answer | Vector | None
    charges: Sequence[Charge]
    expected: Sequence[int]
    kept: bool = False


class Expected(NamedTuple):
    """What a call is going to cost; ``None``: nothing any more."""

    number: int
    charge: Charge | None


class Look(NamedTuple):
    """Replies to look up, without claiming what is not there."""

    keys: Sequence[bytes]


class Holding(NamedTuple):
    """Money to keep for this program; see ``SpendingTable.hold``."""

    wanted: int
    least: int
    keep: int
    limit: int


class Simple(NamedTuple):
    """Something that is asked for rarely.

    Attributes:
        name: The method of ``ReplyServer`` that does it.
    """

    name: str


class Step(NamedTuple):
    """Something short with the ledger: it is given that, and the name for marks of this program."""

    step: Callable[[Ledger, str], Any]


Question: TypeAlias = "Wanted | Ended | Expected | Look | Holding | Simple | Step"


class ReplyServer:
    """What happens on the thread.

    Args:
        home: The directory.
        most: Bytes that replies may take in it.
        clock: Tells the time.

    Raises:
        StoreError: If it cannot be used.
    """

    def __init__(self, home: str | os.PathLike[str], most: int, clock: Clock) -> None:
        self._ledger = _open(Home(home), clock)
        self._owner = new_owner()
        self._most = most
        self._open = True
        self._ledger.replies.mend_times()

    def serve(self, asked: list[Question]) -> list[Any]:
        """Return the answers, in order; errors where there are none."""
        # First what others may be waiting for.
        kept = iter(self._finish([one for one in asked if isinstance(one, Ended)]))
        expected = _try(self._expect, [one for one in asked if isinstance(one, Expected)])
        found = _try(self._begin, {one.key: one for one in asked if isinstance(one, Wanted)})
        return [self._answer(one, kept, expected, found) for one in asked]

    def _answer(self, one: Question, kept: Iterator[Exception | None], expected: Any, found: Any) -> Any:
        if isinstance(one, Ended):
            return next(kept)
        if isinstance(one, Expected):
            return expected
        if isinstance(one, Wanted):
            if isinstance(found, Exception):
                return found
            answer = found[one.key]
            if is_claim(answer):
                found[one.key] = Began.UNDER_WAY  # two of this program want the same: one of them makes the call
            return answer
        if isinstance(one, Holding):
            hold = partial(self._ledger.spending.hold, self._owner, least=one.least, keep=one.keep, limit=one.limit)
            return _try(hold, one.wanted)
        if isinstance(one, Look):
            return _try(self._look, one.keys)
        if isinstance(one, Step):
            return _try(self._do, one)
        return _try(getattr(self, one.name))

    def _do(self, step: Step) -> Any:
        value = step.step(self._ledger, self._owner)
        self._ledger.replies.trim(self._most)
        return value

    def _finish(self, ended: list[Ended]) -> list[Exception | None]:
        """Keep what has ended; return what was in the way of each, or ``None``."""
        if not ended:
            return []
        packed = [None if one.reply is None else _try(pack, one.reply) for one in ended]
        unfit = [one if isinstance(one, Exception) else None for one in packed]
        replies = self._ledger.replies
        rows = [
            Finished(one.key, None if bad else reply, one.charges, one.expected)
            for one, reply, bad in zip(ended, packed, unfit, strict=True)
        ]
        error = _try(replies.finish, self._owner, rows)
        if error is None:
            for one in ended:
                one.kept = True
            _try(replies.trim, self._most)  # if that fails, the next ones are trimmed with these
            return unfit
        # Others need not wait for what cannot be kept: to give up a claim takes less room than a reply.
        _try(replies.finish, self._owner, [Finished(one.key, None) for one in ended if one.key is not None])
        return [error] * len(ended)

    def _expect(self, asked: list[Expected]) -> None:
        coming = {one.number: one.charge for one in asked if one.charge is not None}
        if coming:
            self._ledger.spending.expect(self._owner, coming)
        if gone := [one.number for one in asked if one.charge is None]:
            self._ledger.spending.withdraw(self._owner, gone)

    def _begin(self, wanted: dict[bytes, Wanted]) -> dict[bytes, Any]:
        if not wanted:
            return {}
        begun = zip(wanted, self._ledger.replies.begin(self._owner, list(wanted.values())), strict=True)
        kept: dict[bytes, Kept] = {}
        answers: dict[bytes, Any] = {}
        for key, one in begun:
            if isinstance(one, Kept):
                kept[key] = one
            else:
                answers[key] = one
        found, damaged = _unpacked(kept)
        answers.update(found)
        if damaged:
            again = _try(self._begin_anew, {key: wanted[key] for key in damaged})
            answers.update(again if isinstance(again, dict) else dict.fromkeys(damaged, again))  # the rest is claimed
        return answers

    def _begin_anew(self, damaged: dict[bytes, Wanted]) -> dict[bytes, Any]:
        self._ledger.replies.drop(damaged)
        return self._begin(damaged)

    def _look(self, keys: Sequence[bytes]) -> dict[bytes, Answer | Vector]:
        found, damaged = _unpacked(self._ledger.replies.find(keys))
        self._ledger.replies.drop(damaged)
        return found

    def total(self) -> Spent:
        """Return what was spent in this home."""
        return self._ledger.spending.total()

    def by_pipeline(self) -> dict[str, Spent]:
        """Return what each pipeline has spent in this home."""
        return self._ledger.spending.by_pipeline()

    def settle_lost(self) -> Spent:
        """Charge what programs that are gone had expected."""
        return self._ledger.spending.settle_lost()

    def renew(self) -> None:
        """Move on what this program holds."""
        self._ledger.replies.renew(self._owner)

    def close(self) -> None:
        """Give up what this program holds, and close the ledger; closing twice is fine."""
        if not self._open:
            return
        self._open = False
        try:
            self._ledger.replies.release(self._owner)
            self._ledger.spending.release(self._owner)
        finally:
            self._ledger.close()


def _open(home: Home, clock: Clock) -> Ledger:
    tries = int(_PATIENCE_S / _PAUSE_S)
    pause = threading.Event().wait  # of an event that never comes
    while not Ledger.exists(home):
        try:
            with HomeLock(home):
                Ledger.open(home, clock=clock).close()
        except HomeBusyError:  # somebody else is making it right now
            tries -= 1
            if not tries:
                raise
            pause(_PAUSE_S)
    return Ledger.join(home, clock=clock, patience_s=_PATIENCE_S)


def is_claim(found: Any) -> bool:
    """Return whether an answer is a claim: the call is to be made."""
    return isinstance(found, Began) and found.is_claim


def _try(fn: Callable[..., Any], *args: Any) -> Any:
    """Return what a step returns, or how it failed: the others of a batch go on."""
    try:
        return fn(*args)
    except Exception as error:  # noqa: BLE001 - it is the answer
        return error


def _unpacked(kept: Mapping[bytes, Kept]) -> tuple[dict[bytes, Answer | Vector], list[bytes]]:
    """Return what is kept, and the keys of what is damaged."""
    found, damaged = {}, []
    for key, one in kept.items():
        try:
            found[key] = unpack(one.reply, one.made_at)
        except StoreError as error:
            _log.warning("%s; it is asked for again", error)
            damaged.append(key)
    return found, damaged
