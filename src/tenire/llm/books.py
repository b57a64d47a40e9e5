"""What is kept of calls, and what may be spent on them: of one home, or in memory only."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tenire.concurrency.engine_arguments import check_home
from tenire.concurrency.unbroken import unbroken
from tenire.errors import ConfigError, RejectedError
from tenire.llm.money import to_usd, usd_text
from tenire.llm.purse import Purse
from tenire.llm.reply_log import ReplyLog

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping
    from types import TracebackType
    from typing import Self

    from tenire.concurrency import ConcurrencyManager
    from tenire.storage.spending import Spent

__all__ = ["REPLY_BYTES", "Books", "Spending"]

_log = logging.getLogger("tenire.llm")

REPLY_BYTES = 1 << 30
"""Bytes that replies may take in a home, by default."""


@dataclass(frozen=True, slots=True)
class Spending:
    """What was spent.

    Attributes:
        calls: Calls that a provider charges for.
        input_tokens: Of their prompts.
        cached_tokens: Of these, those that the provider had cached.
        output_tokens: Of their replies, reasoning included.
        reasoning_tokens: Of these, those that nobody sees.
        cost_usd: US dollars.
        guessed_usd: Of these, what nobody has confirmed, since the calls broke off or their program was killed.
    """

    calls: int
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    reasoning_tokens: int
    cost_usd: float
    guessed_usd: float

    @classmethod
    def of(cls, spent: Spent) -> Spending:
        """Make one of what the ledger says."""
        return cls(
            spent.calls,
            spent.input_tokens,
            spent.cached_tokens,
            spent.output_tokens,
            spent.reasoning_tokens,
            to_usd(spent.cost),
            to_usd(spent.guessed),
        )


class Books:
    """The replies, the spending and the budget that several clients share; an async context manager.

    Args:
        manager: The engine.
        home: The home directory, made if it does not exist; ``None`` keeps nothing for good.
        budget_usd: What may be spent in the home in all, by anybody and ever; without a home,
            by the clients that share this. ``None`` for no limit.
        budgets_usd: The same for single pipelines, by name.
        reply_bytes: Bytes that replies may take in the home.

    Attributes:
        purse: Says whether a call may be paid for.
        log: Of the home, or ``None``.
        lost_usd: What was charged, as a guess, when they were opened: for calls that were in flight
            when other programs on the home were killed. US dollars.

    Raises:
        ConfigError: If an argument is impossible.
    """

    def __init__(
        self,
        manager: ConcurrencyManager,
        home: str | os.PathLike[str] | None = None,
        *,
        budget_usd: float | None = None,
        budgets_usd: Mapping[str, float] | None = None,
        reply_bytes: int = REPLY_BYTES,
    ) -> None:
        if isinstance(reply_bytes, bool) or not isinstance(reply_bytes, int) or reply_bytes < 0:
            message = f"reply_bytes must be a whole number of bytes from 0, got {reply_bytes!r}"
            raise ConfigError(message, key="reply_bytes")
        check_home(home)
        self._manager = manager
        self._home = home
        self._budget = budget_usd
        self._budgets = dict(budgets_usd or {})
        self._most = reply_bytes
        self._purse: Purse | None = None
        self.log: ReplyLog | None = None
        self.lost_usd = 0.0

    @property
    def home(self) -> str | os.PathLike[str] | None:
        """The home directory, or ``None``."""
        return self._home

    @property
    def purse(self) -> Purse:
        """Says whether a call may be paid for."""
        if self._purse is None:
            message = "these books are not open: use `async with Books(…)` first"
            raise RejectedError(message)
        return self._purse

    async def __aenter__(self) -> Self:
        timer = self._manager.timer
        if self._home is not None:
            self.log = await ReplyLog.open(self._home, most=self._most, timer=timer)
        try:
            self._purse = Purse(self._budget, timer=timer, every=self._manager.control.every, log=self.log)
            if self.log is not None:
                lost = await self.log.settle_lost()
                self.lost_usd = to_usd(lost.cost)
                _tell_lost(lost)
            before = {} if self.log is None or not self._budgets else await self.log.by_pipeline()
            for pipeline, budget in self._budgets.items():
                spent = before[pipeline].cost if pipeline in before else 0
                self._purse.limit(pipeline, budget, spent=spent)
        except BaseException:
            await self.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def spending(self) -> dict[str, Spending]:
        """Return what each pipeline has ever spent in the home; empty without one."""
        if self.log is None:
            return {}
        return {pipeline: Spending.of(spent) for pipeline, spent in (await self.log.by_pipeline()).items()}

    async def aclose(self) -> None:
        """Write everything down and close; closing twice is fine."""
        await unbroken(self._close())

    async def _close(self) -> None:
        if self._purse is not None:
            await self._purse.aclose()
        if self.log is not None:
            await self.log.aclose()


def _tell_lost(lost: Spent) -> None:
    if lost.calls:
        _log.warning(
            "calls in flight when their program was killed: %d. They may be paid for: %s for them, a guess, is spent",
            lost.calls,
            usd_text(lost.cost),
        )
