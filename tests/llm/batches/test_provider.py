"""The batch API of a provider, over HTTP."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from tenire.errors import (
    AuthenticationError,
    BadRequestError,
    BrokenReplyError,
    ConfigError,
    ContextLengthError,
    ServerError,
)
from tenire.llm.batches import LostBatch
from tenire.llm.records import ChatRequest, Usage
from tenire.llm.transport import HttpTransport
from tenire.testing import FakeModelServer

from ..servers import answer, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

    from tenire.llm.batches import BatchProvider, LineResult

KEY = "sk-test-0123456789abcdef"
PROMPT = "the quick brown fox must not be seen"


def ask(text: str = PROMPT) -> ChatRequest:
    return ChatRequest("small", ({"role": "user", "content": text},), 20)


def key(number: int) -> bytes:
    return number.to_bytes(20, "big")


def work(
    url: str, job: Callable[[BatchProvider], Coroutine[Any, Any, Any]], *, api_key: str = KEY, **options: Any
) -> Any:
    async def main() -> Any:
        transport = HttpTransport(url, api_key=api_key, **options)
        try:
            return await job(transport.batches())
        finally:
            await transport.close()

    return asyncio.run(main())


async def all_lines(batches: BatchProvider, files: tuple[str, ...]) -> list[bytes]:
    found = []
    for file in files:
        async with aclosing(batches.results(file)) as lines:  # type: ignore[type-var]
            async for some in lines:
                found += some
    return found


def test_lines_go_out_and_results_come_back(tmp_path: Path) -> None:
    async def job(batches: BatchProvider) -> list[LineResult | None]:
        lines = {key(1): batches.line(key(1), ask("Hello")), key(2): batches.line(key(2), ask("poison"))}
        path = tmp_path / "lines"
        path.write_bytes(b"".join(lines.values()))
        file = await batches.upload("mine.jsonl", path)
        begun = await batches.create(file, "mark-1", path)
        assert (begun.mark, begun.input_file, begun.ended) == ("mark-1", file, False)
        while not (view := await batches.look(begun.id)).ended:
            pass
        assert (view.status, view.total, view.completed, view.failed) == ("completed", 2, 1, 1)
        read = [batches.read(line, lines[key(1)]) for line in await all_lines(batches, view.results)]
        await batches.delete(file)
        with pytest.raises(BadRequestError, match="of a file that is there"):
            await batches.create(file, "mark-2", path)
        return read

    with FakeModelServer(batch_seconds=0.05, poison="poison", poison_answer="400", api_key=KEY) as server:
        good, bad = sorted(work(server.base_url, job), key=lambda result: result.key)
    assert (good.key, bad.key) == (key(1), key(2))
    assert good.reply is not None
    assert good.reply.text
    assert isinstance(good.reply.usage, Usage)
    assert isinstance(bad.error, BadRequestError)
    assert f"from {server.base_url}/chat/completions, got 400" in str(bad.error)
    assert "content policy" in str(bad.error)


@pytest.mark.parametrize("name", ["Content-Type", "content-type", "CONTENT-TYPE"])
def test_a_file_goes_out_as_a_form_whatever_users_call_the_type_of_other_bodies(tmp_path: Path, name: str) -> None:
    async def job(batches: BatchProvider) -> str:
        path = tmp_path / "lines"
        path.write_bytes(batches.line(key(1), ask()))
        return await batches.upload("mine.jsonl", path)

    with FakeModelServer() as server:
        assert work(server.base_url, job, headers={name: "application/json; charset=utf-8"})


def test_a_batch_is_found_by_its_mark_or_its_file_on_any_page(tmp_path: Path) -> None:
    async def job(batches: BatchProvider) -> None:
        path = tmp_path / "lines"
        path.write_bytes(batches.line(key(1), ask()))
        file = await batches.upload("mine.jsonl", path)
        first = await batches.create(file, "first", path)
        other = await batches.upload("other.jsonl", path)
        for number in range(120):
            await batches.create(other, f"other {number}", path)
        found = await batches.find(LostBatch("first", "", path, 0.0))
        assert found is not None
        assert found.id == first.id
        assert (await batches.find(LostBatch("nobody's", file, path, 0.0))) == found
        assert await batches.find(LostBatch("nobody's", "", path, 0.0)) is None

    with FakeModelServer(batch_seconds=60) as server:
        work(server.base_url, job)


def test_a_cancelled_batch_has_what_was_finished_until_then(tmp_path: Path) -> None:
    async def job(batches: BatchProvider) -> str:
        path = tmp_path / "lines"
        path.write_bytes(batches.line(key(1), ask()))
        begun = await batches.create(await batches.upload("mine.jsonl", path), "mark", path)
        await batches.cancel(begun.id)
        return (await batches.look(begun.id)).status

    with FakeModelServer(batch_seconds=60) as server:
        assert work(server.base_url, job) == "cancelled"


def test_a_wrong_key_is_told(tmp_path: Path) -> None:
    async def job(batches: BatchProvider) -> None:
        await batches.look("batch_1")

    with FakeModelServer(api_key="another") as server, pytest.raises(AuthenticationError) as caught:
        work(server.base_url, job)
    assert str(caught.value).startswith("expected a batch from http://127.0.0.1")
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    ("body", "expected", "got"),
    [
        (b"nonsense", BrokenReplyError, "what is no JSON object"),
        ({"object": "batch"}, BrokenReplyError, "JSON without an id"),
    ],
)
def test_answers_of_another_form_are_told(body: Any, expected: type[Exception], got: str) -> None:
    async def main() -> None:
        async with serving(answer(body)) as server:
            transport = HttpTransport(server.url, api_key=KEY)
            try:
                with pytest.raises(expected, match=got):
                    await transport.batches().look("batch_1")
            finally:
                await transport.close()

    asyncio.run(main())


def test_results_that_break_off_are_told() -> None:
    async def main() -> None:
        async with serving(answer(b'{"custom_id": "00"}\n', length=100)) as server:
            transport = HttpTransport(server.url, api_key=KEY)
            try:
                with pytest.raises(BrokenReplyError, match="cut off in the middle"):
                    await all_lines(transport.batches(), ("file-1",))
            finally:
                await transport.close()

    asyncio.run(main())


def read(result: Any, *, with_prompt: bool = True) -> LineResult | None:
    batches = HttpTransport("http://127.0.0.1:1/v1", api_key=KEY).batches()
    line = result if isinstance(result, bytes) else json.dumps({"custom_id": key(7).hex(), **result}).encode()
    return batches.read(line, batches.line(key(7), ask()) if with_prompt else None)


@pytest.mark.parametrize("line", [b"", b"{", b'{"custom_id": "not hex"}', b'{"custom_id": 3}', b"[]"])
def test_a_line_that_is_none_of_ours_is_passed_over(line: bytes) -> None:
    assert read(line) is None


def test_a_line_that_was_not_reached_has_neither_reply_nor_error() -> None:
    for code in ("batch_expired", "batch_cancelled"):
        found = read({"response": None, "error": {"code": code, "message": "not executed"}})
        assert found is not None
        assert (found.key, found.reply, found.error) == (key(7), None, None)


def test_a_line_that_failed_says_why_without_the_prompt() -> None:
    said = {"error": {"message": f"the prompt {PROMPT} is too long: maximum context length", "code": "context"}}
    refused = {"response": {"status_code": 400, "body": said}, "error": None}
    found = read(refused)
    assert found is not None
    assert isinstance(found.error, ContextLengthError)
    assert "maximum context length" in str(found.error)
    assert PROMPT not in str(found.error)
    unknown = read(refused, with_prompt=False)
    assert unknown is not None
    assert isinstance(unknown.error, ContextLengthError)
    assert "400" in str(unknown.error)
    assert "the prompt" not in str(unknown.error)  # nothing of it, since it may be the prompt
    broken = read({"response": {"status_code": 200, "body": {"choices": []}}})
    assert broken is not None
    assert isinstance(broken.error, BrokenReplyError)
    half = {"finish_reason": "error", "error": {"message": "overheated"}, "message": {"content": "Half"}}
    inside = read({"response": {"status_code": 200, "body": {"choices": [half]}}})
    assert inside is not None
    assert isinstance(inside.error, ServerError)
    assert "overheated" in str(inside.error)
    failed = read({"response": {"status_code": 500, "body": {}}})
    assert failed is not None
    assert isinstance(failed.error, ServerError)
    nothing = read({"response": None, "error": {"code": "odd"}})
    assert nothing is not None
    assert "no answer (odd)" in str(nothing.error)


def test_half_a_character_is_refused_before_it_is_sent() -> None:
    batches = HttpTransport("http://127.0.0.1:1/v1", api_key=KEY).batches()
    with pytest.raises(BadRequestError, match="half a character") as caught:
        batches.line(key(1), ask("\ud800"))
    assert caught.value.__context__ is None


def test_a_server_of_a_third_language_has_no_batches_that_are_known() -> None:
    pidgin: Any = SimpleNamespace(headers=lambda key: {})
    with pytest.raises(ConfigError, match=r"or Anthropic's language, got https://here\.example/v1"):
        HttpTransport("https://here.example/v1", api_key=KEY, dialect=pidgin).batches()


def test_azure_has_its_own_addresses() -> None:
    transport = HttpTransport("https://mine.openai.azure.com", api_key=KEY)
    assert transport.address.of("/files", "") == "https://mine.openai.azure.com/openai/files?api-version=2024-10-21"
    line = json.loads(transport.batches().line(key(1), ask()))
    assert (line["custom_id"], line["url"], line["method"]) == (key(1).hex(), "/chat/completions", "POST")


def test_azures_list_of_batches_has_its_version_beside_the_page(tmp_path: Path) -> None:
    async def main() -> str:
        async with serving(answer({"data": []})) as server:
            transport = HttpTransport(server.url.removesuffix("/v1"), api_key=KEY, api_version="2024-10-21")
            try:
                assert await transport.batches().find(LostBatch("mark", "", tmp_path, 0.0)) is None
            finally:
                await transport.close()
            return server.asked[0].line

    line = asyncio.run(main())
    assert line == "GET /openai/batches?limit=100&api-version=2024-10-21 HTTP/1.1"
