"""The other side of the control channel, on virtual time."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import pytest

from tenire import ConcurrencyManager, ConfigError, RejectedError
from tenire.concurrency.channel import ChannelClient, LoopChannel
from tenire.concurrency.channel.authentication import new_nonce
from tenire.concurrency.channel.frames import MOST_BYTES, FrameBuffer
from tenire.concurrency.channel.link import HEARTBEAT_S
from tenire.concurrency.channel.messages import (
    CALLS_AT_ONCE,
    VERSION,
    Answer,
    Hello,
    Refused,
    Welcome,
    from_client,
    pack,
)
from tenire.concurrency.channel.session import IDLE_S
from tenire.errors import ChannelError
from tenire.testing import cancel_sweep

from .channel_pipes import KEY, dial, pipe

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from tenire.clock import Clock
    from tenire.testing import SimLoop


class World:
    """An engine with a channel, or none, and a way to it."""

    def __init__(self, manager: ConcurrencyManager, clock: Clock) -> None:
        self.manager, self.clock = manager, clock
        self.channel: LoopChannel | None = None

    def start(self) -> LoopChannel:
        self.channel = LoopChannel("nowhere", timer=self.manager.timer, clock=self.clock)
        self.channel.key = KEY
        self.channel.register("echo", lambda value: value, takes=Any)
        self.channel.register("wait", asyncio.sleep, takes=float)
        return self.channel

    async def stop(self) -> None:
        if self.channel is not None:
            await self.channel.aclose()
        self.channel = None

    def client(self, **options: Any) -> ChannelClient:
        return ChannelClient("nowhere", connect=dial(lambda: self.channel), timer=self.manager.timer, **options)


async def in_world(scenario: Callable[[World], Awaitable[Any]], clock: Clock) -> None:
    async with ConcurrencyManager(clock=clock, cpu=1, memory=1) as manager:
        world = World(manager, clock)
        world.start()
        try:
            await scenario(world)
        finally:
            await world.stop()
            assert len(manager.timer) == 0


@pytest.fixture
def world(sim_loop: SimLoop) -> Callable[..., None]:
    return lambda scenario: sim_loop.run_until_complete(in_world(scenario, sim_loop.clock))


def test_one_connection_carries_many_calls_in_any_order(world: Any) -> None:
    async def scenario(world: World) -> None:
        async with world.client(timeout=20) as client:
            calls = [asyncio.create_task(client.call("wait", 10.0 - number)) for number in range(10)]
            assert await client.call("echo", {"a": [1, "ü", None]}) == {"a": [1, "ü", None]}
            assert await client.call("echo", [1, 2], returns=tuple[int, int]) == (1, 2)
            await asyncio.wait(calls)
            assert [call.result() for call in calls] == [None] * 10
            assert world.channel is not None
            assert world.channel.statistics().peers == 1

    world(scenario)


def test_errors_of_an_operation_come_as_they_are(world: Any) -> None:
    async def scenario(world: World) -> None:
        assert world.channel is not None

        def refuse() -> None:
            raise RejectedError("not now", hint="later")

        world.channel.register("refuse", refuse)
        world.channel.register("break", lambda: 1 // 0)
        async with world.client() as client:
            with pytest.raises(RejectedError, match="not now") as refused:
                await client.call("refuse")
            assert refused.value.hint == "later"
            with pytest.raises(ConfigError, match="no operation 'nothing'; it has: break, echo, refuse, wait"):
                await client.call("nothing")
            with pytest.raises(ChannelError, match="could not do it: ZeroDivisionError"):
                await client.call("break")
            with pytest.raises(ChannelError, match="answered echo with something else"):
                await client.call("echo", 5, returns=str)

    world(scenario)


ROUND: list[Any] = []
ROUND.append(ROUND)


@pytest.mark.parametrize(
    "argument",
    [object(), "\udcff", "x" * (MOST_BYTES + 1), 2**70, ROUND],
    ids=["no data", "no text", "long", "large", "round"],
)
def test_what_cannot_be_sent_is_refused_here(world: Any, argument: object) -> None:
    async def scenario(world: World) -> None:
        async with world.client() as client:
            with pytest.raises(ConfigError, match="the argument of echo"):
                await client.call("echo", argument)
            assert await client.call("echo", 1) == 1

    world(scenario)


@pytest.mark.parametrize("name", ["\udcff", "x" * 65, "", 5], ids=["no text", "long", "empty", "a number"])
def test_a_name_that_can_be_no_operation_s_is_refused_here_and_disturbs_no_other_call(world: Any, name: Any) -> None:
    async def scenario(world: World) -> None:
        assert world.channel is not None
        async with world.client() as client:
            other = asyncio.create_task(client.call("wait", 1.0))
            await asyncio.sleep(0.1)
            with pytest.raises(ConfigError, match="the name of an operation must be a text of 1 to 64 characters, got"):
                await client.call(name)
            await other
        assert world.channel.statistics().dropped == 0
        with pytest.raises(ConfigError, match="the name of an operation must be"):
            world.channel.register(name, lambda: None)

    world(scenario)


def test_a_new_engine_is_found_again(world: Any) -> None:
    async def scenario(world: World) -> None:
        async with world.client() as client:
            assert await client.call("echo", 1) == 1
            waiting = asyncio.create_task(client.call("wait", 3.0))
            await asyncio.sleep(0.1)
            await world.stop()
            with pytest.raises(ChannelError, match="broke off"):
                await waiting
            with pytest.raises(ChannelError, match="no engine listens"):
                await client.call("echo", 1)
            world.start()
            assert await client.call("echo", 2) == 2

    world(scenario)


def test_patience_lasts_until_an_engine_listens(world: Any, sim_loop: SimLoop) -> None:
    async def scenario(world: World) -> None:
        await world.stop()
        async with world.client(patience=2.0) as client:
            asyncio.get_running_loop().call_later(1.0, world.start)
            assert await client.call("echo", 1) == 1
            await world.stop()
            began = sim_loop.time()
            with pytest.raises(ChannelError, match="no engine listens"):
                await client.call("echo", 1)
            assert 2.0 <= sim_loop.time() - began < 3.0

    world(scenario)


def test_a_call_that_takes_too_long_is_given_up_and_its_late_answer_ignored(world: Any) -> None:
    async def scenario(world: World) -> None:
        async with world.client(timeout=1.0) as client:
            with pytest.raises(ChannelError, match="did not answer within 1 s"):
                await client.call("wait", 2.0)
            await asyncio.sleep(3)
            assert await client.call("echo", 1) == 1
            assert world.channel is not None
            assert world.channel.statistics().peers == 1, "the connection is still the same"

    world(scenario)


def test_heartbeats_keep_a_connection_that_has_nothing_to_say(world: Any) -> None:
    async def scenario(world: World) -> None:
        async with world.client() as client:
            await client.call("echo", 1)
            await asyncio.sleep(20 * IDLE_S)
            assert world.channel is not None
            assert world.channel.statistics().dropped == 0
            assert world.channel.statistics().peers == 1

    world(scenario)


def test_on_the_loop_of_an_engine_its_waits_hang_on_the_engine_s_timer(world: Any, sim_loop: SimLoop) -> None:
    async def scenario(world: World) -> None:
        timer = world.manager.timer
        async with world.client() as client:
            before = len(timer)
            await client.call("echo", 1)
            assert len(timer) == before + 2, "the heartbeat, and the other end's look at it"
            await world.stop()
        async with world.client(patience=1000.0, timeout=1000.0) as client:
            before = len(timer)
            calling = asyncio.create_task(client.call("echo", 1))
            for _ in range(100):  # tries take a millisecond, and come after pauses of any length
                await asyncio.sleep(0.0005)
                if len(timer) != before:
                    break
            assert len(timer) == before + 1, "the next try"
            world.start()
            assert await calling == 1

    world(scenario)


@pytest.mark.parametrize("calls", [CALLS_AT_ONCE - 1, CALLS_AT_ONCE, 3 * CALLS_AT_ONCE])
def test_many_long_calls_at_a_time_keep_no_heartbeat_from_being_answered(world: Any, calls: int) -> None:
    async def scenario(world: World) -> None:
        seconds = 5 * HEARTBEAT_S
        async with world.client(timeout=100 * seconds) as client:
            under_way = [asyncio.create_task(client.call("wait", seconds)) for _ in range(calls)]
            await asyncio.wait(under_way)
            assert [call.result() for call in under_way] == [None] * calls

    world(scenario)


def test_calls_that_were_given_up_and_go_on_cost_the_connection_not_the_client(world: Any) -> None:
    async def scenario(world: World) -> None:
        async with world.client(timeout=30.0) as client:
            for _ in range(2 * CALLS_AT_ONCE):
                calling = asyncio.create_task(client.call("wait", 1e6))
                await asyncio.sleep(0.1)
                calling.cancel()
            await asyncio.sleep(3 * HEARTBEAT_S)
            assert await client.call("echo", 1) == 1

    world(scenario)


def test_an_engine_that_answers_no_more_is_given_up(world: Any) -> None:
    async def scenario(world: World) -> None:
        async with world.client(timeout=1000.0) as client:
            await client.call("echo", 1)
            link: Any = client._link
            link._transport.other.pause_reading()  # as an engine that was stopped
            waiting = asyncio.create_task(client.call("echo", 2))
            await asyncio.sleep(2 * HEARTBEAT_S + 1)
            with pytest.raises(ChannelError, match="has not answered for 20 s"):
                await waiting
            assert await client.call("echo", 3) == 3, "over a new connection"

    world(scenario)


def test_callers_wait_while_the_engine_does_not_read(world: Any) -> None:
    async def scenario(world: World) -> None:
        async with world.client(timeout=100.0) as client:
            await client.call("echo", 1)
            link: Any = client._link
            link._transport.other.pause_reading()
            large = "x" * 50_000
            calls = [asyncio.create_task(client.call("echo", large)) for _ in range(20)]
            await asyncio.sleep(1)
            assert len(link._transport.sent) < 200_000
            link._transport.other.resume_reading()
            await asyncio.wait(calls)
            assert [call.result() for call in calls] == [large] * 20

    world(scenario)


class Impostor(asyncio.Protocol):
    """A server that has no key and says what it is told to."""

    def __init__(self, *says: Any) -> None:
        self.says, self.heard, self.frames = list(says), list[Any](), FrameBuffer()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.write(self.says.pop(0))

    def data_received(self, data: bytes) -> None:
        self.frames.feed(data)
        while (body := self.frames.take()) is not None:
            self.heard.append(from_client(body))
            if self.says:
                self.transport.write(self.says.pop(0))


HELLO = pack(Hello(VERSION, new_nonce()))
IMPOSTORS: dict[str, tuple[str, list[bytes | bytearray]]] = {
    "a wrong proof": ("has not the key", [HELLO, pack(Welcome(bytes(32)))]),
    "no proof": ("has not the key", [pack(Welcome(bytes(32)))]),
    "an answer instead": ("did not answer", [HELLO, pack(Answer(0, b"\x01"))]),  # type: ignore[arg-type]
    "two greetings": ("a second greeting", [HELLO, HELLO]),
    "another version": ("version 99", [pack(Hello(99, new_nonce()))]),
    "a web server": ("does not speak as an engine", [b"HTTP/1.1 400 Bad Request\r\n\r\n"]),
    "a refusal": ("refused the connection: full", [pack(Refused("full"))]),
}


@pytest.mark.parametrize(("told", "says"), IMPOSTORS.values(), ids=IMPOSTORS.keys())
def test_nothing_is_asked_of_who_does_not_show_the_key(sim_loop: SimLoop, told: str, says: list[Any]) -> None:
    impostor = Impostor(*says)

    async def connect(directory: Path, protocol: Any) -> Any:
        link = protocol(KEY)
        pipe(impostor, link)
        return link

    async def main() -> None:
        async with ChannelClient("nowhere", connect=connect, timeout=1.0) as client:
            with pytest.raises(ChannelError, match=told):
                await client.call("echo", "a secret")

    sim_loop.run_until_complete(main())
    assert "Call" not in [type(message).__name__ for message in impostor.heard]


def test_a_client_that_was_closed_says_so(world: Any) -> None:
    async def scenario(world: World) -> None:
        client = world.client()
        await client.call("echo", 1)
        waiting = asyncio.create_task(client.call("wait", 3.0))
        await asyncio.sleep(0.1)
        await client.aclose()
        with pytest.raises(ChannelError, match="was closed here"):
            await waiting
        with pytest.raises(ChannelError, match="this client was closed"):
            await client.call("echo", 1)

    world(scenario)


@pytest.mark.parametrize("turns", range(15))
def test_a_client_that_is_closed_while_it_connects_leaves_no_connection(world: Any, turns: int) -> None:
    async def scenario(world: World) -> None:
        client = world.client()
        calling = asyncio.create_task(client.call("echo", 1))
        for _ in range(turns):
            await asyncio.sleep(0)
        await client.aclose()
        with contextlib.suppress(ChannelError):
            await calling
        await asyncio.sleep(0.1)
        assert world.channel is not None
        assert world.channel.statistics().peers == 0

    world(scenario)


def test_a_client_that_is_closed_while_nobody_listens_tries_no_more(world: Any, sim_loop: SimLoop) -> None:
    async def scenario(world: World) -> None:
        await world.stop()
        client = world.client(patience=100.0, timeout=100.0)
        calls = [asyncio.create_task(client.call("echo", number)) for number in range(2)]
        await asyncio.sleep(1.0)
        began = sim_loop.time()
        await client.aclose()
        for call in calls:
            with pytest.raises(ChannelError, match="this client was closed"):
                await call
        assert sim_loop.time() - began < 0.1

    world(scenario)


def test_a_cancelled_call_leaves_nothing() -> None:
    async def calls(world: World) -> None:
        async with world.client(patience=1.0) as client:
            await client.call("echo", 1)
            await client.call("wait", 0.5)

    async def scenario() -> None:
        loop: Any = asyncio.get_running_loop()
        await in_world(calls, loop.clock)

    assert cancel_sweep(scenario, check=lambda: None).runs >= 12
