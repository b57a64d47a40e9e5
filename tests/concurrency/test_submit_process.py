from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tenire import ConcurrencyManager, ConfigError, Resources
from tenire.concurrency.handle import PROCESS
from tenire.concurrency.submit import needs_of
from tenire.core.admission import MEMORY, RESIDENT

if TYPE_CHECKING:
    from pathlib import Path

    from tenire.testing import SimLoop


def test_submit_refuses_it_before_anything_starts() -> None:
    with ConcurrencyManager.in_thread(cpu=1, memory=1 << 20) as manager:
        with pytest.raises(ConfigError, match="a lambda"):
            manager.submit(lambda: None, on="process")
        assert manager.snapshot().queued == manager.snapshot().running == 0
        assert manager.submit(lambda: 3, on="thread").result(10) == 3
        assert manager.snapshot().pools.processes == {}


def test_a_command_line_program_is_told_so_at_once(tmp_path: Path) -> None:
    program = (
        "import tenire\n"
        "def work(): return 1\n"
        "with tenire.ConcurrencyManager.in_thread(cpu=1) as manager:\n"
        "    manager.submit(work, on='process')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60, cwd=tmp_path
    )
    assert done.returncode == 1
    assert "the function __main__.work cannot be sent to a worker process" in done.stderr


def test_a_task_that_does_not_say_what_memory_it_needs_is_charged_what_such_tasks_took(sim_loop: SimLoop) -> None:
    async def main() -> None:
        async with ConcurrencyManager(cpu=4, memory=1 << 30, seed=0, clock=sim_loop.clock) as manager:
            scheduler = manager.orchestrator.scheduler
            assert len(needs_of(scheduler, None, on=PROCESS, worker=None, name="big")) == 1
            manager.orchestrator.register_resource(RESIDENT, 1 << 30)
            for _ in range(20):
                scheduler.history.record_memory("big", 300 << 20)
                scheduler.history.record_memory("small", 3 << 20)
                scheduler.history.record_memory("huge", 3 << 30)

            index = scheduler.admission.index_of(RESIDENT)

            def memory(name: str, needs: Resources | None = None) -> int:
                return dict(needs_of(scheduler, needs, on=PROCESS, worker=None, name=name)).get(index, 0)

            assert memory("big") == 300 << 20
            assert memory("big", Resources(cpu=1)) == 300 << 20
            assert memory("big", Resources(cpu=1, memory=300 << 20)) == 0, "it says what it needs"
            assert memory("big", Resources(memory=1 << 30)) == 0, "history takes nothing from a promise"
            assert memory("big", Resources(cpu=1, memory=100 << 20)) == 200 << 20, "such tasks took more than they said"
            assert memory("big", Resources(memory=237 << 20)) == 0, "and little more is no matter"
            said = dict(needs_of(scheduler, Resources(memory=9), on=PROCESS, worker=None, name="big"))
            assert said[MEMORY] == 9, "what it said is taken as said"
            assert memory("small") == 0
            assert memory("huge") == 1 << 30, "it goes alone rather than never"
            assert memory("unknown") == 0

    sim_loop.run_until_complete(main())
