"""What happened to each call, and what it adds up to: the figures that proofs are made of."""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["CallLog", "CallRecord", "GroupStatistics", "ServerStatistics", "share_of_limit"]


class CallRecord(msgspec.Struct, frozen=True, gc=False):
    """One call.

    Attributes:
        at: When it arrived, seconds after the first call.
        ended: When the server was done with it, on the same clock.
        status: Of the response; 0 if none was sent.
        outcome: ``answered``; ``refused`` (the quota), ``rejected`` (no slot), ``outage``,
            ``poisoned``, ``abandoned`` (the client went away), ``invalid`` (an error of the
            client's); or the name of the fault that struck.
        admitted: Whether the quota let it in and was charged.
        group: Who called, in the caller's words (``user``, ``metadata.user_id``).
        prompt: 16 hexadecimal digits that stand for model and prompt.
        input_tokens: Charged to the quota for the prompt.
        output_tokens: Charged to the quota for the reply.
    """

    at: float
    ended: float
    status: int
    outcome: str
    admitted: bool
    group: str
    prompt: str
    input_tokens: int
    output_tokens: int

    def cost(self, metric: str) -> int:
        """Return what it took of a metric."""
        if not self.admitted:
            return 0
        if metric == "requests":
            return 1
        if metric == "tokens":
            return self.input_tokens + self.output_tokens
        return self.input_tokens if metric == "input_tokens" else self.output_tokens


class GroupStatistics(msgspec.Struct, frozen=True):
    """The calls of one caller.

    Attributes:
        calls: All of them.
        answered: Those with a whole, good reply.
        refused: Those for which the quota had no room.
        tokens: Charged for those that were let in.
    """

    calls: int = 0
    answered: int = 0
    refused: int = 0
    tokens: int = 0


class ServerStatistics(msgspec.Struct, frozen=True):
    """All calls together.

    Attributes:
        seconds: Since the first call.
        calls: That have ended.
        answered: With a whole, good reply.
        refused: For which the quota had no room.
        paid_twice: Good replies beyond the first for the same prompt.
        prompts: Different prompts with a good reply.
        in_flight: Calls that are being worked on or wait for a slot.
        most_in_flight: The most there were.
        outcomes: Calls by outcome.
        spent: Units charged, by metric.
        limits: Units in a window, by metric.
        groups: By the caller's own word for itself.
    """

    seconds: float
    calls: int
    answered: int
    refused: int
    paid_twice: int
    prompts: int
    in_flight: int
    most_in_flight: int
    outcomes: dict[str, int]
    spent: dict[str, int]
    limits: dict[str, int]
    groups: dict[str, GroupStatistics]


class CallLog:
    """Collects calls.

    Args:
        most: Records to keep; older ones are only counted.
        limits: Of the quota, by metric.
    """

    def __init__(self, most: int, limits: Mapping[str, int]) -> None:
        self.records: deque[CallRecord] = deque(maxlen=most)
        self._limits = dict(limits)
        self._outcomes: Counter[str] = Counter()
        self._groups: dict[str, list[int]] = {}
        self._replies: Counter[str] = Counter()
        self._spent = dict.fromkeys(("requests", "tokens", "input_tokens", "output_tokens"), 0)
        self.in_flight = 0
        self.most_in_flight = 0

    def began(self) -> None:
        """Count a call in."""
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)

    def ended(self, record: CallRecord) -> None:
        """Count a call out."""
        self.in_flight -= 1
        self.records.append(record)
        self._outcomes[record.outcome] += 1
        group = self._groups.setdefault(record.group, [0, 0, 0, 0])
        group[0] += 1
        if record.outcome == "answered":
            group[1] += 1
            self._replies[record.prompt] += 1
        elif record.outcome == "refused":
            group[2] += 1
        if record.admitted:
            spent = self._spent
            spent["requests"] += 1
            spent["input_tokens"] += record.input_tokens
            spent["output_tokens"] += record.output_tokens
            group[3] += record.input_tokens + record.output_tokens

    def statistics(self, seconds: float) -> ServerStatistics:
        """Return what it adds up to, ``seconds`` after the first call."""
        spent = self._spent
        answered = self._outcomes["answered"]
        return ServerStatistics(
            seconds=seconds,
            calls=sum(self._outcomes.values()),
            answered=answered,
            refused=self._outcomes["refused"],
            paid_twice=answered - len(self._replies),
            prompts=len(self._replies),
            in_flight=self.in_flight,
            most_in_flight=self.most_in_flight,
            outcomes=dict(self._outcomes),
            spent=spent | {"tokens": spent["input_tokens"] + spent["output_tokens"]},
            limits=self._limits,
            groups={name: GroupStatistics(*numbers) for name, numbers in self._groups.items()},
        )


def share_of_limit(
    records: Iterable[CallRecord], metric: str, *, limit: int, window: float, since: float, until: float
) -> float:
    """Return what was charged in a time, as a part of what the limit allows in that time.

    Args:
        records: Of a server.
        metric: ``requests``, ``tokens``, ``input_tokens`` or ``output_tokens``.
        limit: Of it, units in a window.
        window: Seconds.
        since: Seconds after the first call.
        until: Seconds after the first call.
    """
    spent = sum(record.cost(metric) for record in records if since <= record.at < until)
    return spent / (limit / window * (until - since))
