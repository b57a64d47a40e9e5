"""The engine's side of the control channel, on virtual time: what each kind of peer gets."""

from __future__ import annotations

import asyncio
import logging
import struct
from typing import TYPE_CHECKING, Any

import pytest

from tenire import ConcurrencyManager, ConfigError, RejectedError
from tenire.concurrency.channel import MOST_PEERS, LoopChannel
from tenire.concurrency.channel.frames import MOST_BYTES
from tenire.concurrency.channel.messages import (
    CALLS_AT_ONCE,
    Answer,
    Failure,
    Hello,
    Pong,
    Proof,
    Refused,
    Welcome,
    pack,
)
from tenire.concurrency.channel.peer import FRAMES_AT_ONCE
from tenire.concurrency.channel.session import AUTHENTICATE_S, IDLE_S

from .channel_pipes import KEY, Caller

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tenire.testing import SimLoop


@pytest.fixture
def channel(sim_loop: SimLoop) -> Callable[..., Any]:
    """Runs a scenario with a channel that nothing but pipes leads to; nothing of it may be left."""

    def run(scenario: Callable[[LoopChannel], Awaitable[Any]]) -> Any:
        async def main() -> Any:
            async with ConcurrencyManager(clock=sim_loop.clock, cpu=1, memory=1) as manager:
                channel = LoopChannel("nowhere", timer=manager.timer, clock=sim_loop.clock)
                channel.key = KEY
                channel.register("echo", lambda value: value, takes=int)
                try:
                    return await scenario(channel)
                finally:
                    await channel.aclose()
                    assert channel.statistics().peers == 0
                    assert len(manager.timer) == 0, "a timer was left"

        return sim_loop.run_until_complete(main())

    return run


def dropped(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if "dropped a peer" in record.getMessage()]


def answers(caller: Caller) -> list[Any]:
    return [bytes(message.value)[0] for message in caller.told if isinstance(message, Answer)]


async def opened(channel: LoopChannel) -> Caller:
    caller = Caller(channel)
    await asyncio.sleep(0.01)
    assert isinstance(caller.told[-1], Welcome)
    return caller


def test_who_shows_the_key_is_answered(channel: Any) -> None:
    async def scenario(channel: LoopChannel) -> None:
        caller = await opened(channel)
        for number in range(100):
            caller.call(number, "echo", number)
        await asyncio.sleep(0.1)
        assert answers(caller) == list(range(100))
        assert channel.statistics().calls == 100

    channel(scenario)


@pytest.mark.parametrize("trickling", [False, True], ids=["silent", "a byte a second"])
def test_who_does_not_show_the_key_in_time_is_dropped(
    channel: Any, caplog: pytest.LogCaptureFixture, *, trickling: bool
) -> None:
    async def scenario(channel: LoopChannel) -> None:
        caller = Caller(channel, proves=False)
        caller.send(struct.pack(">I", 100))
        for _ in range(int(AUTHENTICATE_S) - 1):
            await asyncio.sleep(1)
            caller.send(b"\0" * trickling)
        assert len(caller.told) == 1
        await asyncio.sleep(1.1)
        assert "key was not shown within 10 s" in caller.refused
        await asyncio.sleep(2)
        assert caller.gone.is_set()

    channel(scenario)
    assert len(dropped(caplog)) == 1


