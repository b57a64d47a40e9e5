"""What Ctrl-C and SystemExit leave behind, at whatever point they come."""

from __future__ import annotations

import gc
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tenire.concurrency import Signals
from tenire.concurrency import signals as package
from tenire.core import event_queue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

ENDING = (SystemExit, KeyboardInterrupt)


@pytest.mark.parametrize("error", ENDING)
def test_others_that_end_the_program_too_keep_nothing_from_the_rest(
    error: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    signals, calls, direct, posted = Signals(), [], [], []

    def end(number: int) -> None:
        raise error(number)

    signals.subscribe(int, end, on="emitter")
    signals.subscribe(int, lambda number: end(number + 10), on="emitter")
    signals.subscribe(int, lambda number: end(number + 20), on="emitter")
    signals.subscribe(int, direct.append, on="emitter")
    signals.subscribe(int, posted.append, on=calls.append)
    with pytest.raises(error) as caught:
        signals.emit(1)
    assert caught.value.args == (1,)
    assert caplog.text.count("ended the program too") == 2
    assert direct == [1]
    assert len(calls) == 1
    calls.pop()()
    assert posted == [1]


@pytest.mark.parametrize("error", ENDING)
def test_what_waits_for_who_ended_the_program_is_delivered_too(error: type[BaseException]) -> None:
    signals, seen, calls = Signals(), [], []

    def end(number: int) -> None:
        seen.append(number)
        if number < 3:
            signals.emit(number + 1)
            raise error(number)

    signals.subscribe(int, end, on="emitter")
    with pytest.raises(error) as caught:
        signals.emit(1)
    assert caught.value.args == (1,)
    assert seen == [1, 2, 3]
    seen.clear()
    signals.subscribe(str, lambda text: end(int(text)), on=calls.append)
    signals.emit("2")
    signals.emit("5")
    with pytest.raises(error):
        calls.pop()()
    calls.pop()()
    assert seen == [2, 3, 5]


def test_an_event_that_was_to_be_delivered_goes_before_those_that_came_meanwhile() -> None:
    signals, seen = Signals(), []

    def end(number: int) -> None:
        if number == 1:
            signals.emit(2)
            raise SystemExit

    signals.subscribe(int, end, on="emitter")
    signals.subscribe(int, seen.append, on="emitter")
    with pytest.raises(SystemExit):
        signals.emit(1)
    assert seen == [1, 2]


# -- at every point -------------------------------------------------------

ROOMS = (str(Path(package.__file__).parent), str(event_queue.__file__))


class Interrupt:
    """Raises ``KeyboardInterrupt`` at the nth point where the interpreter may, in the rooms of the signals.

    That is where a function begins, and where one that is not Python has returned.
    """

    def __init__(self, number: int) -> None:
        self.left = number

    def __call__(self, frame: FrameType, event: str, _: object) -> None:
        if event in ("call", "c_return") and frame.f_code.co_filename.startswith(ROOMS):
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt

    def strikes(self, act: Callable[[], object]) -> bool:
        before = sys.getprofile()
        sys.setprofile(self)
        try:
            act()
        except KeyboardInterrupt:
            return True
        finally:
            sys.setprofile(before)
        return False


def scene() -> tuple[Signals, list[list[int]], list[Callable[[], object]], Callable[[], object]]:
    signals, calls = Signals(), []
    seen: list[list[int]] = [[] for _ in range(4)]

    def first(number: int) -> None:
        seen[0].append(number)
        if number == 1:
            signals.emit(2)

    signals.subscribe(int, first, on="emitter")
    signals.subscribe(int, seen[1].append, on="emitter", policy="block", capacity=2)
    signals.subscribe(int, seen[2].append, on=calls.append)
    signals.subscribe(int, seen[3].append, on=calls.append, policy="latest")

    def act() -> None:
        signals.emit(1)
        while calls:
            calls.pop(0)()

    return signals, seen, calls, act


@pytest.fixture
def _uncollected() -> Iterator[None]:
    """Keep finalisers of what other tests left out of the way: an interrupt in one is lost."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("_uncollected")
def test_an_interrupt_at_any_point_leaves_every_listener_listening() -> None:
    struck = 0
    while True:
        signals, seen, calls, act = scene()
        if not Interrupt(struck + 1).strikes(act):
            break
        struck += 1
        for number in (3, 4):
            thread: Any = threading.Thread(target=signals.emit, args=(number,))
            thread.start()
            thread.join(10)
            assert not thread.is_alive()
            while calls:
                calls.pop(0)()
        for got in seen:
            assert got[-2:] == [3, 4], (struck, seen)
            assert got == sorted(set(got)), (struck, seen)
        for subscription in signals._subscribers:
            assert not subscription.busy
            assert not subscription.queue.size
            subscription.queue.check()
    assert seen == [[1, 2], [1, 2], [1, 2], [2]]
    assert struck > 50
