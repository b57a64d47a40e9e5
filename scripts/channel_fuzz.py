"""Sends frames that are wrong in every way to a control channel, and proves that nobody else notices.

    python scripts/channel_fuzz.py [--frames 100000] [--attackers 8] [--seed 0] [--loop auto|asyncio|uvloop]

An engine offers a few operations on a real socket. Attackers, half of whom have the
key, send what a seed draws: noise, valid messages with bits turned over, cut short or
doubled, lengths that lie, nesting without end, arguments of the wrong type, frames that
never end. After each frame an attacker waits until the engine has taken it, which it
shows by answering a ping or by ending the connection.

All the while a witness calls an operation. It must get each answer, and the right one.
In the end the engine must hold no connection but the witness's, must have run nothing
but what is registered, must not have logged an error, and must not have grown.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import random
import struct
import sys
import tempfile
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import psutil

from tenire import ConcurrencyManager
from tenire.concurrency.channel import ChannelClient, LoopChannel
from tenire.concurrency.channel.authentication import new_nonce, prove
from tenire.concurrency.channel.endpoint import connect
from tenire.concurrency.channel.frames import HEAD_BYTES, MOST_BYTES, FrameBuffer, PeerError
from tenire.concurrency.channel.messages import (
    Answer,
    Call,
    Failure,
    Hello,
    Ping,
    Pong,
    Proof,
    Refused,
    from_server,
    pack,
)
from tenire.concurrency.loops import loop_factory

MOST_GROWTH_MIB = 64
ANSWER_S = 20.0
PING = bytes(pack(Ping()))


class Point(msgspec.Struct):
    """An argument with a shape."""

    x: int
    name: str


@dataclass
class Outcome:
    """What came of it.

    Attributes:
        frames: Frames that the engine took.
        connections: Connections that attackers opened.
        calls: Calls that the engine carried out, the witness's included.
        dropped: Peers that it dropped.
        witnessed: Answers that the witness got.
        slowest_ms: The witness's longest wait, in which the attackers had their turns too.
        grown_mib: Memory after, less memory after a tenth.
        problems: What should not have been.
    """

    frames: int = 0
    connections: int = 0
    calls: int = 0
    dropped: int = 0
    witnessed: int = 0
    slowest_ms: float = 0.0
    grown_mib: float = 0.0
    problems: list[str] = field(default_factory=list)


class Errors(logging.Handler):
    """Collects errors; that peers are dropped is told as warnings."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(logging.ERROR)
        self._outcome = outcome

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it."""
        self._outcome.problems.append(f"logged: {record.getMessage()}")


class Attacker(asyncio.Protocol):
    """A connection that sends what it is told; says when the engine has taken it."""

    def __init__(self, key: bytes, *, proves: bool) -> None:
        self._key = key
        self._proves = proves
        self._frames = FrameBuffer()
        self.taken = asyncio.Event()
        self.ready = asyncio.Event()
        self.refused = ""
        self.gone = False
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the greeting."""
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Take what the engine says, which is always well formed."""
        self._frames.feed(data)
        while (body := self._frames.take()) is not None:
            message = from_server(body)
            if isinstance(message, Hello) and self._proves:
                nonce = new_nonce()
                self.transport.write(pack(Proof(nonce, prove(self._key, "client", message.nonce, nonce))))
            elif isinstance(message, Pong):
                self.taken.set()
            elif isinstance(message, Refused):
                self.refused = message.reason
            elif not isinstance(message, Answer | Failure):
                self.ready.set()

    def connection_lost(self, error: Exception | None) -> None:
        """Go on with another one."""
        self.gone = True
        self.taken.set()
        self.ready.set()


def draw(rng: random.Random) -> bytes:
    """Return one frame, or what pretends to be one."""
    kind = rng.randrange(12)  # from 7 on it is as it should be
    if kind == 0:
        return rng.randbytes(rng.randint(1, 200))
    if kind == 1:
        return framed(rng.randbytes(rng.randint(1, 2000)))
    if kind == 2:
        lie = rng.choice([0, 1, MOST_BYTES, MOST_BYTES + 1, (1 << 32) - 1, rng.getrandbits(32)])
        return struct.pack(">I", lie) + rng.randbytes(rng.randint(0, 50))
    if kind == 3:
        return framed(rng.choice([b"\x91", b"\x81\xa1a", b"\x92\xa4call"]) * rng.randint(1, 50_000))
    body = bytearray(valid(rng)[HEAD_BYTES:])
    if kind == 4:
        for _ in range(rng.randint(1, 4)):
            body[rng.randrange(len(body))] ^= 1 << rng.randrange(8)
    elif kind == 5:
        del body[rng.randrange(len(body)) :]
    elif kind == 6:
        at = rng.randrange(len(body))
        body[at:at] = rng.choice([bytes(body), rng.randbytes(rng.randint(1, 20))])
    return framed(bytes(body) or b"\xc1")


def framed(body: bytes) -> bytes:
    """Return a body with its true length in front."""
    return struct.pack(">I", len(body)) + body


def valid(rng: random.Random) -> bytes:
    """Return a frame as a client or a server could send it."""
    arguments: list[Any] = [
        None, 5, "x" * rng.choice([0, 10, 5000]), {"x": 1, "name": "a"}, {"x": "1", "name": []}, [[]] * 100,
        float("nan"), -(1 << 63), (1 << 64) - 1, b"\xff" * 10, msgspec.msgpack.Ext(rng.randrange(128), b"ext"),
        {str(number): number for number in range(50)},
    ]  # fmt: skip
    argument = msgspec.Raw(msgspec.msgpack.encode(rng.choice(arguments)))
    operation = rng.choice(["echo", "point", "wait", "fail", "nothing", "__init__", "é" * 30])
    call = pack(Call(rng.choice([0, 1, 1 << 53]), operation, argument))
    if rng.random() < 0.8:
        return bytes(call) * rng.choice([1, 1, 1, 50])
    others = [
        pack(Ping()),
        pack(Pong()),
        pack(Proof(bytes(32), bytes(32))),
        pack(Refused("x")),
        pack(Answer(3, argument)),
    ]
    return bytes(rng.choice(others))


def ends(data: bytes) -> bool:
    """Return whether the engine will see the ping behind this data as a frame of its own, or refuse the data."""
    buffer = FrameBuffer()
    buffer.feed(data + PING)
    last = None
    try:
        while (body := buffer.take()) is not None:
            last = body
    except PeerError:
        return True
    return len(buffer) == 0 and last == PING[HEAD_BYTES:]


async def attack(directory: Path, rng: random.Random, frames: int, outcome: Outcome) -> None:
    """Send so many frames, over as many connections as it takes."""
    attacker: Attacker | None = None
    for _ in range(frames):
        if attacker is None or attacker.gone:
            proves = rng.random() < 0.5
            attacker = await connect(directory, partial(Attacker, proves=proves))
            outcome.connections += 1
            if proves:
                async with asyncio.timeout(ANSWER_S):
                    await attacker.ready.wait()
        data = draw(rng)
        whole = ends(data)
        attacker.taken.clear()
        attacker.transport.write(data + PING if whole else data)
        if whole:
            async with asyncio.timeout(ANSWER_S):
                await attacker.taken.wait()
        else:  # it would be waited for, so leave in the middle
            attacker.transport.close()
            attacker.gone = True
        outcome.frames += 1
    if attacker is not None:
        attacker.transport.abort()


async def witness(client: ChannelClient, outcome: Outcome) -> None:
    """Call an operation again and again."""
    for number in range(sys.maxsize):
        started = time.perf_counter()
        answer = await client.call("echo", {"number": number})
        outcome.slowest_ms = max(outcome.slowest_ms, 1e3 * (time.perf_counter() - started))
        if answer != {"number": number}:
            outcome.problems.append(f"the witness got {answer!r} for number {number}")
        outcome.witnessed += 1
        await asyncio.sleep(0)


async def fuzz(directory: Path, *, frames: int, attackers: int = 8, seed: int = 0) -> Outcome:
    """Attack a channel in a directory of its own; see the head of this file."""
    outcome = Outcome()
    ran: set[str] = set()
    asyncio.get_running_loop().set_exception_handler(
        lambda _, context: outcome.problems.append(f"{context['message']}: {context.get('exception')!r}")
    )
    errors = Errors(outcome)
    for name in ("tenire", "asyncio"):
        logging.getLogger(name).addHandler(errors)
    memory = psutil.Process().memory_info
    try:
        async with ConcurrencyManager(cpu=1, memory=1, adaptive=False) as manager:
            channel = LoopChannel(directory, timer=manager.timer)
            offer(channel, ran)
            async with channel, ChannelClient(directory) as client, asyncio.TaskGroup() as tasks:
                watching = tasks.create_task(witness(client, outcome))
                await wave(directory, frames // 10, attackers, f"{seed}/warm", outcome)
                before = memory().rss
                await wave(directory, frames - frames // 10, attackers, f"{seed}", outcome)
                outcome.grown_mib = (memory().rss - before) / 2**20
                async with asyncio.timeout(ANSWER_S):
                    while channel.statistics().peers > 1:  # noqa: ASYNC110 - connections on their way out
                        await asyncio.sleep(0.01)
                statistics = channel.statistics()
                outcome.calls, outcome.dropped = statistics.calls, statistics.dropped
                watching.cancel()
    finally:
        for name in ("tenire", "asyncio"):
            logging.getLogger(name).removeHandler(errors)
    if not ran <= {"echo", "point", "wait"}:
        outcome.problems.append(f"ran what was not registered: {ran}")
    if outcome.grown_mib > MOST_GROWTH_MIB:
        outcome.problems.append(f"grew by {outcome.grown_mib:.0f} MiB")
    return outcome


def offer(channel: LoopChannel, ran: set[str]) -> None:
    """Register operations of several kinds."""

    def noted(name: str, value: Any) -> Any:
        ran.add(name)
        return value

    async def wait(_: Any) -> None:
        ran.add("wait")
        await asyncio.sleep(0.001)

    channel.register("echo", lambda value: noted("echo", value), takes=Any)
    channel.register("point", lambda value: noted("point", value.x), takes=Point)
    channel.register("wait", wait, takes=Any)


async def wave(directory: Path, frames: int, attackers: int, seed: str, outcome: Outcome) -> None:
    """Let the attackers send so many frames together."""
    async with asyncio.TaskGroup() as tasks:
        for number in range(attackers):
            part = frames // attackers + (number < frames % attackers)
            tasks.create_task(attack(directory, random.Random(f"{seed}/{number}"), part, outcome))


def main() -> int:
    """Fuzz, tell, and return 1 if anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=100_000)
    parser.add_argument("--attackers", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--loop", choices=("auto", "asyncio", "uvloop"), default="asyncio")
    options = parser.parse_args()
    logging.getLogger("tenire.channel").setLevel(logging.ERROR)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as directory, asyncio.Runner(loop_factory=loop_factory(options.loop)) as runner:
        outcome = runner.run(
            fuzz(Path(directory), frames=options.frames, attackers=options.attackers, seed=options.seed)
        )
    print(
        f"{outcome.frames:,} frames over {outcome.connections:,} connections in {time.perf_counter() - started:.0f} s: "
        f"{outcome.dropped:,} dropped, {outcome.calls:,} calls carried out; the witness got {outcome.witnessed:,} "
        f"answers, the slowest in {outcome.slowest_ms:.1f} ms; grown by {outcome.grown_mib:.1f} MiB"
    )
    for problem in outcome.problems[:20]:
        print(f"error: {problem}", file=sys.stderr)
    return 1 if outcome.problems or outcome.frames != options.frames else 0


if __name__ == "__main__":
    raise SystemExit(main())
