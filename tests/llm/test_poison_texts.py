"""A text that makes the server fail is alone with its error, and in an outage no text is to blame."""

from __future__ import annotations

import asyncio
from collections import Counter
from copy import copy
from typing import TYPE_CHECKING

import pytest

from tenire.errors import BadRequestError, BrokenReplyError, CallTimeoutError, ModelError, ServerError
from tenire.resilience.retries import MOST_PROBES

from .models import Model, busy, simulate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tenire.llm.client import ChatClient
    from tenire.llm.records import EmbeddingReply
    from tenire.testing import SimLoop

HOUR = 3600.0
TRIES = 8  # of a request, by default
HARMLESS = ["a"]


class Server(Model):
    """Fails for texts with "bad" in them, and for all of them while it is down.

    Attributes:
        down: Whether it is, given how many requests have come.
    """

    def __init__(
        self, down: Callable[[int], bool] = lambda _: False, fault: Callable[[], ModelError] | None = None
    ) -> None:
        super().__init__(seconds=0.1)
        self.down = down
        self.fault = fault or (lambda: ServerError("it fails", status=500))

    async def embed(self, model: str, texts: Sequence[str], *, dimensions: int | None = None) -> EmbeddingReply:
        down = self.down(len(self.texts))
        reply = await super().embed(model, texts, dimensions=dimensions)
        if down or any("bad" in text for text in texts):
            raise self.fault()
        return reply


def some(number: int, *bad: int) -> list[str]:
    return [f"{'bad' if one in bad else 'good'} {one}" for one in range(number)]


async def failing(client: ChatClient, texts: list[str], *, cache: bool = True) -> ModelError:
    with pytest.raises(ModelError) as caught:
        await client.embed(texts, cache=cache)
    return caught.value


CLOSED = ServerError("closed", code="disconnected", charged=True)
UNSENT = ServerError("closed before it was sent", code="disconnected")
SILENT = ServerError("no answer in time", code="timeout", charged=True)


@pytest.mark.parametrize(
    "fault",
    [ServerError("it fails", status=500), BrokenReplyError("no JSON", status=200), CLOSED, UNSENT, SILENT],
)
@pytest.mark.parametrize(("number", "bad"), [(2, [0]), (2, [0, 1]), (20, [0, 7, 8]), (256, [100])])
def test_only_those_that_make_the_server_fail_have_no_vector(
    sim_loop: SimLoop, fault: ModelError, number: int, bad: list[int]
) -> None:
    server, texts = Server(fault=lambda: copy(fault)), some(number, *bad)

    async def scenario(client: ChatClient) -> None:
        error = await failing(client, texts)
        assert (type(error), error.texts) == (type(fault), tuple(bad))
        good = [one for one in range(number) if one not in bad]
        assert error.vectors == dict(zip(good, await client.embed([texts[one] for one in good]), strict=True))
        assert f"text {bad[0]} of those {number}" in "".join(error.__notes__)
        assert client.statistics().breaker == "closed"
        before = len(server.texts)
        assert len(await client.embed([text for text in texts if "bad" not in text])) == number - len(bad)
        assert len(server.texts) == before

    simulate(sim_loop, scenario, server)
    # All tries of the whole; at each cut both halves, at times a harmless text; all tries of each that is left.
    assert len(server.texts) <= TRIES + len(bad) * (3 * number.bit_length() + TRIES)


@pytest.mark.parametrize("number", [1, 3, 40])
@pytest.mark.parametrize("kept", [False, True])
def test_only_that_at_which_the_server_hangs_has_no_vector(sim_loop: SimLoop, number: int, *, kept: bool) -> None:
    class Hanging(Model):
        async def embed(self, model: str, texts: Sequence[str], *, dimensions: int | None = None) -> EmbeddingReply:
            self.seconds = 1000.0 if any("bad" in text for text in texts) else 0.1
            return await super().embed(model, texts, dimensions=dimensions)

    texts = some(number, number - 1)

    async def scenario(client: ChatClient) -> None:
        error = await failing(client, texts, cache=kept)
        assert isinstance(error, ServerError)
        assert (error.code, error.charged, error.texts) == ("timeout", True, (number - 1,))
        assert "no answer within its timeout of 5 s" in str(error)
        assert len(await client.embed(texts[:-1])) == number - 1
        assert client.statistics().breaker == "closed"

    model = Hanging()
    simulate(sim_loop, scenario, model, timeout=5.0)
    assert len(model.texts) <= 3 * TRIES + 3 * number.bit_length()


