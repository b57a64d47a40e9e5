"""The hard stop: nothing is called that could cost more than may still be spent.

1. Before a call, the most that it can cost is taken: once it has its slot, so that money lies
   idle for none that waits for one. When it has ended, what it cost stays taken, and the rest
   comes back.
2. There is one budget for all, and one for each pipeline that was given one. A call needs
   to fit into both.
3. What could fit once calls under way have cost less than they might waits for that, in the
   order of priorities and, among equal ones, in that in which it came. What can fit no more
   is refused.
4. The budget for all counts what was ever spent in the home, and what other programs that
   run now may spend (``storage.spending``). Of it a purse borrows a little more than it
   needs, so that most calls ask nobody, and gives the rest back when nothing is under way.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from tenire.core.budget import Budget
from tenire.core.tasks import Priority
from tenire.errors import BudgetError
from tenire.llm.money import picodollars, to_usd, usd_text
from tenire.resilience.urgency import Urgency

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tenire.concurrency.periodic import Periodic
    from tenire.concurrency.timer import Timeout, UniversalTimer
    from tenire.llm.reply_log import ReplyLog
    from tenire.storage.spending import Charge, Hold

__all__ = ["Purse"]

_AHEAD = 16  # calls like this one for which money is borrowed at once
_AHEAD_SHARE = 20  # but no more than this part of the limit
_LOOK_AGAIN_S = 0.25  # at what other programs hold, while somebody waits for that
_IDLE_S = 1.0


class _Part:
    """One budget, and the queue before it."""

    __slots__ = ("budget", "queue")

    def __init__(self, limit: int | None) -> None:
        self.budget = Budget(limit)
        self.queue = _Queue()


class _Waiting:
    """One who waits for its turn."""

    __slots__ = ("came", "turn", "urgency")

    def __init__(self, urgency: Urgency, came: int) -> None:
        self.urgency = urgency
        self.came = came
        self.turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def __lt__(self, other: _Waiting) -> bool:
        return (self.urgency.priority, self.came) < (other.urgency.priority, other.came)


class _Queue:
    """Who waits for money: one at a time looks for it."""

    __slots__ = ("_came", "_first", "_others")

    def __init__(self) -> None:
        self._first: Priority | None = None
        self._others: list[_Waiting] = []
        self._came = itertools.count()

    def goes_before(self, priority: Priority) -> bool:
        """Return whether somebody waits who gets it before another one of ``priority``."""
        return (
            self._first is not None
            and min([self._first, *(one.urgency.priority for one in self._others[:1])]) <= priority
        )

    @asynccontextmanager
    async def turn(self, urgency: Urgency) -> AsyncIterator[None]:
        """Wait until it is the turn of one so urgent, which lasts as long as this is open."""
        if self._first is not None:
            waiting = _Waiting(urgency, next(self._came))
            heapq.heappush(self._others, waiting)
            urgency.follow(self._sort)
            try:
                await waiting.turn
            except BaseException:
                if not waiting.turn.cancelled():
                    self._next()  # it came in the same moment
                raise
            finally:
                urgency.leave(self._sort)
        self._first = urgency.priority
        try:
            yield
        finally:
            self._next()

    def _sort(self, _: Priority) -> None:
        heapq.heapify(self._others)

    def _next(self) -> None:
        self._first = None
        while self._others:
            first = heapq.heappop(self._others)
            self._first = first.urgency.priority
            if not first.turn.done():
                first.turn.set_result(None)
                return
            self._first = None


class Purse:
    """Holds what may be spent; used from one event loop.

    Args:
        budget_usd: What may be spent in all, US dollars; ``None`` for no limit.
        timer: The engine's.
        every: Calls a function again and again, given the period in seconds: the engine's control.
        log: Of the home, or ``None``: then only what this purse spends counts.

    Attributes:
        limited: Whether anything has a budget: prices must be known then.

    Raises:
        ConfigError: If the budget is no amount of money.
    """

    def __init__(
        self,
        budget_usd: float | None = None,
        *,
        timer: UniversalTimer,
        every: Callable[[float, Callable[[], object]], Periodic | Timeout],
        log: ReplyLog | None = None,
    ) -> None:
        self._limit = None if budget_usd is None else picodollars("budget_usd", budget_usd)
        self.limited = self._limit is not None
        self._home = log
        if log is not None:
            log.recorded = self.recorded
        self._log = log if self._limit is not None else None
        # With a home, the limit of this one is what was borrowed, and what was spent of that.
        self._all = _Part(0 if self._log is not None else self._limit)
        self._parts: dict[str, _Part] = {}
        self._recorded = 0  # of what was spent here, what the home knows
        self._changed = asyncio.Event()
        self._borrowing = asyncio.Lock()
        self._timer = timer
        self._every = every
        self._idle: Timeout | None = None
        self._giving_back: asyncio.Task[Hold] | None = None

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
        parts = self._parts.values()
        self.limited = self._limit is not None or any(part.budget.limit is not None for part in parts)
        self._changed.set()

    async def take_now(self, pipeline: str, cost: int, priority: Priority = Priority.NORMAL) -> bool:
        """Hold the most that a call can cost, if nobody has to be waited for; return whether it is held.

        Args:
            pipeline: Whose call it is.
            cost: Picodollars.
            priority: Of the call.

        Raises:
            BudgetError: If it can fit no more; it names the budget.
            StoreError: If the home cannot be asked.
        """
        own = self._part(pipeline)
        if own.queue.goes_before(priority) or self._all.queue.goes_before(priority):
            return False
        if not self._take_own(pipeline, own.budget, cost):
            return False
        taken = False
        try:
            taken = await self._obtain(self._all.budget, cost)
        finally:
            if not taken:
                own.budget.held -= cost
                self._changed.set()
        return taken

    async def take(self, pipeline: str, cost: int, urgency: Urgency | None = None) -> None:
        """Hold the most that a call can cost; wait if that may help.

        Args:
            pipeline: Whose call it is.
            cost: Picodollars.
            urgency: Of the call; it may rise while it waits. By default it is of normal priority.

        Raises:
            BudgetError: If it can fit no more; it names the budget.
            StoreError: If the home cannot be asked.
        """
        urgency = urgency or Urgency(Priority.NORMAL)
        own, everything = self._part(pipeline), self._all
        async with own.queue.turn(urgency):
            while not self._take_own(pipeline, own.budget, cost):
                await self._change()
        try:
            async with everything.queue.turn(urgency):
                while not await self._obtain(everything.budget, cost):
                    await self._change()
        except BaseException:
            own.budget.held -= cost
            self._changed.set()
            raise

    async def expect(self, charge: Charge) -> int | None:
        """Have the home, if there is one, know what a call is going to cost; return a number for that.

        Args:
            charge: Should the program be killed before it is known better, that counts as spent.

        Raises:
            StoreError: If it cannot be written down.
        """
        return await self._home.expect(charge) if self._home is not None else None

    def withdraw(self, expected: int) -> None:
        """Take in that a call which was expected to cost something does not."""
        if self._home is not None:
            self._home.withdraw(expected)

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

    @staticmethod
    def _take_own(pipeline: str, budget: Budget, cost: int) -> bool:
        if budget.take(cost):
            return True
        if budget.may_wait(cost):
            return False
        raise _refusal(f"the budget of pipeline {pipeline!r}", budget, cost)

    async def _change(self) -> None:
        """Wait until something has changed. Of what other programs do nobody tells: that is looked at."""
        self._changed.clear()
        looking = None if self._log is None else self._every(_LOOK_AGAIN_S, self._changed.set)
        try:
            await self._changed.wait()
        finally:
            if looking is not None:
                looking.cancel()

    async def _obtain(self, budget: Budget, cost: int) -> bool:
        """Take ``cost`` of the budget for all, having borrowed if need be; return whether that could be done now."""
        if not self._borrowing.locked() and budget.take(cost):
            return True
        if self._log is not None and self._limit is not None:
            async with self._borrowing:
                return budget.take(cost) or await self._borrow(self._log, self._limit, budget, cost)
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
        if self._recorded != known:
            return False  # some of it was counted twice, here and in the home: look again
        on_its_way = budget.spent - known
        if (budget.held or found.elsewhere or budget.spent > self._recorded) and found.spent + cost <= limit:
            return False
        everybody = Budget(limit)
        everybody.spent, everybody.held = found.spent + on_its_way, budget.held + found.elsewhere
        raise _refusal("budget_usd", everybody, cost, found.guessed)

    def _give_back(self) -> None:
        """Let others have what was borrowed, if nothing is under way."""
        self._idle = None
        budget, log = self._all.budget, self._log
        assert log is not None
        if budget.held or self._borrowing.locked():
            self._idle = self._timer.after(_IDLE_S, self._give_back)
            return
        budget.limit = budget.spent  # from now on everybody has to borrow again
        unrecorded = budget.spent - self._recorded
        giving = log.hold(unrecorded, least=unrecorded, keep=unrecorded, limit=self._limit or 0)
        self._giving_back = asyncio.get_running_loop().create_task(giving)
        self._giving_back.add_done_callback(lambda done: done.cancelled() or done.exception())  # it runs out by itself


def _refusal(name: str, budget: Budget, cost: int, guessed: int = 0) -> BudgetError:
    limit = budget.limit or 0
    guess = f", {usd_text(guessed)} of it a guess for calls that broke off or were killed" if guessed else ""
    held = f" and {usd_text(budget.held)} for calls that are under way" if budget.held else ""
    message = (
        f"not called: the next call could cost {usd_text(cost)}, and of {name} of {usd_text(limit)}, "
        f"{usd_text(budget.spent)} is spent{guess}{held}"
    )
    hint = "raise the budget and run the same again: what is finished is kept, and is not paid for twice"
    return BudgetError(message, budget_usd=to_usd(limit), spent_usd=to_usd(budget.spent + budget.held), hint=hint)
