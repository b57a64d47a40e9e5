"""Run a script or a module while the wall clock jumps an hour back and forth.

``python stepping_clock.py PROGRAM WORDS…``: PROGRAM is a script, or ``-m MODULE``. Before anything
else is imported, ``time.time``, ``time.time_ns`` and ``datetime.now`` are replaced. The hour changes at
every ``EACH``-th look at the clock, or when a script calls ``time.step(hours)``.
"""

from __future__ import annotations

import datetime
import itertools
import os
import runpy
import sys
import time
from typing import Any

EACH = int(os.environ.get("STEP_EACH", "0"))
HOURS = itertools.cycle((-1.0, 1.0, 0.0))

_wall_ns = time.time_ns  # noqa: TID251 - the one that is replaced
_offset_ns = 0
_looks = itertools.count(1)


def step(hours: float) -> None:
    """Set the wall clock to so many hours from the true time."""
    global _offset_ns
    _offset_ns = round(hours * 3600e9)


def time_ns() -> int:
    if EACH and next(_looks) % EACH == 0:
        step(next(HOURS))
    return _wall_ns() + _offset_ns


class Datetime(datetime.datetime):
    @classmethod
    def now(cls, tz: Any = None) -> Any:
        return cls.fromtimestamp(time_ns() / 1e9, tz)


if __name__ == "__main__":
    for name, function in {"time": lambda: time_ns() / 1e9, "time_ns": time_ns, "step": step}.items():
        setattr(time, name, function)
    datetime.datetime = Datetime  # type: ignore[misc]
    del sys.argv[0]
    if sys.argv[0] == "-m":
        del sys.argv[0]
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    else:
        runpy.run_path(sys.argv[0], run_name="__main__")