def test_a_search_for_many_keeps_nobody_else_waiting(sim_loop: SimLoop) -> None:
    """The breaker would, if it were told of what is expected to fail."""
    server, states = Server(), set[str | None]()

    async def scenario(client: ChatClient) -> None:
        hunt = asyncio.create_task(failing(client, some(256, *range(0, 256, 9))))
        while not hunt.done():
            states.add(client.statistics().breaker)
            await asyncio.sleep(0.05)
        assert len(hunt.result().texts) == 29

    simulate(sim_loop, scenario, server)
    assert states == {"closed"}


def test_an_outage_is_no_text_s_fault_and_multiplies_no_calls(sim_loop: SimLoop) -> None:
    server = Server(down=lambda _: True)

    async def scenario(client: ChatClient) -> None:
        assert (await failing(client, some(256))).texts == ()

    simulate(sim_loop, scenario, server)
    assert [len(texts) for texts in server.texts] == [256] * TRIES + [1] * TRIES  # is it well? It is not


def test_many_requests_ask_together_whether_the_server_is_well(sim_loop: SimLoop) -> None:
    server = Server(down=lambda _: True)

    async def scenario(client: ChatClient) -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(20):
                group.create_task(failing(client, [f"{number} {text}" for text in some(256)]))

    simulate(sim_loop, scenario, server)
    assert all(len(texts) in (1, 256) for texts in server.texts)
    assert server.texts.count(HARMLESS) <= 2 * (TRIES + 3)  # three more that found the breaker open


@pytest.mark.parametrize("begins", [9, 11, 14])
def test_an_outage_in_the_middle_of_the_search_is_waited_for(sim_loop: SimLoop, begins: int) -> None:
    server = Server(down=lambda number: begins <= number < begins + 5)

    async def scenario(client: ChatClient) -> None:
        assert (await failing(client, some(32, 20))).texts == (20,)

    simulate(sim_loop, scenario, server)


@pytest.mark.parametrize("begins", [9, 11, 14, 20])
def test_an_outage_that_stays_blames_none_of_those_that_are_left(sim_loop: SimLoop, begins: int) -> None:
    server = Server(down=lambda number: number >= begins)

    async def scenario(client: ChatClient) -> None:
        assert (await failing(client, some(32, 20))).texts == ()

    simulate(sim_loop, scenario, server)


class Down(Model):
    """Is down for some time, seconds after the start, after which texts with "bad" in them fail in the same way."""

    def __init__(self, since: float, until: float, fault: ModelError | None) -> None:
        super().__init__(seconds=0.1)
        self.since, self.until, self.fault = since, until, fault

    async def embed(self, model: str, texts: Sequence[str], *, dimensions: int | None = None) -> EmbeddingReply:
        reply = await super().embed(model, texts, dimensions=dimensions)
        down = self.since <= asyncio.get_running_loop().time() < self.until
        if down or (self.until and any("bad" in text for text in texts)):
            if self.fault is None:
                await asyncio.sleep(1e6)
            else:
                raise copy(self.fault)
        return reply


FAULTS = [
    ServerError("no connection", code="connect"),
    ServerError("503", status=503),
    ServerError("it fails", status=500),
    CLOSED,
    SILENT,
    None,
]


@pytest.mark.parametrize("requests", [1, 3, 60])
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("since", [0.6, 60.0])
def test_however_few_requests_there_are_they_wait_for_the_end_of_an_outage(
    sim_loop: SimLoop, fault: ModelError | None, requests: int, since: float
) -> None:
    server = Down(since, 5 * HOUR, fault)

    async def scenario(client: ChatClient) -> None:
        await client.embed(["is there anybody?"])
        await asyncio.sleep(since - 0.1)
        async with asyncio.TaskGroup() as group:
            for number in range(requests):
                group.create_task(client.embed([f"{number} {text}" for text in some(8)], dimensions=number + 1))
        assert 5 * HOUR < sim_loop.time() < 5 * HOUR + 180.0

    simulate(sim_loop, scenario, server, timeout=60.0)
    assert {len(texts) for texts in server.texts} == {1, 8}, "nothing is cut"
    if fault in (CLOSED, SILENT, None):
        times = Counter(tuple(texts) for texts in server.texts if len(texts) == 8)
        assert max(times.values()) <= 1 + TRIES + MOST_PROBES


