"""Who waits for what while it holds something, and whether that can ever end.

A running task may ask for more (a permit) or wait for another task. Two rules
together leave no way for a circle of waiting to close:

1. Whoever holds something may wait only for what comes after it in the order of
   asking: bytes, CPU, slots, rates (resource ordering: J. W. Havender, "Avoiding
   Deadlock in Multitasking Systems", IBM Systems Journal, 1968). More of a kind that
   is held, or of an earlier one, is granted at once or refused at once.
2. Waiting for a task is not in any order, so it is tried out: if all that run and
   do not wait give back what they hold, can those that wait be served one after the
   other? If not, the one that would wait is refused (the safety test of
   E. W. Dijkstra's banker's algorithm, EWD 623).
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from tenire.core.dependencies import inherit
from tenire.core.tasks import FINAL, READY, RUNNING, Claim

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tenire.core.admission import Admission
    from tenire.core.tasks import Needs, Task

__all__ = ["Waits"]


class Waits:
    """What running tasks wait for."""

    __slots__ = ("_admission", "_by_root", "_in_order", "_loose", "_targets")

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._targets: dict[Task, list[Task]] = {}
        self._by_root: dict[Task, list[Task]] = {}  # a task may wait in several coroutines at once
        self._in_order: set[Task] = set()  # those of the targets that are asked for in order (rule 1)
        self._loose = 0  # and how many are waited for in no order

    def in_order(self, held: int, needs: Needs) -> bool:
        """Return whether one who holds this set of resources may wait for these (rule 1)."""
        rank = self._admission.rank
        last = max((rank(index) for index in range(held.bit_length()) if held >> index & 1), default=-1)
        rates = self._admission.rates
        return all(rank(index) > last for index, _ in needs if index not in rates)

    def begin(self, holder: Task, target: Task, *, in_order: bool = False) -> None:
        """Note that a holder waits, and whether it is for what comes after all that it holds."""
        self._targets.setdefault(holder, []).append(target)
        self._by_root.setdefault(holder.root(), []).append(target)
        if in_order:
            self._in_order.add(target)
        else:
            self._loose += 1

    def end(self, holder: Task, target: Task) -> None:
        """Note that it waits no longer."""
        targets = self._targets.get(holder)
        if targets is not None and target in targets:
            targets.remove(target)
            if target in self._in_order:
                self._in_order.discard(target)
            else:
                self._loose -= 1
            if not targets:
                del self._targets[holder]
            root = holder.root()
            all_targets = self._by_root[root]
            all_targets.remove(target)
            if not all_targets:
                del self._by_root[root]

    def targets(self, task: Task) -> Sequence[Task]:
        """Return what a task waits for."""
        return self._by_root.get(task, ())

    def wait_for(self, holder: Task, target: Task, *, in_order: bool = False) -> bool:
        """Take in that a running task waits for another, or for a permit; see ``urge``.

        Args:
            holder: Who waits.
            target: For what.
            in_order: Whether that is a permit, which it asks for in order (rule 1).

        Returns:
            False if neither could ever go on: then the holder must not wait.
        """
        # While all wait in order only (rule 1), or if it holds nothing and no holder waits
        # for it, no circle can close, and what is linear in all that wait can be spared.
        alone = in_order and target.claim < Claim.AWAITED and holder.root().claim < Claim.AWAITED
        self.begin(holder, target, in_order=in_order)
        if self._loose and not alone and self.stuck(holder):
            self.end(holder, target)
            return False
        self.urge(holder, target)
        return True

    def urge(self, holder: Task, target: Task) -> None:
        """Have a task, and what it waits for in turn, run before others because a running one waits for it."""
        inherit(target, holder.priority)
        if holder.root().claim == Claim.AWAITED or holder.holds():
            pending = [target]
            while pending:
                task = pending.pop()
                if task.claim < Claim.AWAITED and task.state <= RUNNING:
                    if task.state == READY:
                        task.pipeline.queue.promote(task, claim=Claim.AWAITED)
                    else:
                        task.claim = Claim.AWAITED  # so has what it will ask for, or wait for, once it runs
                        pending.extend(task.after)
                        pending.extend(self.targets(task))

    def holds_now(self, holder: Task) -> None:
        """Take in that a running task holds something now: so does what waits for what it waits for."""
        for target in self.targets(holder):
            if target in self._in_order:  # asked for before, so perhaps not in order any more
                self._in_order.discard(target)
                self._loose += 1
            self.urge(holder, target)

    def stuck(self, holder: Task) -> bool:
        """Return whether a holder that waits can never go on (rule 2)."""
        if all(self._ends_now(target) for target in self._targets.get(holder, ())):
            return False
        blocked = dict(self._targets)
        free = list(self._admission.capacity)
        held = Counter(record for one in blocked for record in one.records())
        for record in held:
            self._give(free, record, -1)
        served = True
        while served and holder in blocked:
            served = False
            for one, targets in list(blocked.items()):
                roots = {other.root() for other in blocked}
                if all(self._ends(target, roots, free) for target in targets):
                    del blocked[one]
                    served = True
                    for record in one.records():
                        held[record] -= 1
                        if not held[record]:
                            self._give(free, record, 1)
        return holder in blocked

    def _ends_now(self, target: Task) -> bool:
        """Return whether a target needs nothing that is not there, without looking further."""
        if target.state == RUNNING:
            return target not in self._by_root
        return target.state >= FINAL or (target.state == READY and not self._admission.lacking(target.needs))

    def _ends(self, target: Task, blocked: set[Task], free: list[int]) -> bool:
        """Return whether a target, and all that it waits for, can run with what is free."""
        pending = [target]
        seen = {target}
        rates = self._admission.rates
        while pending:
            task = pending.pop()
            if task.state >= FINAL:
                continue
            if task.state == RUNNING:
                if task in blocked:
                    return False
                continue
            if any(free[index] < amount for index, amount in task.needs if index not in rates):
                return False
            fresh = [other for other in task.after if other not in seen]
            seen.update(fresh)
            pending += fresh
        return True

    @staticmethod
    def _give(free: list[int], record: Task, sign: int) -> None:
        for index, amount in record.needs:
            free[index] += sign * amount
