"""Lines of batches that the provider has answered and not counted: they are paid for, as far as anybody can tell."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tenire.llm.batches.spool import Lines
from tenire.storage.home import Home
from tenire.storage.ledger import Ledger

from .fake_provider import ServerOfBatches
from .programs import PROMPTS, batch

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tenire.storage.spending import Spent
    from tenire.testing.fake_model_server.http import Request


class Changed(ServerOfBatches):
    """Changes the replies in results."""

    def __init__(self, change: Callable[[dict[str, Any]], object], **options: Any) -> None:
        super().__init__(**options)
        self._change = change

    def answer(self, question: str, request: Request) -> bytes:
        body = super().answer(question, request)
        if not question.endswith(("/content", "/results")):
            return body
        lines = [json.loads(line) for line in body.splitlines()]
        for line in lines:
            self._change(line["result"]["message"] if self.anthropic else line["response"]["body"])
        return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def uncounted(reply: dict[str, Any]) -> None:
    del reply["usage"]


def counted_as_nothing(reply: dict[str, Any]) -> None:
    reply["usage"] = dict.fromkeys(reply["usage"], 0)


def spending(home: Path) -> Spent:
    with Ledger.read(Home(home)) as ledger:
        return ledger.spending.total()


@pytest.mark.parametrize("change", [uncounted, counted_as_nothing])
@pytest.mark.parametrize("anthropic", [False, True])
def test_a_line_without_a_count_costs_what_it_may_have_used(
    tmp_path: Path, anthropic: bool, change: Callable[[dict[str, Any]], object]
) -> None:
    replies = batch(Changed(change, anthropic=anthropic), tmp_path, PROMPTS)
    assert [reply.usage for reply in replies] == [None] * 10
    for reply in replies:
        assert reply.cost_usd is not None
        most = 0.5 * (40 * 1e-6 + 20 * 2e-6)  # a short prompt, and 20 tokens at the price of batches
        assert 0.5 * min(20, len(reply.text)) * 2e-6 < reply.cost_usd < most
    spent = spending(tmp_path)
    assert spent.calls == 10
    assert spent.guessed == spent.cost == sum(round((reply.cost_usd or 0) * 1e12) for reply in replies)


@pytest.mark.parametrize("anthropic", [False, True])
def test_a_line_that_cannot_be_read_may_have_cost_the_most(tmp_path: Path, anthropic: bool) -> None:
    server = Changed(lambda reply: reply.pop("content" if anthropic else "choices"), anthropic=anthropic)
    (reply,) = batch(server, tmp_path, PROMPTS[:1])
    assert reply.error is not None
    spent = spending(tmp_path)
    assert spent.calls == server.sent_lines == 3
    assert spent.guessed == spent.cost > 3 * 20 * 1e6  # each time at least 20 tokens at half of 2 dollars a million


def test_where_the_line_is_lost_its_part_of_what_the_batch_could_cost_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Lines, "get", lambda lines, key: None)
    replies = batch(Changed(uncounted), tmp_path, PROMPTS)
    assert all(reply.cost_usd for reply in replies)
    spent = spending(tmp_path)
    assert spent.guessed == spent.cost > 10 * 20 * 1e6