def test_what_says_that_it_is_down_is_waited_for_from_the_beginning(sim_loop: SimLoop) -> None:
    server = Down(0.0, 5 * HOUR, ServerError("503", status=503))

    async def scenario(client: ChatClient) -> None:
        assert len(await client.embed(some(4))) == 4

    simulate(sim_loop, scenario, server)


@pytest.mark.parametrize("fault", [CLOSED, SILENT, ServerError("it fails", status=500)])
@pytest.mark.parametrize("number", [1, 9])
def test_after_an_outage_a_bad_text_is_found(sim_loop: SimLoop, fault: ModelError, number: int) -> None:
    server = Down(60.0, 2 * HOUR, fault)

    async def scenario(client: ChatClient) -> None:
        await client.embed(["is there anybody?"])
        await asyncio.sleep(60.0)
        assert (await failing(client, some(number, 0))).texts == (0,)
        assert 2 * HOUR < sim_loop.time() < 2.1 * HOUR

    simulate(sim_loop, scenario, server)


def test_who_tries_once_waits_for_no_outage(sim_loop: SimLoop) -> None:
    async def scenario(client: ChatClient) -> None:
        await client.embed(["is there anybody?"])
        await asyncio.sleep(60.0)
        for text in "bcd":
            assert (await failing(client, [text])).texts == ()
        assert sim_loop.time() < 70.0

    simulate(sim_loop, scenario, Down(60.0, HOUR, CLOSED), retry=1)


def test_a_deadline_ends_the_wait_for_the_end_of_an_outage(sim_loop: SimLoop) -> None:
    async def scenario(client: ChatClient) -> None:
        await client.embed(["is there anybody?"])
        await asyncio.sleep(60.0)
        with pytest.raises(CallTimeoutError):
            await client.embed(["b"], deadline=600.0)
        assert 659.0 < sim_loop.time() < 662.0

    simulate(sim_loop, scenario, Down(60.0, HOUR, CLOSED))


def test_a_server_that_is_too_busy_is_not_asked_in_smaller_parts(sim_loop: SimLoop) -> None:
    server = Server(fault=lambda: ServerError("overloaded", status=503))

    async def scenario(client: ChatClient) -> None:
        assert (await failing(client, some(8, 3))).texts == ()

    simulate(sim_loop, scenario, server)
    assert [len(texts) for texts in server.texts] == [8] * TRIES + [1], "whether it is down"


def test_parts_have_all_their_tries_for_what_is_not_their_fault(sim_loop: SimLoop) -> None:
    server = Server()
    server.failures = [
        *[ServerError("it fails", status=500)] * TRIES,
        *[ServerError("closed without an answer")] * 4,
        *busy(2),
    ]

    async def scenario(client: ChatClient) -> None:
        assert len(await client.embed(some(8))) == 8

    simulate(sim_loop, scenario, server)


def test_each_caller_is_told_its_own_places(sim_loop: SimLoop) -> None:
    async def scenario(client: ChatClient) -> None:
        async with asyncio.TaskGroup() as group:
            one = group.create_task(failing(client, ["x", "bad", "y"]))
            other = group.create_task(failing(client, ["bad", "z", "bad"]))
        assert (one.result().texts, other.result().texts) == ((1,), (0, 2))

    simulate(sim_loop, scenario, Server(fault=lambda: BadRequestError("bad", status=400)))


def test_what_is_no_text_s_fault_is_told_before_what_is(sim_loop: SimLoop) -> None:
    class Picky(Server):
        async def embed(self, model: str, texts: Sequence[str], *, dimensions: int | None = None) -> EmbeddingReply:
            if len(texts) == 1 and "worse" in texts[0]:
                raise ServerError("gone", status=None)
            return await super().embed(model, texts, dimensions=dimensions)

    async def scenario(client: ChatClient) -> None:
        error = await failing(client, ["bad", "bad worse", "c"])
        assert (str(error), error.texts) == ("gone", ())

    simulate(sim_loop, scenario, Picky(fault=lambda: BadRequestError("bad", status=400)), retry=2)
