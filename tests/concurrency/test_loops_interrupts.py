"""What Ctrl-C leaves behind in a call of another thread, at whatever point it comes."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest
from tests.concurrency.interrupts import Interrupt

from tenire.clock import SYSTEM_CLOCK
from tenire.concurrency.loops import LoopThread, portal, requests

if TYPE_CHECKING:
    from collections.abc import Callable

    from tenire.concurrency.loops.spawned import Spawned

ROOMS = (portal.__file__, requests.__file__, asyncio.base_events.__file__, asyncio.selector_events.__file__)

SENDING: dict[str, Callable[[LoopThread], object]] = {
    "call": lambda loop: loop.call(int, timeout=10),
    "spawn": lambda loop: loop.spawn(int).result(10),
    "post": lambda loop: loop.post(int),
}


def _struck(number: int, send: Callable[[LoopThread], object]) -> bool:
    """Interrupt a sending thread at a point, if it comes there, and look what others get then."""
    with LoopThread("side", SYSTEM_CLOCK, kind="asyncio") as loop:
        others: list[Spawned[int]] = []
        other = threading.Thread(target=lambda: others.append(loop.spawn(int)))

        def count_on_the_same_wake_up() -> None:
            other.start()
            other.join(10)

        if not Interrupt(number, ROOMS, count_on_the_same_wake_up).strikes(lambda: send(loop)):
            return False
        assert others.pop().result(10) == 0, number
        assert loop.call(int, timeout=10) == 0, number
    return True


@pytest.mark.usefixtures("uncollected")
@pytest.mark.parametrize("way", SENDING)
def test_an_interrupt_at_any_point_leaves_a_loop_that_is_woken(way: str) -> None:
    struck = 0
    while _struck(struck + 1, SENDING[way]):
        struck += 1
    assert struck > 10
