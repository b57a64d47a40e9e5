"""The part of a quota that this engine has, of what all processes of the user share.

What is lent is spent by the meters without asking; this asks for more in time, and says
what became of it. See ``core.quota_loans`` for when, ``storage.quota_file`` for who gets
what.

1. One question at a time, on a thread, and at most one in ``PERIOD_S``, whatever the reason:
   a storm of refusals too. While it is asked, what was kept may be spent.
2. Without the file the quota is not shared: that is said once, and tried again.
3. At the end everything is given back. A call that comes after it begins anew.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
from typing import TYPE_CHECKING

from tenire.clock import SYSTEM_CLOCK
from tenire.concurrency.blocking import run_blocking
from tenire.concurrency.unbroken import unbroken
from tenire.core.quota_loans import PERIOD_S
from tenire.core.slot_loans import SlotBorrower
from tenire.errors import ComponentError, ConfigError, TenireError
from tenire.storage.quota_file import Ask, QuotaFile
from tenire.storage.state_directory import make_state_directory

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tenire.concurrency.timer import Timeout, UniversalTimer
    from tenire.core.shared_window import SharedWindow
    from tenire.storage.quota_file import Loan

__all__ = ["SLOTS", "QuotaSharing"]

SLOTS = "slots"
"""Name of the slots among the metrics."""

_ALONE_S = 5.0
"""For how long an engine helps itself when the file cannot be used."""

_LOOK_S = 0.1
"""Between two looks while calls are made: what is lent is renewed before it is used up."""

_LAST_WAIT_S = 2.0
_SHARING = "tenire quota loan"

_log = logging.getLogger("tenire.quotas")


def _open_file() -> QuotaFile:
    return QuotaFile(make_state_directory())


def _nothing() -> None:
    return None


class QuotaSharing:
    """Borrows for one quota of one engine; its methods belong to the loop's thread.

    Args:
        key: What is shared: the same text in all processes that use the same quota.
        timer: The engine's timer.
        now: The machine's clock, which never goes back.
        weight: This engine's part against the others.
        every: Whether also what has no limit here is counted for others, and kept within theirs.
        open_file: Opens the file that all share, on a thread.

    Attributes:
        every: As given.
    """

    def __init__(
        self,
        key: str,
        *,
        timer: UniversalTimer,
        now: Callable[[], float] = SYSTEM_CLOCK.now,
        weight: float = 1.0,
        every: bool = False,
        open_file: Callable[[], QuotaFile] = _open_file,
    ) -> None:
        self.every = every
        self._key = key
        self._now = now
        self._timer = timer
        self._weight = weight
        self._open_file = open_file
        self._meters: Mapping[str, SharedWindow] = {}
        self._max_concurrency: int | None = None
        self._slots_of = SLOTS
        self._slots: SlotBorrower | None = None
        self._changed: Callable[[], None] = _nothing
        self._frozen: dict[str, float] = {}  # to be told
        self._sizes: dict[str, dict[int, int]] = {}
        # A pid may come again; what a killed engine had must not look like this one's.
        self._participant = f"{os.getpid()}-{secrets.token_hex(4)}"
        self._file: QuotaFile | None = None
        self._asking: asyncio.Task[None] | None = None
        self._asked_at = float("-inf")
        self._ringing: Timeout | None = None
        self._rings_at = float("inf")
        self._began = 0  # calls, since the last look
        self._closed = self._said = False

    def attach(
        self, meters: Mapping[str, SharedWindow], *, max_concurrency: int | None, changed: Callable[[], None]
    ) -> None:
        """Borrow for a quota from now on.

        Args:
            meters: Its metrics.
            max_concurrency: Calls at once, for all together, or ``None`` if that is not shared.
            changed: Called when something was lent.
        """
        if self._meters:
            message = "a QuotaSharing is for one quota of one engine; make another one"
            raise ConfigError(message, key="sharing")
        self._meters = meters
        self._sizes = {metric: {} for metric in meters}
        self._changed = changed
        if max_concurrency is not None:
            self._max_concurrency = max_concurrency
            # Who wants fewer at once than others does not wait until these have given up all of theirs.
            self._slots_of = f"{SLOTS}/{max_concurrency}"
            self._slots = SlotBorrower()

    @property
    def slots(self) -> int | None:
        """Calls that this engine may make at once, or ``None`` if that is not shared."""
        return None if self._slots is None else self._slots.slots

    @property
    def others(self) -> int:
        """How many other engines use the same quota, as far as was heard lately."""
        return max((meter.borrower.others for meter in self._meters.values()), default=0)

    # -- what happens to calls ------------------------------------------------

    def waits(self, amounts: Mapping[str, int], change: int) -> None:
        """Take in that a call begins to wait (1), or has waited (-1)."""
        self._closed = False
        for metric, amount in amounts.items():
            sizes = self._sizes[metric]
            number = sizes[amount] = sizes.get(amount, 0) + change
            if not number:
                del sizes[amount]
        if self._slots is not None:
            self._slots.waiting += change
        # Nobody is going to look, or it cannot go on.
        if change > 0 and (self._ringing is None or self._lacks(amounts)):
            self.look()

    def _lacks(self, amounts: Mapping[str, int]) -> bool:
        """Return whether what was lent is too little for a call."""
        slots = self._slots
        if slots is not None and slots.in_use >= slots.slots:
            return True
        for metric, amount in amounts.items():
            meter = self._meters[metric]
            if meter.limited and meter.borrower.allowance < amount:
                return True
        return False

    def runs(self, change: int) -> None:
        """Take in that a call begins (1), or has ended (-1)."""
        if self._slots is not None:
            self._slots.use(change)
        self._began += change > 0

    def freeze(self, metric: str, until: float) -> None:
        """Have everybody leave a metric alone until some time."""
        self._frozen[metric] = until
        self.look()

    # -- asking -----------------------------------------------------------------

    def look(self) -> None:
        """Ask now if it is time to, or see to it that somebody looks when it is."""
        if self._closed or self._asking is not None:
            return
        now = self._now()
        self.want()
        dues = [meter.borrower.due_at(now) for meter in self._meters.values() if meter.limited]
        if self._slots is not None:
            dues.append(self._slots.due_at())
        due = now if self._frozen else min((at for at in dues if at is not None), default=None)
        if due is not None:
            due = max(due, self._asked_at + PERIOD_S)  # rule 1
        if due is not None and due <= now:
            self._asked_at = now
            self._asking = asyncio.get_running_loop().create_task(self._ask(now), name=_SHARING)
            self._asking.add_done_callback(self._asked)
        elif self._began:
            self._began = 0
            self._ring(now + _LOOK_S if due is None else min(due, now + _LOOK_S))
        else:
            self._ring(due)

    def want(self) -> None:
        """Tell the borrowers what waits: when one is to ask, since most calls have their permit before that."""
        for metric, sizes in self._sizes.items():
            waiting = sum([amount * number for amount, number in sizes.items()])
            self._meters[metric].borrower.want(waiting, min(sizes, default=1), max(sizes, default=1))

    def _ring(self, due: float | None) -> None:
        # One that rings too early does no harm: it looks, and is set again.
        if due is None or (self._ringing is not None and self._rings_at <= due):
            return
        if self._ringing is not None:
            self._ringing.cancel()
        self._rings_at = due
        self._ringing = self._timer.at(due, self._rung)

    def _rung(self) -> None:
        self._ringing = None
        self.look()

    async def _ask(self, now: float) -> None:
        asks = self._asks(now)
        frozen, self._frozen = self._frozen, {}
        try:
            loans = await run_blocking(self._renew, asks, frozen, now)
        except BaseException as error:
            for meter in self._meters.values():
                meter.borrower.failed()
            if not isinstance(error, TenireError):
                raise
            self._alone(error)
        else:
            self._lent(loans, now)

    def _asks(self, now: float) -> dict[str, Ask]:
        self.want()
        asks = {}
        for metric, meter in self._meters.items():
            if meter.limited:
                spent, keep, lacking, most = meter.borrower.ask(now)
                window = meter.window + meter.margin
                least, first = meter.borrower.least, meter.borrower.first
                asks[metric] = Ask(meter.to_share(now), window, spent, keep, lacking, least, most, first)
        if self._slots is not None and self._max_concurrency is not None:
            keep, lacking = self._slots.ask(now)
            asks[self._slots_of] = Ask(self._max_concurrency, None, keep=keep, lacking=lacking)
        return asks

    def _renew(self, asks: Mapping[str, Ask], frozen: Mapping[str, float], now: float) -> dict[str, Loan]:
        if self._file is None:
            self._file = self._open_file()
        for metric, until in frozen.items():
            self._file.freeze(self._key, metric, until, now=now)
        return self._file.renew(self._key, self._participant, asks, now=now, weight=self._weight)

    def _lent(self, loans: Mapping[str, Loan], asked_at: float) -> None:
        for metric, loan in loans.items():
            if metric == self._slots_of:
                continue
            meter = self._meters[metric]
            meter.elsewhere(loan.elsewhere, loan.others, asked_at)
            meter.borrower.lent(loan.more, loan.until, loan.retry_at, loan.others, first_at=loan.first_at)
            meter.spread(loan.part)
            meter.frozen_until = max(meter.frozen_until, loan.frozen_until)
        if self._slots is not None:
            loan = loans[self._slots_of]
            self._slots.lent(loan.more, loan.retry_at, loan.back)
        self._said = False

    def _alone(self, error: TenireError) -> None:
        if not self._said:
            self._said = True
            _log.warning("a quota is not shared with other processes for now: %s", error)
        until = self._now() + _ALONE_S
        for meter in self._meters.values():
            meter.borrower.lent(meter.limit, until, None, 0)
            meter.spread(None)
        if self._slots is not None and self._max_concurrency is not None:
            self._slots.lent(self._max_concurrency - self._slots.slots, until)

    def _asked(self, asking: asyncio.Task[None]) -> None:
        self._asking = None
        if not asking.cancelled() and (error := asking.exception()) is not None:
            _log.error("a bug kept a quota from being shared", exc_info=error)
            self._alone(ComponentError(str(error), component="quota sharing"))
        self._changed()
        self.look()

    # -- the end ------------------------------------------------------------------

    async def aclose(self) -> None:
        """Say what was spent, give back the rest, and close the file."""
        if self._closed:
            return
        self._closed = True
        if self._ringing is not None:
            self._ringing.cancel()
        await unbroken(self._end())  # else the file would stay open

    async def _end(self) -> None:
        try:
            async with asyncio.timeout(_LAST_WAIT_S):
                if self._asking is not None:
                    await asyncio.wait([self._asking])
                await run_blocking(self._give_back, self._now())
        except TimeoutError:
            _log.warning("what was not used of a quota could not be given back within %g s", _LAST_WAIT_S)
        except TenireError as error:
            _log.warning("what was not used of a quota could not be given back: %s", error)

    def _give_back(self, now: float) -> None:
        if self._file is None:
            return
        for metric, until in self._frozen.items():
            self._file.freeze(self._key, metric, until, now=now)
        asks = self._asks(now)
        nothing = {metric: Ask(ask.limit, ask.window, ask.spent) for metric, ask in asks.items()}
        try:
            self._file.renew(self._key, self._participant, nothing, now=now)
        finally:
            self._file.close()
            self._file = None
