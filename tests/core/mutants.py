"""One planted bug for each rule of the core, and the tests that must see it.

Run as a script it plants each bug in a copy of the core, runs the tests named
beside it against that copy, and prints ``{rule: [exit code, output]}`` as JSON.
One process does all of them: to start Python, pytest and hypothesis takes longer
than the tests.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
SOURCE = HERE.parents[1] / "src" / "tenire"

# module, what is replaced, by what, tests that see it
MUTANTS: dict[str, tuple[str, str, str, str]] = {
    "a deadline comes out early": (
        "deadlines", "heap[0][2].due <= now or", "heap[0][2].due <= now + 1 or", "test_deadlines.py::TestHeap",
    ),
    "slack makes a deadline come late": (
        "deadlines", "return heap[0][0] if heap else None", "return heap[0][0] + 1 if heap else None",
        "test_deadlines.py::TestHeap",
    ),
    "the end of something is lost for want of room": (
        "event_queue", "if terminal:", "if False:", "test_event_queue.py",
    ),
    "events come out of order": (
        "event_queue", "terminal[0][0] < ordinary[0][0]", "True", "test_event_queue.py",
    ),
    "what is given back comes last": (
        "event_queue", "appendleft((place", "append((place", "test_event_queue.py",
    ),
    "missed ticks move those to come": (
        "missed_ticks", "due + (late + 1) * period", "now + period", "test_missed_ticks.py",
    ),
    "a call is found to cost less than nothing": (
        "stage_cost", "elif mean_seconds < each * mean_items:", "elif False:", "test_stage_cost.py -k negative",
    ),
    "calls of one size lose what they cost however small": (
        "stage_cost", "self.fixed = min(self.fixed, mean_seconds)", "self.fixed = 0.0",
        "test_stage_cost.py -k one_size",
    ),
    "a slow model is given minutes of work": (
        "stage_sizes", "LONGEST_S / each)", "1e9)", "test_stage_sizes.py -k rules",
    ),
    "all workers read while the model needs the cores": (
        "stage_sizes", "min(ceil(min(needed, workers)), workers)", "workers", "test_stage_sizes.py -k one_reader",
    ),
    "sizes never come to rest": (
        "stage_sizes", "abs(size - before) <= SLACK * before", "size == before", "test_stage_sizes.py -k nearly",
    ),
    "a group costs a kill an hour": (
        "stage_sizes", "min(enough, LONGEST_GROUP_S / per_passage)", "enough", "test_stage_sizes.py -k rules",
    ),
    "a cancelled deadline comes out": (
        "deadlines", "            if payload is not None:", "            if True:", "test_deadlines.py::TestHeap",
    ),
    "a task is freed by the first of those it waits for": (
        "dependencies", "if not dependent.blockers:", "if True:", "test_dependencies.py -k freed",
    ),
    "a failed task frees those that wait for it": (
        "dependencies", "if done or dependent.always:", "if True:", "test_dependencies.py -k breaks",
    ),
    "a task that runs always ends with what it waits for": (
        "dependencies", "if done or dependent.always:", "if done:", "test_dependencies.py -k always",
    ),
    "only the next task inherits": (
        "dependencies", "pending.extend(raised.after)", "pass", "test_dependencies.py -k urgent",
    ),
    "a cycle search forgets what it has searched": (
        "dependencies", "return [*path[path.index(node) :], node]", "return [*path, node]",
        "test_dependencies.py -k true_one",
    ),
    "tasks of one class come out last first": (
        "ready_queue", "            task = queue[0]\n", "            task = queue[-1]\n",
        "test_ready_queue.py -k came_in",
    ),
    "waiting tasks do not age": (
        "ready_queue", "int((now - task.ready_at) / AGEING_S)", "0", "test_ready_queue.py -k rises",
    ),
    "urgent work passes aged tasks for ever": (
        "ready_queue", " and not by_age and ", " and ", "test_ready_queue.py -k stream",
    ),
    "urgent work has no precedence": (
        "ready_queue", "min(birth, other_birth) <= Priority.HIGH", "False", "test_ready_queue.py -k ten_thousand",
    ),
    "deadlines count for nothing": (
        "ready_queue", "if first is not None and (task is None or", "if first is not None and task is None and (",
        "test_ready_queue.py -k earliest",
    ),
    "deadlines pass aged tasks for ever": (
        "ready_queue", "(task is None or now - task.ready_at < AGEING_S)", "True",
        "test_ready_queue.py -k deadlines_lets",
    ),
    "a head is kept though a more urgent task has come": (
        "ready_queue", "if lane.size == 1 or lane.used >> priority + 1:", "if lane.size == 1:",
        "test_ready_queue.py -k looked_at",
    ),
    "what a holder waits for stands behind what needs more": (
        "ready_queue", " if task.claim < _AWAITED else task.needs", "",
        "../simulation/test_circles.py -k stand_behind",
    ),
    "lanes of the past pile up": (
        "ready_queue", "if len(self.lanes) > _MOST_LANES:", "if False:", "test_ready_queue.py -k given_up",
    ),
    "critical work has precedence for ever": (
        "selection", "precedence = self._critical_run < URGENT_RUN", "precedence = True",
        "test_selection.py -k left_over or low_work",
    ),
    "critical work has no precedence": (
        "selection", "if precedence and pipeline.queue.critical else", "if False else", "test_selection.py -k critical",
    ),
    "permits have no precedence": (
        "selection", "yield from self._claimed(now)", "pass", "../simulation/test_circles.py",
    ),
    "permits have precedence for ever": (
        "selection", "suspended_only = claim == Claim.PERMIT and self._permit_run >= URGENT_RUN",
        "suspended_only = False", "test_selection.py -k permits",
    ),
    "what runs of a suspended pipeline stands still": (
        "selection", "if suspended_only and pipeline.suspended is None:", "if suspended_only:",
        "../simulation/test_circles.py -k suspended",
    ),
    "a head is chosen before all others were looked at": (
        "selection", "if best is not None and reservations.passed:", "if False:", "test_selection.py -k take_turns",
    ),
    "a suspended pipeline starts": (
        "selection", "            if pipeline.suspended is None:\n                tier = _URGENT",
        "            if True:\n                tier = _URGENT", "test_scheduler_states.py::TestScheduler",
    ),
    "more is held than may be for now": (
        "selection", "self._over_limit(task) if self.limits and not lane.claim else 0", "0",
        "../simulation/test_core_simulation.py -k outside",
    ),
    "with enough for all nobody looks at what may be held for now": (
        "selection", "if self.limits or self._classes", "if self._classes",
        "../simulation/test_core_simulation.py -k outside",
    ),
    "what is larger than may be held for now waits for ever": (
        "selection", "if held > 0 and any(", "if any(", "../simulation/test_core_simulation.py -k outside",
    ),
    "what running work needs has to be within what may be held for now": (
        "selection", "if self.limits and not lane.claim else", "if self.limits else",
        "../simulation/test_core_simulation.py -k outside",
    ),
    "a class that is left out starts": (
        "selection", "self._classes = (2 << lowest) - 1", "self._classes = (4 << lowest) - 1",
        "test_explain.py -k left_out",
    ),
    "nobody asks again for what comes back with time": (
        "selection", "if self.retry_at is None or at < self.retry_at:", "if False:",
        "../simulation/test_core_simulation.py -k outside",
    ),
    "a rate that is used up is not waited for": (
        "selection", "lasting = ~self._admission.rate_mask", "lasting = -1",
        "../simulation/test_core_simulation.py -k outside",
    ),
    "work that has to step aside goes first": (
        "selection", "if tier < _ASIDE and overload.goes_last(task.priority, aged(task, now))", "if False",
        "test_explain.py -k steps_aside",
    ),
    "waiting for a rate counts as waiting for the machine": (
        "accounts", "self._overload.took(task.priority, share if",
        "self._overload.started(task.priority, now - task.ready_at, share if", "test_overload.py -k rate",
    ),
    "time in which a pipeline was to start nothing counts as waiting": (
        "fair_share", "            self.resumed_at = now\n", "            pass\n", "test_overload.py -k nothing",
    ),
    "who goes last is told to wait for the resource": (
        "explain", "if scheduler.overload.goes_last(task.priority, aged(task, now)) and", "if False and",
        "test_explain.py -k steps_aside",
    ),
    "batch work takes what urgent work needs": (
        "selection", "if room <= 1e-9 or self._admission.share(task.needs) > room + 1e-9:", "if False:",
        "test_explain.py -k batch",
    ),
    "a pipeline without credit keeps its place": (
        "selection", "return _COOLING if pipeline.burst.cooling else _DUE", "return _DUE",
        "test_selection.py -k credit",
    ),
    "nothing is kept for a task that is passed over": (
        "reservations", 'if pipeline.v - cast("float", lane.tag) > slack * charge:', "if False:",
        "test_selection.py -k passed_over",
    ),
    "nothing is kept for critical work": (
        "reservations", "elif self._admission.possible(task.needs):", "elif False:",
        "test_selection.py -k several_slots",
    ),
    "only what a task lacks is kept for it": (
        "reservations", "if not full and progress > (FULL_SLACK - SLACK) * charge:", "if False:",
        "test_selection.py -k take_turns",
    ),
    "who rightly has more than others steps back from all that they need": (
        "reservations", "progress = _progress(lane, pipeline)", 'progress = pipeline.v - cast("float", lane.tag)',
        "test_reservations.py -k asked_to_step_back",
    ),
    "all that a head lacks is kept idle while it waits for one thing": (
        "reservations", "elif passed.lacking and len(needs) > 1 and progress <= SLACK * charge:", "elif False:",
        "test_reservations.py -k no_larger_part",
    ),
    "those who need little of what is scarce run ahead": (
        "reservations", "and len(needs) > 1 and progress <= SLACK * charge:", "and len(needs) > 1:",
        "test_reservations.py -k kept_whole",
    ),
    "what is kept for several that are passed over adds up": (
        "reservations", "                        if left.get(index, amount) < amount:\n",
        "                        left[index] = left.get(index, amount) - amount\n"
        "                        if left[index] < 0:\n", "test_reservations.py -k the_largest_lacks",
    ),
    "a task that can never fit has the machine kept for it": (
        "reservations", "elif self._admission.possible(task.needs):", "else:", "test_selection.py -k lowered_capacity",
    ),
    "what a holder waits for stands behind what is kept": (
        "reservations", "        if self.claim == Claim.AWAITED:\n            return None\n", "",
        "../simulation/test_circles.py -k stand_behind",
    ),
    "a wait is safe if its first step is": (
        "waits", "        self._safe = None\n        return True\n", "        return False\n",
        "test_waits.py -k exactly",
    ),
    "those that wait give back what they hold": (
        "waits", "            self._give(record, -1)\n", "            pass\n", "test_waits.py -k exactly",
    ),
    "who can go on still can when there is less": (
        "waits", " and safe.capacity == self._admission.capacity", "", "test_waits.py -k anew",
    ),
    "who can go on still can when somebody holds more": (
        "waits", "it waits for.\"\"\"\n        self._safe = None\n", "it waits for.\"\"\"\n", "test_waits.py -k anew",
    ),
    "one that waits for thousands is gone through from the first for each": (
        "waits", "if safe is not None and safe.holder is holder and", "if False and", "test_waits.py -k thousands",
    ),
    "the order of asking does not matter": (
        "waits", "return all(rank(index) > last", "return all(rank(index) >= 0", "test_waits.py -k after_all",
    ),
    "a grandchild is not waited for by a holder": (
        "waits", "if holder.root().claim == Claim.AWAITED or holder.holds():", "if holder.holds():",
        "../simulation/test_circles.py -k grandchild",
    ),
    "what a child waited for before is not waited for by a holder": (
        "waits", "                        pending.extend(self.targets(task))\n", "",
        "../simulation/test_circles.py -k before_its_parent",
    ),
    "holding something changes nothing for those that wait": (
        "waits", "        for target in self.targets(holder):\n", "        for target in ():\n",
        "test_waits.py -k keeps_its_place",
    ),
    "an abandoned task holds nothing": (
        "tasks", "own = [self] if self.state >= RUNNING and self.mask",
        "own = [self] if self.state == RUNNING and self.mask",
        "../simulation/test_circles.py -k given_up",
    ),
    "an ended task goes on holding": (
        "scheduler", "            task.mask = 0  # code", "            pass  # code",
        "../simulation/test_circles.py -k stray",
    ),
    "an idle pipeline gains credit": (
        "fair_share", "pipeline.v = max(pipeline.v, self.v)", "pass", "test_fair_share.py -k credit",
    ),
    "a charge is never corrected": (
        "accounts", "        pipeline.v += ((cost if cost > toll else toll) - task.charge) / pipeline.pull\n", "",
        "test_fair_share.py -k corrected",
    ),
    "a weight does not count": (
        "accounts", "((cost if cost > toll else toll) - task.charge) / pipeline.pull",
        "(cost if cost > toll else toll) - task.charge", "test_fair_share.py -k greedy",
    ),
    "a pipeline whose weight was small waits as if it still were": (
        "fair_share", "* before / pipeline.pull", "", "test_fair_share.py -k weight_was_small",
    ),
    "a head that is held up counts from a time that was set back": (
        "fair_share", "            pipeline.queue.not_ahead_of(pipeline.v)\n", "", "test_fair_share.py -k set_back",
    ),
    "a rate costs nothing": (
        "accounts", "            toll = admission.toll(task.needs)\n", "", "test_fair_share.py -k rate",
    ),
    "a pipeline left alone stays in its cooldown": (
        "fair_share",
        "for pipeline in self.backlogged:\n            pipeline.burst.observe",
        "for pipeline in self.backlogged[1:]:\n            pipeline.burst.observe",
        "test_selection.py -k left_alone",
    ),
    "a cooldown ends at once": (
        "burst", "elif self.credit >= BURST_S / 2:", "else:", "test_burst.py",
    ),
    "there is credit under load": (
        "burst", "or (not allowed and lead > 0.0)", "", "test_burst.py",
    ),
    "a task takes only some of its resources": (
        "admission", "            meter = rates.get(index)\n",
        "            meter = rates.get(index)\n            if index != needs[0][0]:\n                break\n",
        "test_admission.py::TestAdmission",
    ),
    "a task starts though it lacks something": (
        "admission", "if free[index] < amount:", "if free[index] <= 0:", "test_admission.py::TestAdmission",
    ),
    "a capacity of nothing is divided by": (
        "admission", "amount / whole if whole else 1.0", "amount / whole", "test_admission.py -k nothing_is_left",
    ),
    "what is taken of a rate is given back": (
        "admission", "            if index not in rates:\n                free[index] += amount",
        "            if True:\n                free[index] += amount", "test_rates.py -k time_only",
    ),
    "fractions of a unit are lost": (
        "rates", "        self._fraction = gained - whole\n", "", "test_rates.py -k fractions",
    ),
    "a rate is announced too early": (
        "rates", "return at + _MARGIN_S", "return at - _MARGIN_S", "test_rates.py -k announced",
    ),
    "what was spent counts less long than the window": (
        "rate_ledger", "math.ceil(at / self._width)\n        amounts", "math.floor(at / self._width)\n        amounts",
        "test_rate_ledger.py -k everything",
    ),
    "what is spent lately is forgotten early": (
        "rate_ledger", "+ self.span <= now", "+ self.span <= now + 0.1", "test_rate_ledger.py -k last_moment",
    ),
    "room in a window is announced early": (
        "rate_ledger", "at = slot * self._width + self.span", "at = slot * self._width + self.span - 1e-3",
        "test_rate_ledger.py -k announced",
    ),
    "what is told late comes in wrong order": (
        "rate_ledger", "insort(order, slot)", "order.append(slot)", "test_rate_ledger.py -k everything",
    ),
    "the time on the way is forgotten": (
        "rate_window", "RateLedger(window + jitter)", "RateLedger(window)", "test_rate_window.py::TestTaking",
    ),
    "what is held counts for nothing": (
        "rate_window", "return self._ledger.spent + self.held", "return self._ledger.spent",
        "test_rate_window.py::TestTaking",
    ),
    "what is held ages": (
        "rate_window", "        self.held += amount\n\n    def stamp", "        self.held += 0\n\n    def stamp",
        "test_rate_window.py -k sent_later",
    ),
    "a quota is sent in a rush": (
        "rate_window", "gap / FASTEST\n        if", "0.0\n        if", "test_rate_window.py -k evenly",
    ),
    "what is too little for the next is kept from others": (
        "quota_loans", "if free >= self.least else 0", "if free >= 0 else 0", "test_quota_loans.py -k too_little",
    ),
    "what does not fit into the rest of a share waits for all of it": (
        "quota_shares", "me.least > fair - me.used", "me.least > fair", "test_quota_shares.py -k rest",
    ),
    "each spreads its calls by the quota of all": (
        "quota_shares", "round(max(left, least))", "limit", "test_quota_shares.py -k expect",
    ),
    "a quota rushes and stands still in turn": (
        "rate_window", "self._due = max(self._due, now - CREDIT * self.window) + gap", "self._due = now",
        "test_rate_window.py -k evenly",
    ),
    "a server that refused is asked again at once": (
        "rate_window", " or now < self.frozen_until:", ":", "test_rate_window.py -k frozen",
    ),
    "what was never sent puts off what is": (
        "rate_window", "        self._due -= gap\n", "", "test_rate_window.py -k never_sent",
    ),
    "calls of one's own are taken for those of others": (
        "foreign_use", "used = limit - remaining - own", "used = limit - remaining", "test_foreign_use.py -k nobody",
    ),
    "rounding is taken for others": (
        "foreign_use", "used + rounding if used > rounding else 0", "max(0, used)",
        "test_foreign_use.py -k nobody",
    ),
    "others are forgotten when they pause": (
        "foreign_use", "seen[-1][1] <= used:", "True:", "test_foreign_use.py -k window",
    ),
    "others are remembered for ever": (
        "foreign_use", "seen[0][0] + self._window <= now", "False", "test_foreign_use.py -k window",
    ),
    "the smallest quantum is taken": (
        "quantum_search", "self.quantum = self._left[0]\n", "self.quantum = self._left[-1]\n",
        "test_quantum_search.py -k burst",
    ),
    "chance is taken for a quantum": (
        "quantum_search", "len(refused) >= self._enough", "True", "test_quantum_search.py -k two",
    ),
    "calls that were refused count for a quantum": (
        "quantum_search", "*((at, -units) for at, units in refused)", "", "test_quantum_search.py -k did_not_count",
    ),
    "a quantum holds for ever": (
        "quantum_search", "now < self._until", "True", "test_quantum_search.py -k tried_again",
    ),
    "a refusal is not answered": (
        "learned_rate", "max(1.0, self._bound * _CUT)", "max(1.0, self._bound)", "test_learned_rate.py",
    ),
    "a limit that was refused is tried again as fast": (
        "learned_rate", "            self._starting = False\n", "", "test_learned_rate.py -k second",
    ),
    "a limit grows without being tried": (
        "learned_rate", "if used >= _USED * self.limit or", "if True or", "test_learned_rate.py -k not_used",
    ),
    "refusals teach a limit though nothing is accepted": (
        "quota_meter", "teaches = now <= self._accepted_at + self.window", "teaches = True",
        "test_quota_meter.py -k teach_no_limit",
    ),
    "a limit of a few calls never grows": (
        "learned_rate", " or used + lacking > self.limit", "", "test_learned_rate.py -k too_little",
    ),
    "a call that has gone is waited for": (
        "quota_meter", "        self._lacking = 0\n", "", "test_quota_meter.py -k a_few_calls",
    ),
    "each call on its way counts as a refusal": (
        "quota_meter", "if sent_at <= self._answered_at or", "if False or", "test_quota_meter.py -k together",
    ),
    "a margin is for ever": (
        "quota_meter", "if self.margin > self._jitter:", "if False:", "test_quota_meter.py -k shrinks",
    ),
    "what a taking leaves is more than there is": (
        "rate_window", "max(0, min(free, self.ceiling) - amount)", "max(0, free - amount)",
        "test_rate_window.py -k taking_leaves",
    ),
    "what others use is not looked at": (
        "quota_meter", "said.limit - said.remaining - own <= said.rounding", "True", "test_quota_meter.py -k is_known",
    ),
    "what others use is taken": (
        "quota_meter", "self.announced - self._left_to_others(now)", "self.announced",
        "test_quota_meter.py -k left_to_them",
    ),
    "the larger of two limits holds": (
        "quota_meter", "return min(declared, announced)", "return max(declared, announced)",
        "test_quota_meter.py -k smaller",
    ),
    "nobody looks again for what others leave": (
        "quota_meter", "return min(at, max(self._look_at, now)) if self._gives_back() else at", "return at",
        "test_quota_meter.py -k left_to_them",
    ),
    "a quantum is not enforced": (
        "rate_window", "room = min(room, self._quick_most() - spent)", "pass",
        "test_rate_window.py -k larger_goes",
    ),
    "small calls pass large ones for ever": (
        "overtaking", "counts[other] = counts.get(other, 0) + 1", "pass", "test_overtaking.py -k more_often",
    ),
    "who has come to the head may be overtaken as often again": (
        "overtaking", "                break\n            counts[other]",
        "                break\n            if other is not queue[0]:\n"
        "                continue\n            counts[other]", "test_overtaking.py -k more_often",
    ),
    "any that fits goes first": (
        "overtaking", "if toll > most and all(", "if best is None and all(", "test_overtaking.py -k largest",
    ),
    "calls with a deadline are overtaken": (
        "overtaking", "head.deadline is not None", "False", "test_overtaking.py -k never_overtaken",
    ),
    "a head that fits soon is overtaken": (
        "overtaking", "<= NEAR *", "<= 0 *", "test_overtaking.py -k fits_soon",
    ),
    "nobody looks again for the smallest": (
        "selection", "        if at_last is not None:\n", "        if False:\n", "test_overtaking.py -k looked_again",
    ),
    "urgent work that is late changes nothing": (
        "overload", "max(_LEAST_BATCH, self.batch_share - STEP_DOWN)", "self.batch_share",
        "test_overload.py -k follow",
    ),
    "urgent work may wait as long as it likes": (
        "overload", "if self._urgent_late or (", "if (", "test_overload.py -k ten_times",
    ),
    "urgent work that is late by a little has classes go last": (
        "overload", "self.interactive_wait > FAR * INTERACTIVE_TARGET_S",
        "self.interactive_wait > INTERACTIVE_TARGET_S", "test_overload.py -k ten_times",
    ),
    "memory that is held counts as work that runs": (
        "accounts", "priority, waited, share if mask & SLOTS else 0.0)",
        "priority, waited, share)",
        "test_selection.py -k memory_for_long",
    ),
    "what was not counted is taken off": (
        "accounts", "if task.priority > 1 and task.mask & SLOTS:", "if task.priority > 1:",
        "test_selection.py -k memory_for_long",
    ),
    "a permit for memory waits for work that runs": (
        "selection", "overload.batch_share < 1.0 and task.mask & SLOTS:", "overload.batch_share < 1.0:",
        "test_selection.py -k memory_for_long",
    ),
    "one late window is enough": (
        "overload", "if self._late >= PATIENCE:", "if True:", "test_overload.py -k follow",
    ),
    "a window in which nothing started is one in time": (
        "overload", "            if batch is not None:\n", "            if True:\n", "test_overload.py -k longer",
    ),
    "late windows are never forgotten": (
        "overload", "                self._late = self._calm = 0\n", "                self._calm = 0\n",
        "test_overload.py -k longer",
    ),
    "one window in time is enough": (
        "overload", "if self._calm >= CALM:", "if True:", "test_overload.py -k never_held",
    ),
    "a reason is of the decision before": (
        "explain", "if lane.round == scheduler.selection.round:", "if lane.gate is not None:",
        "test_explain.py -k steps_aside or late",
    ),
    "a wait for a rate is one for a resource": (
        "explain", "if rates and len(rates) == len(lacks):", "if False:", "test_explain.py -k for_how_long",
    ),
    "a task starts after its deadline": (
        "scheduler", "            self._expire(now)\n", "            pass\n", "test_scheduler.py -k deadline",
    ),
    "a retry starts after its deadline": (
        "scheduler", "if task.deadline is not None and self._expiry.told(task):", "if False:",
        "test_scheduler.py -k tried_again",
    ),
    "a finished task leaves its deadline behind": (
        "scheduler",
        "        if task.deadline is not None:\n            self._expiry.forget(task)\n        if task.dependents",
        "        if task.dependents", "test_scheduler.py -k leaves_no_deadline",
    ),
    "a task that fell with another falls again": (
        "scheduler", "            if task.state >= FINAL:\n                continue",
        "            if False:\n                continue", "../simulation/test_core_simulation.py -k outside",
    ),
    "somebody is woken for what is gone": (
        "scheduler", "        self.selection.retry_at = None", "        pass",
        "../simulation/test_circles.py -k nobody_is_woken",
    ),
    "a suspended pipeline starts what needs nothing": (
        "scheduler", "p.queue.free.size and p.suspended is None", "p.queue.free.size",
        "test_scheduler.py -k suspended",
    ),
    "a cancelled task runs nevertheless": (
        "scheduler", "self._end(task, now, State.CANCELLED)", "self._end(task, now, READY)",
        "test_scheduler_states.py::TestScheduler",
    ),
    "a postponed task keeps what it holds": (
        "scheduler", "    def _vacate(self, task: Task, now: float) -> None:\n        if task.mask:",
        "    def _vacate(self, task: Task, now: float) -> None:\n        if False:",
        "test_scheduler_states.py::TestScheduler",
    ),
    "what nothing holds back is left waiting": (
        "scheduler", "lanes = [lane for lane in lanes if lane.size and lane.used][: max(0, left)]", "lanes = []",
        "test_scheduler.py -k need_nothing",
    ),
    "the critical path ends with the component itself": (
        "startup", "path[needed] = max(path[needed], seconds.get(needed, 1.0) + path[name])", "pass",
        "test_startup.py -k longest",
    ),
    "the critical path counts components": (
        "startup", "seconds.get(needed, 1.0) + path[name]", "1.0 + path[name]", "test_startup.py -k critical",
    ),
    "a failure dooms what does not need it": (
        "startup", "if self._needs[other] & grown}", "if True}", "test_startup.py -k doomed",
    ),
    "a component starts without what it needs": (
        "startup", "if self._needs[name] <= met)", "if True)", "test_startup.py -k doomed",
    ),
    "those before the one that failed are taken along": (
        "restart", "children[children.index(child) :]", "children", "test_restart.py -k random_steps",
    ),
    "a temporary component starts again": (
        "restart", 'if restart == "temporary" or (', "if (", "test_restart.py -k random_steps",
    ),
    "one that is done starts again": (
        "restart", '(restart == "transient" and not failed)', "False", "test_restart.py -k random_steps",
    ),
    "a temporary component that was taken along comes back": (
        "restart", "State.ENDED if gone else State.DOWN", "State.DOWN", "test_restart.py -k random_steps",
    ),
    "old failures count for ever": (
        "restart", "while failures[0] <= now - self._period:", "while False:", "test_restart.py -k random_steps",
    ),
    "one failure fewer is too many": (
        "restart", "len(failures) > self._intensity:", "len(failures) >= self._intensity:",
        "test_restart.py -k random_steps",
    ),
    "components leave in the order in which they started": (
        "restart", "for child in reversed(children):", "for child in children:", "test_restart.py -k random_steps",
    ),
    "components start while others leave": (
        "restart", "return commands  # those", "break  # those", "test_restart.py -k random_steps",
    ),
    "components do not wait for those before them": (
        "restart", "(State.DOWN, State.STARTING):\n                break",
        "(State.DOWN, State.STARTING):\n                continue", "test_restart.py -k random_steps",
    ),
    "a restart does not wait": (
        "restart", "child.state is State.DOWN and now >= child.not_before:", "child.state is State.DOWN:",
        "test_restart.py -k doubles",
    ),
    "an end that was asked for is a failure": (
        "restart", "        if asked is None:", "        if True:", "test_restart.py -k random_steps",
    ),
    "one that has to leave anyhow fails once more": (
        "restart", "if child.state in _LIVE and child.then is None:", "if child.state in _LIVE:",
        "test_restart.py -k random_steps",
    ),
    "an optional component takes the supervisor down": (
        "restart", "            if not child.member.optional:", "            if True:",
        "test_restart.py -k random_steps",
    ),
    "one that was taken along starts again after the end": (
        "restart", "child.then in (None, State.DOWN):", "child.then is None:", "test_restart.py -k random_steps",
    ),
    "a minute is calm whatever the wait was": (
        "restart", "max(CALM_S, 10.0 * child.delay)", "CALM_S", "test_restart.py -k doubles",
    ),
    "a machine that slept condemns": (
        "liveness", "now >= asked + self._half", "now >= self.seen_at + 2 * self._half", "test_liveness.py -k asked",
    ),
    "an answer does not count": (
        "liveness", "or self.seen_at >= self._asked_at else", "else", "test_liveness.py -k asked",
    ),
    "a second failure of one round trip cuts again": (
        "loss_limit", "        if number <= self._cut_at:\n", "        if False:\n",
        "test_concurrency_limit.py -k burst",
    ),
    "the limit grows though it is not used": (
        "concurrency_limit", "if 2 * inflight >= self.limit:", "if True:", "test_concurrency_limit.py -k half",
    ),
    "a token counts as often as it ends": (
        "concurrency_limit", "        if not token.live:\n", "        if False:\n",
        "test_concurrency_limit.py -k ends_once",
    ),
    "calls that are never heard of pile up": (
        "latency_probe", "if len(waiting) > self.most_waiting:", "if False:", "test_latency_probe.py -k pile_up",
    ),
    "calls that ended before a phase closed are a phase": (
        "latency_probe", "if not phase.open and phase is not self._phase and", "if phase is not self._phase and",
        "test_latency_probe.py -k long_calls",
    ),
    "a call that never ends holds up its phase": (
        "latency_probe", "first.phase is not None and first.start >= overdue", "first.phase is not None",
        "test_latency_probe.py -k never_ends",
    ),
    "an application that asks little is measured": (
        "latency_probe", "inflight <= limit and 4 * inflight >= 3 * limit", "True", "test_latency_probe.py -k near",
    ),
    "a slower server is used as before, whoever else waits": (
        "latency_probe", "0.9 * lean - 4.0 * self._excess", "0.9 * lean", "test_latency_probe.py -k longer_than_usual",
    ),
    "what is usual creeps up with the queue": (
        "latency_probe", "max(0.1, 1.0 - 4.0 * self.belief.overloaded)", "1.0", "test_latency_probe.py -k creeps",
    ),
    "one bad call cuts": (
        "loss_limit", "if self._late < bearable:", "if False:", "test_loss_limit.py -k late_failures",
    ),
    "a cut that rounds to the same number": (
        "loss_limit", "min(limit - 1.0, limit * (1.0 - cut))", "limit * (1.0 - cut)", "test_loss_limit.py -k one_call",
    ),
    "the goal is forgotten in an outage": (
        "loss_limit", "if not self.active or self._grew:", "if True:", "test_loss_limit.py -k outage",
    ),
    "the next step follows at once": (
        "loss_limit", "elif good >= self._patience:", "else:", "test_loss_limit.py -k waits",
    ),
    "bad luck holds up growth": (
        "loss_limit", "                return False\n        self._good = 0\n",
        "                self._good = 0\n                return False\n        self._good = 0\n",
        "test_loss_limit.py -k bad_luck",
    ),
    "half a call too many is rounded up": (
        "latency_probe", "max(0.5, aim - shy)", "max(0.5, aim)", "test_latency_probe.py -k half_a_call",
    ),
    "the level moves as slowly however long a measurement takes": (
        "capacity_belief", "max(_LEAST_DRIFT, min(_MOST_DRIFT, noise / 4.0))", "_LEAST_DRIFT",
        "test_capacity_belief.py -k faster",
    ),
    "evidence never fades": (
        "capacity_belief", "_MEMORY = 0.97", "_MEMORY = 1.0", "test_capacity_belief.py -k fades",
    ),
    "an outlier is a proof": (
        "capacity_belief", "(square if square < worst else worst)", "square", "test_capacity_belief.py -k outlier",
    ),
    "the level does not follow": (
        "capacity_belief", "level + gain * error", "level", "test_capacity_belief.py -k drifts",
    ),
    "an open breaker admits calls too early": (
        "breaker", "if now < self.retry_at:", "if now < self.retry_at - 1e-6:", "test_breaker.py -k model_says",
    ),
    "a call at the very time is refused": (
        "breaker", "if now < self.retry_at:", "if now <= self.retry_at:", "test_breaker.py -k very_time",
    ),
    "a refused call moves the time": (
        "breaker", "                    return None\n                self._enter",
        "                    self.retry_at += 1\n                    return None\n                self._enter",
        "test_breaker.py -k very_time",
    ),
    "half-open admits one too many": (
        "breaker", "elif self._out >= self._half_open_permits:", "elif self._out > self._half_open_permits:",
        "test_breaker.py -k thousand",
    ),
    "half-open counts its calls off": (
        "breaker", "            self._out -= 1\n", "", "test_breaker.py -k free_again",
    ),
    "a late result counts": (
        "breaker", "if permit.generation is not self._generation:", "if False:", "test_breaker.py -k model_says",
    ),
    "a call may end twice": (
        "breaker", "        if not permit.live:\n", "        if False:\n", "test_breaker.py -k ends_once",
    ),
    "a cancelled call is a success": (
        "breaker", "elif outcome != \"cancelled\":", "else:", "test_breaker.py -k neither",
    ),
    "a cancelled probe is a success": (
        "breaker", "            elif outcome == \"ok\":", "            else:", "test_breaker.py -k as_many",
    ),
    "one success closes it": (
        "breaker", "if self._good >= self._half_open_permits:", "if True:", "test_breaker.py -k as_many",
    ),
    "the open time grows for ever": (
        "breaker", "min(_MOST_DOUBLINGS, self._doublings + 1)", "self._doublings + 1",
        "test_breaker.py -k twice_as_long",
    ),
    "old failures count": (
        "outcome_window", "now - entries[0][0] >= self._length", "False", "test_outcome_window.py -k no_longer",
    ),
    "results pile up": (
        "outcome_window", "if entries and len(entries) >= EXACT and", "if False and",
        "test_outcome_window.py -k memory",
    ),
    "a clock that was set back keeps old failures": (
        "outcome_window", "if now < latest - self._length:", "if False:", "test_outcome_window.py -k set_back",
    ),
    "what was admitted before the breaker opened is still good": (
        "breaker", "return permit.generation is self._generation", "return True", "test_breaker.py -k still_worth",
    ),
    "what is under way costs nothing": (
        "budget", "self.spent + self.held + cost <= self.limit", "self.spent + cost <= self.limit",
        "test_budget.py::TestCalls",
    ),
    "nothing is given back of a budget": (
        "budget", "        self.held -= held\n", "", "test_budget.py::TestCalls",
    ),
    "one waits for money that cannot come": (
        "budget", "(self.held > 0 and self.spent", "(self.spent", "test_budget.py -k no_use",
    ),
    "a try that was put off counts": (
        "retrying", "if counts and tries >= retry.attempts:", "if tries >= retry.attempts:",
        "test_retrying.py -k put_off",
    ),
    "a try that was put off is paid for": (
        "retrying", "if counts and budget is not None", "if budget is not None", "test_retrying.py -k put_off",
    ),
    "a call is put off for ever": (
        "retrying", "if kind is Kind.UNCOUNTED and uncounted > MOST_UNCOUNTED:", "if False:",
        "test_retrying.py -k for_ever",
    ),
    "a batch is heavier than it may be": (
        "batching", "if items and weight > self._most_weight:", "if False:", "test_batching.py::TestBatching",
    ),
    "what is removed goes on weighing": (
        "batching", "                self._weight -= weight\n", "", "test_batching.py::TestBatching",
    ),
    "retries cost nothing": (
        "retry_budget", "        self._balance -= _UNIT\n", "", "test_retry_budget.py -k never_more",
    ),
    "a retry that is not made costs": (
        "retrying", "    if when >= deadline:\n", "    if (budget and not budget.spend()) or when >= deadline:\n",
        "test_retrying.py -k every_bound",
    ),
    "a poisoned input is tried again": (
        "retrying", "if kind in (Kind.PERMANENT, Kind.POISON):", "if kind is Kind.PERMANENT:", "test_retrying.py",
    ),
    "copies are sent without a budget": (
        "hedging", "return self._budget.spend()", "return True", "test_hedging.py -k never_more",
    ),
    "half a batch is forgotten": (
        "batching", "for half in (items[middle:], items[:middle]) if half]", "for half in (items[:middle],) if half]",
        "test_batching.py -k halving",
    ),
    "a batch waits though nothing runs": (
        "batching", "or lacking <= 0 or not self.running or", "or lacking <= 0 or", "test_batching.py::TestBatching",
    ),
    "more batches run than there are places": (
        "batching", "if self.running >= self._places or not", "if not", "test_batching.py::TestBatching",
    ),
    "a batch waits beyond a deadline": (
        "batching", "min(queue[0][1] + self._max_delay, pressing,", "min(queue[0][1] + self._max_delay,",
        "test_batching.py -k beyond",
    ),
    "batches that ran together lower the size each": (
        "batch_size", "elif started >= self._cut_at and size > 1:", "elif size > 1:", "test_batching.py -k together",
    ),
    "what was used last goes first": (
        "eviction", "self._sizes.move_to_end(key)", "self._sizes.move_to_end(key, last=False)",
        "test_eviction.py::TestUses",
    ),
    "what is too old is found": (
        "eviction", "if key not in self._sizes or self._too_old(key, now):", "if key not in self._sizes:",
        "test_eviction.py::TestUses",
    ),
    "an entry too large drives out others": (
        "eviction", "            self.evicted += 1\n", "            self.evicted += 1\n            self.shrink(0)\n",
        "test_eviction.py::TestUses",
    ),
    "an age is a difference": (
        "eviction", "now >= self._born[key] + self.ttl", "now - self._born[key] >= self.ttl",
        "test_eviction.py -k told",
    ),
    "a blob that is open moves": (
        "spilling", "        self._order.pop(blob, None)\n\n    def closed", "\n    def closed",
        "test_spilling.py::TestMoves",
    ),
    "what was opened while it was written counts as moved": (
        "spilling", "if well and (known.asked or not known.open):", "if well:", "test_spilling.py -k asked",
    ),
    "more lies on disk than may": (
        "spilling", "if known.size and self.disk + known.size <= self.most:", "if known.size:",
        "test_spilling.py::TestMoves",
    ),
    "what is on its way out is not counted": (
        "spilling", "if self._moving >= size:", "if sum(self._blobs[key].size for key in chosen) >= size:",
        "test_spilling.py -k counted",
    ),
    "a disk that failed is tried again at once": (
        "spilling", "        if now < self._not_before:\n", "        if False:\n", "test_spilling.py -k failure",
    ),
    "what is set aside is free": (
        "admission", "self.aside.pop(index, 0) - amount", "self.aside.pop(index, 0)", "test_spilling.py -k aside",
    ),
    "a file of a batch has too many bytes": (
        "batch_files", "self.size + size > self._most_bytes", "self.size > self._most_bytes",
        "test_provider_batches.py -k bounds",
    ),
    "one half of a file is much larger": (
        "batch_files", "after - size / 2 for", "after for", "test_provider_batches.py -k halves",
    ),
    "batches are looked at all at once": (
        "batch_looks", "self._free_at = at + self._spacing", "pass", "test_provider_batches.py -k together",
    ),
    "a look comes before the time that was asked for": (
        "batch_looks", "return max(now + wait, not_before)", "return now + wait", "test_provider_batches.py -k asked",
    ),
    "what is due soon goes into a batch": (
        "batch_choice", "left < window + spare", "left < window", "test_provider_batches.py -k in_time",
    ),
    "a batch is handed over for ever": (
        "batch_refusal", "Step.WAIT if tries < MOST_TRIES else Step.GIVE_UP", "Step.WAIT",
        "test_provider_batches.py -k not_taken",
    ),
    "a file is read while it still changes": (
        "settling", "waiting.facts == facts or", "True or", "test_settling.py -k two_looks",
    ),
    "a file that never rests is never read": (
        "settling", " or now >= waiting.first + self._longest:", ":", "test_settling.py -k never_rests",
    ),
    "more changes than there is room for are kept": (
        "settling", "> self._most:", "> self._most + 9:", "test_settling.py -k everything",
    ),
    "a context is used once too often": (
        "context_pool", "context.uses >= self._uses or", "context.uses > self._uses or", "test_context_pool.py",
    ),
    "a context is used however old it is": (
        "context_pool", " or now >= context.born_at + self._lifetime", "", "test_context_pool.py",
    ),
    "somebody gets the cookies of another": (
        "context_pool", "if context.session == session), None)", "if True), None)", "test_context_pool.py",
    ),
    "a context outlives its browser": (
        "context_pool", "or lease.generation != self.generation or", "or", "test_context_pool.py",
    ),
    "everybody who sees a browser die starts another": (
        "context_pool", "if generation == self.generation else ()", "if generation else ()", "test_context_pool.py",
    ),
    "an old browser is never replaced": (
        "context_pool", "if self._served >= self._wear:", "if False:", "test_context_pool.py",
    ),
    "a browser ends under those who use it": (
        "context_pool", "< self.generation and generation not in leased", "< self.generation", "test_context_pool.py",
    ),
    "an idle context makes no way": (
        "context_pool", "if len(self._leased) + len(self._idle) >= self._size:", "if False:", "test_context_pool.py",
    ),
    "a host gets no pause": (
        "politeness", "max(self.began_at + self.delay, self.alone_until)", "self.alone_until", "test_politeness.py",
    ),
    "a host that is busy is not left alone": (
        "politeness", "max(self.began_at + self.delay, self.alone_until)", "self.began_at + self.delay",
        "test_politeness.py",
    ),
    "a host gets too many visits at once": (
        "politeness", "found.inside >= self._at_once", "found.inside > self._at_once", "test_politeness.py",
    ),
    "a shorter delay replaces a longer one": (
        "politeness", "max(found.delay, delay)", "delay", "test_politeness.py",
    ),
    "pages come before those that lead to them are all done": (
        "frontier", "if self.is_over and self._links:", "if self._links:", "test_frontier.py -k whichever",
    ),
    "pages come in the order in which others were done": (
        "frontier", "for number in sorted(found) for", "for number in found for", "test_frontier.py -k order",
    ),
    "a crawl goes one link too deep": (
        "frontier", "return visit.depth < self._depth", "return visit.depth <= self._depth",
        "test_frontier.py -k whichever",
    ),
    "a crawl has one page too many": (
        "frontier", "if self._numbers >= self._limit:", "if self._numbers > self._limit:",
        "test_frontier.py -k whichever",
    ),
    "a dynamic page is taken for the same": (
        "page_freshness", "known is not None and not known.dynamic and", "known is not None and",
        "test_page_freshness.py",
    ),
    "a host that fails for a moment loses its pages": (
        "page_freshness", "if status is None or status in _LATER or status >= 500:", "if status is None:",
        "test_page_freshness.py",
    ),
    "a page that kills browsers is tried for ever": (
        "page_tries", "self.lost < self._losses", "True", "test_page_freshness.py -k tried_again",
    ),
    "a level is held as if it were the one that was asked for": (
        "degradation", "            self.level = Level(self.level + 1)\n            moves",
        "            self.level = wanted\n            moves", "test_degradation.py -k in_order",
    ),
    "levels are left all at once": (
        "degradation", "if self.level > wanted and now >= self.leave_at:",
        "while self.level > wanted and now >= self.leave_at:", "test_degradation.py -k one_at_a_time",
    ),
    "a level that was just left lets the next go at once": (
        "degradation", "        if moves:\n", "        if moves and moves[-1].entered:\n",
        "test_degradation.py -k half_minute",
    ),
    "a relapse does not hold anew": (
        "degradation", "        if moves:\n", "        if moves and now >= self.leave_at:\n",
        "test_degradation.py -k relapse",
    ),
    "what is told to be left is the level below": (
        "degradation",
        "            moves.append(Move(self.level, entered=False))\n            self.level = Level(self.level - 1)\n",
        "            self.level = Level(self.level - 1)\n            moves.append(Move(self.level, entered=False))\n",
        "test_degradation.py -k half_minute",
    ),
    "a high load leaves bursts as they are": (
        "degradation", "Measures(burst=False, lowest_class=3)", "Measures(burst=True, lowest_class=3)",
        "test_degradation.py -k leaves_out_more",
    ),
    "a critical load stops normal work": (
        "degradation", "lowest_class=2)", "lowest_class=1)", "test_degradation.py -k normal_work",
    ),
    "a task with just the usual time is refused": (
        "expiry", "        if left < usual:\n", "        if left <= usual:\n", "test_expiry.py -k as_much_time",
    ),
    "a slow hour is remembered for ever": (
        "expiry", "if now - since < TRY_AGAIN_S:", "if True:", "test_expiry.py -k minute_of_refusals",
    ),
    "after a minute every task is tried": (
        "expiry", "        self._refused_since[task.name] = now\n", "", "test_expiry.py -k minute_of_refusals",
    ),
    "the one that is tried is refused when its turn comes": (
        "expiry", " or task is self._tried", "", "test_expiry.py -k minute_of_refusals",
    ),
    "whose turn has come is tried for the others": (
        "expiry", "if not contended and self._tries(task, now):", "if self._tries(task, now):",
        "test_expiry.py -k no_refusal",
    ),
    "names that were refused pile up": (
        "expiry", "            self._refused_since.clear()\n", "            pass\n", "test_expiry.py -k pile_up",
    ),
    "among others each starts when just too little is left": (
        "expiry", "        if contended:\n", "        if False:\n", "test_expiry.py -k chance_has_fallen",
    ),
    "a task alone is refused for a worse chance": (
        "expiry", "        if contended:\n", "        if True:\n", "test_expiry.py -k chance_has_fallen",
    ),
    "a chance is lost by waiting for what comes before": (
        "expiry", "deadline - task.ready_at)", "deadline - now)", "test_expiry.py -k nearly_keep",
    ),
    "a little less chance than at first is refused": (
        "expiry", "chance * CHANCE", "chance", "test_expiry.py -k nearly_keep",
    ),
    "slow tasks are forgotten, being ended at their deadline": (
        "expiry", "if task.state == RUNNING and not task.is_permit:", "if False:", "test_expiry.py -k slow_one",
    ),
    "a wait is remembered as a duration": (
        "expiry", "if task.state == RUNNING and not task.is_permit:", "if not task.is_permit:",
        "test_expiry.py -k slow_one",
    ),
    "a task that has ended is told of its deadline": (
        "expiry", " if task.state < FINAL]", "]", "test_expiry.py -k has_not_ended",
    ),
    "a component is unhealthy one failure late": (
        "health", "if state.failures < LIMIT:", "if state.failures <= LIMIT:", "test_health.py -k half_a_minute",
    ),
    "failures long ago count": (
        "health", "state = self._components.pop(component, None)", "state = self._components.get(component)",
        "test_health.py::TestHealth",
    ),
    "each pause is as long as the first": (
        "health", "PAUSE_S * 2.0 ** (state.failures - LIMIT)", "PAUSE_S", "test_health.py -k half_a_minute",
    ),
    "a pause grows for ever": (
        "health", "min(LONGEST_PAUSE_S, PAUSE_S * 2.0 ** (state.failures - LIMIT))",
        "PAUSE_S * 2.0 ** (state.failures - LIMIT)", "test_health.py -k half_a_minute",
    ),
    "a component is tried before its pause is over": (
        "health", " or now < state.until:", ":", "test_health.py::TestHealth",
    ),
    "a component is tried again and again in one trial": (
        "health", "        state.until = None\n        return True", "        return True",
        "test_health.py::TestHealth",
    ),
    "only the pipeline that failed last is suspended": (
        "health", "        state.pipelines.add(pipeline)\n", "        state.pipelines = {pipeline}\n",
        "test_health.py::TestHealth",
    ),
    "a pause heals what is supervised": (
        "health", 'state.until = float("inf")', "state.until = 0.0", "test_health.py -k until_it_is_up",
    ),
    "a pipeline is held back by what it does not need": (
        "health", "if state.until is not None and pipeline in state.pipelines:", "if state.until is not None:",
        "test_health.py -k until_it_is_up",
    ),
    "a failure counts for ever": (
        "history", "FADING ** (self.outcomes - self.failed_at)", "1.0", "test_history.py -k weigh_less",
    ),
    "a failure weighs in what it does not": (
        "history", "entry.failing = entry.faded() + 1.0", "entry.failing += 1.0",
        "test_history.py::TestHistoryStates",
    ),
    "few outcomes are an opinion": (
        "history", "if entry is None or entry.outcomes < ENOUGH:", "if entry is None or not entry.outcomes:",
        "test_history.py::TestHistoryStates",
    ),
    "the failure ratio of few is too small": (
        "history", "(1.0 - FADING**entry.outcomes) / (1.0 - FADING)", "1.0 / (1.0 - FADING)",
        "test_history.py::TestHistoryStates",
    ),
    "what is used most is forgotten first": (
        "history", "        entry = entries.pop(name, None)\n", "        entry = entries.get(name)\n",
        "test_history.py -k longest_ago",
    ),
    "more and more names are known": (
        "history", "            self._forget(NAMES // 8)\n", "            pass\n", "test_history.py -k longest_ago",
    ),
    "an earlier time pushes out what is known now": (
        "history", "self._entries = earlier._entries | now", "self._entries = now | earlier._entries",
        "test_history.py -k make_way",
    ),
    "what was known before counts as newer": (
        "history", "self.failing = self.faded() + earlier.faded() * FADING**self.outcomes",
        "self.failing = self.faded() + earlier.faded()", "test_history.py::TestHistoryStates",
    ),
    "what could not be saved is lost": (
        "history", "                entry.saved = -1\n", "                pass\n", "test_history.py::TestHistoryStates",
    ),
    "memory alone is not worth saving": (
        "history", "return self.outcomes + (self.memory.count if self.memory is not None else 0)",
        "return self.outcomes", "test_history.py::TestHistoryStates",
    ),
    "a generation grows for ever": (
        "history", "if len(recent) >= KEPT:", "if False:", "test_history.py::TestHistoryStates",
    ),
    "durations that are none are believed": (
        "history", "0 <= value <= _MOST for value in values", "value <= _MOST for value in values",
        "test_history.py -k not_one",
    ),
    "memory is expected to be the middle of what was taken": (
        "history", "memory.refresh(0.95)", "memory.refresh(0.5)", "test_history.py -k expected_memory",
    ),
    "load changes no interval": (
        "intervals", "self._base * 2.0**level", "self._base", "test_intervals.py -k doubles",
    ),
    "what recovers is met by every job at once": (
        "intervals", "max(wanted, self.interval * _SHRINK)", "wanted", "test_intervals.py -k doubles",
    ),
    "an interval grows slowly": (
        "intervals", "max(wanted, self.interval * _SHRINK)", "min(wanted, self.interval / _SHRINK)",
        "test_intervals.py -k grows_at_once",
    ),
    "chance leads out of the bounds": (
        "intervals", "return self._clamped(self.interval * self._rng.uniform(1 - _JITTER, 1 + _JITTER))",
        "return self.interval * self._rng.uniform(1 - _JITTER, 1 + _JITTER)", "test_intervals.py -k stays_in_bounds",
    ),
    "jobs that began together stay together": (
        "intervals", "self.interval * self._rng.uniform(1 - _JITTER, 1 + _JITTER)", "self.interval",
        "test_intervals.py -k together",
    ),
    "chance adds up": (
        "intervals", "return self._clamped(self.interval * self._rng.uniform(1 - _JITTER, 1 + _JITTER))",
        "self.interval = self._clamped(self.interval * self._rng.uniform(1 - _JITTER, 1 + _JITTER))\n"
        "        return self.interval", "test_intervals.py -k shrinks_slowly",
    ),
    "bounds may be the wrong way round": (
        "intervals", "0 < self._minimum <= self._maximum <", "0 < self._minimum <", "test_intervals.py -k impossible",
    ),
    "the mildest signal counts": (
        "load", "index > worst.index", "index < worst.index", "test_load.py -k worst_signal",
    ),
    "a signal that is missing is no load": (
        "load", "if value is None or value != value:", "if value is None:", "test_load.py -k missing_signal",
    ),
    "load is beyond the end of the scale": (
        "load", "return min(1.0, index + 0.25 * (value - below) / (below - self.high))",
        "return index + 0.25 * (value - below) / (below - self.high)", "test_load.py -k on_the_scale",
    ),
    "one sample raises the level": (
        "load", "min(list(samples)[-RISE:])", "samples[-1]", "test_load.py -k moves_nothing",
    ),
    "the worse of two samples raises the level": (
        "load", "min(list(samples)[-RISE:])", "max(list(samples)[-RISE:])", "test_load.py -k raise_and",
    ),
    "a level falls with one good sample": (
        "load", "self.value = min(self.value, max(samples))", "self.value = min(self.value, samples[-1])",
        "test_load.py -k relapse",
    ),
    "a level falls before there are enough samples": (
        "load", "        if len(samples) == FALL:\n            self.value",
        "        if len(samples) >= RISE:\n            self.value", "test_load.py -k relapse",
    ),
    "the first of the bad samples is named": (
        "load", "for reading in reversed(self._readings) if", "for reading in self._readings if",
        "test_load.py -k latest_sample",
    ),
    "the last sample is named, however good": (
        "load", " if reading.level >= level)", ")", "test_load.py -k latest_sample",
    ),
    "others' last core is taken": (
        "pool_size", "max(0, math.ceil(foreign - 0.5))", "max(0, math.floor(foreign))",
        "test_pool_size.py -k left_to_them",
    ),
    "what runs in the background costs a slot": (
        "pool_size", "max(0, math.ceil(foreign - 0.5))", "max(0, math.ceil(foreign))",
        "test_pool_size.py -k left_to_them",
    ),
    "a spike costs a slot": (
        "pool_size", "            self._taken.observe(taken)\n", "            self._taken.value = taken\n",
        "test_pool_size.py -k short_spike",
    ),
    "nobody computes while others do": (
        "pool_size", "wanted = max(self.least, self._wanted(level))", "wanted = self._wanted(level)",
        "test_pool_size.py -k left_to_them",
    ),
    "more slots than cores are all kept": (
        "pool_size", "math.floor(room * max(1.0, self.full / self._cores))",
        "math.floor(self.full - self._taken.value)",
        "test_pool_size.py -k left_to_them",
    ),
    "others and the level are added up": (
        "pool_size", "wanted = min(wanted, math.floor(room",
        "wanted = min(wanted, wanted - self.full + math.floor(room",
        "test_pool_size.py -k added_up",
    ),
    "all slots come back at once": (
        "pool_size", "min(wanted, self.slots + step)", "wanted", "test_pool_size.py -k step_back_comes",
    ),
    "slots come back at every look": (
        "pool_size", "now >= self._changed_at + RESTORE_S", "True", "test_pool_size.py -k step_back_comes",
    ),
    "many slots take minutes to come back": (
        "pool_size", "step = math.ceil(self.full / _STEPS_BACK)", "step = 1",
        "test_pool_size.py -k within_thirty",
    ),
    "what cannot be seen is taken for nobody": (
        "pool_size", "if foreign is not None and cores:", "foreign = foreign or 0.0\n        if True:",
        "test_pool_size.py -k cannot_be_seen",
    ),
    "a share of a core is rounded up to a slot": (
        "pool_size", "max(1, int(there) - reserve)", "max(1, math.ceil(there) - reserve)",
        "test_pool_size.py -k less_the_reserve",
    ),
    "workers have too many threads together": (
        "pool_size", "int(cores * min(1.0, held / of) + 1e-9)", "math.ceil(cores * min(1.0, held / of) - 1e-9)",
        "test_pool_size.py -k threads_of_all",
    ),
    "who does not mean to compute has a slot's threads": (
        "pool_size", " if held else 1", "", "test_pool_size.py -k threads",
    ),
    "what others made is taken for steady": (
        "pool_size", "self.slots == wanted and taken == self._taken.value", "self.slots == wanted",
        "test_pool_size.py -k steady_once",
    ),
    "a task that was cancelled is said to have failed": (
        "doom", 'what = "was cancelled" if cause.state == State.CANCELLED else "failed"', 'what = "failed"',
        "test_doom.py",
    ),
    "a dependent that falls names itself": (
        "doom", "{cause.name!r}", "{task.name!r}", "test_doom.py",
    ),
    "the cause of a fall is not handed on": (
        "doom", "return cls(task, cause, f", "return cls(task, None, f", "test_doom.py",
    ),
    "the one that failed is doomed for its dependent": (
        "doom", "return cls(task, cause, f", "return cls(cause, task, f", "test_doom.py",
    ),
    "a bucket counts what lies below it": (
        "quantiles", "index = math.ceil(math.log(value) * self._per_log)",
        "index = math.floor(math.log(value) * self._per_log)", "test_quantiles.py -k long_tail",
    ),
    "the bound of a bucket stands for its middle": (
        "quantiles", "value = 2 * self._gamma**index / (self._gamma + 1)", "value = self._gamma**index",
        "test_quantiles.py -k long_tail",
    ),
    "the rank is one too high": (
        "quantiles", "math.floor(q * (self.count - 1))", "min(self.count - 1, math.floor(q * self.count))",
        "test_quantiles.py::TestSketches",
    ),
    "nothing counts for no value": (
        "quantiles", "            self._zeros += times\n", "            self._zeros += 1\n",
        "test_quantiles.py::TestSketches",
    ),
    "a quantile lies beyond all values": (
        "quantiles", "min(max(value, self.minimum), self.maximum)", "value", "test_quantiles.py -k low_quantiles",
    ),
    "the highest buckets are folded": (
        "quantiles", "        ordered = sorted(buckets)\n", "        ordered = sorted(buckets, reverse=True)\n",
        "test_quantiles.py -k low_quantiles",
    ),
    "buckets that are folded are said to be exact": (
        "quantiles", "        self.exact_from = max(self.exact_from, self._gamma**into)\n", "",
        "test_quantiles.py -k low_quantiles",
    ),
    "what was folded elsewhere is said to be exact": (
        "quantiles", "        self.exact_from = max(self.exact_from, other.exact_from)\n", "",
        "test_quantiles.py::TestSketches",
    ),
    "what is folded is lost": (
        "quantiles", "            buckets[into] += buckets.pop(index)\n", "            buckets.pop(index)\n",
        "test_quantiles.py::TestSketches",
    ),
    "merging replaces": (
        "quantiles", "self._buckets[index] = self._buckets.get(index, 0) + times", "self._buckets[index] = times",
        "test_quantiles.py -k which_sketch",
    ),
    "a merged sketch may grow for ever": (
        "quantiles", "        if len(self._buckets) > self._most:\n", "        if False:\n",
        "test_quantiles.py::TestSketches",
    ),
}  # fmt: skip


def plant(folder: Path, rule: str) -> None:
    """Copy the core to a folder, with one bug in it."""
    module, old, new, _ = MUTANTS[rule]
    package = folder / "tenire"
    package.mkdir()
    for name in ("__init__.py", "errors.py", "clock.py"):
        shutil.copy(SOURCE / name, package)
    shutil.copytree(SOURCE / "core", package / "core", ignore=shutil.ignore_patterns("__pycache__"))
    path = package / "core" / f"{module}.py"
    text = path.read_text(encoding="utf-8")
    if text.count(old) != 1:
        message = f"{rule}: the text to replace is {text.count(old)} times in {module}"
        raise ValueError(message)
    path.write_text(text.replace(old, new), encoding="utf-8")


def judge(rule: str) -> tuple[int, str]:
    """Return the exit code and the output of the tests of one mutant."""
    import pytest

    path, _, keyword = MUTANTS[rule][3].partition(" -k ")
    arguments = [
        "-x", "-q", "-c", os.devnull, "--rootdir", str(HERE), "--confcutdir", str(HERE), "-p", "no:cacheprovider",
        str(HERE / path), "-k", keyword or path.partition("::")[2],
    ]  # fmt: skip
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()) as output:
        try:
            plant(Path(folder), rule)
        except ValueError as error:
            return 100, str(error)
        sys.path[:0] = [folder, str(HERE.parents[1])]
        for name in list(sys.modules):
            if name.partition(".")[0] in ("tenire", "conftest", "tests") or name.startswith("test_"):
                del sys.modules[name]
        try:
            code = pytest.main(arguments)
        finally:
            del sys.path[:2]
    return int(code), output.getvalue()[-2000:]


if __name__ == "__main__":
    os.environ["TENIRE_MUTANT"] = "1"
    sys.dont_write_bytecode = True
    json.dump({rule: judge(rule) for rule in sys.argv[1:] or MUTANTS}, sys.stdout)
