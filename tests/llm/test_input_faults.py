"""Whether what is sent or its server is to blame is asked only where nobody knows, and an outage is waited for."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tenire.core.breaker import CircuitBreaker
from tenire.errors import (
    BadRequestError,
    BrokenReplyError,
    CallTimeoutError,
    ModelError,
    RateLimitedError,
    ServerError,
    UnknownModelError,
)
from tenire.llm.input_faults import LONGEST_WAIT_S, Fault, InputFaults
from tenire.resilience.gate import Gate

if TYPE_CHECKING:
    from tenire.testing import SimLoop

FAILS = ServerError("it fails", status=500)
CLOSED = ServerError("closed", code="disconnected", charged=True)
SLOW = CallTimeoutError("no answer in time", call="embed")
UNREACHED = ServerError("no connection", code="connect")
BUSY = ServerError("busy", status=503)


class Server:
    """Takes a second to answer, or not to answer, what is harmless.

    Attributes:
        failures: What it fails with before that.
    """

    def __init__(self, *failures: Exception, well: bool = True, waits: bool = True) -> None:
        self.failures, self.well = failures, well
        self.asked = 0
        self.gate = Gate(CircuitBreaker(minimum_calls=1))
        self.faults = InputFaults(self.gate, lambda: asyncio.get_running_loop().time(), waits=waits)
        self.signs: list[object] = []

    async def ask(self) -> bool:
        self.asked += 1
        self.signs += [self.faults.sign(error) for error in self.failures]
        await asyncio.sleep(1.0)
        return self.well


async def judge(error: ModelError | CallTimeoutError, server: Server, *, answered: float | None = None) -> Fault:
    """Judge a failure whose last try began ten seconds after the start."""
    now = asyncio.get_running_loop().time
    start = now()
    for at in (10.0, 11.0) if answered is None else sorted((10.0, 11.0, answered)):
        await asyncio.sleep(start + at - now())
        if at == answered:
            server.faults.answered()
    return await server.faults.of(error, start + 10.0, server.ask)


def answer(server: Server) -> None:
    """Have somebody answered."""
    permit = server.gate.enter_nowait(0.0)
    assert permit is not None
    server.gate.leave(permit, 0.0, "ok")


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (BadRequestError("bad", status=400), Fault.INPUT),
        (RateLimitedError("busy", status=429), Fault.OTHER),
        (ServerError("too slow", status=408), Fault.OTHER),
        (UnknownModelError("which?", status=404), Fault.OTHER),
    ],
)
@pytest.mark.parametrize("well", [False, True])
def test_what_speaks_for_itself_is_not_asked_about(
    sim_loop: SimLoop, error: ModelError, fault: Fault, *, well: bool
) -> None:
    server = Server(well=well)
    assert sim_loop.run_until_complete(judge(error, server)) is fault
    assert server.asked == 0


@pytest.mark.parametrize(("answered", "asked"), [(None, 1), (9.0, 1), (10.5, 0)])
@pytest.mark.parametrize(
    "error",
    [FAILS, CLOSED, SLOW, BrokenReplyError("no JSON", status=200), ServerError("late", status=504)],
)
@pytest.mark.parametrize("well", [False, True])
def test_a_failure_is_the_input_s_if_the_server_answers_others_meanwhile(
    sim_loop: SimLoop, error: ModelError, answered: float | None, asked: int, *, well: bool
) -> None:
    server = Server(well=well)
    fault = Fault.INPUT if well or not asked else Fault.OTHER
    assert sim_loop.run_until_complete(judge(error, server, answered=answered)) is fault
    assert server.asked == asked


@pytest.mark.parametrize("error", [UNREACHED, BUSY])
def test_what_cannot_be_the_input_s_is_not(sim_loop: SimLoop, error: ModelError) -> None:
    server = Server()
    assert sim_loop.run_until_complete(judge(error, server)) is Fault.OTHER
    assert server.asked == 1


@pytest.mark.parametrize(("error", "asked"), [(UNREACHED, 0), (BUSY, 0), (CLOSED, 1)])
def test_who_waits_for_nothing_asks_only_for_what_may_be_the_input_s(
    sim_loop: SimLoop, error: ModelError, asked: int
) -> None:
    server = Server(waits=False)
    sim_loop.run_until_complete(judge(error, server))
    assert server.asked == asked


@pytest.mark.parametrize("error", [FAILS, CLOSED, SLOW, UNREACHED, BUSY])
@pytest.mark.parametrize("seen", [FAILS, CLOSED, SLOW, UNREACHED, BUSY])
def test_it_was_an_outage_if_the_harmless_question_failed_before_it_was_answered(
    sim_loop: SimLoop, error: ModelError, seen: ModelError
) -> None:
    server = Server(seen, seen)
    answer(server)
    assert sim_loop.run_until_complete(judge(error, server)) is Fault.OUTAGE
    assert sim_loop.run_until_complete(server.faults.of(error, 12.0, server.ask)) is Fault.OUTAGE, "began in it too"
    assert server.asked == 1


@pytest.mark.parametrize("seen", [FAILS, CLOSED, SLOW, UNREACHED, BUSY])
def test_one_failure_of_it_is_no_outage(sim_loop: SimLoop, seen: ModelError) -> None:
    server = Server(seen)
    answer(server)
    assert sim_loop.run_until_complete(judge(FAILS, server)) is Fault.INPUT


def test_an_open_circuit_is_an_outage_that_was_seen(sim_loop: SimLoop) -> None:
    server = Server()
    server.gate.breaker.release(server.gate.breaker.acquire(0.0), 0.0, "failure")  # type: ignore[arg-type]
    assert server.gate.breaker.state == "open"
    assert sim_loop.run_until_complete(judge(FAILS, server)) is Fault.OUTAGE


def test_a_refusal_for_the_quota_is_no_outage(sim_loop: SimLoop) -> None:
    server = Server(*[RateLimitedError("busy", status=429)] * 3)
    answer(server)
    assert sim_loop.run_until_complete(judge(FAILS, server)) is Fault.INPUT


@pytest.mark.parametrize("error", [FAILS, CLOSED, SLOW])
def test_nobody_waits_for_who_has_never_answered_nor_for_ever(sim_loop: SimLoop, error: ModelError) -> None:
    async def main() -> None:
        server = Server(error)
        assert await judge(error, server) is Fault.INPUT
        answer(server)
        asking = asyncio.create_task(judge(error, server))
        await asyncio.sleep(11.5)
        assert server.faults.sign(error) is not None
        await asking
        await asyncio.sleep(LONGEST_WAIT_S)
        assert server.faults.sign(error) is None
        assert server.signs[0] is None
        assert server.signs[1] is not None

    sim_loop.run_until_complete(main())


@pytest.mark.parametrize("well", [False, True])
def test_those_who_want_to_know_at_the_same_time_share_one_question(sim_loop: SimLoop, *, well: bool) -> None:
    async def main() -> list[Fault]:
        server, now = Server(well=well), asyncio.get_running_loop().time
        faults = server.faults
        async with asyncio.TaskGroup() as group:
            several = [group.create_task(faults.of(FAILS, now(), server.ask)) for _ in range(5)]
        await asyncio.sleep(1.0)
        assert server.asked == 1
        assert (await faults.of(FAILS, now(), server.ask) is Fault.INPUT) is well  # of a later try
        assert server.asked == 2
        return [one.result() for one in several]

    assert sim_loop.run_until_complete(main()) == [Fault.INPUT if well else Fault.OTHER] * 5


def test_who_leaves_while_he_asks_leaves_the_question_to_the_next(sim_loop: SimLoop) -> None:
    async def main() -> None:
        server, now = Server(), asyncio.get_running_loop().time
        first, second = (asyncio.create_task(server.faults.of(FAILS, now(), server.ask)) for _ in range(2))
        await asyncio.sleep(0.5)
        first.cancel()
        assert await second is Fault.INPUT

    sim_loop.run_until_complete(main())
