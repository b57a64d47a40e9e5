from __future__ import annotations

import pickle
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from tenire.concurrency.pools import jobs
from tenire.concurrency.pools.frames import Message, dump
from tenire.concurrency.pools.jobs import JOB, NO_FUNCTION, PLAIN, VALUE, run_job

if TYPE_CHECKING:
    import pytest


def job(fn: Any, *args: Any) -> Message:
    return Message(JOB, 0, [bytearray(part) for part in (pickle.dumps(fn, 5), *dump(args))])


def test_a_function_is_looked_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("module_for_one_look")
    exec("def twice(number): return 2 * number", module.__dict__)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(jobs, "_functions", {})
    first = job(module.twice, 4)
    assert run_job(first) == (PLAIN, dump(8))
    monkeypatch.delitem(sys.modules, module.__name__)
    assert run_job(job(abs, -3)) == (PLAIN, dump(3))
    assert run_job(first) == (PLAIN, dump(8))
    monkeypatch.setattr(jobs, "_MOST_FUNCTIONS", 2)
    run_job(job(len, "abc"))
    assert run_job(first)[0] == NO_FUNCTION
    assert len(jobs._functions) == 1


def test_a_value_that_brings_code_is_told_from_a_plain_one() -> None:
    assert run_job(job(complex, 1))[0] == PLAIN
    assert run_job(job(bytearray, b"a"))[0] == VALUE
    assert run_job(job(bytes, 100_000))[0] == VALUE
