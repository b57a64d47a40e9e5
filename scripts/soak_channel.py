"""Talks to the control channels of the soak's engines from a process of its own, well and badly.

``python soak_channel.py SEED HOME PIPELINES HOME PIPELINES``: PIPELINES are names, with commas between them. In the
first home an engine listens all the time, in the second one now and then. It ends when its standard input does, and
prints one JSON line: how often what was done, what was not as it must be, and the longest time without an answer.

It asks for status and why, pauses and resumes, and sets priorities. Between that it connects with a wrong key, and
sends frames that are too long or noise, with the key and without: each must end with its own connection only.
"""

from __future__ import annotations

import asyncio
import json
import random
import struct
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from channel_fuzz import Attacker

from tenire.concurrency.channel import ChannelClient
from tenire.concurrency.channel.authentication import new_key
from tenire.concurrency.channel.endpoint import connect
from tenire.concurrency.channel.frames import MOST_BYTES
from tenire.errors import ChannelError, ConfigError, RejectedError

SILENCE_S = 30.0
"""How long the channel of an engine that runs may be away: one that was killed starts again."""

REFUSED_S = 20.0
"""How long a connection that sent rubbish may stay."""


@dataclass
class Told:
    """What came of it.

    Attributes:
        done: How often what was done, or could not be.
        wrong: What was not as it must be.
        silence: Longest time without an answer of the engine that runs all the time, seconds.
    """

    done: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    silence: float = 0.0


class Talk:
    """With one engine.

    Args:
        home: Its home.
        pipelines: Those it has.
        always: Whether it runs all the time.
        told: Gets what came of it.
        seed: Decides what is said.
    """

    def __init__(self, home: Path, pipelines: list[str], told: Told, *, always: bool, seed: str) -> None:
        self._home, self._pipelines, self._told, self._always = home, pipelines, told, always
        self._rng = random.Random(seed)
        self._paused: str | None = None

    async def go_on(self, stop: asyncio.Event) -> None:
        """Talk until it is told to stop; what was paused then goes on."""
        async with ChannelClient(self._home, timeout=SILENCE_S) as client:
            heard = time.monotonic()
            while not stop.is_set() or (self._paused and self._always and time.monotonic() - heard < SILENCE_S):
                await asyncio.sleep(self._rng.uniform(0.01, 0.2))
                try:
                    await (self._rubbish() if self._rng.random() < 0.1 else self._ask(client))
                except ChannelError:
                    self._told.done["nobody listens"] += 1
                    if not self._always:  # the next engine knows nothing of a pause
                        self._paused = None
                else:
                    if self._always:
                        self._told.silence = max(self._told.silence, time.monotonic() - heard)
                    heard = time.monotonic()
            if self._always and time.monotonic() - heard > SILENCE_S:
                self._told.wrong.append(f"nobody has listened for {time.monotonic() - heard:.0f} s")

    async def _ask(self, client: ChannelClient) -> None:
        pipeline = self._rng.choice(self._pipelines)
        if self._paused:
            what, argument = "resume", self._paused
        else:
            what = self._rng.choice(["status", "status", "why", "why", "pause", "priority"])
            argument = pipeline
        try:
            if what in ("status", "why"):
                status = json.loads(await client.call("status"))
                tasks = [task["id"] for one in status["pipelines"].values() for task in one["tasks"]]
                if what == "why" and tasks:
                    await client.call("why", self._rng.choice(tasks))
            elif what == "priority":
                new = {"pipeline": pipeline, "level": self._rng.choice(["high", "normal", "low"])}
                await client.call(what, new)
            else:
                if what == "pause":
                    self._paused = argument  # also if the answer is lost
                await client.call(what, argument)
                if what == "resume":
                    self._paused = None
        except (ConfigError, RejectedError) as error:
            # A task may have ended since, and so may a pipeline, but none of those that run for ever.
            if what != "why" and self._always:
                self._told.wrong.append(f"{what} {argument}: {type(error).__name__}: {error}")
            self._told.done[f"{what} is too late"] += 1
            self._paused = None
        else:
            self._told.done[what] += 1

    async def _rubbish(self) -> None:
        kind = self._rng.choice(["wrong key", "too long", "too long with the key", "noise with the key"])
        proves = kind not in ("too long",)

        def made(key: bytes) -> Attacker:
            return Attacker(new_key() if kind == "wrong key" else key, proves=proves)

        attacker = await connect(self._home, made)
        try:
            async with asyncio.timeout(REFUSED_S):
                if proves:
                    await attacker.ready.wait()
                if not attacker.gone:
                    if kind.startswith("too long"):
                        length = self._rng.choice([MOST_BYTES + 1, (1 << 32) - 1])
                        attacker.transport.write(struct.pack(">I", length) + bytes(100))
                    elif kind.startswith("noise"):
                        attacker.transport.write(struct.pack(">I", 200) + b"\xc1" + self._rng.randbytes(199))
                    attacker.taken.clear()
                    while not attacker.gone:
                        await attacker.taken.wait()
        except TimeoutError:
            self._told.wrong.append(f"{kind}: the connection was not ended within {REFUSED_S:g} s")
        finally:
            attacker.transport.abort()
        self._told.done[kind] += 1


async def talk(seed: str, homes: list[tuple[Path, list[str]]]) -> Told:
    """Talk with all of them until standard input ends."""
    told, stop = Told(), asyncio.Event()
    loop = asyncio.get_running_loop()
    async with asyncio.TaskGroup() as tasks:
        for number, (home, pipelines) in enumerate(homes):
            one = Talk(home, pipelines, told, always=number == 0, seed=f"{seed}/{number}")
            tasks.create_task(one.go_on(stop))
        await loop.run_in_executor(None, partial(sys.stdin.read))
        stop.set()
    return told


def main() -> int:
    """Talk and tell."""
    seed, *words = sys.argv[1:]
    homes = [(Path(home), names.split(",")) for home, names in zip(words[::2], words[1::2], strict=True)]
    told = asyncio.run(talk(seed, homes))
    report: dict[str, Any] = {"done": dict(sorted(told.done.items())), "wrong": told.wrong[:20]}
    print(json.dumps({**report, "silence_s": round(told.silence, 2)}), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
