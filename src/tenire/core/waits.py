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

from tenire.core.dependencies import find_cycle, inherit
from tenire.core.tasks import FINAL, READY, RUNNING, Claim

if TYPE_CHECKING:
    from collections.abc import Container, Mapping, Sequence

    from tenire.core.admission import Admission
    from tenire.core.tasks import Needs, Task

__all__ = ["Waits"]


class _Served:
    """How far those that wait have been served, all that run and do not wait having given back what they held.

    Attributes:
        blocked: What is waited for, by holder, of those that have not been served.
        roots: The tasks that those stand in.
        free: What is free, by index.
    """

    __slots__ = ("_held", "blocked", "free", "roots")

    def __init__(self, targets: Mapping[Task, list[Task]], admission: Admission) -> None:
        self.blocked = dict(targets)
        self.roots = Counter(one.root() for one in self.blocked)
        self.free = list(admission.capacity)
        self._held = Counter(record for one in self.blocked for record in one.records())
        for record in self._held:
            self._give(record, -1)

    def serve(self, one: Task) -> None:
        """Take in that one can go on, and gives back what it holds."""
        del self.blocked[one]
        root = one.root()
        self.roots[root] -= 1
        if not self.roots[root]:
            del self.roots[root]
        for record in one.records():
            self._held[record] -= 1
            if not self._held[record]:
                self._give(record, 1)

    def _give(self, record: Task, sign: int) -> None:
        for index, amount in record.needs:
            self.free[index] += sign * amount


class _Safe:
    """That one holder, the last that began to wait, can go on: as long as nobody else waits for or holds more.

    So one that waits for thousands is not gone through from the first for each of them.

    Attributes:
        holder: Who.
        capacity: What there was in all.
        served: When its turn comes; ``None``: at once.
    """

    __slots__ = ("capacity", "holder", "served")

    def __init__(self, holder: Task, admission: Admission, served: _Served | None) -> None:
        self.holder = holder
        self.capacity = list(admission.capacity)
        self.served = served


class Waits:
    """What running tasks wait for."""

    __slots__ = ("_admission", "_by_root", "_in_order", "_loose", "_safe", "_targets")

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._targets: dict[Task, list[Task]] = {}
        self._by_root: dict[Task, list[Task]] = {}  # a task may wait in several coroutines at once
        self._in_order: set[Task] = set()  # those of the targets that are asked for in order (rule 1)
        self._loose = 0  # and how many are waited for in no order
        self._safe: _Safe | None = None

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
                if self._safe is not None and self._safe.holder is holder:
                    self._safe = None  # it would be kept alive
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
        if alone or not self._loose:
            self._safe = None  # nobody has looked at this one
        elif self.stuck(holder):
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
        self._safe = None
        for target in self.targets(holder):
            if target in self._in_order:  # asked for before, so perhaps not in order any more
                self._in_order.discard(target)
                self._loose += 1
            self.urge(holder, target)

    def circle(self, holder: Task, target: Task) -> list[Task]:
        """Return the tasks that would wait for one another if a holder waited for a target.

        Returns:
            Each waits for the next; the holder's task comes first, and again at the end. Empty
            if what is held stands in the way, and not waiting alone.
        """
        root = holder.root()
        graph: dict[Task, Sequence[Task]] = {root: (target,)}
        pending = [target]
        while pending:
            task = pending.pop()
            if task not in graph:
                graph[task] = self.targets(task) if task.state == RUNNING else task.after
                pending.extend(graph[task])
        cycle = find_cycle(graph)
        return cycle if cycle is not None and cycle[0] is root else []

    def stuck(self, holder: Task) -> bool:
        """Return whether a holder that has just begun to wait for something can never go on (rule 2)."""
        targets = self._targets.get(holder)
        if not targets:
            return False
        safe = self._safe
        if safe is not None and safe.holder is holder and safe.capacity == self._admission.capacity:
            served = safe.served = safe.served or _Served(self._targets, self._admission)
            if self._ends(targets[-1], served.roots, served.free):
                return False
        elif all(self._ends_now(target) for target in targets):
            self._safe = _Safe(holder, self._admission, None)
            return False
        return self._never_served(holder)

    def _never_served(self, holder: Task) -> bool:
        state = _Served(self._targets, self._admission)
        progress = True
        while progress:
            progress = False
            for one, targets in list(state.blocked.items()):
                if all(self._ends(target, state.roots, state.free) for target in targets):
                    if one is holder:
                        self._safe = _Safe(holder, self._admission, state)
                        return False
                    state.serve(one)
                    progress = True
        self._safe = None
        return True

    def _ends_now(self, target: Task) -> bool:
        """Return whether a target needs nothing that is not there, without looking further."""
        if target.state == RUNNING:
            return target not in self._by_root
        return target.state >= FINAL or (target.state == READY and not self._admission.lacking(target.needs))

    def _ends(self, target: Task, blocked: Container[Task], free: list[int]) -> bool:
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
