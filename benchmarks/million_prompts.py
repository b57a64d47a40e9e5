"""A million prompts from a generator: does the memory of the client grow?

The replies come from a transport in the same process that answers at once, so that a
million of them take minutes, not hours. ``grown_mib`` is the resident memory after the
last reply less that after the first thousand; ``most_grown_mib`` the most in between,
looked at every ten thousand replies.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from typing import TYPE_CHECKING

import psutil
from _common import report
from _models import MODEL, prompt_of

from tenire.llm import ChatClient
from tenire.llm.records import ModelReply, Usage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from tenire.llm.records import ChatRequest, EmbeddingReply, StreamPart

MUST_MIB, AIM_MIB = 50.0, 20.0
WARM, EVERY = 1_000, 10_000


class Instant:
    """A transport that has the reply already."""

    async def complete(self, request: ChatRequest) -> ModelReply:
        """Answer."""
        await asyncio.sleep(0)
        return ModelReply(f"Answer to {request.messages[-1]['content'][:20]}", "stop", Usage(25, 8), request.model)

    def stream(self, request: ChatRequest) -> AsyncIterator[StreamPart]:
        """Is not asked for."""
        raise NotImplementedError

    async def embed(self, model: str, texts: Sequence[str], *, dimensions: int | None = None) -> EmbeddingReply:
        """Is not asked for."""
        raise NotImplementedError

    async def close(self) -> None:
        """Nothing is open."""


async def measure(prompts: int) -> tuple[list[float], float]:
    """Return resident memory over time, MiB, and the prompts a second."""
    process, seen, started = psutil.Process(), [], time.perf_counter()

    def resident() -> float:
        return float(process.memory_info().rss) / (1 << 20)

    texts = (prompt_of(number, 25) for number in range(prompts))
    count = 0
    async with ChatClient(
        MODEL, transport=Instant(), rpm=1_000_000_000, tpm=100_000_000_000, max_concurrency=64
    ) as client:
        async for reply in client.map(texts, max_output_tokens=8):
            if reply.error is not None:
                raise reply.error
            count += 1
            if count == WARM or count % EVERY == 0:
                seen.append(resident())
    if count != prompts:
        raise SystemExit(f"expected {prompts} replies, got {count}")
    return seen, prompts / (time.perf_counter() - started)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prompts", type=int, default=1_000_000)
    prompts = parser.parse_args().prompts
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TENIRE_STATE"] = folder
        seen, speed = asyncio.run(measure(prompts))
    grown = [round(value - seen[0], 1) for value in seen]
    within = max(grown) <= MUST_MIB
    report(
        "million_prompts", server="in the same process", latency=0, prompts=prompts, rss_mib=round(seen[0], 1),
        grown_mib=grown[-1], most_grown_mib=max(grown), per_s=round(speed), must_mib=MUST_MIB,
        aim_mib=AIM_MIB, within=within,
    )  # fmt: skip
    return 0 if within else 1


if __name__ == "__main__":
    raise SystemExit(main())