def test_a_wrong_key_is_told_and_opens_nothing(channel: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(channel: LoopChannel) -> None:
        caller = Caller(channel, key=bytes(32))
        await asyncio.sleep(0.001)
        caller.call(0, "echo", 1)
        await asyncio.sleep(0.1)
        assert "the key is not this engine's" in caller.refused
        assert [type(message) for message in caller.told] == [Hello, Refused]
        assert channel.statistics().calls == 0

    channel(scenario)
    (line,) = dropped(caplog)
    assert KEY.hex() not in line


MALFORMED = {
    "no frame at all": b"\xff" * 10,
    "too long": struct.pack(">I", MOST_BYTES + 1),
    "empty": struct.pack(">I", 0),
    "no message": struct.pack(">I", 3) + b"abc",
    "deeply nested": struct.pack(">I", 100_000) + b"\x91" * 100_000,
    "a server's message": bytes(pack(Pong())),
    "a second proof": bytes(pack(Proof(bytes(32), bytes(32)))),
}


@pytest.mark.parametrize("proves", [False, True], ids=["before the key", "after it"])
@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED.keys())
def test_what_is_malformed_ends_its_own_connection_alone(
    channel: Any, caplog: pytest.LogCaptureFixture, data: bytes, *, proves: bool
) -> None:
    async def scenario(channel: LoopChannel) -> None:
        good = await opened(channel)
        bad = Caller(channel, proves=proves)
        await asyncio.sleep(0.1)
        bad.send(data)
        bad.send(b"what follows is not read" * 10_000)
        await asyncio.sleep(0.1)
        assert bad.refused
        good.call(7, "echo", 7)
        await asyncio.sleep(0.1)
        assert answers(good) == [7]
        assert bad.end.lost, "the rest was read to its end, so the reason arrived"

    channel(scenario)
    assert len(dropped(caplog)) == 1


def test_only_what_is_registered_can_be_called(channel: Any) -> None:
    async def scenario(channel: LoopChannel) -> None:
        caller = await opened(channel)
        for number, name in enumerate(("register", "__class__", "shutdown", "x" * 64)):
            caller.call(number, name)
        caller.call(9, "echo", "no number")
        await asyncio.sleep(0.1)
        failures = [message for message in caller.told if isinstance(message, Failure)]
        assert [failure.kind for failure in failures] == ["ConfigError"] * 5
        assert "it has: echo" in failures[0].message
        assert "the argument of echo" in failures[4].message
        assert channel.statistics().dropped == 0
        with pytest.raises(ConfigError, match="already"):
            channel.register("echo", print)

    channel(scenario)


