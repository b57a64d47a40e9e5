"""The hard stop: nothing is called that could cost more than may still be spent.

1. Before a call, the most that it can cost is taken. When it has ended, what it cost stays
   taken, and the rest comes back.
2. There is one budget for all, and one for each pipeline that was given one. A call needs
   to fit into both.
3. What could fit once calls under way have cost less than they might waits for that, in the
   order in which it came. What can fit no more is refused.
4. The budget for all counts what was ever spent in the home, and what other programs that
   run now may spend (``storage.spending``). Of it a purse borrows a little more than it
   needs, so that most calls ask nobody, and gives the rest back when nothing is under way.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tenire.core.budget import Budget
from tenire.errors import BudgetError
from tenire.llm.money import picodollars, to_usd, usd_text

if TYPE_CHECKING:
    from tenire.concurrency.timer import Timeout, UniversalTimer
    from tenire.llm.reply_log import ReplyLog
    from tenire.storage.spending import Hold

__all__ = ["Purse"]

_AHEAD = 16  # calls like this one for which money is borrowed at once
_AHEAD_SHARE = 20  # but no more than this part of the limit
_LOOK_AGAIN_S = 0.25  # at what other programs hold
_IDLE_S = 1.0


class _Part:
    """One budget, and the queue before it."""

    __slots__ = ("budget", "turn")

    def __init__(self, limit: int | None) -> None:
        self.budget = Budget(limit)
        self.turn = asyncio.Lock()  # those that wait get it in the order in which they came


class Purse:
    """Holds what may be spent; used from one event loop.

    Args:
        budget_usd: What may be spent in all, US dollars; ``None`` for no limit.
        timer: The engine's.
        log: Of the home, or ``None``: then only what this purse spends counts.

    Raises:
        ConfigError: If the budget is no amount of money.
    """

    def __init__(self, budget_usd: float | None = None, *, timer: UniversalTimer, log: ReplyLog | None = None) -> None:
        self._limit = None if budget_usd is None else picodollars("budget_usd", budget_usd)
        self._log = log if self._limit is not None else None
        # With a home, the limit of this one is what was borrowed, and what was spent of that.
        self._all = _Part(0 if self._log is not None else self._limit)
        self._parts: dict[str, _Part] = {}
        self._recorded = 0  # of what was spent here, what the home knows
        self._changed = asyncio.Event()
        self._timer = timer
        self._idle: Timeout | None = None
        self._giving_back: asyncio.Task[Hold] | None = None

    @property
    def limited(self) -> bool:
        """Whether anything has a budget: prices must be known then."""
        return self._limit is not None or any(part.budget.limit is not None for part in self._parts.values())

    @property
    def spent_usd(self) -> float:
        """What this purse has spent, US dollars."""
        return to_usd(self._all.budget.spent)

    @property
    def held_usd(self) -> float:
        """The most that calls under way can cost, US dollars."""
        return to_usd(self._all.budget.held)

    def limit(self, pipeline: str, budget_usd: float | None, *, spent: int = 0) -> None:
        """Give a pipeline a budget of its own, or take it away.

        Args:
            pipeline: Its name.
            budget_usd: What it may spend, US dollars; ``None`` for no limit.
            spent: What it has spent before, picodollars.
        """
        budget = self._part(pipeline).budget
        budget.limit = None if budget_usd is None else picodollars("budget_usd", budget_usd)
        budget.spent += spent
        self._changed.set()

    async def take(self, pipeline: str, cost: int) -> None:
        """Hold the most that a call can cost; wait if that may help.

        Args:
            pipeline: Whose call it is.
            cost: Picodollars.

        Raises:
            BudgetError: If it can fit no more; it names the budget.
            StoreError: If the home cannot be asked.
        """
        own, everything = self._part(pipeline), self._all
        if (
            not (own.turn.locked() or everything.turn.locked())
            and own.budget.fits(cost)
            and everything.budget.take(cost)
        ):
            own.budget.held += cost
            return
        async with own.turn:
            while not own.budget.take(cost):
                if not own.budget.may_wait(cost):
                    raise _refusal(f"the budget of pipeline {pipeline!r}", own.budget, cost)
                await self._change()
        try:
            async with everything.turn:
                while not await self._obtain(everything.budget, cost):
                    await self._change()
        except BaseException:
            own.budget.held -= cost
            self._changed.set()
            raise

    def settle(self, pipeline: str, held: int, *, cost: int) -> None:
        """Give back what was taken for a call, less what it has cost; picodollars."""
        self._all.budget.settle(held, cost=cost)
        self._part(pipeline).budget.settle(held, cost=cost)
        self._changed.set()

    def recorded(self, cost: int) -> None:
        """Take in that the home knows of so many picodollars that were spent here."""
        self._recorded += cost
        self._changed.set()
        if self._log is not None and self._idle is None:
            self._idle = self._timer.after(_IDLE_S, self._give_back)

    async def aclose(self) -> None:
        """End; what was borrowed comes back when the log is closed."""
        if self._idle is not None:
            self._idle.cancel()
        if self._giving_back is not None:
            await asyncio.wait([self._giving_back])

    def _part(self, pipeline: str) -> _Part:
        part = self._parts.get(pipeline)
        if part is None:
            part = self._parts[pipeline] = _Part(None)
        return part

    async def _change(self) -> None:
        """Wait until something has changed. Of what other programs do nobody tells: that is looked at."""
        self._changed.clear()
        try:
            async with asyncio.timeout(None if self._log is None else _LOOK_AGAIN_S):
                await self._changed.wait()
        except TimeoutError:
            pass

    async def _obtain(self, budget: Budget, cost: int) -> bool:
        """Take ``cost`` of the budget for all, having borrowed if need be; return whether that could be done now."""
        if budget.take(cost):
            return True
        if self._log is not None and self._limit is not None:
            return await self._borrow(self._log, self._limit, budget, cost)
        if budget.may_wait(cost):
            return False
        raise _refusal("budget_usd", budget, cost)

    async def _borrow(self, log: ReplyLog, limit: int, budget: Budget, cost: int) -> bool:
        known = self._recorded
        keep = budget.spent - known + budget.held
        ahead = min(_AHEAD * cost, limit // _AHEAD_SHARE)
        found = await log.hold(keep + cost + ahead, least=keep + cost, keep=keep, limit=limit)
        # Of what was spent here the home may know more by now: with less, it is on the safe side.
        budget.limit = known + found.held
        if budget.take(cost):
            return True
        on_its_way = budget.spent - known
        if (budget.held or found.elsewhere or budget.spent > self._recorded) and found.spent + cost <= limit:
            return False
        everybody = Budget(limit)
        everybody.spent, everybody.held = found.spent + on_its_way, budget.held + found.elsewhere
        raise _refusal("budget_usd", everybody, cost)

    def _give_back(self) -> None:
        """Let others have what was borrowed, if nothing is under way."""
        self._idle = None
        budget, log = self._all.budget, self._log
        assert log is not None
        if budget.held or self._all.turn.locked():
            self._idle = self._timer.after(_IDLE_S, self._give_back)
            return
        budget.limit = budget.spent  # from now on everybody has to borrow again
        unrecorded = budget.spent - self._recorded
        giving = log.hold(unrecorded, least=unrecorded, keep=unrecorded, limit=self._limit or 0)
        self._giving_back = asyncio.get_running_loop().create_task(giving)


def _refusal(name: str, budget: Budget, cost: int) -> BudgetError:
    limit = budget.limit or 0
    held = f" and {usd_text(budget.held)} for calls that are under way" if budget.held else ""
    message = (
        f"not called: the next call could cost {usd_text(cost)}, and of {name} of {usd_text(limit)}, "
        f"{usd_text(budget.spent)} is spent{held}"
    )
    hint = "raise the budget and run the same again: what is finished is kept, and is not paid for twice"
    return BudgetError(message, budget_usd=to_usd(limit), spent_usd=to_usd(budget.spent + budget.held), hint=hint)
