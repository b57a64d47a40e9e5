"""What Ctrl-C leaves behind while an engine in a thread is entered or left, at whatever point it comes."""

from __future__ import annotations

import signal

import pytest
from tests.concurrency.interrupts import Interrupt

from tenire import ConcurrencyManager
from tenire.concurrency import engine_thread, termination
from tenire.concurrency.loops import portal
from tenire.concurrency.loops import thread as thread_module
from tenire.concurrency.pools import suspending

ENTERING = (engine_thread.__file__, termination.__file__, suspending.__file__)
LEAVING = (engine_thread.__file__, portal.__file__, thread_module.__file__)


def _struck(number: int, *, leaving: bool) -> bool:
    """Interrupt the start or the end of an engine at a point, if it comes there, and look what stays."""
    engine = ConcurrencyManager.in_thread(cpu=1, memory=1)
    if leaving:
        engine.__enter__()
        struck = Interrupt(number, LEAVING).strikes(lambda: engine.__exit__(None, None, None))
    elif not (struck := Interrupt(number, ENTERING).strikes(engine.__enter__)):
        engine.__exit__(None, None, None)
    if not struck:
        return False
    thread = getattr(engine, "_thread", None)
    ended = thread is None or thread.join(5)
    if thread is not None and not ended:
        thread.close()
    assert ended, number
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL, number
    return True


@pytest.mark.usefixtures("uncollected")
@pytest.mark.parametrize("leaving", [False, True])
def test_an_interrupt_at_any_point_of_entering_or_leaving_it_leaves_no_engine(*, leaving: bool) -> None:
    number = first = 3 if leaving else 1  # as it begins to leave, it has not begun to look out for any
    while _struck(number, leaving=leaving):
        number += 1
    assert number > first + 1
