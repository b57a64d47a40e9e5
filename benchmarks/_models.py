"""What the benchmarks of calls to models share: the server, prompts of a known cost, and clients in processes.

The server is ``tenire.testing.FakeModelProcess``, a process of its own. It counts four
bytes of a prompt as one token, and charges what a call reserves: its prompt and the most
output that it asks for.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import random
import subprocess
import sys
import tempfile
from contextlib import aclosing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from _common import cores

from tenire.llm import ChatClient
from tenire.testing import FakeModelProcess

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

__all__ = [
    "ENFORCEMENTS", "KEY", "LATENCY", "MODEL", "Clients", "ask_until", "chosen_enforcements", "clients", "described",
    "prompt_of", "quota_server",
]  # fmt: skip

MODEL = "gpt-4o-mini"
KEY = "benchmark"
LATENCY = "lognormal:0.5:0.5"
ENFORCEMENTS = ("sliding", "fixed", "bucket")

_PER_MESSAGE = 4
_WORDS = "Every call inside the quota and never paid twice is what this text is asking for. "


def prompt_of(number: int, tokens: int, name: str = "") -> str:
    """Return a prompt that no other number has, and that costs so many input tokens."""
    size = (tokens - _PER_MESSAGE) * 4
    text = f"{name}{number}: " + _WORDS * (size // len(_WORDS) + 1)
    return text[:size]


def quota_server(**settings: Any) -> FakeModelProcess:
    """Return a server that is not started yet."""
    return FakeModelProcess(**{"latency": LATENCY, "api_key": KEY, **settings})


def described(server: FakeModelProcess) -> dict[str, Any]:
    """Return what a figure depends on: it belongs beside it.

    ``load`` is how many programs wanted to run at a time in the last minute, on so many ``cores``.
    """
    settings = server.settings
    return {
        "server": settings.enforcement, "window_s": settings.window, "latency": settings.latency,
        "limits": settings.limits(), "load": round(os.getloadavg()[0], 1), "cores": cores(),
    }  # fmt: skip


def chosen_enforcements(parser: argparse.ArgumentParser) -> None:
    """Let somebody choose how servers count; by default each benchmark takes all ways in turn."""
    parser.add_argument(
        "--enforcement", choices=ENFORCEMENTS, action="append", help="how the server counts (default: each way)"
    )


async def ask_until(
    base_url: str, *, seconds: float, costs: Sequence[int], output: int, name: str = "", **client: Any
) -> int:
    """Have a client ask all the time, as much as it may; return the calls that failed.

    Args:
        base_url: Of the server.
        seconds: For how long.
        costs: Tokens of a call, input and output; each call has one of them by chance.
        output: Of them, output tokens.
        name: What this client calls itself; its calls are counted under it.
        client: Arguments of ``ChatClient``.
    """
    rng = random.Random(f"costs {name}")
    prompts = (prompt_of(number, rng.choice(costs) - output, name) for number in itertools.count())
    failed = 0
    parameters = {"user": name} if name else None
    async with ChatClient(MODEL, base_url=base_url, api_key=KEY, cache=False, **client) as asking:
        replies = asking.map(prompts, max_output_tokens=output, parameters=parameters, ahead=64)
        with suppress(TimeoutError):  # what is under way then is given up
            async with asyncio.timeout(seconds), aclosing(replies):
                async for reply in replies:
                    if reply.error is not None:
                        failed += 1
                        print(f"{name or 'client'}: {type(reply.error).__name__}: {reply.error}", file=sys.stderr)
    return failed


class Clients:
    """Copies of a benchmark's own file, each a process with one client.

    A quota that all processes of a user share is kept in a state directory: here one
    that only the copies know, so that nothing of the user's counts or is touched.
    """

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._running: list[tuple[str, subprocess.Popen[str]]] = []

    def start(self, file: str, name: str, *, state: str = "state", **told: Any) -> None:
        """Start one; it finds what it is ``told`` as JSON behind ``--client``."""
        state_folder = Path(self._folder.name) / state
        words = [sys.executable, file, "--client", json.dumps({"name": name, **told})]
        environment = os.environ | {"TENIRE_STATE": str(state_folder)}
        self._running.append((name, subprocess.Popen(words, env=environment, text=True)))

    def wait(self) -> None:
        """Wait for all of them.

        Raises:
            SystemExit: If one has failed.
        """
        codes = {name: process.wait() for name, process in self._running}
        if any(codes.values()):
            raise SystemExit(f"clients have failed: {codes}")

    def close(self) -> None:
        """End those that still run."""
        for _, process in self._running:
            if process.poll() is None:
                process.kill()
                process.wait()
        self._folder.cleanup()


@contextmanager
def clients() -> Iterator[Clients]:
    """Have clients, and end them with the block."""
    made = Clients()
    try:
        yield made
    finally:
        made.close()
