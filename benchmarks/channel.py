"""A call of an engine in another process and back, through its control channel.

The engine and a bare echo (asyncio streams on a Unix socket, four bytes of length, no
key, no limits) live in a process of their own. Each round asks one and then the other,
so a busy moment of the machine hits both; ``ratio`` compares medians.

- small: a number there and back, one by one;
- flight: the same, 64 in flight;
- large: 100 kB there and back, one by one;
- first: connection, key and one call, each time anew.

Exits 1 if a small call takes longer than it must.
"""

from __future__ import annotations

import asyncio
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from _common import report, spread

from tenire.concurrency.channel import ChannelClient

ROUNDS = 9
SMALL, FLIGHT, LARGE, FIRST = 2_000, 4_000, 200, 50
IN_FLIGHT = 64
LARGE_BYTES = 100_000
MUST_US, AIM_US = 300, 150

ENGINE = """
import asyncio, struct, sys
from typing import Any
from tenire import ConcurrencyManager
from tenire.concurrency.channel import LoopChannel

async def bare(reader, writer):
    try:
        while True:
            head = await reader.readexactly(4)
            body = await reader.readexactly(struct.unpack(">I", head)[0])
            writer.write(head + body)
    except asyncio.IncompleteReadError:
        writer.close()

async def main(directory):
    async with ConcurrencyManager(adaptive=False) as manager:
        channel = LoopChannel(directory, timer=manager.timer)
        channel.register("echo", lambda value: value, takes=Any)
        async with channel, await asyncio.start_unix_server(bare, directory + "/bare"):
            print("ready", flush=True)
            await asyncio.to_thread(sys.stdin.read, 1)

asyncio.run(main(sys.argv[1]))
"""


class Bare:
    """The other end of the bare echo."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def call(self, body: bytes) -> bytes:
        """Send a body and return what comes back."""
        self._writer.write(struct.pack(">I", len(body)) + body)
        (length,) = struct.unpack(">I", await self._reader.readexactly(4))
        return await self._reader.readexactly(length)


async def one_by_one(call: Any, value: Any, times: int) -> float:
    started = time.perf_counter()
    for _ in range(times):
        await call(value)
    return (time.perf_counter() - started) / times * 1e6


async def in_flight(client: ChannelClient) -> float:
    async def some() -> None:
        for number in range(FLIGHT // IN_FLIGHT):
            await client.call("echo", number)

    started = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(IN_FLIGHT):
            tasks.create_task(some())
    return (time.perf_counter() - started) / FLIGHT * 1e6


async def first_calls(directory: str) -> float:
    started = time.perf_counter()
    for number in range(FIRST):
        async with ChannelClient(directory) as client:
            await client.call("echo", number)
    return (time.perf_counter() - started) / FIRST * 1e6


async def measured(directory: str) -> dict[str, list[float]]:
    reader, writer = await asyncio.open_unix_connection(Path(directory) / "bare")
    bare = Bare(reader, writer)
    times: dict[str, list[float]] = {name: [] for name in ("small", "bare", "flight", "large", "first")}
    async with ChannelClient(directory) as client:

        async def echo(value: Any) -> Any:
            return await client.call("echo", value)

        for number in range(-1, ROUNDS):
            figures = {
                "small": await one_by_one(echo, 5, SMALL),
                "bare": await one_by_one(bare.call, b"12345678", SMALL),
                "flight": await in_flight(client),
                "large": await one_by_one(echo, "x" * LARGE_BYTES, LARGE),
                "first": await first_calls(directory),
            }
            if number >= 0:  # the round before the first warms up
                for name, value in figures.items():
                    times[name].append(value)
    writer.close()
    return times


def main() -> int:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as directory:
        words = [sys.executable, "-c", ENGINE, directory]
        engine = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert engine.stdin is not None
        assert engine.stdout is not None
        engine.stdout.readline()
        times = asyncio.run(measured(directory))
        engine.communicate("\n")
    figures = {f"{name}_us": spread(values, 1) for name, values in times.items()}
    ratio = round(spread(times["small"])["median"] / spread(times["bare"])["median"], 2)
    within = figures["small_us"]["median"] <= MUST_US
    report("channel", **figures, ratio=ratio, must_us=MUST_US, aim_us=AIM_US, within=within)
    return 0 if within else 1


if __name__ == "__main__":
    raise SystemExit(main())
