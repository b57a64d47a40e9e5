"""Batches at Anthropic, which has no files and no marks."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import pytest

from tenire.errors import (
    AuthenticationError,
    BadRequestError,
    BrokenReplyError,
    ContextLengthError,
    ServerError,
    StoreError,
)
from tenire.llm.batches import LostBatch, asking
from tenire.llm.client import ChatClient
from tenire.llm.records import ChatRequest
from tenire.llm.transport import HttpTransport
from tenire.storage.home import Home
from tenire.storage.ledger import Ledger
from tenire.storage.provider_batches import ProviderBatchTable
from tenire.testing import FakeModelServer
from tenire.testing.fake_model_server.http import Request

from .fake_provider import ServerOfBatches
from .programs import PROMPTS, batch, spent
from .test_restarts import stopped

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

    from tenire.llm.batches import BatchProvider, LineResult

KEY = "sk-ant-0123456789abcdef"
PROMPT = "the quick brown fox must not be seen"
USER = {"role": "user", "content": PROMPT}


def key(number: int) -> bytes:
    return number.to_bytes(20, "big")


def ask(*messages: dict[str, Any]) -> ChatRequest:
    return ChatRequest("small", messages or (USER,), 20)


def way() -> BatchProvider:
    return HttpTransport("http://127.0.0.1:1/v1", api_key=KEY, dialect="anthropic").batches()


def work(server: FakeModelServer, job: Callable[[BatchProvider], Coroutine[Any, Any, Any]]) -> Any:
    async def main() -> Any:
        transport = HttpTransport(server.base_url, api_key=KEY, dialect="anthropic")
        try:
            async with asyncio.timeout(20):  # a body that is longer than was said has no answer
                return await job(transport.batches())
        finally:
            await transport.close()

    return asyncio.run(main())


def spooled(batches: BatchProvider, path: Path, numbers: range) -> Path:
    lines = [batches.line(key(n), ask({"role": "user", "content": f"Prompt {n}"})) for n in numbers]
    path.write_bytes(b"".join(lines))
    return path


def test_requests_go_out_and_results_come_back(tmp_path: Path) -> None:
    async def job(batches: BatchProvider) -> dict[bytes, LineResult]:
        path = spooled(batches, tmp_path / "lines", range(1000))
        odd = ({"role": "developer", "content": "Be brief."}, {"role": "user", "content": "arsenic " * 150_000})
        path.write_bytes(batches.line(key(1000), ask(*odd)) + path.read_bytes())  # sent in more than one piece
        begun = await batches.create(await batches.upload("mine.jsonl", path), "mark", path)
        assert (begun.total, begun.ended, begun.results) == (1001, False, ())
        while not (view := await batches.look(begun.id)).ended:
            pass
        assert (view.total, view.completed, view.failed) == (1001, 1000, 1)
        read = {}
        results: Any = batches.results(*view.results)
        async with aclosing(results):
            async for lines in results:
                for line in lines:
                    if (result := batches.read(line, None)) is not None:
                        read[result.key] = result
        await batches.delete("mine.jsonl")
        await batches.delete(begun.id)
        with pytest.raises(Exception, match="No such batch"):
            await batches.look(begun.id)
        return read

    with FakeModelServer(batch_seconds=0.05, poison="arsenic", poison_answer="400", api_key=KEY) as server:
        read = work(server, job)
    assert len(read) == 1001
    assert isinstance(read[key(1000)].error, BadRequestError)
    for number in range(1000):
        reply = read[key(number)].reply
        assert reply is not None
        assert f"Prompt {number}" in reply.text
        assert reply.usage is not None


@pytest.mark.parametrize(
    "messages",
    [
        [USER],
        [{"role": "system", "content": "Be brief."}, USER],
        [{"role": "system", "content": "Be brief."}, {"role": "system", "content": "Be kind."}, USER],
        [{"role": "developer", "content": "Be brief."}, USER],
        [USER, {"role": "system", "content": "Be late."}],
        [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://a.example/b.png"}}]}],
    ],
)
def test_messages_of_a_line_are_those_that_were_given(messages: list[dict[str, Any]], tmp_path: Path) -> None:
    line = way().line(key(7), ask(*messages))
    assert list(way().request(line).messages) == messages

    async def job(batches: BatchProvider) -> None:
        path = tmp_path / "lines"
        path.write_bytes(line)
        assert (await batches.create("", "", path)).total == 1

    with FakeModelServer() as server:
        work(server, job)


def test_a_batch_without_an_answer_is_found_by_what_it_holds(tmp_path: Path) -> None:
    async def job(batches: BatchProvider) -> None:
        stranger = spooled(batches, tmp_path / "stranger", range(100, 103))
        ours = spooled(batches, tmp_path / "ours", range(3))
        await batches.create("", "", spooled(batches, tmp_path / "larger", range(200, 204)))
        theirs = await batches.create("", "", stranger)
        lost = LostBatch("mark", "", ours, 0.0)

        maybe = await batches.find(lost)
        assert maybe is not None
        assert maybe.id == f"?{theirs.id}", "it holds as many, and cannot be looked into yet"
        await batches.cancel(maybe.id)
        await batches.delete(maybe.id)
        assert (await batches.look(maybe.id)).status == "in_progress"
        for name in (theirs.id, maybe.id):
            assert await batches.find(LostBatch("mark", "", ours, 0.0, {name})) is None
        assert await batches.find(LostBatch("mark", "", ours, 4e9)) is None
        assert await batches.find(LostBatch("mark", "", tmp_path / "gone", 0.0)) is None

        mine = await batches.create("", "", ours)
        for number in range(2):
            await batches.create("", "", spooled(batches, tmp_path / "more", range(200, 204 + number)))
        while not ((await batches.look(mine.id)).ended and (await batches.look(theirs.id)).ended):
            pass
        found = await batches.find(lost)
        assert found is not None
        assert found.id == mine.id, "now it is certain"
        assert await batches.find(LostBatch("mark", "", ours, 0.0, {f"?{mine.id}"})) == found
        assert await batches.find(LostBatch("mark", "", ours, 0.0, {mine.id})) is None
        assert await batches.find(LostBatch("mark", "", spooled(batches, tmp_path / "no", range(5, 8)), 0.0)) is None

    with FakeModelServer(batch_seconds=0.3) as server:
        work(server, job)


def test_one_that_is_asked_for_on_a_later_page_is_found(tmp_path: Path) -> None:
    async def job(batches: BatchProvider) -> None:
        mine = await batches.create("", "", spooled(batches, tmp_path / "ours", range(2)))
        other = spooled(batches, tmp_path / "other", range(1))
        for _ in range(120):
            await batches.create("", "", other)
        found = await batches.find(LostBatch("mark", "", tmp_path / "ours", 0.0))
        assert found is not None
        assert found.id == f"?{mine.id}"

    with FakeModelServer(batch_seconds=60) as server:
        work(server, job)


def test_a_wrong_key_is_told() -> None:
    with FakeModelServer(api_key="another") as server, pytest.raises(AuthenticationError) as caught:
        work(server, lambda batches: batches.look("msgbatch_1"))
    assert KEY not in str(caught.value)


def read(result: Any, *, with_prompt: bool = True) -> LineResult | None:
    line = result if isinstance(result, bytes) else json.dumps({"custom_id": key(7).hex(), "result": result}).encode()
    return way().read(line, way().line(key(7), ask()) if with_prompt else None)


@pytest.mark.parametrize("line", [b"", b"{", b'{"custom_id": "not hex", "result": {"type": "expired"}}', b"[]"])
def test_a_line_that_is_none_of_ours_is_passed_over(line: bytes) -> None:
    assert read(line) is None


def test_a_line_that_was_not_reached_has_neither_reply_nor_error() -> None:
    for kind in ("expired", "canceled"):
        found = read({"type": kind})
        assert found is not None
        assert (found.key, found.reply, found.error) == (key(7), None, None)


@pytest.mark.parametrize(
    ("kind", "message", "expected"),
    [
        ("invalid_request_error", f"prompt is too long: {PROMPT}", ContextLengthError),
        ("authentication_error", "invalid x-api-key", AuthenticationError),
        ("api_error", "it fell over", ServerError),
        ("overloaded_error", "come back later", ServerError),
        ("a_new_error", "whatever this is", ServerError),
    ],
)
def test_a_line_that_failed_says_why_without_the_prompt(kind: str, message: str, expected: type[Exception]) -> None:
    told = {"type": "errored", "error": {"type": "error", "error": {"type": kind, "message": message}}}
    for with_prompt in (True, False):
        found = read(told, with_prompt=with_prompt)
        assert found is not None
        assert isinstance(found.error, expected)
        assert PROMPT not in str(found.error)
        assert (message[:9] in str(found.error)) is with_prompt


def test_a_reply_that_is_none_is_told() -> None:
    found = read({"type": "succeeded", "message": {"type": "message"}})
    assert found is not None
    assert isinstance(found.error, BrokenReplyError)
    strange = read({"type": "odd"})
    assert strange is not None
    assert "no answer" in str(strange.error)


def test_half_a_character_is_refused_before_it_is_sent() -> None:
    with pytest.raises(BadRequestError, match="half a character") as caught:
        way().line(key(1), ask({"role": "user", "content": "\ud800"}))
    assert caught.value.__context__ is None


# -- whole programs ----------------------------------------------------------------


@pytest.mark.parametrize("at", range(1, 26))
def test_wherever_a_program_is_stopped_nothing_is_handed_over_or_paid_twice(tmp_path: Path, at: int) -> None:
    server = ServerOfBatches(anthropic=True)
    server.expires = [3.0, 3.0, None]  # both batches leave something undone
    assert stopped(server, tmp_path, at=at) or at > 12
    replies = batch(server, tmp_path, PROMPTS)
    assert all(reply.error is None and reply.text for reply in replies)
    calls, _, left = spent(tmp_path)
    assert (calls, left) == (10, 0)
    assert server.provider.statistics(0.0).answered == 10
    assert not list((tmp_path / "batches").iterdir())


def test_batches_whose_answers_were_lost_are_waited_for(tmp_path: Path) -> None:
    server = ServerOfBatches(anthropic=True)
    server.fail("POST /messages/batches", lost=True, times=2)
    assert all(reply.text for reply in batch(server, tmp_path, PROMPTS, most_lines=5))
    assert (server.times("POST"), server.times("DELETE")) == (2, 2)
    assert spent(tmp_path)[::2] == (10, 0)


@pytest.mark.parametrize("first", [0, 1])
def test_batches_that_are_taken_for_each_other_are_told_apart_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: int
) -> None:
    server = ServerOfBatches(anthropic=True)
    written: list[str] = []

    def fail(_: ProviderBatchTable, batch: str, provider_id: str) -> None:
        written.append(batch)
        raise StoreError("the power is gone")

    with monkeypatch.context() as patched:
        patched.setattr(ProviderBatchTable, "sent", fail)
        for number in range(2):
            with pytest.raises(StoreError):
                batch(server, tmp_path, PROMPTS[5 * number : 5 * number + 5], pipeline=f"p{number}")
    names = [f"?{name}" for name in server.desk._batches]
    with Ledger.open(Home(tmp_path)) as ledger:
        for number, ours in enumerate(written):
            ledger.provider_batches.sent(ours, names[(first + number) % 2])
    for number in range(2):
        replies = batch(server, tmp_path, PROMPTS[5 * number : 5 * number + 5], pipeline=f"p{number}")
        assert all(reply.text for reply in replies)
    assert (server.times("POST"), server.times("DELETE")) == (2, 2)
    assert spent(tmp_path)[::2] == (10, 0)


def test_one_that_ended_while_nobody_looked_is_found_and_cleared_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = ServerOfBatches(anthropic=True)

    def fail(*_: Any) -> None:
        raise StoreError("the power is gone")

    with monkeypatch.context() as patched:
        patched.setattr(ProviderBatchTable, "sent", fail)
        with pytest.raises(StoreError):
            batch(server, tmp_path, PROMPTS)
    server.now += 100.0
    assert all(reply.text for reply in batch(server, tmp_path, PROMPTS))
    assert (server.times("POST"), server.times("DELETE")) == (1, 1)
    assert spent(tmp_path)[::2] == (10, 0)


def made_by_somebody_else(server: ServerOfBatches) -> None:
    """Have a batch made that has as many requests as ours."""
    params = {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "theirs"}]}
    theirs = {"requests": [{"custom_id": f"theirs-{number}", "params": params} for number in range(10)]}
    server.answer("", Request("POST", "/v1/messages/batches", "", {}, json.dumps(theirs).encode()))


def test_somebody_else_s_batch_that_looks_like_ours_costs_time_only(tmp_path: Path) -> None:
    server = ServerOfBatches(anthropic=True)
    made_by_somebody_else(server)
    server.fail("POST /messages/batches")  # and so ours was not made
    assert all(reply.text for reply in batch(server, tmp_path, PROMPTS))
    assert server.times("POST /messages/batches") == 2
    assert server.times("DELETE") == 1, "of ours only"
    assert "msgbatch_000001" in server.desk._batches
    assert spent(tmp_path)[::2] == (10, 0)


def test_when_somebody_else_s_has_ended_ours_is_waited_for(tmp_path: Path) -> None:
    server = ServerOfBatches(anthropic=True)
    made_by_somebody_else(server)
    server.now += 3.0  # so that theirs ends first
    server.fail("POST /messages/batches", lost=True)
    assert all(reply.text for reply in batch(server, tmp_path, PROMPTS))
    assert (server.times("POST"), server.times("DELETE")) == (1, 1)
    assert "msgbatch_000001" in server.desk._batches


def test_what_a_batch_leaves_undone_is_asked_at_once_in_the_words_that_were_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = ServerOfBatches(anthropic=True, batch_expires=3.0)
    answers = iter([True] * 10)
    monkeypatch.setattr(asking, "in_batch", lambda *_, **__: next(answers, False))
    first = {"role": "developer", "content": "Be brief."}  # becomes the system's, and must not stay it
    prompts: Any = [[first, {"role": "user", "content": prompt}] for prompt in PROMPTS]
    assert all(reply.text for reply in batch(server, tmp_path, prompts, mode="auto", deadline=100.0))
    assert len(server.realtime) == 4
    batch(server, tmp_path, prompts, mode="realtime")
    assert len(server.realtime) == 4, "each reply is kept under the key of what was asked"


def test_a_schema_is_followed_in_a_batch_too(tmp_path: Path) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}

    async def main() -> list[Any]:
        async with (
            FakeModelServer(batch_seconds=0.01) as server,
            ChatClient("claude-haiku-4-5", base_url=server.base_url, dialect="anthropic", home=tmp_path) as client,
        ):
            return [reply.data async for reply in client.batch(PROMPTS, schema=schema)]

    found = asyncio.run(main())
    assert len(found) == 10
    assert all(isinstance(data["n"], int) for data in found)
