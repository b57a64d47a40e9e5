"""Whether a text or its server is to blame is asked only where nobody knows."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tenire.errors import (
    BadRequestError,
    BrokenReplyError,
    ModelError,
    RateLimitedError,
    ServerError,
    UnknownModelError,
)
from tenire.llm.text_faults import TextFaults

if TYPE_CHECKING:
    from tenire.testing import SimLoop

FAILS = ServerError("it fails", status=500)


class Server:
    """Takes a second to answer, or not to answer, what is harmless."""

    def __init__(self, *, well: bool) -> None:
        self.well = well
        self.asked = 0

    async def ask(self) -> bool:
        self.asked += 1
        await asyncio.sleep(1.0)
        return self.well


async def judge(error: ModelError, server: Server, *, answered: float | None = None) -> bool:
    """Judge a failure whose last try began ten seconds after the start."""
    now = asyncio.get_running_loop().time
    start = now()
    faults = TextFaults(now)
    for at in (10.0, 11.0) if answered is None else sorted((10.0, 11.0, answered)):
        await asyncio.sleep(start + at - now())
        if at == answered:
            faults.answered()
    return await faults.caused(error, start + 10.0, server.ask)


@pytest.mark.parametrize(
    ("error", "blamed"),
    [
        (BadRequestError("bad", status=400), True),
        (RateLimitedError("busy", status=429), False),
        (ServerError("busy", status=503), False),
        (ServerError("no answer"), False),
        (ServerError("too slow", status=408), False),
        (UnknownModelError("which?", status=404), False),
    ],
)
@pytest.mark.parametrize("well", [False, True])
def test_what_speaks_for_itself_is_not_asked_about(
    sim_loop: SimLoop, error: ModelError, *, blamed: bool, well: bool
) -> None:
    server = Server(well=well)
    assert sim_loop.run_until_complete(judge(error, server)) is blamed
    assert server.asked == 0


@pytest.mark.parametrize(("answered", "asked"), [(None, 1), (9.0, 1), (10.5, 0)])
@pytest.mark.parametrize("error", [FAILS, BrokenReplyError("no JSON", status=200), ServerError("late", status=504)])
@pytest.mark.parametrize("well", [False, True])
def test_a_failure_is_a_text_s_if_the_server_answers_others_meanwhile(
    sim_loop: SimLoop, error: ModelError, answered: float | None, asked: int, *, well: bool
) -> None:
    server = Server(well=well)
    assert sim_loop.run_until_complete(judge(error, server, answered=answered)) is (well or not asked)
    assert server.asked == asked


@pytest.mark.parametrize("well", [False, True])
def test_those_who_want_to_know_at_the_same_time_share_one_question(sim_loop: SimLoop, *, well: bool) -> None:
    async def main() -> list[bool]:
        server, now = Server(well=well), asyncio.get_running_loop().time
        faults = TextFaults(now)
        async with asyncio.TaskGroup() as group:
            several = [group.create_task(faults.caused(FAILS, now(), server.ask)) for _ in range(5)]
        await asyncio.sleep(1.0)
        assert server.asked == 1
        assert await faults.caused(FAILS, now(), server.ask) is well  # of a later try
        assert server.asked == 2
        return [one.result() for one in several]

    assert sim_loop.run_until_complete(main()) == [well] * 5


def test_who_leaves_while_he_asks_leaves_the_question_to_the_next(sim_loop: SimLoop) -> None:
    async def main() -> None:
        server, now = Server(well=True), asyncio.get_running_loop().time
        faults = TextFaults(now)
        first, second = (asyncio.create_task(faults.caused(FAILS, now(), server.ask)) for _ in range(2))
        await asyncio.sleep(0.5)
        first.cancel()
        assert await second

    sim_loop.run_until_complete(main())
