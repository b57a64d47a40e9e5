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
        "deadlines", "heap[0][0] <= now or", "heap[0][0] <= now + 1 or", "test_deadlines.py::TestHeap",
    ),
    "a cancelled deadline comes out": (
        "deadlines", "            if payload is not None:", "            if True:", "test_deadlines.py::TestHeap",
    ),
    "a task is freed by the first of those it waits for": (
        "dependencies", "if not dependent.blockers:", "if True:", "test_dependencies.py -k freed",
    ),
    "a failed task frees those that wait for it": (
        "dependencies", "if task.state != State.DONE:", "if False:", "test_dependencies.py -k breaks",
    ),
    "a cycle search forgets what it has searched": (
        "dependencies", "return [*path[path.index(node) :], node]", "return [*path, node]",
        "test_dependencies.py -k true_one",
    ),
    "tasks of one class come out last first": (
        "ready_queue", "queue[0]", "queue[-1]", "test_ready_queue.py -k came_in",
    ),
    "waiting tasks do not age": (
        "ready_queue", "int((now - task.ready_at) / AGEING_S)", "0", "test_ready_queue.py -k rises",
    ),
    "critical work passes aged tasks for ever": (
        "ready_queue", "self._critical_run < CRITICAL_RUN", "True", "test_ready_queue.py -k stream",
    ),
    "the lanes of a pipeline go by the class they were born in": (
        "selection", "key=lambda head: (aged(head[0], now),", "key=lambda head: (head[0].priority,",
        "test_selection.py -k ages_too",
    ),
    "critical work has precedence for ever": (
        "selection", "and self._critical_run < CRITICAL_RUN", "", "test_selection.py -k low_work",
    ),
    "critical work has no precedence": (
        "selection", "first = bool(urgent) and", "first = False and", "test_selection.py -k critical",
    ),
    "critical work is passed over like other work": (
        "selection", "or lane.urgent())", ")", "test_selection.py -k several_slots",
    ),
    "nothing is kept for a task that is passed over": (
        "selection", "if lacking and (", "if False and (", "test_selection.py -k passed_over",
    ),
    "only what a task lacks is kept for it": (
        "selection", "                    kept[index] = ",
        "                    if lacking >> index & 1: kept[index] = ", "test_selection.py -k take_turns",
    ),
    "a task that can never fit has the machine kept for it": (
        "selection", " and admission.possible(needs)", "", "test_selection.py -k lowered_capacity",
    ),
    "pipelines go in the order in which they came": (
        "selection", "sorted(ranked, key=_by_virtual_time)", "list(ranked)", "test_fair_share.py -k greedy or weight",
    ),
    "a pipeline without credit keeps its place": (
        "selection", "if cooling and len(cooling) < len(ranked):", "if False:", "test_selection.py -k credit",
    ),
    "an idle pipeline gains credit": (
        "fair_share", "pipeline.v = max(pipeline.v, self.v)", "pass", "test_fair_share.py -k credit",
    ),
    "a charge is never corrected": (
        "fair_share", "pipeline.v += share * duration / pipeline.pull - task.charge", "pass",
        "test_fair_share.py -k corrected",
    ),
    "a weight does not count": (
        "fair_share", "share * duration / pipeline.pull - task.charge", "share * duration - task.charge",
        "test_fair_share.py -k greedy",
    ),
    "credit is judged by what is held afterwards": (
        "scheduler", "            burst.advance(now)\n", "            pass\n", "test_selection.py -k asked_last",
    ),
    "a pipeline alone spends its credit": (
        "burst", "elif fair >= 1.0:", "elif False:", "test_burst.py",
    ),
    "a cooldown ends at once": (
        "burst", "elif self.credit >= BURST_S / 2:", "else:", "test_burst.py",
    ),
    "a task takes only some of its resources": (
        "admission", "            free[index] -= amount\n",
        "            free[index] -= amount\n            break\n", "test_admission.py::TestAdmission",
    ),
    "a task starts though it lacks something": (
        "admission", "if free[index] < amount:", "if free[index] <= 0:", "test_admission.py::TestAdmission",
    ),
    "a task starts after its deadline": (
        "scheduler", "            self._expire(now)\n", "            pass\n", "test_scheduler.py -k deadline",
    ),
    "a retry starts after its deadline": (
        "scheduler", "if task.deadline is not None and task.timer.payload is None:", "if False:",
        "test_scheduler.py -k tried_again",
    ),
    "a finished task leaves its deadline behind": (
        "scheduler", "            self._deadlines.cancel(task.timer)\n            if state",
        "            if state", "test_scheduler.py -k leaves_no_deadline",
    ),
    "a cancelled task runs nevertheless": (
        "scheduler", "self._end(task, now, State.CANCELLED)", "self._end(task, now, READY)",
        "test_scheduler_states.py::TestScheduler",
    ),
    "a postponed task keeps what it holds": (
        "scheduler",
        '``release`` makes it ready."""\n        if task.mask:', '``release`` makes it ready."""\n        if False:',
        "test_scheduler_states.py::TestScheduler",
    ),
    "what nothing holds back is left waiting": (
        "scheduler", "eager = [pipeline for pipeline in eager if pipeline.queue.free][: max(0, left)]", "eager = []",
        "test_scheduler.py -k need_nothing",
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
        "loss_limit", "if self._late < LATE_SHARE:", "if False:", "test_loss_limit.py -k late_failures",
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
    "evidence never fades": (
        "capacity_belief", "_MEMORY = 0.97", "_MEMORY = 1.0", "test_capacity_belief.py -k fades",
    ),
    "an outlier is a proof": (
        "capacity_belief", "(square if square < worst else worst)", "square", "test_capacity_belief.py -k outlier",
    ),
    "the level does not follow": (
        "capacity_belief", "level + gain * error", "level", "test_capacity_belief.py -k drifts",
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
        sys.path.insert(0, folder)
        for name in list(sys.modules):
            if name.partition(".")[0] in ("tenire", "conftest", "tests") or name.startswith("test_"):
                del sys.modules[name]
        try:
            code = pytest.main(arguments)
        finally:
            sys.path.remove(folder)
    return int(code), output.getvalue()[-2000:]


if __name__ == "__main__":
    os.environ["TENIRE_MUTANT"] = "1"
    sys.dont_write_bytecode = True
    json.dump({rule: judge(rule) for rule in sys.argv[1:] or MUTANTS}, sys.stdout)
