"""Calls of which a second copy is sent when they are slow, and what becomes of them when a reply does not fit."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from tenire.errors import BrokenReplyError
from tenire.llm.money import Price
from tenire.llm.records import ModelReply

from .models import Model, down, simulate

if TYPE_CHECKING:
    from tenire.llm.client import ChatClient
    from tenire.llm.records import ChatRequest
    from tenire.testing import SimLoop

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
GOOD = '{"n": 7}'
CALLS = 25
"""Enough for a client to know what is slow."""


class Scripted(Model):
    """Answers fast, and from then on as it is told: seconds, and the text or the failure."""

    def __init__(self, *script: tuple[float, str | Exception]) -> None:
        super().__init__()
        self.script = list(script)

    async def complete(self, request: ChatRequest) -> ModelReply:
        self.requests.append(request)
        place = len(self.requests)
        seconds, said = self.script.pop(0) if place > CALLS else (1.0, GOOD)
        self.inside += 1
        try:
            await asyncio.sleep(seconds)
        finally:
            self.inside -= 1
        if isinstance(said, Exception):
            raise said
        return ModelReply(said, "stop", self.usage, request.model, f"id {place}")


def hedged(loop: SimLoop, model: Scripted, **options: Any) -> Any:
    """Return the reply to a slow call with a schema; its requests are those after the first ``CALLS``."""

    async def scenario(client: ChatClient) -> Any:
        for number in range(CALLS):
            await client.complete(f"{number}", schema=SCHEMA)
        return await client.complete("slow", schema=SCHEMA, deadline=100.0)

    return simulate(loop, scenario, model, hedge=True, **options)


def repaired(model: Scripted) -> list[bool]:
    """Return, for each request of the slow call, whether it says what was wrong with a reply."""
    return [len(request.messages) == 3 for request in model.requests[CALLS:]]


def test_a_reply_that_does_not_fit_is_repaired_though_a_copy_did_not_fit_before(sim_loop: SimLoop) -> None:
    model = Scripted((10.0, "no"), (1.0, "nor this"), (0.5, GOOD))
    assert hedged(sim_loop, model).data == {"n": 7}
    assert repaired(model) == [False, False, True]


def test_the_first_call_still_answers_when_its_copy_did_not_fit(sim_loop: SimLoop) -> None:
    model = Scripted((10.0, GOOD), (1.0, "no"))
    assert hedged(sim_loop, model).data == {"n": 7}
    assert repaired(model) == [False, False]


@pytest.mark.parametrize("first", [True, False], ids=["the first", "the copy"])
def test_a_repair_that_does_not_fit_leaves_the_other_one_its_chance(sim_loop: SimLoop, first: bool) -> None:
    slow, fast = (("no", GOOD), (GOOD, "no"))[not first]
    model = Scripted((0.5, "no"), (10.0, slow), (20.0 if first else 1.0, fast))
    assert hedged(sim_loop, model).data == {"n": 7}
    assert repaired(model) == [False, True, True]


def test_what_fits_neither_in_a_repair_nor_in_its_copy_is_the_error(sim_loop: SimLoop) -> None:
    model = Scripted((10.0, "no"), (1.0, "no"), (10.0, "no"), (1.0, "no"))
    with pytest.raises(BrokenReplyError, match="follows its JSON schema") as caught:
        hedged(sim_loop, model)
    assert "asked twice" in (caught.value.hint or "")
    assert repaired(model) == [False, False, True, True]


@pytest.mark.parametrize("said", ["no", *down()], ids=["off schema", "down"])
@pytest.mark.parametrize("short_of", [{"max_concurrency": 1}, {"budget_usd": 0.003, "price": Price(1.0, 2.0)}], ids=str)
def test_a_copy_that_waits_for_what_its_call_holds_does_not_stop_it(
    sim_loop: SimLoop, said: Any, short_of: dict[str, Any]
) -> None:
    model = Scripted((10.0, said), (0.5, GOOD))
    reply = hedged(sim_loop, model, max_output_tokens=1000, timeout=60.0, **short_of)
    assert reply.data == {"n": 7}
    assert len(model.requests) == CALLS + 2