def test_silence_ends_a_connection_and_a_ping_keeps_it(channel: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(channel: LoopChannel) -> None:
        silent, alive = await opened(channel), await opened(channel)
        for _ in range(10):
            await asyncio.sleep(IDLE_S - 1)
            alive.ping()
            silent.send(b"\0")  # a byte of a head, which never becomes a frame
        await asyncio.sleep(0.1)
        assert "nothing was heard for 60 s" in silent.refused
        assert [type(message) for message in alive.told[2:]] == [Pong] * 10
        assert silent.gone.is_set()
        assert not alive.gone.is_set()

    channel(scenario)
    assert len(dropped(caplog)) == 1


def test_a_slow_operation_is_waited_for_however_long_it_takes(channel: Any) -> None:
    async def scenario(channel: LoopChannel) -> None:
        channel.register("slow", lambda: asyncio.sleep(10 * IDLE_S, "done"))
        caller = await opened(channel)
        caller.call(1, "slow")
        await asyncio.sleep(10 * IDLE_S + 1)
        assert isinstance(caller.told[-1], Answer)
        await asyncio.sleep(IDLE_S + 3)
        assert caller.gone.is_set(), "afterwards its silence counts again"

    channel(scenario)


def test_who_does_not_take_its_answers_is_not_read_from_and_dropped_in_the_end(
    channel: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(channel: LoopChannel) -> None:
        channel.register("large", lambda: "x" * 100_000)
        slow, good = await opened(channel), await opened(channel)
        slow.end.pause_reading()
        for number in range(100):
            slow.call(number, "large")
        await asyncio.sleep(1)
        assert channel.statistics().calls < 10
        assert len(slow.server.sent) < 1 << 20, "what waits for it is bounded"
        for number in range(20):  # all this time others are served
            good.call(number, "echo", number)
            await asyncio.sleep(IDLE_S / 20)
        assert answers(good) == list(range(20))
        await asyncio.sleep(3)
        assert slow.server.lost

    channel(scenario)
    (line,) = dropped(caplog)
    assert "answers were not taken" in line


def test_who_takes_them_late_gets_them_all(channel: Any) -> None:
    async def scenario(channel: LoopChannel) -> None:
        channel.register("large", lambda: "x" * 100_000)
        slow = await opened(channel)
        slow.end.pause_reading()
        for number in range(100):
            slow.call(number, "large")
        await asyncio.sleep(IDLE_S / 2)
        slow.end.resume_reading()
        await asyncio.sleep(1)
        assert [message.number for message in slow.told if isinstance(message, Answer)] == list(range(100))

    channel(scenario)


def test_a_flood_gets_its_turn_like_everybody_else(channel: Any) -> None:
    async def scenario(channel: LoopChannel) -> None:
        order: list[str] = []
        channel.register("note", order.append, takes=str)
        flood, good = await opened(channel), await opened(channel)
        for number in range(2_000):
            flood.call(number, "note", "flood")
        good.call(1, "note", "good")
        await asyncio.sleep(1)
        assert order.count("flood") == 2_000
        assert order.index("good") <= 3 * FRAMES_AT_ONCE

    channel(scenario)


def test_one_peer_keeps_only_so_many_operations_going(channel: Any) -> None:
    async def scenario(channel: LoopChannel) -> None:
        running, release = 0, asyncio.Event()

        async def wait() -> None:
            nonlocal running
            running += 1
            await release.wait()
            running -= 1

        channel.register("wait", wait)
        caller = await opened(channel)
        for number in range(50):
            caller.call(number, "wait")
        await asyncio.sleep(1)
        assert running == CALLS_AT_ONCE
        release.set()
        await asyncio.sleep(1)
        assert (running, len([m for m in caller.told if isinstance(m, Answer)])) == (0, 50)

    channel(scenario)


def test_who_leaves_takes_its_operations_along(channel: Any) -> None:
    async def scenario(channel: LoopChannel) -> None:
        ended: list[str] = []

        async def wait() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0.1)
                ended.append("tidied up")

        channel.register("wait", wait)
        caller = await opened(channel)
        caller.call(1, "wait")
        await asyncio.sleep(0.1)
        caller.end.close()
        await asyncio.sleep(0.05)
        assert channel.statistics().peers == 1, "it is still tidying up"
        await asyncio.sleep(0.2)
        assert (ended, channel.statistics().peers) == (["tidied up"], 0)

    channel(scenario)


def test_there_are_only_so_many_peers_and_a_place_is_free_when_one_leaves(
    channel: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(channel: LoopChannel) -> None:
        callers = [await opened(channel) for _ in range(MOST_PEERS)]
        late = Caller(channel)
        await asyncio.sleep(0.1)
        assert "64 connections are open already" in late.refused
        assert late.gone.is_set()
        callers[0].end.close()
        await asyncio.sleep(0.1)
        again = await opened(channel)
        for caller in (*callers[1:], again):
            caller.call(5, "echo", 5)
        await asyncio.sleep(0.1)
        assert all(answers(caller) == [5] for caller in (*callers[1:], again))

    channel(scenario)
    assert len(dropped(caplog)) == 1


FAILING: dict[str, Callable[[], Any]] = {
    "RejectedError": lambda: _raise(RejectedError("not now: \udcff", hint="later")),
    "InternalError": lambda: _raise(ZeroDivisionError("\udcff")),
}


def _raise(error: Exception) -> None:
    raise error


@pytest.mark.parametrize("kind", FAILING)
@pytest.mark.parametrize("late", [False, True], ids=["at once", "later"])
def test_how_an_operation_failed_is_told(
    channel: Any, caplog: pytest.LogCaptureFixture, kind: str, *, late: bool
) -> None:
    async def scenario(channel: LoopChannel) -> None:
        async def later() -> None:
            await asyncio.sleep(1)
            FAILING[kind]()

        channel.register("fail", later if late else FAILING[kind])
        caller = await opened(channel)
        caller.call(3, "fail")
        await asyncio.sleep(2)
        failure = caller.told[-1]
        assert (failure.number, failure.kind) == (3, kind)
        assert "\\udcff" in failure.message
        assert failure.hint == ("later" if kind == "RejectedError" else None)
        assert channel.statistics().dropped == 0

    channel(scenario)
    assert [record.levelno for record in caplog.records] == ([logging.ERROR] if kind == "InternalError" else [])


class MuteError(Exception):
    def __str__(self) -> str:
        raise ValueError("it has no words")


@pytest.mark.parametrize("late", [False, True], ids=["at once", "later"])
def test_whoever_calls_is_told_of_an_error_that_cannot_be_turned_into_text(channel: Any, *, late: bool) -> None:
    def fail() -> None:
        raise MuteError

    async def fail_later() -> None:
        await asyncio.sleep(1)
        raise MuteError

    async def scenario(channel: LoopChannel) -> None:
        channel.register("fail", fail_later if late else fail)
        caller = await opened(channel)
        caller.call(3, "fail")
        await asyncio.sleep(2)
        failure = caller.told[-1]
        assert (failure.number, failure.kind) == (3, "InternalError")
        assert "MuteError, which cannot be turned into text" in failure.message

    channel(scenario)


@pytest.mark.parametrize("value", ["x" * (MOST_BYTES + 1), object(), "\udcff"], ids=["too long", "no data", "no text"])
def test_an_answer_that_cannot_be_sent_is_a_failure(channel: Any, value: object) -> None:
    async def scenario(channel: LoopChannel) -> None:
        channel.register("bad", lambda: value)
        caller = await opened(channel)
        caller.call(1, "bad")
        caller.call(2, "echo", 2)
        await asyncio.sleep(0.1)
        assert isinstance(caller.told[-2], Failure)
        assert answers(caller) == [2]

    channel(scenario)


def test_closing_drops_everybody_and_whoever_comes_too_late(channel: Any) -> None:
    async def scenario(channel: LoopChannel) -> None:
        channel.register("wait", lambda: asyncio.sleep(1000))
        caller = await opened(channel)
        caller.call(1, "wait")
        await asyncio.sleep(0.1)
        await channel.aclose()
        await asyncio.sleep(0.1)
        assert caller.gone.is_set()
        late = Caller(channel)
        await asyncio.sleep(0.1)
        assert "the engine is ending" in late.refused

    channel(scenario)


@pytest.mark.parametrize("swallowed", [1, 3, 9])
def test_closing_gives_up_by_name_what_goes_on_though_it_was_cancelled(
    channel: Any, caplog: pytest.LogCaptureFixture, swallowed: int
) -> None:
    async def scenario(channel: LoopChannel) -> None:
        release, cancelled = asyncio.Event(), 0

        async def stubborn() -> None:
            nonlocal cancelled
            while not release.is_set() and cancelled < swallowed:
                try:
                    await release.wait()
                except asyncio.CancelledError:
                    cancelled += 1
            await release.wait()

        channel.register("stubborn", stubborn)
        caller = await opened(channel)
        caller.call(1, "stubborn")
        await asyncio.sleep(0.1)
        [task] = [task for task in asyncio.all_tasks() if task.get_name() == "tenire control: stubborn"]
        began = asyncio.get_running_loop().time()
        async with asyncio.timeout(60):
            await channel.aclose()
        assert asyncio.get_running_loop().time() - began <= 0.51
        assert caller.gone.is_set()
        assert (task.done(), channel.statistics().peers) == (swallowed < 4, 0)
        release.set()
        await asyncio.wait([task])
        await asyncio.sleep(0)
        assert channel.statistics().peers == 0

    channel(scenario)
    told = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(told) == (swallowed == 9)
    assert all("'tenire control: stubborn' goes on though it was cancelled; given up" in line for line in told)


def test_what_tidies_up_as_the_channel_closes_is_not_interrupted(
    channel: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(channel: LoopChannel) -> None:
        tidied: list[str] = []

        async def wait() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0.2)
                tidied.append("up")

        channel.register("wait", wait)
        caller = await opened(channel)
        caller.call(1, "wait")
        await asyncio.sleep(0.1)
        await channel.aclose()
        assert tidied == ["up"]

    channel(scenario)
    assert not caplog.records
