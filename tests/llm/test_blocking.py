"""The client for programs without an event loop."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from tenire import ConcurrencyManager
from tenire.errors import ConfigError, RejectedError, ServerError
from tenire.llm import BlockingChatClient
from tenire.storage.home import Home
from tenire.storage.ledger import Ledger
from tenire.storage.provider_batches import OpenBatch
from tenire.testing import FakeModelServer

from .models import MODEL, Model, down

if TYPE_CHECKING:
    from pathlib import Path


def test_each_method_does_what_its_twin_does(tmp_path: Path) -> None:
    model = Model(seconds=0)
    with BlockingChatClient(MODEL, transport=model, home=tmp_path) as client:
        assert client.complete("Hello", max_output_tokens=5).text == "re: Hello"
        replies = list(client.map(["a", "b", "c"], ordered=True))
        assert [reply.text for reply in replies] == ["re: a", "re: b", "re: c"]
        assert "".join(part.text for part in client.stream("d e")) == "re: d e "
        assert [list(vector) for vector in client.embed(["a", "bb"])] == [[1.0, 1.0], [2.0, 1.0]]
        assert client.statistics().calls == 6
        assert client.estimate(["a", "new"]).calls == 1
    assert model.closed


def test_batches_come_one_reply_at_a_time(tmp_path: Path) -> None:
    with (
        FakeModelServer(batch_seconds=0.01) as server,
        BlockingChatClient(MODEL, base_url=server.base_url, home=tmp_path, max_output_tokens=5) as client,
    ):
        assert sorted(reply.index for reply in client.batch(["a", "b", "c"])) == [0, 1, 2]


def test_batches_can_be_cancelled(tmp_path: Path) -> None:
    with Ledger.open(Home(tmp_path)) as ledger:
        ledger.provider_batches.open("nobody", OpenBatch("left", "somewhere", "default", MODEL))
    with BlockingChatClient(MODEL, transport=Model(), home=tmp_path) as client:
        assert client.cancel_batches("another") == 0
        assert client.cancel_batches() == 1
    with Ledger.read(Home(tmp_path)) as ledger:
        assert ledger.provider_batches.unwanted("left")


def test_errors_reach_the_caller() -> None:
    with BlockingChatClient(MODEL, transport=Model(*down(), seconds=0), retry=1) as client:
        with pytest.raises(ServerError):
            client.complete("Hello")
        with pytest.raises(ConfigError, match="prompts must be an iterable"):
            list(client.map("one"))


def test_leaving_a_map_early_ends_its_calls() -> None:
    model = Model(seconds=0)
    with BlockingChatClient(MODEL, transport=model) as client:
        replies = client.map((str(number) for number in range(10_000)), ahead=4)
        next(replies)
        replies.close()  # type: ignore[attr-defined]
        assert client.statistics().quota.in_flight == 0
    assert len(model.requests) < 100


def test_what_is_kept_of_a_client_that_is_closed_can_be_dropped_without_a_word() -> None:
    with BlockingChatClient(MODEL, transport=Model(seconds=0)) as client:
        replies = client.map(str(number) for number in range(10_000))
        next(replies)
    with pytest.raises(RejectedError, match="is closed"):
        next(replies)
    with BlockingChatClient(MODEL, transport=Model(seconds=0)) as client:
        replies = client.map(str(number) for number in range(10_000))
        next(replies)
    replies.close()  # type: ignore[attr-defined]


def test_one_that_is_open_is_not_opened_once_more() -> None:
    with BlockingChatClient(MODEL, transport=Model(seconds=0)) as client:
        with pytest.raises(RejectedError, match="open already"), client:
            pass
        assert client.complete("Hello").text
    with client:
        assert client.complete("Again").text
    assert not [thread for thread in threading.enumerate() if "tenire" in thread.name]


def test_it_tells_what_it_did_once_it_is_closed() -> None:
    client = BlockingChatClient(MODEL, transport=Model(seconds=0))
    with pytest.raises(RejectedError, match="not open"):
        client.statistics()
    for calls in (1, 2):
        with client:
            for number in range(calls):
                client.complete(str(number))
        assert (client.statistics().calls, client.statistics().quota.in_flight) == (calls, 0)


def test_threads_share_one_client() -> None:
    model = Model(seconds=0.01)
    seen: list[str] = []

    def work(client: BlockingChatClient, number: int) -> None:
        seen.append(client.complete(str(number)).text)

    with BlockingChatClient(MODEL, transport=model) as client:
        threads = [threading.Thread(target=work, args=(client, number)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(seen) == [f"re: {number}" for number in range(8)]
    assert model.most > 1


def test_a_given_engine_goes_on_after_it() -> None:
    with ConcurrencyManager.in_thread(cpu=1, memory=100) as manager:
        with BlockingChatClient(MODEL, transport=Model(seconds=0), manager=manager) as client:
            assert client.complete("Hello").text
        assert manager.submit(lambda: 7).result(timeout=10) == 7


def test_on_the_engine_s_own_loop_it_is_refused_with_the_twin_s_name() -> None:
    async def blocks(client: BlockingChatClient) -> Any:
        return client.complete("Hello")

    with (
        ConcurrencyManager.in_thread(cpu=1, memory=100) as manager,
        BlockingChatClient(MODEL, transport=Model(seconds=0), manager=manager) as client,
        pytest.raises(RuntimeError, match=r"use ChatClient\.complete"),
    ):
        manager.submit(blocks, client).result(timeout=10)


def test_one_that_is_not_open_says_so() -> None:
    with pytest.raises(RejectedError, match="with BlockingChatClient"):
        BlockingChatClient(MODEL, transport=Model()).complete("Hello")


def test_a_wrong_argument_is_refused_and_nothing_is_left_running() -> None:
    with pytest.raises(ConfigError, match="timeout must be"):
        BlockingChatClient(MODEL, transport=Model(), timeout=0).__enter__()
    assert not [thread for thread in threading.enumerate() if "tenire" in thread.name]
